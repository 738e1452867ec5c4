"""The drop-in for users of picows: the same listener behind stock picows and behind ours, over real sockets."""

import asyncio
import contextlib
import logging
import re
import signal
import ssl
import struct
import sys
from pathlib import Path

import picows
import pytest
import trustme
import websockets
from picows import WSCloseCode, WSListener, WSMsgType, WSUpgradeResponse, WSUpgradeResponseWithListener

from framewarden.policy import Access, Limits, Policy
from framewarden.transports.picows import NOT_TAKEN, create_server
from tests.e2e.harness import KEY, close, connected, frame, head, rules, run, text, until, upgraded

ROOT = Path(__file__).parents[2]


class Recorder(WSListener):
    """Remembers what picows told it, and echoes as the manual of picows does."""

    def __init__(self):
        self.told = []
        self.transport = None

    def on_ws_connected(self, transport):
        self.transport = transport
        self.told.append("connected")

    def on_ws_frame(self, transport, frame):
        self.told.append((frame.msg_type.name, frame.get_payload_as_bytes(), frame.fin, frame.rsv1))
        if frame.msg_type == WSMsgType.CLOSE:
            transport.send_close(frame.get_close_code(), frame.get_close_message())
            transport.disconnect()
        elif frame.msg_type in (WSMsgType.TEXT, WSMsgType.BINARY):
            transport.send(frame.msg_type, frame.get_payload_as_memoryview())

    def on_ws_disconnected(self, transport):
        self.told.append("disconnected")


class Stock:
    """picows' own server, with what the raw client of these tests asks of a server."""

    def __init__(self, server):
        self.address = server.sockets[0].getsockname()[:2]


@contextlib.asynccontextmanager
async def stock(factory, **options):
    server = await picows.ws_create_server(factory, "127.0.0.1", 0, **options)
    async with server:
        yield Stock(server)


@contextlib.asynccontextmanager
async def ours(factory, *, limits=None, access=None, **options):
    """Our server; its security events are in ``events``."""
    events = []
    policy = Policy(limits=limits or Limits(), access=access or Access(), on_event=events.append)
    async with await create_server(factory, "127.0.0.1", policy=policy, **options) as server:
        server.address = server.sockets[0].getsockname()[:2]
        server.events = events
        yield server


def url(server):
    return "ws://{}:{}".format(*server.address)


async def to_the_end(client):
    """What comes until the server closes; then the client does, too, so that the server need not wait for it."""
    data = await client.read_eof()
    client.writer.close()
    return data


def members(server):
    return server._server.context.members


both = pytest.mark.parametrize("serve", [stock, ours])


# The same listener on both: it is told the same, and its client sees the same


async def good_client(server):
    """What a well-behaved client sends, and gets back."""
    got = []
    async with websockets.connect(f"{url(server)}/room?a=b", compression=None, max_size=None) as client:
        for message in ("one", "", "grüße 🎉", b"", b"binary", "x" * 125, "y" * 126, b"z" * 65_536, b"w" * 500_000):
            await client.send(message)
            got.append(await client.recv())
        await (await client.ping(b"?"))
        await client.pong(b"unasked")
        await client.send("behind the Pong")
        got.append(await client.recv())
        await client.close(1001, "going home")
    return got, client.close_code


@run
async def test_a_good_client_makes_no_difference():
    seen = []
    for serve in (stock, ours):
        listener = Recorder()
        async with serve(lambda request, listener=listener: listener) as server:
            seen.append(await good_client(server))
            await until(lambda listener=listener: listener.told[-1] == "disconnected")
        seen.append(listener.told)
        recorded = listener.transport.close_handshake
        seen.append((recorded.recv.code, recorded.recv.reason, recorded.sent.code, recorded.recv_then_sent))
        seen.append((listener.transport.is_secure, listener.transport.request.path))
        assert listener.transport.is_disconnected
    half = len(seen) // 2
    assert seen[:half] == seen[half:]
    assert len(seen[1]) == 14
    assert seen[1][-3] == ("TEXT", b"behind the Pong", 1, 0)


