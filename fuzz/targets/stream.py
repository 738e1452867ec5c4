"""Invariant: an Inspector never raises, whatever comes, and says the same however it is cut.

Its verdict is the oracle's, nothing follows a failure or a Close, and ``bytes_held`` stays under Limits and input.

The oracle is plain Python: its branches are what a driver with coverage sees of the native code beside it.
"""

import random
from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

from framewarden.engine import MAX_EVENTS, Inspector
from framewarden.policy import Limits
from framewarden.rfc6455 import State
from fuzz.draw import FIELDS, Draw, chunks_at, hexes, inflate_flags, inflate_of, limits_as
from fuzz.structure import cross_streams, mutate_stream
from tests.oracle import Inflate, Outcome, judge, replies
from tests.playback import frames, make, outcome, plain
from tests.vectors.loader import VECTORS

ALLOWED: tuple[type[Exception], ...] = ()
FIN = 0x80
CUTS = range(1 + len(FIELDS), 1 + len(FIELDS) + 10)
"""Where an input says how its stream is cut; the stream is behind it."""
DECOMPRESSOR = 41 * 1024
"""What inflating keeps between two frames of a message: its window, and the tables of the block that it is in."""
TOKENS = hexes(
    "8100 8200 8180 8280 0100 0200 0000 8000 8900 8a00 8800 8980 8880 c100 c200 c180 4100 4200 817e 827e 827f 007e"
    " 89fd 897d 03e8 03ed 1388 007d 007e ffff 0000000000010000 8000000000000000 7fffffffffffffff"
    " c3a9 e282ac f09f9880 e080 eda080 f490 c0 f8 0000ffff 0300 f248cdc9c90700 010000ffff"
)


class Setting(NamedTuple):
    """Who is inspected, and how."""

    role: str
    deflate: Inflate | None
    deliver: bool
    limits: Limits

    def inspector(self) -> Inspector:
        return make(self.limits, self.role, self.deflate, deliver=self.deliver)


def one(data: bytes) -> None:
    draw = Draw(data)
    flags = draw.byte()
    role = "client" if flags & 1 else "server"
    setting = Setting(role, inflate_of(flags), not flags & 32, draw.limits())
    chunking = draw.chunking()
    stream = draw.rest()
    wanted = judge(stream, setting.limits, role, setting.deflate, deliver=setting.deliver)
    owed = [(FIN | opcode, payload) for opcode, payload in replies(wanted)]
    for chunks in ([stream], chunking.cut(stream)):
        got, sent = inspect(setting, chunks)
        assert got == wanted, f"{got} is not {wanted}, in {len(chunks)} chunks"
        assert frames(sent) == owed, f"{frames(sent)} was sent, {owed} is owed"


def inspect(setting: Setting, chunks: list[bytes]) -> tuple[Outcome, bytes]:
    """Feed the chunks and look at the Inspector after each of them."""
    inspector = setting.inspector()
    events: list[tuple[Any, ...]] = []
    sent, fed = b"", 0
    for chunk in chunks:
        fed += len(chunk)
        events += read(inspector, chunk, held_by_one_message(setting, fed) + 8 * fed)
        sent += inspector.data_to_send()
        assert inspector.bytes_held <= held_by_one_message(setting, fed), f"{inspector.bytes_held} bytes are held"
        if inspector.violation is not None or inspector.close_code is not None:
            assert inspector.bytes_received <= fed
            ended(inspector)
        else:
            assert inspector.bytes_received == fed
    return outcome(events, inspector), sent


def held_by_one_message(setting: Setting, fed: int) -> int:
    """Bytes that an unfinished message may keep: twice what came of it, what that was inflated to, and the window."""
    held = 2 * min(fed, setting.limits.max_message_bytes) + 128
    if setting.deflate is not None:
        held += setting.limits.max_inflated_bytes + 1 + DECOMPRESSOR
    return held


def read(inspector: Inspector, chunk: bytes, bound: int) -> Iterator[tuple[Any, ...]]:
    """All events of a chunk, in as many calls as that takes."""
    going = True
    while going:
        events = inspector.receive_data(chunk)
        assert len(events) <= MAX_EVENTS
        assert inspector.bytes_held <= bound, f"{inspector.bytes_held} bytes are held, {bound} may be"
        yield from map(plain, events)
        chunk, going = b"", inspector.has_more


def ended(inspector: Inspector) -> None:
    """Nothing follows a violation, or a Close."""
    before = (inspector.violation, inspector.state, inspector.close_code, inspector.bytes_received)
    assert inspector.state is (State.CLOSED if inspector.violation is None else State.FAILED)
    for more in (b"", b"\x81\x04late", b"\x89\x80\0\0\0\0", b"\x88\x00", bytes(200)):
        assert inspector.receive_data(more) == []
        assert not inspector.has_more
    assert inspector.data_to_send() == b""
    assert inspector.bytes_held == 0
    assert (inspector.violation, inspector.state, inspector.close_code, inspector.bytes_received) == before


def seeds() -> Iterable[bytes]:
    for vector in VECTORS:
        if vector.schema is None:
            deflate = None if vector.deflate is None else Inflate(**vector.deflate)
            flags = (vector.role == "client") | inflate_flags(deflate)
            yield bytes([flags]) + limits_as(vector.limits) + chunks_at(*vector.chunks) + vector.stream


def mutate(data: bytes, rng: random.Random, longest: int) -> bytes:
    return mutate_stream(data, rng, longest, CUTS.stop, CUTS)


def cross(one: bytes, other: bytes, rng: random.Random, longest: int) -> bytes:
    return cross_streams(one, other, rng, longest, CUTS.stop)
