/* Payload in words: the masking-key in a register, and inputs shorter than the shortest vector. */
#ifndef FW_WORDS_H
#define FW_WORDS_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

#define FW_HIGH_BITS UINT64_C(0x8080808080808080)

static inline uint32_t fw_load32(const uint8_t *p)
{
    uint32_t word;

    memcpy(&word, p, sizeof word);
    return word;
}

static inline uint64_t fw_load64(const uint8_t *p)
{
    uint64_t word;

    memcpy(&word, p, sizeof word);
    return word;
}

static inline void fw_store32(uint8_t *p, uint32_t word)
{
    memcpy(p, &word, sizeof word);
}

static inline void fw_store64(uint8_t *p, uint64_t word)
{
    memcpy(p, &word, sizeof word);
}

/* The masking-key as it stands for the octet that is `octets` further on. */
static inline uint32_t fw_key_at(uint32_t key, size_t octets)
{
    unsigned bits = (unsigned)(octets & 3) * 8;

#if __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
    return key << bits | key >> (-bits & 31);
#else
    return key >> bits | key << (-bits & 31);
#endif
}

static inline uint64_t fw_key_twice(uint32_t key)
{
    return (uint64_t)key << 32 | key;
}

/* The octet of the masking-key that stands first. */
static inline uint8_t fw_key_first(uint32_t key)
{
    uint8_t octet;

    memcpy(&octet, &key, 1);
    return octet;
}

/* Unmask n < 32 bytes, and tell whether one of them has its high bit set (non-zero: yes). With store == 0 nothing is
 * written. Everything is loaded before anything is stored, so words may overlap each other although dst == src. */
static inline uint64_t fw_words_unmask(uint8_t *dst, const uint8_t *src, size_t n, uint32_t key, const int store)
{
    if (n >= 8) {
        uint64_t head_key = fw_key_twice(key);
        uint64_t tail_key = fw_key_twice(fw_key_at(key, n));
        uint64_t head = fw_load64(src) ^ head_key;
        uint64_t tail = fw_load64(src + n - 8) ^ tail_key;
        uint64_t seen = head | tail;

        if (n > 16) {
            uint64_t second = fw_load64(src + 8) ^ head_key;
            uint64_t third = fw_load64(src + n - 16) ^ tail_key;

            seen |= second | third;
            if (store) {
                fw_store64(dst + 8, second);
                fw_store64(dst + n - 16, third);
            }
        }
        if (store) {
            fw_store64(dst, head);
            fw_store64(dst + n - 8, tail);
        }
        return seen & FW_HIGH_BITS;
    }
    if (n >= 4) {
        uint32_t head = fw_load32(src) ^ key;
        uint32_t tail = fw_load32(src + n - 4) ^ fw_key_at(key, n);

        if (store) {
            fw_store32(dst, head);
            fw_store32(dst + n - 4, tail);
        }
        return (head | tail) & (uint32_t)FW_HIGH_BITS;
    }

    uint8_t seen = 0;

    for (size_t i = 0; i < n; i++) {
        uint8_t octet = src[i] ^ fw_key_first(fw_key_at(key, i));

        if (store)
            dst[i] = octet;
        seen |= octet;
    }
    return seen & 0x80;
}

#endif