@both
@run
async def test_many_messages_in_one_read(serve):
    listener = Recorder()
    async with serve(lambda request: listener) as server, upgraded(server) as client:
        client.send(*(text(str(number)) for number in range(3000)))
        for number in range(3000):
            assert await client.read_text() == str(number)
        assert [told[1] for told in listener.told[1:]] == [str(number).encode() for number in range(3000)]


@both
@run
async def test_the_listener_closes(serve):
    class Bye(Recorder):
        def on_ws_connected(self, transport):
            super().on_ws_connected(transport)
            transport.send(WSMsgType.TEXT, "first")
            transport.send_close(WSCloseCode.GOING_AWAY, "bye")
            transport.send(WSMsgType.TEXT, "too late")

    listener = Bye()
    async with serve(lambda request: listener) as server, upgraded(server) as client:
        assert await client.read_text() == "first"
        assert await client.read_close() == (1001, "bye")
        client.send(text("on the way"), close(1001))
        assert await to_the_end(client) == b""
        await until(lambda: listener.told[-1] == "disconnected")
        assert [told[0] for told in listener.told[1:3]] == ["TEXT", "CLOSE"]


@both
@run
async def test_the_listener_disconnects(serve):
    class Leave(Recorder):
        def on_ws_frame(self, transport, frame):
            transport.send(WSMsgType.BINARY, b"z" * 300_000)
            transport.disconnect()

    listener = Leave()
    async with serve(lambda request: listener) as server, upgraded(server) as client:
        client.send(text("x"))
        assert await client.read_frame() == (0x82, b"z" * 300_000)
        assert await to_the_end(client) == b""
        await until(lambda: listener.told == ["connected", "disconnected"])


@both
@run
async def test_disconnecting_at_once(serve):
    class Cut(Recorder):
        def on_ws_frame(self, transport, frame):
            transport.disconnect(False)

    listener = Cut()
    async with serve(lambda request: listener) as server, upgraded(server) as client:
        client.send(text("x"))
        assert await to_the_end(client) == b""
        await until(lambda: listener.told == ["connected", "disconnected"])


@both
@pytest.mark.parametrize("on", [True, False])
@run
async def test_an_exception_of_the_listener(serve, on, caplog):
    class Broken(Recorder):
        def on_ws_frame(self, transport, frame):
            if frame.get_payload_as_bytes() == b"bad":
                raise ZeroDivisionError
            super().on_ws_frame(transport, frame)

    caplog.set_level(logging.CRITICAL, "picows.quiet")
    listener = Broken()
    async with (
        serve(lambda request: listener, disconnect_on_exception=on, logger_name="quiet") as server,
        upgraded(server) as client,
    ):
        client.send(text("bad"))
        if on:
            first, payload = await client.read_frame()
            assert (first, payload[:2]) == (0x88, struct.pack("!H", 1011))
            assert await to_the_end(client) == b""
            await until(lambda: listener.told == ["connected", "disconnected"])
        else:
            client.send(text("good"))
            assert await client.read_text() == "good"


@both
@run
async def test_auto_ping(serve):
    class Counting(Recorder):
        pinged = 0

        def send_user_specific_ping(self, transport):
            self.pinged += 1
            transport.send_ping(b"own %d" % self.pinged)

    listener = Counting()
    options = {"enable_auto_ping": True, "auto_ping_idle_timeout": 0.1, "auto_ping_reply_timeout": 0.1}
    async with serve(lambda request: listener, **options) as server, upgraded(server) as client:
        for number in (1, 2):
            assert await client.read_frame() == (0x89, b"own %d" % number)
            client.send(frame(0xA, b"own %d" % number))
        assert listener.told == ["connected"]  # picows keeps the Pong that it waits for to itself
        # Nobody answers the third one.
        assert await client.read_frame() == (0x89, b"own 3")
        first, payload = await client.read_frame()
        assert (first, payload[:2]) == (0x88, struct.pack("!H", 1001))
        with contextlib.suppress(ConnectionResetError):
            await to_the_end(client)
        await until(lambda: listener.told[-1] == "disconnected")


