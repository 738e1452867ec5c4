"""Opening handshakes (RFC 6455 4.1): request heads that a server takes, heads with one thing wrong, and damaged ones.

What must come out is built here from the parts that were drawn, not by framewarden's parser, which it tests.
"""

import base64
from typing import NamedTuple

from hypothesis import strategies as st

from framewarden.codec.extensions import Extension
from framewarden.codec.handshake import Request
from framewarden.policy import Limits
from framewarden.rules import RULES

__all__ = ["Opening", "Refused", "damaged_heads", "opening_handshakes", "refused_handshakes"]

TOKEN = "!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
PATHS = ("/", "/chat", "/a/b;c=1", "/%41%e2%82%ac", "/[x]^|", "//", "/:@!$&'()*+,;=")
QUERIES = (None, "", "x=1", "a?b/c", "q=%00", "[]^|`{}\\")
HOSTS = (
    "localhost",
    "example.org",
    "example.org:8080",
    "127.0.0.1:80",
    "[::1]",
    "[2001:db8::1]:65535",
    "a-b.c_d",
    "a:",
)
ORIGINS = (None, "https://example.org", "null", "http://localhost:3000")
UPGRADES = ("websocket", "WebSocket", "WEBSOCKET", "h2c, websocket")
CONNECTIONS = ("Upgrade", "upgrade", "keep-alive, Upgrade", "Upgrade,keep-alive")
EXTENSIONS: tuple[tuple[str, tuple[Extension, ...]], ...] = (
    ("permessage-deflate", (Extension("permessage-deflate"),)),
    (
        "permessage-deflate; client_max_window_bits",
        (Extension("permessage-deflate", (("client_max_window_bits", None),)),),
    ),
    (
        'permessage-deflate;server_max_window_bits="10" , x-a; b = c',
        (Extension("permessage-deflate", (("server_max_window_bits", "10"),)), Extension("x-a", (("b", "c"),))),
    ),
)
Header = tuple[str, str]


class Refused(NamedTuple):
    """How a request must be refused.

    Attributes:
        rule: id in :data:`framewarden.RULES`.
        status: HTTP status code of the answer.
    """

    rule: str
    status: int


class Opening(NamedTuple):
    """A request head, and what must come of it.

    Attributes:
        head: bytes as they come from the wire.
        expected: the Request that the parser must return, or how it must refuse.
    """

    head: bytes
    expected: Request | Refused


class Parts(NamedTuple):
    """A head before it is written."""

    method: str
    target: str
    version: str
    headers: tuple[Header, ...]

    def written(self) -> bytes:
        lines = [f"{self.method} {self.target} {self.version}", *(f"{name}:{value}" for name, value in self.headers)]
        return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")

    def without(self, *names: str) -> "Parts":
        return self._replace(headers=tuple(each for each in self.headers if each[0].lower() not in names))

    def plus(self, *headers: Header) -> "Parts":
        return self._replace(headers=self.headers + headers)

    def instead(self, name: str, value: str) -> "Parts":
        return self.without(name.lower()).plus((name, value))


def tokens() -> st.SearchStrategy[str]:
    """Draw tokens of RFC 9110 5.6.2."""
    return st.text(TOKEN, min_size=1, max_size=8)


def keys() -> st.SearchStrategy[str]:
    """Draw Sec-WebSocket-Keys: 16 bytes in base64."""
    return st.binary(min_size=16, max_size=16).map(lambda nonce: base64.b64encode(nonce).decode())


def field_values() -> st.SearchStrategy[str]:
    """Draw header values of any byte that one may have, without the space around them."""
    legal = [chr(octet) for octet in (0x09, *range(0x20, 0x7F), *range(0x80, 0x100))]
    return st.text(legal, max_size=12).map(lambda text: text.strip(" \t"))


@st.composite
def spelled(draw: st.DrawFn, name: str) -> str:
    """A header's name in some case: names are compared without it (RFC 9110 5.1)."""
    return draw(st.sampled_from([name, name.lower(), name.upper()]))


@st.composite
def arranged(draw: st.DrawFn, headers: list[Header]) -> list[Header]:
    """Headers in another order and spelling; what has several lines keeps the order of these."""
    order = draw(st.permutations(range(len(headers))))
    several = [position for position in order if headers[position][0] == "Sec-WebSocket-Protocol"]
    places = iter(sorted(several))
    shuffled = [headers[next(places)] if position in several else headers[position] for position in order]
    return [(draw(spelled(name)), value) for name, value in shuffled]


