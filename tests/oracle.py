"""The Inspector's oracle: the same judgements, as obvious and as slow as they can be.

Written from RFC 6455, RFC 7692 and RFC 3629, one byte at a time, without a line of framewarden: of its ``Limits`` it
uses the names of the fields. It takes a whole stream, so it cannot depend on how the stream is cut. ``zlib`` inflates
and ``msgspec`` decodes; for a schema only the close code and the offset of a violation are meant to be compared, not
the rule.
"""

import json
import re
import zlib
from collections.abc import Callable, Iterable, Iterator
from typing import Any, NamedTuple

import msgspec

__all__ = ["CODES", "Inflate", "Outcome", "Types", "judge", "replies", "utf8_error"]

CONTINUATION, TEXT, BINARY, CLOSE, PING, PONG = 0x0, 0x1, 0x2, 0x8, 0x9, 0xA
OPCODES = {CONTINUATION, TEXT, BINARY, CLOSE, PING, PONG}

CODES = {
    "reserved-bits": 1002,
    "reserved-opcode": 1002,
    "rsv1-on-control": 1002,
    "rsv1-on-continuation": 1002,
    "fragmented-control": 1002,
    "unexpected-continuation": 1002,
    "interleaved-message": 1002,
    "control-flood": 4413,
    "too-many-fragments": 4413,
    "unmasked-frame": 1002,
    "masked-frame": 1002,
    "oversized-control": 1002,
    "length-high-bit": 1002,
    "length-not-minimal": 1002,
    "frame-too-big": 1009,
    "message-too-big": 1009,
    "empty-fragments": 4413,
    "invalid-utf8": 1007,
    "close-length": 1002,
    "close-code": 1002,
    "close-reason-utf8": 1007,
    "deflate-data": 1007,
    "inflated-too-big": 1009,
    "inflate-ratio": 1009,
    "inflate-work": 4413,
    "decode-nodes": 4413,
    "schema-opcode": 1003,
    "schema": 4422,
    "schema-duplicate-key": 4422,
    "schema-hook": 1011,
}
"""Every rule that the oracle knows, and its close code. "schema" stands for any schema rule with 4422."""

PAYLOAD_PIECE = 16 * 1024
"""Compressed payload is judged when a frame ends, or when this many bytes of it wait: never earlier, never later."""
OUTPUT_PIECE = 64 * 1024
"""What a piece inflates to is judged when this many bytes have come out, and at its end."""
LARGEST_WINDOW_BITS = 15
RATIO_FLOOR = 64 * 1024
WORK_FLOOR = 16 * 1024
WORK_FACTOR = 8
RESTART_CHARGE = 1024
TAIL = b"\x00\x00\xff\xff"


class Inflate(NamedTuple):
    """What was negotiated for the direction that is read (RFC 7692 7.1)."""

    window_bits: int = 15
    context_takeover: bool = False


class Types(NamedTuple):
    """What messages must be."""

    text: Any = None
    binary: Any = None
    duplicate_keys: str = "allow"
    dec_hook: Callable[[type, Any], Any] | None = None


class Outcome(NamedTuple):
    """What a stream gives.

    ``events`` holds ``("message", opcode, data, wire bytes, inflated bytes)``, ``("ping", data)``, ``("pong", data)``
    and ``("close", code, reason)``. ``violation`` is ``(rule, close code, offset)``.
    """

    events: list[tuple[Any, ...]]
    violation: tuple[str, int, int] | None


class _EndError(Exception):
    """The stream has no further byte."""


class _BrokenError(Exception):
    """A rule was broken: (rule, offset)."""


def judge(
    stream: bytes | Iterable[bytes],
    limits: Any,
    role: str = "server",
    deflate: Inflate | None = None,
    *,
    types: Types | None = None,
    deliver: bool = True,
    clock: Callable[[], float] = lambda: 0.0,
) -> Outcome:
    """Read a stream to its end, its Close or its first violation."""
    whole = stream if isinstance(stream, bytes) else b"".join(stream)
    connection = _Connection(whole, limits, role, deflate, types, deliver, clock)
    try:
        while not connection.closed:
            connection.read_frame()
    except _EndError:
        pass
    except _BrokenError as broken:
        rule, offset = broken.args
        return Outcome(connection.events, (rule, CODES[rule], offset))
    return Outcome(connection.events, None)


