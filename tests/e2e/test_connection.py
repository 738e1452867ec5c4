"""A connection over real sockets, seen by a raw client: frames, order, deadlines, every way to end."""

import asyncio
import logging
import os

import pytest

from framewarden.errors import ClosedError
from framewarden.policy import Limits
from framewarden.rfc6455 import State
from framewarden.session import Handler
from tests.e2e.harness import close, connected, frame, head, rules, run, serving, text, until, upgraded

pytestmark = pytest.mark.usefixtures("both_carriers")


class Recorder(Handler):
    """Remembers what it was told."""

    def __init__(self):
        self.told = []
        self.sessions = []

    def on_open(self, session):
        self.sessions.append(session)
        self.told.append("open")

    def on_message(self, session, message):
        self.told.append(message)

    def on_close(self, session, code, reason):
        self.told.append((code, reason))


@run
async def test_echo():
    async with serving() as server, upgraded(server) as client:
        client.send(text("one"), frame(2, b"two"), frame(1, b"th", fin=False), frame(9, b"p"), frame(0, b"ree"))
        got = {await client.read_frame() for _ in range(4)}  # the Pong may overtake what the handler sends
        assert got == {(0x81, b"one"), (0x82, b"two"), (0x8A, b"p"), (0x81, b"three")}


@run
async def test_the_session():
    handler = Recorder()
    async with serving(handler) as server, upgraded(server, path="/a?b=c") as client:
        await until(lambda: handler.sessions)
        session = handler.sessions[0]
        assert (session.path, session.query, session.subprotocol, session.identity) == ("/a", "b=c", None, None)
        assert (session.peer.host, session.peer.local_port, session.peer.tls) == ("127.0.0.1", server.address[1], None)
        assert session.peer.port == client.writer.get_extra_info("sockname")[1]
        assert session.state is State.OPEN


@run
async def test_the_client_closes():
    handler = Recorder()
    async with serving(handler) as server, upgraded(server) as client:
        client.send(text("last"), close(1000, "bye"))
        assert await client.read_close() == (1000, "")
        assert await client.read_eof() == b""
        await until(lambda: len(handler.told) == 3)
        assert handler.told == ["open", "last", (1000, "bye")]


@run
async def test_an_empty_close():
    handler = Recorder()
    async with serving(handler) as server, upgraded(server) as client:
        client.send(frame(8))
        assert await client.read_close() == (None, "")
        await until(lambda: handler.told == ["open", (1005, "")])


@run
async def test_the_server_closes():
    class Bye(Handler):
        def on_message(self, session, message):
            session.close(4000, "bye")
            session.send("leaves before the Close")

    async with serving(Bye) as server, upgraded(server) as client:
        client.send(text("go"))
        assert await client.read_text() == "leaves before the Close"
        assert await client.read_close() == (4000, "bye")
        client.send(close(4000))
        assert await client.read_eof() == b""


@run
async def test_a_close_that_is_not_answered():
    handler = Recorder()
    async with serving(handler, limits=Limits(close_seconds=0.2)) as server, upgraded(server) as client:
        await until(lambda: handler.sessions)
        handler.sessions[0].close()
        assert await client.read_close() == (1000, "")
        assert await client.read_eof() == b""
        await until(lambda: handler.told == ["open", (1006, "")])


VIOLATIONS = [
    (1002, "unmasked-frame", frame(1, b"x", masked=False)),
    (1002, "reserved-opcode", frame(3)),
    (1002, "reserved-bits", frame(1, b"x", rsv=4)),
    (1007, "invalid-utf8", frame(1, b"\xff")),
    (1007, "invalid-utf8", frame(1, b"\xff" + b"x" * 100)[:10]),  # at the first bad byte, the frame is not complete
    (1002, "close-code", close(1005)),
    (1009, "frame-too-big", frame(1, b"x" * 2_000_000)),
]


@pytest.mark.parametrize(("code", "rule", "data"), VIOLATIONS)
@run
async def test_a_violation_closes_and_the_close_frame_arrives(code, rule, data):
    handler = Recorder()
    async with serving(handler) as server, upgraded(server) as client:
        client.send(text("good"), data, b"\x00" * 500_000)
        assert await client.read_close() == (code, rule)
        assert await client.read_eof() == b""
        await until(lambda: len(handler.told) == 3)
        assert handler.told == ["open", "good", (code, rule)]
        assert [(event.rule, event.action) for event in server.events] == [(rule, "fail")]
        assert server.events[0].session_id == handler.sessions[0].id


