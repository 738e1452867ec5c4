/* transcode over vectors, written once for every instruction set; included as simd_utf8.h is, and after it.
 *
 * For every byte of a vector at once, the code point is worked out as if a character began there, from that byte and
 * the three that follow it: its low, middle and top eight bits in three vectors. Then only those where a character does
 * begin are kept and packed to the front. So no step waits for the length of the character before, and a mixture of
 * one, two and three bytes costs what a single length costs.
 *
 * Sources of the idea: R. Clausecker, D. Lemire, "Transcoding Unicode Characters with AVX-512 Instructions", 2023, who
 * keep the wanted positions with an instruction for packing; here a shuffle with a table does that. Shuffles with
 * tables for transcoding: D. Lemire, W. Mula, "Transcoding Billions of Unicode Characters per Second with SIMD
 * Instructions", 2022.
 */
#include "pack_tables.h"

typedef struct points {
    vec low;    /* bits 0..7 */
    vec middle; /* bits 8..15 */
    vec top;    /* bits 16..20 */
} points;

/* The code points that begin at each of the VEC bytes at p, out of p[0 .. VEC + 3); nonsense where none begins. A width
 * that is constant leaves out what it has no use for. */
FW_INLINE points points_at(vec first, const uint8_t *p, const int width)
{
    points at = {first, v_splat(0), v_splat(0)};
    vec last = v_load(p + 1); /* the last byte of the character that begins here */
    vec before_last = first;  /* and the byte before the last */
    vec third = first;        /* and before that one */
    vec is_three = first, is_four = first;

    if (width > 1) {
        is_three = v_from(first, 0xE0);
        before_last = v_select(is_three, last, before_last);
        last = v_select(is_three, v_load(p + 2), last);
    }
    if (width > 2) {
        is_four = v_from(first, 0xF0);
        third = v_select(is_four, v_load(p + 1), first);
        before_last = v_select(is_four, v_load(p + 2), before_last);
        last = v_select(is_four, v_load(p + 3), last);
    }

    vec beyond_ascii = v_from_80(first);
    vec low = v_or(v_and(last, v_splat(0x3F)), v_and(v_shl6(before_last), v_splat(0xC0)));

    at.low = v_select(beyond_ascii, low, first);
    if (width > 1) {
        vec middle = v_or(v_and(v_shr2(before_last), v_splat(0x0F)),
                          v_and(v_and(v_shl4(third), v_splat(0xF0)), is_three));

        at.middle = v_select(beyond_ascii, middle, v_splat(0));
    }
    if (width > 2) {
        vec top = v_or(v_and(v_shr4(third), v_splat(0x03)), v_and(v_shl2(first), v_splat(0x1C)));

        at.top = v_and(top, is_four);
    }
    return at;
}

/* Write eight code points of width bytes, out of eight bytes of each plane (in the low half of top; low and middle are
 * already zipped to units of 16 bits, or for width 1 are just low). */
FW_INLINE void put_eight(uint8_t *d, part units, part top, const int width)
{
    if (width == 1)
        p_store8(d, units);
    else if (width == 2)
        p_store(d, units);
    else
        p_store_wide(d, units, top);
}

/* Write the wanted of eight code points, and whatever behind them, up to eight in all. */
FW_INLINE uint8_t *pack_eight(uint8_t *d, part units, part top, uint32_t wanted, const int width)
{
    if (width == 1)
        units = p_shuffle(units, p_load8(fw_pack8[wanted]));
    else
        units = p_shuffle(units, p_load(fw_pack16[wanted]));
    if (width == 4)
        top = p_shuffle(top, p_load8(fw_pack8[wanted]));
    put_eight(d, units, top, width);
    return d + width * __builtin_popcount(wanted);
}

/* The characters that begin at those of the VEC bytes at p whose bit is set in within. Reads p[0 .. VEC + 3) and may
 * write VEC elements; returns the end of those that count. */
FW_INLINE uint8_t *transcode_step(uint8_t *d, const uint8_t *p, uint64_t within, const int width)
{
    vec first = v_load(p);
    uint64_t wanted = v_starts_mask(first) & within;
    points at = {first, v_splat(0), v_splat(0)};
    const int ascii = !v_high(first);

    if (!ascii)
        at = points_at(first, p, width);
    for (int k = 0; k < VEC / 16; k++) {
        part low = v_part(at.low, k), middle = v_part(at.middle, k), top = v_part(at.top, k);
        part units_1 = width == 1 ? low : p_zip_low(low, middle);
        part units_2 = width == 1 ? p_high_half(low) : p_zip_high(low, middle);

        if (ascii) {
            put_eight(d + 16 * k * width, units_1, top, width);
            put_eight(d + (16 * k + 8) * width, units_2, top, width);
        } else {
            d = pack_eight(d, units_1, top, wanted >> 16 * k & 0xFF, width);
            d = pack_eight(d, units_2, p_high_half(top), wanted >> (16 * k + 8) & 0xFF, width);
        }
    }
    return ascii ? d + width * __builtin_popcountll(wanted) : d;
}

/* The same where the source or the room in dst ends near: by way of buffers, so that nothing outside is touched. */
FW_INLINE uint8_t *transcode_edge(uint8_t *d, const uint8_t *src, size_t n, const int width)
{
    uint8_t from[VEC + 3] = {0};
    uint8_t to[VEC * 4];
    uint64_t within = n < VEC ? (UINT64_C(1) << n) - 1 : UINT64_MAX;

    if (n < sizeof from)
        src = memcpy(from, src, n);

    size_t written = (size_t)(transcode_step(to, src, within, width) - to);

    memcpy(d, to, written);
    return d + written;
}

FW_INLINE void transcode_width(uint8_t *d, const uint8_t *src, size_t n, size_t size, const int width)
{
    const uint8_t *end = d + size * width;
    size_t i = 0;

    while (n - i >= VEC + 3 && end - d >= VEC * width) {
        d = transcode_step(d, src + i, UINT64_MAX, width);
        i += VEC;
    }
    for (; i < n; i += VEC)
        d = transcode_edge(d, src + i, n - i, width);
}

FW_TARGET static void transcode(void *dst, const uint8_t *src, size_t n, fw_text_size size)
{
    if (size.width == 1)
        transcode_width(dst, src, n, size.points, 1);
    else if (size.width == 2)
        transcode_width(dst, src, n, size.points, 2);
    else
        transcode_width(dst, src, n, size.points, 4);
}
