"""Peers that go away: FIN, a closed socket and RST, in every state of a connection, over TCP and TLS.

Whatever they were doing, the server forgets them, the handler hears of the end once, and nobody shouts about it.
"""

import asyncio
import contextlib
import logging
import socket
import ssl
import struct

import pytest
import trustme
from picows import WSListener

from framewarden.policy import Deflate, Limits, Policy
from framewarden.session import Handler
from framewarden.transports.picows import create_server
from tests.e2e.harness import PATIENCE, close, connected, frame, head, run, serving, text, until, upgraded


class Recorder(Handler):
    """Remembers what it was told; "close" closes, "wait" is awaited until ``go_on`` is set."""

    def __init__(self):
        self.told = []
        self.closed = []
        self.go_on = asyncio.Event()

    def on_message(self, session, message):
        self.told.append(message)
        if message == "close":
            session.close(4000)
        elif message == "wait":
            return self.go_on.wait()
        else:
            session.send(message)
        return None

    def on_close(self, session, code, reason):
        self.closed.append((code, reason))


# The states: what a client does before it goes away; returns how the handler must hear of it.


async def idle(client):
    return 1006, ""


async def after_an_answer(client):
    client.send(text("one"))
    assert await client.read_text() == "one"
    return 1006, ""


async def in_a_header(client):
    client.send(b"\x81")
    return 1006, ""


async def in_a_payload(client):
    client.send(text("x" * 100_000)[:-1])
    return 1006, ""


async def in_a_message(client):
    client.send(frame(1, b"one", fin=False), frame(9, b"?"))
    assert await client.read_frame() == (0x8A, b"?")
    return 1006, ""


async def in_a_compressed_message(client):
    client.send(frame(1, b"\xf2\x48", fin=False, rsv=4), frame(9, b"?"))
    assert await client.read_frame() == (0x8A, b"?")
    return 1006, ""


async def closing(client):
    client.send(text("close"))
    assert await client.read_close() == (4000, "")
    return 1006, ""


async def closed(client):
    client.send(close(3000, "bye"))
    assert await client.read_close() == (3000, "")
    return 3000, "bye"


async def failed(client):
    client.send(frame(3), b"what is read and thrown away")
    assert await client.read_close() == (1002, "reserved-opcode")
    return 1002, "reserved-opcode"


STATES = [
    idle, after_an_answer, in_a_header, in_a_payload, in_a_message, in_a_compressed_message, closing, closed, failed,
]  # fmt: skip


# The ways to go


@contextlib.asynccontextmanager
async def holding(client, way):
    """Prepare the socket for the way that its client will go: over TLS asyncio closes it when the server does."""
    sock = client.writer.get_extra_info("socket")
    if way in (half_close, cut):
        with socket.socket(fileno=socket.dup(sock.fileno())) as client.sock:
            yield
        return
    if way is reset:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    yield


def shut(client, how):
    """Shut the client's socket itself down."""
    with contextlib.suppress(OSError):  # the server was faster
        client.sock.shutdown(how)


async def half_close(client):
    """FIN; what the server sends is still read, until it closes, too."""
    shut(client, socket.SHUT_WR)
    with contextlib.suppress(OSError):
        await client.read_eof()


async def go(client):
    """Close the socket; over TLS with close_notify."""
    client.writer.close()


async def reset(client):
    """RST."""
    client.writer.transport.abort()


async def cut(client):
    """FIN, and nothing is read any more; over TLS without close_notify, as a truncation attack does it."""
    shut(client, socket.SHUT_RDWR)


WAYS = [half_close, go, reset, cut]


@pytest.fixture(scope="module")
def tls():
    """Contexts of a server and of a client that trusts it."""
    authority = trustme.CA()
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(server)
    client = ssl.create_default_context()
    authority.configure_trust(client)
    return server, client


@pytest.fixture(autouse=True)
def quiet(caplog):
    """Nobody shouts: what a peer does is no error of ours."""
    caplog.set_level(logging.DEBUG)
    yield
    assert [record for record in caplog.records if record.levelno >= logging.ERROR] == []


async def forgotten(server):
    """Nothing is left of any connection: no member, no task, no deadline."""
    context = server._context
    await until(lambda: not context.members and not context.tasks)
    assert not context.wheel._slots


# A RST behind bytes that were not read yet is noticed over TLS when something is written, at the latest with the next
# Ping: libuv gives up a descriptor that has an error once it has told of it, and what is told is the bytes.
LIMITS = Limits(handshake_seconds=1, ping_seconds=1, close_seconds=1)
POLICY = Policy(deflate=Deflate(), limits=LIMITS)
DEFLATE = "Sec-WebSocket-Extensions: permessage-deflate"


@pytest.mark.parametrize("secure", [False, True], ids=["tcp", "tls"])
@pytest.mark.parametrize("way", WAYS, ids=lambda way: way.__name__)
@pytest.mark.parametrize("state", STATES, ids=lambda state: state.__name__)
@pytest.mark.parametrize("carrier", ["picows", "lean"])
@run
async def test_a_peer_goes_away(carrier, state, way, secure, tls):
    handler = Recorder()
    async with serving(handler, POLICY, ssl=tls[0] if secure else None, carrier=carrier) as server:
        async with upgraded(server, DEFLATE, ssl=tls[1] if secure else None) as client, holding(client, way):
            expected = await state(client)
            await way(client)
            await forgotten(server)
        assert handler.closed == [expected]
        assert [event.rule for event in server.events] == ([expected[1]] if expected[0] == 1002 else [])


