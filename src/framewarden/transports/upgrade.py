"""From the first byte of a request to the 101, or to a refusal that really arrives: what plain TCP and TLS share.

How bytes come in and how an answer goes out is in ``plain.py`` and ``tls.py``.
"""

import asyncio
import logging
import socket
import traceback
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, cast

from framewarden.admission import Accepted, describe_error
from framewarden.codec.handshake import HandshakeParser, Refusal, Request, refusal_response, refuse
from framewarden.transports.context import Context
from framewarden.transports.ending import Ending

__all__ = ["HEAD_GRACE_SECONDS", "AdmissionProtocol", "Upgrade"]

_log = logging.getLogger("framewarden.admission")

Upgrade = Callable[["AdmissionProtocol", asyncio.Transport, Request, Accepted], None]
"""Takes the transport over. The 101 is still to be written."""

HEAD_GRACE_SECONDS = 1.0
"""From the first byte of a head; ``limits.min_head_rate`` is asked for what comes later than that."""


class AdmissionProtocol(asyncio.BufferedProtocol):
    """Reads the request head, asks the admission, and hands a transport on or refuses.

    Reading is never paused here: what follows the head before the 101 is a violation whenever it comes, and a client
    that goes away frees what its admission holds at once.

    Args:
        context: the server's.
        sock: the accepted socket.
        address: of the peer, as security events tell it.
        upgrade: called when the request was accepted.
        on_gone: called once, when this is no longer a handshake: handed over, or the socket is closed.
    """

    __slots__ = (
        "_begun",
        "_context",
        "_deadline",
        "_ending",
        "_on_gone",
        "_parser",
        "_received",
        "_request",
        "_sock",
        "_task",
        "_transport",
        "_upgrade",
        "address",
        "connecting",
        "wheel_slot",
    )

    def __init__(
        self,
        context: Context,
        sock: socket.socket,
        address: str,
        upgrade: Upgrade,
        on_gone: Callable[[], None],
    ) -> None:
        limits = context.policy.limits
        self.address = address
        self.connecting: asyncio.Task[None] | None = None
        """What makes the transport."""
        self.wheel_slot: int | None = None
        self._begun = 0.0  # when the first bytes came
        self._context = context
        self._ending: Ending | None = None
        self._on_gone: Callable[[], None] | None = on_gone
        self._parser: HandshakeParser | None = HandshakeParser(limits)
        self._received = 0  # bytes of a head that is not complete yet
        self._request: Request | None = None
        self._sock = sock
        self._task: asyncio.Task[None] | None = None
        self._transport: asyncio.Transport | None = None
        self._upgrade = upgrade
        # From accept on, so that a TLS handshake that never ends is covered too.
        self._deadline = context.wheel.now() + limits.handshake_seconds
        context.add(self)
        context.wheel.add(self, self._deadline)

    @property
    def descriptor(self) -> int:
        """Of the socket."""
        return self._sock.fileno()

    # Called by a transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """The socket can be read and written; TLS is established."""
        self._transport = cast(asyncio.Transport, transport)  # uvloop's has its methods, but is no subclass

    def get_buffer(self, sizehint: int) -> bytearray:
        """The buffer that all connections of the server share."""
        return self._context.buffer

    def buffer_updated(self, nbytes: int) -> None:
        """Judge what came in."""
        if self._parser is not None:  # else it was refused already: read and thrown away
            self._feed(bytes(memoryview(self._context.buffer)[:nbytes]))

    def eof_received(self) -> bool:
        """A client that has nothing more to say cannot be upgraded: the transport closes itself."""
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        """The transport is gone."""
        self._release()
        if self._ending is not None:
            self._ending.cancel()
        self._leave()
        self._context.discard(self)

    def pause_writing(self) -> None:
        """Nothing to pause: one response is all that is ever written here."""

    def resume_writing(self) -> None:
        """See pause_writing."""

    # Called by the timer wheel and the server

    def on_deadline(self, now: float) -> float | None:
        """handshake_seconds have passed since accept, or it is time to look how fast the head comes."""
        if self._request is None and now < self._deadline:
            enough = self._begun + HEAD_GRACE_SECONDS + self._received / self._context.policy.limits.min_head_rate
            if now < enough:
                return min(enough, self._deadline)
            self.refuse(refuse("handshake-timeout", "slower than min_head_rate"))
        elif now < self._deadline:
            return self._deadline
        elif self._task is not None:
            # The request is complete: it is the handler that let the time pass, not the peer.
            _log.error("authenticate() did not answer within handshake_seconds")
            self.refuse(refuse("authenticate-error", "authenticate() did not answer in time"))
        elif self._transport is None and self.connecting is not None:
            self._context.refused("handshake-timeout", self.address)
            self.abort()
        else:
            self.refuse(refuse("handshake-timeout"))
        return None

    def shut_down(self, code: int) -> None:
        """The server stops. An answer that is on its way still arrives."""
        if self._parser is not None:
            self.abort()

    def abort(self) -> None:
        """Close at once."""
        self._release()
        if self._transport is not None:
            self._transport.abort()
        elif self.connecting is not None:
            self.connecting.cancel()

    def refuse(self, refusal: Refusal) -> None:
        """Answer with HTTP and close. RFC 6455 4.2.2: "abort ... and return an appropriate HTTP error code"."""
        self.answer(refusal_response(refusal), refusal.rule)

    def answer(self, response: bytes, rule: str | None) -> None:
        """Write ``response``, which is not a 101, and close so that it arrives; ``rule``: why, None: no refusal."""
        self._release()
        if rule is not None:
            self._context.refused(rule, self.address)
        self._respond(response)

    # The way through

    def _feed(self, data: bytes) -> None:
        """Bytes of the peer came in, at least one, and nothing has been refused yet."""
        assert self._parser is not None
        verdict = self._parser.feed(data)
        if verdict is None:
            if not self._received:
                self._begun = self._context.wheel.now()
                self._context.wheel.add(self, min(self._begun + HEAD_GRACE_SECONDS, self._deadline))
            self._received += len(data)
        elif isinstance(verdict, Refusal):
            self.refuse(verdict)
        else:
            self._request = verdict
            self._admit(verdict)

    def _admit(self, request: Request) -> None:
        decision = self._context.admission.admit(request)
        if isinstance(decision, Accepted | Refusal):
            self._conclude(decision)
        else:
            self._task = self._context.keep(self._context.loop.create_task(self._wait(decision)))

    async def _wait(self, decision: Awaitable[Accepted | Refusal]) -> None:
        try:
            decided = await decision
            self._task = None
            self._conclude(decided)
        except Exception as error:  # noqa: BLE001  # an error of ours; nothing else would end the connection
            _log.error("%s was not admitted: %s", self.address, describe_error(error))
            self._task = None  # which is this one
            self.abort()

    def _conclude(self, decision: Accepted | Refusal) -> None:
        if self._parser is None:
            return  # refused meanwhile
        if isinstance(decision, Refusal):
            self.refuse(decision)
        else:
            self._accept(decision)

    def _accept(self, accepted: Accepted) -> None:
        """Hand over, now or later: each way in its own class."""
        raise NotImplementedError

    def _hand_over(self, accepted: Accepted) -> None:
        """There is a transport: the last look, then it is somebody else's."""
        transport, request = self._transport, self._request
        if self._parser is None or transport is None or request is None or transport.is_closing():
            return
        self._release()
        self._leave()
        try:
            self._upgrade(self, transport, request, accepted)
        except Exception as error:  # noqa: BLE001  # an error of ours; no deadline is left that would end it
            _log.error("%s was not upgraded: %s", self.address, describe_error(error))
            self._context.discard(self)
            transport.abort()

    def _kernel_holds_bytes(self) -> bool:
        """RFC 6455 4.1: the client waits for our response "before sending any further data"; look whether it did."""
        try:
            return bool(self._sock.recv(1, socket.MSG_PEEK))
        except OSError:  # BlockingIOError: nothing there. Anything else the transport will find out itself.
            return False

    def _respond(self, response: bytes) -> None:
        """Write the refusal, and close so that it arrives."""
        transport = self._transport
        assert transport is not None
        if transport.is_closing():
            return
        transport.write(response)
        self._ending = Ending(
            self._context.wheel,
            transport,
            secure=self._context.secure,
            drain_seconds=self._context.policy.limits.close_seconds,
        )

    def _connect_by(self, connecting: Coroutine[Any, Any, None]) -> None:
        """Make the transport in a task of its own."""
        self.connecting = self._context.keep(self._context.loop.create_task(connecting))
        self.connecting.add_done_callback(self._connected)

    def _connected(self, task: asyncio.Task[None]) -> None:
        """One that is cancelled before its first step never comes to _make_transport."""
        if task.cancelled():
            self.connecting = None
            self._sock.close()
            self.connection_lost(None)

    async def _make_transport(self, connecting: Coroutine[Any, Any, object]) -> bool:
        """Wait for the transport. A peer that goes away meanwhile is nothing to shout about."""
        try:
            await connecting
        except (Exception, asyncio.CancelledError) as error:  # noqa: BLE001  # whatever it is, its place is given back
            self._not_connected(error)
            _forget_frames(error)
            self._sock.close()
            self.connection_lost(None)
            return False
        finally:
            self.connecting = None
        return True

    def _not_connected(self, error: BaseException) -> None:
        if isinstance(error, OSError | asyncio.CancelledError):
            _log.debug("%s did not get connected: %s", self.address, type(error).__name__)
        else:
            _log.error("%s did not get connected: %s", self.address, describe_error(error))

    def _release(self) -> None:
        """Let go of everything that only the way to a verdict needs."""
        self._parser = None
        self._request = None
        self._context.wheel.remove(self)
        if self._task is not None:
            self._task.cancel()
            self._task = None

    def _leave(self) -> None:
        """This is no longer a handshake."""
        on_gone, self._on_gone = self._on_gone, None
        if on_gone is not None:
            on_gone()


def _forget_frames(error: BaseException) -> None:
    """Break the cycle of an exception and the frames that it went through.

    The TLS object in them has tens of KiB, which a peer that has not even said who it is could leave to the garbage
    collector with every connection.
    """
    traceback.clear_frames(error.__traceback__)
    error.__traceback__ = None
