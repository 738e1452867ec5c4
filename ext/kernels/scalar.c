/* Words of eight bytes and the state machine: for any CPU, and the oracle of the others in the C tests. */
#include "implementations.h"
#include "utf8_dfa.h"
#include "words.h"

static void unmask(uint8_t *dst, const uint8_t *src, size_t n, uint32_t key, size_t phase)
{
    key = fw_key_at(key, phase);

    uint64_t twice = fw_key_twice(key);

    for (; n >= 32; n -= 32, src += 32, dst += 32)
        for (size_t i = 0; i < 32; i += 8)
            fw_store64(dst + i, fw_load64(src + i) ^ twice);
    fw_words_unmask(dst, src, n, key, 1);
}

static size_t validate(fw_utf8 *text, const uint8_t *src, size_t n)
{
    uint32_t state = text->state;
    size_t i = 0;

    for (; n - i >= 8; i += 8) {
        if (state == FW_UTF8_BOUNDARY && (fw_load64(src + i) & FW_HIGH_BITS) == 0)
            continue;

        uint32_t next = state;

        for (size_t k = 0; k < 8; k++)
            next = fw_utf8_next(next, src[i + k]);
        if (next == FW_UTF8_WRONG)
            break; /* the walk below finds the index */
        state = next;
        text->nonascii = 1;
    }
    text->state = state;
    return i + fw_utf8_walk(text, src + i, n - i);
}

static size_t unmask_validate(fw_utf8 *text, uint8_t *dst, const uint8_t *src, size_t n, uint32_t key, size_t phase)
{
    /* Blocks that stay in the first-level cache; a multiple of four, so that the phase does not change. */
    const size_t block = 4096;

    for (size_t i = 0; i < n; i += block) {
        size_t length = n - i < block ? n - i : block;

        unmask(dst + i, src + i, length, key, phase);

        size_t good = validate(text, dst + i, length);

        if (good != length)
            return i + good;
    }
    return n;
}

static fw_text_size measure(const uint8_t *src, size_t n)
{
    fw_text_size size = {0, 1};
    uint8_t highest = 0;

    for (size_t i = 0; i < n; i++) {
        size.points += !fw_utf8_is_tail(src[i]);
        highest = src[i] > highest ? src[i] : highest;
    }
    /* C4 begins U+0100, F0 begins U+10000, and bytes that begin no character are lower than both. */
    size.width = highest >= 0xF0 ? 4 : highest >= 0xC4 ? 2 : 1;
    return size;
}

/* The code point that starts at *p of a valid text; *p goes to the next one. */
static inline uint32_t take_point(const uint8_t **p)
{
    const uint8_t *s = *p;

    if (s[0] < 0x80) {
        *p += 1;
        return s[0];
    }
    if (s[0] < 0xE0) {
        *p += 2;
        return (s[0] & 0x1Fu) << 6 | (s[1] & 0x3Fu);
    }
    if (s[0] < 0xF0) {
        *p += 3;
        return (s[0] & 0x0Fu) << 12 | (s[1] & 0x3Fu) << 6 | (s[2] & 0x3Fu);
    }
    *p += 4;
    return (s[0] & 0x07u) << 18 | (s[1] & 0x3Fu) << 12 | (s[2] & 0x3Fu) << 6 | (s[3] & 0x3Fu);
}

static void transcode(void *dst, const uint8_t *src, size_t n, fw_text_size size)
{
    (void)n; /* points and bytes end together */
    if (size.width == 1) {
        for (uint8_t *d = dst, *end = d + size.points; d != end; d++)
            *d = (uint8_t)take_point(&src);
    } else if (size.width == 2) {
        for (uint16_t *d = dst, *end = d + size.points; d != end; d++)
            *d = (uint16_t)take_point(&src);
    } else {
        for (uint32_t *d = dst, *end = d + size.points; d != end; d++)
            *d = take_point(&src);
    }
}

const fw_kernels fw_kernels_scalar = {"scalar", unmask, validate, unmask_validate, measure, transcode};
