"""What is always true of the opening handshake's parser."""

import itertools
import re

from hypothesis import event, example, given
from hypothesis import strategies as st

from framewarden.codec import grammar
from framewarden.codec._head import read_head
from framewarden.codec.extensions import parse_extensions
from framewarden.codec.handshake import HandshakeParser, Refusal, Request, refusal_response
from framewarden.policy import Limits
from framewarden.testing import chunkings, damaged_heads, opening_handshakes, refused_handshakes

LIMITS = Limits(max_head_bytes=600, max_header_bytes=80, max_headers=10)
HEAD = (
    b"GET /chat?x=1 HTTP/1.1\r\nHost: a:1\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
)


def heads():
    """This head, or any valid one, with a few bytes changed, put in or cut out; or anything at all."""
    return damaged_heads(st.just(HEAD)) | damaged_heads()


def feed(pieces, limits=LIMITS):
    """The last verdict, and whether a Refusal ever changed."""
    parser = HandshakeParser(limits)
    verdicts = [parser.feed(piece) for piece in pieces]
    for earlier, later in itertools.pairwise(verdicts):
        assert earlier is None or later is not None
        assert not isinstance(earlier, Refusal) or later is earlier
    return verdicts[-1] if verdicts else None


# A head that comes whole is read by compiled code, except where one line may not be as long as the whole: both ways.
@given(heads(), st.lists(st.integers(0, 800), max_size=12), st.sampled_from([LIMITS, Limits(), Limits(max_headers=5)]))
@example(HEAD, [len(HEAD)], LIMITS)
@example(b"\r\n\r\n", [], LIMITS)
@example(b"\r" + HEAD, [2], LIMITS)
@example(HEAD + b"x", [len(HEAD)], LIMITS)
@example(b"GET / HTTP/1.1\r\rX", [15, 16], LIMITS)
@example(b"GET / HTTP/1.1\r\n" + b"a" * 81 + b"\rX\r\n\r\n", [40], LIMITS)
@example(HEAD, [], Limits(max_head_bytes=len(HEAD), max_headers=5))
@example(HEAD, [], Limits(max_head_bytes=len(HEAD) - 1))
@example(HEAD[:-2] + b"X: \0\r\n\r\n", [], Limits())
@example(HEAD[:-1] + b"\0", [], Limits())
@example(b"GET /% HTTP/1.1\r\n\r\n", [], Limits())
@example(b"GET /%0", [], Limits())
@example(b"GET /", [], Limits())
@example(HEAD.replace(b"Host", b"hOST: a\r\n" + b"X" * 65), [], Limits())
def test_any_chunking_gives_the_same_verdict(data, cuts, limits):
    edges = sorted({0, len(data), *(cut for cut in cuts if cut < len(data))})
    pieces = [data[begin:end] for begin, end in itertools.pairwise(edges)]
    whole = feed([data], limits)
    assert feed(pieces, limits) == whole
    assert feed([data[index : index + 1] for index in range(len(data))], limits) == whole


@given(st.data(), opening_handshakes())
def test_a_valid_head_gives_its_request(data, opening):
    assert feed([opening.head], Limits()) == opening.expected
    assert feed(data.draw(chunkings(opening.head)), Limits()) == opening.expected


SMALL = Limits(max_head_bytes=2500, max_header_bytes=1000, max_headers=20)


@given(st.data(), st.sampled_from([Limits(), SMALL]))
def test_one_wrong_thing_is_refused_by_its_rule(data, limits):
    opening = data.draw(refused_handshakes(limits))
    event(opening.expected.rule)
    for pieces in ([opening.head], data.draw(chunkings(opening.head))):
        refusal = feed(pieces, limits)
        assert (refusal.rule, refusal.status) == opening.expected


@given(heads())
def test_one_pass_and_the_expressions_cut_a_head_alike(data):
    found = read_head(data, 1000, 100)
    text = data.decode("latin-1")
    line = re.match(rf"GET (?P<target>{grammar.TARGET.pattern}) HTTP/1\.1\r\n", text)
    head = line and re.compile(rf"(?:{grammar.HEADER_LINE.pattern}\r\n)*\r\n").match(text, line.end())
    if not head:
        assert found is None
        return
    lines = [grammar.HEADER_LINE.fullmatch(each) for each in head[0].split("\r\n")[:-2]]
    headers = tuple((each["name"].lower(), each["value"].strip(" \t")) for each in lines)
    assert found == (head.end(), line["target"], line["path"], line["query"] or "", headers)
    assert read_head(data, head.end() - 1, 100) is None
    assert read_head(data, head.end(), len(headers)) == found
    assert not headers or read_head(data, 1000, len(headers) - 1) is None


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
