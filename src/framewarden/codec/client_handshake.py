"""The opening handshake of a client, sans-I/O: a request head out, bytes of the response head in, a verdict out.

:class:`ResponseParser` is resumable at any byte, linear in what it is fed, and keeps at most ``max_head_bytes``. The
verdict does not depend on how the head was cut: a line is judged when its end is there, its length before.

A client that is lenient here speaks WebSocket with what is none: a cache that answers for somebody else, a server that
took the request for another one. So everything that RFC 6455 4.1 has a client check is checked, and RFC 9112's grammar
with it.
"""

import re
from collections.abc import Sequence

import msgspec

from framewarden.codec.extensions import DeflateParameters, InvalidResponse, check_deflate, offer_deflate
from framewarden.codec.grammar import HEADER_LINE, KEY, TOKEN, list_elements
from framewarden.codec.handshake import accept_value, checked_value
from framewarden.codec.uri import WebSocketUri
from framewarden.errors import ArgumentError
from framewarden.policy import Deflate, Limits

__all__ = ["Accepted", "Offer", "Rejected", "ResponseParser", "request_head"]

# RFC 9112 4:  status-line = HTTP-version SP status-code SP [ reason-phrase ]
#              reason-phrase = 1*( HTAB / SP / VCHAR / obs-text )
# "A server MUST send the space that separates the status-code from the reason-phrase even when the reason-phrase is
# absent". RFC 9110 15: "Values outside the range 100..599 are invalid."
_STATUS_LINE = re.compile(r"HTTP/1\.(?P<minor>[01]) (?P<status>[1-5][0-9]{2}) [\t\x20-\x7e\x80-\xff]*")

_OURS = frozenset(
    {
        "host",
        "upgrade",
        "connection",
        "origin",
        "sec-websocket-key",
        "sec-websocket-version",
        "sec-websocket-protocol",
        "sec-websocket-extensions",
        # The request has no body (RFC 6455 4.1: it is a GET), and one that was announced would be read as one.
        "content-length",
        "transfer-encoding",
    }
)
"""Headers that a caller cannot add: they are written here, or break the handshake."""


class Offer(msgspec.Struct, frozen=True, kw_only=True):
    """What a client asks for, and measures the answer by.

    Attributes:
        key: Sec-WebSocket-Key, 16 unpredictable bytes in base64.
        subprotocols: names, in order of preference.
        deflate: offers permessage-deflate; None: no extension is offered.
    """

    key: str
    subprotocols: tuple[str, ...] = ()
    deflate: Deflate | None = None


class Accepted(msgspec.Struct, frozen=True):
    """The server speaks WebSocket from the next byte on.

    Attributes:
        headers: all headers of the response, names in lower case.
        subprotocol: the one of the offer that the server chose; None: none.
        deflate: what was agreed upon for permessage-deflate; None: no compression.
    """

    headers: tuple[tuple[str, str], ...]
    subprotocol: str | None
    deflate: DeflateParameters | None


class Rejected(msgspec.Struct, frozen=True):
    """The connection must be failed.

    Attributes:
        detail: what was wrong, without any byte of the response.
        status: HTTP status code of a response whose head is valid; None: there was none.
        headers: its headers.
    """

    detail: str
    status: int | None = None
    headers: tuple[tuple[str, str], ...] = ()


# What we write


