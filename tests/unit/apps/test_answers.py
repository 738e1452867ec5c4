"""What a server says is read the same however it is cut, and little of it is kept."""

import hypothesis.strategies as st
import pytest
from hypothesis import given

from framewarden.apps.cases import Case, Cost, Outcome, Part, Verdict, judge
from framewarden.apps.cases.answers import MAX_PONGS, FrameListener, HeadListener
from framewarden.apps.cases.target import Trouble
from framewarden.apps.cases.wire import MAX_HEAD
from framewarden.codec import encode_frame
from tests.playback import cut

ASKED = b"asked"
PONG = encode_frame(0xA, ASKED)


def heard(*chunks):
    listener = FrameListener(ASKED)
    listener.until_the_end = True
    for chunk in chunks:
        listener(chunk)
    return listener


def told(listener):
    return listener.pongs, listener.messages, listener.ponged, listener.close, listener.garbage


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        (PONG, ([], 0, True, None, False)),
        (encode_frame(0xA, b"other") + PONG, ([b"other"], 0, True, None, False)),
        (encode_frame(1, b"a" * 70_000) + encode_frame(8), ([], 1, False, 1005, False)),
        (encode_frame(1, b"a", fin=False) + encode_frame(0, b"b") + PONG, ([], 1, True, None, False)),
        (encode_frame(8, b"\x03\xea" + b"x" * 123), ([], 0, False, 1002, False)),
        (encode_frame(8, b"\x03"), ([], 0, False, 0x03, True)),
        (encode_frame(1, b"a", key=b"abcd"), ([], 0, False, None, True)),
        (encode_frame(3), ([], 0, False, None, True)),
        (encode_frame(9, bytes(126)), ([], 0, False, None, True)),
        (PONG + encode_frame(8, b"\x03\xef"), ([], 0, True, 1007, False)),
        (encode_frame(8) + PONG, ([], 0, False, 1005, False)),
    ],
)
def test_frames(said, expected):
    assert told(heard(said)) == expected
    assert told(heard(*(said[at : at + 1] for at in range(len(said))))) == expected


def test_it_says_when_it_has_heard_enough():
    listener = FrameListener(ASKED)
    assert not listener(encode_frame(1, b"a") + PONG[:-1])
    assert listener(PONG[-1:])
    listener.until_the_end = True
    assert not listener(encode_frame(1, b"a"))
    assert listener(encode_frame(8))


def test_pongs_are_not_collected_for_ever():
    assert len(heard(encode_frame(0xA, b"a") * 5000).pongs) == MAX_PONGS


@given(st.binary(max_size=400), st.lists(st.integers(0, 400), max_size=6))
def test_frames_at_any_cut(said, points):
    listener = heard(*cut(said, points))
    assert told(listener) == told(heard(said))
    assert len(listener._pending) <= 127


def test_a_head():
    listener = HeadListener()
    assert not listener(b"HTTP/1.1 400 Bad Request\r\nA: b")
    assert listener(b"c\r\nX-Y:z \r\n\r\nbody")
    assert (listener.status, listener.headers, listener.garbage) == (400, {"a": "bc", "x-y": "z"}, False)


@pytest.mark.parametrize(
    "said", [b"SSH-2.0", b"HTTP/2 200 OK\r\n\r\n", b"HTTP/1.1 2000 x\r\n\r\n", b"HTTP/1.1 000 x\r\n\r\n", b"\r\n\r\n"]
)
def test_what_is_no_head(said):
    listener = HeadListener()
    assert listener(said)
    assert listener.garbage
    assert listener.status is None


def test_a_head_has_a_bound():
    listener = HeadListener()
    chunks = 0
    while not listener(b"HTTP/1.1 200 OK\r\n" + b"a" * 1000 if not chunks else b"a" * 1000):
        chunks += 1
    assert listener.garbage
    assert len(listener._head) == MAX_HEAD + 1


@given(
    st.binary(max_size=200).map(lambda tail: b"HTTP/1.1 101 \r\n" + tail + b"\r\n\r\n"), st.lists(st.integers(0, 220))
)
def test_heads_at_any_cut(said, points):
    whole, pieces = HeadListener(), HeadListener()
    whole(said)
    for piece in cut(said, points):
        pieces(piece)
    assert (pieces.status, pieces.headers, pieces.garbage) == (whole.status, whole.headers, whole.garbage)


# --- Verdicts ---------------------------------------------------------------------------------------------------------


def case(**fields):
    least = {"id": "a", "flaw_class": "b", "comment": "c", "expect": "reject", "rule": "reserved-bits"}
    return Case(**least | {"close_code": 1002} | fields)