def replies(outcome: Outcome) -> list[tuple[int, bytes]]:
    """The frames that an endpoint owes for an outcome, as (opcode, payload): a Pong a Ping, and a Close at the end."""
    frames: list[tuple[int, bytes]] = [(PONG, event[1]) for event in outcome.events if event[0] == "ping"]
    if outcome.violation is not None:
        rule, code, _ = outcome.violation
        frames.append((CLOSE, code.to_bytes(2, "big") + rule.encode()))
    elif outcome.events and outcome.events[-1][0] == "close":
        code = outcome.events[-1][1]
        frames.append((CLOSE, b"" if code == 1005 else code.to_bytes(2, "big")))
    return frames


class _Connection:
    def __init__(
        self,
        stream: bytes,
        limits: Any,
        role: str,
        deflate: Inflate | None,
        types: Types | None,
        deliver: bool,
        clock: Callable[[], float],
    ) -> None:
        self.stream = stream
        self.position = 0
        self.limits = limits
        self.role = role
        self.deflate = deflate
        self.types = types
        self.deliver = deliver
        self.clock = clock
        self.events: list[tuple[Any, ...]] = []
        self.closed = False
        self.control_run = 0
        self.control_since = 0.0
        self.empty_run = 0
        self.message: _Message | None = None
        self.inflater: _Inflater | None = None

    def byte(self) -> int:
        if self.position == len(self.stream):
            raise _EndError
        value = self.stream[self.position]
        self.position += 1
        return value

    def read_frame(self) -> None:
        start = self.position
        first = self.byte()
        fin, opcode = bool(first & 0x80), first & 0x0F
        self.check_first_byte(start, first)
        second = self.byte()
        masked, length = bool(second & 0x80), second & 0x7F
        self.check_second_byte(start, opcode, masked, length)
        length = self.read_length(start, length)
        if opcode & 0x8:
            self.read_control(opcode, length, masked)
        else:
            self.read_data(start, first, fin, opcode, length, masked)

    def check_first_byte(self, start: int, first: int) -> None:
        """RFC 6455 5.2, 5.4, 5.5; RFC 7692 6.1."""
        fin, opcode = first & 0x80, first & 0x0F
        control, rsv1 = opcode & 0x8, first & 0x40
        if first & 0x30 or (rsv1 and self.deflate is None):
            raise _BrokenError("reserved-bits", start)
        if opcode not in OPCODES:
            raise _BrokenError("reserved-opcode", start)
        if rsv1 and control:
            raise _BrokenError("rsv1-on-control", start)
        if rsv1 and opcode == CONTINUATION:
            raise _BrokenError("rsv1-on-continuation", start)
        if control and not fin:
            raise _BrokenError("fragmented-control", start)
        if opcode == CONTINUATION and self.message is None:
            raise _BrokenError("unexpected-continuation", start)
        if opcode in (TEXT, BINARY) and self.message is not None:
            raise _BrokenError("interleaved-message", start)
        if control:
            now = self.clock()
            if self.control_run and abs(now - self.control_since) >= 1:
                self.control_run = 0
            if self.control_run == 0:
                self.control_since = now
            self.control_run += 1
            if self.control_run > self.limits.max_control_run:
                raise _BrokenError("control-flood", start)
        elif self.message is not None and self.message.fragments + 1 > self.limits.max_fragments:
            raise _BrokenError("too-many-fragments", start)

    def check_second_byte(self, start: int, opcode: int, masked: bool, length: int) -> None:
        """RFC 6455 5.1, 5.5, 5.5.1."""
        if self.role == "server" and not masked:
            raise _BrokenError("unmasked-frame", start + 1)
        if self.role == "client" and masked:
            raise _BrokenError("masked-frame", start + 1)
        if opcode & 0x8 and length > 125:
            raise _BrokenError("oversized-control", start + 1)
        if opcode == CLOSE and length == 1:
            raise _BrokenError("close-length", start + 1)

    def read_length(self, start: int, length: int) -> int:
        """RFC 6455 5.2: the most significant bit MUST be 0; the minimal number of bytes MUST be used."""
        if length < 126:
            return length
        size, least = (2, 126) if length == 126 else (8, 65536)
        length = self.byte()
        if size == 8 and length & 0x80:
            raise _BrokenError("length-high-bit", start + 2)
        for _ in range(size - 1):
            length = length * 256 + self.byte()
        if length < least:
            raise _BrokenError("length-not-minimal", start + 2)
        return length

    def read_payload(self, length: int, masked: bool) -> Iterable[int]:
        """RFC 6455 5.3: byte i is XORed with byte i modulo 4 of the masking-key."""
        for index in range(length):
            value = self.byte()
            yield value ^ self.key[index % 4] if masked else value

    def read_key(self, masked: bool) -> None:
        self.key = bytes(self.byte() for _ in range(4)) if masked else b""

    def read_control(self, opcode: int, length: int, masked: bool) -> None:
        """RFC 6455 5.5."""
        self.read_key(masked)
        begin = self.position
        payload = bytes(self.read_payload(length, masked))
        if opcode == PING:
            self.events.append(("ping", payload))
        elif opcode == PONG:
            self.events.append(("pong", payload))
        else:
            self.events.append(self.read_close(payload, begin))
            self.closed = True

    @staticmethod
    def read_close(payload: bytes, begin: int) -> tuple[str, int, str]:
        """RFC 6455 5.5.1, 7.4, and the IANA registry (1012, 1013, 1014)."""
        if not payload:
            return ("close", 1005, "")
        code = payload[0] * 256 + payload[1]
        if not (1000 <= code <= 1003 or 1007 <= code <= 1014 or 3000 <= code <= 4999):
            raise _BrokenError("close-code", begin)
        bad = utf8_error(payload[2:])
        if bad is not None:
            raise _BrokenError("close-reason-utf8", begin + 2 + bad)
        return ("close", code, payload[2:].decode())

    def read_data(self, start: int, first: int, fin: bool, opcode: int, length: int, masked: bool) -> None:
        if self.message is None:
            self.message = _Message(start, opcode, bool(first & 0x40))
            if self.message.compressed:
                assert self.deflate is not None
                if self.inflater is None or not self.deflate.context_takeover:
                    self.inflater = _Inflater(self.deflate)
                self.inflater.begin()
        message = self.message
        message.fragments += 1
        self.check_sizes(message, length, fin, start + (2 if length > 125 else 1))
        self.read_key(masked)
        for value in self.read_payload(length, masked):
            if message.compressed:
                if len(message.piece) == PAYLOAD_PIECE:
                    self.inflate(message)
                message.piece.append(value)
            message.wire += 1
            if not message.compressed:
                message.data.append(value)
                if message.opcode == TEXT and not message.utf8.step(value):
                    raise _BrokenError("invalid-utf8", self.position - 1)
        if message.compressed:
            if fin:
                self.end_compressed(message)
            self.inflate(message)
        if fin:
            self.finish(message)
            self.message = None

    def check_sizes(self, message: "_Message", length: int, fin: bool, offset: int) -> None:
        message.declared += length
        if length > self.limits.max_frame_bytes:
            raise _BrokenError("frame-too-big", offset)
        if message.declared > self.limits.max_message_bytes:
            raise _BrokenError("message-too-big", offset)
        if length or fin:
            self.empty_run = self.control_run = 0
        else:
            self.empty_run += 1
            if self.empty_run > self.limits.max_empty_run:
                raise _BrokenError("empty-fragments", offset)

    def end_compressed(self, message: "_Message") -> None:
        """RFC 7692 7.2.2: append 4 octets of 0x00 0x00 0xff 0xff to the tail end of the payload of the message."""
        if not message.wire:  # 7.2.3.6: even an empty message has the byte 0x00
            raise _BrokenError("deflate-data", message.start)
        message.ended = True

    def inflate(self, message: "_Message") -> None:
        """Judge the piece of payload that waits: DEFLATE data, sizes, and then text."""
        assert self.inflater is not None
        assert self.deflate is not None
        piece, message.piece = bytes(message.piece), bytearray()
        begin = len(message.data)
        try:
            for output in self.inflater.feed(piece + TAIL if message.ended else piece, self.room(message)):
                message.data += output
                self.check_inflated(message)
            if message.ended and not self.deflate.context_takeover and not self.inflater.at_boundary():
                raise _BrokenError("deflate-data", message.start)
        except zlib.error:
            raise _BrokenError("deflate-data", message.start) from None
        if message.opcode == TEXT and not all(message.utf8.step(value) for value in message.data[begin:]):
            raise _BrokenError("invalid-utf8", message.start)

    def room(self, message: "_Message") -> Callable[[], int]:
        """How much may come out at once: one byte more than is allowed tells that it is too much."""
        return lambda: min(OUTPUT_PIECE, self.limits.max_inflated_bytes - len(message.data) + 1)

    def check_inflated(self, message: "_Message") -> None:
        assert self.inflater is not None
        size = len(message.data)
        if size > self.limits.max_inflated_bytes:
            raise _BrokenError("inflated-too-big", message.start)
        if size > RATIO_FLOOR and size > self.limits.max_inflate_ratio * message.wire:
            raise _BrokenError("inflate-ratio", message.start)
        if message.wire + RESTART_CHARGE * self.inflater.restarts > WORK_FLOOR + WORK_FACTOR * size:
            raise _BrokenError("inflate-work", message.start)

    def finish(self, message: "_Message") -> None:
        """The final frame of a message is complete."""
        if message.opcode == TEXT and message.utf8.ranges:
            raise _BrokenError("invalid-utf8", message.start if message.compressed else self.position)
        if not self.deliver:
            return
        payload = bytes(message.data)
        data: Any = payload.decode() if message.opcode == TEXT else payload
        if self.types is not None:
            data = self.decode(message, payload, self.types)
        self.events.append(("message", message.opcode, data, message.wire, len(payload)))

    def decode(self, message: "_Message", payload: bytes, types: Types) -> Any:
        text = message.opcode == TEXT
        kind = types.text if text else types.binary
        if kind is None:
            raise _BrokenError("schema-opcode", message.start)
        decoder = msgspec.json if text else msgspec.msgpack
        if len(payload) > self.limits.max_decode_nodes and _nodes(payload, text) > self.limits.max_decode_nodes:
            raise _BrokenError("decode-nodes", message.start)
        try:
            value = decoder.decode(payload, type=kind, dec_hook=types.dec_hook)
            if text and types.duplicate_keys == "refuse":
                json.loads(payload, object_pairs_hook=_unique)
        except _DuplicateKeyError:
            raise _BrokenError("schema-duplicate-key", message.start) from None
        except (ValueError, RecursionError):
            raise _BrokenError("schema", message.start) from None
        except Exception:  # noqa: BLE001 - whatever a hook raises is the hook's failure
            raise _BrokenError("schema-hook", message.start) from None
        return value


