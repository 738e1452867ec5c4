/* framewarden kernels: the three passes over payload bytes that everything else is built on.
 *
 * C11, no Python.h. Every function may be given any alignment, reads nothing outside [src, src + n) and writes
 * nothing outside [dst, dst + n). n == 0 is allowed with any pointers. No function allocates, none keeps state
 * outside its arguments.
 *
 * One table of functions per instruction set; fw_kernels_available() gives those that this CPU supports, best first.
 * Two calls on the same text may go to different tables.
 */
#ifndef FW_KERNELS_H
#define FW_KERNELS_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* What must be remembered of a UTF-8 text between two calls; all zero at the start of a text.
 *
 * state     0 between two characters; any other value: inside a character (its meaning is private and the same
 *           for every implementation, so that a text may be begun by one and ended by another).
 * nonascii  0 as long as every byte seen was below 0x80, else 1.
 */
typedef struct fw_utf8 {
    uint32_t state;
    uint32_t nonascii;
} fw_utf8;

/* Text that has been measured: how many code points, and the width in bytes (1, 2 or 4) of the narrowest array that
 * holds each of them: 1 up to U+00FF, 2 up to U+FFFF, 4 above. */
typedef struct fw_text_size {
    size_t points;
    uint32_t width;
} fw_text_size;

typedef struct fw_kernels {
    /* "scalar", "sse41", "avx2", "neon". */
    const char *name;

    /* RFC 6455 5.3: dst[i] = src[i] ^ key[(phase + i) % 4]. key is the masking-key as the four octets stand on the
     * wire, read with memcpy. dst == src unmasks in place; the two must not overlap otherwise. key == 0 copies. */
    void (*unmask)(uint8_t *dst, const uint8_t *src, size_t n, uint32_t key, size_t phase);

    /* RFC 3629. Goes on from *text. Returns n when no byte is wrong so far (the text may end inside a character:
     * text->state != 0 then), else the index of the first byte that cannot stand where it stands (no continuation of
     * the bytes before it is valid UTF-8); *text is then unspecified. */
    size_t (*validate)(fw_utf8 *text, const uint8_t *src, size_t n);

    /* unmask and validate in one pass; result and *text as in validate. After a failure the content of dst is
     * unspecified. dst == src is allowed. */
    size_t (*unmask_validate)(fw_utf8 *text, uint8_t *dst, const uint8_t *src, size_t n, uint32_t key, size_t phase);

    /* Sizes of a whole, valid text. */
    fw_text_size (*measure)(const uint8_t *src, size_t n);

    /* A whole, valid text into an array of size.points elements of size.width bytes, in the machine's byte order; size
     * is what measure said. dst must not overlap src, and is aligned to size.width. */
    void (*transcode)(void *dst, const uint8_t *src, size_t n, fw_text_size size);
} fw_kernels;

/* The implementations that this build has and this CPU supports, best first, ended by NULL. The last is "scalar". */
const fw_kernels *const *fw_kernels_available(void);

/* The one called name if it is available here, else NULL. */
const fw_kernels *fw_kernels_find(const char *name);

#ifdef __cplusplus
}
#endif
#endif