@pytest.mark.parametrize(
    ("fields", "answer", "verdict"),
    [
        ({}, "close 1002", Verdict.STRICT),
        ({}, "close 1009", Verdict.SAFE),
        ({}, "close 1000", Verdict.DROPPED),
        ({}, "dropped", Verdict.DROPPED),
        ({}, "accepted", Verdict.ACCEPTED),
        ({}, "garbage", Verdict.ACCEPTED),
        ({}, "hang", Verdict.HANG),
        ({"also": ("hang", "accepted")}, "hang", Verdict.SAFE),
        ({"also": ("hang", "accepted")}, "accepted", Verdict.SAFE),
        ({"rule": "close-code", "parts": ("888200000000" + "03ee",)}, "close 1006", Verdict.ACCEPTED),
        ({"rule": "close-code", "parts": ("888200000000" + "03ee",)}, "close 1000", Verdict.ACCEPTED),
        ({"rule": "close-code", "parts": ("888200000000" + "03ee",)}, "close 1007", Verdict.SAFE),
        ({"stage": "handshake", "status": 400}, "HTTP 400", Verdict.STRICT),
        ({"stage": "handshake", "status": 400}, "HTTP 503", Verdict.SAFE),
        ({"stage": "handshake", "status": 400}, "HTTP 101", Verdict.ACCEPTED),
        ({"stage": "handshake", "status": 400}, "HTTP 302", Verdict.ACCEPTED),
        ({"expect": "accept", "close_code": None}, "accepted", Verdict.STRICT),
        ({"expect": "accept", "close_code": None}, "close 1002", Verdict.ACCEPTED),
        ({"expect": "survive"}, "close 1002", Verdict.STRICT),
        ({"expect": "survive"}, "hang", Verdict.HANG),
        ({"role": "client"}, "accepted", Verdict.N_A),
        ({"needs": "luck"}, "accepted", Verdict.N_A),
        ({}, "not applicable", Verdict.N_A),
    ],
)
def test_verdicts(fields, answer, verdict):
    assert judge(case(**fields), Outcome(answer=answer)).verdict is verdict


def test_trouble_is_worse_than_an_answer():
    good = Outcome(answer="close 1002")
    assert judge(case(), good, Trouble("it is gone")).verdict is Verdict.CRASH
    told = judge(case(), good, Trouble("it waits", silent=True))
    assert (told.verdict, told.seen) == (Verdict.HANG, "close 1002; then it waits")
    assert judge(case(), Outcome(answer="hang"), Trouble("it is gone")).verdict is Verdict.CRASH


@pytest.mark.parametrize(
    ("cost", "grown", "ratio", "verdict"),
    [
        ({"memory": 100}, 100, None, Verdict.STRICT),
        ({"memory": 100}, 101, None, Verdict.GREW),
        ({"memory": 100}, None, None, Verdict.STRICT),
        ({"time_ratio": 2.3}, None, 2.3, Verdict.STRICT),
        ({"time_ratio": 2.3}, None, 2.4, Verdict.SLOW),
        ({"time_ratio": 2.3}, None, None, Verdict.STRICT),
        ({"time_ratio": 2.3, "memory": 100}, 101, 9.0, Verdict.GREW),
    ],
)
def test_costs(cost, grown, ratio, verdict):
    bounded = case(cost=Cost(**cost), parts=(Part(hex="00"),))
    assert judge(bounded, Outcome(answer="close 1002", grown=grown, ratio=ratio)).verdict is verdict


def test_bounds_are_told_beside_a_worse_answer():
    bounded = case(cost=Cost(memory=1 << 20), parts=("00",))
    told = judge(bounded, Outcome(answer="accepted", grown=90 << 20))
    assert (told.verdict, told.seen) == (Verdict.ACCEPTED, "accepted, and it grew by 90 MiB")
    assert told.exceeded == (Verdict.GREW,)


def test_a_wrong_pong_is_seen_whatever_comes_behind_it():
    pinged = case(pongs=("6161", "62"))
    for pongs, verdict in (((b"aa", b"b"), Verdict.STRICT), ((b"b",), Verdict.STRICT), ((), Verdict.STRICT)):
        assert judge(pinged, Outcome(answer="close 1002", pongs=pongs)).verdict is verdict
    for pongs in ((b"aa\0",), (b"b", b"aa"), (b"b", b"b")):
        assert judge(pinged, Outcome(answer="close 1002", pongs=pongs)).verdict is Verdict.ACCEPTED


def test_labels_of_flaws_are_in_capital_letters():
    assert [verdict.label for verdict in Verdict if not verdict.flaw] == ["n/a", "strict", "safe", "dropped"]
    assert [verdict.label for verdict in Verdict if verdict.flaw] == ["SLOW", "GREW", "ACCEPTED", "HANG", "CRASH"]
