"""The same listener behind stock picows and behind our drop-in, over real sockets."""

import asyncio
import contextlib
import logging
import struct

import pytest
import websockets
from picows import WSCloseCode, WSMsgType, WSUpgradeResponse, WSUpgradeResponseWithListener

from framewarden.policy import Limits
from tests.e2e.harness import KEY, close, connected, frame, head, rules, run, text, until, upgraded
from tests.e2e.listeners import Recorder, both, members, ours, stock, to_the_end, url

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
    options = {"enable_auto_ping": True, "auto_ping_idle_timeout": 0.2, "auto_ping_reply_timeout": 0.2}
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
