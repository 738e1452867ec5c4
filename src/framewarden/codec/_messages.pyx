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
from libc.stdint cimport uint8_t, uint16_t, uint32_t, uint64_t
from libc.string cimport memcpy

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from cpython.object cimport PyObject

from framewarden.codec._deflate cimport (
    INFLATED_GARBAGE,
    INFLATED_OK,
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
    Kind,
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
cdef size_t BLOCK = 4 * 1024    # bytes that are judged at once when nothing is kept of them

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
        self.inflater = inflater
        self.clock = clock
        self.text_kind = STR
        self.binary_kind = BYTES

    def __dealloc__(self):
        growing_clear(&self.growing)

    @property
    def bytes_held(self) -> int:
        """Bytes of unfinished messages that are kept."""
        cdef size_t held = self.growing.capacity
        if self.piece is not None:
            held += self.piece.capacity
        if self.inflater is not None:
            held += <size_t>sum([len(piece) for piece in self.inflater.pieces])
        return held

    cdef void begin(self, const uint8_t *data, size_t size) noexcept:
        self.start = self.cursor = data
        self.end = data + size

    cdef uint64_t finish(self) noexcept:
        """Let go of the buffer; returns how many bytes of the stream have been read in all."""
        self.consumed += <uint64_t>(self.cursor - self.start)
        self.start = self.cursor = self.end = NULL
        return self.consumed

    cdef Step next(self) except STEP_ERROR:
        cdef Step step
        while True:
            if not self.in_payload:
                step = self.read_header()
                if step != MESSAGE:
                    return step
                self.in_payload = True
            if self.opcode & CONTROL:
                return self.read_control()
            step = self.read_compressed() if self.compressed else self.read_data()
            if step != MESSAGE:
                return step
            self.in_payload = False
            if self.fin:
                return self.finish_message()

    # ---- 5.2. Base Framing Protocol

    cdef uint64_t position(self) noexcept:
        return self.consumed + <uint64_t>(self.cursor - self.start)

    cdef Step fail(self, Fault fault, uint64_t offset) noexcept:
        self.fault = fault
        self.fault_offset = offset
        return FAULT

    cdef Step read_header(self) except STEP_ERROR:
        """MESSAGE when the header is whole (cursor stands behind it), else NEED_DATA or FAULT."""
        cdef Fault fault
        cdef size_t available = <size_t>(self.end - self.cursor)
        cdef const uint8_t *head = self.cursor
        cdef size_t extended, size
        if self.head_size or available < 2:
            return self.resume_header()
        self.frame_offset = self.position()
        fault = self.judge_first(head[0])
        if fault:
            return self.fail(fault, self.frame_offset)
        fault = self.judge_second(head[1])
        if fault:
            return self.fail(fault, self.frame_offset + 1)
        extended = extended_size(head[1])
        size = 2 + extended + (4 if self.server else 0)
        if available < size:
            return self.keep_header()
        if extended == 8 and head[2] & 0x80:
            return self.fail(LENGTH_HIGH_BIT, self.frame_offset + 2)
        fault = self.judge_length(head)
        if fault:
            return self.fail(fault, self.frame_offset + (2 if extended else 1))
        if self.server:
            memcpy(&self.key, head + 2 + extended, 4)
        self.cursor += size
        return MESSAGE

    cdef Step keep_header(self) except STEP_ERROR:
        """The buffer ends inside a header of which two bytes have been judged: go on byte by byte."""
        cdef Fault fault
        memcpy(self.head, self.cursor, 2)
        self.head_size = 2
        self.cursor += 2
        if extended_size(self.head[1]) == 0:
            fault = self.judge_length(self.head)
            if fault:
                return self.fail(fault, self.frame_offset + 1)
        return self.resume_header()

    cdef Step resume_header(self) except STEP_ERROR:
        """A header that arrives in pieces, one byte after the other, each judged when it is there."""
        cdef Fault fault
        cdef size_t extended, whole
        while self.cursor < self.end:
            if self.head_size == 0:
                self.frame_offset = self.position()
            self.head[self.head_size] = self.cursor[0]
            self.head_size += 1
            self.cursor += 1
            if self.head_size == 1:
                fault = self.judge_first(self.head[0])
                if fault:
                    return self.fail(fault, self.frame_offset)
                continue
            if self.head_size == 2:
                fault = self.judge_second(self.head[1])
                if fault:
                    return self.fail(fault, self.frame_offset + 1)
            extended = extended_size(self.head[1])
            if self.head_size == 3 and extended == 8 and self.head[2] & 0x80:
                return self.fail(LENGTH_HIGH_BIT, self.frame_offset + 2)
            if self.head_size == 2 + extended:
                fault = self.judge_length(self.head)
                if fault:
                    return self.fail(fault, self.frame_offset + (2 if extended else 1))
            whole = 2 + extended + (4 if self.server else 0)
            if self.head_size == whole:
                memcpy(&self.key, self.head + 2 + extended, 4 if self.server else 0)
                self.head_size = 0
                return MESSAGE
        return NEED_DATA

    cdef Fault judge_first(self, uint8_t first) except FAULT_ERROR:
        """FIN, RSV1 to RSV3 and the opcode, against each other and against the message that has begun."""
        cdef uint8_t reserved = first & RSV
        self.opcode = first & 0x0F
        self.fin = (first & FIN) != 0
        # "MUST be 0 unless an extension is negotiated that defines meanings for non-zero values."
        if reserved and (reserved != RSV1 or self.inflater is None):
            return RESERVED_BITS
        if self.opcode & CONTROL:
            if self.opcode > PONG_FRAME:
                return RESERVED_OPCODE
            if reserved:
                return RSV1_ON_CONTROL
            # 5.5: "All control frames [...] MUST NOT be fragmented."
            if not self.fin:
                return FRAGMENTED_CONTROL
            return self.count_control()
        if self.opcode > BINARY:
            return RESERVED_OPCODE
        if self.opcode == CONTINUATION:
            if reserved:
                return RSV1_ON_CONTINUATION
            if self.message_opcode == 0:
                return UNEXPECTED_CONTINUATION
        elif self.message_opcode:
            return INTERLEAVED_MESSAGE
        else:
            self.begin_message(reserved != 0)
        self.fragments += 1
        if self.fragments > self.caps.fragments:
            return TOO_MANY_FRAGMENTS
        return NO_FAULT

    cdef Fault count_control(self) except FAULT_ERROR:
        """Control frames in a row: a run ends with data, and one second after it began."""
        cdef double now = self.clock()
        if self.control_run == 0 or not -1.0 < now - self.control_run_began < 1.0:
            self.control_run = 0
            self.control_run_began = now
        self.control_run += 1
        return CONTROL_FLOOD if self.control_run > self.caps.control_run else NO_FAULT

    cdef void begin_message(self, bint compressed) noexcept:
        self.message_opcode = self.opcode
        self.compressed = compressed
        self.kind = self.text_kind if self.opcode == TEXT else self.binary_kind
        self.message_offset = self.frame_offset
        self.wire_size = 0
        self.fragments = 0
        self.text.state = self.text.nonascii = 0
        if compressed:
            self.inflater.begin()

    cdef Fault judge_second(self, uint8_t second) noexcept:
        """MASK, and what the short length says of a control frame."""
        cdef uint8_t size = second & 0x7F
        # 5.1: "The server MUST close the connection upon receiving a frame that is not masked", and the reverse.
        if self.server:
            if not second & MASK:
                return UNMASKED_FRAME
        elif second & MASK:
            return MASKED_FRAME
        if self.opcode & CONTROL:
            if size > LARGEST_CONTROL:
                return OVERSIZED_CONTROL
            # 5.5.1: "If there is a body, the first two bytes of the body MUST be a 2-byte unsigned integer".
            if self.opcode == CLOSE_FRAME and size == 1:
                return CLOSE_LENGTH
        return NO_FAULT

    cdef Fault judge_length(self, const uint8_t *head) noexcept:
        """The payload length, whole; all comparisons are of unsigned 64-bit numbers."""
        cdef uint64_t size = head[1] & 0x7F
        # "the minimal number of bytes MUST be used to encode the length"
        if size == 126:
            size = <uint64_t>head[2] << 8 | head[3]
            if size < 126:
                return LENGTH_NOT_MINIMAL
        elif size == 127:
            size = big_endian(head + 2)
            if size < 65536:
                return LENGTH_NOT_MINIMAL
        self.frame_size = self.remaining = size
        if self.opcode & CONTROL:
            return NO_FAULT
        if size > self.caps.frame_bytes:
            return FRAME_TOO_BIG
        if size > self.caps.message_bytes - self.wire_size:
            return MESSAGE_TOO_BIG
        self.wire_size += size
        if size or self.fin:
            self.empty_run = self.control_run = 0
            return NO_FAULT
        self.empty_run += 1
        return EMPTY_FRAGMENTS if self.empty_run > self.caps.empty_run else NO_FAULT

    # ---- 5.3. Client-to-Server Masking, 5.4. Fragmentation, 8.1. Handling of Errors in UTF-8-Encoded Data

    cdef size_t phase(self) noexcept:
        """Position in the payload of the frame, of which the masking-key is used modulo 4."""
        return <size_t>(self.frame_size - self.remaining)

    cdef Step read_data(self) except STEP_ERROR:
        """Payload of an uncompressed data frame. MESSAGE when the frame is whole."""
        cdef size_t available = <size_t>(self.end - self.cursor)
        cdef size_t size = available
        if <uint64_t>available >= self.remaining:
            size = <size_t>self.remaining
            if self.fin and self.growing.object == NULL and self.remaining == self.wire_size:
                return self.read_whole(size)
        if self.kind == NOTHING:
            return self.read_judged(size)
        if size:
            growing_reserve(
                &self.growing,
                self.kind == STR,
                size,
                self.growing.used + self.remaining if self.fin else 0,
            )
            if not self.unmask_into(self.growing.data + self.growing.used, size):
                return FAULT
            self.growing.used += size
        return NEED_DATA if self.remaining else MESSAGE

    cdef bint unmask_into(self, uint8_t *target, size_t size) noexcept:
        """Unmask the next bytes of the frame, and judge them if they are text. False: they are not UTF-8."""
        cdef size_t good = size
        if self.message_opcode == TEXT:
            good = _kernels.active_kernels.unmask_validate(
                &self.text, target, self.cursor, size, self.key, self.phase()
            )
            if good != size:
                self.fail(INVALID_UTF8, self.position() + good)
                return False
        else:
            _kernels.active_kernels.unmask(target, self.cursor, size, self.key, self.phase())
        self.cursor += size
        self.remaining -= size
        return True

    cdef Step read_whole(self, size_t size) except STEP_ERROR:
        """A message of one frame that is in the buffer from its first to its last byte: the usual case."""
        cdef Scratch scratch
        if self.kind == STR:
            text = PyUnicode_New(<Py_ssize_t>size, 127)
            if not self.unmask_into(PyUnicode_1BYTE_DATA(<PyObject *>text), size):
                return FAULT
            if self.text.nonascii:
                if self.text.state:
                    return self.fail(INVALID_UTF8, self.position())
                text = _kernels.str_from_valid_utf8(PyUnicode_1BYTE_DATA(<PyObject *>text), size, False)
            self.payload = text
        elif self.kind == BYTES:
            data = PyBytes_FromStringAndSize(NULL, <Py_ssize_t>size)
            self.unmask_into(<uint8_t *>PyBytes_AS_STRING(data), size)
            self.payload = data
        elif self.kind == SCRATCH:
            scratch = borrow_scratch(size)
            scratch.size = size
            if not self.unmask_into(scratch.data, size):
                return FAULT
            self.payload = scratch
        else:
            return self.read_judged(size)
        return MESSAGE

    cdef Step read_judged(self, size_t size) noexcept:
        """Payload of which nothing is kept."""
        cdef uint8_t block[4096]
        cdef size_t some
        while size:
            some = size if size < BLOCK else BLOCK
            if not self.unmask_into(block, some):
                return FAULT
            size -= some
        return NEED_DATA if self.remaining else MESSAGE

    cdef Step finish_message(self) except STEP_ERROR:
        """The final frame is whole: hand the message over."""
        # "a text frame that is not valid UTF-8": also one that ends inside a character.
        if self.text.state:
            return self.fail(INVALID_UTF8, self.message_offset if self.compressed else self.position())
        self.message_size = self.wire_size
        if self.compressed:
            self.finish_inflated()
        elif self.growing.object != NULL:
            self.payload = growing_finish(&self.growing, self.kind == STR, self.text.nonascii)
        self.step_opcode = self.message_opcode
        self.message_opcode = 0
        return MESSAGE

    # ---- RFC 7692 7.2.2. Decompression

    cdef Step read_compressed(self) except STEP_ERROR:
        """Payload of a frame of a compressed message. It is inflated in pieces that end with the frame or when they are
        full, never with the buffer, so that the verdict does not depend on how the stream was cut."""
        cdef size_t size, room
        cdef bint ends
        while True:
            room = PIECE - (self.piece.size if self.piece is not None else 0)
            size = <size_t>(self.end - self.cursor)
            if <uint64_t>size > self.remaining:
                size = <size_t>self.remaining
            if size > room:
                size = room
            if size == 0 and self.remaining:
                return NEED_DATA
            ends = size == room or <uint64_t>size == self.remaining
            self.keep_compressed(size, ends)
            if not ends:
                return NEED_DATA
            if not self.inflate_piece(self.fin and self.remaining == 0):
                return FAULT
            if self.remaining == 0:
                return MESSAGE

    cdef int keep_compressed(self, size_t size, bint ends) except -1:
        cdef size_t capacity
        if self.piece is None:
            self.piece = borrow_scratch(size) if ends else Scratch.__new__(Scratch)
        capacity = self.piece.size + size
        if capacity > self.piece.capacity and not ends and capacity < 2 * self.piece.capacity:
            capacity = 2 * self.piece.capacity
        self.piece.reserve(capacity)
        _kernels.active_kernels.unmask(
            self.piece.data + self.piece.size, self.cursor, size, self.key, self.phase()
        )
        self.piece.size += size
        self.cursor += size
        self.remaining -= size
        return 0

    cdef bint inflate_piece(self, bint last) except -1:
        """False: the message is refused."""
        cdef Scratch piece = self.piece
        cdef Inflated result = self.inflater.feed(piece, last)
        cdef Fault fault = NO_FAULT
        self.piece = None
        give_back(piece)
        if result == INFLATED_GARBAGE:
            fault = DEFLATE_DATA
        elif result == INFLATED_TOO_BIG:
            fault = INFLATED_TOO_BIG_FAULT
        elif result == INFLATED_RATIO:
            fault = INFLATE_RATIO
        elif result == INFLATED_WORK:
            fault = INFLATE_WORK
        elif not self.judge_inflated():
            fault = INVALID_UTF8
        if fault:
            self.fail(fault, self.message_offset)
            return False
        return True

    cdef bint judge_inflated(self) except -1:
        """Whether what the last piece became is text, if it has to be."""
        cdef list pieces = self.inflater.pieces
        cdef bytes piece
        if self.message_opcode != TEXT:
            return True
        while self.judged_pieces < len(pieces):
            piece = <bytes>pieces[self.judged_pieces]
            self.judged_pieces += 1
            if not self.is_text(piece):
                return False
        return True

    cdef bint is_text(self, bytes piece) noexcept:
        cdef size_t size = <size_t>PyBytes_GET_SIZE(piece)
        return _kernels.active_kernels.validate(&self.text, <uint8_t *>PyBytes_AS_STRING(piece), size) == size

    cdef int finish_inflated(self) except -1:
        cdef bytes data = self.inflater.take()
        self.judged_pieces = 0
        self.message_size = <uint64_t>PyBytes_GET_SIZE(data)
        if self.kind == STR:
            self.payload = _kernels.str_from_valid_utf8(
                <uint8_t *>PyBytes_AS_STRING(data), <size_t>self.message_size, not self.text.nonascii
            )
        else:
            self.payload = data
        return 0

    # ---- 5.5. Control Frames

    cdef Step read_control(self) except STEP_ERROR:
        cdef size_t size = <size_t>(self.end - self.cursor)
        cdef size_t whole
        if <uint64_t>size > self.remaining:
            size = <size_t>self.remaining
        _kernels.active_kernels.unmask(
            self.control + self.phase(), self.cursor, size, self.key, self.phase()
        )
        self.cursor += size
        self.remaining -= size
        if self.remaining:
            return NEED_DATA
        self.in_payload = False
        whole = <size_t>self.frame_size
        if self.opcode == CLOSE_FRAME:
            return self.read_close(whole)
        self.payload = PyBytes_FromStringAndSize(<char *>self.control, <Py_ssize_t>whole)
        return PING if self.opcode == PING_FRAME else PONG

    cdef Step read_close(self, size_t size) except STEP_ERROR:
        """5.5.1 and 7.4: code and reason; ``size`` is not 1."""
        cdef fw_utf8 text
        cdef size_t good
        self.close_code = NO_STATUS_RCVD
        self.payload = ""
        if size == 0:
            return CLOSE
        self.close_code = <int>self.control[0] << 8 | self.control[1]
        if not may_be_sent(self.close_code):
            return self.fail(CLOSE_CODE, self.position() - size)
        text.state = text.nonascii = 0
        good = _kernels.active_kernels.validate(&text, self.control + 2, size - 2)
        if good != size - 2 or text.state:
            return self.fail(CLOSE_REASON_UTF8, self.position() - (size - 2) + good)
        self.payload = _kernels.str_from_valid_utf8(self.control + 2, size - 2, not text.nonascii)
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
