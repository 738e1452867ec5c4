# cython: language_level=3, boundscheck=False, wraparound=False, initializedcheck=False, cdivision=True
# cython: auto_pickle=False
"""Bytes to frames to messages: RFC 6455 5 and RFC 7692 6, resumable at any byte.

The owner gives a buffer (``begin``), asks for one step after another (``next``) and takes the buffer back (``finish``).
A step is a whole message, a whole control frame, the first broken rule, or the end of the buffer. Nothing of the buffer
is referred to afterwards: a payload is unmasked straight into the object that the step hands over, which grows with the
bytes that came and never with the bytes that were declared.

Rules are judged in the order of the bytes, each as soon as its byte is there, so that verdict and offset do not depend
on how the stream was cut. Functions return a Fault, not an exception: one hostile frame costs no more than a good one.
"""

cimport cython
from libc.stdint cimport uint8_t, uint64_t
from libc.string cimport memcpy

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from cpython.object cimport PyObject

from framewarden.codec._deflate cimport (
    INFLATED_GARBAGE,
    INFLATED_RATIO,
    INFLATED_TOO_BIG,
    INFLATED_WORK,
    Inflated,
    Inflater,
)
from framewarden.codec._payload cimport (
    BYTES,
    NOTHING,
    SCRATCH,
    STR,
    Scratch,
    borrow_scratch,
    give_back,
    growing_clear,
    growing_finish,
    growing_reserve,
)
from framewarden.kernels cimport _kernels

cdef extern from "Python.h":
    str PyUnicode_New(Py_ssize_t, Py_UCS4)
    uint8_t *PyUnicode_1BYTE_DATA(PyObject *) noexcept

cdef enum:
    CONTINUATION = 0x0
    TEXT = 0x1
    BINARY = 0x2
    CLOSE_FRAME = 0x8
    PING_FRAME = 0x9
    PONG_FRAME = 0xA

    FIN = 0x80
    RSV1 = 0x40
    RSV = 0x70
    CONTROL = 0x08
    MASK = 0x80

    LARGEST_CONTROL = 125       # RFC 6455 5.5
    NO_STATUS_RCVD = 1005       # RFC 6455 7.4.1

cdef size_t PIECE = 16 * 1024   # compressed bytes that are inflated at once
cdef enum:
    BLOCK = 4 * 1024    # bytes that are judged at once when nothing is kept of them

cdef uint8_t block[BLOCK]       # where they are unmasked to

FAULT_RULES = (
    "",
    "reserved-bits",
    "reserved-opcode",
    "rsv1-on-control",
    "rsv1-on-continuation",
    "fragmented-control",
    "unexpected-continuation",
    "interleaved-message",
    "control-flood",
    "too-many-fragments",
    "unmasked-frame",
    "masked-frame",
    "oversized-control",
    "close-length",
    "length-high-bit",
    "length-not-minimal",
    "frame-too-big",
    "message-too-big",
    "empty-fragments",
    "invalid-utf8",
    "close-code",
    "close-reason-utf8",
    "deflate-data",
    "inflated-too-big",
    "inflate-ratio",
    "inflate-work",
)
"""The rule's id (framewarden.rules) of each Fault."""


cdef inline bint may_be_sent(int code) noexcept:
    """RFC 6455 7.4.1, 7.4.2 and the IANA registry: close codes that may stand in a Close frame."""
    if code < 3000:
        return 1000 <= code <= 1003 or 1007 <= code <= 1014
    return code <= 4999


def is_close_code(int code) -> bool:
    """Whether a Close frame may carry this code (RFC 6455 7.4)."""
    return may_be_sent(code)