@run
async def test_what_is_sent_for_one_read_leaves_in_one_write():
    class Twice(Handler):
        def on_message(self, session, message):
            session.send(message)
            session.send(message)

    async with serving(Twice) as server, upgraded(server) as client:
        client.send(b"".join(text(str(number)) for number in range(50)))
        expected = b"".join(frame(1, str(number).encode(), masked=False) * 2 for number in range(50))
        # One write on loopback is one segment, and one read of it.
        assert await client.reader.read(1 << 16) == expected


@run
async def test_sends_from_outside_are_gathered_too():
    handler = Recorder()
    async with serving(handler) as server, upgraded(server) as client:
        await until(lambda: handler.sessions)
        for number in range(10):
            handler.sessions[0].send(str(number))
        data = await client.reader.read(1000)
        assert len(data) == 30


@run
async def test_big_messages():
    big = bytes(range(256)) * 4000
    async with serving() as server, upgraded(server) as client:
        client.send(frame(2, big))
        assert await client.read_frame() == (0x82, big)


@run
async def test_a_thousand_frames_in_one_read():
    async with serving() as server, upgraded(server) as client:
        client.send(text("") * 5000)
        for _ in range(5000):
            assert await client.read_text() == ""


# Asynchronous handlers


class Async(Recorder):
    """Waits for a gate at every message."""

    def __init__(self):
        super().__init__()
        self.gate = asyncio.Semaphore(0)
        self.running = 0

    async def on_open(self, session):
        self.sessions.append(session)
        await asyncio.sleep(0)
        self.told.append("open")

    async def on_message(self, session, message):
        assert self.running == 0
        self.running += 1
        await self.gate.acquire()
        self.running -= 1
        self.told.append(message)
        session.send(message)

    async def on_close(self, session, code, reason):
        await asyncio.sleep(0)
        self.told.append((code, reason))


def let(handler, count):
    for _ in range(count):
        handler.gate.release()


@run
async def test_one_message_at_a_time_and_in_order():
    handler = Async()
    async with serving(handler) as server, upgraded(server) as client:
        client.send(*(text(str(number)) for number in range(20)), frame(9, b"ping"))
        assert await client.read_frame() == (0x8A, b"ping")  # answered while the handler waits
        assert handler.told in ([], ["open"])
        let(handler, 20)
        assert [await client.read_text() for _ in range(20)] == [str(number) for number in range(20)]
        client.send(close())
        assert await client.read_close() == (1000, "")
        await until(lambda: len(handler.told) == 22)
        assert handler.told == ["open", *map(str, range(20)), (1000, "")]


@run
async def test_a_close_is_answered_while_the_handler_waits_and_what_came_before_is_still_handled(caplog):
    handler = Async()
    async with serving(handler, limits=Limits(close_seconds=0.2)) as server, upgraded(server) as client:
        client.send(text("a"), text("b"), close(1000))
        assert await client.read_close() == (1000, "")
        assert await client.read_eof() == b""
        let(handler, 2)
        await until(lambda: (1000, "") in handler.told)
        # "b" is not handled: the send for "a" said that the peer is gone, and the handler did not catch it.
        assert handler.told in (["open", "a", (1000, "")], ["open", "a", "b", (1000, "")])
        assert caplog.records == []


@run
async def test_reading_pauses_when_the_queue_is_full():
    handler = Async()
    limits = Limits(max_queued_messages=4)
    async with serving(handler, limits=limits) as server, upgraded(server) as client:
        for number in range(3000):
            client.send(text(str(number)))
        await asyncio.sleep(0.2)
        member = next(iter(server._context.members))
        assert member.is_behind
        assert member.queued <= 2048  # what one read had in it
        let(handler, 3000)
        assert [await client.read_text() for _ in range(3000)] == [str(number) for number in range(3000)]


@run
async def test_a_queue_that_stays_full():
    handler = Async()
    limits = Limits(max_queued_messages=2, idle_seconds=0.2, ping_seconds=10)
    async with serving(handler, limits=limits) as server, upgraded(server) as client:
        client.send(text("x") * 10)
        assert await client.read_close() == (1013, "overloaded")
        assert rules(server) == ["overloaded"]
        let(handler, 10)


