"""What is always true of the opening handshake's parser."""

import itertools

from hypothesis import example, given
from hypothesis import strategies as st

from framewarden.codec.extensions import parse_extensions
from framewarden.codec.handshake import HandshakeParser, Refusal, Request, refusal_response
from framewarden.policy import Limits

LIMITS = Limits(max_head_bytes=600, max_header_bytes=80, max_headers=10)
HEAD = (
    b"GET /chat?x=1 HTTP/1.1\r\nHost: a:1\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
)
NASTY = (
    b"\r",
    b"\n",
    b"\r\n",
    b"\x00",
    b" ",
    b":",
    b",",
    b"\t",
    b"\xff",
    b"a" * 90,
    b"Host: b\r\n",
    b"X: 1\r\n",
    b"\x0b",
)


@st.composite
def heads(draw):
    """A valid head with a few bytes changed, put in or cut out; or anything at all."""
    data = bytearray(draw(st.just(HEAD) | st.binary(max_size=700)))
    for _ in range(draw(st.integers(0, 4))):
        where = draw(st.integers(0, len(data)))
        piece = draw(st.sampled_from(NASTY) | st.binary(max_size=3))
        data[where : where + draw(st.integers(0, 3))] = piece
    return bytes(data)


def feed(pieces):
    """The last verdict, and whether a Refusal ever changed."""
    parser = HandshakeParser(LIMITS)
    verdicts = [parser.feed(piece) for piece in pieces]
    for earlier, later in itertools.pairwise(verdicts):
        assert earlier is None or later is not None
        assert not isinstance(earlier, Refusal) or later is earlier
    return verdicts[-1] if verdicts else None


@given(heads(), st.lists(st.integers(0, 800), max_size=12))
@example(HEAD, [len(HEAD)])
@example(b"\r\n\r\n", [])
@example(b"\r" + HEAD, [2])
@example(HEAD + b"x", [len(HEAD)])
@example(b"GET / HTTP/1.1\r\rX", [15, 16])
@example(b"GET / HTTP/1.1\r\n" + b"a" * 81 + b"\rX\r\n\r\n", [40])
def test_any_chunking_gives_the_same_verdict(data, cuts):
    edges = sorted({0, len(data), *(cut for cut in cuts if cut < len(data))})
    pieces = [data[begin:end] for begin, end in itertools.pairwise(edges)]
    whole = feed([data])
    assert feed(pieces) == whole
    assert feed([data[index : index + 1] for index in range(len(data))]) == whole


@given(heads())
def test_a_verdict_is_none_a_request_or_a_refusal_that_quotes_nothing(data):
    verdict = feed([data])
    assert verdict is None or isinstance(verdict, Request | Refusal)
    if isinstance(verdict, Refusal):
        assert refusal_response(verdict).count(b"\r\n\r\n") == 1
        assert verdict.detail.isascii()
        assert verdict.detail.isprintable()


@given(heads())
def test_what_is_accepted_has_no_line_end_in_it(data):
    verdict = feed([data])
    if isinstance(verdict, Request):
        texts = [verdict.target, verdict.host, verdict.key, *verdict.subprotocols]
        texts += [text for pair in verdict.headers for text in pair]
        assert not any(byte in text for text in texts for byte in "\r\n\x00\x0b\x0c")


@given(st.lists(st.text(st.characters(max_codepoint=255), max_size=60), max_size=3))
def test_extensions_never_raise(values):
    parsed = parse_extensions(values)
    assert parsed is None or isinstance(parsed, tuple)
