"""Mutation that knows frames: a stream is taken apart, changed in a few places and put together again.

A frame keeps what its header declares and what it carries apart (RFC 6455 5.2), so that a length can lie, and its
payload is changed in the clear, below its mask. The blind steps, that know bytes only, are those of ``fuzz/mutate.py``.
"""

import random
from collections.abc import Callable, Sequence
from typing import NamedTuple, Self, TypeVar

__all__ = ["MOST_FRAMES", "STEPS", "Frame", "Parts", "cross", "join", "mutate", "split"]

Item = TypeVar("Item")

FIN, RSV1 = 0x80, 0x40
CONTINUATION, TEXT, BINARY, CLOSE, PING, PONG = 0x0, 0x1, 0x2, 0x8, 0x9, 0xA
ZERO_KEY = bytes(4)

MOST_FRAMES = 1024
"""Frames that ``split`` takes apart; what follows them stays in the tail, so that the work on a stream is bounded."""
MOST_STEPS = 4

# Payload lengths at the edges of the length forms (RFC 6455 5.2) and of integers that somebody may keep them in.
LENGTHS = (0, 1, 124, 125, 126, 127, 128, 255, 256, 65535, 65536, 2**31 - 1, 2**31, 2**32 - 1, 2**32, 2**32 + 5,
           2**62, 2**63 - 1, 2**63, 2**64 - 1)  # fmt: skip
SIZES = (0, 1, 2, 15, 16, 17, 31, 32, 33, 63, 64, 65, 124, 125, 126, 127, 128, 65535, 65536)
OPCODES = (CONTINUATION, TEXT, BINARY, CLOSE, PING, PONG, CONTINUATION, TEXT, BINARY, 0x3, 0x7, 0xB, 0xF)
TIMES = (2, 3, 5, 10, 63, 64, 65, 70, 1024, 1025, 2000)
CODES = (0, 1, 999, 1000, 1001, 1002, 1003, 1004, 1005, 1006, 1007, 1011, 1012, 1014, 1015, 1016, 2999, 3000, 4999,
         5000, 65535)  # fmt: skip
REASONS = (b"", b"", b"bye", b"\xc3\xa9", b"\xff", b"\xe2\x82", b"\xed\xa0\x80", b"r" * 123, b"r" * 124)


def _hexes(text: str) -> tuple[bytes, ...]:
    return tuple(map(bytes.fromhex, text.split()))


# UTF-8 that is whole, cut, overlong, a surrogate, too large, or a byte that no text has (RFC 3629 3, 4).
UTF8 = _hexes(
    "c3a9 e282ac f09f9880 f48fbfbf c3 e2 e282 f09f98 f09f 80 bf c080 c0af c1bf e08080 e09fbf f0808080 f08fbfbf eda080"
    " edafbf edb080 edbfbf eda080edb080 f4908080 f5808080 f8 fc fe ff 61ff 6162e2 efbfbe efbbbf 00"
)
# DEFLATE (RFC 1951) that is empty, final, stored, cut, malformed, or begins with a block that yields nothing.
DEFLATE = _hexes(
    "00 0300 01 06 07 05 0200 f248cdc9c90700 f348cdc9c9070000 f248cdc9c9 f20011000000 010600f9ff 010400fbff 000000ffff"
    " 010000ffff 0100010000 03000300030000 000000ffff000000ffff 4b4c040000 4a4c0400 ffffffff ed c1 4b04"
)