@run
async def test_a_slow_handler_is_not_the_peers_silence():
    handler = Async()
    limits = Limits(max_queued_messages=1000, idle_seconds=0.3, ping_seconds=0.05, pong_seconds=0.2)
    async with serving(handler, limits=limits) as server, upgraded(server) as client:
        client.send(text("x"))
        for _ in range(8):
            first, payload = await client.read_frame()
            assert first == 0x89
            client.send(frame(10, payload))
        let(handler, 1)
        assert await client.read_text() == "x"
        assert server.events == []


# Errors of the handler

SECRET = "what a log must not quote"


@pytest.mark.parametrize("where", ["on_open", "on_message", "later", "on_close"])
@run
async def test_an_exception_of_the_handler_is_1011(where, caplog):
    caplog.set_level(logging.ERROR)

    class Broken(Handler):
        def on_open(self, session):
            if where == "on_open":
                raise RuntimeError(SECRET)

        def on_message(self, session, message):
            if where == "later":
                return self.later()
            if where == "on_message":
                raise RuntimeError(message)
            return None

        async def later(self):
            await asyncio.sleep(0)
            raise RuntimeError(SECRET)

        def on_close(self, session, code, reason):
            if where == "on_close":
                raise RuntimeError(SECRET)

    async with serving(Broken) as server, upgraded(server) as client:
        client.send(text(SECRET) if where != "on_close" else close())
        assert await client.read_close() == ((1011, "handler-error") if where != "on_close" else (1000, ""))
        await client.read_eof()
        assert rules(server) == (["handler-error"] if where != "on_close" else [])
        await until(lambda: caplog.records)
        assert "RuntimeError" in caplog.text
        assert SECRET not in caplog.text


@run
async def test_an_async_exception_is_1011():
    class Broken(Handler):
        async def on_message(self, session, message):
            await asyncio.sleep(0)
            session.send("before")
            raise ValueError

    async with serving(Broken) as server, upgraded(server) as client:
        client.send(text("x"), text("y"))
        assert await client.read_text() == "before"
        assert await client.read_close() == (1011, "handler-error")
        assert rules(server) == ["handler-error"]


@run
async def test_a_handler_that_cancels_itself_is_1011():
    class Cancelling(Handler):
        async def on_message(self, session, message):
            asyncio.current_task().cancel()
            await asyncio.sleep(0)

    async with serving(Cancelling) as server, upgraded(server) as client:
        client.send(text("x"), text("y"))
        assert await client.read_close() == (1011, "handler-error")


@pytest.mark.parametrize("where", ["on_open", "on_message"])
@run
async def test_a_cancelled_error_that_a_handler_raises_is_1011(where):
    class Cancelling(Handler):
        def on_open(self, session):
            if where == "on_open":
                raise asyncio.CancelledError

        def on_message(self, session, message):
            raise asyncio.CancelledError

    async with serving(Cancelling) as server, upgraded(server) as client:
        client.send(text("x"))
        assert await client.read_close() == (1011, "handler-error")
        assert rules(server) == ["handler-error"]


@run
async def test_what_is_sent_after_an_error_of_ours_still_leaves():
    handler = Recorder()

    class Broken(type(handler)):
        def on_message(self, session, message):
            session.send(message)
            raise KeyboardInterrupt

    handler = Broken()
    async with serving(handler) as server, upgraded(server):
        await until(lambda: handler.sessions)
        connection = next(iter(server._context.members))
        data = text("x")
        connection.get_buffer(-1)[: len(data)] = data
        with pytest.raises(KeyboardInterrupt):
            connection.buffer_updated(len(data))
        assert not connection.flushing


@run
async def test_a_send_after_the_end_raises_and_is_not_an_error_of_the_handler(caplog):
    seen = []

    class Late(Handler):
        async def on_message(self, session, message):
            session.close()
            await asyncio.sleep(0.05)
            try:
                session.send("too late")
            except ClosedError as error:
                seen.append(error)
                raise

    async with serving(Late) as server, upgraded(server) as client:
        client.send(text("x"))
        assert await client.read_close() == (1000, "")
        client.send(close())
        await client.read_eof()
        await until(lambda: seen)
        await asyncio.sleep(0.02)
        assert caplog.records == []
        assert server.events == []


# Deadlines


@run
async def test_ping_after_silence_and_pong():
    limits = Limits(ping_seconds=0.1, pong_seconds=0.2, idle_seconds=10)
    async with serving(limits=limits) as server, upgraded(server) as client:
        for _ in range(4):
            first, payload = await client.read_frame()
            assert first == 0x89
            client.send(frame(10, payload))
        assert await client.read_frame() == (0x89, payload)
        assert await client.read_close() == (4408, "pong-timeout")
        assert rules(server) == ["pong-timeout"]


