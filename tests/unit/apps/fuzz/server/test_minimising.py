"""Inputs become small, and still show the same."""

import itertools

import pytest

from framewarden.apps.fuzz.mutating import split
from framewarden.apps.fuzz.server.making import Corpus, Maker
from framewarden.apps.fuzz.server.minimising import minimise, without
from framewarden.apps.fuzz.server.strict import Strict
from framewarden.apps.fuzz.server.trial import Trial
from framewarden.codec import encode_frame
from framewarden.policy import Policy

KEY = b"\x37\xfa\x21\x3d"
STRICT = Strict(Policy())
MAKER = Maker(0, STRICT, None, Corpus())
PING = encode_frame(9, b"ping", key=KEY)
HEAD = (
    b"GET <target> HTTP/1.1\r\nHost: <address>\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
)


def small(trial, shows=lambda trial: True, stop=lambda: False):
    return minimise(trial, MAKER.remake, shows, stop)


def test_only_the_frame_that_breaks_the_rule_is_left():
    stream = encode_frame(1, b"text" * 30, key=KEY) + PING * 5 + encode_frame(1, b"unmasked")
    assert small(Trial(STRICT.stream(stream))).verdict.data == b"\x81\x00"


def test_what_the_server_needs_is_left():
    """It shows the finding only when a Ping comes before."""
    stream = PING * 5 + encode_frame(1, b"x" * 200, key=KEY) * 3 + encode_frame(3, b"reserved", key=KEY)
    found = small(Trial(STRICT.stream(stream)), lambda trial: trial.verdict.data.startswith(b"\x89"))
    frames = split(found.verdict.data).frames
    assert [(frame.first, frame.payload) for frame in frames] == [(0x89, b""), (0x83, b"")]


def test_a_length_that_is_not_minimal_stays_so():
    stream = PING + encode_frame(2, b"y" * 100, key=KEY, length_bytes=8)
    found = small(Trial(STRICT.stream(stream)))
    assert found.verdict.rule == "length-not-minimal"
    assert found.verdict.data == encode_frame(2, b"", key=KEY, length_bytes=8)


def test_a_payload_becomes_as_short_as_it_can():
    found = small(Trial(STRICT.stream(encode_frame(1, b"a" * 50 + b"\xff" + b"b" * 50, key=KEY))))
    assert [frame.payload for frame in split(found.verdict.data).frames] == [b"\xff"]


def test_a_request_loses_its_lines():
    trial = Trial(STRICT.request(HEAD + b"X: 1\r\nY: 2\r\nnot a header\r\nZ: 3\r\n\r\n"), cuts=(3,))
    found = small(trial)
    assert found.verdict.rule == trial.verdict.rule == "header-syntax"
    assert len(found.verdict.data) < 50
    assert found.cuts == ()


def test_it_asks_only_about_inputs_with_the_same_verdict():
    trial = Trial(STRICT.stream(PING * 3 + encode_frame(1, b"unmasked")))
    asked = []
    small(trial, lambda candidate: asked.append(candidate) or False)
    assert asked
    assert {(candidate.verdict.rule, candidate.verdict.answer) for candidate in asked} == {
        ("unmasked-frame", "close 1002")
    }
    assert all(len(candidate.verdict.data) < len(trial.verdict.data) for candidate in asked)


def test_it_stops_when_it_is_told_to():
    trial = Trial(STRICT.stream(PING * 50 + encode_frame(1, b"unmasked")))
    counter = itertools.count()
    assert small(trial, stop=lambda: True) == trial
    found = small(trial, stop=lambda: next(counter) >= 2)
    assert 2 < len(found.verdict.data) < len(trial.verdict.data)


def test_what_is_small_stays():
    trial = Trial(STRICT.stream(b"\x81\x00"))
    assert small(trial) == trial


@pytest.mark.parametrize("count", [1, 2, 3, 8])
def test_each_item_is_left_out_alone(count):
    items = list(range(count))
    tried = list(without(items))
    if count > 1:
        for item in items:
            assert [each for each in items if each != item] in tried
    assert all(len(each) < count for each in tried)
