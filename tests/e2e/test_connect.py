"""Our own client: against our server, an independent one, and servers that do what none should."""

import asyncio
import base64
import contextlib
import hashlib
import importlib
import re
import ssl
import struct
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest
import trustme
import uvloop
import websockets

import framewarden
from framewarden import (
    Access,
    ArgumentError,
    ArgumentTypeError,
    ClosedError,
    Deflate,
    Handler,
    HandshakeError,
    Identity,
    Limits,
    Policy,
    Schema,
    State,
    connect,
)
from framewarden.transports.client import default_context
from tests.e2e.harness import MASK, PATIENCE, frame, run, serving, until

ROOT = Path(__file__).resolve().parents[2]
GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
QUICK = Limits(close_seconds=0.2)


def limits(**changed):
    return Policy(limits=Limits(**{"close_seconds": 0.2} | changed))


class Peer:
    """A server's end of one connection, by hand."""

    def __init__(self, reader, writer):
        self.reader = reader
        self.writer = writer
        self.head = ""

    async def accept(self, *extra, behind=b"", line="HTTP/1.1 101 Switching Protocols"):
        """Read the request and answer it with a 101 and what shall follow it."""
        self.head = (await self.reader.readuntil(b"\r\n\r\n")).decode()
        key = re.search(r"^Sec-WebSocket-Key: (.*)\r$", self.head, re.MULTILINE)[1]
        accept = base64.b64encode(hashlib.sha1(key.encode() + GUID).digest()).decode()
        lines = [line, "Upgrade: websocket", "Connection: Upgrade", f"Sec-WebSocket-Accept: {accept}", *extra, "", ""]
        self.send("\r\n".join(lines).encode() + behind)

    def send(self, data):
        self.writer.write(data)

    def send_text(self, *texts):
        self.send(b"".join(frame(1, text.encode(), masked=False) for text in texts))

    async def read_frame(self):
        """The next frame of the client: first byte, payload."""
        first, second = await self.reader.readexactly(2)
        assert second & 0x80, "a client masks"
        size = second & 0x7F
        if size == 126:
            (size,) = struct.unpack("!H", await self.reader.readexactly(2))
        elif size == 127:
            (size,) = struct.unpack("!Q", await self.reader.readexactly(8))
        key = await self.reader.readexactly(4)
        payload = await self.reader.readexactly(size)
        assert key != MASK
        return first, bytes(byte ^ key[index % 4] for index, byte in enumerate(payload))

    async def read_close(self):
        first, payload = await self.read_frame()
        assert first == 0x88, (hex(first), payload)
        return (struct.unpack("!H", payload[:2])[0], payload[2:].decode()) if payload else (None, "")

    def send_close(self, code, reason=""):
        self.send(frame(8, struct.pack("!H", code) + reason.encode(), masked=False))

    async def read_eof(self):
        return await self.reader.read()


@contextlib.asynccontextmanager
async def listening(talk, **options):
    """A server whose only connection is ``talk(peer)``; gives its URI. What ``talk`` raises, this raises."""
    finished = asyncio.get_running_loop().create_future()

    async def handle(reader, writer):
        try:
            finished.set_result(await asyncio.wait_for(talk(Peer(reader, writer)), PATIENCE))
        except (Exception, asyncio.CancelledError) as error:  # noqa: BLE001 - whatever it is, the test shall see it
            finished.set_exception(error)
        finally:
            writer.close()

    server = await asyncio.start_server(handle, "127.0.0.1", 0, **options)
    async with server:
        port = server.sockets[0].getsockname()[1]
        yield f"{'wss' if 'ssl' in options else 'ws'}://127.0.0.1:{port}/"
        await asyncio.wait_for(finished, PATIENCE)


@pytest.fixture(scope="module")
def tls():
    """Contexts of a server and of a client that trusts it, and the authority that makes it do so."""
    authority = trustme.CA()
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("localhost", "127.0.0.1").configure_cert(server)
    client = ssl.create_default_context()
    authority.configure_trust(client)
    return server, client, authority


