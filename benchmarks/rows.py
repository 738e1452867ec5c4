"""The rows of the benchmark: what is done, beside what, and the ratio that is wanted.

A row is measured in one run, with all its contenders in interleaved rounds (``harness.compare``). "Faster" says how
many times as long the peer took; "cost" how many times the reference's time we take. A row whose bound is ``None`` is
there to be known, not to be kept.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Literal

from benchmarks import contenders, cuts, memory, native, schemas, traffic
from benchmarks.contenders import (
    AIOHTTP,
    DEFLATING_PEERS,
    FRAMEWARDEN,
    PEERS,
    PICOWS_COMPILED,
    PICOWS_PYTHON,
    WEBSOCKETS,
)
from benchmarks.harness import ROUNDS, Work, compare
from benchmarks.traffic import BINARY, READ_BYTES, TEXT

KIB = 1024
Bounds = dict[str, float | None]


@dataclass(frozen=True)
class Result:
    """One line of the table. ``ours`` and ``theirs`` are of this run, a message; compare only ``measured``."""

    row: str
    against: str
    ours: str
    theirs: str
    measured: float
    unit: str
    bound: Literal["at least", "at most", ""]
    wanted: float | None
    spread: tuple[float, float] | None = None

    @property
    def good(self) -> bool:
        """Whether the bound is kept; a row without one is always good."""
        if self.wanted is None:
            return True
        return self.measured >= self.wanted if self.bound == "at least" else self.measured <= self.wanted


class Row:
    """``measure`` runs the row. ``name`` is what ``--only`` looks in."""

    name: str

    def measure(self, rounds: int) -> Iterator[Result]:
        raise NotImplementedError


@dataclass(frozen=True)
class Faster(Row):
    """We against peers that do the same work. ``make`` gives the functions and how many messages each call handles."""

    name: str
    make: Callable[[tuple[str, ...]], tuple[dict[str, Work], int]]
    wanted: Bounds

    def measure(self, rounds: int = ROUNDS) -> Iterator[Result]:
        works, messages = self.make((FRAMEWARDEN, *self.wanted))
        run = compare(works, rounds)
        for peer, wanted in self.wanted.items():
            yield Result(
                self.name, peer, _ns(run.ns(FRAMEWARDEN) / messages), _ns(run.ns(peer) / messages),
                run.times(peer, FRAMEWARDEN), "x as fast", "at least", wanted, run.spread(peer, FRAMEWARDEN),
            )  # fmt: skip


@dataclass(frozen=True)
class Cost(Row):
    """What we take beside something that we contain or that bounds us: the first function beside the second."""

    name: str
    make: Callable[[], tuple[dict[str, Work], int]]
    wanted: float | None

    def measure(self, rounds: int = ROUNDS) -> Iterator[Result]:
        works, messages = self.make()
        ours, theirs = works
        run = compare(works, rounds)
        yield Result(
            self.name, theirs, _ns(run.ns(ours) / messages), _ns(run.ns(theirs) / messages),
            run.times(ours, theirs), "x its time", "at most", self.wanted, run.spread(ours, theirs),
        )  # fmt: skip


@dataclass(frozen=True)
class Bytes(Row):
    """Resident memory, in a process of its own."""

    name: str
    measure_name: str
    against: str
    wanted: int

    def measure(self, rounds: int = ROUNDS) -> Iterator[Result]:
        found = memory.in_its_own_process(self.measure_name)
        yield Result(self.name, self.against, f"{found:,} B", "", found, "bytes", "at most", self.wanted)


def _ns(ns: float) -> str:
    return f"{ns:,.0f} ns" if ns < 100_000 else f"{ns / 1000:,.0f} us"


# What is measured


def _parse(payload: bytes, opcode: int = TEXT, read_bytes: int = READ_BYTES, total: int = READ_BYTES) -> Any:
    """Frames of one payload, for the peers that are asked for."""

    def make(names: tuple[str, ...]) -> tuple[dict[str, Work], int]:
        stream = traffic.frames([payload], opcode, total_bytes=total)
        messages = len(stream) // len(traffic.frame(payload))
        reads = traffic.reads(stream, read_bytes)
        return contenders.parsers(names, reads, messages, opcode), messages

    return make


def _inflate(size: int) -> Any:
    """Compressed JSON with context takeover, to ``str``."""

    def make(names: tuple[str, ...]) -> tuple[dict[str, Work], int]:
        messages = traffic.json_messages(size, max(8, 64 * KIB // size))
        # Each pass begins with a history that the one before has left: the first message must not refer to any.
        stream = b"".join(traffic.frame(payload, rsv1=True) for payload in traffic.deflated(messages))
        return contenders.parsers(names, traffic.reads(stream), len(messages), deflate=True), len(messages)

    return make


def _typed_peers(messages: list[bytes], types: Any) -> Any:
    """Parse and decode; every peer hands its payloads to the same msgspec decoder."""

    def make(names: tuple[str, ...]) -> tuple[dict[str, Work], int]:
        import msgspec

        from framewarden.policy import Schema

        reads, count = _typed_reads(messages)
        decode = msgspec.json.Decoder(types).decode
        return contenders.parsers(names, reads, count, decode=decode, schema=Schema(text=types)), count

    return make


def _typed_reads(messages: list[bytes]) -> tuple[list[bytes], int]:
    stream = traffic.frames(messages)
    size = len(traffic.frame(messages[0]))
    count = len(stream) // size if len({len(message) for message in messages}) == 1 else _count(stream)
    return traffic.reads(stream), count


def _count(stream: bytes) -> int:
    """Frames in a stream, by their lengths."""
    at = found = 0
    while at < len(stream):
        length = stream[at + 1] & 0x7F
        head = 6
        if length == 126:
            length, head = int.from_bytes(stream[at + 2 : at + 4]), 8
        at += head + length
        found += 1
    return found


def _typed(messages: list[bytes], types: Any) -> Any:
    """Parse, validate and decode beside msgspec's decode alone of the same messages, already apart, in one C loop."""

    def make() -> tuple[dict[str, Work], int]:
        import msgspec

        from framewarden.policy import Schema

        stream = traffic.frames(messages, total_bytes=READ_BYTES - 2 * KIB)
        receiver = contenders.inspector(schema=Schema(text=types))
        count = len(receiver.receive_data(stream))
        decode = msgspec.json.Decoder(types).decode
        payloads = [bytes(bytearray(messages[i % len(messages)])) for i in range(count)]

        def ours() -> None:
            assert len(receiver.receive_data(stream)) == count

        return {FRAMEWARDEN: ours, "msgspec decode alone": lambda: list(map(decode, payloads))}, count

    return make