@both
@run
async def test_data_puts_off_the_auto_ping(serve):
    listener = Recorder()
    options = {"enable_auto_ping": True, "auto_ping_idle_timeout": 0.4, "auto_ping_reply_timeout": 0.4}
    async with serve(lambda request: listener, **options) as server, upgraded(server) as client:
        whole = text("slowly")
        for byte in whole:  # half a frame is news as well
            client.send(bytes([byte]))
            await asyncio.sleep(0.1)
        assert await client.read_text() == "slowly"


@both
@run
async def test_the_round_trip_time(serve):
    listener = Recorder()
    async with serve(lambda request: listener) as server, websockets.connect(url(server), compression=None):
        await until(lambda: listener.transport)
        times = await asyncio.wait_for(listener.transport.measure_roundtrip_time(3), 5)
        assert len(times) == 3
        assert all(0 < seconds < 5 for seconds in times)


@both
@run
async def test_a_peer_that_does_not_read(serve):
    class Paused(Recorder):
        def pause_writing(self):
            self.told.append("pause")

        def resume_writing(self):
            self.told.append("resume")

    listener = Paused()
    options = {"limits": Limits(max_backpressure_bytes=1 << 24)} if serve is ours else {}
    async with serve(lambda request: listener, **options) as server, upgraded(server) as client:
        await until(lambda: listener.transport)
        for number in range(100):
            listener.transport.send(WSMsgType.BINARY, bytes([number]) * 100_000)
        await until(lambda: "pause" in listener.told)
        for number in range(100):
            assert await client.read_frame() == (0x82, bytes([number]) * 100_000)
        await until(lambda: listener.told[-1] == "resume")
        assert listener.told[:3] == ["connected", "pause", "resume"]


@both
@run
async def test_what_the_factory_sees(serve):
    seen = []

    def factory(request):
        seen.append((request.method, request.path, request.version, request.headers.getall("x-twice")))
        seen.append((request.headers["Sec-WebSocket-Key"], request.headers["USER-AGENT"], request.headers["Upgrade"]))
        seen.append((request.headers["x-high"], request.headers["Connection"].lower()))
        return Recorder()

    headers = ("X-Twice: 1", "X-Twice: 2", "User-Agent: me", "X-High: \xe9")
    async with serve(factory) as server, upgraded(server, *headers, path="/a%20b?c=d&e"):
        assert seen[0] == (b"GET", b"/a%20b?c=d&e", b"HTTP/1.1", ["1", "2"])
        assert seen[1] == (KEY, "me", "websocket")
        assert seen[2] == ("\udce9", "upgrade")


@both
@run
async def test_the_factorys_own_response(serve):
    def factory(request):
        if request.path == b"/chat":
            response = WSUpgradeResponse.create_101_response({"Sec-WebSocket-Protocol": "v2", "X-Own": "yes"})
            return WSUpgradeResponseWithListener(response, Recorder())
        if request.path == b"/health":
            return WSUpgradeResponseWithListener(WSUpgradeResponse.create_ok_response(b"fine"), None)
        if request.path == b"/moved":
            return WSUpgradeResponseWithListener(WSUpgradeResponse.create_redirect_response(302, "/chat"), None)
        if request.path == b"/secret":
            response = WSUpgradeResponse.create_error_response(401, b"who?", {"WWW-Authenticate": "Bearer"})
            return WSUpgradeResponseWithListener(response, None)
        return None

    offered = "Sec-WebSocket-Protocol: v1, v2"
    async with serve(factory) as server:
        async with upgraded(server, offered, path="/chat") as client:
            assert (client.headers["sec-websocket-protocol"], client.headers["x-own"]) == ("v2", "yes")
            client.send(text("x"))
            assert await client.read_text() == "x"
        for path, status, header, value in (
            ("/health", 200, "content-length", "4"),
            ("/moved", 302, "location", "/chat"),
            ("/secret", 401, "www-authenticate", "Bearer"),
            ("/other", 404, "connection", "close"),
        ):
            async with connected(server) as client:
                client.send(head(server, path=path))
                assert await client.read_head() == status
                assert client.headers["connection"] == "close"
                assert client.headers[header] == value
                body = await to_the_end(client)
                assert body == {200: b"fine", 401: b"who?"}.get(status, body)
        if serve is ours:
            assert rules(server) == ["unauthenticated", "not-found"]
            await until(lambda: not members(server))