# Messages


@pytest.mark.parametrize("new_loop", [asyncio.new_event_loop, uvloop.new_event_loop])
@pytest.mark.parametrize("secure", [False, True])
def test_echo(tls, new_loop, secure):
    async def talk():
        async with serving(ssl=tls[0] if secure else None) as server:
            async with connect(server.url, ssl=tls[1] if secure else None) as connection:
                for message in ("text", "", b"binary", "grüße 🎉", "x" * 100_000, b"y" * 1_000_000):
                    await connection.send(message)
                    assert await connection.receive() == message
                await connection.send(bytearray(b"a"))
                assert await connection.receive() == b"a"
                assert connection.state is State.OPEN
                assert connection.close_code is None
            assert connection.close_code == 1000
            assert connection.state is State.CLOSED
            assert server.events == []

    with asyncio.Runner(loop_factory=new_loop) as runner:
        runner.run(asyncio.wait_for(talk(), 30))


@run
async def test_an_independent_server():
    async def echo(connection):
        async for message in connection:
            await connection.send(message)

    async with websockets.serve(echo, "127.0.0.1", 0, max_size=None) as server:
        port = server.sockets[0].getsockname()[1]
        policy = Policy(deflate=Deflate(min_bytes=0, server_context_takeover=True, client_context_takeover=True))
        async with connect(f"ws://127.0.0.1:{port}/x", policy) as connection:
            for number in range(20):
                message = f"{number} the same words again and again " * 20
                await connection.send(message)
                assert await connection.receive() == message
            await connection.ping()
            assert "permessage-deflate" in dict(connection.headers)["sec-websocket-extensions"]
        assert (connection.close_code, connection.violation) == (1000, None)


class Say(msgspec.Struct, tag="say", forbid_unknown_fields=True):
    text: str


@run
async def test_typed_messages():
    async with serving(policy=Policy(schema=Schema(text=Say))) as server:
        async with connect(server.url, Policy(schema=Schema(text=Say))) as connection:
            await connection.send(Say("hello"))
            assert await connection.receive() == Say("hello")
            with pytest.raises(ArgumentTypeError):
                await connection.send(None)
            with pytest.raises(ArgumentTypeError):
                await connection.send(object())
        async with connect(server.url, Policy(schema=Schema(binary=Say))) as connection:
            await connection.send(Say("hello"))  # as MessagePack, which that server does not take
            with pytest.raises(ClosedError) as caught:
                await connection.receive()
            assert caught.value.code == 1003


@run
async def test_a_message_that_fails_our_schema():
    async def talk(peer):
        await peer.accept()
        peer.send_text('{"type":"say","text":1}')
        assert await peer.read_close() == (4422, "schema-mismatch")

    async with listening(talk) as uri, connect(uri, Policy(schema=Schema(text=Say), limits=QUICK)) as connection:
        with pytest.raises(ClosedError) as caught:
            await connection.receive()
        assert (caught.value.code, caught.value.reason) == (4422, "schema-mismatch")
        assert connection.violation.rule == "schema-mismatch"


@run
async def test_what_the_request_says():
    class Doorman(Handler):
        def authenticate(self, request):
            assert request.header("authorization") == "Bearer x"
            assert (request.path, request.query) == ("/chat", "a=b")
            return Identity(subject="alice")

        def on_message(self, session, message):
            session.send(session.identity.subject)

    policy = Policy(access=Access(subprotocols=("v2", "v1")))
    async with serving(Doorman, policy) as server:
        name, port = server.address
        async with connect(
            f"{server.url}/chat?a=b",
            subprotocols=["v1", "v2"],
            origin=f"http://{name}:{port}",
            headers=[("Authorization", "Bearer x")],
        ) as connection:
            assert connection.subprotocol == "v2"
            await connection.send("who am I?")
            assert await connection.receive() == "alice"
        async with connect(f"{server.url}/chat?a=b", headers=[("Authorization", "Bearer x")]) as connection:
            assert connection.subprotocol is None


