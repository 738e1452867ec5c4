# cython: language_level=3, boundscheck=False, wraparound=False, initializedcheck=False, cdivision=True
# cython: auto_pickle=False
"""permessage-deflate (RFC 7692): the payload of one message, inflated or deflated, on zlib-ng.

Output is asked for in pieces, so that a message that grows too far is found after at most one piece too many. A block
that yields nothing costs the sender two bytes and us a table, and the sizes do not see it; so the compressed bytes are
counted against what came out of them (class of CVE-2026-128131).
"""

cimport cython
from libc.stdint cimport uint64_t
from libc.string cimport memcpy

from framewarden.codec._payload cimport Scratch

from zlib_ng import zlib_ng

cdef uint64_t PIECE = 64 * 1024             # bytes of output that are asked for at once
cdef uint64_t RATIO_FROM = 64 * 1024        # bytes of output from which on the ratio is judged
cdef uint64_t WORK_FREE = 16 * 1024         # compressed bytes that may yield nothing
cdef uint64_t WORK_PER_BYTE = 8             # compressed bytes that one inflated byte may cost, beyond those
cdef uint64_t RESTART_COST = 1024           # compressed bytes that starting a new stream counts as

cdef const char *TAIL = b"\x00\x00\xff\xff"
# RFC 7692 7.2.1: an empty stored block, which the sender took off the end of a message and the receiver puts back.
cdef size_t TAIL_SIZE = 4
cdef bytes FINAL_BLOCK = b"\x03\x00"
# RFC 1951 3.2.6: an empty last block. Fed behind the tail it ends the stream, unless the message was cut inside a
# block: then it is taken for data, or is an error. Only for streams that end with the message.

cdef dict idle_compressors = {}     # (level, window_bits): a compressor without history


@cython.final
@cython.no_gc
cdef class Inflater:
    """Inflates messages, one after the other, each with begin(), feed() and take().

    Args:
        window_bits: 2**n bytes of window, 8 to 15.
        takeover: a message may refer to those before it (RFC 7692 7.1.1). The window, about 40 KiB, is made at the
            first compressed message and then kept. Without takeover each message has a stream of its own, nothing is
            kept, and a message that ends inside a block is found.
        max_bytes: what a message may become, in bytes.
        max_ratio: how many times its wire size it may become, above 64 KiB.
    """

    def __cinit__(self, int window_bits, bint takeover, uint64_t max_bytes, uint64_t max_ratio):
        # A stream that is dropped with its message costs no memory, so it has the largest window. One that stays has
        # what was agreed upon, but not less than 9: an encoder that was told 8 uses 9, zlib cannot do less.
        self.window_bits = max(window_bits, 9) if takeover else 15
        self.takeover = takeover
        self.max_bytes = max_bytes
        self.max_ratio = max_ratio

    cdef void begin(self) noexcept:
        self.charged = self.wire = self.size = 0

    cdef Inflated feed(self, Scratch piece, bint last) except INFLATED_ERROR:
        cdef Inflated result = INFLATED_OK
        self.charged += piece.size
        self.wire += piece.size
        if last:
            if self.wire == 0:
                result = INFLATED_GARBAGE   # RFC 7692 7.2.3.6: even an empty message has one octet
            self.put_tail(piece)
        if piece.size and result == INFLATED_OK:
            result = self.inflate(piece)
        if last and not self.takeover:
            if result == INFLATED_OK and not self.ends_whole():
                result = INFLATED_GARBAGE
            self.stream = None
        if result != INFLATED_OK:
            self.abandon()
        return result

    cdef int put_tail(self, Scratch piece) except -1:
        piece.reserve(piece.size + TAIL_SIZE)
        memcpy(piece.data + piece.size, TAIL, TAIL_SIZE)
        piece.size += TAIL_SIZE
        return 0

    cdef bint ends_whole(self) except -1:
        """Whether the stream, with its tail, stands between two blocks."""
        cdef bytes out
        if self.stream.eof:
            return True
        out = decompress(self.stream, FINAL_BLOCK, 1)
        return out is not None and not out and self.stream.eof and not self.stream.unused_data

    cdef Inflated inflate(self, object piece) except INFLATED_ERROR:
        """All that comes out of one piece. A final block ends the stream (RFC 7692 7.2.3.4), a new one goes on behind
        it; that it does not know the window of the one before is the one thing of the RFC that zlib cannot do."""
        cdef Inflated result
        cdef Py_ssize_t size
        cdef uint64_t wanted
        cdef bytes out
        while True:
            if self.stream is None:
                self.stream = zlib_ng.decompressobj(-self.window_bits)
            elif self.stream.eof:
                self.charged += RESTART_COST
                self.stream = zlib_ng.decompressobj(-self.window_bits)
            wanted = min(PIECE, self.max_bytes - self.size + 1)
            out = decompress(self.stream, piece, wanted)
            if out is None:
                return INFLATED_GARBAGE
            size = len(out)
            if size:
                self.size += <uint64_t>size
                if self.pieces is None:
                    self.pieces = []
                self.pieces.append(out)
            result = self.judge()
            if result != INFLATED_OK:
                return result
            if self.stream.eof:
                piece = self.stream.unused_data
                if not piece:
                    return INFLATED_OK
            elif <uint64_t>size < wanted:
                return INFLATED_OK
            else:
                piece = self.stream.unconsumed_tail

    cdef Inflated judge(self) noexcept:
        if self.size > self.max_bytes:
            return INFLATED_TOO_BIG
        if self.size > RATIO_FROM and self.size > self.max_ratio * self.wire:
            return INFLATED_RATIO
        if self.charged > WORK_FREE + WORK_PER_BYTE * self.size:
            return INFLATED_WORK
        return INFLATED_OK

    cdef bytes take(self):
        cdef list pieces = self.pieces
        self.pieces = None
        if pieces is None:
            return b""
        return <bytes>pieces[0] if len(pieces) == 1 else b"".join(pieces)

    cdef size_t held(self) except? 0:
        cdef size_t held = 0 if self.stream is None else DECOMPRESSOR_BYTES
        if self.pieces is not None:
            held += <size_t>self.size
        return held

    cdef void abandon(self) noexcept:
        """Let go of everything."""
        self.stream = None
        self.pieces = None


