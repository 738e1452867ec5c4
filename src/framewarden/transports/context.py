"""What all connections of one server share."""

import asyncio
from collections.abc import Callable
from typing import Protocol

from framewarden.admission import Admission, report_refusal
from framewarden.codec._payload import return_pages
from framewarden.engine import Event
from framewarden.policy import Policy
from framewarden.session import Handler, Session
from framewarden.transports.budget import MemoryBudget, memory_limit
from framewarden.transports.wheel import TimerWheel

__all__ = ["RECEIVE_BUFFER_BYTES", "Context", "Member"]

RECEIVE_BUFFER_BYTES = 64 * 1024
RETURN_SECONDS = 0.05
"""Between two times that pages are given back to the system, which takes some milliseconds, unless memory is short."""
LARGEST_TICK = 0.25
SMALLEST_TICK = 0.01


class Member(Protocol):
    """A socket of the server, in whatever state it is."""

    def shut_down(self, code: int) -> None:
        """Begin to close, with this code where a Close frame can be sent."""

    def abort(self) -> None:
        """Close at once."""


class Flushable(Protocol):
    """Something to whom was sent."""

    def flush(self) -> None:
        """Write it."""


class Context:
    """What all connections of one server share: policy, handler, timers, memory budget, and one receive buffer.

    One buffer is enough for every connection, because a read is judged completely, and what has to stay is copied,
    before the event loop reads again.
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        policy: Policy,
        handler: Handler,
        admission: Admission,
        *,
        secure: bool,
        workers: int = 1,
    ) -> None:
        limits = policy.limits
        self.loop = loop
        self.policy = policy
        self.handler = handler
        self.admission = admission
        self.secure = secure
        shortest = min(
            value
            for name in limits.__struct_fields__
            if name.endswith("_seconds")
            for value in (getattr(limits, name),)
        )
        tick = min(LARGEST_TICK, max(SMALLEST_TICK, shortest / 8))
        self.wheel = TimerWheel(loop, tick)
        self.now = loop.time
        self.on_message = handler.on_message
        self.on_control: Callable[[Session, Event], None] | None = None
        """Called with the session and a Ping, Pong or Close of its peer, for who wants to know of them."""
        self.budget = MemoryBudget(memory_limit(limits.max_memory_bytes, workers), self._return_pages)
        self.buffer = bytearray(RECEIVE_BUFFER_BYTES)
        self.members: set[Member] = set()
        self.tasks: set[asyncio.Task[None]] = set()
        self._waiters: list[asyncio.Future[None]] = []
        self._to_flush: list[Flushable] = []
        self._to_end: list[Flushable] = []
        self._settling = False
        self._return_at = 0.0
        self._return_later: asyncio.TimerHandle | None = None

    def refused(self, rule: str, address: str) -> None:
        """A peer was refused before it was connected."""
        report_refusal(self.policy, rule, address)

    def flush_later(self, connection: Flushable) -> None:
        """Flush ``connection`` in the next turn of the loop, with all others to whom was sent: one callback for all."""
        if not self._to_flush:
            self.loop.call_soon(self._flush_all)
        self._to_flush.append(connection)

    def end_soon(self, connection: Flushable) -> None:
        """Flush ``connection``, which was shed, in the next turn of the loop, before all others."""
        if not self._to_end:
            self.loop.call_soon(self._end_all)
        self._to_end.append(connection)

    def _end_all(self) -> None:
        connections, self._to_end = self._to_end, []
        for connection in connections:
            self._flush(connection)

    def _flush_all(self) -> None:
        connections, self._to_flush = self._to_flush, []
        for connection in connections:
            self._flush(connection)

    def _flush(self, connection: Flushable) -> None:
        try:
            connection.flush()
        except Exception as error:  # noqa: BLE001  # one connection's error is not that of those behind it
            self.loop.call_exception_handler({"message": "framewarden: a flush failed", "exception": error})

    def _return_pages(self) -> None:
        """What is given back is free when its holder has returned, and its tasks and handles are gone, too."""
        if not self._settling:
            self._settling = True
            self.loop.call_soon(self.loop.call_soon, self._settle)

    def _settle(self) -> None:
        self._settling = False
        if self.budget.crowded or self.now() >= self._return_at:  # else the next fall, or the end of the pause, does it
            self._return_at = self.now() + RETURN_SECONDS
            return_pages()
        elif self._return_later is None:
            self._return_later = self.loop.call_later(RETURN_SECONDS, self._return_now)
        self.budget.settle()

    def _return_now(self) -> None:
        self._return_later = None
        return_pages()

    def keep(self, task: asyncio.Task[None]) -> asyncio.Task[None]:
        """Hold a reference to ``task`` until it is done: the event loop has only a weak one."""
        self.tasks.add(task)
        task.add_done_callback(self.tasks.discard)
        return task

    def add(self, member: Member) -> None:
        """A socket was accepted."""
        self.members.add(member)

    def discard(self, member: Member) -> None:
        """A socket is gone."""
        self.members.discard(member)
        if not self.members:
            for waiter in self._waiters:
                if not waiter.done():
                    waiter.set_result(None)
            self._waiters.clear()

    def replace(self, old: Member, new: Member) -> None:
        """A socket goes on as something else."""
        self.members.add(new)
        self.members.discard(old)

    async def wait_empty(self, seconds: float) -> bool:
        """Wait until no socket is left, at most ``seconds``. Returns whether none is."""
        if self.members:
            waiter = self.loop.create_future()
            self._waiters.append(waiter)
            await asyncio.wait([waiter], timeout=seconds)
        return not self.members
