"""A peer that does not read: what is kept, dropped and told; and what has a time of its own to end."""

import asyncio
import itertools
import json
import socket
import time
from collections import Counter

import pytest

from framewarden import broadcast
from framewarden.errors import ArgumentTypeError, ClosedError
from framewarden.policy import Deflate, Limits, Policy
from framewarden.session import Delivery, Handler
from tests.e2e.attackers import DEFLATE, bomb
from tests.e2e.harness import close, frame, head, rules, run, serving, text, until, upgraded

KERNEL = 8192
"""Bytes that each kernel is asked to hold, so that a peer that does not read is noticed soon."""
MIB = 1 << 20


class Keeper(Handler):
    """Keeps its sessions and what it was told about their end."""

    def __init__(self):
        self.sessions = []
        self.closed = []

    def on_open(self, session):
        self.sessions.append(session)

    def on_close(self, session, code, reason):
        self.closed.append((code, reason))


class Slow:
    """A raw client with a small receive buffer, which reads only when it is told to."""

    def __init__(self, sock):
        self.sock = sock
        self.loop = asyncio.get_running_loop()
        self.data = b""

    async def frames(self, enough):
        """Read frames until ``enough(frames)``, or the end of the stream."""
        found = []
        while not enough(found):
            piece = await asyncio.wait_for(self.loop.sock_recv(self.sock, 65536), 8)
            if not piece:
                break
            self.data += piece
            found += self.parse()
        return found

    def parse(self):
        found = []
        while len(self.data) >= 2:
            size, begin = self.data[1], 2
            if size >= 126:
                begin = 4 if size == 126 else 10
                size = int.from_bytes(self.data[2:begin], "big")
            if len(self.data) < begin + size:
                break
            found.append((self.data[0], self.data[begin : begin + size]))
            self.data = self.data[begin + size :]
        return found


async def connect(server, handler):
    """A slow client, and its session."""
    loop = asyncio.get_running_loop()
    for sock in server._acceptor._sockets:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, KERNEL)
    sock = socket.socket()
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, KERNEL)
    sock.setblocking(False)
    await loop.sock_connect(sock, server.address)
    await loop.sock_sendall(sock, head(server))
    answer = b""
    while not answer.endswith(b"\r\n\r\n"):
        answer += await loop.sock_recv(sock, 1)
    count = len(handler.sessions)
    await until(lambda: len(handler.sessions) > count or handler.sessions)
    return Slow(sock), handler.sessions[-1]


def message(number, size=1000):
    return number.to_bytes(4, "big") + bytes(size - 4)


async def fill(session):
    """Send messages until they have to wait, also when the kernels have moved what they could: how many there are."""
    waited = 0
    for number in range(10_000):
        if session.send(message(number)) is Delivery.SENT:
            waited = 0
            await asyncio.sleep(0)
        else:
            waited += 1
            await asyncio.sleep(0.02)
        if waited == 5:
            return number + 1
    raise AssertionError("the kernel takes everything")


def policy(slow_consumer, **limits):
    return Policy(slow_consumer=slow_consumer, limits=Limits(max_backpressure_bytes=100_000, **limits))


def numbers(frames):
    return [int.from_bytes(payload[:4], "big") for first, payload in frames if first == 0x82]


@run
async def test_close_ends_a_slow_consumer():
    handler = Keeper()
    async with serving(handler, policy("close")) as server:
        client, session = await connect(server, handler)
        count = await fill(session)
        while (delivery := session.send(message(count))) is Delivery.BUFFERED:
            count += 1
        assert delivery is Delivery.DROPPED
        assert rules(server) == ["slow-consumer"]
        await until(lambda: handler.closed == [(4413, "slow-consumer")])
        with pytest.raises(ClosedError):
            session.send(b"x")
        frames = await client.frames(lambda found: False)
        assert frames[-1] == (0x88, (4413).to_bytes(2, "big") + b"slow-consumer")
        assert numbers(frames) == list(range(len(frames) - 1))  # a whole beginning, in order
        client.sock.close()