# What only ours does


def broken_frames():
    masked = frame(1, b"x")
    yield "unmasked-frame", 1002, frame(1, b"x", masked=False)
    yield "reserved-bits", 1002, frame(1, b"x", rsv=4)
    yield "reserved-opcode", 1002, frame(3)
    yield "length-not-minimal", 1002, masked[:1] + b"\xfe\x00\x01" + masked[2:]
    yield "unexpected-continuation", 1002, frame(0, b"x")
    yield "interleaved-message", 1002, frame(1, b"x", fin=False) + frame(1, b"y")
    yield "fragmented-control", 1002, frame(9, b"x", fin=False)
    yield "oversized-control", 1002, frame(9, b"x" * 126)
    yield "invalid-utf8", 1007, frame(1, b"\xff")
    yield "invalid-utf8", 1007, frame(1, b"\xed", fin=False) + frame(0, b"\xa0\x80")
    yield "close-code", 1002, frame(8, b"\x03\xe7")
    yield "close-length", 1002, frame(8, b"\x03")
    yield "frame-too-big", 1009, frame(2, bytes(1025))
    yield "message-too-big", 1009, frame(2, bytes(1024), fin=False) + frame(0, bytes(1024))
    yield "empty-fragments", None, frame(2, fin=False) + frame(0, fin=False) * 1000


@pytest.mark.parametrize(("rule", "code", "data"), [*broken_frames()])
@run
async def test_a_listener_never_sees_what_broke_a_rule(rule, code, data):
    listener = Recorder()
    limits = Limits(max_frame_bytes=1024, max_message_bytes=1500)
    async with ours(lambda request: listener, limits=limits) as server, upgraded(server) as client:
        client.send(text("good"), data, text("never seen"))
        assert await client.read_text() == "good"
        said = await client.read_close()
        assert said[1] == server.events[0].rule
        assert await to_the_end(client) == b""
        await until(lambda: listener.told[-1] == "disconnected")
        assert listener.told == ["connected", ("TEXT", b"good", 1, 0), "disconnected"]
        assert (server.events[0].rule, server.events[0].action) == (rule, "fail")
        assert code is None or said[0] == code
        assert listener.transport.is_close_frame_sent
        assert listener.transport.close_handshake.sent.code == said[0]
        await until(lambda: not members(server))


@run
async def test_fragments_arrive_assembled_and_pings_are_answered_once():
    listener = Recorder()
    async with ours(lambda request: listener) as server, upgraded(server) as client:
        client.send(frame(1, b"frag", fin=False), frame(9, b"?"), frame(0, b"mented"))
        got = {await client.read_frame() for _ in range(2)}
        assert got == {(0x8A, b"?"), (0x81, b"fragmented")}
        client.send(text("next"))
        assert await client.read_text() == "next"
        assert [told[1] for told in listener.told[1:]] == [b"fragmented", b"next"]


@run
async def test_without_auto_pong_a_ping_is_told_and_still_answered_once():
    class Answering(Recorder):
        def on_ws_frame(self, transport, frame):
            super().on_ws_frame(transport, frame)
            if frame.msg_type == WSMsgType.PING:
                transport.send_pong(frame.get_payload_as_bytes())
                transport.send_pong(b"unasked")

    listener = Answering()
    async with ours(lambda request: listener, enable_auto_pong=False) as server, upgraded(server) as client:
        client.send(frame(9, b"?"))
        assert await client.read_frame() == (0x8A, b"?")
        client.send(text("x"))
        assert await client.read_text() == "x"
        assert listener.told[1][:2] == ("PING", b"?")


@run
async def test_the_policys_own_ping_stays_ours():
    listener = Recorder()
    async with ours(lambda request: listener, limits=Limits(ping_seconds=0.1)) as server, upgraded(server) as client:
        first, payload = await client.read_frame()
        assert first == 0x89
        client.send(frame(0xA, payload), text("x"))
        assert await client.read_text() == "x"
        assert listener.told[1:] == [("TEXT", b"x", 1, 0)]


