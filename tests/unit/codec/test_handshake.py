"""The opening handshake: each rule with what breaks it and what just does not."""

import re
import time
import tracemalloc

import pytest

from framewarden.codec._head import read_head
from framewarden.codec.extensions import Extension
from framewarden.codec.handshake import (
    MAX_SUBPROTOCOLS,
    HandshakeParser,
    Refusal,
    Request,
    accept_value,
    canonical_head,
    refusal_response,
    refuse,
    switching_headers,
    switching_response,
)
from framewarden.errors import ArgumentError
from framewarden.policy import Limits
from framewarden.rules import RULES

KEY = "dGhlIHNhbXBsZSBub25jZQ=="  # RFC 6455 1.3
HEADERS = {
    "Host": "example.org",
    "Upgrade": "websocket",
    "Connection": "Upgrade",
    "Sec-WebSocket-Version": "13",
    "Sec-WebSocket-Key": KEY,
}


def head(*extra, line="GET /chat HTTP/1.1", **changed):
    """A request head: the five headers, changed or (None) left out, then ``extra`` lines."""
    headers = HEADERS | {name.replace("_", "-"): value for name, value in changed.items()}
    lines = [line, *(f"{name}: {value}" for name, value in headers.items() if value is not None), *extra, "", ""]
    return "\r\n".join(lines).encode("latin-1")


def parse(data, limits=None):
    """The last verdict, fed whole; the same must come out byte by byte."""
    whole = HandshakeParser(limits or Limits()).feed(data)
    parser, verdict = HandshakeParser(limits or Limits()), None
    for index in range(len(data)):
        verdict = parser.feed(data[index : index + 1])
    assert verdict == whole
    return whole


def test_the_request():
    request = parse(
        head(
            "Origin: https://example.org",
            "Cookie:a=\xe9 ",
            "Sec-WebSocket-Protocol: chat, superchat",
            "Sec-WebSocket-Protocol: soap",
            "Sec-WebSocket-Extensions: foo; bar=1",
            line="GET /a%20b?x=1&y={2} HTTP/1.1",
        )
    )
    assert request == Request(
        method="GET",
        target="/a%20b?x=1&y={2}",
        path="/a%20b",
        query="x=1&y={2}",
        host="example.org",
        origin="https://example.org",
        headers=request.headers,
        key=KEY,
        subprotocols=("chat", "superchat", "soap"),
        extensions=(Extension("foo", (("bar", "1"),)),),
    )
    assert request.headers[0] == ("host", "example.org")
    assert request.header("Cookie") == "a=\xe9"
    assert request.header("sec-websocket-protocol") is None  # twice
    assert request.values("Sec-WebSocket-Protocol") == ["chat, superchat", "soap"]
    with pytest.raises(AttributeError):
        request.method = "POST"


ACCEPTED = {
    "firefox": head(Connection="keep-alive, Upgrade"),
    "upper case": head(Upgrade="WebSocket", Connection="UPGRADE"),
    "lists": head(Upgrade="h2c, websocket", Connection="close,\tupgrade"),
    "two Connection headers": head("Connection: upgrade", Connection="keep-alive"),
    "names in any case": head("hOsT: a", Host=None),
    "no space behind the colon": head("host:a", Host=None),
    "tabs": head("host:\ta\t ", Host=None),
    "empty value": head("X:"),
    "obs-text": head("X: \x80\xff"),
    "port": head(Host="example.org:8765"),
    "empty port": head(Host="example.org:"),
    "IPv4": head(Host="127.0.0.1:1"),
    "IPv6": head(Host="[::1]:1"),
    "a long name": head(Host="a" * 300 + ".example"),
    "a long offer": head(f"Sec-WebSocket-Extensions: {'a' * 300}"),
    "underscore": head(Host="a_b.example"),
    "root": head(line="GET / HTTP/1.1"),
    "two slashes": head(line="GET //a HTTP/1.1"),
    "empty query": head(line="GET /? HTTP/1.1"),
    "what browsers leave": head(line="GET /|[]^?`{|}\\^[]? HTTP/1.1"),
    "percent": head(line="GET /%00?%ff HTTP/1.1"),
    "key with + and /": head(Sec_WebSocket_Key="+/+/+/+/+/+/+/+/+/+/+g=="),
    "most subprotocols": head("Sec-WebSocket-Protocol: " + ",".join(map(str, range(MAX_SUBPROTOCOLS)))),
}