@run
async def test_drop_newest_keeps_what_came_first():
    handler = Keeper()
    async with serving(handler, policy("drop-newest")) as server:
        client, session = await connect(server, handler)
        count = await fill(session)
        while session.send(message(count)) is Delivery.BUFFERED:
            count += 1
        assert [session.send(message(count + 1)), session.dropped] == [Delivery.DROPPED, 2]
        frames = await client.frames(lambda found: len(found) == count)
        assert numbers(frames) == list(range(count))
        assert session.send(b"last") is Delivery.SENT
        assert await client.frames(len) == [(0x82, b"last")]
        client.sock.close()


@run
async def test_drop_oldest_keeps_what_came_last():
    handler = Keeper()
    async with serving(handler, policy("drop-oldest")) as server:
        client, session = await connect(server, handler)
        begun = await fill(session)
        deliveries = {session.send(message(number)) for number in range(begun, begun + 500)}
        assert deliveries == {Delivery.BUFFERED}
        assert session.dropped > 100
        left = begun + 500 - session.dropped
        seen = numbers(await client.frames(lambda found: len(found) == left))
        first = seen.index(begun + 500 - 1) + 1 - len(seen)
        assert first == 0
        gap = [later - number for number, later in itertools.pairwise(seen) if later != number + 1]
        assert gap == [session.dropped + 1]  # one hole, and on both sides of it everything in order
        client.sock.close()


@run
async def test_latest_keeps_one_message_for_each_key():
    handler = Keeper()
    async with serving(handler, policy("latest")) as server:
        client, session = await connect(server, handler)
        begun = await fill(session)
        for number in range(begun, begun + 300):
            assert session.send(message(number), key=number % 3) is Delivery.BUFFERED
        assert session.dropped == 297
        seen = numbers(await client.frames(lambda found: len(found) == begun + 3))
        assert seen == [*range(begun), begun + 297, begun + 298, begun + 299]
        client.sock.close()


@run
async def test_one_message_that_is_larger_than_everything_that_may_wait_is_delivered():
    handler = Keeper()
    async with serving(handler, policy("close")) as server:
        client, session = await connect(server, handler)
        data = bytes(range(256)) * 4096
        assert session.send(data) is Delivery.SENT
        assert await client.frames(len) == [(0x82, data)]
        assert rules(server) == []
        client.sock.close()


@run
async def test_drain_waits_until_nothing_waits():
    handler = Keeper()
    async with serving(handler, policy("close")) as server:
        client, session = await connect(server, handler)
        await asyncio.wait_for(session.drain(), 1)  # nothing does
        count = await fill(session)
        drained = asyncio.ensure_future(session.drain())
        await asyncio.sleep(0.05)
        assert not drained.done()
        frames = await client.frames(lambda found: len(found) == count)
        await asyncio.wait_for(drained, 8)
        assert numbers(frames) == list(range(count))
        client.sock.close()


@run
async def test_drain_raises_when_the_peer_goes():
    handler = Keeper()
    async with serving(handler, policy("close")) as server:
        client, session = await connect(server, handler)
        await fill(session)
        drained = asyncio.ensure_future(session.drain())
        await asyncio.sleep(0)
        client.sock.close()
        with pytest.raises(ClosedError):
            await asyncio.wait_for(drained, 8)
        with pytest.raises(ClosedError):
            await session.drain()


@run
async def test_stream_sends_fragments_and_others_wait_behind_it():
    handler = Keeper()
    async with serving(handler) as server:
        client, session = await connect(server, handler)
        gate = asyncio.Event()

        async def chunks():
            yield "one"
            await gate.wait()
            yield "two"

        streaming = asyncio.ensure_future(session.stream(chunks()))
        assert await client.frames(len) == [(0x01, b"one")]
        assert session.send("behind") is Delivery.BUFFERED
        second = asyncio.ensure_future(session.stream([b"th", b"ird"]))
        gate.set()
        await asyncio.wait_for(asyncio.gather(streaming, second), 8)
        assert await client.frames(lambda found: len(found) >= 6) == [
            (0x00, b"two"),
            (0x80, b""),
            (0x81, b"behind"),
            (0x02, b"th"),
            (0x00, b"ird"),
            (0x80, b""),
        ]
        client.sock.close()