@run
async def test_iteration_ends_with_the_connection():
    async def talk(peer):
        await peer.accept()
        peer.send_text("one", "two")
        peer.send_close(1001)
        assert await peer.read_close() == (1001, "")

    async with listening(talk) as uri, connect(uri, limits()) as connection:
        assert [message async for message in connection] == ["one", "two"]
        assert [message async for message in connection] == []


@run
async def test_iteration_raises_when_the_end_was_none():
    async def talk(peer):
        await peer.accept()
        peer.send_text("one")
        peer.send_close(4000, "no more")

    async with listening(talk) as uri, connect(uri, limits()) as connection:
        assert await anext(connection) == "one"
        with pytest.raises(ClosedError) as caught:
            await anext(connection)
        assert (caught.value.code, caught.value.reason) == (4000, "no more")
        assert "no more" not in str(caught.value)


# The opening handshake


@run
async def test_frames_that_come_with_the_101_are_read():
    async def talk(peer):
        await peer.accept(behind=frame(1, b"first", masked=False) + frame(1, b"second", masked=False)[:3])
        peer.send(frame(1, b"second", masked=False)[3:])
        assert await peer.read_close() == (1000, "")

    async with listening(talk) as uri, connect(uri, limits()) as connection:
        assert await connection.receive() == "first"
        assert await connection.receive() == "second"


@run
async def test_a_refusal_is_an_error_with_status_and_headers():
    async with serving() as server:
        with pytest.raises(HandshakeError) as caught:
            async with connect(server.url, origin="https://evil.example"):
                pytest.fail("it is open")
        assert caught.value.status == 403
        assert ("connection", "close") in caught.value.headers


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (b"HTTP/1.1 101 x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: x\r\n\r\n", "Accept"),
        (b"SSH-2.0-OpenSSH\r\n", "status line"),
        (b"HTTP/1.1 101 x\r\n" + b"X: y\r\n" * 101, "max_headers"),
        (b"HTTP/1.1 101 x\r\n" + b"X" * 9000, "max_header_bytes"),
        (b"HTTP/1.1 101 x\r\n" + (b"X: " + b"y" * 7000 + b"\r\n") * 3, "max_head_bytes"),
        (b"HTTP/1.1 101 x\r\nUpgrade: webso", "closed the connection"),
        (b"", "closed the connection"),
    ],
)
@run
async def test_an_answer_that_is_none(answer, said):
    async def talk(peer):
        await peer.reader.readuntil(b"\r\n\r\n")
        peer.send(answer)
        if said != "closed the connection":
            with contextlib.suppress(ConnectionError):
                await peer.read_eof()

    async with listening(talk) as uri:
        with pytest.raises(HandshakeError, match=said):
            await connect(uri).__aenter__()


@run
async def test_nobody_listens():
    async with serving() as server:
        uri = server.url
    with pytest.raises(ConnectionRefusedError):
        await connect(uri).__aenter__()


@pytest.mark.parametrize("trickle", [False, True])
@run
async def test_the_handshake_has_a_deadline(trickle):
    async def talk(peer):
        await peer.reader.readuntil(b"\r\n\r\n")
        with contextlib.suppress(ConnectionError):
            while trickle and not peer.writer.is_closing():
                peer.send(b"H")
                await asyncio.sleep(0.02)
            assert await peer.read_eof() == b""

    async with listening(talk) as uri:
        with pytest.raises(TimeoutError, match="handshake_seconds"):
            await connect(uri, limits(handshake_seconds=0.2)).__aenter__()