class Frame:
    """One frame as it is on the wire.

    Attributes:
        first: FIN, RSV1 to RSV3 and the opcode.
        form: bytes of the extended payload length: 0, 2 or 8.
        declared: payload length that the header says, in bytes.
        key: masking-key; None: MASK is not set.
        data: payload as it is sent; it may be shorter or longer than ``declared``.
        times: how often in a row the frame is sent.
    """

    __slots__ = ("data", "declared", "first", "form", "key", "times")

    def __init__(self, first: int, form: int, declared: int, key: bytes | None, data: bytes, times: int = 1) -> None:
        self.first = first
        self.form = form
        self.declared = declared
        self.key = key
        self.data = data
        self.times = times

    @classmethod
    def carrying(cls, first: int, payload: bytes, key: bytes | None) -> Self:
        """A frame whose header says the truth about ``payload``, in the fewest bytes."""
        frame = cls(first, 0, 0, key, b"")
        frame.payload = payload
        return frame

    @property
    def payload(self) -> bytes:
        """In the clear. Who sets it sets the length, too, and the fewest bytes for it."""
        return self.data if self.key is None else _masked(self.data, self.key)

    @payload.setter
    def payload(self, payload: bytes) -> None:
        self.data = payload if self.key is None else _masked(payload, self.key)
        self.declared = size = len(payload)
        self.form = 0 if size < 126 else 2 if size < 65536 else 8

    def declare(self, length: int, form: int) -> None:
        """Say ``length``, as far as it fits into ``form``; the payload stays what it is."""
        self.form = form
        self.declared = min(length, 125) if form == 0 else length & (1 << 8 * form) - 1

    @property
    def missing(self) -> int:
        """Bytes of payload that the header declares and that are not there."""
        return max(0, self.declared - len(self.data))

    def complete(self) -> None:
        """Add what is missing; in the clear it is the letter a, which is text. The header stays what it is."""
        payload = self.payload + b"a" * self.missing
        self.data = payload if self.key is None else _masked(payload, self.key)

    def wire(self, room: int | None = None) -> bytes:
        """Its bytes; not more often than until there are ``room`` bytes, if that is given."""
        mask, key = (0, b"") if self.key is None else (0x80, self.key)
        if self.form == 0:
            head = bytes((self.first, mask | self.declared))
        else:
            code = 126 if self.form == 2 else 127
            head = bytes((self.first, mask | code)) + self.declared.to_bytes(self.form, "big")
        once = head + key + self.data
        if self.times == 1:
            return once
        return once * (self.times if room is None else min(self.times, room // len(once) + 1))

    def copy(self) -> "Frame":
        """One that can be changed alone, to be sent once."""
        return Frame(self.first, self.form, self.declared, self.key, self.data)


class Parts(NamedTuple):
    """A stream taken apart.

    Attributes:
        frames: as many as there are; the last one may be cut.
        tail: bytes behind them that are no frame: a header that is cut, or what follows ``MOST_FRAMES`` frames.
    """

    frames: list[Frame]
    tail: bytes


def split(stream: bytes) -> Parts:
    """Take any bytes apart. ``join`` gives the same bytes back.

    Every frame is read by its own MASK bit: a stream may have both kinds. O(n) in the length of the stream.
    """
    frames: list[Frame] = []
    at, end = 0, len(stream)
    while end - at >= 2 and len(frames) < MOST_FRAMES:
        first, second = stream[at], stream[at + 1]
        length = second & 0x7F
        form = 0 if length < 126 else 2 if length == 126 else 8
        begin = at + 2 + form
        if form:
            length = int.from_bytes(stream[at + 2 : begin], "big")
        key = None
        if second & 0x80:
            key = stream[begin : begin + 4]
            begin += 4
        if begin > end:
            break
        frames.append(Frame(first, form, length, key, stream[begin : begin + length]))
        at = min(begin + length, end)
    return Parts(frames, stream[at:])


def join(parts: Parts) -> bytes:
    """Put a stream together."""
    return b"".join([frame.wire() for frame in parts.frames]) + parts.tail


def _join_within(parts: Parts, longest: int) -> bytes:
    """The beginning of a stream, and no work for what follows it."""
    pieces, room = [], longest
    for frame in parts.frames:
        pieces.append(frame.wire(room))
        room -= len(pieces[-1])
        if room <= 0:
            break
    pieces.append(parts.tail)
    return b"".join(pieces)[:longest]


def _masked(data: bytes, key: bytes) -> bytes:
    """RFC 6455 5.3, for masking and for unmasking."""
    size = len(data)
    repeated = (key * (size // 4 + 1))[:size]
    return (int.from_bytes(data, "little") ^ int.from_bytes(repeated, "little")).to_bytes(size, "little")


class _Work:
    """What a step works on: the frames of one stream, a source of chance, and how many bytes may be added."""

    def __init__(self, frames: list[Frame], rng: random.Random, room: int) -> None:
        self.frames = frames
        self.rng = rng
        self.room = max(room, 0)

    def below(self, end: int) -> int:
        """A number from 0 to ``end - 1``; 0 for 0. Five times faster than ``randrange``."""
        return int(self.rng.random() * end)

    def pick(self, items: Sequence[Item]) -> Item:
        return items[int(self.rng.random() * len(items))]

    def frame(self) -> Frame:
        return self.pick(self.frames)

    def key(self, like: Frame) -> bytes | None:
        """A masking-key for a frame beside ``like``; None where that has none."""
        return None if like.key is None else self.rng.randbytes(4)

    def size(self) -> int:
        """Bytes to add: few, or to an edge."""
        return min(self.room, self.pick(SIZES) if self.rng.random() < 0.5 else 1 + self.below(16))


# Steps on the payload of one frame


def grow(work: _Work) -> None:
    """A payload becomes longer: by itself, by zeros or by chance; up to an edge of a length form, or over it."""
    frame = work.frame()
    payload, size = frame.payload, work.size()
    unit = work.pick((payload[:64] or b"a", b"\0", b"a", "\u20ac".encode(), work.rng.randbytes(7)))
    more = (unit * (size // len(unit) + 1))[:size]
    at = work.below(len(payload) + 1)
    frame.payload = payload[:at] + more + payload[at:]


def resize(work: _Work) -> None:
    """A payload gets a size at an edge."""
    frame = work.frame()
    size = min(work.pick(SIZES), len(frame.data) + work.room)
    frame.payload = (frame.payload + b"a" * size)[:size]


def shorten(work: _Work) -> None:
    """A payload loses its end or its beginning, and its header says so."""
    frame = work.frame()
    payload = frame.payload
    at = work.below(len(payload))
    frame.payload = payload[:at] if work.rng.random() < 0.5 else payload[at + 1 :]


def truncate(work: _Work) -> None:
    """A payload loses its end, and its header does not say so: what follows is read as payload."""
    frame = work.frame()
    frame.data = frame.data[: work.below(len(frame.data))]


def overfill(work: _Work) -> None:
    """A payload is longer than its header says: its end is read as a frame."""
    frame = work.frame()
    frame.data += work.rng.randbytes(min(work.room, 1 + work.below(8)))


def spoil_text(work: _Work) -> None:
    """UTF-8 that is no UTF-8, or nearly, anywhere in a payload."""
    frame = work.frame()
    payload = frame.payload
    at = work.below(len(payload) + 1)
    frame.payload = payload[:at] + work.pick(UTF8) + payload[at + work.below(3) :]
    if work.rng.random() < 0.5:
        frame.first = frame.first & FIN | work.pick((TEXT, TEXT, CONTINUATION))


def spoil_deflate(work: _Work) -> None:
    """A compressed message (RFC 7692 6): DEFLATE at its edges, alone, before or behind what there was."""
    frame = work.frame()
    piece, payload = work.pick(DEFLATE), frame.payload
    frame.payload = work.pick((piece, piece, piece + payload, payload + piece))
    frame.first |= RSV1
    if frame.first & 0x0F not in (TEXT, BINARY):
        frame.first = frame.first & 0xF0 | work.pick((TEXT, BINARY))


def store(work: _Work) -> None:
    """A compressed message of one stored block (RFC 1951 3.2.4), whose length may be wrong."""
    frame = work.frame()
    payload = frame.payload[:65535]
    size = len(payload) if work.rng.random() < 0.7 else work.pick((0, 1, 65535))
    check = size ^ 0xFFFF if work.rng.random() < 0.8 else size
    final = work.pick((0, 0, 1))
    frame.payload = bytes((final,)) + size.to_bytes(2, "little") + check.to_bytes(2, "little") + payload + b"\0"
    frame.first = FIN | RSV1 | work.pick((TEXT, BINARY))


def close(work: _Work) -> None:
    """A Close (RFC 6455 5.5.1, 7.4): any code, any reason, no code, half a code."""
    frame = work.frame()
    code = work.pick(CODES) if work.rng.random() < 0.8 else work.below(65536)
    payload = code.to_bytes(2, "big") + work.pick(REASONS)
    chance = work.rng.random()
    frame.payload = b"" if chance < 0.1 else payload[:1] if chance < 0.2 else payload
    frame.first = FIN | CLOSE


# Steps on the header of one frame


def remask(work: _Work) -> None:
    """Another masking-key, perhaps of zeros; the payload in the clear stays."""
    frame = work.frame()
    payload = frame.payload
    frame.key = work.pick((ZERO_KEY, b"\xff\xff\xff\xff", work.rng.randbytes(4), work.rng.randbytes(4)))
    frame.data = _masked(payload, frame.key)


def change_key(work: _Work) -> None:
    """Another masking-key, and the payload in the clear is another one."""
    frame = work.frame()
    if frame.key is not None:
        frame.key = work.pick((ZERO_KEY, work.rng.randbytes(4)))


def toggle_mask(work: _Work) -> None:
    """MASK is set where it was not, or the other way (RFC 6455 5.1)."""
    frame = work.frame()
    if frame.key is None:
        frame.key = work.pick((ZERO_KEY, work.rng.randbytes(4)))
        frame.data = _masked(frame.data, frame.key)
    else:
        payload, frame.key = frame.payload, None
        frame.data = payload if work.rng.random() < 0.5 else frame.data


def change_opcode(work: _Work) -> None:
    """Another opcode, perhaps a reserved one."""
    frame = work.frame()
    frame.first = frame.first & 0xF0 | work.pick(OPCODES)


def toggle_bits(work: _Work) -> None:
    """FIN, or one of RSV1 to RSV3."""
    work.frame().first ^= work.pick((FIN, FIN, FIN, RSV1, RSV1, 0x20, 0x10))


def change_form(work: _Work) -> None:
    """The same length in more bytes than it needs, or in fewer."""
    frame = work.frame()
    frame.declare(frame.declared, work.pick([form for form in (0, 2, 8) if form != frame.form]))


def lie(work: _Work) -> None:
    """Another length than the payload has."""
    frame = work.frame()
    chance = work.rng.random()
    if chance < 0.6:
        length = work.pick(LENGTHS)
    elif chance < 0.8:
        length = len(frame.data) + 1 + work.below(200)
    else:
        length = work.below(len(frame.data))
    least = 0 if length < 126 else 2 if length < 65536 else 8
    frame.declare(length, least if work.rng.random() < 0.7 else work.pick((2, 8)))


# Steps on fragments and on the order of frames


def fragment(work: _Work) -> None:
    """A frame becomes fragments, cut anywhere (RFC 6455 5.4)."""
    index = work.below(len(work.frames))
    size = len(work.frames[index].data)
    _cut(work, index, sorted({work.below(size + 1) for _ in range(1 + work.below(4))}))


def fragment_inside_character(work: _Work) -> None:
    """A frame becomes two fragments, cut inside a character of its text; a character is added if it has none."""
    index = work.below(len(work.frames))
    frame = work.frames[index]
    payload = frame.payload
    inside = [at for at, octet in enumerate(payload[:4096]) if octet & 0xC0 == 0x80]
    if not inside:
        at = work.below(len(payload) + 1)
        character = work.pick(("\u00e9", "\u20ac", "\U0001f600")).encode()
        frame.payload = payload[:at] + character + payload[at:]
        inside = [at + 1]
    if frame.first & 0x0F not in (TEXT, CONTINUATION):
        frame.first = FIN | TEXT
    _cut(work, index, [work.pick(inside)])


def _cut(work: _Work, index: int, points: list[int]) -> None:
    """Make fragments of a frame at these points of its payload; the last one has the FIN that the frame had."""
    frame = work.frames[index]
    payload, first = frame.payload, frame.first
    pieces = [
        Frame.carrying(CONTINUATION, payload[begin:end], work.key(frame))
        for begin, end in zip([0, *points], [*points, len(payload)], strict=True)
    ]
    pieces[0].first = first & 0x7F
    pieces[-1].first |= first & FIN
    work.frames[index : index + 1] = pieces


def merge(work: _Work) -> None:
    """Two frames become one: the first one's opcode, the last one's FIN."""
    if len(work.frames) < 2:
        return
    index = work.below(len(work.frames) - 1)
    one, other = work.frames[index : index + 2]
    merged = Frame.carrying(one.first & 0x7F | other.first & FIN, one.payload + other.payload, one.key)
    work.frames[index : index + 2] = [merged]


def insert_empty(work: _Work) -> None:
    """Empty continuations, one or many."""
    index = work.below(len(work.frames) + 1)
    like = work.frames[index - 1]
    empty = Frame.carrying(CONTINUATION if work.rng.random() < 0.9 else FIN, b"", work.key(like))
    _repeat(work, empty, work.pick((1, 1, 2, *TIMES)))
    work.frames.insert(index, empty)


def insert_control(work: _Work) -> None:
    """A Ping, a Pong or, seldom, a Close between two frames, one or many."""
    index = work.below(len(work.frames) + 1)
    like = work.frames[index - 1]
    payload = work.rng.randbytes(min(work.room, work.pick((0, 0, 4, 125, 126))))
    control = Frame.carrying(FIN | work.pick((PING, PONG, PING, PONG, CLOSE)), payload, work.key(like))
    _repeat(work, control, work.pick((1, 1, 1, 2, *TIMES)))
    work.frames.insert(index, control)


def repeat(work: _Work) -> None:
    """The same frame many times."""
    frame = work.frame()
    _repeat(work, frame, work.pick(TIMES))


def _repeat(work: _Work, frame: Frame, times: int) -> None:
    """As often as there is room for."""
    frame.times = 1
    frame.times = max(1, min(times, work.room // len(frame.wire())))


def duplicate(work: _Work) -> None:
    """A frame once more, somewhere."""
    work.frames.insert(work.below(len(work.frames) + 1), work.frame().copy())


def drop(work: _Work) -> None:
    """A frame is left out; the only one stays."""
    if len(work.frames) > 1:
        del work.frames[work.below(len(work.frames))]


def reorder(work: _Work) -> None:
    """A frame moves to another place."""
    frame = work.frames.pop(work.below(len(work.frames)))
    work.frames.insert(work.below(len(work.frames) + 1), frame)


STEPS: tuple[Callable[[_Work], None], ...] = (
    grow, resize, shorten, truncate, overfill, spoil_text, spoil_deflate, store, close, remask, change_key, toggle_mask,
    change_opcode, toggle_bits, change_form, lie, fragment, fragment_inside_character, merge, insert_empty,
    insert_control, repeat, duplicate, drop, reorder,
)  # fmt: skip
"""Each takes a stream's frames and changes them in one way."""


def mutate(stream: bytes, rng: random.Random, longest: int) -> bytes:
    """Change a stream in 1 to 4 steps. The same ``rng`` gives the same stream.

    Args:
        stream: any bytes; what is no frame at its end is kept or, in one of four cases, left out. If it has no frame,
            one is made: masked, as a client's are.
        rng: where all chance comes from.
        longest: bytes that the result may have.
    """
    frames, tail = split(stream)
    if not frames:
        frames.append(Frame.carrying(FIN | TEXT, stream[:125], rng.randbytes(4)))
        tail = b""
    work = _Work(frames, rng, longest - len(stream))
    for _ in range(1 + work.below(MOST_STEPS)):
        work.pick(STEPS)(work)
    if tail and rng.random() < 0.25:
        tail = b""
    return _join_within(Parts(frames, tail), longest)


def cross(one: bytes, other: bytes, rng: random.Random, longest: int) -> bytes:
    """Put frames of ``other`` between those of ``one``, or in the place of its end; at most ``longest`` bytes."""
    frames, tail = split(one)
    given, given_tail = split(other)
    at = int(rng.random() * (len(frames) + 1))
    begin = int(rng.random() * (len(given) + 1))
    if rng.random() < 0.5:
        return _join_within(Parts(frames[:at] + given[begin:], given_tail), longest)
    end = begin + int(rng.random() * (len(given) - begin + 1))
    return _join_within(Parts(frames[:at] + given[begin:end] + frames[at:], tail), longest)
