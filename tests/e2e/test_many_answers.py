"""Small questions with large answers: a client that asks for many at once gets all of them, at its own pace."""

import asyncio

import pytest

from framewarden.policy import Limits
from framewarden.session import Handler
from tests.e2e.harness import close, frame, rules, run, serving, text, until, upgraded

pytestmark = pytest.mark.usefixtures("both_carriers")

ANSWER = "x" * 200_000
QUESTIONS = 60
"""Together their answers are more than the kernel takes, and many times what may wait."""
LIMITS = Limits(max_backpressure_bytes=300_000, max_queued_messages=1000, close_seconds=8)


class Generous(Handler):
    """Answers at once."""

    def on_message(self, session, message):
        session.send(message + ANSWER)


class Deliberate(Handler):
    """Answers a little later, without asking whether the peer reads."""

    async def on_message(self, session, message):
        await asyncio.sleep(0)
        session.send(message + ANSWER)


async def read_answers(client, count):
    return [len(await client.read_text()) - len(ANSWER) for _ in range(count)]


@pytest.mark.parametrize("handler", [Generous, Deliberate])
@run
async def test_all_answers_arrive(handler):
    async with serving(handler, limits=LIMITS) as server, upgraded(server) as client:
        client.send(b"".join(text("q" * number) for number in range(QUESTIONS)))
        await asyncio.sleep(0.2)  # it asks, and does something else first
        assert await read_answers(client, QUESTIONS) == list(range(QUESTIONS))
        client.send(text("again"))
        assert await read_answers(client, 1) == [5]
        assert rules(server) == []


@pytest.mark.parametrize("handler", [Generous, Deliberate])
@pytest.mark.parametrize(("end", "expected"), [(close(), (1000, "")), (b"\xf0", (1002, "reserved-bits"))])
@run
async def test_also_those_before_a_close_in_the_same_read(handler, end, expected):
    async with serving(handler, limits=LIMITS) as server, upgraded(server) as client:
        client.send(b"".join(text("q" * number) for number in range(QUESTIONS)) + end)
        await asyncio.sleep(0.2)
        assert await read_answers(client, QUESTIONS) == list(range(QUESTIONS))
        assert await client.read_close() == expected
        assert await client.read_eof() == b""


@run
async def test_what_comes_in_many_reads_while_answers_wait():
    async with serving(Generous, limits=LIMITS) as server, upgraded(server) as client:
        for number in range(QUESTIONS):
            client.send(text("q" * number))
            await asyncio.sleep(0.002)
        client.send(frame(9, b"ping"))
        frames = [await client.read_frame() for _ in range(QUESTIONS + 1)]
        frames.remove((0x8A, b"ping"))  # it may overtake answers
        assert [len(payload) - len(ANSWER) for _, payload in frames] == list(range(QUESTIONS))


@pytest.mark.parametrize("handler", [Generous, Deliberate])
@run
async def test_a_peer_that_goes_away_meanwhile(handler):
    async with serving(handler, limits=LIMITS) as server:
        async with upgraded(server) as client:
            client.send(b"".join(text("q" * number) for number in range(QUESTIONS)))
            await asyncio.sleep(0.1)
            client.reset()
        await until(lambda: not server._context.members)
        assert rules(server) == []
        assert server._context.budget.total == 0
