"""Invariant: what send_* writes, an Inspector of the other role reads back, equal and in order.

A send that is refused leaves nothing behind, and the Close comes last.
"""

from collections.abc import Iterable
from typing import Any

from framewarden.codec._writer import prepare
from framewarden.codec.extensions import DeflateParameters
from framewarden.engine import Inspector
from framewarden.errors import ArgumentError, ClosedError
from framewarden.policy import Deflate, Limits, Policy
from framewarden.rfc6455 import Role, State
from fuzz.draw import Chunking, Draw, chunks_at
from tests.playback import pump

ALLOWED: tuple[type[Exception], ...] = (ArgumentError, ClosedError)
# What one side may send at once is a matter of the other side's policy; here it is not about that.
OPEN = Limits(max_control_run=2**31 - 1, max_inflate_ratio=2**31 - 1)
LONGEST = 70_000
TIMES = (1, 1, 1, 2, 7, 130, 5000)
TEXT, BINARY, PING, CLOSE, TAKE, PREPARED, PIECES = OPERATIONS = range(7)
PIECE = 1000
WINDOWS = 311 * 1024
"""What context takeover keeps between two messages, both ways."""
TOKENS = (
    *[
        bytes([operation, times, size])
        for operation in OPERATIONS
        for times in (0, 4, 6)
        for size in (0, 1, 4, 125, 126)
    ],
    *[text.encode() for text in ("é", "世", "😀", "é世😀")],
    *[b"\x03\xe8", b"\x03\xed", b"\x0b\xb8", b"\x13\x88", b"\xed\xa0\x80", b"\0\0\xff\xff", b"\0" * 20],
)


def one(data: bytes) -> None:
    draw = Draw(data)
    sender, receiver = ends(draw)
    chunking = draw.chunking()
    wanted: list[tuple[Any, ...]] = []
    got: list[tuple[Any, ...]] = []
    closing = None
    while draw.position < len(data):
        operation, times, size = draw.byte() % len(OPERATIONS), draw.choice(TIMES), draw.byte()
        if operation == TAKE:
            got += deliver(sender, receiver, chunking)
            continue
        event = send(sender, operation, draw.take(size), times)
        if event is not None and event[0] != "close":
            wanted.append(event)
        elif event is not None and closing is None:
            closing = event
    got += deliver(sender, receiver, chunking)
    assert receiver.violation is None, receiver.violation
    assert got == [*wanted, *([] if closing is None else [closing])]
    check_answers(sender, receiver, wanted, closed=closing is not None)


def ends(draw: Draw) -> tuple[Inspector, Inspector]:
    flags = draw.byte()
    parameters = DeflateParameters(
        client_context_takeover=bool(flags & 4),
        server_context_takeover=bool(flags & 8),
        client_max_window_bits=draw.choice(range(9, 16)),
        server_max_window_bits=draw.choice(range(9, 16)),
    )
    settings = Deflate(level=1 + draw.byte() % 9, min_bytes=draw.choice((0, 0, 1, 256)))
    deflate = parameters if flags & 2 else None
    keys = draw.take(4)
    roles = (Role.CLIENT, Role.SERVER) if flags & 1 else (Role.SERVER, Role.CLIENT)
    sender, receiver = (
        Inspector(
            Policy(limits=OPEN, deflate=settings), role, deflate=deflate, clock=lambda: 0.0, key_source=lambda _: keys
        )
        for role in roles
    )
    return sender, receiver


def send(sender: Inspector, operation: int, content: bytes, times: int) -> tuple[Any, ...] | None:
    """Send one thing; the event that it should become, None if it was refused."""
    octets = (content * times)[:LONGEST]
    text = text_of(octets)
    held = sender.bytes_held
    try:
        if operation == TEXT:
            sender.send_text(text)
            return ("message", 1, text)
        if operation == BINARY:
            sender.send_bytes(memoryview(octets))
            return ("message", 2, octets)
        if operation == PREPARED:
            sender.send_prepared(prepare(octets if times == 1 else text))
            return ("message", 2, octets) if times == 1 else ("message", 1, text)
        if operation == PIECES:
            return send_pieces(sender, text if times == 1 else octets)
        if operation == PING:
            sender.send_ping(octets)
            return ("ping", octets)
        code = int.from_bytes(octets[:2], "big") if len(octets) > 1 else None
        reason = text_of(octets[2:])
        sender.send_close(code, reason)
        return ("close", 1005 if code is None else code, reason)
    except ALLOWED:
        assert sender.bytes_held == held, "something is half written"
        return None


def send_pieces(sender: Inspector, data: str | bytes) -> tuple[Any, ...]:
    """A message in fragments. A text with half of a surrogate pair is refused before its first one."""
    if isinstance(data, str):
        prepare(data)
    for begin in range(0, len(data), PIECE):
        sender.send_fragment(data[begin : begin + PIECE])
    sender.send_fragment(type(data)(), final=True)
    return ("message", 1 if isinstance(data, str) else 2, data)


def text_of(octets: bytes) -> str:
    """Any text; with halves of surrogate pairs, where the octets can be read so."""
    try:
        return octets.decode("utf-8", "surrogatepass")
    except UnicodeDecodeError:
        return octets.decode("utf-8", "replace")


def deliver(sender: Inspector, receiver: Inspector, chunking: Chunking) -> list[tuple[Any, ...]]:
    """What waits arrives."""
    sent = sender.data_to_send()
    assert sender.data_to_send() == b""
    return [event[:3] for chunk in chunking.cut(sent) for event in pump(receiver, chunk)]


def check_answers(sender: Inspector, receiver: Inspector, wanted: list[tuple[Any, ...]], *, closed: bool) -> None:
    """A Pong for each Ping, the Close echoed, and both ends know it."""
    answers = pump(sender, receiver.data_to_send())
    pongs = [("pong", event[1]) for event in wanted if event[0] == "ping"]
    assert sender.violation is None
    assert answers[: len(pongs)] == pongs
    assert [answer[0] for answer in answers[len(pongs) :]] == (["close"] if closed else [])
    state = State.CLOSED if closed else State.OPEN
    assert (sender.state, receiver.state) == (state, state)
    windows = 0 if closed else WINDOWS
    assert max(sender.bytes_held, receiver.bytes_held) <= windows


def seeds() -> Iterable[bytes]:
    text, octets = "é世😀".encode(), bytes(range(200))
    program = b"".join(
        bytes([operation, times, len(content)]) + content
        for operation, times, content in (
            (TEXT, 0, text),
            (PING, 0, b"ping"),
            (BINARY, 4, octets),
            (TAKE, 0, b""),
            (TEXT, 6, b"framewarden "),
            (BINARY, 6, octets),
            (TEXT, 0, b"\xed\xa0\x80"),
            (TEXT, 5, text),
            (BINARY, 0, b""),
            (PING, 5, octets[:100]),
            (CLOSE, 0, b"\x03\xe8bye"),
            (TEXT, 0, b"late"),
        )
    )
    for flags in range(16):
        yield (
            bytes([flags, flags, 15 - flags, flags, flags, 1, 2, 3, 4])
            + chunks_at(*[flags * 3] * (flags % 3))
            + program
        )
    yield bytes(9) + chunks_at(1) + bytes([CLOSE, 0, 0, TEXT, 0, 1, 65, TAKE, 0, 0, TEXT, 0, 1, 65])
    yield (
        bytes(9) + chunks_at() + bytes([CLOSE, 0, 2, 3, 237, PING, 0, 126]) + bytes(126) + bytes([CLOSE, 5, 2, 3, 232])
    )
