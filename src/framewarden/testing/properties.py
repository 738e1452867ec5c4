"""What always holds, as functions of what Hypothesis draws: the targets of the campaign.

Each takes ``st.data()`` and raises when the property does not hold; nothing else is ever raised.
"""

import datetime as dt
import enum
import functools
from collections.abc import Callable
from typing import Annotated, Any, Literal

import msgspec
from hypothesis import strategies as st

from framewarden import kernels
from framewarden.codec._writer import prepare
from framewarden.codec.handshake import HandshakeParser, Refusal, Request
from framewarden.engine import Inspector, Message
from framewarden.policy import Deflate, Limits, Policy, Schema
from framewarden.rfc6455 import State
from framewarden.testing.checks import expect, same
from framewarden.testing.contents import contents, texts
from framewarden.testing.frames import BINARY, FIN, PING, TEXT, frame
from framewarden.testing.handshakes import damaged_heads, opening_handshakes, refused_handshakes
from framewarden.testing.malformed import TIGHT, broken
from framewarden.testing.peers import Peer, peers
from framewarden.testing.reading import PlainEvent, pump, read
from framewarden.testing.schemas import almost_shaped, shaped
from framewarden.testing.streams import chunkings, streams

__all__ = ["PROPERTIES"]

LIMITS = st.sampled_from([Limits(), TIGHT])
PER_BYTE = 2
"""How many bytes may be held for each byte that came: buffers grow by doubling."""
OBJECTS = 256
"""Bytes that the objects around them take."""
WINDOW = 64 * 1024
"""Bytes of an LZ77 window and what zlib keeps beside it."""


def _inspector(peer: Peer, limits: Limits) -> Inspector:
    """An Inspector whose clock stands still, and whose masking-keys are 0, so that its answers can be compared."""
    return Inspector(Policy(limits=limits), peer.role, deflate=peer.deflate, clock=lambda: 0.0, key_source=bytes)


def _judged(inspector: Inspector, chunks: list[bytes]) -> tuple[Any, ...]:
    """Everything that can be told of a stream: events, violation, close code, state, and what is answered."""
    events = read(inspector, chunks)
    return (events, inspector.violation, inspector.close_code, inspector.state, inspector.data_to_send())


def chunked(data: st.DataObject) -> None:
    """However a stream is cut, events, violation, offset, state and answers are the same."""
    peer, limits = data.draw(peers()), data.draw(LIMITS)
    stream = data.draw(broken(peer))
    whole = _judged(_inspector(peer, limits), [stream])
    same(_judged(_inspector(peer, limits), data.draw(chunkings(stream))), whole, "in chunks")


def every_kernel(data: st.DataObject) -> None:
    """Every kernel of this machine judges a stream alike."""
    peer, limits = data.draw(peers()), data.draw(LIMITS)
    chunks = data.draw(chunkings(data.draw(broken(peer) | _long_text(peer))))
    active = kernels.active()
    try:
        results = {}
        for name in kernels.available():
            kernels.use(name)
            results[name] = _judged(_inspector(peer, limits), chunks)
    finally:
        kernels.use(active)
    for name, result in results.items():
        same(result, results[active], f"kernel {name} beside {active}")


@st.composite
def _long_text(draw: st.DrawFn, peer: Peer) -> bytes:
    """A Text message of up to 300 bytes or so, with one octet changed at most: where vector registers have edges."""
    octets = bytearray(draw(texts()).encode())
    if octets and draw(st.booleans()):
        octets[draw(st.integers(0, len(octets) - 1))] = draw(st.integers(0, 255))
    return frame(peer, FIN | TEXT, bytes(octets), draw(st.binary(min_size=4, max_size=4)))


def honest(data: st.DataObject) -> None:
    """What an honest peer sends gives its events, and no violation."""
    peer = data.draw(peers())
    stream = data.draw(streams(peer))
    inspector = _inspector(peer, Limits())
    same(read(inspector, data.draw(chunkings(stream.data))), stream.events, "the events")
    same(inspector.violation, None, "the violation")


