"""What we rely on in picows. An upgrade that changes one of these fails here, by name."""

import asyncio
import importlib.metadata
import inspect
import logging

import picows
import pytest
from picows.picows import WSProtocol

from framewarden.codec import encode_frame
from framewarden.codec.handshake import canonical_head, switching_response
from framewarden.transports import listening, picows_carrier
from framewarden.transports import picows as dropin

KEY = "dGhlIHNhbXBsZSBub25jZQ=="


class Socket:
    """What picows asks of the transport's socket."""

    def fileno(self):
        return -1

    def setsockopt(self, *arguments):
        pass

    def getsockopt(self, *arguments):
        return 0


class Transport(asyncio.Transport):
    """Remembers what was written."""

    def __init__(self):
        super().__init__({"socket": Socket()})
        self.written = []
        self.protocol = None
        self.closed = False

    def write(self, data):
        self.written.append(bytes(data))

    def get_write_buffer_size(self):
        return 1

    def set_protocol(self, protocol):
        self.protocol = protocol

    def close(self):
        self.closed = True


class Connection:
    """Remembers what the carrier told it."""

    def __init__(self):
        self.calls = []

    def get_buffer(self, sizehint):
        return BUFFER

    def buffer_updated(self, size):
        self.calls.append(bytes(BUFFER[:size]))

    def connection_lost(self, error):
        self.calls.append("lost")

    def eof_received(self):
        return False

    def pause_writing(self):
        self.calls.append("pause")

    def resume_writing(self):
        self.calls.append("resume")


BUFFER = bytearray(64 * 1024)


def upgraded(headers=()):
    """A carrier after its handshake, with its transport and its connection."""

    async def run():
        transport, connection = Transport(), Connection()
        carrier = picows_carrier.PicowsCarrier(connection, headers)
        carrier.upgrade(transport, KEY)
        return carrier, transport, connection

    return asyncio.run(run())


def test_the_minor_version_is_the_one_that_was_read():
    assert importlib.metadata.version("picows").startswith("2.3.")


def test_wsprotocol_can_be_subclassed_in_python_and_is_a_buffered_protocol():
    assert issubclass(picows_carrier.PicowsCarrier, WSProtocol)
    assert issubclass(WSProtocol, asyncio.BufferedProtocol)
    assert upgraded()[0].is_buffered_protocol()


@pytest.mark.parametrize(
    "name",
    [
        "connection_made",
        "connection_lost",
        "eof_received",
        "get_buffer",
        "buffer_updated",
        "pause_writing",
        "resume_writing",
        "is_buffered_protocol",
    ],
)
def test_wsprotocol_has(name):
    assert callable(getattr(WSProtocol, name))


def test_the_names_that_we_import():
    for name in ("WSAutoPingStrategy", "WSListener", "WSUpgradeResponse", "WSUpgradeResponseWithListener"):
        assert name in picows.__all__
    assert "extra_headers" in inspect.signature(picows.WSUpgradeResponse.create_101_response).parameters


def test_the_101_is_ours_in_everything_but_the_order():
    _, transport, _ = upgraded((("Sec-WebSocket-Protocol", "chat"), ("Sec-WebSocket-Extensions", "x; y=1")))
    written = b"".join(transport.written)
    ours = switching_response(KEY, "chat", "x; y=1")
    assert written.endswith(b"\r\n\r\n")
    assert sorted(written.lower().split(b"\r\n")) == sorted(ours.lower().split(b"\r\n"))


def test_the_canonical_head_fits_the_smallest_read_buffer():
    assert len(canonical_head(KEY)) < picows_carrier.SMALLEST_READ_BUFFER - 256


def test_inbound_bytes_never_reach_picows():
    carrier, transport, connection = upgraded()
    before = len(transport.written)
    frame = b"\x89\x00"  # a Ping that picows would fail the connection for: it is not masked
    assert carrier.get_buffer(-1) is BUFFER
    carrier.get_buffer(-1)[: len(frame)] = frame
    carrier.buffer_updated(len(frame))
    assert connection.calls == [frame]
    assert len(transport.written) == before
    assert not transport.closed


def test_the_end_reaches_both():
    carrier, _, connection = upgraded()
    carrier.pause_writing()
    carrier.resume_writing()
    assert carrier.eof_received() is False
    carrier.connection_lost(None)
    assert connection.calls == ["pause", "resume", "lost"]
    assert carrier.transport.is_disconnected