@cython.final
cdef class MessageReader:
    """The inbound half of a connection, without any policy but the RFC's MUSTs and the caps it was given.

    Args:
        server: frames must be masked; otherwise they must not be (RFC 6455 5.1).
        inflater: None: RSV1 is not defined.
        clock: seconds; asked at control frames only.
    """

    def __cinit__(self, bint server, Inflater inflater, object clock):
        self.server = server
        self.mask_bit = MASK if server else 0
        self.key_size = 4 if server else 0
        self.inflater = inflater
        self.clock = clock
        self.text_kind = STR
        self.binary_kind = BYTES

    def __dealloc__(self):
        growing_clear(&self.growing)

    cdef size_t held(self) except? 0:
        cdef size_t held = self.growing.capacity
        if self.piece is not None:
            held += self.piece.capacity
        if self.inflater is not None:
            held += self.inflater.held()
        return held

    cdef void begin(self, const uint8_t *data, size_t size) noexcept:
        self.start = self.cursor = data
        self.end = data + size

    cdef uint64_t finish(self) noexcept:
        """Let go of the buffer, and of the scratch; returns how many bytes of the stream have been read in all."""
        self.payload = None
        self.consumed += <uint64_t>(self.cursor - self.start)
        self.start = self.cursor = self.end = NULL
        return self.consumed

    cdef void abandon(self) noexcept:
        """Nothing more will be read: let go of what was begun."""
        growing_clear(&self.growing)
        self.piece = None
        self.payload = None
        if self.inflater is not None:
            self.inflater.abandon()

    cdef Step next(self) except STEP_ERROR:
        cdef Step step
        if begins_usual(self):
            step = read_whole(self, <size_t>self.remaining)
            return finish_message(self) if step == MESSAGE else step
        while True:
            if not self.in_payload:
                step = read_header(self)
                if step != MESSAGE:
                    return step
                self.in_payload = True
            if self.opcode & CONTROL:
                return read_control(self)
            step = read_compressed(self) if self.compressed else read_data(self)
            if step != MESSAGE:
                return step
            self.in_payload = False
            if self.fin:
                return finish_message(self)


# ---- 5.2. Base Framing Protocol

cdef inline uint64_t position(MessageReader reader) noexcept:
    return reader.consumed + <uint64_t>(reader.cursor - reader.start)


cdef Step fail(MessageReader reader, Fault fault, uint64_t offset) noexcept:
    reader.fault = fault
    reader.fault_offset = offset
    return FAULT


cdef inline bint begins_usual(MessageReader reader) noexcept:
    """Whether the buffer goes on with what nearly all frames are: a whole message in one frame, plain, below 64 KiB,
    all of it in the buffer, with a header that no rule can find fault with. Then the header has been read; else nothing
    has, and read_header() judges it rule by rule. This is a third of the instructions."""
    cdef const uint8_t *head = reader.cursor
    cdef size_t available = <size_t>(reader.end - head)
    cdef size_t size, header
    if reader.in_payload or reader.message_opcode or reader.head_size or available < 14:
        return False
    if head[0] != FIN | TEXT and head[0] != FIN | BINARY:
        return False
    size = head[1] ^ reader.mask_bit
    header = 2 + reader.key_size
    if size == 126:
        size = <size_t>head[2] << 8 | head[3]
        header += 2
        if size < 126:
            return False
    elif size > 125:    # 127, or the wrong MASK
        return False
    if size > available - header or size > reader.caps.frame_bytes or size > reader.caps.message_bytes:
        return False
    reader.frame_offset = position(reader)
    reader.opcode = head[0] & 0x0F
    reader.fin = True
    begin_message(reader, False)
    reader.frame_size = reader.remaining = reader.wire_size = size
    reader.empty_run = reader.control_run = 0
    if reader.key_size:
        memcpy(&reader.key, head + header - 4, 4)
    reader.cursor += header
    return True


cdef Step fail_by_length(MessageReader reader, Fault fault, size_t extended) noexcept:
    """The offset is that of the extended length, or of the second byte where there is none."""
    return fail(reader, fault, reader.frame_offset + (2 if extended else 1))


cdef inline Step read_header(MessageReader reader) except STEP_ERROR:
    """MESSAGE when the header is whole (cursor stands behind it), else NEED_DATA or FAULT."""
    cdef Fault fault
    cdef size_t available = <size_t>(reader.end - reader.cursor)
    cdef const uint8_t *head = reader.cursor
    cdef size_t extended, size
    if reader.head_size or available < 2:
        return resume_header(reader)
    reader.frame_offset = position(reader)
    fault = judge_first(reader, head[0])
    if fault:
        return fail(reader, fault, reader.frame_offset)
    fault = judge_second(reader, head[1])
    if fault:
        return fail(reader, fault, reader.frame_offset + 1)
    extended = extended_size(head[1])
    size = 2 + extended + reader.key_size
    if available < size:
        return keep_header(reader)
    fault = judge_length(reader, head)
    if fault:
        return fail_by_length(reader, fault, extended)
    if reader.key_size:
        memcpy(&reader.key, head + 2 + extended, 4)
    reader.cursor += size
    return MESSAGE


