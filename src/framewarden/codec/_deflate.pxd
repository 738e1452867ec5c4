# cython: language_level=3
"""permessage-deflate (RFC 7692): the payload of one message, inflated or deflated."""

from libc.stdint cimport uint64_t

from framewarden.codec._payload cimport Scratch


cdef enum:
    # What a stream takes while there is one, as measured: state, window and tables.
    DECOMPRESSOR_BYTES = 41 * 1024
    COMPRESSOR_BYTES = 270 * 1024


cdef enum Inflated:
    INFLATED_ERROR = -1
    INFLATED_OK = 0
    INFLATED_GARBAGE
    INFLATED_TOO_BIG
    INFLATED_RATIO
    INFLATED_WORK


cdef class Inflater:
    cdef object stream
    cdef readonly int window_bits
    cdef readonly bint takeover
    cdef uint64_t max_bytes
    cdef uint64_t max_ratio
    cdef uint64_t charged       # compressed bytes of this message, plus what restarts cost
    cdef uint64_t wire          # compressed bytes of this message
    cdef readonly uint64_t size     # inflated bytes of this message
    cdef list pieces            # None: none

    cdef void begin(self) noexcept
    # One piece of the compressed payload, in stream order; the last one is given its tail. Raises MemoryError.
    cdef Inflated feed(self, Scratch piece, bint last) except INFLATED_ERROR
    # The pieces that have come out since begin().
    cdef bytes take(self)
    cdef void abandon(self) noexcept
    # Bytes that are kept: the window, and what has come out.
    cdef size_t held(self) except? 0

    # Its own steps.
    cdef int put_tail(self, Scratch piece) except -1
    cdef bint ends_whole(self) except -1
    cdef Inflated inflate(self, object piece) except INFLATED_ERROR
    cdef Inflated judge(self) noexcept


cdef class Deflater:
    cdef object stream
    cdef readonly int window_bits
    cdef readonly bint takeover
    cdef readonly int level

    # size: of the payload, any buffer, in bytes.
    cdef bytes deflate(self, object payload, Py_ssize_t size)