def test_no_child_logger_and_no_line_a_connection(caplog):
    caplog.set_level(logging.DEBUG)
    before = set(logging.Logger.manager.loggerDict)
    carrier, _, _ = upgraded()
    carrier.connection_lost(None)
    assert set(logging.Logger.manager.loggerDict) == before
    assert not [record for record in caplog.records if "picows" in record.name]


def test_another_answer_than_101_is_an_error(monkeypatch):
    monkeypatch.setattr(picows_carrier, "canonical_head", lambda key: b"GET / HTTP/1.1\r\n\r\n")
    with pytest.raises(RuntimeError, match="101"):
        upgraded()


# What the drop-in relies on besides


class Told(picows.WSListener):
    """Remembers the frames that picows gave it."""

    def __init__(self):
        self.told = []

    def on_ws_frame(self, transport, frame):
        self.told.append((frame.msg_type.name, frame.get_payload_as_bytes()))


OPTIONS = {
    "logger": logging.LoggerAdapter(logging.getLogger("framewarden.picows"), {}),
    "disconnect_on_exception": True,
    "enable_auto_ping": False,
    "auto_ping_idle_timeout": 0,
    "auto_ping_reply_timeout": 0,
    "auto_ping_strategy": picows.WSAutoPingStrategy.PING_WHEN_IDLE,
    "max_frame_size": 1 << 20,
    "read_buffer_init_size": 2048,
}


class Written:
    """Remembers what picows wrote, one entry a call, and what the carrier told it."""

    blocked = False

    def __init__(self):
        self.calls = []
        self.frames = []

    def send_frame(self, data):
        self.frames.append(data)

    def disconnect(self):
        self.calls.append("disconnect")

    def connection_lost(self, error):
        self.calls.append("lost")

    def pause_writing(self):
        self.calls.append("pause")

    def resume_writing(self):
        self.calls.append("resume")


def shaken(factory=None, use=lambda carrier: None):
    """A ListenerCarrier after its handshake, what it wrote, its listener. ``use`` runs in its event loop."""
    listener = Told()
    connection = Written()

    async def run():
        carrier = listening.ListenerCarrier(
            connection, factory or (lambda request: listener), OPTIONS, deliver_pings=False
        )
        transport = Transport()
        carrier.shake_hands(listening.Outlet(transport, connection), canonical_head(KEY))
        use(carrier)
        assert transport.written == []  # nothing goes past us
        return carrier

    return asyncio.run(run()), connection, listener


def test_picows_writes_the_response_in_one_call():
    _, connection, _ = shaken()
    assert len(connection.frames) == 1
    assert connection.frames[0].startswith(b"HTTP/1.1 101 ")
    assert connection.frames[0].endswith(b"\r\n\r\n")


def test_picows_writes_each_frame_in_one_call_and_to_the_transport_that_we_give_it():
    sends = [b"", b"x", b"y" * 126, b"z" * 8192, b"w" * 8193, b"v" * 70_000]

    def use(carrier):
        for data in sends:
            carrier.transport.send(picows.WSMsgType.BINARY, data)
        carrier.transport.send_ping(b"p")
        carrier.transport.send_reuse_external_bytearray(picows.WSMsgType.TEXT, bytearray(14) + b"reused", 14)

    _, connection, _ = shaken(use=use)
    frames = connection.frames[1:]
    assert [frame[-len(data) :] if data else b"" for frame, data in zip(frames, sends, strict=False)] == sends
    assert [frame[0] for frame in frames] == [0x82] * 6 + [0x89, 0x81]
    assert frames[0] == b"\x82\x00"
    assert frames[4] == b"\x82\x7e\x20\x01" + b"w" * 8193
    assert frames[-1] == b"\x81\x06reused"


def test_picows_looks_for_what_waits_only_where_it_looked_at_first():
    outlet = listening.Outlet(Transport(), Written())

    async def run():
        carrier = listening.ListenerCarrier(Written(), lambda request: Told(), OPTIONS, deliver_pings=False)
        carrier.shake_hands(outlet, canonical_head(KEY))
        assert carrier.transport.underlying_transport is outlet

    asyncio.run(run())
    assert outlet.get_write_buffer_size() == Transport().get_write_buffer_size()
    assert "get_write_buffer_size" not in outlet.__dict__


