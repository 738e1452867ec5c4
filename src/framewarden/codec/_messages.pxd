# cython: language_level=3
"""Bytes to frames to messages."""

from libc.stdint cimport uint8_t, uint32_t, uint64_t

from framewarden.codec._deflate cimport Inflater
from framewarden.codec._payload cimport Growing, Kind, Scratch
from framewarden.kernels._kernels cimport fw_utf8


cdef enum Step:
    STEP_ERROR = -1     # a Python exception is set
    NEED_DATA = 0       # the buffer is used up
    MESSAGE         # payload and the message_* fields describe a message
    PING            # payload: bytes
    PONG            # payload: bytes
    CLOSE           # close_code, payload: the reason as str
    FAULT           # fault and fault_offset; nothing may be read any more


cdef enum Fault:    # in the order of FAULT_RULES in the .pyx
    FAULT_ERROR = -1
    NO_FAULT = 0
    RESERVED_BITS
    RESERVED_OPCODE
    RSV1_ON_CONTROL
    RSV1_ON_CONTINUATION
    FRAGMENTED_CONTROL
    UNEXPECTED_CONTINUATION
    INTERLEAVED_MESSAGE
    CONTROL_FLOOD
    TOO_MANY_FRAGMENTS
    UNMASKED_FRAME
    MASKED_FRAME
    OVERSIZED_CONTROL
    CLOSE_LENGTH
    LENGTH_HIGH_BIT
    LENGTH_NOT_MINIMAL
    FRAME_TOO_BIG
    MESSAGE_TOO_BIG
    EMPTY_FRAGMENTS
    INVALID_UTF8
    CLOSE_CODE
    CLOSE_REASON_UTF8
    DEFLATE_DATA
    INFLATED_TOO_BIG_FAULT
    INFLATE_RATIO
    INFLATE_WORK


cdef struct Caps:   # bounds in bytes and in frames; see framewarden.Limits
    uint64_t frame_bytes
    uint64_t message_bytes
    uint32_t fragments
    uint32_t control_run
    uint32_t empty_run


cdef class MessageReader:
    # What it was told.
    cdef bint server
    cdef uint8_t mask_bit           # MASK as it must be
    cdef size_t key_size            # bytes of masking-key in a header
    cdef Caps caps
    cdef Kind text_kind
    cdef Kind binary_kind
    cdef object clock
    cdef Inflater inflater          # None: compression was not negotiated
    # Where it stands in the buffer of this call, and in the stream.
    cdef const uint8_t *start
    cdef const uint8_t *cursor
    cdef const uint8_t *end
    cdef uint64_t consumed          # bytes of the stream before start
    # The frame.
    cdef uint8_t head[14]           # of a header that is not whole yet
    cdef uint8_t head_size
    cdef bint in_payload
    cdef bint fin
    cdef uint8_t opcode
    cdef uint32_t key
    cdef uint64_t frame_offset
    cdef uint64_t frame_size
    cdef uint64_t remaining         # payload bytes of the frame that have not come
    cdef uint8_t control[125]
    # The message; opcode 0: none has begun.
    cdef uint8_t message_opcode
    cdef bint compressed
    cdef Kind kind
    cdef uint64_t message_offset
    cdef uint64_t wire_size         # declared payload of its frames so far
    cdef uint64_t message_size      # payload as delivered
    cdef uint32_t fragments
    cdef fw_utf8 text
    cdef Growing growing
    cdef Scratch piece              # compressed bytes that wait to be inflated
    cdef Py_ssize_t judged_pieces   # of what the inflater has put out, how many are known to be text
    cdef uint32_t empty_run
    cdef uint32_t control_run
    cdef double control_run_began
    # What the last step found.
    cdef object payload
    cdef uint8_t step_opcode
    cdef int close_code
    cdef Fault fault
    cdef uint64_t fault_offset

    cdef void begin(self, const uint8_t *data, size_t size) noexcept
    cdef Step next(self) except STEP_ERROR
    # Bytes of unfinished messages, and of the window, that are kept.
    cdef size_t held(self) except? 0
    cdef uint64_t finish(self) noexcept
    cdef void abandon(self) noexcept