@run
async def test_a_silent_tls_peer_meets_the_same_deadline():
    async def talk(peer):
        assert await peer.read_eof() != b""  # the ClientHello

    async with listening(talk) as uri:
        with pytest.raises(TimeoutError, match="handshake_seconds"):
            await connect(uri.replace("ws:", "wss:"), limits(handshake_seconds=0.2)).__aenter__()


@run
async def test_cancelled_while_it_connects_nothing_stays_open():
    asked = asyncio.Event()

    async def talk(peer):
        await peer.reader.readuntil(b"\r\n\r\n")
        asked.set()
        with contextlib.suppress(ConnectionError):
            assert await peer.read_eof() == b""

    async with listening(talk) as uri:
        task = asyncio.create_task(connect(uri).__aenter__())
        await asked.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task


@run
async def test_arguments_are_checked_before_anything_is_sent():
    with pytest.raises(ArgumentError, match="wss"):
        connect("ws://127.0.0.1", ssl=ssl.create_default_context())
    with pytest.raises(ArgumentError):
        connect("http://127.0.0.1")
    with pytest.raises(ArgumentError):
        connect("ws://127.0.0.1", headers=[("X", "a\r\nY: b")])
    with pytest.raises(ArgumentError):
        connect("ws://127.0.0.1", subprotocols=["a", "a"])
    with pytest.raises(ArgumentTypeError):
        connect("ws://127.0.0.1", Limits())


@run
async def test_a_connect_is_entered_once():
    async with serving() as server:
        connecting = connect(server.url)
        async with connecting as connection:
            assert connection.state is State.OPEN
        with pytest.raises(RuntimeError, match="once"):
            await connecting.__aenter__()


@run
async def test_without_a_context_the_certificate_is_verified(tls):
    async with serving(ssl=tls[0]) as server:
        with pytest.raises(ssl.SSLCertVerificationError):
            await connect(server.url).__aenter__()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls[2].issue_cert("example.org").configure_cert(context)  # whom we trust, but for another name
    async with serving(ssl=context) as server:
        with pytest.raises(ssl.SSLCertVerificationError):
            await connect(server.url, ssl=tls[1]).__aenter__()


@run
async def test_the_default_context_asks_for_http_1(tls):
    context = default_context.__wrapped__()  # one of our own, which may learn to trust
    tls[2].configure_trust(context)
    server_context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls[2].issue_cert("localhost").configure_cert(server_context)
    server_context.set_alpn_protocols(["h2", "http/1.1"])
    async with serving(ssl=server_context) as server:
        uri = f"wss://localhost:{server.address[1]}/"  # a name, which is looked up and verified
        async with connect(uri, ssl=context) as connection:
            tunnel = connection._transport.get_extra_info("ssl_object")
            assert tunnel.selected_alpn_protocol() == "http/1.1"
            assert tunnel.version() in ("TLSv1.2", "TLSv1.3")


def test_the_default_context():
    context = default_context()
    assert context is default_context()
    assert context.minimum_version is ssl.TLSVersion.TLSv1_2
    assert context.check_hostname
    assert context.verify_mode is ssl.CERT_REQUIRED


# What a server must not send


@pytest.mark.parametrize(
    ("data", "rule", "code"),
    [
        (frame(1, b"masked"), "masked-frame", 1002),
        (frame(3, b"", masked=False), "reserved-opcode", 1002),
        (frame(1, b"", masked=False, rsv=4), "reserved-bits", 1002),
        (frame(1, b"\xff", masked=False), "invalid-utf8", 1007),
        (frame(8, b"\x03\xec", masked=False), "close-code", 1002),
        (bytes([0x81, 126, 0, 1]), "length-not-minimal", 1002),
        (bytes([0x82, 127]) + (2**40).to_bytes(8, "big"), "frame-too-big", 1009),
    ],
)
@run
async def test_a_server_that_breaks_a_rule(data, rule, code):
    async def talk(peer):
        await peer.accept()
        peer.send(data)
        assert await peer.read_close() == (code, rule)

    events = []
    policy = Policy(limits=QUICK, on_event=events.append)
    async with listening(talk) as uri, connect(uri, policy) as connection:
        with pytest.raises(ClosedError) as caught:
            await connection.receive()
        assert (caught.value.code, caught.value.reason) == (code, rule)
        with pytest.raises(ClosedError):
            await connection.send("anybody there?")
        with pytest.raises(ClosedError):
            await connection.ping()
    assert (connection.close_code, connection.close_reason, connection.violation.rule) == (code, rule, rule)
    assert [(event.rule, event.action) for event in events] == [(rule, "fail")]