class _Message:
    """A message that has begun."""

    def __init__(self, start: int, opcode: int, compressed: bool) -> None:
        self.start = start
        self.opcode = opcode
        self.compressed = compressed
        self.fragments = 0
        self.declared = 0
        self.wire = 0
        self.data = bytearray()
        self.utf8 = _Utf8()
        self.piece = bytearray()
        self.ended = False


class _Inflater:
    """RFC 7692 7.2.2, over as many DEFLATE streams as a peer ends with BFINAL (7.2.3.4)."""

    def __init__(self, parameters: Inflate) -> None:
        # A stream that ends with its message may as well have the largest window.
        self.window_bits = max(parameters.window_bits, 9) if parameters.context_takeover else LARGEST_WINDOW_BITS
        self.stream = zlib.decompressobj(-self.window_bits)
        self.restarts = 0

    def begin(self) -> None:
        self.restarts = 0

    def feed(self, data: bytes, room: Callable[[], int]) -> Iterator[bytes]:
        """What comes out, at most ``room()`` bytes at a time, and once even if that is nothing."""
        while data:
            if self.stream.eof:
                self.stream = zlib.decompressobj(-self.window_bits)
                self.restarts += 1
            wanted = room()
            output = self.stream.decompress(data, wanted)
            yield output
            if self.stream.eof:
                data = self.stream.unused_data
            elif len(output) == wanted:
                data = self.stream.unconsumed_tail
                if not data:  # more may be waiting inside zlib
                    yield self.stream.decompress(b"", room())
            else:
                data = b""

    def at_boundary(self) -> bool:
        """Whether a new block may begin here: then an empty final one, of either kind, ends the stream exactly."""
        return self.stream.eof or (self.ends_with(b"\x03\x00") and self.ends_with(b"\x01\x00\x00\xff\xff"))

    def ends_with(self, block: bytes) -> bool:
        copy = self.stream.copy()
        try:
            output = copy.decompress(block)
        except zlib.error:
            return False
        return copy.eof and not output and not copy.unused_data