@st.composite
def valid_parts(draw: st.DrawFn) -> tuple[Parts, Request]:
    path, query = draw(st.sampled_from(PATHS)), draw(st.sampled_from(QUERIES))
    target = path if query is None else f"{path}?{query}"
    host, origin, key = draw(st.sampled_from(HOSTS)), draw(st.sampled_from(ORIGINS)), draw(keys())
    subprotocols = draw(st.lists(tokens(), max_size=3, unique=True))
    extensions = draw(st.none() | st.sampled_from(EXTENSIONS))
    headers: list[Header] = [
        ("Host", host),
        ("Upgrade", draw(st.sampled_from(UPGRADES))),
        ("Connection", draw(st.sampled_from(CONNECTIONS))),
        ("Sec-WebSocket-Version", "13"),
        ("Sec-WebSocket-Key", key),
    ]
    if origin is not None:
        headers.append(("Origin", origin))
    if subprotocols:  # several lines are one list
        cut = draw(st.integers(1, len(subprotocols)))
        lines = (subprotocols[:cut], subprotocols[cut:])
        headers += [("Sec-WebSocket-Protocol", ", ".join(line)) for line in lines if line]
    if extensions is not None:
        headers.append(("Sec-WebSocket-Extensions", extensions[0]))
    headers += draw(st.lists(st.tuples(tokens().map("X-{}".format), field_values()), max_size=3))
    written = draw(arranged(headers))
    padding = st.sampled_from(["", " ", " \t"])
    parts = Parts(
        "GET", target, "HTTP/1.1", tuple((name, f"{draw(padding)}{value}{draw(padding)}") for name, value in written)
    )
    request = Request(
        method="GET",
        target=target,
        path=path,
        query=query or "",
        host=host,
        origin=origin,
        headers=tuple((name.lower(), value) for name, value in written),
        key=key,
        subprotocols=tuple(subprotocols),
        extensions=() if extensions is None else extensions[1],
    )
    return parts, request


@st.composite
def opening_handshakes(draw: st.DrawFn) -> Opening:
    """Draw a request head that is valid by RFC 6455 4.2.1, with the Request that must come of it.

    ::

        @given(opening_handshakes())
        def test_a_valid_head_is_read(opening):
            assert HandshakeParser(Limits()).feed(opening.head) == opening.expected

    It says nothing about who may connect: Host and Origin are any that the grammar has.
    """
    parts, request = draw(valid_parts())
    return Opening(parts.written(), request)


@st.composite
def refused_handshakes(draw: st.DrawFn, limits: Limits | None = None) -> Opening:
    """Draw a request head with exactly one thing wrong, with the rule and the status that must refuse it.

    ::

        @given(refused_handshakes())
        def test_one_wrong_thing_is_found(opening):
            refusal = HandshakeParser(Limits()).feed(opening.head)
            assert (refusal.rule, refusal.status) == opening.expected

    Args:
        draw: given by Hypothesis.
        limits: those of the server, for what is too long; no smaller than a usual head. None: the defaults.
    """
    parts, _ = draw(valid_parts())
    rule = draw(st.sampled_from(sorted(FAULTS)))
    wrong = draw(FAULTS[rule](parts, Limits() if limits is None else limits))
    status = RULES[rule].status
    assert status is not None  # every rule in FAULTS is one of the opening handshake
    return Opening(wrong, Refused(rule, status))


def _request_line(parts: Parts, limits: Limits) -> st.SearchStrategy[bytes]:
    rest = parts.written().partition(b"\r\n")[2]
    lines = ("GET  / HTTP/1.1", "GET / HTTP/1.1 ", " GET / HTTP/1.1", "GET\t/ HTTP/1.1", "GET /", "GET / http/1.1", "")
    more = ("GET / HTTP/11", "G(T / HTTP/1.1", "GET /\x00 HTTP/1.1", "GET /\xe9 HTTP/1.1", "GET / HTTP/1.1\r")
    return st.sampled_from(lines + more).map(lambda line: line.encode("latin-1") + b"\r\n" + rest)