@pytest.mark.parametrize("data", ACCEPTED.values(), ids=ACCEPTED.keys())
def test_accepts(data):
    assert isinstance(parse(data), Request)


REFUSED = [
    # request-line
    ("request-line", head(line="GET /")),
    ("request-line", head(line="GET  / HTTP/1.1")),
    ("request-line", head(line="GET /\tHTTP/1.1")),
    ("request-line", head(line=" GET / HTTP/1.1")),
    ("request-line", head(line="GET / HTTP/1.1 ")),
    ("request-line", head(line="GET / http/1.1")),
    ("request-line", head(line="GET / HTTP/1.10")),
    ("request-line", head(line="G(T / HTTP/1.1")),
    ("request-line", head(line="GET /\xe9 HTTP/1.1")),
    ("request-line", b"\r\n" + head()),
    ("request-line", head().replace(b"\r\n", b"\n")),
    ("request-line", b"GET / HTTP/1.1\n"),
    ("request-line", b"GET /\x00"),
    ("request-line", b"GET / HTTP/1.1\rX"),
    ("request-line", b"\x16\x03\x01\x02\x00"),  # a TLS ClientHello
    # http-version
    ("http-version", head(line="GET / HTTP/1.0")),
    ("http-version", head(line="GET / HTTP/1.2")),
    ("http-version", head(line="GET / HTTP/2.0")),
    ("http-version", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"),
    # method
    ("method", head(line="POST / HTTP/1.1")),
    ("method", head(line="get / HTTP/1.1")),
    ("method", head(line="CONNECT example.org:80 HTTP/1.1")),
    # request-target
    ("request-target", head(line="GET http://example.org/ HTTP/1.1")),
    ("request-target", head(line="GET * HTTP/1.1")),
    ("request-target", head(line="GET chat HTTP/1.1")),
    ("request-target", head(line="GET /#a HTTP/1.1")),
    ("request-target", head(line="GET /?a#b HTTP/1.1")),
    ("request-target", head(line='GET /" HTTP/1.1')),
    ("request-target", head(line="GET /<script> HTTP/1.1")),
    ("request-target", head(line="GET /\\ HTTP/1.1")),
    ("request-target", head(line="GET /% HTTP/1.1")),
    ("request-target", head(line="GET /%g0 HTTP/1.1")),
    ("request-target", head(line="GET /?%2 HTTP/1.1")),
    # header-syntax
    ("header-syntax", head(" folded")),
    ("header-syntax", head("\tfolded")),
    ("header-syntax", head(" folded: 1")),
    ("header-syntax", head("\tfolded: 1")),
    ("header-syntax", head("X : 1")),
    ("header-syntax", head("X\t: 1")),
    ("header-syntax", head(": 1")),
    ("header-syntax", head("X")),
    ("header-syntax", head("(X): 1")),
    ("header-syntax", head("X\xe9: 1")),
    ("header-syntax", head("X: \x00")),
    ("header-syntax", head("X: \x0b")),
    ("header-syntax", head("X: \x0c")),
    ("header-syntax", head("X: \x7f")),
    ("header-syntax", head("X: \x1b[0m")),
    ("header-syntax", head("X: 1\rY: 2")),
    ("header-syntax", head("X: 1\nY: 2")),
    ("header-syntax", head("X: 1\r\rY: 2")),
    ("header-syntax", head()[:-2] + b"\n"),
    # host
    ("host", head(Host=None)),
    ("host", head("Host: example.org")),
    ("host", head(Host="")),
    ("host", head(Host="a b")),
    ("host", head(Host="a/b")),
    ("host", head(Host="user@example.org")),
    ("host", head(Host="a:b")),
    ("host", head(Host="a:65536")),
    ("host", head(Host="a:1:2")),
    ("host", head(Host="[::1")),
    ("host", head(Host="[::1::]")),
    ("host", head(Host="[1.2.3.4]")),
    ("host", head(Host="a%zz")),
    ("host", head(Host="a" * 300 + "/")),
    # request-body
    ("request-body", head("Content-Length: 5")),
    ("request-body", head("Content-Length: 0")),
    ("request-body", head("Content-Length: +0")),
    ("request-body", head("Transfer-Encoding: chunked")),
    ("request-body", head("transfer-encoding: identity")),
    # upgrade-required
    ("upgrade-required", head(Upgrade=None)),
    ("upgrade-required", head(Upgrade="h2c")),
    ("upgrade-required", head(Upgrade="websocket/13")),
    ("upgrade-required", head(Upgrade="websockets")),
    ("upgrade-required", head(Connection=None)),
    ("upgrade-required", head(Connection="keep-alive")),
    ("upgrade-required", head(Connection="upgraded")),
    # version
    ("websocket-version", head(Sec_WebSocket_Version="8")),
    ("websocket-version", head(Sec_WebSocket_Version="13, 8")),
    ("websocket-version", head(Sec_WebSocket_Version="013")),
    ("websocket-version", head(Sec_WebSocket_Version="")),
    ("websocket-version", head(Sec_WebSocket_Version=None)),
    ("version-repeated", head("Sec-WebSocket-Version: 13")),
    ("version-repeated", head("Sec-WebSocket-Version: 8")),
    # key
    ("websocket-key", head(Sec_WebSocket_Key=None)),
    ("websocket-key", head(f"Sec-WebSocket-Key: {KEY}")),
    ("websocket-key", head(Sec_WebSocket_Key="")),
    ("websocket-key", head(Sec_WebSocket_Key="c2hvcnQ=")),
    ("websocket-key", head(Sec_WebSocket_Key=KEY[:-2])),
    ("websocket-key", head(Sec_WebSocket_Key=KEY[:-1])),
    ("websocket-key", head(Sec_WebSocket_Key="A" * 24)),
    ("websocket-key", head(Sec_WebSocket_Key="A" * 21 + "B==")),
    ("websocket-key", head(Sec_WebSocket_Key="-_-_-_-_-_-_-_-_-_-_-g==")),
    ("websocket-key", head(Sec_WebSocket_Key=f"{KEY}, {KEY}")),
    # subprotocol-syntax
    ("subprotocol-syntax", head("Sec-WebSocket-Protocol:")),
    ("subprotocol-syntax", head("Sec-WebSocket-Protocol: a,,b")),
    ("subprotocol-syntax", head("Sec-WebSocket-Protocol: a, a")),
    ("subprotocol-syntax", head("Sec-WebSocket-Protocol: a", "Sec-WebSocket-Protocol: a")),
    ("subprotocol-syntax", head("Sec-WebSocket-Protocol: a b")),
    ("subprotocol-syntax", head('Sec-WebSocket-Protocol: "a"')),
    ("subprotocol-syntax", head("Sec-WebSocket-Protocol: " + ",".join(map(str, range(MAX_SUBPROTOCOLS + 1))))),
    # extension-syntax
    ("extension-syntax", head("Sec-WebSocket-Extensions:")),
    ("extension-syntax", head("Sec-WebSocket-Extensions: a;")),
    ("extension-syntax", head(f"Sec-WebSocket-Extensions: {'a' * 300};")),
    ("extension-syntax", head('Sec-WebSocket-Extensions: a; b="c d"')),
    # origin: which of two would be the one?
    ("origin", head("Origin: http://a", "Origin: http://a")),
    ("origin", head("Origin: http://b", "Origin: http://a")),
    # early-data
    ("early-data", head() + b"\x81"),
    ("early-data", head() + head()),
]


@pytest.mark.parametrize(("rule", "data"), REFUSED, ids=[f"{rule}-{index}" for index, (rule, _) in enumerate(REFUSED)])
def test_refuses(rule, data):
    verdict = parse(data)
    assert isinstance(verdict, Refusal), verdict
    assert verdict.rule == rule
    assert verdict.status == RULES[rule].status


SMALL = Limits(max_head_bytes=400, max_header_bytes=100, max_headers=8)


@pytest.mark.parametrize(
    ("rule", "data"),
    [
        (None, head("X: " + "a" * 97)),
        ("header-too-long", head("X: " + "a" * 98)),
        ("header-too-long", b"GET / HTTP/1.1\r\nX" + b"a" * 102),  # there is no need to wait for its end
        (None, head(line="GET /" + "a" * 86 + " HTTP/1.1")),
        ("target-too-long", head(line="GET /" + "a" * 87 + " HTTP/1.1")),
        ("target-too-long", b"GET /" + b"a" * 98),
        (None, head("A:", "B:", "C:")),
        ("too-many-headers", head("A:", "B:", "C:", "D:")),
        ("head-too-long", head("A: " + "a" * 97, "B: " + "a" * 97, "C: " + "a" * 97)),
        ("header-syntax", b"GET / HTTP/1.1\r\n" + b"a" * 101 + b"\x00"),  # which byte comes first decides
        ("header-too-long", b"GET / HTTP/1.1\r\n" + b"a" * 102 + b"\x00"),
    ],
)
def test_sizes(rule, data):
    verdict = parse(data, SMALL)
    assert (None if isinstance(verdict, Request) else verdict.rule) == rule


def test_the_head_may_be_exactly_as_long_as_allowed():
    data = head()
    assert isinstance(parse(data, Limits(max_head_bytes=len(data))), Request)
    assert parse(data, Limits(max_head_bytes=len(data) - 1)).rule == "head-too-long"


def test_the_rows_of_the_defaults():
    assert parse(head("X: " + "a" * 65536)).status == 431
    assert parse(head(*(f"X{index}: 1" for index in range(200)))).status == 431


def test_every_rule_of_a_request_head_is_tested():
    ours = {"target-too-long", "header-too-long", "too-many-headers", "head-too-long"} | {rule for rule, _ in REFUSED}
    elsewhere = {  # tests/unit/admission and tests/e2e
        "host-not-allowed",
        "handshake-timeout",
        "not-found",
        "unauthenticated",
        "forbidden",
        "too-many-connections",
        "too-many-pending",
        "authenticate-error",
    }
    assert ours | elsewhere == {rule.id for rule in RULES.values() if rule.status is not None}


def test_a_refusal_is_final():
    parser = HandshakeParser(Limits())
    refusal = parser.feed(b"POST / HTTP/1.1\r\n")
    assert parser.feed(head()) is refusal
    assert parser.feed(b"") is refusal


def test_early_data_in_a_later_read():
    parser = HandshakeParser(Limits())
    assert isinstance(parser.feed(head()), Request)
    assert isinstance(parser.feed(b""), Request)
    assert parser.feed(b"\x81").rule == "early-data"


def test_a_byte_at_a_time_is_linear():
    def cost(size):
        limits = Limits(max_head_bytes=2 * size, max_header_bytes=2 * size)
        data = head("X: " + "a" * size)
        best = float("inf")
        for _ in range(3):
            parser = HandshakeParser(limits)
            begin = time.thread_time()
            for index in range(len(data)):
                parser.feed(data[index : index + 1])
            best = min(best, time.thread_time() - begin)
        return best

    assert cost(32_000) < 5 * cost(8_000) * 2  # 4 if linear, 16 if quadratic


def test_a_whole_head_is_linear():
    def cost(size):
        data = head(*(f"X{index}: {'a' * 90}" for index in range(size // 100)), "X: " + "a" * (size // 2))
        best = float("inf")
        for _ in range(5):
            begin = time.thread_time()
            for _ in range(20):
                assert read_head(data, 1 << 20, 1 << 20) is not None
            best = min(best, time.thread_time() - begin)
        return best

    assert cost(320_000) < 10 * cost(80_000)  # 4 if linear, 16 if quadratic


@pytest.mark.parametrize(
    "data",
    [
        head("X: " + "a" * 1_000_000),
        head(line=f"GET /{'a' * 1_000_000} HTTP/1.1"),
        head(line=f"GET /?{'a' * 1_000_000} HTTP/1.1"),
    ],
    ids=["header", "path", "query"],
)
def test_nothing_is_made_of_what_is_beyond_the_limit(data):
    tracemalloc.start()
    try:
        assert read_head(data, 8192, 100) is None
        assert tracemalloc.get_traced_memory()[1] < 10_000
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("data", [bytearray(head()), "GET /", None])
def test_a_head_is_bytes(data):
    with pytest.raises(TypeError):
        read_head(data, 8192, 100)


# What we write


def test_accept_value():
    assert accept_value(KEY) == "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="  # RFC 6455 1.3


def test_switching_response():
    assert switching_response(KEY, "chat", "permessage-deflate") == (
        b"HTTP/1.1 101 Switching Protocols\r\n"
        b"Upgrade: websocket\r\n"
        b"Connection: Upgrade\r\n"
        b"Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n"
        b"Sec-WebSocket-Protocol: chat\r\n"
        b"Sec-WebSocket-Extensions: permessage-deflate\r\n"
        b"\r\n"
    )


@pytest.mark.parametrize("value", ["a\r\nX: 1", "a\n", "\r", "a\x00", "", " a", "\xe9"])
def test_no_line_end_leaves_in_a_header(value):
    with pytest.raises(ArgumentError):
        switching_headers(value, None)
    with pytest.raises(ArgumentError):
        switching_response(KEY, None, value)
    with pytest.raises(ArgumentError):
        refusal_response(Refusal("unauthenticated", 401, (("WWW-Authenticate", value),)))
    with pytest.raises(ArgumentError):
        refusal_response(Refusal("unauthenticated", 401, (("X" + value + ":", "1"),)))


def test_the_canonical_head_is_one_that_we_would_accept():
    request = parse(canonical_head(KEY))
    assert isinstance(request, Request)
    assert len(request.headers) == 5
    with pytest.raises(ArgumentError):
        canonical_head(KEY + "\r\n")


REFUSABLE = [rule.id for rule in RULES.values() if rule.status is not None]


@pytest.mark.parametrize("rule", REFUSABLE)
def test_a_refusal_response_says_what_it_must_and_no_more(rule):
    refusal = refuse(rule, "nothing of this leaves")
    response = refusal_response(refusal)
    top, body = response.split(b"\r\n\r\n")
    status, *lines = top.decode("ascii").split("\r\n")
    headers = dict(line.split(": ", 1) for line in lines)
    assert re.fullmatch(rf"HTTP/1\.1 {refusal.status} [A-Za-z -]+", status)
    assert headers["Content-Length"] == str(len(body))
    assert body.decode() == status.removeprefix("HTTP/1.1 ") + "\n"
    assert "close" in headers["Connection"]
    assert b"leaves" not in response


def test_426_says_what_we_speak():
    response = refusal_response(parse(head(Sec_WebSocket_Version="8")))
    assert b"\r\nSec-WebSocket-Version: 13\r\n" in response
    assert b"\r\nUpgrade: websocket\r\n" in response
    assert b"\r\nConnection: Upgrade, close\r\n" in response


def test_405_says_what_is_allowed():
    assert b"\r\nAllow: GET\r\n" in refusal_response(parse(head(line="POST / HTTP/1.1")))