@run
async def test_an_idle_peer_is_closed():
    listener = Recorder()
    async with ours(lambda request: listener, limits=Limits(idle_seconds=0.2)) as server, upgraded(server) as client:
        assert await client.read_close() == (4408, "idle-timeout")
        assert await to_the_end(client) == b""
        await until(lambda: listener.told == ["connected", "disconnected"])
        assert listener.transport.close_handshake.sent.reason == "idle-timeout"


@run
async def test_what_waits_for_a_peer_that_does_not_read_is_bounded():
    class Quiet(Recorder):
        def pause_writing(self):
            self.told.append("pause")

    listener = Quiet()
    async with ours(lambda request: listener, limits=Limits(close_seconds=0.5)) as server, upgraded(server):
        await until(lambda: listener.transport)
        for _ in range(1000):
            listener.transport.send(WSMsgType.BINARY, bytes(100_000))
        assert listener.transport.underlying_transport.get_write_buffer_size() < 3 * 1024 * 1024
        await until(lambda: listener.told[-1] == "disconnected")
        assert rules(server) == ["slow-consumer"]
        assert listener.transport.close_handshake.sent.reason == "slow-consumer"


@run
async def test_what_waits_leaves_before_the_listener_disconnects():
    class Leave(Recorder):
        def on_ws_connected(self, transport):
            for number in range(20):
                transport.send(WSMsgType.BINARY, bytes([number]) * 100_000)
            transport.disconnect()
            transport.send(WSMsgType.TEXT, "too late")

        def pause_writing(self):
            pass

        resume_writing = pause_writing

    limits = Limits(max_backpressure_bytes=1 << 24)
    async with ours(lambda request: Leave(), limits=limits) as server, upgraded(server) as client:
        for number in range(20):
            assert await client.read_frame() == (0x82, bytes([number]) * 100_000)


@run
async def test_a_message_that_is_sent_in_fragments_leaves_in_one_frame():
    class Slicing(Recorder):
        def on_ws_frame(self, transport, frame):
            data = frame.get_payload_as_bytes()
            transport.send(WSMsgType.TEXT, data[:1], fin=False)
            transport.send_ping(b"between")
            transport.send(WSMsgType.CONTINUATION, data[1:2], fin=False)
            transport.send(WSMsgType.CONTINUATION, data[2:])

    async with ours(lambda request: Slicing()) as server, upgraded(server) as client:
        client.send(text("grüße"), text("é"))
        assert await client.read_frame() == (0x89, b"between")
        assert await client.read_text() == "grüße"
        assert await client.read_frame() == (0x89, b"between")
        assert await client.read_text() == "é"


@pytest.mark.parametrize("how", [{"rsv1": True}, {"rsv3": True}, {}])
@run
async def test_what_no_peer_may_get_is_an_error_of_the_listener(how, caplog):
    caplog.set_level(logging.CRITICAL, "picows.quiet")

    class Wrong(Recorder):
        def on_ws_frame(self, transport, frame):
            transport.send(WSMsgType.TEXT, b"\xff", **how)

    async with ours(lambda request: Wrong(), logger_name="quiet") as server, upgraded(server) as client:
        client.send(text("x"))
        assert (await client.read_close())[0] == 1011


@run
async def test_no_code_is_an_empty_close_and_not_code_0():
    class Bye(Recorder):
        def on_ws_frame(self, transport, frame):
            transport.send_close()

    async with ours(lambda request: Bye()) as server, upgraded(server) as client:
        client.send(text("x"))
        assert await client.read_frame() == (0x88, b"")


@run
async def test_a_close_that_must_not_be_sent_is_an_error_of_the_listener(caplog):
    caplog.set_level(logging.CRITICAL, "picows.quiet")

    class Bye(Recorder):
        def on_ws_frame(self, transport, frame):
            transport.send_close(1006, "abnormal")

    async with ours(lambda request: Bye(), logger_name="quiet") as server, upgraded(server) as client:
        client.send(text("x"))
        assert (await client.read_close())[0] == 1011


