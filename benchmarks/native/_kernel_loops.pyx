# cython: language_level=3, boundscheck=False, wraparound=False
"""The kernels of framewarden and memcpy over the same bytes, without a Python call in between."""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_GET_SIZE
from libc.stdint cimport uint8_t, uint32_t
from libc.stdlib cimport free
from libc.string cimport memcpy

from framewarden.kernels._kernels cimport active_kernels, fw_utf8


cdef extern from "<stdlib.h>" nogil:
    int posix_memalign(void **memory, size_t alignment, size_t size)

cdef enum:
    PAGE = 4096


cdef class Bench:
    """One payload as it stands on the wire, and room for it, both in the CPU's cache after the first pass.

    Both begin at fixed places of a page, half a page apart: with some distances between source and target, memcpy by
    ``rep movsb`` falls to a twentieth of its speed on some CPUs, and would make any kernel look good.
    """

    cdef uint8_t *_memory
    cdef uint8_t *_src
    cdef uint8_t *_dst
    cdef size_t _size
    cdef uint32_t _key

    def __cinit__(self, bytes masked, bytes key):
        cdef void *memory = NULL
        cdef size_t room
        if PyBytes_GET_SIZE(key) != 4:
            raise ValueError("a masking-key has 4 bytes")
        self._size = <size_t>PyBytes_GET_SIZE(masked)
        room = (self._size // PAGE + 1) * PAGE
        if posix_memalign(&memory, PAGE, 2 * room + PAGE):
            raise MemoryError
        self._memory = self._src = <uint8_t *>memory
        self._dst = self._src + room + PAGE // 2
        memcpy(self._src, PyBytes_AS_STRING(masked), self._size)
        memcpy(&self._key, PyBytes_AS_STRING(key), 4)

    def __dealloc__(self):
        free(self._memory)

    def memcpy(self, int times):
        """Copy the payload ``times`` times."""
        for _ in range(times):
            memcpy(self._dst, self._src, self._size)

    def unmask(self, int times):
        """Unmask the payload ``times`` times."""
        for _ in range(times):
            active_kernels.unmask(self._dst, self._src, self._size, self._key, 0)

    def unmask_validate(self, int times):
        """Unmask the payload and judge its UTF-8 ``times`` times, in one pass each. Raises ValueError if it is not."""
        cdef fw_utf8 text
        cdef size_t judged
        for _ in range(times):
            text.state = 0
            text.nonascii = 0
            judged = active_kernels.unmask_validate(&text, self._dst, self._src, self._size, self._key, 0)
            if judged != self._size or text.state != 0:
                raise ValueError("not UTF-8")
