# cython: language_level=3, boundscheck=False, wraparound=False, initializedcheck=False, cdivision=True
# cython: auto_pickle=False
"""Messages to frames that go out: headers (RFC 6455 5.2), masking for a client (5.3), fragments (5.4), compression.

Small frames are gathered into one object for one write; a large payload is referred to, not copied.
"""

cimport cython
from cpython.bytes cimport PyBytes_AS_STRING
from libc.stdint cimport uint8_t, uint32_t, uint64_t
from libc.string cimport memcpy

from framewarden.codec._deflate cimport COMPRESSOR_BYTES, Deflater
from framewarden.codec._payload cimport growing_clear, growing_finish, growing_reserve
from framewarden.kernels cimport _kernels

from framewarden.errors import ArgumentError, ArgumentTypeError

cdef enum:
    FIN = 0x80
    RSV1 = 0x40
    TEXT = 0x1
    BINARY = 0x2

cdef size_t LARGEST_HEADER = 14
cdef size_t LARGE = 64 * 1024   # bytes of payload from which on it is not copied


cdef size_t write_header(uint8_t *out, uint8_t first, bint masked, uint64_t size) noexcept:
    """First byte, MASK and the payload length in as few bytes as it takes (RFC 6455 5.2); returns how many."""
    cdef uint8_t mask = 0x80 if masked else 0
    cdef int i
    out[0] = first
    if size < 126:
        out[1] = mask | <uint8_t>size
        return 2
    if size < 65536:
        out[1] = mask | 126
        out[2] = <uint8_t>(size >> 8)
        out[3] = <uint8_t>(size & 0xFF)
        return 4
    out[1] = mask | 127
    for i in range(8):
        out[2 + i] = <uint8_t>((size >> (56 - 8 * i)) & 0xFF)
    return 10


cdef uint32_t fresh_key(object key_source) except? 0:
    """RFC 6455 5.3: "The masking key needs to be unpredictable"."""
    cdef uint32_t key
    octets = key_source(4)
    if type(octets) is not bytes or len(<bytes>octets) != 4:
        raise ArgumentError("key_source(4) must return 4 bytes")
    memcpy(&key, <const char *><bytes>octets, 4)
    return key


@cython.final
@cython.no_gc
cdef class Prepared:
    """A message that goes to many connections: encoded once, compressed once for each kind of peer. See prepare()."""

    cdef bytes deflated_by(self, Deflater deflater):
        key = (deflater.level, deflater.window_bits)
        if self.deflated is None:
            self.deflated = {}
        data = self.deflated.get(key)
        if data is None:
            data = self.deflated[key] = deflater.deflate(self.payload, len(self.payload))
        return <bytes>data


def prepare(data) -> Prepared:
    """Encode a message once, to send it on many connections.

    Args:
        data: a str becomes a Text message, a buffer of bytes a Binary one.

    Raises:
        ArgumentTypeError: data is neither.
        ArgumentError: a str with half of a surrogate pair, which UTF-8 cannot carry.
    """
    cdef Prepared message = Prepared.__new__(Prepared)
    if isinstance(data, str):
        message.text = True
        message.payload = encode_text(data)
    elif type(data) is bytes:
        message.payload = <bytes>data
    else:
        try:
            message.payload = bytes(memoryview(data))
        except (TypeError, BufferError, ValueError):
            raise ArgumentTypeError(f"data must be str or a buffer of bytes, not {type(data).__name__}") from None
    return message


cdef bytes encode_text(str text):
    try:
        return text.encode()
    except UnicodeEncodeError as error:
        if type(error) is not UnicodeEncodeError:   # there was no memory for its traceback
            raise MemoryError from None
        raise ArgumentError(f"text has half of a surrogate pair at index {error.start}") from None


