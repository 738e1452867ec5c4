"""The drop-in for users of picows: what a listener never sees, and what no peer gets of it."""

import logging
import ssl

import pytest
import trustme
import websockets
from picows import WSMsgType

from framewarden.policy import Limits
from tests.e2e.harness import close, frame, rules, run, text, until, upgraded
from tests.e2e.listeners import Recorder, members, ours, to_the_end, url


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