cdef bytes decompress(object stream, object piece, uint64_t wanted):
    """None: it is no DEFLATE stream."""
    cdef bytes out = None
    try:
        out = stream.decompress(piece, wanted)
    except zlib_ng.error:
        pass    # no return in here: Cython crashes at one when there was no memory for the traceback
    return out


@cython.final
@cython.no_gc
cdef class Deflater:
    """Deflates messages.

    Args:
        window_bits: 2**n bytes of window, 9 to 15.
        takeover: a message may refer to those before it; the window is kept then.
        level: 1 (fast) to 9 (small).
    """

    def __cinit__(self, int window_bits, bint takeover, int level):
        self.window_bits = window_bits
        self.takeover = takeover
        self.level = level

    cdef bytes deflate(self, object payload, Py_ssize_t size):
        cdef bytes data
        if size == 0:
            return b"\x00"      # RFC 7692 7.2.3.6: an empty message is one empty stored block, less its tail
        if self.takeover:
            if self.stream is None:
                self.stream = new_compressor(self.level, self.window_bits)
            data = self.stream.compress(payload) + self.stream.flush(zlib_ng.Z_SYNC_FLUSH)
        else:
            data = deflate_alone(payload, self.level, self.window_bits)
        return data[: len(data) - TAIL_SIZE]


cdef object new_compressor(int level, int window_bits):
    return zlib_ng.compressobj(level, zlib_ng.DEFLATED, -window_bits)


cdef bytes deflate_alone(object payload, int level, int window_bits):
    """Deflate without history, and leave none: a compressor is some 270 KiB, so all connections share one of a kind. It
    is out of the dictionary while it works, because zlib lets other threads run, and lost if it fails."""
    key = (level, window_bits)
    stream = idle_compressors.pop(key, None)
    if stream is None:
        stream = new_compressor(level, window_bits)
    data = stream.compress(payload) + stream.flush(zlib_ng.Z_FULL_FLUSH)
    idle_compressors[key] = stream
    return data