@run
async def test_a_server_that_just_goes_away():
    async def talk(peer):
        await peer.accept()
        peer.send_text("last words")

    async with listening(talk) as uri, connect(uri, limits()) as connection:
        waiting = asyncio.ensure_future(connection.ping())
        assert await connection.receive() == "last words"
        with pytest.raises(ClosedError) as caught:
            await connection.receive()
        assert caught.value.code == 1006
        with pytest.raises(ClosedError):
            await waiting
    assert connection.close_code == 1006


@run
async def test_a_server_that_half_closes_and_does_not_read():
    async def talk(peer):
        await peer.accept()
        peer.writer.write_eof()
        peer.writer.transport.pause_reading()
        await asyncio.wait_for(ended.wait(), PATIENCE)

    ended = asyncio.Event()
    async with listening(talk) as uri:
        async with connect(uri, limits()) as connection:
            with contextlib.suppress(ClosedError):
                await flood(connection, 100_000)
            with pytest.raises(ClosedError):
                await connection.receive()
        ended.set()


# The end


@run
async def test_answers_leave_before_the_close_that_has_come_already():
    async def talk(peer):
        await peer.accept()
        peer.send(
            frame(1, b"question", masked=False) + frame(9, b"?", masked=False) + frame(8, b"\x03\xe8", masked=False)
        )
        assert await peer.read_frame() == (0x8A, b"?")
        assert await peer.read_frame() == (0x81, b"answer")
        assert await peer.read_close() == (1000, "")

    async with listening(talk) as uri, connect(uri, limits()) as connection:
        async for message in connection:
            assert message == "question"
            await asyncio.sleep(0)
            await connection.send("answer")


@run
async def test_a_close_does_not_wait_for_ever_for_messages_to_be_received():
    async def talk(peer):
        await peer.accept()
        peer.send(frame(1, b"question", masked=False) + frame(3, b"", masked=False))
        assert await peer.read_close() == (1002, "reserved-opcode")
        peer.send_close(1002)
        closed.set()

    closed = asyncio.Event()
    async with listening(talk) as uri, connect(uri, limits()) as connection:
        await asyncio.wait_for(closed.wait(), PATIENCE)
        assert await connection.receive() == "question"
        with pytest.raises(ClosedError):
            await connection.send("too late")


@run
async def test_held_output_is_bounded():
    async def talk(peer):
        await peer.accept()
        peer.send(frame(1, b"question", masked=False) + frame(8, b"\x03\xe8", masked=False))
        size = 0
        while (answer := await peer.read_frame())[0] == 0x81:
            size += len(answer[1])
        assert answer == (0x88, b"\x03\xe8")
        assert 30_000 <= size <= 80_000

    async with listening(talk) as uri, connect(uri, Policy()) as connection:
        await until(lambda: connection.state is not State.OPEN)
        with pytest.raises(ClosedError):
            await flood(connection, 10_000)


async def flood(connection, size):
    """Send until the connection ends."""
    while True:
        await connection.send("x" * size)


@run
async def test_the_server_closes_tcp_first():
    async def talk(peer):
        await peer.accept()
        assert await peer.read_close() == (3000, "bye")
        peer.send_close(3000)
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(peer.read_eof(), 0.1)

    async with listening(talk) as uri, connect(uri) as connection:
        await connection.close(3000, "bye")
        assert connection.state is State.CLOSED


