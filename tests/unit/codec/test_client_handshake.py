"""The opening handshake of a client: each thing that a server may say wrong, and what just is not wrong."""

import time

import pytest

from framewarden.codec.client_handshake import Accepted, Offer, Rejected, ResponseParser, request_head
from framewarden.codec.extensions import DeflateParameters
from framewarden.codec.handshake import HandshakeParser, Request, switching_response
from framewarden.codec.uri import parse_uri
from framewarden.errors import ArgumentError
from framewarden.policy import Deflate, Limits

KEY = "dGhlIHNhbXBsZSBub25jZQ=="  # RFC 6455 1.3, like the next
ACCEPT = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="
URI = parse_uri("ws://example.org:8080/chat?x=1")
OFFER = Offer(key=KEY, subprotocols=("chat", "superchat"), deflate=Deflate())
BARE = Offer(key=KEY)
HEADERS = {"Upgrade": "websocket", "Connection": "Upgrade", "Sec-WebSocket-Accept": ACCEPT}


def response(*extra, line="HTTP/1.1 101 Switching Protocols", **changed):
    """A response head: the three headers, changed or (None) left out, then ``extra`` lines."""
    headers = HEADERS | {name.replace("_", "-"): value for name, value in changed.items()}
    lines = [line, *(f"{name}: {value}" for name, value in headers.items() if value is not None), *extra, "", ""]
    return "\r\n".join(lines).encode("latin-1")


def parse(data, offer=OFFER, limits=None):
    """The verdict, fed whole; the same must come out byte by byte."""
    whole = ResponseParser(limits or Limits(), offer)
    verdict = whole.feed(data)
    pieces, last = ResponseParser(limits or Limits(), offer), None
    for index in range(len(data)):
        last = pieces.feed(data[index : index + 1])
    assert (last, pieces.rest) == (verdict, whole.rest)
    return verdict


# What we write


def test_the_request_is_one_that_our_server_takes():
    head = request_head(URI, OFFER, origin="https://example.org", headers=[("Authorization", "Bearer x"), ("X", "y z")])
    request = HandshakeParser(Limits()).feed(head)
    assert isinstance(request, Request)
    assert request.target == "/chat?x=1"
    assert request.host == "example.org:8080"
    assert request.origin == "https://example.org"
    assert request.key == KEY
    assert request.subprotocols == ("chat", "superchat")
    assert [extension.name for extension in request.extensions] == ["permessage-deflate"]
    assert request.header("authorization") == "Bearer x"
    assert request.headers[-1] == ("x", "y z")


def test_a_request_offers_nothing_that_was_not_asked_for():
    request = HandshakeParser(Limits()).feed(request_head(URI, BARE))
    assert [name for name, _ in request.headers] == [
        "host",
        "upgrade",
        "connection",
        "sec-websocket-key",
        "sec-websocket-version",
    ]


@pytest.mark.parametrize(
    "asked",
    [
        {"origin": "https://a\r\nX: y"},
        {"origin": ""},
        {"origin": "https://ä"},
        {"headers": [("X", "a\r\nY: b")]},
        {"headers": [("X", "a\n")]},
        {"headers": [("X", "a\0")]},
        {"headers": [("X\r\nY", "a")]},
        {"headers": [("X:", "a")]},
        {"headers": [("X ", "a")]},
        {"headers": [("", "a")]},
        *[
            {"headers": [(name, "a")]}
            for name in (
                "Host",
                "UPGRADE",
                "connection",
                "Origin",
                "Sec-WebSocket-Key",
                "Sec-WebSocket-Version",
                "Sec-WebSocket-Protocol",
                "Sec-WebSocket-Extensions",
                "Content-Length",
                "Transfer-Encoding",
            )
        ],
    ],
)
def test_nothing_can_be_put_into_the_request(asked):
    with pytest.raises(ArgumentError):
        request_head(URI, OFFER, **asked)


@pytest.mark.parametrize("subprotocols", [("a", "a"), ("",), ("a b",), ("a,b",), ("a\r\nX: y",), ("ä",)])
def test_subprotocols_are_tokens_and_unique(subprotocols):
    with pytest.raises(ArgumentError):
        request_head(URI, Offer(key=KEY, subprotocols=subprotocols))


@pytest.mark.parametrize("key", ["", "short", KEY + "=", KEY.replace("Q==", "R=="), KEY + "\r\n"])
def test_the_key_is_16_bytes(key):
    with pytest.raises(ArgumentError):
        request_head(URI, Offer(key=key))


# What is accepted


def test_the_response():
    verdict = parse(response("Server: x", "Sec-WebSocket-Protocol: superchat", "Date:  now\t "))
    assert isinstance(verdict, Accepted)
    assert verdict.subprotocol == "superchat"
    assert verdict.deflate is None
    assert verdict.headers[3:] == (("server", "x"), ("sec-websocket-protocol", "superchat"), ("date", "now"))