def final(data: st.DataObject) -> None:
    """Nothing follows a violation or a Close: no event, no answer, no byte that is kept."""
    peer, limits = data.draw(peers()), data.draw(LIMITS)
    inspector = _inspector(peer, limits)
    read(inspector, data.draw(chunkings(data.draw(broken(peer) | streams(peer).map(lambda stream: stream.data)))))
    if inspector.violation is None and inspector.close_code is None:
        return
    inspector.data_to_send()
    before = (inspector.violation, inspector.state, inspector.close_code, inspector.bytes_received)
    more = data.draw(broken(peer)) + frame(peer, FIN | PING, b"late") + frame(peer, FIN | TEXT, b"late")
    same(read(inspector, [more, b""]), [], "the events that follow")
    same(inspector.data_to_send(), b"", "the answer that follows")
    after = (inspector.violation, inspector.state, inspector.close_code, inspector.bytes_received)
    same(after, before, "what is known of the connection")
    same(inspector.state, State.CLOSED if inspector.violation is None else State.FAILED, "the state")
    same(inspector.bytes_held, 0, "the bytes that are held")


def held(data: st.DataObject) -> None:
    """What is held follows what came, and stays under what the limits let one message keep."""
    peer = data.draw(peers())
    inspector = _inspector(peer, TIGHT)
    most = PER_BYTE * TIGHT.max_message_bytes + OBJECTS
    if peer.deflate is not None:
        most += PER_BYTE * TIGHT.max_inflated_bytes + WINDOW
    fed = 0
    for chunk in data.draw(chunkings(data.draw(broken(peer)))):
        pump(inspector, chunk)
        inspector.data_to_send()
        fed += len(chunk)
        bound = most if peer.deflate is not None else min(most, PER_BYTE * fed + OBJECTS)
        expect(inspector.bytes_held <= bound, f"{inspector.bytes_held} bytes are held, {bound} may be")
        expect(inspector.bytes_received <= fed, f"{inspector.bytes_received} of {fed} bytes were judged")


def handshake(data: st.DataObject) -> None:
    """A head gives the same verdict however it is cut; a refusal is final; what must come out does."""
    limits = data.draw(st.sampled_from([Limits(), Limits(max_head_bytes=600, max_header_bytes=100, max_headers=10)]))
    head = data.draw(damaged_heads())
    whole = _verdict([head], limits)
    same(_verdict(data.draw(chunkings(head)), limits), whole, "in chunks")
    expect(whole is not None or len(head) <= limits.max_head_bytes, "there is no verdict on a head that is too long")
    opening = data.draw(opening_handshakes() | refused_handshakes())
    got = _verdict(data.draw(chunkings(opening.head)), Limits())
    told = (got.rule, got.status) if isinstance(got, Refusal) else got
    same(told, opening.expected, "the verdict")


def _verdict(chunks: list[bytes], limits: Limits) -> Request | Refusal | None:
    parser = HandshakeParser(limits)
    verdict: Request | Refusal | None = None
    for chunk in chunks:
        before, verdict = verdict, parser.feed(chunk)
        expect(not isinstance(before, Refusal) or verdict is before, "a refusal has changed")
    return verdict


def roundtrip(data: st.DataObject) -> None:
    """What one end sends, the other reads: equal, in order, and nothing else."""
    peer = data.draw(peers())
    policy = Policy(
        deflate=Deflate(min_bytes=data.draw(st.sampled_from([0, 10, 256])), level=data.draw(st.integers(1, 9)))
    )
    sender = Inspector(policy, peer.opposite.role, deflate=peer.deflate, clock=lambda: 0.0)
    reader = Inspector(policy, peer.role, deflate=peer.deflate, clock=lambda: 0.0)
    wanted: list[PlainEvent] = []
    for way, message in data.draw(
        st.lists(st.tuples(st.sampled_from(sorted(SENDS)), texts() | contents()), max_size=6)
    ):
        wanted.append(SENDS[way](sender, message))
    got = read(reader, data.draw(chunkings(sender.data_to_send())))
    same([event[:3] if event[0] == "message" else event for event in got], wanted, "the events")
    same(reader.violation, None, "the violation")


