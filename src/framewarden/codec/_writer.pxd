# cython: language_level=3
"""Messages to frames that go out."""

from libc.stdint cimport uint8_t

from framewarden.codec._deflate cimport Deflater
from framewarden.codec._payload cimport Growing


cdef class Prepared:
    cdef readonly bint text
    cdef readonly bytes payload
    cdef dict deflated      # (level, window bits): payload compressed without history; None: none yet

    cdef bytes deflated_by(self, Deflater deflater)


cdef class MessageWriter:
    cdef Growing out
    cdef list pieces        # what goes before out; None: nothing
    cdef size_t piece_bytes
    cdef bint client
    cdef object key_source
    cdef Deflater deflater      # None: compression was not negotiated
    cdef Py_ssize_t deflate_from
    cdef uint8_t fragmented     # opcode of the fragmented message that has begun; 0: none
    cdef bint beginning_lost    # of the message that is being sent in fragments: it cannot be ended

    # A control frame, or one that is made by the rest: first has FIN, RSV1 and the opcode. Each of these raises
    # MemoryError, or what the key source raises; nothing of the frame has been written then.
    cdef int write_frame(self, uint8_t first, const uint8_t *payload, size_t size) except -1
    # A message in one frame. payload: what data points into; bytes of 64 KiB and more are not copied.
    cdef int write_message(self, uint8_t opcode, object payload, const uint8_t *data, size_t size) except -1
    cdef int write_fragment(
        self, uint8_t opcode, object payload, const uint8_t *data, size_t size, bint final
    ) except -1
    cdef int write_prepared(self, Prepared message) except -1
    # All that waits; b"" and [] if nothing does.
    cdef bytes take(self)
    cdef list take_pieces(self)
    # After a MemoryError: nothing of what waits is sent, and nothing later refers to it.
    cdef void drop(self) noexcept
    # Bytes that wait, and bytes that are kept: these, and the window of a compressor.
    cdef size_t waiting(self) noexcept
    cdef size_t held(self) noexcept

    # Its own steps.
    cdef int write_plain(self, uint8_t first, object payload, const uint8_t *data, size_t size) except -1
    cdef int append_piece(self, bytes piece) except -1


# UTF-8, or an ArgumentError that does not quote the text.
cdef bytes encode_text(str text)