def _http_version(parts: Parts, limits: Limits) -> st.SearchStrategy[bytes]:
    versions = st.sampled_from(["HTTP/1.0", "HTTP/1.2", "HTTP/2.0", "HTTP/0.9"])
    return versions.map(lambda version: parts._replace(version=version).written())


def _method(parts: Parts, limits: Limits) -> st.SearchStrategy[bytes]:
    methods = st.sampled_from(["POST", "HEAD", "get", "CONNECT", "OPTIONS", "GETT"])
    return methods.map(lambda method: parts._replace(method=method).written())


def _request_target(parts: Parts, limits: Limits) -> st.SearchStrategy[bytes]:
    targets = st.sampled_from(["*", "chat", "http://example.org/", "/#x", "/%", "/%4", "/%zz", '/"', "/<", "/?#"])
    return targets.map(lambda target: parts._replace(target=target).written())


def _header_syntax(parts: Parts, limits: Limits) -> st.SearchStrategy[bytes]:
    lines = (b"X : 1", b" folded", b"\tfolded", b"X", b": 1", b"X\x0b: 1", b"X: a\x00b", b"X: a\rb", b"X: \x7f")
    more = (b"X: a\nY: b", b"X(: 1", b"\xe9: 1", b"X: \x0c")
    begin = parts.written()[:-2]
    return st.sampled_from(lines + more).map(lambda line: begin + line + b"\r\n\r\n")


def _target_too_long(parts: Parts, limits: Limits) -> st.SearchStrategy[bytes]:
    size = limits.max_header_bytes
    return st.integers(size, size + 9).map(lambda more: parts._replace(target="/" + "a" * more).written())


def _header_too_long(parts: Parts, limits: Limits) -> st.SearchStrategy[bytes]:
    size = limits.max_header_bytes - len("X:")
    return st.integers(size + 1, size + 9).map(lambda length: parts.plus(("X", "a" * length)).written())


def _too_many_headers(parts: Parts, limits: Limits) -> st.SearchStrategy[bytes]:
    missing = limits.max_headers - len(parts.headers)
    return st.integers(missing + 1, missing + 9).map(lambda times: parts.plus(*[("X", "")] * times).written())


def _head_too_long(parts: Parts, limits: Limits) -> st.SearchStrategy[bytes]:
    """One byte more than a head may have, or a few: in lines that are not too long, and not too many."""
    missing = limits.max_head_bytes - len(parts.written())
    line = limits.max_header_bytes

    def grown(more: int) -> bytes:
        rest = missing + more
        fillers: list[Header] = []
        while rest > 0:  # each line is "X:" + value + CRLF
            value = min(max(rest - 4, 0), line - 2)
            fillers.append(("X", "a" * value))
            rest -= value + 4
        return parts.plus(*fillers).written()

    return st.integers(1, 9).map(grown)


def _host(parts: Parts, limits: Limits) -> st.SearchStrategy[bytes]:
    wrong = (
        "",
        "a b",
        "a/b",
        "a@b",
        "[::1",
        "[::g]",
        "[1.2.3.4]",
        "a:65536",
        "a:b",
        "a:123456",
        "a%zz",
        "a,b:c",
        "\xe9",
    )
    values = st.sampled_from(wrong).map(lambda value: parts.instead("Host", value).written())
    return values | st.sampled_from([parts.without("host").written(), parts.plus(("host", "a")).written()])


def _request_body(parts: Parts, limits: Limits) -> st.SearchStrategy[bytes]:
    headers = [("Content-Length", "0"), ("content-length", "5"), ("Transfer-Encoding", "chunked")]
    return st.sampled_from(headers).map(lambda header: parts.plus(header).written())


def _upgrade_required(parts: Parts, limits: Limits) -> st.SearchStrategy[bytes]:
    changes = [
        ("Upgrade", "h2c"),
        ("Upgrade", "web socket"),
        ("Upgrade", ""),
        ("Connection", "keep-alive"),
        ("Connection", ""),
    ]
    absent = st.sampled_from(["upgrade", "connection"]).map(lambda name: parts.without(name).written())
    return absent | st.sampled_from(changes).map(lambda change: parts.instead(*change).written())


