"""Invariant: whatever a server says and wherever it is cut, the runner of cases ends at once with an answer that it has
a word for, raises nothing but OSError where it reads, and keeps less than a head or a control frame of what was said.

The server closes when it has said all, so that no deadline is needed.
"""

import re
import socket
from collections.abc import Iterable

from framewarden.apps.cases import Outcome, Target, strike
from framewarden.apps.cases.answers import FrameListener, HeadListener
from framewarden.apps.cases.play import QUESTION
from framewarden.apps.cases.wire import MAX_HEAD, Wire
from fuzz.draw import Draw, chunks_at
from tests.tiny_server import TinyServer, read_head, switching

ALLOWED: tuple[type[Exception], ...] = ()
ANSWER = re.compile(
    r"close \d{1,5}|HTTP \d{3}|HTTP 101 with (?:permessage-deflate|another extension)"
    r"|accepted|dropped|garbage|no handshake|not applicable|took all|stopped reading"
)
HEAD, FRAMES, UPGRADE, READ = range(4)
PONG = b"\x8a" + bytes([len(QUESTION)]) + QUESTION
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi"
SWITCHING = b"HTTP/1.1 101 \r\nSec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n"
DEFLATE = b"Sec-WebSocket-Extensions: permessage-deflate\r\n"
TOKENS = (b"\r\n\r\n", b"\r\n", b"HTTP/1.1 400 x", b"Content-Length: 9", SWITCHING, DEFLATE, PONG, b"\x88\x02\x03\xe8")
PIECES = (b"\x81\x80\0\0\0\0", b"\x88\x80\0\0\0\0")


def one(data: bytes) -> None:
    draw = Draw(data)
    phase = draw.choice((HEAD, FRAMES, UPGRADE, READ))
    deflate = bool(draw.byte() & 1)
    chunks = draw.chunking().cut(draw.rest())
    listen(chunks)

    def handle(sock: socket.socket) -> None:
        head = read_head(sock)
        if phase == FRAMES and head:
            sock.sendall(switching(head))
        for chunk in chunks:
            sock.sendall(chunk)

    with TinyServer(handle) as server:
        target = Target.of(f"ws://127.0.0.1:{server.port}")
        if phase == READ:
            read(target.connect())
            return
        request = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"
        if phase == HEAD:
            outcome = strike([request], target, stage="handshake")
        else:
            outcome = strike(PIECES, target, deflate=deflate and phase == UPGRADE)
    check(outcome)


def check(outcome: Outcome) -> None:
    assert ANSWER.fullmatch(outcome.answer), outcome.answer
    assert outcome.seconds < 2
    assert outcome.grown is None


def listen(chunks: list[bytes]) -> None:
    """The listeners alone: bounded, and not moved by cuts."""
    whole, cut = FrameListener(QUESTION), FrameListener(QUESTION)
    whole.until_the_end = cut.until_the_end = True
    said = b"".join(chunks)
    whole(said)
    for chunk in chunks:
        cut(chunk)
        assert len(cut._pending) <= 127  # noqa: SLF001 - the bound is about what is inside
    for name in ("pongs", "messages", "ponged", "close", "garbage"):
        assert getattr(whole, name) == getattr(cut, name), name
    at_once, in_pieces = HeadListener(), HeadListener()
    at_once(said)
    for chunk in chunks:
        in_pieces(chunk)
        assert len(in_pieces._head) <= MAX_HEAD + 1  # noqa: SLF001 - as above
    assert at_once.status == in_pieces.status
    assert at_once.headers == in_pieces.headers


def read(wire: Wire) -> None:
    """The blocking methods."""
    with wire:
        wire.send(b"GET / HTTP/1.1\r\n\r\n")
        try:
            wire.read_head()
            wire.read_frame()
            wire.read_close()
            wire.receive()
        except OSError:
            pass
        wire.ends()


def seeds() -> Iterable[bytes]:
    frames = (
        PONG,
        b"\x81\x01a" + PONG,
        b"\x88\x02\x03\xe8",
        b"\x88\x00",
        b"\x88\x01\x03",
        b"\x8a\x7d" + bytes(125) + PONG,
        b"\x8a\x7e\x00\x7e" + bytes(126),
        b"\x81\x81\0\0\0\0a",
        b"\x82\x7f" + b"\x7f" * 8,
        b"\x82\x7e\x01\x00" + bytes(256) + PONG + b"\x88\x02\x03\xea",
        b"\x83\x00",
    )
    heads = (
        OK,
        SWITCHING + b"\r\n",
        SWITCHING + DEFLATE + b"\r\n" + PONG,
        b"HTTP/1.0 400 Bad\r\n\r\n",
        b"HTTP/2 200\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 9999999\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n",
        b"SSH-2.0-x",
        b"",
    )
    for said in frames:
        for cut in (chunks_at(1, 2, 3), chunks_at()):
            yield bytes([FRAMES, 0]) + cut + said
    for said in heads:
        for phase in (HEAD, UPGRADE, READ):
            yield bytes([phase, 1]) + chunks_at(5, 12) + said
    yield bytes([READ, 0]) + chunks_at(60) + OK + b"\x81\x01a\x88\x02\x03\xe8more"