@pytest.mark.parametrize("secure", [False, True], ids=["tcp", "tls"])
@pytest.mark.parametrize("way", WAYS, ids=lambda way: way.__name__)
@run
async def test_a_peer_goes_away_while_the_handler_works_for_it(way, secure, tls):
    handler = Recorder()
    async with serving(handler, POLICY, ssl=tls[0] if secure else None) as server:
        async with upgraded(server, ssl=tls[1] if secure else None) as client, holding(client, way):
            client.send(text("wait"), text("never handled"))
            await until(lambda: handler.told)
            await way(client)
            await until(lambda: any(member.is_gone for member in server._context.members))
            handler.go_on.set()
            await forgotten(server)
        assert handler.told == ["wait"]
        assert handler.closed == [(1006, "")]


# Before there is a connection


@pytest.mark.parametrize("secure", [False, True], ids=["tcp", "tls"])
@pytest.mark.parametrize("way", WAYS, ids=lambda way: way.__name__)
@pytest.mark.parametrize("share", [0, 0.5], ids=["nothing", "half-a-head"])
@run
async def test_a_peer_goes_away_before_its_request_is_complete(share, way, secure, tls):
    handler = Recorder()
    async with serving(handler, limits=LIMITS, ssl=tls[0] if secure else None) as server:
        async with connected(server, tls[1] if secure else None) as client, holding(client, way):
            request = head(server)
            client.send(request[: int(len(request) * share)])
            await until(lambda: server._context.members)
            await way(client)
            await forgotten(server)
        assert handler.closed == []
        assert server.events == []


@pytest.mark.parametrize("secure", [False, True], ids=["tcp", "tls"])
@pytest.mark.parametrize("way", WAYS, ids=lambda way: way.__name__)
@run
async def test_a_peer_goes_away_while_it_is_authenticated(way, secure, tls):
    asked, cancelled = asyncio.Event(), asyncio.Event()

    class Slow(Recorder):
        async def authenticate(self, request):
            asked.set()
            try:
                await asyncio.sleep(PATIENCE * 2)
            except asyncio.CancelledError:
                cancelled.set()
                raise

    handler = Slow()
    async with serving(handler, limits=LIMITS, ssl=tls[0] if secure else None) as server:
        async with connected(server, tls[1] if secure else None) as client, holding(client, way):
            client.send(head(server))
            await asked.wait()
            await way(client)
            await asyncio.wait_for(cancelled.wait(), PATIENCE)  # what it holds is freed at once
            await forgotten(server)
        assert handler.closed == []


@pytest.mark.parametrize("secure", [False, True], ids=["tcp", "tls"])
@pytest.mark.parametrize("way", WAYS, ids=lambda way: way.__name__)
@run
async def test_a_peer_goes_away_behind_a_refusal(way, secure, tls):
    async with serving(limits=LIMITS, ssl=tls[0] if secure else None) as server:
        async with connected(server, tls[1] if secure else None) as client, holding(client, way):
            client.send(head(server, method="POST"))
            assert await client.read_head() == 405
            await way(client)
            await forgotten(server)
        assert [event.rule for event in server.events] == ["method"]


HELLO = bytes.fromhex("16030100c8010000c40303") + bytes(20)
"""The beginning of a TLS handshake."""


@pytest.mark.parametrize("data", [b"", HELLO, b"GET / HTTP/1.1\r\n\r\n"], ids=["nothing", "half-a-hello", "no-tls"])
@pytest.mark.parametrize("how", ["close", "reset"])
@run
async def test_a_peer_goes_away_in_the_tls_handshake(data, how, tls):
    handler = Recorder()
    async with serving(handler, limits=LIMITS, ssl=tls[0]) as server:
        with socket.create_connection(server.address) as sock:
            await until(lambda: server._context.members)
            sock.sendall(data)
            if how == "reset":
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        await forgotten(server)
        assert handler.closed == []


# Many at once, and with unread output


@run
async def test_a_peer_that_never_read_goes_away():
    class Flood(Recorder):
        def on_open(self, session):
            for _ in range(50):
                session.send(bytes(100_000))

    for way in (go, reset, cut):
        handler = Flood()
        async with serving(handler, limits=Limits(max_backpressure_bytes=1 << 24)) as server:
            async with upgraded(server) as client, holding(client, way):
                await way(client)
                await forgotten(server)
            assert handler.closed == [(1006, "")]


@run
async def test_many_peers_go_away_at_once():
    handler = Recorder()
    async with serving(handler) as server, contextlib.AsyncExitStack() as stack:
        clients = [await stack.enter_async_context(upgraded(server)) for _ in range(120)]
        for number, client in enumerate(clients):
            await stack.enter_async_context(holding(client, WAYS[1 + number % 3]))
            await STATES[number % 4](client)
        for number, client in enumerate(clients):
            await WAYS[1 + number % 3](client)
        await forgotten(server)
        assert handler.closed == [(1006, "")] * 120


# The drop-in for picows


@pytest.mark.parametrize("secure", [False, True], ids=["tcp", "tls"])
@pytest.mark.parametrize("way", WAYS, ids=lambda way: way.__name__)
@pytest.mark.parametrize("state", [idle, in_a_payload, in_a_message, closed, failed], ids=lambda state: state.__name__)
@run
async def test_a_listener_hears_of_the_end_once(state, way, secure, tls):
    told = []

    class Listener(WSListener):
        def on_ws_disconnected(self, transport):
            told.append(transport.is_disconnected)

    policy = Policy(limits=LIMITS)
    server = await create_server(lambda request: Listener(), "127.0.0.1", policy=policy, ssl=tls[0] if secure else None)
    async with server:
        server.address = server.sockets[0].getsockname()[:2]
        async with upgraded(server, ssl=tls[1] if secure else None) as client, holding(client, way):
            await state(client)
            await way(client)
            await forgotten(server._server)
        assert told == [True]