@run
async def test_a_stream_waits_for_its_peer():
    handler = Keeper()
    async with serving(handler) as server:
        client, session = await connect(server, handler)
        made = []

        def chunks():
            for number in range(1000):
                made.append(number)
                yield message(number)

        streaming = asyncio.ensure_future(session.stream(chunks()))
        await asyncio.sleep(0.1)
        assert len(made) < 500
        frames = await client.frames(lambda found: len(found) == 1001)
        await asyncio.wait_for(streaming, 8)
        assert [int.from_bytes(payload[:4], "big") for _, payload in frames[:-1]] == list(range(1000))
        client.sock.close()


@run
async def test_an_exception_in_the_middle_of_a_stream_closes():
    handler = Keeper()
    async with serving(handler) as server:
        client, session = await connect(server, handler)

        def chunks():
            yield "one"
            raise LookupError

        with pytest.raises(LookupError):
            await session.stream(chunks())
        assert await client.frames(lambda found: False) == [
            (0x01, b"one"),
            (0x88, (1011).to_bytes(2, "big") + b"handler-error"),
        ]
        assert rules(server) == ["handler-error"]
        client.sock.close()


@run
async def test_a_key_that_cannot_be_one_is_refused_before_anybody_has_the_message():
    handler = Keeper()
    async with serving(handler) as server, upgraded(server) as client:
        await until(lambda: handler.sessions)
        with pytest.raises(ArgumentTypeError, match="hashable"):
            broadcast(handler.sessions, "x", key=[])
        broadcast(handler.sessions, "y", key="k")
        assert await client.read_text() == "y"


@run
async def test_broadcast_counts():
    handler = Keeper()
    async with serving(handler, policy("drop-newest")) as server:
        slow, full = await connect(server, handler)
        await fill(full)
        while full.send(message(0)) is Delivery.BUFFERED:
            pass
        waits, waiting = await connect(server, handler)
        await fill(waiting)
        gone, ended = await connect(server, handler)
        gone.sock.close()
        await until(lambda: handler.closed)
        free, session = await connect(server, handler)
        told = broadcast([full, waiting, ended, session], message(7))
        assert (told.sent, told.buffered, told.dropped, told.closed) == (1, 1, 1, 1)
        assert numbers(await free.frames(len)) == [7]
        for client in (slow, waits, free):
            client.sock.close()


@run
async def test_a_write_stall_closes():
    handler = Keeper()
    async with serving(handler, policy("close", max_write_stall_seconds=0.3, close_seconds=0.3)) as server:
        client, session = await connect(server, handler)
        await fill(session)
        await until(lambda: handler.closed == [(4408, "write-stall")])
        assert rules(server) == ["write-stall"]
        client.sock.close()


@run
async def test_a_write_stall_empties_what_waits_where_messages_may_be_dropped():
    handler = Keeper()
    async with serving(handler, policy("drop-oldest", max_write_stall_seconds=0.3)) as server:
        client, session = await connect(server, handler)
        count = await fill(session)
        await until(lambda: session.dropped)
        frames = await client.frames(lambda found: len(found) == count - session.dropped)
        assert numbers(frames) == list(range(count - session.dropped))
        assert session.send(b"on") is Delivery.SENT
        assert await client.frames(len) == [(0x82, b"on")]
        assert rules(server) == []
        client.sock.close()


@run
async def test_a_close_goes_behind_what_waits():
    handler = Keeper()
    async with serving(handler, policy("close")) as server:
        client, session = await connect(server, handler)
        count = await fill(session)
        session.close(4000, "bye")
        frames = await client.frames(lambda found: found and found[-1][0] == 0x88)
        assert numbers(frames) == list(range(count))
        assert frames[-1] == (0x88, (4000).to_bytes(2, "big") + b"bye")
        client.sock.close()


@run
async def test_messages_of_a_peer_that_does_not_read_wait_too():
    """What came in with the message that it does not read the answer of is handled when it reads again."""
    data = bomb(MIB, 90)  # ten of them come in one or two reads
    compressing = Policy(deflate=Deflate(min_bytes=2 * MIB))
    async with serving(None, compressing) as server, upgraded(server, DEFLATE) as client:
        client.send(data * 10)
        await asyncio.sleep(0.3)
        for _ in range(10):
            first, payload = await client.read_frame()
            assert (first, len(payload)) == (0x82, MIB)
        assert rules(server) == []