cdef Step keep_header(MessageReader reader) except STEP_ERROR:
    """The buffer ends inside a header of which two bytes have been judged: go on byte by byte."""
    cdef Fault fault
    memcpy(reader.head, reader.cursor, 2)
    reader.head_size = 2
    reader.cursor += 2
    if extended_size(reader.head[1]) == 0:
        fault = judge_length(reader, reader.head)
        if fault:
            return fail_by_length(reader, fault, 0)
    return resume_header(reader)


cdef Step resume_header(MessageReader reader) except STEP_ERROR:
    """A header that arrives in pieces, one byte after the other, each judged when it is there."""
    cdef Fault fault
    cdef size_t extended, whole
    while reader.cursor < reader.end:
        if reader.head_size == 0:
            reader.frame_offset = position(reader)
        reader.head[reader.head_size] = reader.cursor[0]
        reader.head_size += 1
        reader.cursor += 1
        if reader.head_size == 1:
            fault = judge_first(reader, reader.head[0])
            if fault:
                return fail(reader, fault, reader.frame_offset)
            continue
        if reader.head_size == 2:
            fault = judge_second(reader, reader.head[1])
            if fault:
                return fail(reader, fault, reader.frame_offset + 1)
        extended = extended_size(reader.head[1])
        if reader.head_size == 3 and extended == 8 and reader.head[2] & 0x80:
            return fail(reader, LENGTH_HIGH_BIT, reader.frame_offset + 2)
        if reader.head_size == 2 + extended:
            fault = judge_length(reader, reader.head)
            if fault:
                return fail_by_length(reader, fault, extended)
        whole = 2 + extended + reader.key_size
        if reader.head_size == whole:
            memcpy(&reader.key, reader.head + 2 + extended, reader.key_size)
            reader.head_size = 0
            return MESSAGE
    return NEED_DATA


cdef inline Fault judge_first(MessageReader reader, uint8_t first) except FAULT_ERROR:
    """FIN, RSV1 to RSV3 and the opcode, against each other and against the message that has begun."""
    cdef uint8_t reserved = first & RSV
    reader.opcode = first & 0x0F
    reader.fin = (first & FIN) != 0
    # "MUST be 0 unless an extension is negotiated that defines meanings for non-zero values."
    if reserved and (reserved != RSV1 or reader.inflater is None):
        return RESERVED_BITS
    if reader.opcode & CONTROL:
        if reader.opcode > PONG_FRAME:
            return RESERVED_OPCODE
        if reserved:
            return RSV1_ON_CONTROL
        # 5.5: "All control frames [...] MUST NOT be fragmented."
        if not reader.fin:
            return FRAGMENTED_CONTROL
        return count_control(reader)
    if reader.opcode > BINARY:
        return RESERVED_OPCODE
    if reader.opcode == CONTINUATION:
        if reserved:
            return RSV1_ON_CONTINUATION
        if reader.message_opcode == 0:
            return UNEXPECTED_CONTINUATION
    elif reader.message_opcode:
        return INTERLEAVED_MESSAGE
    else:
        begin_message(reader, reserved != 0)
    reader.fragments += 1
    if reader.fragments > reader.caps.fragments:
        return TOO_MANY_FRAGMENTS
    return NO_FAULT


cdef Fault count_control(MessageReader reader) except FAULT_ERROR:
    """Control frames in a row: a run ends with data, and one second after it began."""
    cdef double now = reader.clock()
    if reader.control_run == 0 or not -1.0 < now - reader.control_run_began < 1.0:
        reader.control_run = 0
        reader.control_run_began = now
    reader.control_run += 1
    return CONTROL_FLOOD if reader.control_run > reader.caps.control_run else NO_FAULT


cdef inline void begin_message(MessageReader reader, bint compressed) noexcept:
    reader.message_opcode = reader.opcode
    reader.compressed = compressed
    reader.kind = reader.text_kind if reader.opcode == TEXT else reader.binary_kind
    reader.message_offset = reader.frame_offset
    reader.wire_size = 0
    reader.fragments = 0
    reader.text.state = reader.text.nonascii = 0
    if compressed:
        reader.inflater.begin()


