"""Messages in fragments beside other messages, and who is woken when."""

import asyncio

import pytest

from framewarden import ClosedError, Handler, Limits
from framewarden.session import Delivery, broadcast
from framewarden.transports.connection import Connection
from tests.e2e.harness import close, rules, run, serving, text, until, upgraded

pytestmark = pytest.mark.usefixtures("both_carriers")


class Open(Handler):
    """Keeps its sessions, and what they were told at the end."""

    def __init__(self):
        self.sessions = []
        self.ended = []

    def on_open(self, session):
        self.sessions.append(session)

    def on_close(self, session, code, reason):
        self.ended.append((code, reason))


async def chunks(gate, *pieces):
    """The first piece at once, the others when the gate is open."""
    yield pieces[0]
    await gate.wait()
    for piece in pieces[1:]:
        yield piece


@run
async def test_a_stream_goes_on_when_the_peer_reads_again():
    handler = Open()
    limits = Limits(max_backpressure_bytes=32 * 1024 * 1024)
    async with serving(handler, limits=limits) as server, upgraded(server) as client:
        (session,) = handler.sessions
        client.writer.transport.pause_reading()
        streaming = asyncio.create_task(session.stream([b"x" * 8_000_000] * 3))
        await asyncio.sleep(0)
        assert session.send("behind") is Delivery.BUFFERED
        client.writer.transport.resume_reading()
        sizes = [len((await client.read_frame())[1]) for _ in range(4)]
        assert sizes == [8_000_000] * 3 + [0]
        await streaming
        assert await client.read_text() == "behind"


@run
async def test_a_stalled_peer_with_half_a_frame_is_not_looked_at_all_the_time(monkeypatch):
    visits = []
    visit = Connection.on_deadline

    def on_deadline(self, now):
        visits.append(now)
        return visit(self, now)

    monkeypatch.setattr(Connection, "on_deadline", on_deadline)
    handler = Open()
    limits = Limits(frame_seconds=0.1, max_write_stall_seconds=2, max_backpressure_bytes=32 * 1024 * 1024)
    async with serving(handler, limits=limits) as server, upgraded(server) as client:
        (session,) = handler.sessions
        (connection,) = server._context.members
        client.writer.transport.pause_reading()
        client.send(text("half of it")[:5])
        await until(lambda: connection.inspector.unfinished_frame is not None)
        session.send(b"x" * 16_000_000)
        await until(lambda: len(visits) > 1)
        visits.clear()
        await asyncio.sleep(0.5)  # frame_seconds are long over, but nothing is read
        assert len(visits) <= 2
        assert server.events == []


@run
async def test_what_was_sent_during_a_stream_goes_before_what_is_sent_after_it():
    handler = Open()
    gate = asyncio.Event()
    async with serving(handler) as server, upgraded(server) as client:
        (session,) = handler.sessions

        async def work():
            await session.stream(chunks(gate, "a", "b"))
            session.send("second")

        working = asyncio.create_task(work())
        assert await client.read_frame() == (0x01, b"a")
        assert session.send("first") is Delivery.BUFFERED
        gate.set()
        assert await client.read_frame() == (0x00, b"b")
        assert await client.read_frame() == (0x80, b"")
        assert await client.read_text() == "first"
        assert await client.read_text() == "second"
        await working


@run
async def test_drain_waits_for_a_message_behind_a_stream():
    handler = Open()
    gate = asyncio.Event()
    async with serving(handler) as server, upgraded(server) as client:
        (session,) = handler.sessions
        first = asyncio.create_task(session.stream(chunks(gate, "a")))
        assert await client.read_frame() == (0x01, b"a")
        session.send("between")
        draining = asyncio.create_task(session.drain())
        await asyncio.sleep(0)
        gate.set()
        await first
        await asyncio.wait_for(draining, 2)
        assert await client.read_frame() == (0x80, b"")
        assert await client.read_text() == "between"


@run
async def test_a_close_in_the_middle_of_a_stream_with_messages_behind_it():
    handler = Open()
    gate = asyncio.Event()
    failed = []
    asyncio.get_running_loop().set_exception_handler(lambda loop, context: failed.append(context))
    async with serving(handler) as server, upgraded(server) as client:
        (session,) = handler.sessions
        streaming = asyncio.create_task(session.stream(chunks(gate, "a", "b")))
        assert await client.read_frame() == (0x01, b"a")
        session.send("never")
        session.send("never again")
        session.close()
        assert await client.read_close() == (1000, "")
        gate.set()
        with pytest.raises(ClosedError):
            await streaming
        await asyncio.sleep(0)
        client.send(close())
        assert await client.read_eof() == b""
        await until(lambda: handler.ended)
        assert handler.ended == [(1000, "")]
        assert session.dropped == 2
        assert server.events == []
    assert failed == []


@run
async def test_a_stream_that_fails_does_not_stop_a_broadcast():
    handler = Open()
    async with serving(handler) as server, upgraded(server) as client, upgraded(server) as other:
        failing, _ = handler.sessions
        told = []

        async def broken():
            yield "a"
            raise ValueError("no more")

        async def work():
            try:
                await failing.stream(broken())
            except ValueError:
                told.append(broadcast(handler.sessions, "news"))

        await work()
        assert told[0].sent == 1
        assert told[0].closed == 1
        assert await other.read_text() == "news"
        assert await client.read_frame() == (0x01, b"a")
        assert await client.read_close() == (1011, "handler-error")


@run
async def test_a_closed_error_of_another_session_ends_the_stream_too():
    handler = Open()
    async with serving(handler) as server, upgraded(server) as client:
        (session,) = handler.sessions

        async def broken():
            yield "a"
            raise ClosedError("another session has ended")

        with pytest.raises(ClosedError):
            await session.stream(broken())
        assert await client.read_frame() == (0x01, b"a")
        assert await client.read_close() == (1011, "handler-error")
        assert rules(server) == ["handler-error"]