def _duplicate_keys(messages: list[bytes], types: Any) -> Any:
    def make() -> tuple[dict[str, Work], int]:
        from framewarden.policy import Schema

        reads, count = _typed_reads(messages)

        def one(duplicate_keys: Literal["allow", "refuse"]) -> Work:
            schema = Schema(text=types, duplicate_keys=duplicate_keys)
            return contenders.parsers((FRAMEWARDEN,), reads, count, schema=schema)[FRAMEWARDEN]

        return {'duplicate_keys="refuse"': one("refuse"), 'duplicate_keys="allow"': one("allow")}, count

    return make


def _judged(payload: bytes) -> Any:
    """Frames judged where they lie, without making objects, beside memcpy of the payloads."""

    def make() -> tuple[dict[str, Work], int]:
        stream = traffic.frames([payload], total_bytes=max(32 * KIB, len(payload)))
        times = 8
        count = times * (len(stream) // len(traffic.frame(payload)))
        receiver = contenders.inspector(deliver=False)
        bench = native.load("_kernel_loops").Bench(payload, b"\0\0\0\0")

        def ours() -> None:
            for _ in range(times):
                receiver.receive_data(stream)
            assert receiver.violation is None, receiver.violation

        return {FRAMEWARDEN: ours, "memcpy": lambda: bench.memcpy(count)}, count

    return make


def _kernel(name: Literal["unmask", "unmask_validate"], payload: bytes) -> Any:
    """A kernel beside memcpy of the same bytes."""

    def make() -> tuple[dict[str, Work], int]:
        bench = native.load("_kernel_loops").Bench(traffic.masked(payload, cuts.KEY), cuts.KEY)
        kernel = getattr(bench, name)
        return {"kernel": lambda: kernel(16), "memcpy": lambda: bench.memcpy(16)}, 16

    return make


def _twice(cut: cuts.Cut, pieces: int = 8192) -> Any:
    """Twice as many pieces beside half of them."""
    return lambda: ({f"{2 * pieces} pieces": cuts.work(cut, 2 * pieces), f"{pieces} pieces": cuts.work(cut, pieces)}, 1)


def _words(name: str) -> str:
    return name.replace("_", " ")


def _text(size: int) -> bytes:
    return traffic.ascii_text(size).encode()


def _multibyte(size: int) -> bytes:
    return traffic.multibyte_text(size).encode()


ANY: Bounds = dict.fromkeys(PEERS)

ROWS: tuple[Row, ...] = (
    Faster("TEXT ASCII 16 B to str", _parse(_text(16)), {PICOWS_COMPILED: None, AIOHTTP: None}),
    Faster("TEXT ASCII 125 B to str", _parse(_text(125)), ANY | {PICOWS_COMPILED: 2.5, AIOHTTP: 8.0}),
    Faster("TEXT ASCII 1 KiB to str", _parse(_text(KIB)), {PICOWS_COMPILED: None, AIOHTTP: None}),
    Faster("TEXT ASCII 64 KiB to str", _parse(_text(64 * KIB), total=512 * KIB), ANY),
    Faster("BINARY 125 B to bytes", _parse(traffic.binary(125), BINARY), {PICOWS_COMPILED: None, AIOHTTP: None}),
    Faster("TEXT multibyte 64 KiB to str", _parse(_multibyte(64 * KIB), total=512 * KIB), dict.fromkeys(PEERS, 3.0)),
    Faster(
        "TEXT ASCII 1 MiB to str, 1460 B reads",
        _parse(_text(KIB * KIB), read_bytes=1460, total=KIB * KIB),
        {PICOWS_COMPILED: 2.0, AIOHTTP: None, WEBSOCKETS: None},
    ),
    Cost("typed JSON 107 B, an order", _typed(schemas.orders(), schemas.Trade), 1.10),
    Cost("typed JSON 1 KiB, a list of strings", _typed(schemas.digests(), schemas.Feed), 1.15),
    Cost("typed JSON 107 B, two strings", _typed(schemas.chat(), schemas.Chat), None),
    Faster(
        "typed JSON 107 B, an order",
        _typed_peers(schemas.orders(), schemas.Trade),
        {PICOWS_COMPILED: None, PICOWS_PYTHON: None, AIOHTTP: None},
    ),
    Cost("duplicate keys 107 B", _duplicate_keys(schemas.orders(), schemas.Trade), None),
    Cost("duplicate keys 1 KiB", _duplicate_keys(schemas.digests(), schemas.Feed), None),
    Faster("deflate 1 KiB JSON to str", _inflate(KIB), dict.fromkeys(DEFLATING_PEERS)),
    Faster("deflate 64 KiB JSON to str", _inflate(64 * KIB), dict.fromkeys(DEFLATING_PEERS)),
    Cost("validated without an object, ASCII 125 B", _judged(_text(125)), None),
    Cost("validated without an object, ASCII 64 KiB", _judged(_text(64 * KIB)), 2.0),
    Cost("validated without an object, multibyte 64 KiB", _judged(_multibyte(64 * KIB)), 1 / 0.15),
    Cost("kernel: unmask 64 KiB", _kernel("unmask", _text(64 * KIB)), 2.0),
    Cost("kernel: unmask + validate 64 KiB ASCII", _kernel("unmask_validate", _text(64 * KIB)), 2.0),
    Cost("kernel: unmask + validate 64 KiB multibyte", _kernel("unmask_validate", _multibyte(64 * KIB)), 1 / 0.15),
    *(Cost(f"twice the pieces: {_words(cut.__name__)}", _twice(cut), 2.3) for cut in cuts.CUTS),
    *(
        Bytes(f"memory grown: {_words(cut.__name__)}", cut.__name__, f"{memory.PIECES:,} pieces", 4 * KIB * KIB)
        for cut in cuts.CUTS
    ),
    Bytes("memory of an idle Inspector", "idle", "each of 10,000", KIB),
    Bytes("memory of an Inspector that was used", "used", "each of 10,000", KIB),
)

__all__ = ["ROWS", "Bytes", "Cost", "Faster", "Result", "Row"]