@pytest.mark.parametrize("answers", [False, True])
@run
async def test_a_server_that_does_not_close_is_cut_off(answers):
    async def talk(peer):
        await peer.accept()
        assert await peer.read_close() == (1000, "")
        if answers:
            peer.send_close(1000)
        assert await peer.read_eof() == b""

    loop = asyncio.get_running_loop()
    async with listening(talk) as uri:
        async with connect(uri, limits()) as connection:
            begun = loop.time()
        assert 0.15 < loop.time() - begun < 5
        assert connection.close_code == (1000 if answers else 1006)


@pytest.mark.parametrize(
    ("error", "code"), [(ValueError, 1011), (asyncio.CancelledError, 1001)], ids=["exception", "cancelled"]
)
@run
async def test_leaving_the_block_by_an_exception(error, code):
    async def talk(peer):
        await peer.accept()
        assert await peer.read_close() == (code, "")

    async with listening(talk) as uri:
        with pytest.raises(error):
            async with connect(uri, limits()):
                raise error


@run
async def test_cancelled_while_it_closes_the_connection_is_cut_off():
    async def talk(peer):
        await peer.accept()
        await peer.read_close()
        task.cancel()
        with contextlib.suppress(ConnectionError):
            assert await peer.read_eof() == b""

    async def client(uri):
        async with connect(uri):
            pass

    async with listening(talk) as uri:
        task = asyncio.ensure_future(client(uri))
        with pytest.raises(asyncio.CancelledError):
            await task


@run
async def test_codes_that_must_not_be_sent():
    async with serving() as server, connect(server.url) as connection:
        for code in (1005, 1006, 999, 5000):
            with pytest.raises(ArgumentError):
                await connection.close(code)
        with pytest.raises(ArgumentError):
            await connection.close(1000, "x" * 124)
        assert connection.state is State.OPEN


@run
async def test_nothing_is_sent_or_received_behind_our_close():
    async def talk(peer):
        await peer.accept()
        peer.send_text("early")
        await peer.read_close()
        peer.send_text("late")
        peer.send_close(1000)

    async with listening(talk) as uri, connect(uri) as connection:
        await until(lambda: connection._queue)
        waiting = asyncio.ensure_future(connection.close())
        await asyncio.sleep(0)
        with pytest.raises(ClosedError):
            await connection.send("late")
        await waiting
        assert await connection.receive() == "early"
        with pytest.raises(ClosedError):
            await connection.receive()


# Flow


@run
async def test_a_cancelled_receive_loses_nothing():
    async with serving() as server, connect(server.url) as connection:
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(connection.receive(), 0.01)
        task = asyncio.ensure_future(connection.receive())
        await asyncio.sleep(0)
        with pytest.raises(RuntimeError, match="another task"):
            await connection.receive()
        await connection.send("one")
        assert await asyncio.wait_for(task, PATIENCE) == "one"
        task = asyncio.ensure_future(connection.receive())
        await asyncio.sleep(0)
        connection._queue.append(("two", 3))  # it came in
        connection._wake()
        task.cancel()  # in the same turn of the loop
        with pytest.raises(asyncio.CancelledError):
            await task
        assert await connection.receive() == "two"


@pytest.mark.parametrize(
    ("size", "held"),
    [(10, {"max_queued_messages": 8}), (40_000, {"max_queued_bytes": 100_000})],
    ids=["count", "bytes"],
)
@run
async def test_the_queue_is_bounded_and_nothing_is_lost(size, held):
    total = 3000 if size == 10 else 500

    async def talk(peer):
        await peer.accept()
        for number in range(total):
            peer.send_text(f"{number:0{size}}")
            await peer.writer.drain()
        sent.set()
        assert await peer.read_close() == (1000, "")

    sent = asyncio.Event()
    policy = limits(**held, idle_seconds=0.3, ping_seconds=0.1, pong_seconds=0.1)
    async with listening(talk) as uri, connect(uri, policy) as connection:
        await asyncio.sleep(0.5)  # longer than the deadlines, which stand still while nothing is read
        assert len(connection._queue) <= 1024 + 8  # what one call of the Inspector returns, and the limit
        assert connection._queued_bytes <= 64 * 1024 + 100_000
        if size > 10:
            assert not sent.is_set()  # TCP holds the server back
        for number in range(total):
            assert await connection.receive() == f"{number:0{size}}"
        assert connection.violation is None


