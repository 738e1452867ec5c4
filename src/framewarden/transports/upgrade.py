"""The opening handshake on one socket: from accept to the 101, or to a refusal that really arrives."""

import asyncio
import logging
import socket
from collections.abc import Awaitable, Callable
from typing import cast

from framewarden.admission import Accepted, describe_error
from framewarden.codec.handshake import HandshakeParser, Refusal, Request, refusal_response, refuse
from framewarden.transports.context import Context
from framewarden.transports.ending import Ending

__all__ = ["AdmissionProtocol", "Upgrade"]

_log = logging.getLogger("framewarden.admission")

Upgrade = Callable[["AdmissionProtocol", asyncio.Transport, Request, Accepted], None]
"""Takes the transport over. The 101 is still to be written."""


class AdmissionProtocol(asyncio.BufferedProtocol):
    """Reads the request head, asks the admission, and hands the transport on or refuses.

    Reading is never paused here: what follows the head before the 101 is a violation whenever it comes, and a client
    that goes away frees what its admission holds at once.

    Args:
        context: the server's.
        sock: the accepted socket.
        upgrade: called when the request was accepted.
        refused: id of a rule: the connection was over before it began, the refusal is sent as soon as there is a
            transport.
    """

    __slots__ = (
        "_context",
        "_ending",
        "_parser",
        "_refused",
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
        self, context: Context, sock: socket.socket, address: str, upgrade: Upgrade, refused: str | None = None
    ) -> None:
        self.address = address
        self.connecting: asyncio.Task[None] | None = None
        """What makes the transport; set by the acceptor."""
        self.wheel_slot: int | None = None
        self._context = context
        self._ending: Ending | None = None
        self._parser: HandshakeParser | None = HandshakeParser(context.policy.limits)
        self._refused = refused
        self._request: Request | None = None
        self._sock = sock
        self._task: asyncio.Task[None] | None = None
        self._transport: asyncio.Transport | None = None
        self._upgrade = upgrade
        # From accept on, so that a TLS handshake that never ends is covered too.
        context.wheel.add(self, context.wheel.now() + context.policy.limits.handshake_seconds)

    # Called by the transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """The socket can be read and written; TLS is established."""
        self._transport = cast(asyncio.Transport, transport)  # uvloop's has its methods, but is no subclass
        if self._refused is not None:
            self._refuse(refuse(self._refused))

    def get_buffer(self, sizehint: int) -> bytearray:
        """The buffer that all connections of the server share."""
        return self._context.buffer

    def buffer_updated(self, nbytes: int) -> None:
        """Judge what came in."""
        if self._parser is None:
            return  # refused already: read and thrown away
        verdict = self._parser.feed(bytes(self._context.buffer[:nbytes]))
        if isinstance(verdict, Refusal):
            self._refuse(verdict)
        elif verdict is not None:
            self._request = verdict
            self._admit(verdict)

    def eof_received(self) -> bool:
        """A client that has nothing more to say cannot be upgraded: the transport closes itself."""
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        """The transport is gone."""
        self._release()
        if self._ending is not None:
            self._ending.cancel()
        self._context.discard(self)

    def pause_writing(self) -> None:
        """Nothing to pause: one response is all that is ever written here."""

    def resume_writing(self) -> None:
        """See pause_writing."""

    # Called by the timer wheel and the server

    def on_deadline(self, now: float) -> None:
        """handshake_seconds have passed since accept."""
        if self._transport is None:
            self._context.refused("handshake-timeout", self.address)
            self.abort()
        elif self._task is not None:
            # The request is complete: it is the handler that let the time pass, not the peer.
            _log.error("authenticate() did not answer within handshake_seconds")
            self._refuse(refuse("authenticate-error", "authenticate() did not answer in time"))
        else:
            self._refuse(refuse("handshake-timeout"))

    def shut_down(self, code: int) -> None:
        """The server stops."""
        if self._ending is None:
            self.abort()

    def abort(self) -> None:
        """Close at once."""
        self._release()
        if self._transport is not None:
            self._transport.abort()
        elif self.connecting is not None:
            self.connecting.cancel()

    # The way through

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
        except Exception as error:  # noqa: BLE001  # an error of ours; without a transport no deadline would end it
            _log.error("%s was not admitted: %s", self.address, describe_error(error))
            self._task = None  # which is this one
            self.abort()

    def _conclude(self, decision: Accepted | Refusal) -> None:
        if self._parser is None:
            return  # refused meanwhile
        if isinstance(decision, Refusal):
            self._refuse(decision)
        elif self._context.secure:
            # Records that are decrypted already reach us before the next turn of the loop, as early data should.
            self._context.loop.call_soon(self._hand_over, decision)
        else:
            self._hand_over(decision)

    def _hand_over(self, accepted: Accepted) -> None:
        transport, request = self._transport, self._request
        if self._parser is None or transport is None or request is None or transport.is_closing():
            return
        if not self._context.secure and self._kernel_holds_bytes():
            self._refuse(refuse("early-data", "bytes before the 101"))
            return
        self._release()
        self._upgrade(self, transport, request, accepted)

    def _kernel_holds_bytes(self) -> bool:
        """RFC 6455 4.1: the client waits for our response "before sending any further data"; look whether it did."""
        try:
            return bool(self._sock.recv(1, socket.MSG_PEEK))
        except OSError:  # BlockingIOError: nothing there. Anything else the transport will find out itself.
            return False

    def _refuse(self, refusal: Refusal) -> None:
        """Answer with HTTP and close. RFC 6455 4.2.2: "abort ... and return an appropriate HTTP error code"."""
        self.answer(refusal_response(refusal), refusal.rule)

    def answer(self, response: bytes, rule: str | None) -> None:
        """Write ``response``, which is not a 101, and close so that it arrives; ``rule``: why, None: no refusal."""
        transport = self._transport
        assert transport is not None
        self._release()
        if rule is not None:
            self._context.refused(rule, self.address)
        if transport.is_closing():
            return
        transport.write(response)
        self._ending = Ending(
            self._context.wheel,
            transport,
            secure=self._context.secure,
            drain_seconds=self._context.policy.limits.close_seconds,
        )

    def _release(self) -> None:
        """Let go of everything that only the way to a verdict needs."""
        self._parser = None
        self._request = None
        self._context.wheel.remove(self)
        if self._task is not None:
            self._task.cancel()
            self._task = None