def _whole(sender: Inspector, message: str | bytes) -> PlainEvent:
    if isinstance(message, str):
        sender.send_text(message)
        return ("message", TEXT, message)
    sender.send_bytes(message)
    return ("message", BINARY, message)


def _prepared(sender: Inspector, message: str | bytes) -> PlainEvent:
    sender.send_prepared(prepare(message))
    return ("message", TEXT if isinstance(message, str) else BINARY, message)


def _halves(sender: Inspector, message: str | bytes) -> PlainEvent:
    half = len(message) // 2
    sender.send_fragment(message[:half])
    sender.send_fragment(message[half:], final=True)
    return ("message", TEXT if isinstance(message, str) else BINARY, message)


def _pinged(sender: Inspector, message: str | bytes) -> PlainEvent:
    payload = (message.encode() if isinstance(message, str) else message)[:125]
    sender.send_ping(payload)
    return ("ping", payload)


SENDS: dict[str, Callable[[Inspector, str | bytes], PlainEvent]] = {
    "whole": _whole,
    "prepared": _prepared,
    "halves": _halves,
    "ping": _pinged,
}


class _Color(enum.Enum):
    RED = "red"
    BLUE = "blue"


class _Say(msgspec.Struct, tag="say", forbid_unknown_fields=True):
    room: Annotated[str, msgspec.Meta(min_length=1, max_length=8)]
    text: str
    at: dt.datetime | None = None


class _Move(msgspec.Struct, tag="move", rename="camel"):
    to_cell: tuple[int, Annotated[int, msgspec.Meta(ge=0, lt=8)]]
    color: _Color = _Color.RED
    options: dict[str, list[int | str]] = {}
    speed: Literal[1, 2, "fast"] = 1


SCHEMA = Schema(text=_Say | _Move, binary=list[_Say | _Move])


@functools.cache
def _messages(*, binary: bool) -> st.SearchStrategy[bytes]:
    kind = SCHEMA.binary if binary else SCHEMA.text
    right, wrong = shaped(kind, binary=binary), almost_shaped(kind, binary=binary)
    return right | wrong | st.sampled_from([b"{", b"[]]", b"7"])


def reported(data: st.DataObject) -> None:
    """Mode "report" judges as "enforce" does: it delivers what the other refuses, with the same violation on it."""
    peer = Peer("client")
    binary = data.draw(st.booleans())
    message = data.draw(_messages(binary=binary))
    stream = frame(peer, FIN | (BINARY if binary else TEXT), message)
    chunks = data.draw(chunkings(stream))
    enforcing = Inspector(Policy(schema=SCHEMA), "client", clock=lambda: 0.0)
    reporting = Inspector(Policy(schema=SCHEMA, mode="report"), "client", clock=lambda: 0.0)
    accepted = read(enforcing, chunks)
    delivered = [event for chunk in chunks for event in reporting.receive_data(chunk) if isinstance(event, Message)]
    same(reporting.violation, None, "the violation under report")
    same(len(delivered), 1, "the number of messages under report")
    same(delivered[0].would_refuse, enforcing.violation, "what would be refused")
    if enforcing.violation is None:
        same(delivered[0].data, accepted[0][2], "the message under report")
    else:
        same(accepted, [], "the events under enforce")
        same(delivered[0].data, message if binary else message.decode(), "the message under report")


PROPERTIES: dict[str, Callable[[st.DataObject], None]] = {
    "chunked": chunked,
    "kernels": every_kernel,
    "report": reported,
    "honest": honest,
    "final": final,
    "held": held,
    "handshake": handshake,
    "roundtrip": roundtrip,
}
"""What always holds, by the name of the target."""
