/* Vectors of 32 bytes: Intel from Haswell (2013), AMD from Excavator (2015) on. */
#if defined(__x86_64__)

#include <immintrin.h>
#include <stdint.h>

#define FW_TARGET __attribute__((target("avx2,popcnt")))
#define OP static inline __attribute__((always_inline)) FW_TARGET

typedef __m256i vec;

enum { VEC = 32 };

OP vec v_load(const uint8_t *p) { return _mm256_loadu_si256((const __m256i *)p); }
OP void v_store(uint8_t *p, vec v) { _mm256_storeu_si256((__m256i *)p, v); }
OP vec v_splat(uint8_t byte) { return _mm256_set1_epi8((char)byte); }
OP vec v_key(uint32_t key) { return _mm256_set1_epi32((int)key); }
OP vec v_and(vec a, vec b) { return _mm256_and_si256(a, b); }
OP vec v_or(vec a, vec b) { return _mm256_or_si256(a, b); }
OP vec v_xor(vec a, vec b) { return _mm256_xor_si256(a, b); }
OP vec v_sub(vec a, vec b) { return _mm256_sub_epi8(a, b); }
OP vec v_subs(vec a, vec b) { return _mm256_subs_epu8(a, b); }
OP vec v_max(vec a, vec b) { return _mm256_max_epu8(a, b); }

/* Shifts of 16-bit lanes: bits of the neighbouring byte come in, and the caller masks them off. */
OP vec v_shl2(vec v) { return _mm256_slli_epi16(v, 2); }
OP vec v_shl4(vec v) { return _mm256_slli_epi16(v, 4); }
OP vec v_shl6(vec v) { return _mm256_slli_epi16(v, 6); }
OP vec v_shr2(vec v) { return _mm256_srli_epi16(v, 2); }
OP vec v_shr4(vec v) { return _mm256_srli_epi16(v, 4); }

/* table[index] for each byte, index 0..15. */
OP vec v_table(const uint8_t table[16])
{
    return _mm256_broadcastsi128_si256(_mm_loadu_si128((const __m128i *)table));
}
OP vec v_lookup(vec table, vec index) { return _mm256_shuffle_epi8(table, index); }

/* The bytes one, two and three places earlier, the first ones out of the vector before. */
OP vec v_joint(vec v, vec before) { return _mm256_permute2x128_si256(before, v, 0x21); }
OP vec v_back1(vec v, vec before) { return _mm256_alignr_epi8(v, v_joint(v, before), 15); }
OP vec v_back2(vec v, vec before) { return _mm256_alignr_epi8(v, v_joint(v, before), 14); }
OP vec v_back3(vec v, vec before) { return _mm256_alignr_epi8(v, v_joint(v, before), 13); }

/* Non-zero when a byte is above 7F; when a bit is set. */
OP uint64_t v_high(vec v) { return (uint32_t)_mm256_movemask_epi8(v); }
OP int v_any(vec v) { return !_mm256_testz_si256(v, v); }

/* FF where a byte is no continuation. */
OP vec v_starts(vec v) { return _mm256_cmpgt_epi8(v, _mm256_set1_epi8(-65)); }

/* A bit for each byte that is no continuation. */
OP uint64_t v_starts_mask(vec v) { return (uint32_t)_mm256_movemask_epi8(v_starts(v)); }

/* The sum of all bytes. */
OP size_t v_sum(vec v)
{
    __m256i sums = _mm256_sad_epu8(v, _mm256_setzero_si256());
    __m128i both = _mm_add_epi64(_mm256_castsi256_si128(sums), _mm256_extracti128_si256(sums, 1));

    return (size_t)_mm_cvtsi128_si64(both) + (size_t)_mm_extract_epi64(both, 1);
}

#include "simd_utf8.h"

#include "x86_parts.h"

OP part v_part(vec v, int k) { return k ? _mm256_extracti128_si256(v, 1) : _mm256_castsi256_si128(v); }

/* Eight elements of 32 bits: the 16 bits of units, above them the bits of the eight bytes in the low half of top. */
OP void p_store_wide(uint8_t *p, part units, part top)
{
    vec above = _mm256_slli_epi32(_mm256_cvtepu8_epi32(top), 16);

    v_store(p, v_or(_mm256_cvtepu16_epi32(units), above));
}

/* FF (or at least the high bit) where a byte is from or above; where it is above 7F. v_select looks at the high bit. */
OP vec v_from(vec v, uint8_t from) { return _mm256_cmpeq_epi8(_mm256_max_epu8(v, v_splat(from)), v); }
OP vec v_from_80(vec v) { return v; }
OP vec v_select(vec mask, vec yes, vec no) { return _mm256_blendv_epi8(no, yes, mask); }

#include "simd_transcode.h"

const fw_kernels fw_kernels_avx2 = {"avx2", unmask, validate, unmask_validate, measure, transcode};

#endif