LATE = [
    ("frame-timeout", {"frame_seconds": 0.3}, [frame(2, bytes(100))[:50]]),
    ("message-timeout", {"message_seconds": 0.3}, [frame(2, b"x", fin=False)]),
    ("message-timeout", {"message_seconds": 0.3}, [frame(2, b"x", fin=False)] + [frame(0, b"y", fin=False)] * 20),
]


@pytest.mark.parametrize(("rule", "limits", "pieces"), LATE)
@run
async def test_what_has_begun_must_end(rule, limits, pieces):
    """Whatever else comes meanwhile."""
    async with serving(limits=Limits(**limits)) as server, upgraded(server) as client:
        begun = time.monotonic()
        for piece in pieces:
            client.send(piece)
            await asyncio.sleep(0.005)
        assert await client.read_close() == (4408, rule)
        assert 0.25 < time.monotonic() - begun < 3
        assert rules(server) == [rule]


@run
async def test_messages_that_end_in_time_go_on():
    async with serving(limits=Limits(frame_seconds=0.4, message_seconds=0.4)) as server, upgraded(server) as client:
        until_then = time.monotonic() + 1.2
        while time.monotonic() < until_then:
            data = text("hello")
            client.send(data[:3])
            await asyncio.sleep(0.02)
            client.send(data[3:])
            assert await client.read_text() == "hello"
        assert rules(server) == []


@run
async def test_a_connection_has_a_lifetime_which_is_not_the_same_for_all():
    handler = Keeper()
    async with serving(handler, limits=Limits(lifetime_seconds=2.0, close_seconds=0.2)) as server:
        begun = time.monotonic()
        ends = []

        async def live():
            async with upgraded(server) as client:
                assert await client.read_close() == (4408, "lifetime")
                ends.append(time.monotonic() - begun)

        await asyncio.gather(*(live() for _ in range(20)))
        assert Counter(rules(server)) == {"lifetime": 20}
        assert min(ends) > 1.7
        assert max(ends) - min(ends) > 0.05


@run
async def test_the_round_trip_is_measured():
    handler = Keeper()
    async with serving(handler, limits=Limits(ping_seconds=0.2)) as server, upgraded(server) as client:
        await until(lambda: handler.sessions)
        assert handler.sessions[0].round_trip is None
        first, payload = await client.read_frame()
        assert first == 0x89
        await asyncio.sleep(0.1)
        client.send(frame(10, payload))
        await until(lambda: handler.sessions[0].round_trip is not None)
        assert 0.09 <= handler.sessions[0].round_trip < 2


@run
async def test_the_memory_budget_sheds_those_that_hold_most():
    handler = Keeper()
    limits = Limits(max_memory_bytes=4 * MIB, max_message_bytes=2 * MIB, max_frame_bytes=2 * MIB)
    async with serving(handler, limits=limits) as server:
        data = frame(2, bytes(2 * MIB))
        async with upgraded(server) as small, upgraded(server) as large, upgraded(server) as last:
            await until(lambda: len(handler.sessions) == 3)
            small.send(data[: 100 * 1024])
            await asyncio.sleep(0.1)
            large.send(data[: MIB + 500_000])
            await asyncio.sleep(0.1)
            assert rules(server) == []
            last.send(data[: MIB + 500_000])
            last.send(data[MIB + 500_000 : -1])
            closes = [asyncio.ensure_future(client.read_close()) for client in (large, last)]
            done, pending = await asyncio.wait(closes, timeout=8, return_when=asyncio.FIRST_COMPLETED)
            assert {task.result() for task in done} == {(1013, "memory-budget")}
            for task in pending:
                task.cancel()
            assert set(rules(server)) == {"memory-budget"}
            small.send(data[100 * 1024 :])  # the one that held little goes on
            await until(lambda: server._context.budget.total < 2 * MIB)
            small.send(close())
            assert await small.read_close() == (1000, "")
            assert json.dumps(sorted(handler.closed)).count("memory-budget") == len(rules(server))
