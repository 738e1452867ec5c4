"""Invariant: in whatever order an Inspector is used, with whatever arguments, callbacks and hooks, it raises only what
its docstrings say; and what it hands out is whole frames that a peer can read, with nothing behind a Close.

The first bytes choose the ends, the rest is a program: an operation, a variant of it, and the bytes that it is given.
"""

import contextlib
import sys
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from framewarden.codec import encode_frame
from framewarden.codec._writer import prepare
from framewarden.codec.extensions import DeflateParameters
from framewarden.engine import Close, Inspector, Message, Ping, Pong
from framewarden.errors import ArgumentError, ArgumentTypeError, ClosedError
from framewarden.policy import Deflate, Limits, Policy, Schema, SecurityEvent
from framewarden.rfc6455 import Role, State
from framewarden.rules import RULES
from fuzz.draw import Draw
from tests.playback import frames, pump


class PlantedError(Exception):
    """What a callback raises here."""


class Custom:
    """A type that only the hook of a schema can make."""


ALLOWED: tuple[type[Exception], ...] = (ArgumentError, ArgumentTypeError, ClosedError, PlantedError)
OPEN = Limits(max_control_run=2**31 - 1, max_inflate_ratio=2**31 - 1)
"""What the other end reads with: how much it is sent is not its business here."""
SMALL = Limits(max_message_bytes=300, max_frame_bytes=200, max_fragments=3, max_control_run=5, max_empty_run=2)
MOST_OPERATIONS = 200
TIMES = (1, 1, 1, 2, 40, 700)
LARGEST = 70_000
RECEIVE, TEXT, BINARY, PREPARED, FRAGMENT, PING, CLOSE, TAKE, BUFFERS, FAIL, EOF, LOOK, WRONG, FRAME, MESSAGE = range(
    15
)
OPERATIONS = range(15)
RAISING = {RECEIVE, TEXT, BINARY, PREPARED, FRAGMENT, PING, CLOSE, FAIL, WRONG, FRAME, MESSAGE}
RULE_IDS = (*RULES, "no such rule")
TOKENS = (
    *[bytes([operation, variant, size]) for operation in OPERATIONS for variant in (0, 1, 4) for size in (0, 2, 9)],
    *[encode_frame(opcode, b"ab", key=b"\1\2\3\4") for opcode in (1, 2, 8, 9, 10)],
    *[encode_frame(opcode, b"ab", fin=False) for opcode in (0, 1, 9)],
    b"\x03\xe8bye", b"\x03\xed", "é世😀".encode(), b"\xed\xa0\x80", b"\xff",
)  # fmt: skip
WRONG_CALLS: tuple[Callable[[Inspector], Any], ...] = (
    lambda inspector: inspector.receive_data("text"),
    lambda inspector: inspector.receive_data(memoryview(bytes(8))[::2]),
    lambda inspector: inspector.receive_data(b"ab", 3),
    lambda inspector: inspector.receive_data(b"ab", -1),
    lambda inspector: inspector.receive_data(b"ab", 2**70),
    lambda inspector: inspector.receive_data(b"ab", "1"),
    lambda inspector: inspector.send_text(b"bytes"),
    lambda inspector: inspector.send_text("\ud800"),
    lambda inspector: inspector.send_bytes("text"),
    lambda inspector: inspector.send_bytes(None),
    lambda inspector: inspector.send_prepared(b"bytes"),
    lambda inspector: inspector.send_fragment("\udfff"),
    lambda inspector: inspector.send_fragment(b"", final=1),
    lambda inspector: inspector.send_fragment(7),
    lambda inspector: inspector.send_ping("text"),
    lambda inspector: inspector.send_ping(bytes(126)),
    lambda inspector: inspector.send_close(True),
    lambda inspector: inspector.send_close("1000"),
    lambda inspector: inspector.send_close(1005),
    lambda inspector: inspector.send_close(2**70),
    lambda inspector: inspector.send_close(None, "reason"),
    lambda inspector: inspector.send_close(1000, "é" * 62),
    lambda inspector: inspector.send_close(1000, "\ud800"),
    lambda inspector: inspector.fail(1002),
    lambda inspector: inspector.fail("origin"),
    lambda inspector: inspector.fail("idle-timeout", None),
    lambda _: Inspector(None),
    lambda _: Inspector(role="peer"),
    lambda _: Inspector(clock=5),
    lambda _: Inspector(deliver=1),
    lambda _: Inspector(deflate=DeflateParameters(server_max_window_bits=8)),
    lambda _: Inspector(deflate=DeflateParameters(client_max_window_bits=16)),
    lambda _: prepare(5),
    lambda _: prepare("\ud800"),
    lambda _: encode_frame(16, b""),
    lambda _: encode_frame(1, b"", key=b"abc"),
    lambda _: encode_frame(1, bytes(126), length_bytes=0),
)
"""Each one raises, whatever state the Inspector is in."""


