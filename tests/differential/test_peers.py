"""The Inspector against other implementations, on arbitrary streams: where they differ is listed, with the reason."""

from typing import NamedTuple

import pytest
from hypothesis import assume, event, given
from hypothesis import strategies as st

from framewarden.policy import Limits
from framewarden.testing import FIN, Peer, broken, frame, peers, streams
from tests.differential.peers import READERS
from tests.playback import make, play

WIDE = Limits(
    max_frame_bytes=2**31 - 1,
    max_message_bytes=2**31 - 1,
    max_fragments=2**31 - 1,
    max_control_run=2**31 - 1,
    max_empty_run=2**31 - 1,
)
"""The peers have no limits of these kinds."""

FILLER = {"server": bytes.fromhex("8a8000000000") * 30, "client": bytes.fromhex("8a00") * 90}
"""Behind a stream that we refuse early: lets a peer finish the header, or the control frame, that it waits for. For one
that waits for nothing it is Pongs, which show."""

S = Peer("server")


GOES_ON = -1


class Difference(NamedTuple):
    peer: str
    ours: str | None
    """Our rule; None: we accept."""
    theirs: int | None
    """Their close code; None: they accept, or still wait; GOES_ON: they read on, so anything may follow."""
    reason: str
    example: bytes


NO_LIMIT = bytes.fromhex("82ff000000010000000500000000")
SUM_NO_LIMIT = frame(S, 2, b"x") + bytes.fromhex("80ff000000007fffffff00000000")

DIFFERENCES = [
    Difference("wsproto", "frame-too-big", GOES_ON, "it has no limit: it reads on, and judges the payload", NO_LIMIT),
    Difference("wsproto", "message-too-big", GOES_ON, "it has no limit: it reads on", SUM_NO_LIMIT),
    Difference(
        "wsproto", None, 1002, "it lacks close code 1014, which IANA registered", frame(S, FIN | 8, b"\x03\xf6")
    ),
    Difference(
        "wsproto",
        "close-reason-utf8",
        1002,
        "it lacks close code 1014, and never comes to the reason",
        frame(S, FIN | 8, b"\x03\xf6\xc2\x80"[:3] + b"\xff"),
    ),
    Difference(
        "websockets", "frame-too-big", None, "it was told no limit: it waits for what a header declares", NO_LIMIT
    ),
    Difference("websockets", "message-too-big", None, "it was told no limit: it waits for it", SUM_NO_LIMIT),
    Difference(
        "websockets",
        "length-high-bit",
        None,
        "it reads 64-bit lengths without a look at the high bit, and waits",
        bytes.fromhex("82ff800000000000000500000000"),
    ),
    Difference(
        "websockets",
        "length-not-minimal",
        GOES_ON,
        "it does not ask for the minimal form",
        bytes.fromhex("82fe00050000000068656c6c6f"),
    ),
    Difference(
        "websockets",
        "invalid-utf8",
        GOES_ON,
        "it judges text when the message is complete",
        frame(S, 1, b"\xff") + frame(S, FIN | 9, b"later"),
    ),
    Difference(
        "websockets",
        "unexpected-continuation",
        None,
        "it judges the order of frames when the frame is complete",
        frame(S, 0, b"x" * 900)[:50],
    ),
    Difference(
        "websockets",
        "interleaved-message",
        None,
        "it judges the order of frames when the frame is complete",
        frame(S, 2, b"x") + frame(S, 2, b"x" * 900)[:50],
    ),
    Difference(
        "websockets",
        "reserved-bits",
        None,
        "it judges the reserved bits when the frame is complete",
        frame(S, 0xA2, b"x" * 900)[:50],
    ),
    Difference(
        "websockets",
        "fragmented-control",
        None,
        "it judges a control frame when it is complete, whatever length it declares",
        frame(S, 9, b"x" * 900)[:50],
    ),
    Difference(
        "websockets",
        "oversized-control",
        GOES_ON,
        "it judges the length that the long form holds, and when the frame is complete",
        bytes.fromhex("89fe00050000000068656c6c6f"),
    ),
    Difference(
        "websockets",
        "close-code",
        1007,
        "it decodes the reason before it looks at the code",
        frame(S, FIN | 8, b"\x00\x00\xff"),
    ),
    Difference(
        "websockets",
        None,
        1002,
        "it refuses a Close inside a fragmented message; RFC 6455 5.4 allows control frames there",
        frame(S, 2, b"x") + frame(S, FIN | 8, b""),
    ),
]


def ours(stream: bytes, role: str) -> tuple[list[tuple], str | None, int | None]:
    outcome = play([stream], make(WIDE, role)).outcome
    events = [item[:3] if item[0] == "message" else item for item in outcome.events]
    rule, code, _ = outcome.violation or (None, None, None)
    return events, rule, code


def theirs(peer: str, stream: bytes, role: str, *, refused: bool) -> tuple[list[tuple], int | None]:
    events, code = READERS[peer](stream, role)
    if refused and code is None:
        return READERS[peer](stream + FILLER[role], role)
    return events, code


def disagreement(peer: str, stream: bytes, role: str) -> tuple[str | None, int | None] | None:
    """Our rule and their close code, or None: they agree. Events that both give are the same in any case."""
    events, rule, code = ours(stream, role)
    other_events, other_code = theirs(peer, stream, role, refused=code is not None)
    shorter = min(len(events), len(other_events))
    assert events[:shorter] == other_events[:shorter]
    return None if (events, code) == (other_events, other_code) else (rule, other_code)


def listed(peer: str, found: tuple[str | None, int | None]) -> bool:
    pairs = {(difference.ours, difference.theirs) for difference in DIFFERENCES if difference.peer == peer}
    return found in pairs or (found[0], GOES_ON) in pairs


@pytest.mark.parametrize("peer", READERS)
@given(data=st.data(), side=peers(deflate=False))
def test_agree_on_what_an_honest_peer_sends(peer, data, side):
    stream = data.draw(streams(side)).data
    found = disagreement(peer, stream, side.role)
    assume(found != (None, 1002))
    assert found is None


@pytest.mark.parametrize("peer", READERS)
@given(data=st.data(), side=peers(deflate=False))
def test_agree_on_anything_but_the_listed_differences(peer, data, side):
    stream = data.draw(broken(side))
    found = disagreement(peer, stream, side.role)
    event(str(found))
    assert found is None or listed(peer, found), (found, stream.hex())


@pytest.mark.parametrize("difference", DIFFERENCES, ids=lambda one: f"{one.peer}-{one.ours}-{one.theirs}")
def test_the_listed_differences_exist(difference):
    found = disagreement(difference.peer, difference.example, "server")
    assert found is not None
    assert found[0] == difference.ours
    assert found[1] == difference.theirs or difference.theirs == GOES_ON


@pytest.mark.parametrize("peer", READERS)
def test_a_listed_difference_is_not_an_excuse_for_events(peer):
    """The comparison itself notices an event that only one of the two gives."""
    stream = frame(S, FIN | 1, b"a")
    events, _, _ = ours(stream, "server")
    assert READERS[peer](stream, "server")[0] == events == [("message", 1, "a")]
    assert disagreement(peer, stream + frame(S, 0x83, b""), "server") is None
