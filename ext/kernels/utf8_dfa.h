/* UTF-8 (RFC 3629, 4) as a state machine of nine states, one table row for each byte value.
 *
 * It is what every implementation falls back to: for the character that two calls share, for the exact index of a wrong
 * byte, and for what is left over at the end. fw_utf8.state holds its state, so all implementations agree on it.
 *
 * A state is the number of bits to shift a row by (an idea of Per Vognsen's, "Shift-based DFAs"): the next state does
 * not wait for a load that depends on the state before.
 */
#ifndef FW_UTF8_DFA_H
#define FW_UTF8_DFA_H

#include <stddef.h>
#include <stdint.h>

#include "fw_kernels.h"

enum {
    FW_UTF8_BOUNDARY = 0,   /* between two characters */
    FW_UTF8_TAIL_1 = 6,     /* one more of 80..BF */
    FW_UTF8_TAIL_2 = 12,    /* two more */
    FW_UTF8_TAIL_3 = 18,    /* three more */
    FW_UTF8_AFTER_E0 = 24,  /* A0..BF, then one more: no overlong form */
    FW_UTF8_AFTER_ED = 30,  /* 80..9F, then one more: no surrogate */
    FW_UTF8_AFTER_F0 = 36,  /* 90..BF, then two more: no overlong form */
    FW_UTF8_AFTER_F4 = 42,  /* 80..8F, then two more: nothing above U+10FFFF */
    FW_UTF8_WRONG = 48      /* final */
};

extern const uint64_t fw_utf8_rows[256];

static inline uint32_t fw_utf8_next(uint32_t state, uint8_t byte)
{
    return (uint32_t)(fw_utf8_rows[byte] >> (state & 63)) & 63;
}

/* 80..BF */
static inline int fw_utf8_is_tail(uint8_t byte)
{
    return (byte & 0xC0) == 0x80;
}

/* validate() of the header, byte by byte. */
size_t fw_utf8_walk(fw_utf8 *text, const uint8_t *src, size_t n);

/* From where on the bytes before i have to be looked at again to know the state at i: the start of the last character,
 * or i. All of them have been found good; a character may be open at i. */
static inline size_t fw_utf8_last_start(const uint8_t *text, size_t i)
{
    size_t back = i < 3 ? i : 3;

    for (size_t k = 1; k <= back; k++)
        if (!fw_utf8_is_tail(text[i - k]))
            return text[i - k] < 0x80 ? i : i - k;
    return i; /* three of 80..BF end a character of four bytes */
}

#endif