def one(data: bytes) -> None:
    draw = Draw(data)
    with quiet():
        use = Use(draw)
        for _ in range(MOST_OPERATIONS):
            if draw.position >= len(data):
                break
            use.step(draw)
        use.finish()


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """What a hook raises ends in these hooks of Python, and is not the caller's business."""
    before = sys.unraisablehook, sys.excepthook
    sys.unraisablehook, sys.excepthook = (lambda _: None), (lambda *_: None)
    try:
        yield
    finally:
        sys.unraisablehook, sys.excepthook = before


class Use:
    """One Inspector that is used, and what came out of it."""

    def __init__(self, draw: Draw) -> None:
        flags, self.hook, self.ticks = draw.byte(), draw.byte() % 8, draw.byte()
        self.role = Role.CLIENT if flags & 1 else Role.SERVER
        self.deflate = DeflateParameters() if flags & 2 else None
        self.keys = draw.choice((b"\x37\xfa\x21\x3d", b"\0\0\0\0", b"abc")) if flags & 4 else b"\1\2\3\4"
        policy = Policy(
            limits=SMALL if flags & 8 else OPEN,
            deflate=Deflate(min_bytes=0) if flags & 16 else None,
            on_event=self.told if self.hook else None,
            schema=Schema(text=list[Custom], binary=list[Custom], dec_hook=self.decoded) if flags & 128 else None,
        )
        self.out = b""
        self.inside = False
        self.inspector = Inspector(
            policy,
            self.role,
            deflate=self.deflate,
            deliver=not flags & 32,
            clock=self.clock if flags & 64 else lambda: 0.0,
            key_source=lambda _: self.keys,
        )

    def clock(self) -> float:
        """One day it raises, or ends the connection."""
        self.ticks -= 1
        if self.ticks == 0 and self.hook == 3:
            self.inspector.receive_eof()
        elif self.ticks == 0:
            raise PlantedError
        return 0.0

    def decoded(self, kind: type, value: Any) -> Any:
        """What a schema's hook may do: take a value, refuse it, fail, or end the connection."""
        assert kind is Custom
        match value:
            case 1:
                self.inspector.receive_eof()
            case 2:
                self.inspector.fail("handler-error")
            case 3:
                raise ValueError("refused")
            case 4:
                raise PlantedError
        return Custom()

    def told(self, event: SecurityEvent) -> None:
        """A hook that does to its Inspector what it should not, or raises."""
        assert event.rule in RULES
        inspector = self.inspector
        match self.hook:
            case 1:
                raise PlantedError
            case 2:
                inspector.fail("handler-error")
            case 3:
                inspector.receive_eof()
            case 4:
                inspector.send_close(1001)
            case 5:
                self.out += inspector.data_to_send()
            case 6 if self.inside:
                try:
                    inspector.receive_data(b"\x81\x00")
                except ArgumentError:
                    return
                raise AssertionError("receive_data inside receive_data")
            case 7:
                inspector.send_text("told")

    def step(self, draw: Draw) -> None:
        operation, variant, times, size = draw.byte() % len(OPERATIONS), draw.byte(), draw.choice(TIMES), draw.byte()
        content = (draw.take(size) * times)[:LARGEST]
        before = self.inspector.violation
        try:
            self.perform(operation, variant, content)
        except ALLOWED as error:
            assert operation in RAISING, f"operation {operation} raised {error!r}"
            reads = operation in (RECEIVE, MESSAGE)
            assert not reads or self.inspector.violation is not None, "receive_data raised, and goes on"
        violation = self.inspector.violation
        assert before is None or violation is before, "there is another verdict"
        assert violation is None or self.inspector.state is State.FAILED

    def perform(self, operation: int, variant: int, content: bytes) -> None:
        inspector = self.inspector
        if operation == RECEIVE:
            self.receive(variant, content)
        elif operation == TEXT:
            inspector.send_text(text_of(content))
        elif operation == BINARY:
            inspector.send_bytes((bytes, bytearray, memoryview)[variant % 3](content))
        elif operation == PREPARED:
            inspector.send_prepared(prepare(text_of(content) if variant & 1 else content))
        elif operation == FRAGMENT:
            inspector.send_fragment(text_of(content) if variant & 1 else content, final=bool(variant & 2))
        elif operation == PING:
            inspector.send_ping(content)
        elif operation == CLOSE:
            inspector.send_close(int.from_bytes(content[:2], "big") if variant else None, text_of(content[2:]))
        elif operation in (TAKE, BUFFERS):
            self.take(operation)
        elif operation == FAIL:
            inspector.fail(RULE_IDS[(variant * 256 + len(content)) % len(RULE_IDS)], text_of(content))
        elif operation == EOF:
            inspector.receive_eof()
            assert inspector.close_code is not None
        elif operation == LOOK:
            self.look()
        elif operation == MESSAGE:
            key = b"\1\2\3\4" if self.role is Role.SERVER else None
            self.receive(variant >> 2, encode_frame(variant & 3, content, key=key, rsv=variant >> 7 << 2))
        elif operation == WRONG:
            self.wrong(WRONG_CALLS[variant % len(WRONG_CALLS)])
        else:
            frame_of(variant, content)

    def receive(self, variant: int, content: bytes) -> None:
        """Any buffer, or the beginning of one; where the events end, goes on."""
        inspector = self.inspector
        data = (bytes, bytearray, memoryview, bytes)[variant % 4](content)
        size = variant % (len(content) + 1) if variant & 4 else None
        ended = inspector.violation is not None or inspector.state is State.CLOSED
        self.inside = True
        try:
            events = inspector.receive_data(data, size)
        finally:
            self.inside = False
        assert not (ended and events), "an event after the end"
        for event in events:
            assert isinstance(event, Message | Ping | Pong | Close)
            assert repr(event).startswith(f"<{type(event).__name__}")

    def wrong(self, call: Callable[[Inspector], Any]) -> None:
        held = self.inspector.bytes_to_send
        try:
            call(self.inspector)
        except ALLOWED:
            assert self.inspector.bytes_to_send == held, "something is half written"
            raise
        raise AssertionError("a wrong argument passed")

    def take(self, operation: int) -> None:
        waiting = self.inspector.bytes_to_send
        if operation == TAKE:
            taken = self.inspector.data_to_send()
        else:
            buffers = self.inspector.buffers_to_send()
            assert all(type(buffer) is bytes for buffer in buffers)
            taken = b"".join(buffers)
        assert waiting <= len(taken) <= waiting + 2 + 4 + 125
        assert self.inspector.bytes_to_send == 0
        self.out += taken

    def look(self) -> None:
        inspector = self.inspector
        assert inspector.role is self.role
        assert inspector.bytes_held >= 0
        frame, message = inspector.unfinished_frame, inspector.unfinished_message
        if frame is not None:
            assert 0 <= frame <= inspector.bytes_received
        if message is not None:
            assert 0 <= message <= inspector.bytes_received
        assert (inspector.close_code is None) <= (inspector.close_reason == "")

    def finish(self) -> None:
        """What was handed out can be read, and a Close is the last of it."""
        self.take(TAKE)
        written = frames(self.out)
        assert not any(first & 0x0F == 0x8 for first, _ in written[:-1]), "something follows a Close"
        reader = Inspector(
            Policy(limits=OPEN), Role.SERVER if self.role is Role.CLIENT else Role.CLIENT, deflate=self.deflate
        )
        pump(reader, self.out)
        assert reader.violation is None, reader.violation
        assert reader.bytes_received == len(self.out)


