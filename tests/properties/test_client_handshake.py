"""What is always true of the client's side of the opening handshake."""

import itertools

from hypothesis import example, given
from hypothesis import strategies as st

from framewarden.codec.client_handshake import Accepted, Offer, Rejected, ResponseParser, request_head
from framewarden.codec.handshake import HandshakeParser, Request, accept_value
from framewarden.codec.uri import WebSocketUri, parse_uri
from framewarden.errors import ArgumentError
from framewarden.policy import Deflate, Limits
from framewarden.testing import damaged_heads

LIMITS = Limits(max_head_bytes=600, max_header_bytes=100, max_headers=8)
KEY = "dGhlIHNhbXBsZSBub25jZQ=="
OFFER = Offer(key=KEY, subprotocols=("chat", "superchat"), deflate=Deflate())
HEAD = (
    b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Accept: %s\r\nSec-WebSocket-Protocol: chat\r\n"
    b"Sec-WebSocket-Extensions: permessage-deflate; server_no_context_takeover\r\n\r\n" % accept_value(KEY).encode()
)


def heads():
    """A valid head with a few bytes changed, put in or cut out, and frames behind it; or anything at all."""
    return st.builds(bytes.__add__, damaged_heads(st.just(HEAD)), st.binary(max_size=10))


def feed(pieces):
    """The last verdict and what is behind the head; a verdict never changes."""
    parser = ResponseParser(LIMITS, OFFER)
    verdicts = [parser.feed(piece) for piece in pieces]
    for earlier, later in itertools.pairwise(verdicts):
        assert earlier is None or later is earlier
    return (verdicts[-1] if verdicts else None), parser.rest


@given(heads(), st.lists(st.integers(0, 800), max_size=12))
@example(HEAD, [len(HEAD)])
@example(HEAD + b"\x81\x00", [len(HEAD) - 1, len(HEAD) + 1])
@example(b"\r\n\r\n", [])
@example(HEAD.replace(b"101", b"403"), [3])
@example(b"HTTP/1.1 101 x\r\n" + b"a" * 103, [40])
def test_any_chunking_gives_the_same_verdict(data, cuts):
    edges = sorted({0, len(data), *(cut for cut in cuts if cut < len(data))})
    whole = feed([data])
    assert feed([data[begin:end] for begin, end in itertools.pairwise(edges)]) == whole
    assert feed([data[index : index + 1] for index in range(len(data))]) == whole


@given(heads())
@example(HEAD)
def test_what_is_accepted_was_offered(data):
    verdict, rest = feed([data])
    assert verdict is None or isinstance(verdict, Accepted | Rejected)
    if isinstance(verdict, Accepted):
        assert verdict.subprotocol in (None, *OFFER.subprotocols)
        assert data[: len(data) - len(rest)].endswith(b"\r\n\r\n")
        assert verdict.deflate is None or not verdict.deflate.server_context_takeover
    else:
        assert rest == b""


@given(heads())
def test_a_rejection_quotes_nothing_and_there_is_one_when_the_head_is_full(data):
    verdict, _ = feed([data])
    assert verdict is not None or len(data) <= LIMITS.max_head_bytes
    if isinstance(verdict, Rejected):
        assert verdict.detail.isascii()
        assert verdict.detail.isprintable()


URIS = st.text(max_size=60) | st.from_regex(r"\A(ws|wss|WS)://[\[\]a-z0-9.:@%-]{1,20}(/[!-~]{0,20})?(\?[!-~]{0,20})?\Z")
VALUES = st.text(st.characters(max_codepoint=0x180), max_size=20)


@given(URIS)
@example("wss://[::1]:8443/a?b")
def test_a_uri_is_one_or_an_argument_error(text):
    try:
        uri = parse_uri(text)
    except ArgumentError:
        return
    assert isinstance(uri, WebSocketUri)
    request = HandshakeParser(Limits()).feed(request_head(uri, OFFER))
    assert isinstance(request, Request)
    assert (request.target, request.host) == (uri.target, uri.authority)


@given(st.lists(st.tuples(VALUES, VALUES), max_size=3), st.none() | VALUES)
@example([("X", "a\r\nY: b")], None)
def test_no_argument_writes_more_than_its_own_line(headers, origin):
    uri = parse_uri("ws://example.org/")
    try:
        head = request_head(uri, OFFER, origin=origin, headers=headers)
    except ArgumentError:
        return
    request = HandshakeParser(Limits()).feed(head)
    assert isinstance(request, Request)
    assert len(request.headers) == 7 + len(headers) + (origin is not None)
    assert request.origin == origin
