"""The strict verdict on streams and requests."""

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from framewarden.apps.cases.play import QUESTION
from framewarden.apps.fuzz.server.requests import make_request
from framewarden.apps.fuzz.server.streams import make_stream
from framewarden.apps.fuzz.server.strict import LIMITS, Strict
from framewarden.codec import encode_frame
from framewarden.codec.extensions import DeflateParameters
from framewarden.engine import Inspector
from framewarden.policy import Limits, Policy, Schema
from framewarden.rfc6455 import Role
from framewarden.rules import RULES
from framewarden.testing import Peer, broken
from tests.vectors.loader import VECTORS

KEY = b"\x37\xfa\x21\x3d"
STRICT = Strict(Policy(), "127.0.0.1:8765", "/chat?x=1")
HEAD = (
    b"GET <target> HTTP/1.1\r\nHost: <address>\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
)


def frame(opcode, payload=b"", **more):
    return encode_frame(opcode, payload, **{"key": KEY} | more)


def test_honest_messages_are_accepted():
    verdict = STRICT.stream(frame(1, b"one") + frame(2, b"two") + frame(9))
    assert (verdict.rule, verdict.answer, verdict.messages) == ("", "accepted", True)


def test_a_ping_is_no_message():
    assert not STRICT.stream(frame(9, b"ping")).messages
    assert not STRICT.stream(frame(1, b"unfinished", fin=False)).messages


@pytest.mark.parametrize(("payload", "code"), [(b"\x03\xe8", 1000), (b"\x0f\xa0bye", 4000), (b"", 1005)])
def test_a_close_is_answered(payload, code):
    stream = frame(8, payload) + frame(1, b"ignored")
    verdict = STRICT.stream(stream)
    assert (verdict.rule, verdict.answer, verdict.close) == ("", f"close {code}", code)
    assert verdict.data == stream


def test_nothing_follows_what_breaks_a_rule():
    wrong = encode_frame(1, b"unmasked")
    verdict = STRICT.stream(frame(9) + wrong + frame(1, b"more") + frame(8))
    assert (verdict.rule, verdict.answer) == ("unmasked-frame", "close 1002")
    assert verdict.data == frame(9) + wrong


def test_a_frame_that_is_cut_is_completed():
    whole = frame(1, b"hel" + b"a" * 297)
    verdict = STRICT.stream(whole[:11])
    assert verdict.data == whole
    assert verdict.answer == "accepted"


def test_a_frame_that_lacks_too_much_is_left_out():
    cut = frame(9) + frame(2, bytes(900_000))[:40]
    assert STRICT.stream(cut).data == frame(9)


def test_a_header_that_breaks_a_rule_stays_however_much_it_lacks():
    header = b"\x82\xff" + (2**63).to_bytes(8, "big") + KEY
    verdict = STRICT.stream(header)
    assert (verdict.rule, verdict.data) == ("length-high-bit", header)


def test_a_header_that_is_cut_is_left_out():
    assert STRICT.stream(frame(9) + b"\x81\xfe\x01").data == frame(9)


def test_the_question_may_be_one_control_frame_too_many():
    most = Policy().limits.max_control_run
    assert STRICT.stream(frame(9) * (most - 1)).answer == "accepted"
    assert STRICT.stream(frame(9) * most).rule == "control-flood"


def test_compression_is_judged_by_what_was_agreed_on():
    stream = frame(1, bytes.fromhex("f248cdc9c90700"), rsv=4)
    assert STRICT.stream(stream).rule == "reserved-bits"
    assert STRICT.stream(stream, DeflateParameters()).answer == "accepted"


def test_the_policy_is_the_one_that_is_given():
    events = []
    policy = Policy(
        limits=Limits(max_frame_bytes=10), schema=Schema(routes={"/chat": Schema(text=int)}), on_event=events.append
    )
    strict = Strict(policy, "127.0.0.1", "/chat?x=1")
    assert strict.stream(frame(1, b"12345678901")).rule == "frame-too-big"
    assert strict.stream(frame(1, b"1")).answer == "accepted"
    assert strict.stream(frame(1, b'"1"')).answer == "close 4422"
    assert events == []  # nobody's connection was refused


@given(broken(Peer("server", None)))
def test_the_verdict_is_what_an_inspector_says(stream):
    verdict = STRICT.stream(stream)
    inspector = Inspector(Policy(), Role.SERVER, clock=lambda: 0.0)
    inspector.receive_data(verdict.data + frame(9, QUESTION))
    if inspector.violation is not None:
        assert verdict.rule == inspector.violation.rule
    else:
        assert (verdict.rule, verdict.close) == ("", inspector.close_code)


@given(st.integers(0, 2**32), st.sampled_from([None, DeflateParameters()]))
def test_a_verdict_on_what_was_judged_is_the_same(seed, deflate):
    verdict = STRICT.stream(make_stream(random.Random(seed), [], deflate), deflate)
    assert STRICT.stream(verdict.data, deflate) == verdict


@given(st.integers(0, 2**32))
def test_a_verdict_on_a_request_that_was_judged_is_the_same(seed):
    verdict = STRICT.request(make_request(random.Random(seed), ()))
    assert STRICT.request(verdict.data) == verdict


def test_a_header_that_is_cut_stays_if_it_breaks_a_rule():
    assert STRICT.stream(frame(9) + b"\x81\x7f").data == frame(9) + b"\x81\x7f"
    assert STRICT.stream(frame(9) + b"\xf1").rule == "reserved-bits"


def test_a_message_of_more_frames_than_are_taken_apart():
    stream = frame(1, b"a", fin=False) + frame(0, b"a", fin=False) * 1100
    assert STRICT.stream(stream).rule == "too-many-fragments"


@pytest.mark.parametrize("end", [b"\r\n", b"", b"X: y", b"X: y\r\n", b"X: y\r"])
def test_a_request_without_an_end_gets_one(end):
    verdict = STRICT.request(HEAD + end)
    assert verdict.data.endswith(b"\r\n\r\n")
    assert verdict.answer == "HTTP 101"


def test_a_request_is_judged_with_the_address_of_the_server():
    assert b"<address>" in STRICT.request(HEAD).data
    assert Strict(Policy(), "a b").request(HEAD).rule == "host"
    assert STRICT.request(HEAD + b"Host: again\r\n").answer == "HTTP 400"
    assert STRICT.request(HEAD + b"\r\nearly").rule == "early-data"


def test_limits_are_the_rules_whose_bounds_an_operator_sets():
    assert {"frame-too-big", "message-too-big", "control-flood", "too-many-fragments", "empty-fragments"} <= LIMITS
    assert {"inflated-too-big", "inflate-ratio", "inflate-work", "head-too-long", "target-too-long"} <= LIMITS
    assert not {"length-high-bit", "length-not-minimal", "schema-mismatch", "header-syntax"} & LIMITS
    assert set(RULES) >= LIMITS


JUDGED = [vector for vector in VECTORS if vector.role == "server" and vector.schema is None and vector.violation]


@pytest.mark.parametrize("vector", JUDGED, ids=lambda vector: vector.id)
def test_what_breaks_a_rule_breaks_it_behind_the_cutting(vector):
    deflate = None if vector.deflate is None else parameters(**vector.deflate)
    verdict = Strict(Policy(limits=Limits(**vector.limits))).stream(vector.stream, deflate)
    assert verdict.rule == vector.violation[0]
    assert len(verdict.data) <= len(vector.stream) + 65536


def parameters(window_bits=15, context_takeover=False):
    return DeflateParameters(client_max_window_bits=window_bits, client_context_takeover=context_takeover)