def frame_of(variant: int, content: bytes) -> None:
    """``encode_frame``: its header says what it was asked to say."""
    opcode, rsv, key = variant & 15, variant >> 5, b"\1\2\3\4" if variant & 16 else None
    length_bytes = (None, 0, 2, 8)[variant % 4]
    frame = encode_frame(opcode, content, fin=bool(rsv & 1), rsv=rsv, key=key, length_bytes=length_bytes)
    assert frame[0] == (rsv & 1) << 7 | rsv << 4 | opcode
    [(_, payload)] = frames(frame)
    assert payload == content


def text_of(octets: bytes) -> str:
    """Any text; with halves of surrogate pairs, where the octets can be read so."""
    return octets.decode("utf-8", "replace") if octets[:1] != b"\xed" else octets.decode("utf-8", "surrogateescape")


def seeds() -> Iterable[bytes]:
    ping, text = encode_frame(9, b"a", key=b"\1\2\3\4"), encode_frame(1, b"hello", key=b"\1\2\3\4")
    begun = encode_frame(1, b"he", fin=False, key=b"\1\2\3\4")
    program = [
        (TEXT, 0, b"hello"), (RECEIVE, 0, ping + text + begun), (LOOK, 0, b""), (FRAGMENT, 1, b"a"), (PING, 0, b"p"),
        (TEXT, 0, b"refused"), (FRAGMENT, 0, b"other kind"), (FRAGMENT, 3, b"b"), (BUFFERS, 0, b""),
        (BINARY, 2, bytes(200)),
        (PREPARED, 1, b"twice"), (TAKE, 0, b""), (FRAME, 1, b"abc"), (FRAME, 0x92, b"abc"),
    ]  # fmt: skip
    ends = [(CLOSE, 1, b"\x03\xe8bye"), (FAIL, 0, bytes(20)), (EOF, 0, b""), (RECEIVE, 0, b"\xff"), (TAKE, 0, b"")]
    for index in range(24):
        last = [ends[index % 5], ends[(index + index // 5) % 5], (TEXT, 0, b"late"), (RECEIVE, 5, ping), (LOOK, 0, b"")]
        yield bytes([index * 11 % 128, index, 1 + index]) + written_as([*program[index % 7 :], *last])
    for index in range(len(WRONG_CALLS)):
        yield bytes([2 + index % 2, 0, 0]) + written_as([(TEXT, 0, b"a"), (WRONG, index, b""), (TAKE, 0, b"")])
    for hook in range(8):
        program = [(RECEIVE, 0, text + b"\xff"), (TEXT, 0, b"a"), (CLOSE, 1, b"\x03\xe8"), (BUFFERS, 0, b"")]
        yield bytes([64, hook, 3]) + written_as(program)
    many = bytes([RECEIVE, 0, 5, 4]) + b"\x89\x00\x8a\x00"
    yield (
        bytes([1, 0, 0])
        + many
        + written_as([(RECEIVE, 0, b"\x81\x02hi"), (RECEIVE, 1, b""), (LOOK, 0, b"")])
        + many * 3
    )
    for flags in (0, 32, 128, 129, 160):
        large = bytes([MESSAGE, 1, 5, 200]) + bytes(range(32, 127)) + b"a" * 105
        values = [b"[]", b"[0,0,0]", b"[1]", b"[0]", b"[2]", b"[3]", b"[4]", b"5", b"[" + b"0," * 90 + b"0]", b"[0]"]
        yield bytes([flags, 0, 0]) + large + written_as([(MESSAGE, 1, b"small"), (MESSAGE, 2, b"\x91\x00")]) + large
        for value in values:
            yield bytes([flags, 0, 0]) + written_as([(MESSAGE, 1, b"[0,0]"), (MESSAGE, 1, value), (MESSAGE, 1, b"[0]")])


def written_as(program: Iterable[tuple[int, int, bytes]]) -> bytes:
    return b"".join(bytes([operation, variant, 0, len(content)]) + content for operation, variant, content in program)
