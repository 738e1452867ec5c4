/* Vectors of 16 bytes, for x86-64 from 2008 (Intel) or 2011 (AMD) on. SSE4.1 and POPCNT. */
#if defined(__x86_64__)

#include <immintrin.h>
#include <stdint.h>

#define FW_TARGET __attribute__((target("sse4.1,popcnt")))
#define OP static inline __attribute__((always_inline)) FW_TARGET

typedef __m128i vec;

enum { VEC = 16 };

OP vec v_load(const uint8_t *p) { return _mm_loadu_si128((const __m128i *)p); }
OP void v_store(uint8_t *p, vec v) { _mm_storeu_si128((__m128i *)p, v); }
OP vec v_splat(uint8_t byte) { return _mm_set1_epi8((char)byte); }
OP vec v_key(uint32_t key) { return _mm_set1_epi32((int)key); }
OP vec v_and(vec a, vec b) { return _mm_and_si128(a, b); }
OP vec v_or(vec a, vec b) { return _mm_or_si128(a, b); }
OP vec v_xor(vec a, vec b) { return _mm_xor_si128(a, b); }
OP vec v_sub(vec a, vec b) { return _mm_sub_epi8(a, b); }
OP vec v_subs(vec a, vec b) { return _mm_subs_epu8(a, b); }
OP vec v_max(vec a, vec b) { return _mm_max_epu8(a, b); }

/* Shifts of 16-bit lanes: bits of the neighbouring byte come in, and the caller masks them off. */
OP vec v_shl2(vec v) { return _mm_slli_epi16(v, 2); }
OP vec v_shl4(vec v) { return _mm_slli_epi16(v, 4); }
OP vec v_shl6(vec v) { return _mm_slli_epi16(v, 6); }
OP vec v_shr2(vec v) { return _mm_srli_epi16(v, 2); }
OP vec v_shr4(vec v) { return _mm_srli_epi16(v, 4); }

/* table[index] for each byte, index 0..15. */
OP vec v_table(const uint8_t table[16]) { return v_load(table); }
OP vec v_lookup(vec table, vec index) { return _mm_shuffle_epi8(table, index); }

/* The bytes one, two and three places earlier, the first ones out of the vector before. */
OP vec v_back1(vec v, vec before) { return _mm_alignr_epi8(v, before, 15); }
OP vec v_back2(vec v, vec before) { return _mm_alignr_epi8(v, before, 14); }
OP vec v_back3(vec v, vec before) { return _mm_alignr_epi8(v, before, 13); }

/* Non-zero when a byte is above 7F; when a bit is set. */
OP uint64_t v_high(vec v) { return (uint32_t)_mm_movemask_epi8(v); }
OP int v_any(vec v) { return !_mm_testz_si128(v, v); }

/* FF where a byte is no continuation. */
OP vec v_starts(vec v) { return _mm_cmpgt_epi8(v, _mm_set1_epi8(-65)); }

/* A bit for each byte that is no continuation. */
OP uint64_t v_starts_mask(vec v) { return (uint32_t)_mm_movemask_epi8(v_starts(v)); }

/* The sum of all bytes. */
OP size_t v_sum(vec v)
{
    __m128i sums = _mm_sad_epu8(v, _mm_setzero_si128());

    return (size_t)_mm_cvtsi128_si64(sums) + (size_t)_mm_extract_epi64(sums, 1);
}

#include "simd_utf8.h"

#include "x86_parts.h"

OP part v_part(vec v, int k) { return (void)k, v; }

/* Eight elements of 32 bits: the 16 bits of units, above them the bits of the eight bytes in the low half of top. */
OP void p_store_wide(uint8_t *p, part units, part top)
{
    part above = _mm_cvtepu8_epi16(top);

    p_store(p, _mm_unpacklo_epi16(units, above));
    p_store(p + 16, _mm_unpackhi_epi16(units, above));
}

/* FF (or at least the high bit) where a byte is from or above; where it is above 7F. v_select looks at the high bit. */
OP vec v_from(vec v, uint8_t from) { return _mm_cmpeq_epi8(_mm_max_epu8(v, v_splat(from)), v); }
OP vec v_from_80(vec v) { return v; }
OP vec v_select(vec mask, vec yes, vec no) { return _mm_blendv_epi8(no, yes, mask); }

#include "simd_transcode.h"

const fw_kernels fw_kernels_sse41 = {"sse41", unmask, validate, unmask_validate, measure, transcode};

#endif
