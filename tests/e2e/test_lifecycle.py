"""A server in an event loop: reloading, draining, and what it refuses to begin with."""

import asyncio
import contextlib
import socket
import ssl
import time
from pathlib import Path

import pytest

from framewarden.errors import PolicyError
from framewarden.identity import Identity
from framewarden.policy import Access, Deflate, Limits, Policy, Schema
from framewarden.session import Handler
from framewarden.transports import Server
from framewarden.transports.server import check_quotas
from tests.e2e.harness import close, connected, frame, head, run, serving, text, until, upgraded


class Slow(Handler):
    """Works until it is cancelled, and tells."""

    def __init__(self):
        self.working = asyncio.Event()
        self.cancelled = False
        self.closed = []

    async def on_message(self, session, message):
        self.working.set()
        try:
            await asyncio.sleep(3600)
        except asyncio.CancelledError:
            self.cancelled = True
            raise

    def on_close(self, session, code, reason):
        self.closed.append(code)


class Guarded(Handler):
    def __init__(self):
        self.asked = asyncio.Event()
        self.answer = asyncio.Event()

    async def authenticate(self, request):
        self.asked.set()
        await self.answer.wait()
        return Identity(subject="somebody")


# Reloading


both = pytest.mark.parametrize("carrier", ["picows", "lean"])


@both
@run
async def test_a_new_policy_is_for_new_connections(carrier):
    limits = Limits(max_message_bytes=100)
    async with serving(limits=limits, carrier=carrier) as server, upgraded(server) as old:
        server.reload(Policy(limits=Limits(max_message_bytes=10)))
        async with upgraded(server) as new:
            new.send(text("x" * 11))
            assert (await new.read_close())[0] == 1009
        old.send(text("x" * 100))
        assert await old.read_text() == "x" * 100
        server.reload(Policy(access=Access(paths=("/chat",)), deflate=Deflate()))
        async with connected(server) as new:
            new.send(head(server))
            assert await new.read_head() == 404
        async with upgraded(server, "Sec-WebSocket-Extensions: permessage-deflate", path="/chat") as new:
            assert "permessage-deflate" in new.headers["sec-websocket-extensions"]
        old.send(text("still"))
        assert await old.read_text() == "still"


@both
@run
async def test_deadlines_are_those_of_the_policy_a_connection_was_admitted_with(carrier):
    async with serving(carrier=carrier) as server, upgraded(server) as old:
        server.reload(Policy(limits=Limits(idle_seconds=0.3)))
        async with upgraded(server) as new:
            assert await new.read_close() == (4408, "idle-timeout")
        server.reload(Policy(limits=Limits(max_pending_per_address=1)))
        old.send(text("still"))
        assert await old.read_text() == "still"
        async with connected(server) as waiting, connected(server) as second:
            waiting.send(b"GET / HTTP/1.1\r\n")
            assert await second.read_head() == 503


@run
async def test_a_new_limit_of_connections_counts_at_once():
    async with serving() as server, upgraded(server):
        server.reload(Policy(limits=Limits(max_connections=1)))
        async with connected(server) as second:
            second.send(head(server))
            assert await second.read_head() == 503
        server.reload(Policy())
        async with upgraded(server):
            pass


@run
async def test_a_policy_that_cannot_be_used_changes_nothing():
    async with serving(limits=Limits(max_message_bytes=100)) as server:
        for wrong in (
            Policy(schema=Schema(text=list[int] | set[int])),
            Policy(access=Access(hosts=("no host",))),
            Policy(access=Access(origins=("no origin",))),
        ):
            with pytest.raises(PolicyError):
                server.reload(wrong)
        async with upgraded(server) as client:
            client.send(text("x" * 100))
            assert await client.read_text() == "x" * 100
            client.send(text("x" * 101))
            assert (await client.read_close())[0] == 1009


@run
async def test_what_a_restart_is_needed_for():
    import ssl

    async with serving() as server:
        with pytest.raises(PolicyError, match="without TLS"):
            server.reload(ssl=ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER))
    policy = Policy(access=Access(dangerous_allow_anonymous=True, dangerous_allow_plaintext=True))
    async with serving(policy=policy, host="0.0.0.0") as server:
        with pytest.raises(PolicyError, match="TLS"):
            server.reload(Policy())


@run
async def test_a_server_that_has_not_started_starts_with_the_new_policy():
    server = Server(None, Policy(limits=Limits(max_message_bytes=1)), port=0)
    server.reload(Policy(limits=Limits(max_message_bytes=2)))
    async with server, upgraded(server) as client:
        client.send(text("ab"))
        assert await client.read_text() == "ab"


# Draining


@both
@run
async def test_drain_waits_for_sessions_and_says_1001(carrier):
    limits = Limits(drain_seconds=0.4)
    async with serving(limits=limits, carrier=carrier) as server, upgraded(server) as client:
        draining = asyncio.ensure_future(server.drain())
        assert (await client.read_close())[0] == 1001
        assert not draining.done()
        client.send(close(1001))
        assert await client.read_eof() == b""
        await draining
        assert server.addresses == []


@run
async def test_drain_works_on_until_it_is_a_sessions_turn(monkeypatch):
    monkeypatch.setattr("framewarden.transports.server.random.uniform", lambda low, high: high)
    async with serving(limits=Limits(drain_seconds=2)) as server, upgraded(server) as client:
        draining = asyncio.ensure_future(server.drain())
        await until(lambda: server._acceptor is None)
        client.send(text("last words"))
        assert await client.read_text() == "last words"
        begun = time.monotonic()
        assert (await client.read_close())[0] == 1001
        assert time.monotonic() - begun > 0.5
        client.send(close(1001))
        await draining


