"""A listener of picows behind our inspection is told what passed, whatever comes in and however it is cut."""

import asyncio

from hypothesis import given
from hypothesis import strategies as st
from picows import WSAutoPingStrategy, WSListener, WSMsgType

from framewarden.admission import Admission
from framewarden.engine import Inspector
from framewarden.policy import Policy
from framewarden.testing import TIGHT, Peer, broken, chunkings, streams
from framewarden.transports.context import Context
from framewarden.transports.listening import Hearing, ListenerCarrier, ListenerConnection, Outlet
from framewarden.transports.picows import _logger
from tests.playback import plain

KEY = "dGhlIHNhbXBsZSBub25jZQ=="
PEER = Peer("server")
POLICY = Policy(limits=TIGHT)
OPTIONS = {
    "logger": _logger("quiet"),
    "disconnect_on_exception": True,
    "enable_auto_ping": True,
    "auto_ping_idle_timeout": 20,
    "auto_ping_reply_timeout": 20,
    "auto_ping_strategy": WSAutoPingStrategy.PING_WHEN_IDLE,
    "max_frame_size": TIGHT.max_message_bytes,
    "read_buffer_init_size": 2048,
}
NAMES = {WSMsgType.TEXT: "message", WSMsgType.BINARY: "message", WSMsgType.PING: "ping", WSMsgType.PONG: "pong"}


class Socket:
    """What picows asks of a socket."""

    def fileno(self):
        return -1

    def setsockopt(self, *arguments):
        pass

    def getsockopt(self, *arguments):
        return 0


class Transport(asyncio.Transport):
    """Remembers what was written."""

    def __init__(self):
        super().__init__({"socket": Socket(), "peername": ("127.0.0.1", 1), "sockname": ("127.0.0.1", 2)})
        self.written = bytearray()
        self.closing = False

    def write(self, data):
        self.written += data

    def writelines(self, pieces):
        self.written += b"".join(pieces)

    def get_write_buffer_size(self):
        return 0

    def set_write_buffer_limits(self, high=None, low=None):
        pass

    def pause_reading(self):
        pass

    resume_reading = pause_reading

    def is_closing(self):
        return self.closing

    def close(self):
        self.closing = True

    abort = close


class Echo(WSListener):
    """Sends every message back, and remembers what it was told."""

    def __init__(self):
        self.told = []

    def on_ws_frame(self, transport, frame):
        assert frame.fin
        assert not frame.rsv1
        payload = frame.get_payload_as_bytes()
        if frame.msg_type == WSMsgType.CLOSE:
            self.told.append(("close", frame.get_close_code() or 1005, frame.get_close_reason() or ""))
        else:
            self.told.append((NAMES[frame.msg_type], payload))
            if frame.msg_type in (WSMsgType.TEXT, WSMsgType.BINARY):
                transport.send(frame.msg_type, payload)

    def on_ws_disconnected(self, transport):
        self.told.append("disconnected")


async def play(chunks):
    """Let a connection read ``chunks``; returns what the listener was told, what left behind the 101, the violation."""
    context = Context(
        asyncio.get_running_loop(), POLICY, Hearing(), Admission(POLICY, ("127.0.0.1", 1)), secure=True
    )  # fmt: skip
    context.on_control = context.handler.on_control
    transport, listener = Transport(), Echo()
    inspector = Inspector(POLICY, clock=lambda: 0.0)
    connection = ListenerConnection(
        context, transport, inspector, -1, id="", identity=None, subprotocol=None, path="/", query=""
    )
    carrier = ListenerCarrier(connection, lambda request: listener, OPTIONS, deliver_pings=True)
    connection.shake_hands(carrier, Outlet(transport, connection), KEY, lambda response: None)
    connection.open()
    for chunk in chunks:
        carrier.get_buffer(-1)[: len(chunk)] = chunk
        carrier.buffer_updated(len(chunk))
        assert not inspector.has_more  # these streams are short
    carrier.connection_lost(None)
    context.wheel.close()
    return listener.told, bytes(transport.written), inspector.violation


def expected(data):
    """What passes the inspection of ``data``, as a listener is told."""
    inspector = Inspector(POLICY, clock=lambda: 0.0)
    events = inspector.receive_data(data)
    while inspector.has_more:
        events += inspector.receive_data(b"")
    told = []
    for kind, *rest in map(plain, events):
        if kind == "message":
            told.append((kind, rest[1].encode() if isinstance(rest[1], str) else rest[1]))
        else:
            told.append((kind, *rest))
    return told, inspector.violation


@given(st.one_of(streams(PEER).map(lambda stream: stream.data), broken(PEER)), st.data())
def test_a_listener_is_told_what_passed_and_nothing_else(stream, data):
    chunks = data.draw(chunkings(stream))
    told, written, violation = asyncio.run(play(chunks))
    passed, broke = expected(stream)
    assert told == [*passed, "disconnected"]
    assert violation == broke
    # What left is a stream that a strict client takes to its end: the echoes in order, a Close the last thing.
    client = Inspector(Policy(), role="client")
    events = [plain(event) for event in client.receive_data(written)]
    assert client.violation is None
    echoes = [event[2].encode() if isinstance(event[2], str) else event[2] for event in events if event[0] == "message"]
    assert echoes == [event[1] for event in passed if event[0] == "message"]
    closes = [event for event in events if event[0] == "close"]
    assert len(closes) == (broke is not None or any(event[0] == "close" for event in passed))
    if broke is not None:
        assert closes == [("close", broke.close_code, broke.rule)]
