"""Invariant: the parser of response heads never raises, and its verdict does not depend on how the head is cut.

A verdict stays; past ``max_head_bytes`` there is always one, so that no more than those are kept; what is accepted was
offered, and the first frames are exactly the bytes behind the head.
"""

from collections.abc import Iterable

from framewarden.codec.client_handshake import Accepted, Offer, Rejected, ResponseParser
from framewarden.codec.grammar import TOKEN
from framewarden.codec.handshake import accept_value
from framewarden.policy import Deflate, Limits
from fuzz.draw import Draw, chunks_at
from tests.playback import bytewise

ALLOWED: tuple[type[Exception], ...] = ()
HEAD_BYTES = (16 * 1024, 600, 200, 1)
LINE_BYTES = (8 * 1024, 80, 40, 1)
LINES = (100, 10, 4, 1)
KEY = "dGhlIHNhbXBsZSBub25jZQ=="
OFFERS = (
    Offer(key=KEY),
    Offer(key=KEY, subprotocols=("chat", "superchat")),
    Offer(key=KEY, subprotocols=("chat",), deflate=Deflate()),
    Offer(key=KEY, deflate=Deflate(server_context_takeover=True, client_context_takeover=True)),
)
STATUS_LINE = b"HTTP/1.1 101 Switching Protocols\r\n"
UPGRADE_LINES = b"Upgrade: websocket\r\nConnection: Upgrade\r\n"
ACCEPT_LINE = b"Sec-WebSocket-Accept: %s\r\n" % accept_value(KEY).encode()
USUAL = STATUS_LINE + UPGRADE_LINES + ACCEPT_LINE
LINES_TO_ADD = (
    b"",
    b"Sec-WebSocket-Protocol: chat\r\n",
    b"Sec-WebSocket-Protocol: superchat\r\nSec-WebSocket-Protocol: chat\r\n",
    b"Sec-WebSocket-Extensions: permessage-deflate; server_no_context_takeover\r\n",
    b"Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits=9\r\n",
    b"Sec-WebSocket-Extensions: x\r\n",
    b"Content-Length: 0\r\n",
    b"Transfer-Encoding: chunked\r\n",
    b"Set-Cookie: a=\xff\x80\tb \t\r\n",
    b" folded\r\n",
    b"X : y\r\n",
    b"X: a\rb\r\n",
    b"X: " + b"a" * 90 + b"\r\n",
    b"X: y\n",
    b"X: \x00\r\n",
)
TOKENS = (
    *LINES_TO_ADD[1:],
    *[line + b"\r\n" for line in USUAL.split(b"\r\n")],
    *[b"\r", b"\n", b"\r\n", b"\r\n\r\n", b" ", b"\t", b":", b",", b"\x0b", b"HTTP/1.0", b"403", b"101", b"websocket"],
)


def one(data: bytes) -> None:
    draw = Draw(data)
    limits = Limits(
        max_head_bytes=draw.choice(HEAD_BYTES), max_header_bytes=draw.choice(LINE_BYTES), max_headers=draw.choice(LINES)
    )
    offer = draw.choice(OFFERS)
    chunking = draw.chunking()
    stream = draw.rest()
    whole = feed(limits, offer, [stream])
    for chunks in (chunking.cut(stream), bytewise(stream)):
        other = feed(limits, offer, chunks)
        assert other == whole, f"{other} is not {whole}, in {len(chunks)} chunks"
    verdict, rest = whole
    if isinstance(verdict, Accepted):
        check_accepted(verdict, offer)
        head = stream[: len(stream) - len(rest)]
        assert head.endswith(b"\r\n\r\n")
        assert head.count(b"\r\n\r\n") == 1
        assert len(head) <= limits.max_head_bytes
    elif verdict is not None:
        check_rejected(verdict)


def feed(limits: Limits, offer: Offer, chunks: list[bytes]) -> tuple[Accepted | Rejected | None, bytes]:
    parser = ResponseParser(limits, offer)
    fed = 0
    verdict = None
    for chunk in [*chunks, b""]:
        earlier, verdict = verdict, parser.feed(chunk)
        fed += len(chunk)
        assert earlier is None or verdict is earlier, "a verdict changed"
        assert verdict is not None or fed <= limits.max_head_bytes, "more is kept than max_head_bytes"
    assert isinstance(verdict, Accepted) or not parser.rest, "bytes are kept that nobody wants"
    return verdict, parser.rest


def check_accepted(accepted: Accepted, offer: Offer) -> None:
    assert accepted.subprotocol is None or accepted.subprotocol in offer.subprotocols
    assert accepted.deflate is None or offer.deflate is not None
    values = dict(accepted.headers)
    assert values["sec-websocket-accept"] == accept_value(offer.key)
    assert values["upgrade"].lower() == "websocket"
    assert not {"content-length", "transfer-encoding"} & values.keys()
    check_headers(accepted.headers)


def check_rejected(rejected: Rejected) -> None:
    assert rejected.detail.isascii()
    assert rejected.detail.isprintable()
    assert rejected.status is None or 100 <= rejected.status <= 599
    assert rejected.status is not None or not rejected.headers
    check_headers(rejected.headers)


def check_headers(headers: tuple[tuple[str, str], ...]) -> None:
    assert all(TOKEN.fullmatch(name) and name == name.lower() for name, _ in headers)
    assert not any(octet in value for _, value in headers for octet in "\r\n\0\x0b\x0c\x7f"), "a control character"


def seeds() -> Iterable[bytes]:
    for added in LINES_TO_ADD:
        for offer, tail in ((0, b"\r\n"), (1, b"\r\n\x81\x01a"), (2, b"\r\n"), (3, b"")):
            yield bytes(3) + bytes([offer]) + chunks_at(40, 1, 60) + USUAL + added + tail
    lines = USUAL.split(b"\r\n")[:-1]
    for index in range(len(lines)):
        fewer = b"".join(line + b"\r\n" for line in lines[:index] + lines[index + 1 :])
        yield bytes(4) + chunks_at() + fewer + b"\r\n"
        yield bytes([1, 1, 2, 0]) + chunks_at(17) + fewer + lines[index] + b"\r\n\r\n"
    for status in (b"200 OK", b"403 ", b"101", b"1010 x", b"600 x", b"100 Continue"):
        yield bytes(4) + chunks_at() + USUAL.replace(b"101 Switching Protocols", status) + b"\r\n"