def request_head(
    uri: WebSocketUri, offer: Offer, *, origin: str | None = None, headers: Sequence[tuple[str, str]] = ()
) -> bytes:
    """The head of the opening handshake (RFC 6455 4.1).

    Args:
        uri: where to.
        offer: key, subprotocols and compression.
        origin: value of Origin; None: none is sent, which says that we are no browser.
        headers: more headers, for authentication as a rule.

    Raises:
        ArgumentError: a value could not be sent as it is: it has a line end or another character that no header may
            have, a name is no token or one that the handshake itself writes, a subprotocol is repeated.
    """
    if KEY.fullmatch(offer.key) is None:
        raise ArgumentError("the key must be 16 bytes in base64")
    _check_subprotocols(offer.subprotocols)
    lines = [
        ("Host", uri.authority),
        ("Upgrade", "websocket"),
        ("Connection", "Upgrade"),
        ("Sec-WebSocket-Key", offer.key),
        ("Sec-WebSocket-Version", "13"),
    ]
    if origin is not None:
        lines.append(("Origin", origin))
    if offer.subprotocols:
        lines.append(("Sec-WebSocket-Protocol", ", ".join(offer.subprotocols)))
    if offer.deflate is not None:
        lines.append(("Sec-WebSocket-Extensions", offer_deflate(offer.deflate)))
    for name, value in headers:
        if TOKEN.fullmatch(name) is None:
            raise ArgumentError("a header name must be a token (RFC 9110 5.6.2)")
        if name.lower() in _OURS:
            raise ArgumentError(f"the header {name} belongs to the handshake itself; see the arguments")
        lines.append((name, value))
    fields = [f"{name}: {checked_value(value)}\r\n" for name, value in lines]
    return f"GET {uri.target} HTTP/1.1\r\n{''.join(fields)}\r\n".encode("ascii")


def _check_subprotocols(names: Sequence[str]) -> None:
    """RFC 6455 4.1, 10.: tokens that "MUST all be unique strings"."""
    for name in names:
        if TOKEN.fullmatch(name) is None:
            raise ArgumentError("a subprotocol must be a token (RFC 6455 4.1)")
    if len(set(names)) != len(names):
        raise ArgumentError("a subprotocol is offered twice")


# What we read


class ResponseParser:
    """Parses one response head.

    ``feed`` returns None as long as the head is incomplete, then Accepted or Rejected, for ever. Bytes behind the head
    of an accepted response are the first frames: they are in ``rest``.

    Args:
        limits: max_head_bytes, max_header_bytes and max_headers apply to the response, too.
        offer: what was asked for.
    """

    def __init__(self, limits: Limits, offer: Offer) -> None:
        self._limits = limits
        self._offer = offer
        self._line = bytearray()
        self._head_bytes = 0  # in lines that are complete
        self._status: int | None = None
        self._headers: list[tuple[str, str]] = []
        self._rest = bytearray()
        self._verdict: Accepted | Rejected | None = None
        self._lost = False

    @property
    def rest(self) -> bytes:
        """What came behind the head of an accepted response."""
        return bytes(self._rest)

    def feed(self, data: bytes) -> Accepted | Rejected | None:
        """Take the next bytes of the stream. Linear in ``len(data)`` however the head is cut.

        Raises:
            MemoryError: there is none, whatever the peer sent. A piece of the head, or of what follows it, is lost
                then, so every later call raises it, too.
        """
        if self._lost:
            raise MemoryError
        try:
            return self._feed(data)
        except MemoryError:
            self._lost = True
            raise

    def _feed(self, data: bytes) -> Accepted | Rejected | None:
        position = 0
        while self._verdict is None and position < len(data):
            newline = data.find(b"\n", position)
            end = len(data) if newline < 0 else newline + 1
            self._verdict = self._feed_line(data[position:end], complete=newline >= 0)
            position = end
        if isinstance(self._verdict, Accepted):
            self._rest += data[position:]
        return self._verdict

    def _feed_line(self, piece: bytes, *, complete: bool) -> Accepted | Rejected | None:
        """Take a piece of the current line; ``complete``: it ends with LF."""
        # Judged at the first byte beyond, so that the cut does not matter; a line's own CRLF does not count for
        # max_header_bytes.
        room_for_line = self._limits.max_header_bytes + len(b"\r\n")
        room_for_head = self._limits.max_head_bytes - self._head_bytes
        if len(self._line) + len(piece) > min(room_for_line, room_for_head):
            self._line.clear()
            if room_for_head < room_for_line:
                return Rejected("the response head is longer than max_head_bytes")
            return Rejected("a line of the response head is longer than max_header_bytes")
        self._line += piece
        if not complete:
            return None
        line = bytes(self._line)
        self._line.clear()
        self._head_bytes += len(line)
        # RFC 9112 2.2 lets a recipient take a bare LF for a line's end; whoever stands in front of us may not.
        if not line.endswith(b"\r\n"):
            return Rejected("a line of the response head does not end with CRLF")
        return self._take_line(line[:-2].decode("latin-1"))

    def _take_line(self, line: str) -> Accepted | Rejected | None:
        if self._status is None:
            return self._take_status(line)
        if not line:
            return judge(self._status, tuple(self._headers), self._offer)
        if len(self._headers) == self._limits.max_headers:
            return Rejected("the response has more than max_headers header lines")
        # No obs-fold: a line that begins with a space has no name (RFC 9112 5.2).
        match = HEADER_LINE.fullmatch(line)
        if match is None:
            return Rejected("a header line of the response is malformed")
        self._headers.append((match["name"].lower(), match["value"].strip(" \t")))
        return None

    def _take_status(self, line: str) -> Rejected | None:
        match = _STATUS_LINE.fullmatch(line)
        if match is None:
            return Rejected("the response does not begin with a status line of HTTP/1.1")
        self._status = int(match["status"])
        # RFC 9110 7.8: "A server MUST ignore an Upgrade header field that is received in an HTTP/1.0 request"; there is
        # no 101 in HTTP/1.0.
        if self._status == 101 and match["minor"] == "0":
            return Rejected("the response is a 101 of HTTP/1.0")
        return None


