/* Vectors of 16 bytes on every 64-bit ARM. */
#if defined(__aarch64__)

#include <arm_neon.h>
#include <stddef.h>
#include <stdint.h>

#define FW_TARGET
#define OP static inline __attribute__((always_inline))

typedef uint8x16_t vec;

enum { VEC = 16 };

OP vec v_load(const uint8_t *p) { return vld1q_u8(p); }
OP void v_store(uint8_t *p, vec v) { vst1q_u8(p, v); }
OP vec v_splat(uint8_t byte) { return vdupq_n_u8(byte); }
OP vec v_key(uint32_t key) { return vreinterpretq_u8_u32(vdupq_n_u32(key)); }
OP vec v_and(vec a, vec b) { return vandq_u8(a, b); }
OP vec v_or(vec a, vec b) { return vorrq_u8(a, b); }
OP vec v_xor(vec a, vec b) { return veorq_u8(a, b); }
OP vec v_sub(vec a, vec b) { return vsubq_u8(a, b); }
OP vec v_subs(vec a, vec b) { return vqsubq_u8(a, b); }
OP vec v_max(vec a, vec b) { return vmaxq_u8(a, b); }

OP vec v_shl2(vec v) { return vshlq_n_u8(v, 2); }
OP vec v_shl4(vec v) { return vshlq_n_u8(v, 4); }
OP vec v_shl6(vec v) { return vshlq_n_u8(v, 6); }
OP vec v_shr2(vec v) { return vshrq_n_u8(v, 2); }
OP vec v_shr4(vec v) { return vshrq_n_u8(v, 4); }

/* table[index] for each byte, index 0..15. */
OP vec v_table(const uint8_t table[16]) { return v_load(table); }
OP vec v_lookup(vec table, vec index) { return vqtbl1q_u8(table, index); }

/* The bytes one, two and three places earlier, the first ones out of the vector before. */
OP vec v_back1(vec v, vec before) { return vextq_u8(before, v, 15); }
OP vec v_back2(vec v, vec before) { return vextq_u8(before, v, 14); }
OP vec v_back3(vec v, vec before) { return vextq_u8(before, v, 13); }

/* Non-zero when a byte is above 7F; when a bit is set. */
OP uint64_t v_high(vec v) { return vmaxvq_u8(v) & 0x80; }
OP int v_any(vec v) { return vmaxvq_u8(v) != 0; }

/* FF where a byte is no continuation. */
OP vec v_starts(vec v) { return vcgtq_s8(vreinterpretq_s8_u8(v), vdupq_n_s8(-65)); }

/* A bit for each byte that is no continuation. There is no instruction for it: one weight for each byte, and a sum. */
OP uint64_t v_starts_mask(vec v)
{
    const uint8_t weights[8] = {1, 2, 4, 8, 16, 32, 64, 128};
    uint8x8_t weight = vld1_u8(weights);
    vec weighted = vandq_u8(v_starts(v), vcombine_u8(weight, weight));

    return (uint64_t)vaddv_u8(vget_high_u8(weighted)) << 8 | vaddv_u8(vget_low_u8(weighted));
}

/* The sum of all bytes. */
OP size_t v_sum(vec v) { return vaddlvq_u8(v); }

#include "simd_utf8.h"

typedef uint8x16_t part;

OP part v_part(vec v, int k) { return (void)k, v; }
OP part p_load(const uint8_t *p) { return vld1q_u8(p); }
OP part p_load8(const uint8_t *p) { return vcombine_u8(vld1_u8(p), vdup_n_u8(0x80)); }
OP void p_store(uint8_t *p, part v) { vst1q_u8(p, v); }
OP void p_store8(uint8_t *p, part v) { vst1_u8(p, vget_low_u8(v)); }
OP part p_high_half(part v) { return vextq_u8(v, v, 8); }

/* Bytes of a and b in turns, out of their low halves; out of their high halves. */
OP part p_zip_low(part a, part b) { return vzip1q_u8(a, b); }
OP part p_zip_high(part a, part b) { return vzip2q_u8(a, b); }

/* v[index] for each byte, 0 where the index is 0x80. */
OP part p_shuffle(part v, part index) { return vqtbl1q_u8(v, index); }

/* Eight elements of 32 bits: the 16 bits of units, above them the bits of the eight bytes in the low half of top. */
OP void p_store_wide(uint8_t *p, part units, part top)
{
    uint16x8_t low = vreinterpretq_u16_u8(units);
    uint16x8_t above = vmovl_u8(vget_low_u8(top));

    p_store(p, vreinterpretq_u8_u16(vzip1q_u16(low, above)));
    p_store(p + 16, vreinterpretq_u8_u16(vzip2q_u16(low, above)));
}

/* FF where a byte is from or above; where it is above 7F. */
OP vec v_from(vec v, uint8_t from) { return vcgeq_u8(v, vdupq_n_u8(from)); }
OP vec v_from_80(vec v) { return v_from(v, 0x80); }
OP vec v_select(vec mask, vec yes, vec no) { return vbslq_u8(mask, yes, no); }

#include "simd_transcode.h"

const fw_kernels fw_kernels_neon = {"neon", unmask, validate, unmask_validate, measure, transcode};

#endif
