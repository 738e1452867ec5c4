"""What our writer sends: read back by an Inspector of the other role, by the oracle and by wsproto."""

import zlib
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from wsproto.extensions import PerMessageDeflate
from wsproto.frame_protocol import FrameProtocol, Opcode

from framewarden.codec._writer import prepare
from framewarden.codec.extensions import DeflateParameters
from framewarden.engine import Inspector
from framewarden.errors import ClosedError
from framewarden.policy import Deflate, Limits, Policy
from framewarden.testing import Peer, chunkings, deflate_parameters
from tests.oracle import judge
from tests.playback import frames, outcome, pump
from tests.properties.negotiated import inflate

OTHER = {"server": "client", "client": "server"}

texts = st.text(max_size=20) | st.builds(
    lambda unit, times: unit * times, st.text(min_size=1, max_size=5), st.integers(1, 300)
)
blobs = st.binary(max_size=30) | st.sampled_from([125, 126, 127, 65535, 65536]).map(bytes)
sends = st.lists(
    st.tuples(st.just("text"), texts)
    | st.tuples(st.just("bytes"), blobs)
    | st.tuples(st.just("ping"), st.binary(max_size=125))
    | st.tuples(st.just("prepared"), texts | blobs)
    | st.tuples(st.just("pieces"), st.lists(texts, min_size=1, max_size=4) | st.lists(blobs, min_size=1, max_size=4)),
    max_size=6,
)
parameters = deflate_parameters()


class Keys:
    """A source of masking-keys that never gives the same one twice."""

    def __init__(self) -> None:
        self.given: list[bytes] = []

    def __call__(self, size: int) -> bytes:
        self.given.append(len(self.given).to_bytes(size, "little"))
        return self.given[-1]


def say(inspector: Inspector, what: list[tuple[str, Any]]) -> list[tuple]:
    """Send it all; returns the events that the peer should see, without sizes."""
    events = []
    for kind, data in what:
        if kind == "pieces":
            for piece in data[:-1]:
                inspector.send_fragment(piece)
            inspector.send_fragment(data[-1], final=True)
            events.append(message(type(data[0])().join(data)))
            continue
        if kind == "prepared":
            inspector.send_prepared(prepare(data))
            events.append(message(data))
            continue
        {"text": inspector.send_text, "bytes": inspector.send_bytes, "ping": inspector.send_ping}[kind](data)
        events.append(("ping", data) if kind == "ping" else ("message", 1 if kind == "text" else 2, data))
    return events


def message(data: str | bytes) -> tuple:
    return ("message", 1 if isinstance(data, str) else 2, data)


def seen(events: list[tuple]) -> list[tuple]:
    return [event[:3] if event[0] == "message" else event for event in events]


def through_wsproto(sent: bytes, role: str, deflate: DeflateParameters | None) -> list[tuple]:
    extensions = [] if deflate is None else [wsproto_deflate(role, deflate)]
    protocol = FrameProtocol(client=role == "client", extensions=extensions)
    protocol.receive_bytes(sent)
    events: list[tuple] = []
    message: list[str | bytes] = []
    for frame in protocol.received_frames():
        if frame.opcode is Opcode.PING:
            events.append(("ping", bytes(frame.payload)))
        elif frame.opcode is Opcode.CLOSE:
            events.append(("close", int(frame.payload[0]), frame.payload[1]))
        else:
            message.append(frame.payload)
            if frame.message_finished:
                joined = "".join(message) if frame.opcode is Opcode.TEXT else b"".join(message)
                events.append(("message", int(frame.opcode), joined))
                message.clear()
    return events


def wsproto_deflate(role: str, deflate: DeflateParameters) -> PerMessageDeflate:
    """The extension of wsproto, as if it had negotiated this."""
    extension = PerMessageDeflate(
        client_no_context_takeover=not deflate.client_context_takeover,
        server_no_context_takeover=not deflate.server_context_takeover,
        client_max_window_bits=deflate.client_max_window_bits,
        server_max_window_bits=deflate.server_max_window_bits,
    )
    extension._enabled = True
    return extension


@given(st.data(), st.sampled_from(["server", "client"]), sends, st.none() | parameters)
def test_what_is_sent_is_read(data, role, what, deflate):
    keys = Keys()
    policy = Policy(
        deflate=Deflate(min_bytes=data.draw(st.sampled_from([0, 10, 256])), level=data.draw(st.integers(1, 9)))
    )
    sender = Inspector(policy, role, deflate=deflate, key_source=keys, clock=lambda: 0.0)
    wanted = say(sender, what)
    sent = sender.data_to_send()
    assert sender.data_to_send() == b""
    if data.draw(st.booleans()):
        sender.send_close(4000, "done")
        sent += sender.data_to_send()
        wanted.append(("close", 4000, "done"))
    assert len(set(keys.given)) == len(keys.given) == (len(frames(sent)) if role == "client" else 0)

    reader = Inspector(policy, OTHER[role], deflate=deflate, clock=lambda: 0.0)
    events = [event for chunk in data.draw(chunkings(sent)) for event in pump(reader, chunk)]
    assert reader.violation is None
    assert seen(events) == wanted

    judged = judge(sent, Limits(max_control_run=2**31 - 1), OTHER[role], inflate(Peer(OTHER[role], deflate)))
    assert judged == outcome(events, reader)
    assert through_wsproto(sent, OTHER[role], deflate) == wanted


@given(st.sampled_from(["server", "client"]), sends, sends)
def test_a_close_is_the_last_thing_out(role, before, after):
    """Also when it was queued first; and behind it nothing can be sent."""
    sender = Inspector(Policy(), role, clock=lambda: 0.0)
    reader = Inspector(Policy(), OTHER[role], clock=lambda: 0.0)
    wanted = say(sender, before)
    sender.send_close(1000, "bye")
    wanted += say(sender, after)
    assert seen(pump(reader, sender.data_to_send())) == [*wanted, ("close", 1000, "bye")]
    with pytest.raises(ClosedError):
        sender.send_text("late")
    assert sender.data_to_send() == b""


@given(st.lists(texts, min_size=1, max_size=4), parameters)
def test_compression_compresses_what_is_large_enough(what, deflate):
    """RSV1 is set from min_bytes on and not below; what is not compressed is the text itself."""
    sender = Inspector(Policy(deflate=Deflate(min_bytes=40)), "server", deflate=deflate)
    for text in what:
        sender.send_text(text)
        [(first, payload)] = frames(sender.data_to_send())
        if len(text.encode()) >= 40:
            assert first == 0xC1
        else:
            assert (first, payload) == (0x81, text.encode())


def test_a_window_is_kept_only_with_context_takeover():
    """RFC 7692 7.1.1: the second of two equal messages is shorter only when it may refer to the first."""
    text = "".join(chr(33 + (i * i) % 90) for i in range(300))
    for takeover in (True, False):
        deflate = DeflateParameters(server_context_takeover=takeover)
        sender = Inspector(Policy(deflate=Deflate(min_bytes=0)), "server", deflate=deflate)
        payloads = []
        for _ in range(2):
            sender.send_text(text)
            payloads.append(frames(sender.data_to_send())[0][1])
        first, second = payloads
        assert zlib.decompressobj(-15).decompress(first + b"\0\0\xff\xff") == text.encode()
        assert (len(second) < len(first) // 2) is takeover
        assert (second == first) is not takeover