@run
async def test_a_reason_that_is_too_long_is_an_error_of_the_listener(caplog):
    caplog.set_level(logging.CRITICAL, "picows.quiet")

    class Bye(Recorder):
        def on_ws_frame(self, transport, frame):
            transport.send_close(1000, "r" * 124)

    async with ours(lambda request: Bye(), logger_name="quiet") as server, upgraded(server) as client:
        client.send(text("x"))
        assert (await client.read_close())[0] == 1011


@run
async def test_a_listener_that_does_not_answer_a_close_has_it_answered():
    class Deaf(Recorder):
        def on_ws_frame(self, transport, frame):
            self.told.append(frame.msg_type.name)
            transport.send(WSMsgType.TEXT, "before the Close")

    listener = Deaf()
    async with ours(lambda request: listener) as server, upgraded(server) as client:
        client.send(close(3000, "bye"))
        assert await client.read_text() == "before the Close"
        assert await client.read_close() == (3000, "")
        assert await to_the_end(client) == b""
        await until(lambda: listener.told == ["connected", "CLOSE", "disconnected"])


@run
async def test_the_close_frame_arrives_behind_unread_input():
    listener = Recorder()
    async with ours(lambda request: listener) as server, upgraded(server) as client:
        client.send(frame(3), bytes(500_000))
        assert await client.read_close() == (1002, "reserved-opcode")
        assert await to_the_end(client) == b""


@run
async def test_tls():
    authority = trustme.CA()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    trusting = ssl.create_default_context()
    authority.configure_trust(trusting)
    listener = Recorder()
    async with ours(lambda request: listener, ssl=context) as server:
        async with websockets.connect(url(server).replace("ws:", "wss:"), ssl=trusting) as client:
            for message in ("one", b"z" * 200_000):
                await client.send(message)
                assert await client.recv() == message
        await until(lambda: listener.told[-1] == "disconnected")
        assert listener.transport.is_secure
        async with upgraded(server, ssl=trusting) as client:
            client.send(frame(1, b"x", masked=False))
            assert await client.read_close() == (1002, "unmasked-frame")
            assert await to_the_end(client) == b""


# The handshake


@run
async def test_the_handshake_is_ours():
    async with ours(lambda request: Recorder()) as server:
        for extra, leave_out, status in (
            ((), ("Host",), 400),
            (("Origin: https://evil.example",), (), 403),
            ((f"Sec-WebSocket-Key: {KEY}",), (), 400),
            (("Content-Length: 0",), (), 400),
        ):
            async with connected(server) as client:
                client.send(head(server, *extra, leave_out=leave_out))
                assert await client.read_head() == status
        async with upgraded(server, "Connection: keep-alive, Upgrade", leave_out=("Connection",)) as client:
            client.send(text("as Firefox says it"))
            assert await client.read_text() == "as Firefox says it"
        long = [f"X-{number}: {'v' * 100}" for number in range(80)]
        async with upgraded(server, *long) as client:  # more than picows' smallest buffer
            client.send(text("x"))
            assert await client.read_text() == "x"


@run
async def test_the_policys_subprotocol():
    access = Access(subprotocols=("v2", "v1"))
    async with ours(lambda request: Recorder(), access=access) as server:
        async with upgraded(server, "Sec-WebSocket-Protocol: v1, v2") as client:
            assert client.headers["sec-websocket-protocol"] == "v2"
        async with upgraded(server, "Sec-WebSocket-Protocol: v3") as client:
            assert "sec-websocket-protocol" not in client.headers


def _raise(request):
    raise LookupError(request.path)


def _respond(**headers):
    response = WSUpgradeResponse.create_101_response({name.replace("_", "-"): value for name, value in headers.items()})
    return WSUpgradeResponseWithListener(response, Recorder())


def _with_a_body(request):
    wrong = _respond()
    wrong.response.body = b"frames?"
    return wrong


@pytest.mark.parametrize(
    ("factory", "logged"),
    [
        (_raise, "LookupError"),
        (lambda request: "no listener", "str, which is no WSListener"),
        (lambda request: _respond(Sec_WebSocket_Protocol="v9"), "subprotocol"),
        (lambda request: _respond(Sec_WebSocket_Extensions="permessage-deflate"), "extension"),
        (lambda request: _respond(X_Split="a\r\nSet-Cookie: b"), "line ends"),
        (_with_a_body, "no body"),
    ],
)
@run
async def test_a_factory_that_fails_is_a_500_without_a_word(factory, logged, caplog):
    async with ours(factory) as server, connected(server) as client:
        client.send(head(server, "Sec-WebSocket-Protocol: v1", path="/secret"))
        assert await client.read_head() == 500
        assert await to_the_end(client) == b"500 Internal Server Error\n"
        assert rules(server) == ["handler-error"]
        assert logged in caplog.text
        assert "secret" not in caplog.text
        await until(lambda: not members(server))