cdef inline Fault judge_second(MessageReader reader, uint8_t second) noexcept:
    """MASK, and what the short length says of a control frame."""
    cdef uint8_t size = second & 0x7F
    # 5.1: "The server MUST close the connection upon receiving a frame that is not masked", and the reverse.
    if second & MASK != reader.mask_bit:
        return UNMASKED_FRAME if reader.server else MASKED_FRAME
    if reader.opcode & CONTROL:
        if size > LARGEST_CONTROL:
            return OVERSIZED_CONTROL
        # 5.5.1: "If there is a body, the first two bytes of the body MUST be a 2-byte unsigned integer".
        if reader.opcode == CLOSE_FRAME and size == 1:
            return CLOSE_LENGTH
    return NO_FAULT


cdef inline Fault judge_length(MessageReader reader, const uint8_t *head) noexcept:
    """The payload length, whole; all comparisons are of unsigned 64-bit numbers."""
    cdef uint64_t size = head[1] & 0x7F
    # "the minimal number of bytes MUST be used to encode the length"
    if size == 126:
        size = <uint64_t>head[2] << 8 | head[3]
        if size < 126:
            return LENGTH_NOT_MINIMAL
    elif size == 127:
        size = big_endian(head + 2)
        # "the most significant bit MUST be 0"
        if size >> 63:
            return LENGTH_HIGH_BIT
        if size < 65536:
            return LENGTH_NOT_MINIMAL
    reader.frame_size = reader.remaining = size
    if reader.opcode & CONTROL:
        return NO_FAULT
    if size > reader.caps.frame_bytes:
        return FRAME_TOO_BIG
    if size > reader.caps.message_bytes - reader.wire_size:
        return MESSAGE_TOO_BIG
    reader.wire_size += size
    if size or reader.fin:
        reader.empty_run = reader.control_run = 0
        return NO_FAULT
    reader.empty_run += 1
    return EMPTY_FRAGMENTS if reader.empty_run > reader.caps.empty_run else NO_FAULT


# ---- 5.3. Client-to-Server Masking, 5.4. Fragmentation, 8.1. Handling of Errors in UTF-8-Encoded Data

cdef inline size_t phase(MessageReader reader) noexcept:
    """Position in the payload of the frame, of which the masking-key is used modulo 4."""
    return <size_t>(reader.frame_size - reader.remaining)


cdef inline Step read_data(MessageReader reader) except STEP_ERROR:
    """Payload of an uncompressed data frame. MESSAGE when the frame is whole."""
    cdef size_t available = <size_t>(reader.end - reader.cursor)
    cdef size_t size = available
    if <uint64_t>available >= reader.remaining:
        size = <size_t>reader.remaining
        if reader.fin and reader.growing.object == NULL and reader.remaining == reader.wire_size:
            return read_whole(reader, size)
    if reader.kind == NOTHING:
        return read_judged(reader, size)
    if size:
        growing_reserve(
            &reader.growing,
            reader.kind == STR,
            size,
            reader.growing.used + reader.remaining if reader.fin else 0,
        )
        if not unmask_into(reader, reader.growing.data + reader.growing.used, size):
            return FAULT
        reader.growing.used += size
    return NEED_DATA if reader.remaining else MESSAGE


cdef inline bint unmask_into(MessageReader reader, uint8_t *target, size_t size) noexcept:
    """Unmask the next bytes of the frame, and judge them if they are text. False: they are not UTF-8."""
    cdef size_t good = size
    if reader.message_opcode == TEXT:
        good = _kernels.active_kernels.unmask_validate(
            &reader.text, target, reader.cursor, size, reader.key, phase(reader)
        )
        if good != size:
            fail(reader, INVALID_UTF8, position(reader) + good)
            return False
    else:
        _kernels.active_kernels.unmask(target, reader.cursor, size, reader.key, phase(reader))
    reader.cursor += size
    reader.remaining -= size
    return True