@run
async def test_an_unsolicited_pong_is_no_answer():
    limits = Limits(ping_seconds=0.1, pong_seconds=0.3, idle_seconds=10)
    async with serving(limits=limits) as server, upgraded(server) as client:
        assert (await client.read_frame())[0] == 0x89
        client.send(frame(10, b"something else"))
        assert await client.read_close() == (4408, "pong-timeout")


@run
async def test_a_frame_that_keeps_coming_is_an_answer():
    limits = Limits(ping_seconds=0.1, pong_seconds=0.2, idle_seconds=10)
    async with serving(limits=limits) as server, upgraded(server) as client:
        data = text("x" * 100)
        client.send(data[:50])
        assert (await client.read_frame())[0] == 0x89
        for index in range(50, len(data)):
            await asyncio.sleep(0.01)
            client.send(data[index : index + 1])
        assert await client.read_text() == "x" * 100
        assert server.events == []


@run
async def test_idle():
    limits = Limits(ping_seconds=10, idle_seconds=0.2)
    async with serving(limits=limits) as server, upgraded(server) as client:
        client.send(text("x"))
        assert await client.read_text() == "x"
        assert await client.read_close() == (4408, "idle-timeout")
        assert await client.read_eof() == b""


# Every other way to end


@pytest.mark.parametrize("how", ["eof", "reset", "reset in a frame"])
@run
async def test_a_connection_that_is_just_gone(how, caplog):
    handler = Recorder()
    async with serving(handler) as server:
        async with upgraded(server) as client:
            client.send(text("x"), text("y")[:4] if "frame" in how else b"")
            await until(lambda: "x" in handler.told)
            if how == "eof":
                client.writer.write_eof()
                assert await client.read_eof() == b""
            else:
                client.reset()
        await until(lambda: len(handler.told) == 3)
        assert handler.told == ["open", "x", (1006, "")]
        await until(lambda: not server._context.members)
        assert server.events == []
        assert caplog.records == []


@run
async def test_a_reset_while_the_handler_waits():
    handler = Async()
    async with serving(handler) as server, upgraded(server) as client:
        client.send(text("x"))
        await until(lambda: handler.running)
        client.reset()
        await until(lambda: is_lost(server))
        assert server._context.members  # it counts as long as work is done for it
        let(handler, 1)
        await until(lambda: handler.told == ["open", "x", (1006, "")])
        await until(lambda: not server._context.members)


def is_lost(server):
    return all(member.is_gone for member in server._context.members)


@run
async def test_the_work_of_dead_connections_counts_as_connections():
    handler = Async()
    limits = Limits(max_connections=2, close_seconds=30)
    async with serving(handler, limits=limits) as server:
        for _ in range(2):
            async with upgraded(server) as client:
                handler.running = 0
                client.send(text("x") * 50)
                await until(lambda: handler.running)
                client.reset()
                await until(lambda: is_lost(server))
        members = tuple(server._context.members)
        assert [member.queued for member in members] == [0, 0]  # nobody waits for the other 49
        async with connected(server) as client:
            assert await client.read_head() == 503
        handler.running = 2
        let(handler, 2)
        await until(lambda: not server._context.members)
        assert handler.told == ["open", "open", "x", "x", (1006, ""), (1006, "")]
        async with upgraded(server):
            pass


BAD = b"\xf0" + frame(1, b"x")[1:]
"""RSV1 to RSV3 are set."""


@pytest.mark.parametrize(
    ("end", "expected"),
    [(close(), (1000, "")), (BAD, (1002, "reserved-bits")), (BAD + close(), (1002, "reserved-bits"))],
)
@run
async def test_a_handler_that_takes_time_answers_what_came_before_the_end(end, expected):
    handler = Async()
    async with serving(handler) as server, upgraded(server) as client:
        client.send(text("one") + text("two") + end)
        await until(lambda: handler.running)
        await asyncio.sleep(0.02)
        handler.gate.release()
        assert await client.read_text() == "one"
        handler.gate.release()
        assert await client.read_text() == "two"
        assert await client.read_close() == expected
        assert await client.read_eof() == b""
        await until(lambda: not server._context.members)
        assert handler.told == ["open", "one", "two", expected]