@pytest.mark.parametrize("size", [0, 1, 125, 126, 2048, 65_535, 65_536, 1 << 20])
def test_picows_reads_our_frames_unchanged_whatever_their_size(size):
    payload = bytes(range(256)) * (size // 256) + bytes(size % 256)
    frame = encode_frame(2, payload, key=listening.ZERO_KEY)
    _, _, listener = shaken(use=lambda carrier: carrier.feed(b"".join([frame, frame])))
    assert listener.told == [("BINARY", payload)] * 2


def test_picows_takes_no_bytes_for_news():
    carrier, _, listener = shaken(use=lambda carrier: WSProtocol.buffer_updated(carrier, 0))
    assert listener.told == []
    assert not carrier.transport.is_disconnected


def test_picows_gives_a_ping_to_the_listener_when_its_auto_pong_is_off():
    ping = encode_frame(9, b"?", key=listening.ZERO_KEY)
    _, connection, listener = shaken(use=lambda carrier: carrier.feed(ping))
    assert listener.told == [("PING", b"?")]
    assert len(connection.frames) == 1


@pytest.mark.parametrize(("code", "reason"), [(1000, "bye"), (4422, "schema-mismatch"), (0, "")])
def test_picows_says_any_close_code_once_and_nothing_behind_it(code, reason):
    def use(carrier):
        carrier.closing((code, reason))
        carrier.closing((code, reason))
        carrier.transport.send(picows.WSMsgType.TEXT, "too late")

    carrier, connection, _ = shaken(use=use)
    assert connection.frames[1:] == [bytes([0x88, 2 + len(reason)]) + code.to_bytes(2, "big") + reason.encode()]
    assert carrier.transport.is_close_frame_sent
    assert carrier.transport.close_handshake.sent.code == code
    assert carrier.transport.close_handshake.sent.reason == reason


def test_picows_says_code_0_for_no_code():
    _, connection, _ = shaken(use=lambda carrier: carrier.transport.send_close())
    assert picows.WSCloseCode.NO_INFO == listening.NO_INFO
    assert connection.frames[1:] == [b"\x88\x02\x00\x00"]


def test_picows_asks_the_factory_once_with_a_request_that_can_be_filled():
    seen = []

    def factory(request):
        seen.append(request)
        assert isinstance(request, picows.WSUpgradeRequest)
        assert (request.headers["Upgrade"], request.headers["connection"]) == ("websocket", "Upgrade")
        kept = {name: request.headers[name] for name in ("Upgrade", "Connection", "Sec-WebSocket-Key")}
        request.path = b"/filled"
        request.headers.clear()
        request.headers.add("a", "1")
        request.headers.add("A", "2")
        request.headers.extend(kept)
        request.headers.add("Sec-WebSocket-Version", "13")
        return Told()

    carrier, _, _ = shaken(factory)
    assert len(seen) == 1
    assert carrier.transport.request is seen[0]
    assert carrier.transport.request.path == b"/filled"
    assert carrier.transport.request.headers.getall("a") == ["1", "2"]


def test_picows_writes_and_keeps_a_response_that_is_no_101_and_disconnects():
    response = picows.WSUpgradeResponse.create_error_response(403, b"no")
    carrier, connection, _ = shaken(lambda request: picows.WSUpgradeResponseWithListener(response, None))
    assert carrier.transport.response is response
    assert [frame.partition(b"\r\n")[0] for frame in connection.frames] == [b"HTTP/1.1 403 Forbidden"]
    assert connection.calls == ["disconnect"]


def test_the_listener_hears_of_the_end():
    class Gone(Told):
        def on_ws_disconnected(self, transport):
            self.told.append("gone")

        def pause_writing(self):
            self.told.append("pause")

        def resume_writing(self):
            self.told.append("resume")

    listener = Gone()

    def use(carrier):
        carrier.pause_writing()
        carrier.resume_writing()
        carrier.connection_lost(None)

    _, connection, _ = shaken(lambda request: listener, use)
    assert listener.told == ["pause", "resume", "gone"]
    assert connection.calls == ["pause", "resume", "lost"]


def test_every_argument_of_ws_create_server_is_taken_or_refused_by_name():
    theirs = inspect.signature(picows.ws_create_server).parameters
    mine = inspect.signature(dropin.create_server).parameters
    for name, parameter in theirs.items():
        if parameter.kind is parameter.VAR_KEYWORD:
            continue
        if name == "ws_listener_factory":
            assert next(iter(mine)) == "listener_factory"
        elif name in dropin.NOT_TAKEN:
            assert name not in mine
        else:
            assert mine[name].default == parameter.default, name
            assert mine[name].kind == parameter.kind, name


def test_every_argument_of_create_server_of_the_loop_is_taken_or_refused_by_name():
    theirs = inspect.signature(asyncio.BaseEventLoop.create_server).parameters
    mine = inspect.signature(dropin.create_server).parameters
    for name in theirs:
        assert name in mine or name in dropin.NOT_TAKEN or name in ("self", "protocol_factory"), name