cdef inline Step read_whole(MessageReader reader, size_t size) except STEP_ERROR:
    """A message of one frame that is in the buffer from its first to its last byte: the usual case."""
    cdef Scratch scratch
    if reader.kind == STR:
        text = PyUnicode_New(<Py_ssize_t>size, 127)
        if not unmask_into(reader, PyUnicode_1BYTE_DATA(<PyObject *>text), size):
            return FAULT
        if reader.text.nonascii:
            if reader.text.state:
                return fail(reader, INVALID_UTF8, position(reader))
            text = _kernels.str_from_valid_utf8(PyUnicode_1BYTE_DATA(<PyObject *>text), size, False)
        reader.payload = text
    elif reader.kind == BYTES:
        data = PyBytes_FromStringAndSize(NULL, <Py_ssize_t>size)
        unmask_into(reader, <uint8_t *>PyBytes_AS_STRING(data), size)
        reader.payload = data
    elif reader.kind == SCRATCH:
        scratch = scratch_for(reader, size)
        scratch.lent = True
        scratch.size = size
        if not unmask_into(reader, scratch.data, size):
            return FAULT
    else:
        return read_judged(reader, size)
    return MESSAGE


cdef inline Scratch scratch_for(MessageReader reader, size_t size):
    """That of the last message if it can be used again, else another; it is the payload then."""
    cdef Scratch scratch
    if type(reader.payload) is Scratch:
        scratch = <Scratch>reader.payload
        if not scratch.lent and scratch.exports == 0 and size <= scratch.capacity:
            return scratch
    scratch = borrow_scratch(size)
    reader.payload = scratch
    return scratch


cdef inline Step read_judged(MessageReader reader, size_t size) noexcept:
    """Payload of which nothing is kept."""
    while size > BLOCK:
        if not unmask_into(reader, block, BLOCK):
            return FAULT
        size -= BLOCK
    if not unmask_into(reader, block, size):
        return FAULT
    return NEED_DATA if reader.remaining else MESSAGE


cdef inline Step finish_message(MessageReader reader) except STEP_ERROR:
    """The final frame is whole: hand the message over."""
    # "a text frame that is not valid UTF-8": also one that ends inside a character.
    if reader.text.state:
        return fail(reader, INVALID_UTF8, reader.message_offset if reader.compressed else position(reader))
    reader.message_size = reader.wire_size
    if reader.compressed:
        finish_inflated(reader)
    elif reader.growing.object != NULL:
        reader.payload = growing_finish(&reader.growing, reader.kind == STR, reader.text.nonascii)
    reader.step_opcode = reader.message_opcode
    reader.message_opcode = 0
    return MESSAGE


# ---- RFC 7692 7.2.2. Decompression

cdef Step read_compressed(MessageReader reader) except STEP_ERROR:
    """Payload of a frame of a compressed message. It is inflated in pieces that end with the frame or when they are
    full, never with the buffer, so that the verdict does not depend on how the stream was cut."""
    cdef size_t size, room
    cdef bint ends
    while True:
        room = PIECE - (reader.piece.size if reader.piece is not None else 0)
        size = <size_t>(reader.end - reader.cursor)
        if <uint64_t>size > reader.remaining:
            size = <size_t>reader.remaining
        if size > room:
            size = room
        if size == 0 and reader.remaining:
            return NEED_DATA
        ends = size == room or <uint64_t>size == reader.remaining
        keep_compressed(reader, size, ends)
        if not ends:
            return NEED_DATA
        if not inflate_piece(reader, reader.fin and reader.remaining == 0):
            return FAULT
        if reader.remaining == 0:
            return MESSAGE


cdef int keep_compressed(MessageReader reader, size_t size, bint ends) except -1:
    cdef size_t capacity
    if reader.piece is None:
        reader.piece = borrow_scratch(size) if ends else Scratch.__new__(Scratch)
    capacity = reader.piece.size + size
    if capacity > reader.piece.capacity and not ends and capacity < 2 * reader.piece.capacity:
        capacity = 2 * reader.piece.capacity
    reader.piece.reserve(capacity)
    _kernels.active_kernels.unmask(
        reader.piece.data + reader.piece.size, reader.cursor, size, reader.key, phase(reader)
    )
    reader.piece.size += size
    reader.cursor += size
    reader.remaining -= size
    return 0