def judge(status: int, headers: tuple[tuple[str, str], ...], offer: Offer) -> Accepted | Rejected:
    """Judge a response whose head is complete, by RFC 6455 4.1. Linear in the headers' size."""
    if status != 101:
        return Rejected(f"the server answered {status}", status, headers)
    fields: dict[str, list[str]] = {}
    for name, value in headers:
        fields.setdefault(name, []).append(value)
    detail = _judge_upgrade(fields, offer)
    if detail is not None:
        return Rejected(detail, status, headers)
    deflate = check_deflate(fields.get("sec-websocket-extensions", []), offer.deflate)
    if isinstance(deflate, InvalidResponse):
        return Rejected(deflate.detail, status, headers)
    return Accepted(headers, fields.get("sec-websocket-protocol", [None])[0], deflate)


def _judge_upgrade(fields: dict[str, list[str]], offer: Offer) -> str | None:
    """What RFC 6455 4.1 has a client check before it believes in a 101. Returns what is wrong."""
    # 4.1, 2.: "... or the |Upgrade| header field contains a value that is not an ASCII case-insensitive match for the
    # value "websocket", the client MUST _Fail the WebSocket Connection_".
    if [value.lower() for value in fields.get("upgrade", [])] != ["websocket"]:
        return "Upgrade is not websocket"
    # 4.1, 3.: "a token that is an ASCII case-insensitive match for the value "Upgrade"".
    if "upgrade" not in map(str.lower, list_elements(fields.get("connection", []))):
        return "Connection has no upgrade"
    # 4.1, 4.; 11.3.3: "MUST NOT appear more than once in an HTTP response".
    if fields.get("sec-websocket-accept") != [accept_value(offer.key)]:
        return "Sec-WebSocket-Accept is not the answer to our key"
    # 4.1, 6.: a "subprotocol that was not present in the client's handshake"; 11.3.4: not more than once.
    subprotocols = fields.get("sec-websocket-protocol", [])
    if len(subprotocols) > 1 or not set(subprotocols) <= set(offer.subprotocols):
        return "a subprotocol was not offered, or there are several"
    # RFC 9110 8.6 and RFC 9112 6.1: neither may be in a 1xx; whoever believes in one does not read frames where we do.
    for name in ("content-length", "transfer-encoding"):
        if name in fields:
            return "a 101 announces a body"
    return None