@run
async def test_send_waits_for_a_server_that_does_not_read():
    async def talk(peer):
        await peer.accept()
        peer.writer.transport.pause_reading()
        await asyncio.wait_for(stuck.wait(), PATIENCE)
        peer.writer.transport.resume_reading()
        while (received := await peer.read_frame())[0] == 0x81:
            last = received
        assert last == (0x81, b"again")

    stuck = asyncio.Event()
    async with listening(talk) as uri, connect(uri) as connection:
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(flood(connection, 100_000), 0.5)
        assert connection._transport.get_write_buffer_size() < 500_000
        stuck.set()
        await asyncio.wait_for(connection.send("again"), PATIENCE)


@run
async def test_senders_that_wait_are_told_when_the_connection_is_gone():
    async def talk(peer):
        await peer.accept()
        peer.writer.transport.pause_reading()
        await asyncio.wait_for(stuck.wait(), PATIENCE)
        peer.writer.transport.abort()

    stuck = asyncio.Event()

    async with listening(talk) as uri, connect(uri, limits()) as connection:
        tasks = [asyncio.ensure_future(flood(connection, 100_000)) for _ in range(3)]
        await asyncio.sleep(0.3)
        stuck.set()
        results = await asyncio.wait_for(asyncio.gather(*tasks, return_exceptions=True), PATIENCE)
        assert [type(result) for result in results] == [ClosedError] * 3


# Time


@run
async def test_round_trips_are_measured_and_a_forged_pong_is_none():
    async def talk(peer):
        await peer.accept()
        first, payload = await peer.read_frame()
        assert first == 0x89
        peer.send(frame(10, b"forged", masked=False) + frame(10, b"", masked=False))
        peer.send_text("between")
        await asyncio.sleep(0.05)
        _, second = await peer.read_frame()
        assert second != payload
        peer.send(frame(10, second, masked=False))  # RFC 6455 5.5.3: only the most recent one
        await peer.read_close()

    async with listening(talk) as uri, connect(uri, limits()) as connection:
        pings = [asyncio.ensure_future(connection.ping()) for _ in range(2)]
        assert await connection.receive() == "between"
        assert not any(ping.done() for ping in pings)
        assert all(0.04 < seconds < 5 for seconds in await asyncio.gather(*pings))


@run
async def test_a_silent_server_is_pinged_and_given_up():
    async def talk(peer):
        await peer.accept()
        assert (await peer.read_frame())[0] == 0x89
        assert await peer.read_close() == (4408, "pong-timeout")

    policy = limits(ping_seconds=0.05, pong_seconds=0.1)
    async with listening(talk) as uri, connect(uri, policy) as connection:
        with pytest.raises(ClosedError) as caught:
            await connection.receive()
        assert caught.value.reason == "pong-timeout"


@run
async def test_a_server_that_answers_pings_stays():
    async def talk(peer):
        await peer.accept()
        for _ in range(4):
            first, payload = await peer.read_frame()
            assert first == 0x89
            peer.send(frame(10, payload, masked=False))
        peer.send_text("still here")
        await peer.read_close()

    policy = limits(ping_seconds=0.05, pong_seconds=0.5, idle_seconds=0.5)
    async with listening(talk) as uri, connect(uri, policy) as connection:
        assert await connection.receive() == "still here"