# RFC 3629 4: what may follow each first byte, as ranges.
_TAIL = (0x80, 0xBF)
_FIRST: list[tuple[int, int, list[tuple[int, int]]]] = [
    (0x00, 0x7F, []),
    (0xC2, 0xDF, [_TAIL]),
    (0xE0, 0xE0, [(0xA0, 0xBF), _TAIL]),
    (0xE1, 0xEC, [_TAIL, _TAIL]),
    (0xED, 0xED, [(0x80, 0x9F), _TAIL]),
    (0xEE, 0xEF, [_TAIL, _TAIL]),
    (0xF0, 0xF0, [(0x90, 0xBF), _TAIL, _TAIL]),
    (0xF1, 0xF3, [_TAIL, _TAIL, _TAIL]),
    (0xF4, 0xF4, [(0x80, 0x8F), _TAIL, _TAIL]),
]


class _Utf8:
    """``ranges``: what the bytes of the character that has begun still have to be."""

    def __init__(self) -> None:
        self.ranges: list[tuple[int, int]] = []

    def step(self, value: int) -> bool:
        """Take one byte; whether it can stand here."""
        if self.ranges:
            low, high = self.ranges.pop(0)
            return low <= value <= high
        for low, high, following in _FIRST:
            if low <= value <= high:
                self.ranges = list(following)
                return True
        return False