@run
async def test_a_peer_that_closes_its_side_behind_the_close_gets_its_answer():
    handler = Async()
    async with serving(handler) as server, upgraded(server) as client:
        client.send(text("one") + close())
        client.writer.write_eof()
        await until(lambda: handler.running)
        await asyncio.sleep(0.02)
        handler.gate.release()
        assert await client.read_text() == "one"
        assert await client.read_close() == (1000, "")
        assert await client.read_eof() == b""
        await until(lambda: not server._context.members)


@run
async def test_a_close_waits_for_a_handler_no_longer_than_close_seconds():
    handler = Async()
    async with serving(handler, limits=Limits(close_seconds=0.2)) as server, upgraded(server) as client:
        client.send(text("one") + close())
        assert await client.read_close() == (1000, "")
        assert await client.read_eof() == b""
        client.writer.close()
        await until(lambda: not server._context.members)
        assert handler.told == ["open", (1000, "")]


@pytest.mark.parametrize("how", ["reset", "close"])
@run
async def test_a_handler_that_hangs_is_cut_off_after_the_end(how):
    handler = Async()
    async with serving(handler, limits=Limits(close_seconds=0.2)) as server, upgraded(server) as client:
        client.send(text("x"), text("y"))
        await until(lambda: handler.running)
        if how == "reset":
            client.reset()
        else:
            client.send(close())
            assert await client.read_close() == (1000, "")
            assert await client.read_eof() == b""
            client.writer.close()
        await until(lambda: not server._context.members)
        assert handler.told == ["open", (1006, "") if how == "reset" else (1000, "")]
        await until(lambda: not server._context.tasks)
        assert sum(map(len, server._context.wheel._slots.values())) == 0


@run
async def test_closing_in_on_open_has_a_deadline():
    class Closing(Handler):
        def on_open(self, session):
            session.close(4000)

    async with serving(Closing, limits=Limits(close_seconds=0.2)) as server, upgraded(server) as client:
        assert await client.read_close() == (4000, "")
        assert await asyncio.wait_for(client.reader.read(), 2) == b""


@run
async def test_a_handler_that_closes_while_its_queue_is_full():
    class Closing(Handler):
        async def on_message(self, session, message):
            await asyncio.sleep(0.05)
            session.close(4000)
            session.send("before the Close, if it is the first")

    limits = Limits(max_queued_messages=4, close_seconds=5)
    async with serving(Closing, limits=limits) as server, upgraded(server) as client:
        for _ in range(3000):
            client.send(text("x"))
        assert (await client.read_frame())[0] == 0x81
        assert await client.read_close() == (4000, "")
        client.send(close(4000))
        assert await asyncio.wait_for(client.reader.read(), 2) == b""  # not a reset, and at once


@run
async def test_a_client_that_does_not_read_is_not_read_either():
    limits = Limits(ping_seconds=10, idle_seconds=0.5, close_seconds=0.2)
    async with serving(limits=limits) as server, upgraded(server) as client:
        client.writer.transport.pause_reading()
        descriptor = client.writer.get_extra_info("socket").fileno()
        pending = memoryview(frame(2, b"x" * 60_000) * 2000)
        while pending and server._context.members:
            try:
                pending = pending[os.write(descriptor, pending) :]
            except BlockingIOError:
                await asyncio.sleep(0.02)
            except ConnectionError:
                break
        assert len(pending) > 50_000_000  # the server stopped reading, and what is sent back did not pile up
        assert rules(server) == ["idle-timeout"]


@run
async def test_stopping_the_server_says_going_away():
    handler = Recorder()
    async with serving(handler) as server:
        async with upgraded(server) as client, connected(server) as half:
            half.send(head(server)[:10])
            await asyncio.sleep(0.02)
            stopping = asyncio.create_task(server.close())
            assert await client.read_close() == (1001, "")
            client.send(close(1001))
            assert await client.read_eof() == b""
            assert await half.read_eof() == b""
            await stopping
        assert handler.told == ["open", (1001, "")]
        assert server.addresses == []


@run
async def test_stopping_does_not_wait_for_ever():
    handler = Async()
    limits = Limits(close_seconds=0.1)
    async with serving(handler, limits=limits) as server, upgraded(server) as client:
        client.send(text("never finished"))
        await until(lambda: handler.running)
        await asyncio.wait_for(server.close(), 4)
        assert handler.told == ["open", (1006, "")]