@run
async def test_a_handshake_is_cut_off_by_a_drain():
    handler = Guarded()
    limits = Limits(drain_seconds=30)
    async with serving(handler, limits=limits) as server, connected(server) as client, connected(server) as silent:
        client.send(head(server))
        await handler.asked.wait()
        begun = time.monotonic()
        await server.drain()
        assert time.monotonic() - begun < 5
        for each in (client, silent):
            with contextlib.suppress(ConnectionResetError):
                assert await each.read_eof() == b""


@both
@run
async def test_a_handler_is_cut_off_at_the_deadline(carrier):
    handler = Slow()
    limits = Limits(drain_seconds=0.3, close_seconds=60)
    async with serving(handler, limits=limits, carrier=carrier) as server, upgraded(server) as client:
        client.send(text("work"))
        await handler.working.wait()
        begun = time.monotonic()
        await server.drain()
        assert 0.2 < time.monotonic() - begun < 2.5
        assert handler.cancelled
        assert len(handler.closed) == 1


@run
async def test_closing_does_not_wait_for_a_moment():
    async with serving(limits=Limits(drain_seconds=600)) as server, upgraded(server) as client:
        closing = asyncio.ensure_future(server.close())
        assert (await client.read_close())[0] == 1001
        client.send(close(1001))
        await closing
        await server.drain()
        await server.close()
        server.reload(Policy())  # too late, but nothing breaks


@run
async def test_a_close_right_behind_a_verdict_leaves_nobody():
    class Closing(Handler):
        def authenticate(self, request):
            self.closing = asyncio.ensure_future(server.close())  # begins before the task that makes the transport
            return Identity(subject="somebody")

    handler = Closing()
    async with serving(handler, limits=Limits(close_seconds=60)) as server, connected(server) as client:
        client.send(head(server))
        with contextlib.suppress(ConnectionResetError):
            assert await client.read_eof() == b""
        await asyncio.wait_for(handler.closing, 5)
        assert not server._context.members


@run
async def test_a_close_right_behind_an_accept_over_tls_leaves_nobody():
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    async with serving(limits=Limits(close_seconds=60), ssl=tls) as server:
        with socket.create_connection(server.address):
            [listener] = server._acceptor.sockets
            server._acceptor._accept(listener)
            assert server._context.members
            pending = server._acceptor._pending
            await asyncio.wait_for(server.close(), 5)
            assert not server._context.members
            assert len(pending) == 0


@run
async def test_a_drain_that_is_cancelled_leaves_no_timers(monkeypatch):
    monkeypatch.setattr("framewarden.transports.server.random.uniform", lambda low, high: 0.2)
    async with serving(limits=Limits(drain_seconds=60)) as server, upgraded(server) as client:
        draining = asyncio.ensure_future(server.drain())
        await until(lambda: server._acceptor is None)
        draining.cancel()
        with pytest.raises(asyncio.CancelledError):
            await draining
        client.send(frame(9, b"there?"))
        assert await client.read_frame() == (0x8A, b"there?")
        await asyncio.sleep(0.3)
        client.send(frame(9, b"still?"))
        assert await client.read_frame() == (0x8A, b"still?")
        client.reset()


@both
@run
async def test_closing_ends_what_a_drain_has_left(carrier):
    """One that was cancelled, and one that goes on."""
    limits = Limits(drain_seconds=600, close_seconds=0.5)
    async with serving(limits=limits, carrier=carrier) as server, upgraded(server) as client:
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(server.drain(), 0.1)
        draining = asyncio.ensure_future(server.drain())
        await asyncio.sleep(0)
        closing = asyncio.ensure_future(server.close(1012))
        assert (await client.read_close())[0] == 1012
        assert not closing.done()
        client.send(close(1012))
        assert await client.read_eof() == b""
        await asyncio.wait_for(asyncio.gather(draining, closing), 5)
        assert not server._context.members


# What a server is not begun with


def descriptors():
    return set(Path("/proc/self/fd").iterdir())


@run
async def test_one_that_cannot_start_leaves_nothing_open_and_can_be_started_later(monkeypatch):
    def no_descriptor(loop):
        raise OSError(24, "Too many open files")

    server = Server(port=0)
    opened = descriptors()
    with monkeypatch.context() as patched:
        patched.setattr("framewarden.transports.acceptor.Doorway", no_descriptor)
        with pytest.raises(OSError, match="Too many open files"):
            await server.start()
    assert descriptors() <= opened
    assert server.addresses == []
    async with server, upgraded(server):
        pass


@pytest.mark.parametrize(
    ("options", "word"),
    [
        ({"carrier": "pigeon"}, "'picows' or 'lean'"),
        ({"workers": 0}, "1 or more"),
        ({"workers": True}, "1 or more"),
        ({"workers": 2.0}, "1 or more"),
        ({"workers": 2, "policy": Policy(limits=Limits(max_connections=9))}, "2 workers would allow 2 times"),
        ({"workers": 3, "policy": Policy(limits=Limits(max_memory_bytes=9))}, "limits.max_memory_bytes"),
    ],
)
def test_servers_that_are_not_made(options, word):
    with pytest.raises(PolicyError, match=word):
        Server(**options)


def test_quotas_of_each_process():
    limits = Limits(max_connections=9, max_memory_bytes=9)
    check_quotas(Policy(limits=limits), 1)
    check_quotas(Policy(), 8)
    check_quotas(Policy(limits=limits, access=Access(dangerous_allow_per_worker_quotas=True)), 8)


@run
async def test_only_servers_with_several_workers_share_their_port():
    async with serving(workers=2) as server:
        name, port = server.address
        async with Server(None, Policy(), name, port, workers=2) as second:
            assert second.address == server.address
        with pytest.raises(OSError, match="in use"):
            await Server(None, Policy(), name, port).start()
        with socket.create_connection(server.address):
            pass