def _websocket_version(parts: Parts, limits: Limits) -> st.SearchStrategy[bytes]:
    values = st.sampled_from(["8", "0", "14", "13, 8", "013", "+13", ""])
    changed = values.map(lambda value: parts.instead("Sec-WebSocket-Version", value).written())
    return changed | st.just(parts.without("sec-websocket-version").written())


def _version_repeated(parts: Parts, limits: Limits) -> st.SearchStrategy[bytes]:
    return st.sampled_from(["13", "8"]).map(lambda value: parts.plus(("Sec-WebSocket-Version", value)).written())


def _websocket_key(parts: Parts, limits: Limits) -> st.SearchStrategy[bytes]:
    bad = ("", "AAAA", "A" * 24, "A" * 22, "A" * 21 + "B==", "A" * 21 + "-A==", "A" * 43 + "=")
    changed = st.sampled_from(bad).map(lambda value: parts.instead("Sec-WebSocket-Key", value).written())
    repeated = parts.plus(("Sec-WebSocket-Key", "A" * 22 + "==")).written()
    return changed | st.sampled_from([parts.without("sec-websocket-key").written(), repeated])


def _origin(parts: Parts, limits: Limits) -> st.SearchStrategy[bytes]:
    return st.just(parts.instead("Origin", "https://a").plus(("origin", "https://a")).written())


def _subprotocol_syntax(parts: Parts, limits: Limits) -> st.SearchStrategy[bytes]:
    values = st.sampled_from(
        ["", "a,", ",a", "a,,b", "a, a", "a b", "a;b", '"a"', "\xe9", ", ".join(map(str, range(65)))]
    )
    return values.map(lambda value: parts.instead("Sec-WebSocket-Protocol", value).written())


def _extension_syntax(parts: Parts, limits: Limits) -> st.SearchStrategy[bytes]:
    bad = (
        "",
        ",",
        "a;",
        "a; ;b",
        "a;b=",
        'a;b=""',
        'a;b="c d"',
        'a;b="c',
        "a b",
        "a;=b",
        ", ".join("abcdefghijklmnopq"),
    )
    values = st.sampled_from((*bad, "a" + ";b" * 9))
    return values.map(lambda value: parts.instead("Sec-WebSocket-Extensions", value).written())


def _early_data(parts: Parts, limits: Limits) -> st.SearchStrategy[bytes]:
    return st.binary(min_size=1, max_size=8).map(lambda more: parts.written() + more)


FAULTS = {
    "early-data": _early_data,
    "extension-syntax": _extension_syntax,
    "head-too-long": _head_too_long,
    "header-syntax": _header_syntax,
    "header-too-long": _header_too_long,
    "host": _host,
    "http-version": _http_version,
    "method": _method,
    "origin": _origin,
    "request-body": _request_body,
    "request-line": _request_line,
    "request-target": _request_target,
    "subprotocol-syntax": _subprotocol_syntax,
    "target-too-long": _target_too_long,
    "too-many-headers": _too_many_headers,
    "upgrade-required": _upgrade_required,
    "version-repeated": _version_repeated,
    "websocket-key": _websocket_key,
    "websocket-version": _websocket_version,
}
"""Every rule of the opening handshake that a parser alone can judge, and how to break it, and nothing else."""

NASTY = (
    *(b"\r", b"\n", b"\r\n", b"\x00", b" ", b":", b",", b"\t", b"\xff", b"\x0b", b"a" * 110, b"403", b"superchat"),
    *(b"Host: b\r\n", b"X: 1\r\n", b"Upgrade: x\r\n", b"Content-Length: 0\r\n", b"; client_max_window_bits=8"),
)


@st.composite
def damaged_heads(draw: st.DrawFn, honest: st.SearchStrategy[bytes] | None = None) -> bytes:
    """Draw a head with a few bytes changed, put in or cut out, or anything at all; some are valid all the same.

    Args:
        draw: given by Hypothesis.
        honest: heads to damage, of requests or responses; None: those of ``opening_handshakes()``.
    """
    heads = opening_handshakes().map(lambda opening: opening.head) if honest is None else honest
    data = bytearray(draw(heads | st.binary(max_size=700)))
    for _ in range(draw(st.integers(0, 4))):
        where = draw(st.integers(0, len(data)))
        piece = draw(st.sampled_from(NASTY) | st.binary(max_size=3))
        data[where : where + draw(st.integers(0, 3))] = piece
    return bytes(data)
