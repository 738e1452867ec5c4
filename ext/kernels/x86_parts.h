/* What simd_transcode.h asks of half a vector on x86: 16 bytes, in the encoding of whoever includes this. */
typedef __m128i part;

OP part p_load(const uint8_t *p) { return _mm_loadu_si128((const __m128i *)p); }
OP part p_load8(const uint8_t *p) { return _mm_loadl_epi64((const __m128i *)p); }
OP void p_store(uint8_t *p, part v) { _mm_storeu_si128((__m128i *)p, v); }
OP void p_store8(uint8_t *p, part v) { _mm_storel_epi64((__m128i *)p, v); }
OP part p_high_half(part v) { return _mm_unpackhi_epi64(v, v); }

/* Bytes of a and b in turns, out of their low halves; out of their high halves. */
OP part p_zip_low(part a, part b) { return _mm_unpacklo_epi8(a, b); }
OP part p_zip_high(part a, part b) { return _mm_unpackhi_epi8(a, b); }

/* v[index] for each byte, 0 where the index is 0x80. */
OP part p_shuffle(part v, part index) { return _mm_shuffle_epi8(v, index); }