def test_what_our_server_writes():
    data = switching_response(KEY, "chat", "permessage-deflate; server_no_context_takeover")
    verdict = parse(data)
    assert isinstance(verdict, Accepted)
    assert (verdict.subprotocol, verdict.deflate) == ("chat", DeflateParameters(False, False, 15, 15))


@pytest.mark.parametrize(
    "data",
    [
        response(line="HTTP/1.1 101 "),
        response(line="HTTP/1.1 101 \xe4 reason\t"),
        response(Upgrade="WebSocket"),
        response(Upgrade="\t websocket \t"),
        response(Connection="keep-alive, UPGRADE"),
        response("Connection: Upgrade", Connection="keep-alive"),
        response("X:"),
        response("X: \xff"),
        response(Sec_WebSocket_Accept=f"  {ACCEPT}\t"),
    ],
)
def test_a_valid_101(data):
    assert isinstance(parse(data), Accepted)


def test_bytes_behind_the_head_are_the_first_frames():
    parser = ResponseParser(Limits(), BARE)
    assert isinstance(parser.feed(response() + b"\x81\x01"), Accepted)
    assert parser.rest == b"\x81\x01"
    parser = ResponseParser(Limits(), BARE)
    head = response()
    assert parser.feed(head[:-1]) is None
    assert parser.rest == b""
    assert isinstance(parser.feed(head[-1:] + b"\n\r"), Accepted)
    assert parser.rest == b"\n\r"


DEFLATE = "Sec-WebSocket-Extensions: permessage-deflate"


@pytest.mark.parametrize(
    ("offered", "answer", "agreed"),
    [
        (Deflate(), "; server_no_context_takeover", DeflateParameters(False, False, 15, 15)),
        (Deflate(server_context_takeover=True), "", DeflateParameters(False, True, 15, 15)),
        (
            Deflate(server_context_takeover=True, client_context_takeover=True),
            "; client_no_context_takeover; client_max_window_bits=10",
            DeflateParameters(False, True, 10, 15),
        ),
        (
            Deflate(server_max_window_bits=12),
            "; server_no_context_takeover; server_max_window_bits=11",
            DeflateParameters(False, False, 15, 11),
        ),
    ],
)
def test_compression_that_was_offered(offered, answer, agreed):
    verdict = parse(response(DEFLATE + answer), Offer(key=KEY, deflate=offered))
    assert isinstance(verdict, Accepted)
    assert verdict.deflate == agreed


# What is not


@pytest.mark.parametrize(
    ("data", "detail"),
    [
        (response(Upgrade=None), "Upgrade is not websocket"),
        (response(Upgrade="websockets"), "Upgrade is not websocket"),
        (response(Upgrade="h2c, websocket"), "Upgrade is not websocket"),
        (response("Upgrade: websocket"), "Upgrade is not websocket"),
        (response(Connection=None), "Connection has no upgrade"),
        (response(Connection="keep-alive"), "Connection has no upgrade"),
        (response(Connection="Upgraded"), "Connection has no upgrade"),
        (response(Sec_WebSocket_Accept=None), "Sec-WebSocket-Accept is not the answer to our key"),
        (response(Sec_WebSocket_Accept=""), "Sec-WebSocket-Accept is not the answer to our key"),
        (response(Sec_WebSocket_Accept=ACCEPT.lower()), "Sec-WebSocket-Accept is not the answer to our key"),
        (response(Sec_WebSocket_Accept=KEY), "Sec-WebSocket-Accept is not the answer to our key"),
        (response(f"Sec-WebSocket-Accept: {ACCEPT}"), "Sec-WebSocket-Accept is not the answer to our key"),
        (response("Sec-WebSocket-Protocol: soap"), "a subprotocol was not offered, or there are several"),
        (response("Sec-WebSocket-Protocol: Chat"), "a subprotocol was not offered, or there are several"),
        (response("Sec-WebSocket-Protocol:"), "a subprotocol was not offered, or there are several"),
        (response("Sec-WebSocket-Protocol: chat, superchat"), "a subprotocol was not offered, or there are several"),
        (
            response("Sec-WebSocket-Protocol: chat", "Sec-WebSocket-Protocol: chat"),
            "a subprotocol was not offered, or there are several",
        ),
        (response("Content-Length: 0"), "a 101 announces a body"),
        (response("Transfer-Encoding: chunked"), "a 101 announces a body"),
        (response("Sec-WebSocket-Extensions: x-webkit-deflate-frame"), "an extension was not offered"),
        (response("Sec-WebSocket-Extensions: permessage-deflate, permessage-deflate"), "an extension was not offered"),
        (response("Sec-WebSocket-Extensions: ;"), "Sec-WebSocket-Extensions is malformed"),
        (response("Sec-WebSocket-Extensions:"), "Sec-WebSocket-Extensions is malformed"),
        (response(DEFLATE), "the server keeps its context"),
        (response(DEFLATE + "; server_no_context_takeover; x"), "a parameter is unknown"),
        (response(DEFLATE + "; server_no_context_takeover; server_no_context_takeover"), "a parameter is repeated"),
        (
            response(DEFLATE + "; server_no_context_takeover; server_max_window_bits=16"),
            "a window size is not 8 to 15",
        ),
        (response(DEFLATE + "; server_no_context_takeover; client_max_window_bits"), "a window size has no value"),
    ],
)
def test_a_101_that_is_none(data, detail):
    verdict = parse(data)
    assert isinstance(verdict, Rejected)
    assert (verdict.detail, verdict.status) == (detail, 101)
    assert len(verdict.headers) >= 2


