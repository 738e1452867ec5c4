"""Sessions that are used when their connection has ended, or is ending."""

import asyncio
from itertools import repeat

import pytest

from framewarden import ClosedError, Handler, Limits
from framewarden.session import Delivery, broadcast
from framewarden.transports.ending import POLL_SECONDS
from tests.e2e.harness import close, run, serving, text, until, upgraded

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


def stall(session):
    """Send until something waits."""
    for message in repeat(b"x" * 60_000):
        if session.send(message) is Delivery.BUFFERED:
            return


@pytest.mark.parametrize("stalled", [False, True])
@run
async def test_a_connection_that_is_lost_before_its_close_has_left_takes_nothing_more(stalled):
    handler = Open()
    async with serving(handler) as server, upgraded(server) as client:
        (session,) = handler.sessions
        (connection,) = server._context.members
        if stalled:
            client.writer.transport.pause_reading()
            stall(session)
        connection.inspector.fail("handler-error")
        connection.abort()
        await until(lambda: not server._context.members)
        for attempt in (lambda: session.send("late"), session.ping, lambda: session.stream(["late"]).send(None)):
            with pytest.raises(ClosedError):
                attempt()
        session.close()
        assert broadcast([session], "late").closed == 1
        assert session.peer.host == "127.0.0.1"
        assert server._context.budget.total == 0
        assert handler.ended == [(1011, "handler-error")]


class Late(Open):
    """Fills the way to its peer, then never comes back."""

    async def on_message(self, session, message):
        stall(session)
        try:
            await asyncio.Event().wait()
        finally:
            self.ended.append("cut off")


@run
async def test_a_close_that_waits_behind_what_is_not_read_has_a_deadline():
    handler = Late()
    limits = Limits(close_seconds=0.2)
    async with serving(handler, limits=limits) as server, upgraded(server) as client:
        client.writer.transport.pause_reading()
        client.send(text("go"), close())
        await until(lambda: not server._context.members)
        assert handler.ended == ["cut off", (1000, "")]


class Large(Open):
    """Answers with more than the kernel takes at once."""

    SIZE = 12_000_000

    def on_message(self, session, message):
        session.send(bytes(self.SIZE))


@run
async def test_a_peer_that_has_sent_its_fin_still_gets_everything():
    handler = Large()
    async with serving(handler) as server, upgraded(server) as client:
        client.writer.transport.pause_reading()
        client.send(text("go"), close())
        client.writer.write_eof()
        await until(lambda: handler.ended)
        await asyncio.sleep(4 * POLL_SECONDS)  # it has looked whether something waits, more than once
        client.writer.transport.resume_reading()
        assert len((await client.read_frame())[1]) == Large.SIZE
        assert await client.read_close() == (1000, "")
