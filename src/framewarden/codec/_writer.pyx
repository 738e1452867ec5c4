# cython: language_level=3, boundscheck=False, wraparound=False, initializedcheck=False, cdivision=True
# cython: auto_pickle=False
"""Frames that go out: header (RFC 6455 5.2), masking for a client (5.3), gathered into one object for one write."""

cimport cython
from libc.stdint cimport uint8_t, uint32_t, uint64_t
from libc.string cimport memcpy

from framewarden.codec._payload cimport growing_clear, growing_finish, growing_reserve
from framewarden.kernels cimport _kernels

from framewarden.errors import ArgumentError

cdef size_t LARGEST_HEADER = 14


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
cdef class FrameWriter:
    """Encodes frames and keeps them until they are taken.

    Args:
        client: frames are masked with keys of their own (RFC 6455 5.1, 10.3).
        key_source: called with 4, returns 4 unpredictable bytes; only a client asks it.
    """

    def __cinit__(self, bint client, object key_source):
        self.client = client
        self.key_source = key_source

    def __dealloc__(self):
        growing_clear(&self.out)

    cdef int write(self, uint8_t opcode, bint rsv1, const uint8_t *payload, size_t size) except -1:
        cdef uint32_t key = 0
        cdef uint8_t *out
        cdef size_t header
        if self.client:
            key = fresh_key(self.key_source)
        growing_reserve(&self.out, False, size + LARGEST_HEADER, 0)
        out = self.out.data + self.out.used
        header = write_header(out, 0x80 | (0x40 if rsv1 else 0) | opcode, self.client, size)
        if self.client:
            memcpy(out + header, &key, 4)
            header += 4
            _kernels.active_kernels.unmask(out + header, payload, size, key, 0)
        elif size:
            memcpy(out + header, payload, size)
        self.out.used += header + size
        return 0

    cdef bytes take(self):
        if self.out.used == 0:
            return b""
        return <bytes>growing_finish(&self.out, False, False)


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
        header = bytes([first, marker]) + size.to_bytes(length_bytes, "big")
    if key is None:
        return header + payload
    memcpy(&mask, <const char *><bytes>key, 4)
    masked = bytearray(payload)
    cdef uint8_t *data = <uint8_t *><char *>masked
    _kernels.active_kernels.unmask(data, data, size, mask, 0)
    return header + <bytes>key + bytes(masked)
