"""The opening handshake on plain TCP: nothing but a socket until the request is accepted.

A handshake that is refused, as an attacker's is, never gets a transport, a task or a timer of the event loop. All
sockets that are still on their way are watched by one epoll set, and the event loop watches that set: it costs a socket
one system call to be watched, and none to be forgotten.
"""

import asyncio
import logging
import select
import socket
from collections.abc import Callable
from typing import Protocol

from framewarden.admission import Accepted, describe_error
from framewarden.codec.handshake import refuse
from framewarden.transports.context import Context
from framewarden.transports.ending import LINGER_SECONDS
from framewarden.transports.upgrade import AdmissionProtocol, Upgrade

__all__ = ["Doorway", "PlainAdmission"]

_log = logging.getLogger("framewarden.admission")

READ_BYTES = 16 * 1024
"""At most read from one socket before others have their turn."""
SOCKETS_A_TURN = 64
"""Sockets looked after before the event loop does something else."""
SECOND_LOOK_SECONDS = 0.02
"""After an answer. Most peers have closed by then, and many of them are let go in one turn of the event loop."""


class Waiting(Protocol):
    """A socket in the doorway."""

    def readable(self) -> None:
        """Bytes, the end or an error are there; it is said once, until it is watched again."""

    def second_look(self) -> None:
        """Some time has passed since the answer."""

    def abort(self) -> None:
        """Close at once."""


class Doorway:
    """Tells sockets that have no transport that they can be read."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._closing = False
        self._epoll = select.epoll()
        self._loop = loop
        self._waiting: dict[int, Waiting] = {}
        self._answered: list[Waiting] = []
        loop.add_reader(self._epoll.fileno(), self._look)

    def watch(self, descriptor: int, who: Waiting) -> None:
        """Call ``who`` once when ``descriptor`` can be read."""
        self._epoll.register(descriptor, select.EPOLLIN | select.EPOLLONESHOT)
        self._waiting[descriptor] = who

    def watch_again(self, descriptor: int) -> None:
        """Call once more."""
        self._epoll.modify(descriptor, select.EPOLLIN | select.EPOLLONESHOT)

    def look_soon(self, who: Waiting) -> None:
        """Call ``who.second_look`` a little later."""
        if not self._answered:
            self._loop.call_later(SECOND_LOOK_SECONDS, self._look_again)
        self._answered.append(who)

    def forget(self, descriptor: int, *, closing: bool) -> None:
        """Watch it no longer. ``closing``: the caller closes it now, with which the kernel forgets it too."""
        if self._waiting.pop(descriptor, None) is not None and not closing:
            self._epoll.unregister(descriptor)
        if self._closing:
            self.close()

    def close(self) -> None:
        """Close as soon as nobody is in it any more."""
        self._closing = True
        if not self._waiting and not self._epoll.closed:
            self._loop.remove_reader(self._epoll.fileno())
            self._epoll.close()

    def _look(self) -> None:
        for descriptor, _ in self._epoll.poll(0, SOCKETS_A_TURN):
            who = self._waiting.get(descriptor)
            if who is None:
                continue  # gone since the kernel told us
            self._tell(who, who.readable)

    def _look_again(self) -> None:
        answered, self._answered = self._answered, []
        for who in answered:
            self._tell(who, who.second_look)

    def _tell(self, who: Waiting, call: Callable[[], None]) -> None:
        try:
            call()
        except Exception as error:  # noqa: BLE001  # an error of ours with one socket must not stop the others
            _log.error("a handshake failed: %s", describe_error(error))
            who.abort()


class PlainAdmission(AdmissionProtocol):
    """A handshake on a socket without a transport."""

    __slots__ = ("_descriptor", "_doorway", "_lingers")

    def __init__(
        self,
        context: Context,
        sock: socket.socket,
        address: str,
        upgrade: Upgrade,
        on_gone: Callable[[], None],
        doorway: Doorway,
    ) -> None:
        """Begin to read. Raises OSError where the kernel has no memory to watch the socket."""
        self._descriptor = sock.fileno()
        self._doorway = doorway
        self._lingers = False
        doorway.watch(self._descriptor, self)  # first: where it cannot be watched, there is nothing to undo
        super().__init__(context, sock, address, upgrade, on_gone)

    def readable(self) -> None:
        """Read what is there."""
        data = self._read()
        if data == b"":
            self._close()  # a client that has nothing more to say cannot be upgraded
            return
        if data is not None and self._parser is not None:
            self._feed(data)
            if not self._waits():
                return
        # else it was refused already: what it sends is thrown away, so that the refusal arrives (see ending.py)
        self._doorway.watch_again(self._descriptor)

    def _waits(self) -> bool:
        """Neither answered nor handed over."""
        return self._parser is not None and self.connecting is None

    def second_look(self) -> None:
        """Close behind a peer that has closed; wait for one that has not."""
        if self._sock.fileno() < 0:
            return  # closed meanwhile
        if self._read() == b"":
            self._close()
            return
        self._lingers = True
        self._context.wheel.add(self, self._context.wheel.now() + LINGER_SECONDS)
        self._doorway.watch_again(self._descriptor)

    def _read(self) -> bytes | None:
        """Bytes; none: the end, or an error. None: nothing is there."""
        try:
            return self._sock.recv(READ_BYTES)
        except (BlockingIOError, InterruptedError):
            return None
        except OSError:
            return b""

    def on_deadline(self, now: float) -> float | None:
        """As for every handshake; and the end of waiting for the peer to close after a refusal."""
        if self._lingers:
            self._close()
            return None
        return super().on_deadline(now)

    def abort(self) -> None:
        """Close at once."""
        if self._transport is None and self.connecting is None:
            self._close()
        else:
            super().abort()

    def _close(self) -> None:
        if self._sock.fileno() < 0:
            return  # already
        self._doorway.forget(self._descriptor, closing=True)
        self._sock.close()
        self.connection_lost(None)

    def _respond(self, response: bytes) -> None:
        if self._transport is not None:
            super()._respond(response)
            return
        try:
            # The FIN leaves with the last byte. An empty send buffer takes more than the longest refusal.
            self._sock.send(response, socket.MSG_MORE)
            self._sock.shutdown(socket.SHUT_WR)
        except OSError:
            self._close()
            return
        self._doorway.look_soon(self)

    def _accept(self, accepted: Accepted) -> None:
        self._doorway.forget(self._descriptor, closing=False)
        self._connect_by(self._connect(accepted))

    async def _connect(self, accepted: Accepted) -> None:
        if not await self._make_transport(self._context.loop.connect_accepted_socket(lambda: self, self._sock)):
            return
        if self._parser is not None and self._kernel_holds_bytes():
            self.refuse(refuse("early-data", "bytes before the 101"))
        else:
            self._hand_over(accepted)
