"""Invariant: whatever a server sends and wherever it is cut, the load generator ends at once, and counts the connection
exactly once: as open, or as one error. It calls an exchange right only if every octet of every answer has come.

The server closes when it has said all, so that no deadline is needed.
"""

from collections.abc import Iterable

from framewarden.apps.bench._loadgen import Load
from fuzz.draw import Draw, chunks_at
from tests.tiny_server import TinyServer, read_exactly, read_head, switching

ALLOWED: tuple[type[Exception], ...] = ()
SIZE = 20
MESSAGES = 3
ANSWER = b"0" * 15 + b"%d" + bytes(32 + at * 7 % 95 for at in range(16, SIZE))
SWITCHING = b"HTTP/1.1 101 \r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: "
TOKENS = (b"\r\n\r\n", b"\r\n", b": ", b"HTTP/1.1 401 x", SWITCHING, b"\x81\x14", b"\x88\x02\x03\xe8", b"\x89\x00")
EXCHANGE, OPEN, REFUSED = range(3)


def one(data: bytes) -> None:
    draw = Draw(data)
    phase = draw.choice((EXCHANGE, OPEN, REFUSED))
    chunks = draw.chunking().cut(draw.rest())
    said = b"".join(chunks)

    def handle(sock) -> None:
        head = read_head(sock)
        if phase == EXCHANGE:
            sock.sendall(switching(head))
            read_exactly(sock, MESSAGES * (6 + SIZE))  # or the answers could come before the questions
        for chunk in chunks:
            sock.sendall(chunk)

    with TinyServer(handle) as server:
        load = Load("127.0.0.1", server.port, timeout=5.0)
        report = load.refused(1) if phase == REFUSED else load.open()
        check(report, ended=report["messages"])
        if report["connections"]:
            report = load.exchange(size=SIZE, in_flight=MESSAGES, messages=MESSAGES)
            check(report, ended=0)
            answers = b"".join(ANSWER % number for number in range(MESSAGES))
            rest = iter(said)
            assert report["messages"] < MESSAGES or all(octet in rest for octet in answers), "an answer was made up"
        if report["connections"]:
            report = load.close()
            check(report, ended=report["messages"])
        assert report["connections"] == 0


def check(report: dict, ended: int) -> None:
    """``ended``: connections that are gone, and rightly so."""
    assert report["connections"] + ended + sum(report["errors"].values()) == 1, report
    assert not any("timeout" in kind for kind in report["errors"]), report
    assert report["details"].keys() == report["errors"].keys()


def seeds() -> Iterable[bytes]:
    answers = [b"\x81\x14" + ANSWER % number for number in range(MESSAGES)]
    close, ping = b"\x88\x02\x03\xe8", b"\x89\x02hi"
    parts = b"\x01\x01" + answers[0][2:3] + b"\x00\x00" + ping + b"\x80\x13" + answers[0][3:]
    for stream in (
        b"".join(answers) + close,
        ping.join(answers) + close,
        parts + answers[1] + answers[2] + close,
        answers[0] + answers[2],
        answers[0] + close,
        b"\x81\x7e\x00\x14" + answers[0][2:],
        b"\x81\x7f" + bytes(8),
        b"\x82\x14" + answers[0][2:],
        b"",
    ):
        for cut in (chunks_at(1, 2, 5, 30), chunks_at()):
            yield bytes([EXCHANGE]) + cut + stream
    for head in (
        SWITCHING + b"x\r\n\r\n",
        b"HTTP/1.1 401 \r\n\r\nno",
        b"HTTP/1.1 403 x\r\n\r\n",
        b"\r\n\r\n",
        b"HTTP/1.1 ",
    ):
        yield bytes([OPEN]) + chunks_at(3) + head
        yield bytes([REFUSED]) + chunks_at() + head
