# cython: language_level=3
"""The C kernels for other compiled modules; the only ``cdef extern`` of ``fw_kernels.h``.

Call through the shared table, which ``use()`` may replace at any time::

    from framewarden.kernels cimport _kernels
    good = _kernels.active_kernels.unmask_validate(&text, dst, src, n, key, phase)
"""

from libc.stdint cimport uint8_t, uint32_t


cdef extern from "fw_kernels.h" nogil:
    ctypedef struct fw_utf8:
        uint32_t state
        uint32_t nonascii

    ctypedef struct fw_text_size:
        size_t points
        uint32_t width

    ctypedef struct fw_kernels:
        const char *name
        void (*unmask)(uint8_t *dst, const uint8_t *src, size_t n, uint32_t key, size_t phase) noexcept nogil
        size_t (*validate)(fw_utf8 *text, const uint8_t *src, size_t n) noexcept nogil
        size_t (*unmask_validate)(fw_utf8 *text, uint8_t *dst, const uint8_t *src, size_t n, uint32_t key,
                                  size_t phase) noexcept nogil
        fw_text_size (*measure)(const uint8_t *src, size_t n) noexcept nogil
        void (*transcode)(void *dst, const uint8_t *src, size_t n, fw_text_size size) noexcept nogil

    const fw_kernels *const *fw_kernels_available() noexcept
    const fw_kernels *fw_kernels_find(const char *name) noexcept


# The implementation in use. Never NULL once the module is imported.
cdef const fw_kernels *active_kernels

# A str of n bytes of whole, valid UTF-8. ascii: all bytes are known to be below 0x80 (False: not known).
# Raises MemoryError.
cdef str str_from_valid_utf8(const uint8_t *p, size_t n, bint ascii)
