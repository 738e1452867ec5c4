/* Frames of a client, and the messages that it sends: every message is told from every other, so that an answer that
 * belongs to another one is noticed. */

#ifndef LOADGEN_FRAMES_H
#define LOADGEN_FRAMES_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

enum { OPCODE_CONTINUATION = 0, OPCODE_TEXT = 1, OPCODE_BINARY = 2, OPCODE_CLOSE = 8, OPCODE_PING = 9, OPCODE_PONG = 10 };
enum { LARGEST_HEADER = 14, LARGEST_CONTROL = 125, STAMP = 16 };

/* splitmix64. RFC 6455 10.3 asks for keys that a web page cannot foresee; on the loopback of a benchmark it is enough
 * that no two frames have the same. */
static inline uint64_t next_random(uint64_t *state) {
    uint64_t z = (*state += 0x9E3779B97F4A7C15u);
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9u;
    z = (z ^ (z >> 27)) * 0x94D049BB133111EBu;
    return z ^ (z >> 31);
}

/* RFC 6455 5.3. `key` has the octets of the masking-key in memory order; `in` may be `out`. */
static inline void mask(uint8_t *out, const uint8_t *in, size_t size, uint32_t key) {
    const uint64_t wide = (uint64_t)key << 32 | key;
    size_t at = 0;
    for (; at + 8 <= size; at += 8) {
        uint64_t word;
        memcpy(&word, in + at, 8);
        word ^= wide;
        memcpy(out + at, &word, 8);
    }
    uint8_t octets[4];
    memcpy(octets, &key, 4);
    for (; at < size; at++) {
        out[at] = in[at] ^ octets[at & 3];
    }
}

/* Header of a final, masked frame (RFC 6455 5.2). Returns its size. */
static inline size_t write_header(uint8_t *out, uint8_t opcode, uint64_t size, uint32_t key) {
    size_t at = 2;
    out[0] = 0x80 | opcode;
    if (size < 126) {
        out[1] = 0x80 | (uint8_t)size;
    } else if (size < 65536) {
        out[1] = 0x80 | 126;
        out[at++] = (uint8_t)(size >> 8);
        out[at++] = (uint8_t)size;
    } else {
        out[1] = 0x80 | 127;
        for (int shift = 56; shift >= 0; shift -= 8) {
            out[at++] = (uint8_t)(size >> shift);
        }
    }
    memcpy(out + at, &key, 4);
    return at + 4;
}

/* Sixteen hexadecimal digits: who sends, and its how many-th message. A message begins with their end, as many as fit. */
static inline void write_stamp(uint8_t stamp[STAMP], uint32_t who, uint32_t number) {
    static const char digits[] = "0123456789abcdef";
    for (int at = 7; at >= 0; at--, who >>= 4, number >>= 4) {
        stamp[at] = (uint8_t)digits[who & 15];
        stamp[at + 8] = (uint8_t)digits[number & 15];
    }
}

/* The rest of a message: printable ASCII, valid as Text. */
static inline void write_pattern(uint8_t *pattern, size_t size) {
    for (size_t at = 0; at < size; at++) {
        pattern[at] = (uint8_t)(' ' + (at * 7 + at / 95) % 95);
    }
}

#endif
