"""Trials by number, the streams and the requests that they are made of."""

import random
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from framewarden.apps.fuzz.server import requests
from framewarden.apps.fuzz.server.making import Corpus, Maker
from framewarden.apps.fuzz.server.requests import CHANGES, LINE, make_request
from framewarden.apps.fuzz.server.streams import LONGEST_SELDOM, conversation, make_stream
from framewarden.apps.fuzz.server.strict import Strict
from framewarden.apps.probe.pack import flaw_cases
from framewarden.codec import encode_frame
from framewarden.codec.extensions import DeflateParameters
from framewarden.policy import Policy

STRICT = Strict(Policy(), "127.0.0.1:8765", "/")
HONEST = Corpus()


def trials(count, seed=7, deflate=None, corpus=HONEST):
    maker = Maker(seed, STRICT, deflate, corpus)
    return [maker.make(number) for number in range(count)]


def test_the_same_seed_makes_the_same_trials():
    assert trials(50) == trials(50)
    assert trials(50) != trials(50, seed=8)
    assert Maker(7, STRICT, None, Corpus()).make(49) == trials(50)[49]


def test_trials_are_about_all_that_a_peer_can_break():
    """What a case of every one of these would need a slow stream for is left out."""
    rules = Counter(trial.verdict.rule for trial in trials(6000, deflate=DeflateParameters()))
    assert rules.keys() >= {
        "", "reserved-bits", "reserved-opcode", "rsv1-on-control", "rsv1-on-continuation", "fragmented-control",
        "unexpected-continuation", "interleaved-message", "control-flood", "unmasked-frame", "oversized-control",
        "length-high-bit", "length-not-minimal", "frame-too-big", "empty-fragments", "invalid-utf8", "close-length",
        "close-code", "close-reason-utf8", "deflate-data", "request-line", "http-version", "method", "request-target",
        "header-syntax", "target-too-long", "header-too-long", "too-many-headers", "host", "request-body",
        "upgrade-required", "websocket-version", "version-repeated", "websocket-key", "subprotocol-syntax",
        "extension-syntax", "early-data",
    }  # fmt: skip
    assert rules[""] > 1000
    stages = Counter((trial.verdict.stage, trial.deflate) for trial in trials(300, deflate=DeflateParameters()))
    assert set(stages) == {("frames", True), ("frames", False), ("handshake", False)}
    assert any(trial.cuts for trial in trials(100))


def test_nothing_is_compressed_that_was_not_agreed_on():
    assert not any(trial.deflate for trial in trials(300))


def test_cases_of_the_pack_are_among_the_streams():
    odd = encode_frame(9, b"of the pack", key=bytes(4))
    assert any(odd in trial.verdict.data for trial in trials(300, corpus=Corpus(streams=(odd,))))


def test_requests_of_the_pack_are_among_the_requests():
    odd = Corpus(requests=(b"GET <target> HTTP/1.1\r\nHost: <address>\r\nOf: the pack\r\n\r\n",))
    assert any(b"Of: the pack" in trial.verdict.data for trial in trials(600, corpus=odd))


def test_the_corpus_is_what_the_pack_sends_to_servers():
    corpus = Corpus.of(flaw_cases())
    assert len(corpus.streams) > 20
    assert len(corpus.requests) > 20
    assert any(b"<address>" in request for request in corpus.requests)
    assert max(map(len, corpus.streams + corpus.requests)) <= 65536
    by_id = {case.id: case for case in flaw_cases()}
    client = next(case for case in by_id.values() if case.role == "client" and case.stage == "frames" and case.parts)
    assert client.stream() not in corpus.streams


def test_a_trial_is_made_again_from_its_bytes():
    maker = Maker(7, STRICT, DeflateParameters(), Corpus())
    for number in range(200):
        trial = maker.make(number)
        again = maker.remake(trial, trial.verdict.data)
        assert (again.verdict, again.deflate, again.cuts) == (trial.verdict, trial.deflate, ())


@given(st.integers(0, 2**32), st.sampled_from([None, DeflateParameters()]))
def test_a_conversation_is_honest(seed, deflate):
    verdict = STRICT.stream(conversation(random.Random(seed), deflate), deflate)
    assert verdict.rule == ""


@given(st.integers(0, 2**32))
def test_a_stream_is_bounded(seed):
    assert len(make_stream(random.Random(seed), [b"\x81\x00" * 200_000], None)) <= LONGEST_SELDOM


@pytest.mark.parametrize("change", dict.fromkeys(CHANGES), ids=lambda change: change.__name__)
def test_a_change_takes_any_request_and_changes_it(change):
    changed = 0
    for seed in range(60):
        rng = random.Random(seed)
        lines = [LINE, b"Host: <address>", b"Upgrade: websocket"]
        change(lines, rng)
        changed += lines != [LINE, b"Host: <address>", b"Upgrade: websocket"]
        short = [LINE]
        change(short, rng)
        assert all(isinstance(line, bytes) for line in lines + short)
    assert changed >= 15


def test_every_change_is_made(monkeypatch):
    made = Counter()

    def counting(change):
        return lambda lines, rng: made.update([change.__name__])

    monkeypatch.setattr(requests, "CHANGES", tuple(map(counting, CHANGES)))
    for seed in range(300):
        make_request(random.Random(seed), ())
    assert made.keys() == {change.__name__ for change in CHANGES}
