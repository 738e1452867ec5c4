"""What an honest peer sends, together with the events that it must give; and the ways to cut it into reads."""

from itertools import pairwise
from typing import NamedTuple

from hypothesis import strategies as st

from framewarden.testing.compressed import WAYS, Deflater
from framewarden.testing.contents import contents, texts
from framewarden.testing.frames import BINARY, CLOSE, FIN, PING, PONG, RSV1, TEXT, frame, masking_keys
from framewarden.testing.peers import Peer
from framewarden.testing.reading import PlainEvent

__all__ = ["Stream", "chunkings", "closes", "controls", "frames", "messages", "streams"]

CLOSE_CODES = (1000, 1001, 1002, 1003, 1007, 1011, 1012, 1013, 1014, 3000, 3999, 4000, 4999)
"""Some of those that RFC 6455 7.4 and the IANA registry allow in a Close."""


class Stream(NamedTuple):
    """Whole frames, and what they must give.

    Attributes:
        data: bytes as they come from the wire.
        events: what an Inspector makes of them, as :func:`framewarden.testing.plain` tells it.
    """

    data: bytes
    events: list[PlainEvent]


@st.composite
def controls(draw: st.DrawFn, peer: Peer) -> Stream:
    """Draw a Ping or a Pong, of 0 to 125 bytes."""
    opcode = draw(st.sampled_from([PING, PONG]))
    payload = draw(st.binary(max_size=6) | st.just(b"p" * 125))
    name = "ping" if opcode == PING else "pong"
    return Stream(frame(peer, FIN | opcode, payload, draw(masking_keys())), [(name, payload)])


@st.composite
def closes(draw: st.DrawFn, peer: Peer) -> Stream:
    """Draw a Close: empty, or with one of the codes that may be sent and a reason of up to 10 characters."""
    code = draw(st.none() | st.sampled_from(CLOSE_CODES))
    if code is None:
        return Stream(frame(peer, FIN | CLOSE, b"", draw(masking_keys())), [("close", 1005, "")])
    reason = draw(st.text(max_size=10))
    payload = code.to_bytes(2, "big") + reason.encode()
    return Stream(frame(peer, FIN | CLOSE, payload, draw(masking_keys())), [("close", code, reason)])


@st.composite
def messages(draw: st.DrawFn, peer: Peer, deflater: Deflater | None = None, *, max_fragments: int = 4) -> Stream:
    """Draw one message in any number of fragments, some of them empty, with Pings and Pongs between them.

    Args:
        draw: given by Hypothesis.
        peer: who reads it.
        deflater: compresses some of the messages; the messages of one connection need the same one, in their order.
        max_fragments: frames of the message at most.
    """
    data: str | bytes
    if draw(st.booleans()):
        opcode, data = TEXT, draw(texts())
        content = data.encode()
    else:
        opcode, data = BINARY, draw(contents())
        content = data
    payload, first = content, opcode
    if deflater is not None and draw(st.booleans()):
        payload, first = deflater.message(content, draw(st.sampled_from(WAYS))), RSV1 | opcode
    points = sorted(draw(st.lists(st.integers(0, len(payload)), max_size=max_fragments - 1)))
    wire = b""
    events: list[PlainEvent] = []
    for index, (start, end) in enumerate(pairwise([0, *points, len(payload)])):
        if index and draw(st.integers(0, 3)) == 0:
            between = draw(controls(peer))
            wire += between.data
            events += between.events
        fin = FIN if index == len(points) else 0
        wire += frame(peer, fin | (0 if index else first), payload[start:end], draw(masking_keys()))
    return Stream(wire, [*events, ("message", opcode, data, len(payload), len(content))])


@st.composite
def frames(draw: st.DrawFn, peer: Peer) -> Stream:
    """Draw one frame that may stand anywhere between messages: a whole message, a Ping or a Pong.

    ::

        @given(frames(Peer("server")))
        def test_a_frame_gives_one_event(one):
            assert read(Inspector(), [one.data]) == one.events
    """
    deflater = None if peer.compression is None else Deflater(peer.compression)
    return draw(messages(peer, deflater, max_fragments=1) | controls(peer))


@st.composite
def streams(draw: st.DrawFn, peer: Peer, *, close: bool = True) -> Stream:
    """Draw what an honest peer sends; nothing in it runs into the default limits.

    ::

        @given(st.data(), peers())
        def test_what_an_honest_peer_sends_arrives(data, peer):
            stream = data.draw(streams(peer))
            inspector = Inspector(Policy(), peer.role, deflate=peer.deflate)
            assert read(inspector, data.draw(chunkings(stream.data))) == stream.events

    Args:
        draw: given by Hypothesis.
        peer: who reads it.
        close: whether it may end with a Close.
    """
    deflater = None if peer.compression is None else Deflater(peer.compression)
    parts = [
        draw(messages(peer, deflater)) if draw(st.integers(0, 3)) else draw(controls(peer))
        for _ in range(draw(st.integers(0, 4)))
    ]
    if close and draw(st.integers(0, 3)) == 0:
        parts.append(draw(closes(peer)))
    return Stream(b"".join(part.data for part in parts), [event for part in parts for event in part.events])


def chunkings(data: bytes) -> st.SearchStrategy[list[bytes]]:
    """Draw the same bytes in pieces, cut anywhere, some of them empty; or evenly, as byte by byte.

    ``b"".join(pieces) == data``, whatever is drawn.
    """
    points = st.lists(st.integers(0, len(data)), max_size=8)
    anywhere = points.map(lambda inner: pieces(data, sorted(inner)))
    evenly = st.sampled_from([1, 2, 3, 7, 64]).map(lambda size: pieces(data, list(range(size, len(data), size))))
    return anywhere | evenly


def pieces(data: bytes, points: list[int]) -> list[bytes]:
    """Cut ``data`` at ``points``, which are in order."""
    return [data[start:end] for start, end in pairwise([0, *points, len(data)])]
