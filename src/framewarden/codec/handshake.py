"""The opening handshake of a server, sans-I/O: bytes of a request head in, a Request or a Refusal out.

:class:`HandshakeParser` is resumable at any byte, linear in what it is fed, and holds at most ``max_head_bytes``. It
knows RFC 6455 4.2 and RFC 9112 and no policy beyond sizes: who may connect is decided by ``framewarden.admission``.

The verdict does not depend on how the head was cut. A line is judged when its end is there; what can be judged before
(a forbidden byte, a size) is judged at the byte that breaks the rule; the request as a whole when the head is complete.
"""

import base64
import functools
import hashlib
import http
import ipaddress
import re
from collections.abc import Sequence

import msgspec

from framewarden.codec._head import read_head
from framewarden.codec.extensions import Extension, parse_extensions
from framewarden.codec.grammar import (
    HEADER_LINE,
    HOST,
    KEY,
    REQUEST_LINE,
    TARGET,
    TOKEN,
    list_elements,
)
from framewarden.errors import ArgumentError
from framewarden.policy import Limits
from framewarden.rfc6455 import ACCEPT_GUID
from framewarden.rules import RULES

__all__ = [
    "HandshakeParser",
    "Refusal",
    "Request",
    "accept_value",
    "canonical_head",
    "checked_value",
    "refusal_response",
    "switching_headers",
    "switching_response",
]

VERSION = "13"
LONGEST_REMEMBERED = 256
"""Characters of a Host whose judgement is remembered."""
MAX_SUBPROTOCOLS = 64
"""Names that one request may offer."""

UPGRADE_HEADERS = (("Sec-WebSocket-Version", VERSION), ("Upgrade", "websocket"))
"""What a 426 says (RFC 6455 4.4; RFC 9110 15.5.22: "The server MUST send an Upgrade header field in a 426")."""

# A control character, or a CR that no LF follows, or an LF that no CR precedes; "\r" at the very end is undecided.
# RFC 9112 2.2: "A recipient of such a bare CR MUST consider that element to be invalid". The same section lets one take
# a bare LF for a line's end; we do not, because whoever stands in front of us may not.
_LEGAL = bytes(byte for byte in range(256) if (byte >= 0x20 and byte != 0x7F) or byte in b"\t\r\n")
_FORBIDDEN = re.compile(rb"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]|\r(?!\n|\Z)|(?<!\r)\n")


class Request(msgspec.Struct, frozen=True, kw_only=True):
    """An opening handshake that is valid by RFC 6455 4.2.1.

    Attributes:
        method: always "GET".
        target: the request target as it was sent, percent-encoding and all.
        path: the target up to the "?"; not decoded.
        query: what follows the "?", not decoded; "" if there is none.
        host: Host as it was sent, with the port if one was given.
        origin: Origin as it was sent; None: there is none, the client is not a browser.
        headers: all headers in order, names in lower case, values without the space around them. Bytes above 0x7F are
            the characters of Latin-1.
        key: Sec-WebSocket-Key.
        subprotocols: names that the client offers, in its order of preference.
        extensions: extensions that the client offers, in its order of preference.
    """

    method: str
    target: str
    path: str
    query: str
    host: str
    origin: str | None
    headers: tuple[tuple[str, str], ...]
    key: str
    subprotocols: tuple[str, ...]
    extensions: tuple[Extension, ...]

    def values(self, name: str) -> list[str]:
        """All values of the header called ``name`` (in any case), in order. Linear in the number of headers."""
        name = name.lower()
        return [value for key, value in self.headers if key == name]

    def header(self, name: str) -> str | None:
        """The value of the header called ``name``, None if it is not there or more than once."""
        values = self.values(name)
        return values[0] if len(values) == 1 else None


class Refusal(msgspec.Struct, frozen=True):
    """An HTTP answer other than 101.

    Attributes:
        rule: id in :data:`framewarden.RULES`.
        status: HTTP status code.
        headers: what the status demands beyond the headers that every refusal has.
        detail: what was wrong, for logs, without any byte of the request. It is not sent.
    """

    rule: str
    status: int
    headers: tuple[tuple[str, str], ...] = ()
    detail: str = ""