def test_an_extension_without_an_offer():
    assert parse(response(DEFLATE), BARE).detail == "an extension was not offered"
    assert parse(response("Sec-WebSocket-Protocol: chat"), BARE).detail.startswith("a subprotocol was not offered")


@pytest.mark.parametrize(
    ("data", "detail"),
    [
        (b"HTTP/1.1 101\r\n", "status line"),
        (b"HTTP/1.1  101 x\r\n", "status line"),
        (b"HTTP/1.1 1010 x\r\n", "status line"),
        (b"HTTP/1.1 099 x\r\n", "status line"),
        (b"HTTP/1.1 600 x\r\n", "status line"),
        (b"HTTP/2.0 101 x\r\n", "status line"),
        (b"http/1.1 101 x\r\n", "status line"),
        (b"HTTP/1.1 101 x\x00\r\n", "status line"),
        (b"HTTP/1.1 101 x\x7f\r\n", "status line"),
        (b"HTTP/1.1 101 x\rx\r\n", "status line"),
        (b"\r\nHTTP/1.1 101 x\r\n", "status line"),
        (b"SSH-2.0-OpenSSH_9.2\r\n", "status line"),
        (b"HTTP/1.0 101 x\r\n", "101 of HTTP/1.0"),
        (b"HTTP/1.1 101 x\n", "does not end with CRLF"),
        (response("X: y\nZ: w"), "does not end with CRLF"),
        (response("X : y"), "malformed"),
        (response(" folded"), "malformed"),
        (response("\tfolded"), "malformed"),
        (response(" folded: y"), "malformed"),
        (response(": y"), "malformed"),
        (response("no colon"), "malformed"),
        (response("X: a\x00b"), "malformed"),
        (response("X: a\x0bb"), "malformed"),
        (response("X: a\rb"), "malformed"),
        (response("X: a\r"), "malformed"),
        (response("X\xe4: y"), "malformed"),
    ],
)
def test_not_http(data, detail):
    verdict = parse(data)
    assert isinstance(verdict, Rejected)
    assert detail in verdict.detail
    assert verdict.status is None
    assert verdict.headers == ()


@pytest.mark.parametrize("line", ["HTTP/1.1 403 Forbidden", "HTTP/1.0 403 ", "HTTP/1.1 200 OK", "HTTP/1.1 100 x"])
def test_another_status_is_reported_with_its_headers(line):
    verdict = parse(b"%s\r\nLocation: https://a\r\nContent-Length: 9\r\n\r\nforbidden" % line.encode())
    assert isinstance(verdict, Rejected)
    assert verdict.status == int(line.split()[1])
    assert verdict.headers == (("location", "https://a"), ("content-length", "9"))
    assert verdict.detail == f"the server answered {verdict.status}"


# Bounds


def test_a_line_may_have_max_header_bytes():
    fits, too_long = (response("X: " + "y" * size) for size in (77, 78))
    limits = Limits(max_header_bytes=80)
    assert isinstance(parse(fits, limits=limits), Accepted)
    assert parse(too_long, limits=limits).detail == "a line of the response head is longer than max_header_bytes"


def test_a_head_may_have_max_head_bytes():
    head = response()
    assert isinstance(parse(head, limits=Limits(max_head_bytes=len(head))), Accepted)
    limits = Limits(max_head_bytes=len(head) - 1)
    assert parse(head, limits=limits).detail == "the response head is longer than max_head_bytes"


def test_a_head_may_have_max_headers():
    assert isinstance(parse(response("X: y"), limits=Limits(max_headers=4)), Accepted)
    assert parse(response("X: y", "X: y"), limits=Limits(max_headers=4)).detail == (
        "the response has more than max_headers header lines"
    )


def test_a_verdict_stays():
    parser = ResponseParser(Limits(), OFFER)
    verdict = parser.feed(b"nonsense\r\n")
    assert isinstance(verdict, Rejected)
    assert parser.feed(response()) is verdict
    assert parser.rest == b""


def test_time_is_linear_and_memory_bounded():
    parser = ResponseParser(Limits(max_head_bytes=2**20, max_header_bytes=2**19, max_headers=10**6), OFFER)
    begun = time.process_time()
    parser.feed(b"HTTP/1.1 101 x\r\nX: ")
    for _ in range(2**18):
        parser.feed(b"a")
    assert isinstance(parser.feed(b"a" * 2**19), Rejected)
    assert time.process_time() - begun < 5
    assert not parser._line