@pytest.mark.parametrize(
    ("data", "rule"),
    [
        (frame(1, b"half", masked=False)[:-1], "frame-timeout"),
        (frame(1, b"half", masked=False)[:1], "frame-timeout"),
        (frame(1, b"half", masked=False, fin=False), "message-timeout"),
    ],
)
@run
async def test_what_has_begun_must_end(data, rule):
    async def talk(peer):
        await peer.accept()
        peer.send(frame(1, b"whole", masked=False) + data)
        for _ in range(4):  # a sign of life does not help
            await asyncio.sleep(0.03)
            peer.send(frame(10, b"", masked=False) if rule == "message-timeout" else b"")
        assert await peer.read_close() == (4408, rule)

    policy = limits(frame_seconds=0.15, message_seconds=0.15)
    async with listening(talk) as uri, connect(uri, policy) as connection:
        assert await connection.receive() == "whole"
        with pytest.raises(ClosedError) as caught:
            await connection.receive()
        assert caught.value.reason == rule


@run
async def test_a_server_that_takes_nothing_is_given_up():
    async def talk(peer):
        await peer.accept()
        peer.writer.transport.pause_reading()
        with contextlib.suppress(ConnectionError):
            while not ended.is_set():  # it is not silent
                peer.send_text("tick")
                await asyncio.wait([asyncio.ensure_future(ended.wait())], timeout=0.05)

    ended = asyncio.Event()
    async with listening(talk) as uri:
        async with connect(uri, limits(max_write_stall_seconds=0.3, max_queued_messages=10_000)) as connection:
            with pytest.raises(ClosedError):
                await asyncio.wait_for(flood(connection, 100_000), PATIENCE)
            assert connection.violation.rule == "write-stall"
        ended.set()


@run
async def test_pongs_that_nobody_reads_do_not_pile_up():
    async def talk(peer):
        await peer.accept()
        peer.writer.transport.pause_reading()
        pings = (frame(9, bytes(125), masked=False) * 8 + frame(1, b"", masked=False)) * 100
        with contextlib.suppress(ConnectionError):
            while not peer.writer.is_closing():
                peer.send(pings)
                await peer.writer.drain()

    policy = limits(max_backpressure_bytes=100_000, max_queued_messages=2**20)
    async with listening(talk) as uri, connect(uri, policy) as connection:
        await until(lambda: connection.violation)
        assert connection.violation.rule == "slow-consumer"
        assert connection._transport.get_write_buffer_size() < 600_000


@run
async def test_idle():
    async def talk(peer):
        await peer.accept()
        assert await peer.read_close() == (4408, "idle-timeout")

    async with listening(talk) as uri, connect(uri, limits(idle_seconds=0.1)) as connection:
        with pytest.raises(ClosedError) as caught:
            await connection.receive()
        assert (caught.value.code, caught.value.reason) == (4408, "idle-timeout")


@run
async def test_the_example():
    chat = importlib.import_module("examples.chat")
    program = (sys.executable, "examples/client.py")
    options = {"cwd": ROOT, "stdout": subprocess.PIPE, "stderr": subprocess.STDOUT}
    async with serving(chat.Chat, chat.POLICY) as server:
        client = await asyncio.create_subprocess_exec(*program, server.url, "lobby", "hello", **options)
        said, _ = await asyncio.wait_for(client.communicate(), 20)
        assert client.returncode == 0, said
        assert re.fullmatch(r"round trip: [\d.]+ ms\nlobby: hello\n", said.decode())
        uri = server.url
    client = await asyncio.create_subprocess_exec(*program, uri, "lobby", "hello", **options)
    said, _ = await asyncio.wait_for(client.communicate(), 20)
    assert client.returncode == 1
    assert said.startswith(b"not connected: ")


def test_it_is_offered_at_the_front_door():
    assert framewarden.connect is connect
    assert framewarden.ClientConnection.__module__ == "framewarden.transports.client_connection"
    assert {"ClientConnection", "HandshakeError", "connect"} <= set(framewarden.__all__)
