"""Handlers that take time: one message at a time, the others wait, and reading pauses when too many do."""

import asyncio
import contextlib
from collections import deque
from collections.abc import Awaitable
from typing import Any, Protocol

from framewarden.engine import Message
from framewarden.errors import ClosedError
from framewarden.policy import Limits
from framewarden.transports.context import Context

__all__ = ["Work", "Worker"]

ENTRY_BYTES = 256
"""What a message that waits costs beside its payload."""


class Worker(Protocol):
    """Whose messages these are."""

    def call_handler(self, message: Any) -> Awaitable[None] | None:
        """Give the handler a message; what it returns is awaited."""

    def queue_changed(self) -> None:
        """More or less waits than before; ``full`` may have changed."""

    def handler_failed(self, error: BaseException) -> None:
        """The handler raised."""

    def wait_writable(self) -> Awaitable[None] | None:
        """Something that is done when the peer takes answers again; None: it does.

        It raises ClosedError when the connection ends.
        """

    def worked(self) -> None:
        """Nothing is awaited any more."""


class Work:
    """What one handler is doing for one connection, and the messages that wait for it.

    Args:
        context: the server's.
        limits: how much may wait before reading pauses.
        worker: the connection.
    """

    __slots__ = ("_context", "_limits", "_queue", "_task", "_worker", "bytes", "full", "running")

    def __init__(self, context: Context, limits: Limits, worker: Worker) -> None:
        self._context = context
        self._limits = limits
        self._worker = worker
        self._queue: deque[Message] = deque()
        self._task: asyncio.Task[None] | None = None
        self.bytes = 0
        self.full = False
        self.running = 0
        """Bytes of the message that the handler works on."""

    def __len__(self) -> int:
        return len(self._queue)

    @property
    def held(self) -> int:
        """Bytes of all messages that are kept here, with the one that the handler works on."""
        return self.bytes + self.running

    def start(self, awaitable: Awaitable[None], size: int = 0) -> None:
        """Await what a hook of the handler returned, then handle what has come in meanwhile.

        Args:
            awaitable: it.
            size: bytes of the message that the hook was given.
        """
        self.running = size
        self._task = self._context.keep(self._context.loop.create_task(self._run(awaitable)))

    def put(self, message: Message) -> None:
        """A message came in while the handler works."""
        self._queue.append(message)
        self.bytes += message.inflated_bytes + ENTRY_BYTES
        if not self.full and self._holds(1):
            self.full = True
            self._worker.queue_changed()

    def _holds(self, parts: int) -> bool:
        """Whether the queue holds one of so many parts of its limits: reading goes on when it is half empty again."""
        waiting = self.bytes - len(self._queue) * ENTRY_BYTES
        return (
            len(self._queue) * parts >= self._limits.max_queued_messages
            or waiting * parts >= self._limits.max_queued_bytes
        )

    def clear(self) -> None:
        """Forget what waits."""
        self._queue.clear()
        self.bytes = 0
        if self.full:
            self.full = False
            self._worker.queue_changed()

    def cancel(self) -> None:
        """Stop what is being awaited, but not before its first step: a task that never ran cannot say that it ended."""
        if self._task is not None:
            self._context.loop.call_soon(self._task.cancel)

    async def _until_writable(self) -> None:
        """What the handler answers next would only wait for a peer that does not read."""
        writable = self._worker.wait_writable()
        if writable is not None:
            with contextlib.suppress(ClosedError):  # what came before the end is still handled
                await writable

    async def _run(self, awaitable: Awaitable[None]) -> None:
        try:
            await awaitable
            while self._queue:
                await self._until_writable()
                if not self._queue:
                    break
                message = self._queue.popleft()
                self.bytes -= message.inflated_bytes + ENTRY_BYTES
                self.running = message.inflated_bytes
                if self.full and not self._holds(2):
                    self.full = False
                    self._worker.queue_changed()
                result = self._worker.call_handler(message.data)
                del message
                if isinstance(result, Awaitable):
                    await result
        except asyncio.CancelledError as error:
            # By the server, which gives up waiting; or by the handler itself, which must not leave a queue behind.
            self._worker.handler_failed(error)
            raise
        except Exception as error:  # noqa: BLE001  # user code raises what it likes
            self._worker.handler_failed(error)
        finally:
            self._task = None
            self.running = 0
            if not self._context.loop.is_closed():
                self._worker.worked()
