"""Messages for a handler that takes its time: order, what is held, when reading pauses, how it ends."""

import asyncio

import pytest

from framewarden.engine import Inspector
from framewarden.policy import Limits
from framewarden.transports.working import ENTRY_BYTES, Work
from tests.e2e.harness import frame


def messages(*payloads):
    return Inspector().receive_data(b"".join(frame(2, payload) for payload in payloads))


class Context:
    def __init__(self):
        self.loop = asyncio.get_running_loop()

    def keep(self, task):
        self.task = task
        return task


class Worker:
    """Remembers what it was told; its handler waits for ``gate``."""

    def __init__(self):
        self.gate = asyncio.Semaphore(0)
        self.told = []
        self.errors = []
        self.error = None
        self.writable = None
        self.work = Work(Context(), Limits(max_queued_messages=4, max_queued_bytes=1000), self)

    async def handle(self, message):
        await self.gate.acquire()
        if self.error is not None:
            raise self.error
        self.told.append(message)

    def call_handler(self, message):
        return None if message == b"at once" else self.handle(message)

    def queue_changed(self):
        self.told.append("full" if self.work.full else "room")

    def handler_failed(self, error):
        self.errors.append(error)

    def wait_writable(self):
        return self.writable

    def worked(self):
        self.told.append("done")

    async def let(self, count):
        for _ in range(count):
            self.gate.release()
        for _ in range(2 * count + 2):
            await asyncio.sleep(0)


def run(test):
    def wrapper():
        asyncio.run(test())

    wrapper.__name__, wrapper.__doc__ = test.__name__, test.__doc__
    return wrapper


@run
async def test_in_order_and_one_at_a_time():
    worker = Worker()
    worker.work.start(worker.handle(b"0"), 1)
    for message in messages(b"1", b"at once", b"2"):
        worker.work.put(message)
    assert len(worker.work) == 3
    await worker.let(1)
    assert worker.told == [b"0"]
    await worker.let(2)
    assert worker.told == [b"0", b"1", b"2", "done"]


@run
async def test_what_is_held_counts_the_message_that_is_worked_on():
    worker = Worker()
    worker.work.start(worker.handle(b"0"), 100)
    assert worker.work.held == 100
    for message in messages(bytes(200), bytes(50)):
        worker.work.put(message)
    assert worker.work.held == 100 + 250 + 2 * ENTRY_BYTES
    await worker.let(1)
    assert worker.work.held == 250 + ENTRY_BYTES  # the one of 200 bytes does not wait any more
    await worker.let(2)
    assert worker.work.held == 0


@pytest.mark.parametrize("payloads", [[b"1", b"2", b"3", b"4"], [bytes(400), bytes(300), bytes(200), bytes(100)]])
def test_reading_pauses_at_the_limit_and_goes_on_at_half_of_it(payloads):
    @run
    async def test():
        worker = Worker()
        worker.work.start(worker.handle(b"0"), 1)
        for number, message in enumerate(messages(*payloads), 1):
            assert worker.told == []
            worker.work.put(message)
            assert worker.work.full == (number == 4)
        assert worker.told == ["full"]
        await worker.let(5)
        assert worker.told.count("room") == 1
        assert worker.told.index("room") in (3, 4)  # behind the messages that made the room
        assert worker.told[-1] == "done"

    test()


@run
async def test_clear_forgets_what_waits_but_not_what_is_worked_on():
    worker = Worker()
    worker.work.start(worker.handle(b"0"), 7)
    for message in messages(b"1", b"2", b"3", b"4"):
        worker.work.put(message)
    worker.work.clear()
    assert worker.told == ["full", "room"]
    assert worker.work.held == 7
    await worker.let(1)
    assert worker.told == ["full", "room", b"0", "done"]


@run
async def test_a_handler_that_fails():
    worker = Worker()
    worker.error = ValueError("no")
    worker.work.start(worker.handle(b"0"), 1)
    await worker.let(1)
    assert worker.errors == [worker.error]
    assert worker.told == ["done"]


@pytest.mark.parametrize("turns", [0, 1, 5])
def test_cancel_ends_it_whether_it_has_begun_or_not(turns):
    """A task that is cancelled before its first step never runs, and could not say that it has ended."""

    @run
    async def test():
        worker = Worker()
        worker.work.start(worker.handle(b"0"), 1)
        for _ in range(turns):
            await asyncio.sleep(0)
        worker.work.cancel()
        for _ in range(5):
            await asyncio.sleep(0)
        assert [type(error) for error in worker.errors] == [asyncio.CancelledError]
        assert worker.told == ["done"]
        assert worker.work.held == 0
        worker.work.cancel()  # nothing is left to cancel

    test()
