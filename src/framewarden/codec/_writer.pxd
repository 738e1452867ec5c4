# cython: language_level=3
"""Frames that go out."""

from libc.stdint cimport uint8_t

from framewarden.codec._payload cimport Growing


cdef class FrameWriter:
    cdef Growing out
    cdef bint client
    cdef object key_source

    # One frame with FIN set behind those that wait. Raises MemoryError, or what the key source raises; nothing of the
    # frame has been written then.
    cdef int write(self, uint8_t opcode, bint rsv1, const uint8_t *payload, size_t size) except -1
    # All that waits; b"" if nothing does.
    cdef bytes take(self)
