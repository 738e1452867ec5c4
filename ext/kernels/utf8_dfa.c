#include "utf8_dfa.h"

/* A row has a field of six bits for each state, in the order of the enumeration: the state that this byte leads to. */
#define ROW(boundary, tail_1, tail_2, tail_3, e0, ed, f0, f4)                                                          \
    ((uint64_t)FW_UTF8_##boundary | (uint64_t)FW_UTF8_##tail_1 << FW_UTF8_TAIL_1 |                                     \
     (uint64_t)FW_UTF8_##tail_2 << FW_UTF8_TAIL_2 | (uint64_t)FW_UTF8_##tail_3 << FW_UTF8_TAIL_3 |                     \
     (uint64_t)FW_UTF8_##e0 << FW_UTF8_AFTER_E0 | (uint64_t)FW_UTF8_##ed << FW_UTF8_AFTER_ED |                         \
     (uint64_t)FW_UTF8_##f0 << FW_UTF8_AFTER_F0 | (uint64_t)FW_UTF8_##f4 << FW_UTF8_AFTER_F4 |                         \
     (uint64_t)FW_UTF8_WRONG << FW_UTF8_WRONG)

/* A byte that can only begin a character, and leads to next. */
#define LEAD(next) ROW(next, WRONG, WRONG, WRONG, WRONG, WRONG, WRONG, WRONG)

/* RFC 3629, 4:
 *   UTF8-1 = %x00-7F
 *   UTF8-2 = %xC2-DF UTF8-tail
 *   UTF8-3 = %xE0 %xA0-BF UTF8-tail / %xE1-EC 2( UTF8-tail ) / %xED %x80-9F UTF8-tail / %xEE-EF 2( UTF8-tail )
 *   UTF8-4 = %xF0 %x90-BF 2( UTF8-tail ) / %xF1-F3 3( UTF8-tail ) / %xF4 %x80-8F 2( UTF8-tail )
 *   UTF8-tail = %x80-BF */
const uint64_t fw_utf8_rows[256] = {
    [0x00 ... 0x7F] = LEAD(BOUNDARY),
    /*                      boundary tail_1  tail_2  tail_3  E0      ED      F0      F4 */
    [0x80 ... 0x8F] = ROW(WRONG, BOUNDARY, TAIL_1, TAIL_2, WRONG, TAIL_1, WRONG, TAIL_2),
    [0x90 ... 0x9F] = ROW(WRONG, BOUNDARY, TAIL_1, TAIL_2, WRONG, TAIL_1, TAIL_2, WRONG),
    [0xA0 ... 0xBF] = ROW(WRONG, BOUNDARY, TAIL_1, TAIL_2, TAIL_1, WRONG, TAIL_2, WRONG),
    [0xC0 ... 0xC1] = LEAD(WRONG),
    [0xC2 ... 0xDF] = LEAD(TAIL_1),
    [0xE0] = LEAD(AFTER_E0),
    [0xE1 ... 0xEC] = LEAD(TAIL_2),
    [0xED] = LEAD(AFTER_ED),
    [0xEE ... 0xEF] = LEAD(TAIL_2),
    [0xF0] = LEAD(AFTER_F0),
    [0xF1 ... 0xF3] = LEAD(TAIL_3),
    [0xF4] = LEAD(AFTER_F4),
    [0xF5 ... 0xFF] = LEAD(WRONG),
};

size_t fw_utf8_walk(fw_utf8 *text, const uint8_t *src, size_t n)
{
    uint32_t state = text->state;
    uint32_t seen = 0;

    for (size_t i = 0; i < n; i++) {
        state = fw_utf8_next(state, src[i]);
        if (state == FW_UTF8_WRONG)
            return i;
        seen |= src[i];
    }
    text->state = state;
    text->nonascii |= seen >> 7;
    return n;
}
