/* The oracles: masking and UTF-8 as one would write them from RFC 6455 and RFC 3629 without a thought of speed; and
 * texts to try them on, the same ones in every run. */
#ifndef OBVIOUS_H
#define OBVIOUS_H

#include <stddef.h>
#include <stdint.h>

static uint64_t random_state = 0x9E3779B97F4A7C15;

/* splitmix64 */
static inline uint32_t random_below(uint32_t limit)
{
    uint64_t z = random_state += 0x9E3779B97F4A7C15;

    z = (z ^ z >> 30) * 0xBF58476D1CE4E5B9;
    z = (z ^ z >> 27) * 0x94D049BB133111EB;
    return (uint32_t)((z ^ z >> 31) >> 32) % limit;
}

static inline void obvious_unmask(uint8_t *dst, const uint8_t *src, size_t n, const uint8_t key[4], size_t phase)
{
    for (size_t i = 0; i < n; i++)
        dst[i] = src[i] ^ key[(phase + i) % 4];
}

/* The bytes that may follow the first `have` bytes of a character: *low..*high. Returns the length of the character, 0
 * when its first byte begins none. */
static inline size_t obvious_range(const uint8_t *s, size_t have, uint8_t *low, uint8_t *high)
{
    *low = 0x80;
    *high = 0xBF;
    if (have == 1) {
        if (s[0] == 0xE0)
            *low = 0xA0;
        if (s[0] == 0xED)
            *high = 0x9F;
        if (s[0] == 0xF0)
            *low = 0x90;
        if (s[0] == 0xF4)
            *high = 0x8F;
    }
    return s[0] < 0x80 ? 1 : s[0] < 0xC2 ? 0 : s[0] < 0xE0 ? 2 : s[0] < 0xF0 ? 3 : s[0] < 0xF5 ? 4 : 0;
}

/* The index of the first wrong byte, or n; *open: the bytes of the character that the end cuts. */
static inline size_t obvious_validate(const uint8_t *s, size_t n, size_t *open)
{
    *open = 0;
    for (size_t i = 0; i < n;) {
        uint8_t low, high;
        size_t length = obvious_range(s + i, 0, &low, &high);

        if (length == 0)
            return i;
        for (size_t k = 1; k < length; k++) {
            if (i + k == n) {
                *open = k;
                return n;
            }
            obvious_range(s + i, k, &low, &high);
            if (s[i + k] < low || s[i + k] > high)
                return i + k;
        }
        i += length;
    }
    return n;
}

static inline size_t obvious_encode(uint8_t *d, uint32_t point)
{
    if (point < 0x80) {
        d[0] = (uint8_t)point;
        return 1;
    }
    if (point < 0x800) {
        d[0] = (uint8_t)(0xC0 | point >> 6);
        d[1] = (uint8_t)(0x80 | (point & 0x3F));
        return 2;
    }
    if (point < 0x10000) {
        d[0] = (uint8_t)(0xE0 | point >> 12);
        d[1] = (uint8_t)(0x80 | (point >> 6 & 0x3F));
        d[2] = (uint8_t)(0x80 | (point & 0x3F));
        return 3;
    }
    d[0] = (uint8_t)(0xF0 | point >> 18);
    d[1] = (uint8_t)(0x80 | (point >> 12 & 0x3F));
    d[2] = (uint8_t)(0x80 | (point >> 6 & 0x3F));
    d[3] = (uint8_t)(0x80 | (point & 0x3F));
    return 4;
}

/* A code point of UTF-8 length 1..longest; longest 0: below U+0100; 5: mostly ASCII. Never a surrogate. */
static inline uint32_t random_point(int longest)
{
    static const uint32_t first[5] = {0, 0, 0x80, 0x800, 0x10000}, past[5] = {0, 0x80, 0x800, 0x10000, 0x110000};

    if (longest == 0)
        return random_below(256);
    if (longest == 5 && random_below(16))
        return random_below(0x80);
    longest = longest == 5 ? 4 : longest;
    for (;;) {
        uint32_t length = 1 + random_below((uint32_t)longest);
        uint32_t point = first[length] + random_below(past[length] - first[length]);

        if (point < 0xD800 || point > 0xDFFF)
            return point;
    }
}

/* At most n bytes of valid text and no cut character, with the code points in points; returns the number of bytes. */
static inline size_t random_text(uint8_t *d, size_t n, int longest, uint32_t *points, size_t *count)
{
    size_t i = 0;

    *count = 0;
    while (i < n) {
        uint8_t bytes[4];
        uint32_t run = random_below(8) ? 1 : 1 + random_below(40); /* some long runs of one kind */
        uint32_t point = random_point(longest);

        for (; run > 0 && i < n; run--) {
            size_t length = obvious_encode(bytes, point);

            if (i + length > n) {
                point = 'x';
                continue;
            }
            for (size_t k = 0; k < length; k++)
                d[i++] = bytes[k];
            points[(*count)++] = point;
        }
    }
    return i;
}

#endif