@cython.final
cdef class MessageWriter:
    """The outbound half of a connection: encodes messages and control frames, and keeps them until they are taken.

    Args:
        client: frames are masked with keys of their own (RFC 6455 5.1, 10.3).
        key_source: called with 4, returns 4 unpredictable bytes; only a client asks it.
        deflater: None: messages are not compressed.
        deflate_from: payload bytes from which on they are.
    """

    def __cinit__(self, bint client, object key_source, Deflater deflater, Py_ssize_t deflate_from):
        self.client = client
        self.key_source = key_source
        self.deflater = deflater
        self.deflate_from = deflate_from

    def __dealloc__(self):
        growing_clear(&self.out)

    cdef int write_frame(self, uint8_t first, const uint8_t *payload, size_t size) except -1:
        cdef uint32_t key = 0
        cdef uint8_t *out
        cdef size_t header
        if self.client:
            key = fresh_key(self.key_source)
        growing_reserve(&self.out, False, size + LARGEST_HEADER, 0)
        out = self.out.data + self.out.used
        header = write_header(out, first, self.client, size)
        if self.client:
            memcpy(out + header, &key, 4)
            header += 4
            _kernels.active_kernels.unmask(out + header, payload, size, key, 0)
        elif size:
            memcpy(out + header, payload, size)
        self.out.used += header + size
        return 0

    cdef int write_plain(self, uint8_t first, object payload, const uint8_t *data, size_t size) except -1:
        """One frame; bytes of 64 KiB and more leave as they are, behind a header of their own."""
        cdef uint8_t head[14]
        if size < LARGE or self.client or type(payload) is not bytes:
            return self.write_frame(first, data, size)
        self.append_piece(<bytes>(<char *>head)[: write_header(head, first, False, size)])
        return self.append_piece(<bytes>payload)

    cdef int append_piece(self, bytes piece) except -1:
        if self.pieces is None:
            self.pieces = []
        if self.out.used:
            self.piece_bytes += self.out.used
            self.pieces.append(growing_finish(&self.out, False, False))
        self.pieces.append(piece)
        self.piece_bytes += <size_t>len(piece)
        return 0

    cdef int write_message(self, uint8_t opcode, object payload, const uint8_t *data, size_t size) except -1:
        cdef bytes deflated
        if self.deflater is None or <Py_ssize_t>size < self.deflate_from:
            return self.write_plain(FIN | opcode, payload, data, size)
        deflated = self.deflater.deflate(payload.encode() if isinstance(payload, str) else payload, <Py_ssize_t>size)
        try:
            return self.write_plain(
                FIN | RSV1 | opcode, deflated, <uint8_t *>PyBytes_AS_STRING(deflated), <size_t>len(deflated)
            )
        except BaseException:
            self.deflater.stream = None     # its window holds a message that the peer will never see
            raise

    cdef int write_fragment(
        self, uint8_t opcode, object payload, const uint8_t *data, size_t size, bint final
    ) except -1:
        """RFC 6455 5.4. Fragments are never compressed: a peer accepts that of any message (RFC 7692 6)."""
        cdef uint8_t first = 0 if self.fragmented else opcode
        self.write_plain(first | (FIN if final else 0), payload, data, size)
        self.fragmented = 0 if final else opcode
        return 0

    cdef int write_prepared(self, Prepared message) except -1:
        cdef bytes payload = message.payload
        cdef uint8_t opcode = TEXT if message.text else BINARY
        if self.deflater is None or len(payload) < self.deflate_from:
            return self.write_plain(FIN | opcode, payload, <uint8_t *>PyBytes_AS_STRING(payload), <size_t>len(payload))
        if self.deflater.takeover:
            return self.write_message(opcode, payload, <uint8_t *>PyBytes_AS_STRING(payload), <size_t>len(payload))
        payload = message.deflated_by(self.deflater)
        return self.write_plain(
            FIN | RSV1 | opcode, payload, <uint8_t *>PyBytes_AS_STRING(payload), <size_t>len(payload)
        )

    cdef bytes take(self):
        if self.pieces is not None:
            return b"".join(self.take_pieces())
        if self.out.used == 0:
            return b""
        return <bytes>growing_finish(&self.out, False, False)

    cdef list take_pieces(self):
        cdef list pieces = self.pieces if self.pieces is not None else []
        if self.out.used:
            pieces.append(growing_finish(&self.out, False, False))
        self.pieces = None
        self.piece_bytes = 0
        return pieces

    cdef void drop(self) noexcept:
        self.beginning_lost = self.fragmented != 0
        growing_clear(&self.out)
        self.pieces = None
        self.piece_bytes = 0
        if self.deflater is not None:
            self.deflater.stream = None     # its window holds messages that the peer will never see

    cdef size_t waiting(self) noexcept:
        return self.out.used + self.piece_bytes

    cdef size_t held(self) noexcept:
        cdef size_t held = self.out.capacity + self.piece_bytes
        if self.deflater is not None and self.deflater.stream is not None:
            held += COMPRESSOR_BYTES
        return held


def encode_frame(opcode, bytes payload=b"", *, bint fin=True, rsv=0, key=None, length_bytes=None) -> bytes:
    """Encode one frame, right or wrong: the tool for tests, fuzzers and probes that must break a rule on purpose.

    Args:
        opcode: 0 to 15.
        payload: unmasked payload.
        fin: the FIN bit.
        rsv: RSV1 to RSV3 as a number from 0 to 7 (RSV1 is 4).
        key: masking-key of 4 bytes; None: not masked.
        length_bytes: 0, 2 or 8 bytes of extended length, whether or not that is minimal; None: the minimal form.

    Raises:
        ArgumentError: a number or a size is out of range.
    """
    cdef uint8_t head[14]
    cdef uint32_t mask = 0
    cdef size_t size = len(payload)
    if not 0 <= opcode <= 15 or not 0 <= rsv <= 7 or length_bytes not in (None, 0, 2, 8):
        raise ArgumentError("opcode must be 0 to 15, rsv 0 to 7, length_bytes 0, 2, 8 or None")
    if key is not None and (not isinstance(key, bytes) or len(key) != 4):
        raise ArgumentError("key must be 4 bytes")
    cdef uint8_t first = <uint8_t>((0x80 if fin else 0) | rsv << 4 | opcode)
    if length_bytes is None:
        header = (<char *>head)[: write_header(head, first, key is not None, size)]
    elif size >= {0: 126, 2: 1 << 16, 8: 1 << 64}[length_bytes]:
        raise ArgumentError("the payload is too long for length_bytes")
    else:
        marker = {0: size, 2: 126, 8: 127}[length_bytes] | (0x80 if key is not None else 0)
        header = bytes([first, marker]) + (size.to_bytes(length_bytes, "big") if length_bytes else b"")
    if key is None:
        return header + payload
    memcpy(&mask, <const char *><bytes>key, 4)
    masked = bytearray(payload)
    cdef uint8_t *data = <uint8_t *><char *>masked
    _kernels.active_kernels.unmask(data, data, size, mask, 0)
    return header + <bytes>key + bytes(masked)
