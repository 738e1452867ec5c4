"""What all connections of one server share."""

import asyncio
from typing import Protocol

from framewarden.admission import Admission, report_refusal
from framewarden.policy import Policy
from framewarden.session import Handler
from framewarden.transports.wheel import TimerWheel

__all__ = ["RECEIVE_BUFFER_BYTES", "Context", "Member"]

RECEIVE_BUFFER_BYTES = 64 * 1024
LARGEST_TICK = 0.25
SMALLEST_TICK = 0.01


class Member(Protocol):
    """A socket of the server, in whatever state it is."""

    def shut_down(self, code: int) -> None:
        """Begin to close, with this code where a Close frame can be sent."""

    def abort(self) -> None:
        """Close at once."""


class Context:
    """What all connections of one server share: policy, handler, timers, and one receive buffer.

    One buffer is enough for every connection, because a read is judged completely, and what has to stay is copied,
    before the event loop reads again.
    """

    def __init__(
        self, loop: asyncio.AbstractEventLoop, policy: Policy, handler: Handler, admission: Admission, *, secure: bool
    ) -> None:
        limits = policy.limits
        self.loop = loop
        self.policy = policy
        self.handler = handler
        self.admission = admission
        self.secure = secure
        shortest = min(limits.handshake_seconds, limits.idle_seconds, limits.ping_seconds, limits.pong_seconds)
        tick = min(LARGEST_TICK, max(SMALLEST_TICK, min(shortest, limits.close_seconds) / 8))
        self.wheel = TimerWheel(loop, tick)
        self.buffer = bytearray(RECEIVE_BUFFER_BYTES)
        self.members: set[Member] = set()
        self.tasks: set[asyncio.Task[None]] = set()
        self._waiters: list[asyncio.Future[None]] = []

    def refused(self, rule: str, address: str) -> None:
        """A peer was refused before it was connected."""
        report_refusal(self.policy, rule, address)

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