@run
async def test_authenticate():
    from framewarden.identity import Identity

    def authenticate(request):
        return Identity(subject="me") if request.header("authorization") == "Bearer good" else None

    async with ours(lambda request: Recorder(), authenticate=authenticate) as server:
        async with connected(server) as client:
            client.send(head(server))
            assert await client.read_head() == 401
        async with upgraded(server, "Authorization: Bearer good") as client:
            client.send(frame(3))
            await client.read_close()
        assert [(event.rule, event.subject) for event in server.events] == [
            ("unauthenticated", ""),
            ("reserved-opcode", "me"),
        ]


# The server object


@run
async def test_the_server_is_one_of_asyncio():
    listener = Recorder()
    policy = Policy(limits=Limits(close_seconds=0.5))
    server = await create_server(lambda request: listener, "127.0.0.1", 0, policy=policy)
    assert isinstance(server, asyncio.AbstractServer)
    assert server.is_serving()
    assert server.get_loop() is asyncio.get_running_loop()
    server.address = server.sockets[0].getsockname()[:2]
    async with upgraded(server) as client:
        server.close()
        assert not server.is_serving()
        assert server.sockets == ()
        client.send(text("still here"))
        assert await client.read_text() == "still here"
        waiting = asyncio.ensure_future(server.wait_closed())
        server.close_clients()
        assert await client.read_close() == (1001, "")
        assert not waiting.done()
        client.send(close(1001))
        await asyncio.wait_for(waiting, 5)
    with pytest.raises(RuntimeError):
        await server.serve_forever()


@run
async def test_cancelling_serve_forever_closes_the_connections():
    server = await create_server(lambda request: Recorder(), "localhost")
    server.address = server.sockets[0].getsockname()[:2]
    serving = asyncio.ensure_future(server.serve_forever())
    async with upgraded(server) as client:
        serving.cancel()
        assert await client.read_close() == (1001, "")
        client.send(close(1001))
        with pytest.raises(asyncio.CancelledError):
            await serving
    assert not members(server)


@run
async def test_aborting():
    listener = Recorder()
    async with ours(lambda request: listener) as server, upgraded(server) as client:
        await until(lambda: listener.transport)
        server.abort_clients()
        assert await to_the_end(client) == b""
        await until(lambda: listener.told == ["connected", "disconnected"])


# The documents


@pytest.mark.skipif(not (ROOT / "examples").is_dir(), reason="the examples are not in the wheel")
@run
async def test_the_example_serves():
    process = await asyncio.create_subprocess_exec(
        sys.executable, "examples/picows_dropin.py", "0", cwd=ROOT, stderr=asyncio.subprocess.PIPE
    )
    try:
        line = (await asyncio.wait_for(process.stderr.readline(), 10)).decode()
        where = line.removeprefix("listening on ").strip()
        async with websockets.connect(where) as client:
            await client.send("hello")
            assert await client.recv() == "hello"
        with pytest.raises(websockets.InvalidStatus):
            await websockets.connect(where.replace("/echo", "/other"))
        process.send_signal(signal.SIGINT)
        assert await asyncio.wait_for(process.wait(), 10) == 0
    finally:
        if process.returncode is None:
            process.kill()


@pytest.mark.skipif(not (ROOT / "docs" / "picows.md").is_file(), reason="the documents are not in the wheel")
def test_every_argument_that_is_not_taken_is_documented():
    table = (ROOT / "docs" / "picows.md").read_text().partition("\n## Arguments\n")[2]
    assert set(NOT_TAKEN) == set(re.findall(r"`(\w+)`", "".join(re.findall(r"^\| (`.*?) \|", table, re.MULTILINE))))