def refuse(rule: str, detail: str = "", headers: tuple[tuple[str, str], ...] = ()) -> Refusal:
    """Make the refusal for ``rule``, with its status and, for a 426, what RFC 6455 4.4 demands."""
    status = RULES[rule].status
    assert status is not None, f"{rule} has no HTTP status"
    return Refusal(rule, status, UPGRADE_HEADERS + headers if status == 426 else headers, detail)


class HandshakeParser:
    """Parses one request head.

    ``feed`` returns None as long as the head is incomplete. It returns the Request when the head is complete, and a
    Refusal when a rule is broken; a Refusal is final, every later ``feed`` returns the same one. Bytes behind the head
    turn a Request into a Refusal [early-data], in the same call or in a later one.
    """

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._line = bytearray()
        self._head_bytes = 0
        self._request_line: tuple[str, str, str] | None = None
        self._headers: list[tuple[str, str]] = []
        self._verdict: Request | Refusal | None = None
        self._lost = False

    def feed(self, data: bytes) -> Request | Refusal | None:
        """Take the next bytes of the stream. Linear in ``len(data)`` however the head is cut.

        Raises:
            MemoryError: there is none, whatever the peer sent. A piece of the head is lost then, so every later call
                raises it, too.
        """
        if self._lost:
            raise MemoryError
        try:
            return self._feed(data)
        except MemoryError:
            self._lost = True
            raise

    def _feed(self, data: bytes) -> Request | Refusal | None:
        position = 0
        if self._verdict is None and not self._head_bytes:
            position = self._feed_whole(data)
        if position == len(data) or isinstance(self._verdict, Refusal):
            return self._verdict
        if self._verdict is None:
            forbidden = self._find_forbidden(data)
            while position < len(data) and self._verdict is None:
                newline = data.find(b"\n", position)
                end = len(data) if newline < 0 else newline + 1
                self._verdict = self._feed_line(data[position:end], forbidden - position, complete=newline >= 0)
                position = end
        if position < len(data) and isinstance(self._verdict, Request):
            # RFC 6455 4.1: "Once the client's opening handshake has been sent, the client MUST wait for a response from
            # the server before sending any further data."
            self._verdict = refuse("early-data", "bytes behind the head")
        return self._verdict

    def _feed_whole(self, data: bytes) -> int:
        """Judge a well-formed head that came in one piece, as nearly all do, without the bookkeeping of pieces.

        Returns the position behind it; 0 if ``data`` has no complete head or one that breaks a size or the grammar:
        then nothing has been judged, and the way by pieces does it, which knows what broke first.
        """
        limits = self._limits
        # A line cannot be too long where the whole is not.
        found = read_head(data, min(limits.max_head_bytes, limits.max_header_bytes), limits.max_headers)
        if found is None:
            return 0
        self._head_bytes, target, path, query, headers = found
        self._verdict = judge(target, path, query, headers)
        return self._head_bytes

    def _find_forbidden(self, data: bytes) -> int:
        """The index of the first byte in ``data`` that no head may have where it stands; len(data) if there is none."""
        carried = bytes(self._line[-1:])
        text = carried + data
        # The usual case, in passes of C: every byte is one that a head may have, and CR and LF come in pairs.
        pairs = text.count(b"\r\n")
        if pairs == text.count(b"\n") and pairs == text.count(b"\r") and not text.translate(None, _LEGAL):
            return len(data)
        match = _FORBIDDEN.search(text)
        if match is None:
            return len(data)
        # A CR is judged by the byte behind it, which may come in a later piece: that byte is the one that is reported.
        return match.end() - len(carried) - (0 if match[0] == b"\r" else 1)

    def _feed_line(self, piece: bytes, forbidden: int, *, complete: bool) -> Request | Refusal | None:
        """Take a piece of the current line; ``complete``: it ends with LF; ``forbidden``: index of a bad byte."""
        # Both limits are judged at the first byte beyond them, so that the cut of the stream does not matter. A line's
        # own CRLF does not count for max_header_bytes.
        line_room = self._limits.max_header_bytes + len(b"\r\n") - len(self._line)
        head_room = self._limits.max_head_bytes - self._head_bytes
        room = min(line_room, head_room)
        if forbidden < min(len(piece), room):
            return self._malformed("a control character, or a line end that is not CRLF")
        if room < len(piece):
            if line_room > head_room:
                return refuse("head-too-long")
            # RFC 9112 3: "A server that receives a request-target longer than any URI it wishes to parse MUST respond
            # with a 414 (URI Too Long)".
            return refuse("target-too-long" if self._request_line is None else "header-too-long")
        self._head_bytes += len(piece)
        if not complete or self._line:
            self._line += piece
        if not complete:
            return None
        line = (self._line or piece)[:-2].decode("latin-1")
        self._line.clear()
        if self._request_line is None:
            return self._take_request_line(line)
        if line:
            return self._take_header(line)
        return judge(*self._request_line, tuple(self._headers))

    def _malformed(self, detail: str) -> Refusal:
        return refuse("request-line" if self._request_line is None else "header-syntax", detail)

    def _take_request_line(self, line: str) -> Refusal | None:
        # RFC 9112 2.2 advises to skip an empty line before the request line, for clients that end a request's body with
        # one line too many; before the first request of a connection there was none.
        match = REQUEST_LINE.fullmatch(line)
        if match is None:
            return self._malformed("not a method, a target and a version")
        # RFC 6455 4.2.1: "An HTTP/1.1 or higher GET request"; what is higher has another syntax.
        if match["version"] != "HTTP/1.1":
            return refuse("http-version")
        if match["method"] != "GET":
            # RFC 9110 15.5.6: "The origin server MUST generate an Allow header field in a 405 response".
            return refuse("method", headers=(("Allow", "GET"),))
        target = TARGET.fullmatch(match["target"])
        if target is None:
            return refuse("request-target")
        self._request_line = (match["target"], target["path"], target["query"] or "")
        return None

    def _take_header(self, line: str) -> Refusal | None:
        if len(self._headers) == self._limits.max_headers:
            return refuse("too-many-headers")
        match = HEADER_LINE.fullmatch(line)
        if match is None:
            return self._malformed("not a name, a colon and a value")
        self._headers.append((match["name"].lower(), match["value"].strip(" \t")))
        return None


