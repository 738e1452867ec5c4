"""The guarded servers of the demo, in a thread with an event loop of its own."""

import asyncio
import contextlib
import functools
import threading
from concurrent.futures import Future
from types import TracebackType
from typing import Self

import uvloop

from framewarden.apps.demo.chat import SCHEMA, Chat, Members
from framewarden.policy import Access, Deflate, Limits, Policy, SecurityEvent
from framewarden.session import Handler
from framewarden.transports import Server

__all__ = ["SERVERS", "Guarded"]

HostPort = tuple[str, int]

SERVERS: dict[str, tuple[type[Handler], Policy]] = {
    # Nothing but defaults: the hardened policy with a schema and compression.
    "chat": (Chat, Policy(schema=SCHEMA, deflate=Deflate())),
    # Less patience, so that a demo can show what happens when time is up; and more values than JSON can nest.
    "impatient": (
        Chat,
        Policy(
            schema=SCHEMA,
            limits=Limits(
                handshake_seconds=0.8,
                frame_seconds=0.5,
                message_seconds=0.6,
                idle_seconds=0.8,
                ping_seconds=0.4,
                pong_seconds=0.6,
                close_seconds=1.0,
                max_queued_messages=2,
                max_decode_nodes=500_000,
            ),
        ),
    ),
    # Knows its members, and has one page.
    "members": (Members, Policy(schema=SCHEMA, access=Access(paths=("/chat",)))),
    # Two from one address may knock at a time.
    "narrow": (Chat, Policy(schema=SCHEMA, limits=Limits(max_pending_per_address=2))),
    # Ends every connection soon.
    "brief": (Chat, Policy(schema=SCHEMA, limits=Limits(lifetime_seconds=0.5))),
    # Does not mind silence, but a peer that does not read.
    "patient": (
        Chat,
        Policy(schema=SCHEMA, limits=Limits(max_backpressure_bytes=512 * 1024, max_write_stall_seconds=0.6)),
    ),
    # Has little memory for all of them together.
    "poor": (Chat, Policy(schema=SCHEMA, limits=Limits(max_memory_bytes=256 * 1024))),
    # Has room for one.
    "small": (Chat, Policy(schema=SCHEMA, limits=Limits(max_connections=1))),
}
START_SECONDS = 10.0


class Guarded:
    """Runs every server of ``SERVERS`` on a free loopback port as long as its ``with`` block.

    Attributes:
        addresses: where each server listens.
    """

    def __init__(self) -> None:
        self.addresses: dict[str, HostPort] = {}
        self._events: list[tuple[str, SecurityEvent]] = []
        self._failure: Exception | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._ready: Future[dict[str, HostPort]] = Future()
        self._stop = asyncio.Event()
        self._thread = threading.Thread(target=self._run, name="framewarden demo", daemon=True)

    @property
    def noted(self) -> int:
        """How many security events there have been."""
        return len(self._events)

    def rules_of(self, server: str, address: str, since: int) -> tuple[str, ...]:
        """The rules that a server says the peer at ``address`` broke, in order.

        ``since``: what ``noted`` was when the peer connected; an earlier peer may have had the same port.
        """
        return tuple(event.rule for name, event in self._events[since:] if (name, event.address) == (server, address))

    def note(self, server: str, event: SecurityEvent) -> None:
        """Keep a security event: ``on_event`` of every policy."""
        self._events.append((server, event))

    def _run(self) -> None:
        try:
            with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
                runner.run(self._serve())
        except Exception as error:  # noqa: BLE001  # raised where the demo runs
            self._failure = error
            if not self._ready.done():
                self._ready.set_exception(error)

    async def _serve(self) -> None:
        self._loop = asyncio.get_running_loop()
        addresses = {}
        async with contextlib.AsyncExitStack() as stack:
            for name, (handler, policy) in SERVERS.items():
                server = Server(handler, observed(policy, self, name), port=0)
                addresses[name] = (await stack.enter_async_context(server)).address
            self._ready.set_result(addresses)
            await self._stop.wait()

    def __enter__(self) -> Self:
        """Start, and wait until all of them listen."""
        self._thread.start()
        self.addresses = self._ready.result(START_SECONDS)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close every connection and stop."""
        if self._loop is not None and self._thread.is_alive():
            self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join()
        if self._failure is not None and error is None:
            raise self._failure


def observed(policy: Policy, by: Guarded, server: str) -> Policy:
    """The same policy, with its security events noted under the server's name."""
    fields = {name: getattr(policy, name) for name in policy.__struct_fields__}
    return Policy(**fields | {"on_event": functools.partial(by.note, server)})