def utf8_error(data: bytes) -> int | None:
    """The index of the first byte that cannot stand where it is, ``len(data)`` if it is cut, None if it is UTF-8."""
    state = _Utf8()
    for index, value in enumerate(data):
        if not state.step(value):
            return index
    return len(data) if state.ranges else None


class _DuplicateKeyError(Exception):
    """An object has the same name twice."""


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    if len(dict(pairs)) < len(pairs):
        raise _DuplicateKeyError
    return dict(pairs)


def _nodes(payload: bytes, text: bool) -> int:
    """How many values a message has, a name being one too; if it is malformed, as many as come before that.

    Before each value of a JSON text but the first stands one of ``,:[{``. A text that has fewer of these than values is
    not JSON, and the decoder that refuses it makes no more values of it than that.
    """
    if not text:
        return _msgpack_nodes(payload)
    return min(len(_JSON_VALUE.findall(payload)), 1 + sum(payload.count(each) for each in b",:[{"))


# A string, or what opens an array or an object, or any other run of bytes that belong together.
_JSON_VALUE = re.compile(rb'"(?:\\.?|[^"\\])*"?|[\[{]|[^\x00-\x20"\[\]{},:]+', re.DOTALL)

# First byte: (bytes of the length that follows, bytes for each unit of it, values for each unit of it, other bytes).
_MSGPACK: dict[int, tuple[int, int, int, int]] = {
    0xC4: (1, 1, 0, 0), 0xC5: (2, 1, 0, 0), 0xC6: (4, 1, 0, 0),  # bin
    0xC7: (1, 1, 0, 1), 0xC8: (2, 1, 0, 1), 0xC9: (4, 1, 0, 1),  # ext
    0xCA: (0, 0, 0, 4), 0xCB: (0, 0, 0, 8),  # float
    0xCC: (0, 0, 0, 1), 0xCD: (0, 0, 0, 2), 0xCE: (0, 0, 0, 4), 0xCF: (0, 0, 0, 8),  # uint
    0xD0: (0, 0, 0, 1), 0xD1: (0, 0, 0, 2), 0xD2: (0, 0, 0, 4), 0xD3: (0, 0, 0, 8),  # int
    0xD4: (0, 0, 0, 2), 0xD5: (0, 0, 0, 3), 0xD6: (0, 0, 0, 5), 0xD7: (0, 0, 0, 9), 0xD8: (0, 0, 0, 17),  # fixext
    0xD9: (1, 1, 0, 0), 0xDA: (2, 1, 0, 0), 0xDB: (4, 1, 0, 0),  # str
    0xDC: (2, 0, 1, 0), 0xDD: (4, 0, 1, 0),  # array
    0xDE: (2, 0, 2, 0), 0xDF: (4, 0, 2, 0),  # map
}  # fmt: skip


def _msgpack_nodes(payload: bytes) -> int:
    nodes, missing, position = 0, 1, 0
    while missing and position < len(payload):
        kind = payload[position]
        position += 1
        nodes += 1
        missing -= 1
        if 0x80 <= kind <= 0x8F:
            missing += 2 * (kind & 0x0F)
        elif 0x90 <= kind <= 0x9F:
            missing += kind & 0x0F
        elif 0xA0 <= kind <= 0xBF:
            position += kind & 0x1F
        else:
            size, unit_bytes, unit_values, other = _MSGPACK.get(kind, (0, 0, 0, 0))
            units = int.from_bytes(payload[position : position + size], "big")
            position += size + units * unit_bytes + other
            missing += units * unit_values
    return nodes