def judge(target: str, path: str, query: str, headers: tuple[tuple[str, str], ...]) -> Request | Refusal:
    """Judge a GET request for HTTP/1.1 whose head is complete, by RFC 6455 4.2.1. Linear in the headers' size."""
    fields = dict(headers)
    # Nearly no head has a header twice.
    repeated = {} if len(fields) == len(headers) else _repeated(headers)

    refusal = _judge_http(fields, repeated) or _judge_upgrade(fields, repeated)
    if refusal is not None:
        return refusal
    if "origin" in repeated:
        return refuse("origin", "Origin is repeated")  # no singleton field may be (RFC 9110 5.3)
    subprotocols = _subprotocols(_values("sec-websocket-protocol", fields, repeated))
    if subprotocols is None:
        return refuse("subprotocol-syntax")
    extensions = parse_extensions(_values("sec-websocket-extensions", fields, repeated))
    if extensions is None:
        return refuse("extension-syntax")
    return Request(
        method="GET",
        target=target,
        path=path,
        query=query,
        host=fields["host"],
        origin=fields.get("origin"),
        headers=headers,
        key=fields["sec-websocket-key"],
        subprotocols=subprotocols,
        extensions=extensions,
    )


def _repeated(headers: tuple[tuple[str, str], ...]) -> dict[str, list[str]]:
    """Headers that are there more than once, with their values in order."""
    values: dict[str, list[str]] = {}
    for name, value in headers:
        values.setdefault(name, []).append(value)
    return {name: found for name, found in values.items() if len(found) > 1}