cdef bint inflate_piece(MessageReader reader, bint last) except -1:
    """False: the message is refused."""
    cdef Scratch piece = reader.piece
    cdef Inflated result = reader.inflater.feed(piece, last)
    cdef Fault fault = NO_FAULT
    reader.piece = None
    give_back(piece)
    if result == INFLATED_GARBAGE:
        fault = DEFLATE_DATA
    elif result == INFLATED_TOO_BIG:
        fault = INFLATED_TOO_BIG_FAULT
    elif result == INFLATED_RATIO:
        fault = INFLATE_RATIO
    elif result == INFLATED_WORK:
        fault = INFLATE_WORK
    elif not judge_inflated(reader):
        fault = INVALID_UTF8
    if fault:
        fail(reader, fault, reader.message_offset)
        return False
    return True


cdef bint judge_inflated(MessageReader reader) except -1:
    """Whether what the last piece became is text, if it has to be."""
    cdef list pieces = reader.inflater.pieces
    cdef bytes piece
    if reader.message_opcode != TEXT or pieces is None:
        return True
    while reader.judged_pieces < len(pieces):
        piece = <bytes>pieces[reader.judged_pieces]
        reader.judged_pieces += 1
        if not is_text(reader, piece):
            return False
    return True


cdef bint is_text(MessageReader reader, bytes piece) noexcept:
    cdef size_t size = <size_t>PyBytes_GET_SIZE(piece)
    return _kernels.active_kernels.validate(&reader.text, <uint8_t *>PyBytes_AS_STRING(piece), size) == size


cdef int finish_inflated(MessageReader reader) except -1:
    cdef bytes data
    reader.judged_pieces = 0
    reader.message_size = reader.inflater.size
    if reader.kind == NOTHING:
        reader.inflater.pieces = None
        return 0
    data = reader.inflater.take()
    if reader.kind == STR:
        reader.payload = _kernels.str_from_valid_utf8(
            <uint8_t *>PyBytes_AS_STRING(data), <size_t>reader.message_size, not reader.text.nonascii
        )
    else:
        reader.payload = data
    return 0


# ---- 5.5. Control Frames

cdef Step read_control(MessageReader reader) except STEP_ERROR:
    cdef size_t size = <size_t>(reader.end - reader.cursor)
    cdef size_t whole
    if <uint64_t>size > reader.remaining:
        size = <size_t>reader.remaining
    _kernels.active_kernels.unmask(
        reader.control + phase(reader), reader.cursor, size, reader.key, phase(reader)
    )
    reader.cursor += size
    reader.remaining -= size
    if reader.remaining:
        return NEED_DATA
    reader.in_payload = False
    whole = <size_t>reader.frame_size
    if reader.opcode == CLOSE_FRAME:
        return read_close(reader, whole)
    reader.payload = PyBytes_FromStringAndSize(<char *>reader.control, <Py_ssize_t>whole)
    return PING if reader.opcode == PING_FRAME else PONG


cdef Step read_close(MessageReader reader, size_t size) except STEP_ERROR:
    """5.5.1 and 7.4: code and reason; ``size`` is not 1."""
    cdef fw_utf8 text
    cdef size_t good
    reader.close_code = NO_STATUS_RCVD
    reader.payload = ""
    if size == 0:
        return CLOSE
    reader.close_code = <int>reader.control[0] << 8 | reader.control[1]
    if not may_be_sent(reader.close_code):
        return fail(reader, CLOSE_CODE, position(reader) - size)
    text.state = text.nonascii = 0
    good = _kernels.active_kernels.validate(&text, reader.control + 2, size - 2)
    if good != size - 2 or text.state:
        return fail(reader, CLOSE_REASON_UTF8, position(reader) - (size - 2) + good)
    reader.payload = _kernels.str_from_valid_utf8(reader.control + 2, size - 2, not text.nonascii)
    return CLOSE


cdef inline size_t extended_size(uint8_t second) noexcept:
    """Bytes of extended payload length behind the second byte."""
    cdef uint8_t size = second & 0x7F
    return 0 if size < 126 else (2 if size == 126 else 8)


cdef inline uint64_t big_endian(const uint8_t *octets) noexcept:
    cdef uint64_t value = 0
    cdef int i
    for i in range(8):
        value = value << 8 | octets[i]
    return value
