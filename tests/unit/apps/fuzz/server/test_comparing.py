"""What an answer is worth beside the strict verdict."""

import pytest

from framewarden.apps.cases.play import NOT_APPLICABLE, Outcome
from framewarden.apps.fuzz.server.comparing import KINDS, compare
from framewarden.apps.fuzz.server.strict import Verdict

VALID = Verdict("frames", b"", "", "accepted")
TALK = Verdict("frames", b"", "", "accepted", messages=True)
CLOSING = Verdict("frames", b"", "", "close 3000", close=3000)
BROKEN = Verdict("frames", b"", "unmasked-frame", "close 1002")
BROKEN_TALK = Verdict("frames", b"", "unmasked-frame", "close 1002", messages=True)
FLOOD = Verdict("frames", b"", "control-flood", "close 4413")
REQUEST = Verdict("handshake", b"", "", "HTTP 101")
REFUSED = Verdict("handshake", b"", "websocket-version", "HTTP 426")
LONG = Verdict("handshake", b"", "header-too-long", "HTTP 431")


@pytest.mark.parametrize(
    ("verdict", "answer"),
    [
        (VALID, "accepted"),
        (CLOSING, "close 3000"),
        (CLOSING, "close 1000"),
        (CLOSING, "close 1005"),
        (BROKEN, "close 1002"),
        (FLOOD, "close 4413"),
        (FLOOD, "close 1008"),
        (FLOOD, "close 1009"),
        (FLOOD, "close 4000"),
        (REQUEST, "HTTP 101"),
        (REQUEST, "HTTP 101 with permessage-deflate"),
        (REQUEST, "HTTP 101 with another extension"),
        (REFUSED, "HTTP 426"),
        (LONG, "HTTP 400"),
    ],
)
def test_the_same(verdict, answer):
    comparison = compare(verdict, Outcome(answer=answer))
    assert (comparison.kind, comparison.skipped) == (None, "")


@pytest.mark.parametrize(
    ("verdict", "answer", "kind"),
    [
        (VALID, "hang", "hang"),
        (VALID, "garbage", "garbage"),
        (VALID, "dropped", "dropped"),
        (VALID, "close 1002", "refused"),
        (VALID, "close 1000", "refused"),
        (VALID, "close 1011", "internal error"),
        (VALID, "close 1009", "limit differs"),
        (TALK, "close 1002", "refused"),
        (TALK, "close 1009", "limit differs"),
        (TALK, "close 1011", "internal error"),
        (CLOSING, "accepted", "accepted"),
        (CLOSING, "dropped", "dropped"),
        (CLOSING, "hang", "hang"),
        (CLOSING, "close 1002", "refused"),
        (BROKEN, "accepted", "accepted"),
        (BROKEN, "close 1000", "wrong code"),
        (BROKEN, "close 1008", "wrong code"),
        (BROKEN, "dropped", "dropped"),
        (BROKEN, "hang", "silent"),
        (BROKEN, "close 1011", "internal error"),
        (BROKEN_TALK, "close 1007", "wrong code"),
        (BROKEN_TALK, "close 1009", "wrong code"),
        (FLOOD, "accepted", "limit differs"),
        (FLOOD, "dropped", "limit differs"),
        (FLOOD, "close 1002", "limit differs"),
        (FLOOD, "hang", "limit differs"),
        (FLOOD, "garbage", "garbage"),
        (REQUEST, "HTTP 400", "refused"),
        (REQUEST, "HTTP 500", "internal error"),
        (REQUEST, "HTTP 431", "limit differs"),
        (REQUEST, "hang", "hang"),
        (REQUEST, "dropped", "dropped"),
        (REQUEST, "garbage", "garbage"),
        (REFUSED, "HTTP 101", "accepted"),
        (REFUSED, "HTTP 101 with permessage-deflate", "accepted"),
        (REFUSED, "HTTP 200", "accepted"),
        (REFUSED, "HTTP 400", "wrong status"),
        (REFUSED, "HTTP 500", "internal error"),
        (REFUSED, "hang", "silent"),
        (REFUSED, "dropped", "dropped"),
        (LONG, "HTTP 101", "limit differs"),
        (LONG, "dropped", "limit differs"),
    ],
)
def test_a_finding(verdict, answer, kind):
    comparison = compare(verdict, Outcome(answer=answer))
    assert (comparison.kind, comparison.skipped) == (kind, "")
    assert kind in KINDS


@pytest.mark.parametrize(
    ("verdict", "answer"),
    [
        (VALID, NOT_APPLICABLE),
        (VALID, "no handshake"),
        (BROKEN, "refused to connect"),
        (TALK, "close 1000"),
        (TALK, "close 1003"),
        (TALK, "close 1008"),
        (TALK, "close 4000"),
        (BROKEN_TALK, "close 1000"),
        (BROKEN_TALK, "close 1008"),
        (REQUEST, "HTTP 403"),
        (REQUEST, "HTTP 404"),
        (REQUEST, "HTTP 503"),
        (REQUEST, "HTTP 301"),
        (REFUSED, "HTTP 100"),
    ],
)
def test_what_says_nothing(verdict, answer):
    comparison = compare(verdict, Outcome(answer=answer))
    assert comparison.kind is None
    assert comparison.skipped