def _values(name: str, fields: dict[str, str], repeated: dict[str, list[str]]) -> Sequence[str]:
    """All values of one header."""
    if name in repeated:
        return repeated[name]
    return (fields[name],) if name in fields else ()


def _judge_http(fields: dict[str, str], repeated: dict[str, list[str]]) -> Refusal | None:
    """What RFC 9112 demands of every request."""
    # RFC 9112 3.2: "A server MUST respond with a 400 (Bad Request) status code to any HTTP/1.1 request message that
    # lacks a Host header field and to any request message that contains more than one Host header field line or a Host
    # header field with an invalid field value."
    host = fields.get("host")
    if host is None or "host" in repeated or not _is_host(host):
        return refuse("host")
    # A body would be read as frames. "Content-Length: 0" announces none, but is refused as well: no client sends it
    # with a GET (RFC 9110 8.6: "A user agent SHOULD NOT send a Content-Length header field when the request message
    # does not contain content"), and a number that is never read is one that nobody can smuggle a request with
    # ("0, 5", "+0", two different ones).
    if "content-length" in fields or "transfer-encoding" in fields:
        return refuse("request-body")
    return None


def _is_host(value: str) -> bool:
    return _looks_like_host(value) if len(value) <= LONGEST_REMEMBERED else _looks_like_host.__wrapped__(value)


@functools.lru_cache(maxsize=64)  # nearly all requests are for the same few hosts
def _looks_like_host(value: str) -> bool:
    match = HOST.fullmatch(value)
    if match is None or int(match["port"] or 0) > 65535:
        return False
    name = match["name"]
    if name.startswith("["):
        try:
            ipaddress.IPv6Address(name[1:-1])
        except ValueError:
            return False
    return True


def _judge_upgrade(fields: dict[str, str], repeated: dict[str, list[str]]) -> Refusal | None:
    """What RFC 6455 4.2.1 demands of an opening handshake."""
    for name, token in (("upgrade", "websocket"), ("connection", "upgrade")):
        # 4.2.1, 3 and 4: 'containing the value "websocket", treated as an ASCII case-insensitive value', and a
        # 'Connection header field that includes the token "Upgrade"'. str.lower maps only ASCII letters to these words
        # but for U+212A, which is not in Latin-1.
        if fields.get(name, "").lower() != token or name in repeated:
            elements = list_elements(_values(name, fields, repeated))
            if token not in map(str.lower, elements):
                return refuse("upgrade-required", f"{name} has no {token}")
    if "sec-websocket-version" in repeated:
        # 11.3.5: "The |Sec-WebSocket-Version| header field MUST NOT appear more than once in an HTTP request."
        return refuse("version-repeated")
    if fields.get("sec-websocket-version") != VERSION:
        # 4.4: "MUST respond with an error code that indicates the versions that it is willing to speak".
        return refuse("websocket-version")
    key = fields.get("sec-websocket-key")
    if key is None or "sec-websocket-key" in repeated:
        # 11.3.1: "The |Sec-WebSocket-Key| header field MUST NOT appear more than once in an HTTP request."
        return refuse("websocket-key", "missing or repeated")
    if KEY.fullmatch(key) is None:
        return refuse("websocket-key", "not 16 bytes in base64")
    return None


def _subprotocols(values: Sequence[str]) -> tuple[str, ...] | None:
    """The names offered, or None if they are malformed, repeated or more than ``MAX_SUBPROTOCOLS``.

    RFC 6455 4.1: "The elements that comprise this value MUST be non-empty strings with characters in the range U+0021
    to U+007E not including separator characters ... and MUST all be unique strings."
    """
    if not values:
        return ()
    names = list_elements(values)
    if len(names) > MAX_SUBPROTOCOLS or len(set(names)) != len(names):
        return None
    if not all(TOKEN.fullmatch(name) for name in names):
        return None
    return tuple(names)


