"""Invariant: the parser of request heads never raises, and its verdict does not depend on how the head is cut.

A head that is there in one piece is read by compiled code, one that comes in pieces by expressions: each is the other's
oracle. A Refusal is final; past ``max_head_bytes`` there is always a verdict, so that no more than those are kept; what
a Request says has no line end in it, and every answer to it can be written.
"""

from collections.abc import Iterable
from itertools import pairwise

from framewarden.codec.grammar import HOST, KEY, TOKEN
from framewarden.codec.handshake import HandshakeParser, Refusal, Request, refusal_response, switching_response
from framewarden.policy import Limits
from framewarden.rules import RULES
from fuzz.draw import Draw, chunks_at
from tests.playback import bytewise

ALLOWED: tuple[type[Exception], ...] = ()
HEAD_BYTES = (16 * 1024, 600, 200, 1)
LINE_BYTES = (8 * 1024, 80, 40, 1)
LINES = (100, 10, 6, 1)
KEY_LINE = b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
VERSION_LINE = b"Sec-WebSocket-Version: 13\r\n"
UPGRADE_LINES = b"Upgrade: websocket\r\nConnection: Upgrade\r\n"
USUAL = b"GET /chat?x=1 HTTP/1.1\r\nHost: a:1\r\n" + UPGRADE_LINES + VERSION_LINE + KEY_LINE
LINES_TO_ADD = (
    b"",
    b"Origin: https://example.org\r\n",
    b"Origin: null\r\nOrigin: null\r\n",
    b"Sec-WebSocket-Protocol: chat, superchat\r\n",
    b'Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits, x; y="z"\r\n',
    b"Content-Length: 0\r\n",
    b"Transfer-Encoding: chunked\r\n",
    b"Cookie: a=\xff\x80\tb \t\r\n",
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
    *[
        b"\r",
        b"\n",
        b"\r\n",
        b"\r\n\r\n",
        b" ",
        b"\t",
        b":",
        b",",
        b"\x0b",
        b"%41",
        b"%",
        b"#",
        b"?",
        b"[::1]",
        b":65536",
    ],
    *[b"HTTP/1.0", b"HTTP/2.0", b"POST", b"GET", b"http://a/", b"*"],
)


def one(data: bytes) -> None:
    draw = Draw(data)
    limits = Limits(
        max_head_bytes=draw.choice(HEAD_BYTES), max_header_bytes=draw.choice(LINE_BYTES), max_headers=draw.choice(LINES)
    )
    chunking = draw.chunking()
    stream = draw.rest()
    whole = feed(limits, [stream])
    for chunks in (chunking.cut(stream), bytewise(stream)):
        other = feed(limits, chunks)
        assert other == whole, f"{other} is not {whole}, in {len(chunks)} chunks"
    if isinstance(whole, Request):
        check_request(whole)
    elif whole is not None:
        check_refusal(whole)


def feed(limits: Limits, chunks: list[bytes]) -> Request | Refusal | None:
    parser = HandshakeParser(limits)
    verdicts: list[Request | Refusal | None] = [None]
    fed = 0
    for chunk in chunks:
        verdicts.append(parser.feed(chunk))
        fed += len(chunk)
        assert verdicts[-1] is not None or fed <= limits.max_head_bytes, "more is kept than max_head_bytes"
    verdicts.append(parser.feed(b""))
    for earlier, later in pairwise(verdicts):
        assert earlier is None or later is not None, "a verdict was taken back"
        assert not isinstance(earlier, Refusal) or later is earlier, "a Refusal changed"
    if isinstance(verdicts[-1], Request):
        late = HandshakeParser(limits)
        late.feed(b"".join(chunks))
        assert isinstance(late.feed(b"x"), Refusal), "bytes behind the head passed"
    return verdicts[-1]


def check_request(request: Request) -> None:
    texts = [request.target, request.path, request.query, request.host, request.origin or ""]
    texts += [text for pair in request.headers for text in pair]
    assert not any(octet in text for text in texts for octet in "\r\n\0\x0b\x0c\x7f"), "a control character passed"
    assert request.method == "GET"
    assert request.path.startswith("/")
    assert request.target == request.path + ("?" + request.query if "?" in request.target else "")
    assert all(TOKEN.fullmatch(name) and name == name.lower() for name, _ in request.headers)
    assert all(value == value.strip(" \t") for _, value in request.headers)
    assert KEY.fullmatch(request.key)
    assert HOST.fullmatch(request.host)
    assert len(set(request.subprotocols)) == len(request.subprotocols)
    assert request.header("host") == request.host
    assert not request.values("content-length")
    assert not request.values("transfer-encoding")
    for subprotocol in (None, *request.subprotocols):
        response = switching_response(request.key, subprotocol)
        assert response.startswith(b"HTTP/1.1 101 ")
        assert response.index(b"\r\n\r\n") == len(response) - 4


def check_refusal(refusal: Refusal) -> None:
    assert refusal.status == RULES[refusal.rule].status
    assert refusal.detail.isascii()
    assert refusal.detail.isprintable()
    response = refusal_response(refusal)
    assert response.count(b"\r\n\r\n") == 1
    assert response.startswith(b"HTTP/1.1 %d " % refusal.status)


def seeds() -> Iterable[bytes]:
    for added in LINES_TO_ADD:
        for tail in (b"\r\n", b"\r\nlate", b""):
            yield bytes(3) + chunks_at(40, 1, 60) + USUAL + added + tail
    lines = USUAL.split(b"\r\n")[:-1]
    for index in range(len(lines)):
        fewer = b"".join(line + b"\r\n" for line in lines[:index] + lines[index + 1 :])
        yield bytes(3) + chunks_at() + fewer + b"\r\n"
        yield bytes([1, 1, 2]) + chunks_at(17) + fewer + lines[index] + b"\r\n\r\n"
    for target in (b"/a%41?b#c", b"//x", b"*", b"http://a/", b"/\xff", b"/%zz", b"/[]^|?{}`\\"):
        yield bytes(3) + chunks_at() + USUAL.replace(b"/chat?x=1", target) + b"\r\n"
    for host in (b"[::1]:80", b"[v1.a]", b"a:65536", b"", b"a b", b"a,b", b"%41", b"[::g]", b"[1:2:3:4:5:6:7:8:9]"):
        yield bytes(3) + chunks_at() + USUAL.replace(b"a:1", host) + b"\r\n"
