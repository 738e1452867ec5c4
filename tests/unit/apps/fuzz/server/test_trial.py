"""A trial becomes a Case, and the file of one."""

import random

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from framewarden.apps.cases.case import parse_case
from framewarden.apps.fuzz.server.making import Corpus, Maker
from framewarden.apps.fuzz.server.strict import Strict, Verdict
from framewarden.apps.fuzz.server.trial import Trial, as_case, case_file, growing
from framewarden.codec import encode_frame
from framewarden.policy import Policy

STRICT = Strict(Policy(), "127.0.0.1:8765", "/")
KEY = b"\x37\xfa\x21\x3d"


@given(st.integers(0, 2**32), st.booleans())
def test_the_case_sends_what_was_judged(number, short):
    trial = Maker(1, STRICT, None, Corpus()).make(number)
    case = as_case(trial, "name", "comment", short=short)
    wire = trial.verdict.data.replace(b"<address>", b"127.0.0.1:8765").replace(b"<target>", b"/")
    if trial.verdict.stage == "frames":
        wire = trial.verdict.data
    assert case.stream("127.0.0.1:8765", "/") == wire
    assert b"".join(case.pieces(wire)) == wire
    assert case.right == trial.verdict.answer


@given(st.binary(max_size=60), st.binary(min_size=1, max_size=28), st.integers(1, 3000), st.binary(max_size=60))
def test_repetitions_are_written_as_such(begin, unit, times, end):
    data = begin + unit * times + end
    case = as_case(Trial(Verdict("frames", data, "", "accepted")), short=True)
    assert case.stream() == data
    file = case_file(case)
    assert len(file) < 4000 + 2 * 16 * len(unit)
    assert parse_case(file) == case


@pytest.mark.parametrize("opcode", [1, 2])
def test_a_long_frame_makes_a_short_file(opcode):
    trial = Trial(STRICT.stream(encode_frame(opcode, b"a" * 65536, key=KEY) + encode_frame(1)))
    file = case_file(as_case(trial, short=True))
    assert len(file) < 1000
    assert parse_case(file).stream() == trial.verdict.data


def test_a_file_is_no_longer_than_a_case_may_be():
    noise = random.Random(1).randbytes(40_000)
    assert case_file(as_case(Trial(Verdict("frames", noise, "", "accepted")), short=True)) is None


@pytest.mark.parametrize(
    ("verdict", "expect", "also"),
    [
        (Verdict("frames", b"", "", "accepted"), "accept", ()),
        (Verdict("frames", b"", "", "close 4000", close=4000), "accept", ("close 1000", "close 1005")),
        (Verdict("frames", b"", "", "close 1000", close=1000), "accept", ("close 1005",)),
        (Verdict("frames", b"", "reserved-bits", "close 1002"), "reject", ()),
        (Verdict("handshake", b"", "host", "HTTP 400"), "reject", ()),
        (Verdict("handshake", b"", "", "HTTP 101"), "accept", ("HTTP 101 with permessage-deflate",)),
    ],
)
def test_what_the_case_expects(verdict, expect, also):
    case = as_case(Trial(verdict, deflate=True, cuts=(1, 2)))
    assert (case.expect, case.also, case.rule or "") == (expect, also, verdict.rule)
    assert (case.stage, case.cuts, case.right) == (verdict.stage, (1, 2), verdict.answer)
    assert case.deflate == (verdict.stage == "frames")
    assert parse_case(msgspec.json.encode(case)) == case


def test_a_case_about_memory():
    case = growing(Trial(STRICT.stream(b"")), 32, 1 << 20, "grows", "it grows")
    assert (case.connections, case.cost.memory, case.id) == (32, 1 << 20, "grows")
    assert parse_case(case_file(case)) == case