# What we write


def accept_value(key: str) -> str:
    """Sec-WebSocket-Accept for a Sec-WebSocket-Key (RFC 6455 4.2.2, 5.)."""
    return base64.b64encode(hashlib.sha1(key.encode("ascii") + ACCEPT_GUID).digest()).decode("ascii")


def switching_headers(subprotocol: str | None, extensions: str | None) -> tuple[tuple[str, str], ...]:
    """What a 101 says beyond Upgrade, Connection and Sec-WebSocket-Accept (RFC 6455 4.2.2).

    Raises:
        ArgumentError: a value has a character that no header value may have.
    """
    headers = []
    if subprotocol is not None:
        headers.append(("Sec-WebSocket-Protocol", checked_value(subprotocol)))
    if extensions is not None:
        headers.append(("Sec-WebSocket-Extensions", checked_value(extensions)))
    return tuple(headers)


def switching_response(key: str, subprotocol: str | None = None, extensions: str | None = None) -> bytes:
    """The 101 response to a request with this Sec-WebSocket-Key (RFC 6455 4.2.2).

    Raises:
        ArgumentError: a value has a character that no header value may have.
    """
    headers = (
        ("Upgrade", "websocket"),
        ("Connection", "Upgrade"),
        ("Sec-WebSocket-Accept", accept_value(key)),
        *switching_headers(subprotocol, extensions),
    )
    return _write_head("HTTP/1.1 101 Switching Protocols", headers)


def canonical_head(key: str) -> bytes:
    """A request head of ours for a carrier that insists on reading one: 165 bytes, nothing of the client's but its key.

    Raises:
        ArgumentError: ``key`` is not a Sec-WebSocket-Key.
    """
    if KEY.fullmatch(key) is None:
        raise ArgumentError("not a Sec-WebSocket-Key")
    headers = (
        ("Host", "localhost"),
        ("Upgrade", "websocket"),
        ("Connection", "Upgrade"),
        ("Sec-WebSocket-Version", VERSION),
        ("Sec-WebSocket-Key", key),
    )
    return _write_head("GET / HTTP/1.1", headers)


@functools.lru_cache(maxsize=128)  # there are as many different ones as there are details
def refusal_response(refusal: Refusal) -> bytes:
    """The whole HTTP response for a refusal: it says what RFC 9110 demands, closes, and echoes nothing of the request.

    Raises:
        ArgumentError: a header of the refusal has a character that no header may have.
    """
    status = http.HTTPStatus(refusal.status)
    body = f"{status.value} {status.phrase}\n".encode("ascii")
    # RFC 9110 7.8: "A sender of Upgrade MUST also send an "Upgrade" connection option in the Connection header field".
    connection = "Upgrade, close" if any(name == "Upgrade" for name, _ in refusal.headers) else "close"
    headers = (
        *refusal.headers,
        ("Connection", connection),
        ("Content-Type", "text/plain"),
        ("Content-Length", str(len(body))),
    )
    return _write_head(f"HTTP/1.1 {status.value} {status.phrase}", headers) + body


def _write_head(first_line: str, headers: tuple[tuple[str, str], ...]) -> bytes:
    lines = [first_line, *(f"{_checked_name(name)}: {checked_value(value)}" for name, value in headers), "", ""]
    return "\r\n".join(lines).encode("latin-1")


_VALUE = re.compile(r"[\x21-\x7e](?:[\t\x20-\x7e]*[\x21-\x7e])?")


def checked_value(value: str) -> str:
    """``value``, if it is one line of printable ASCII: CR and LF never come out of a header that we write.

    Raises:
        ArgumentError: it is not.
    """
    if _VALUE.fullmatch(value) is None:
        raise ArgumentError("a header value must be printable ASCII without line ends")
    return value


def _checked_name(name: str) -> str:
    if TOKEN.fullmatch(name) is None:
        raise ArgumentError("a header name must be a token")
    return name
