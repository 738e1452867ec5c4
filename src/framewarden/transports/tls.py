"""The opening handshake over TLS: the TLS handshake, by aiofastnet, and then the request on its transport."""

import asyncio
import logging
import socket
import ssl
from collections.abc import Callable
from typing import Any, cast

import aiofastnet

from framewarden.admission import Accepted
from framewarden.errors import PolicyError
from framewarden.transports.context import Context
from framewarden.transports.ending import LINGER_SECONDS
from framewarden.transports.upgrade import AdmissionProtocol, Upgrade

__all__ = ["PeerErrorsAside", "TlsAdmission", "check_tls", "connect_tls"]

_log = logging.getLogger("framewarden.server")

OLD_VERSIONS = (
    ssl.TLSVersion.MINIMUM_SUPPORTED,
    ssl.TLSVersion.SSLv3,
    ssl.TLSVersion.TLSv1,
    ssl.TLSVersion.TLSv1_1,
)
HANDSHAKE_BYTES = 128 * 1024
"""What OpenSSL and aiofastnet take for a TLS handshake, as measured: the peer has to say nothing for it."""
LOOKS = 3
"""Turns of the event loop that bytes which wait undecrypted may take before the 101 is written all the same."""


def check_tls(context: ssl.SSLContext) -> ssl.SSLContext:
    """``context``, if it speaks nothing older than TLS 1.2 (RFC 8996: "TLS 1.0 MUST NOT be used", nor TLS 1.1).

    Raises:
        PolicyError: its ``minimum_version`` is older.
    """
    if context.minimum_version in OLD_VERSIONS:
        raise PolicyError(
            f"ssl: the context's minimum_version is {context.minimum_version.name}, which allows versions older than "
            "TLS 1.2: set context.minimum_version = ssl.TLSVersion.TLSv1_2"
        )
    return context


class PeerErrorsAside:
    """An event loop, as aiofastnet sees it: what a peer does wrong in TLS is not reported as an error of ours.

    aiofastnet gives a handshake that the peer breaks off to the loop's exception handler: a traceback in the log, for
    the price of one TCP connection (and 1.2 gives it a class where an exception belongs, over which logging stumbles).
    """

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop

    def __getattr__(self, name: str) -> Any:
        value = getattr(self._loop, name)
        setattr(self, name, value)  # the next access finds it
        return value

    def call_exception_handler(self, context: dict[str, Any]) -> None:
        """Pass on what is not an OSError (``ssl.SSLError`` is one): that is ours."""
        error = context.get("exception")
        kind = error if isinstance(error, type) else type(error)
        if issubclass(kind, OSError):
            _log.debug("TLS: %s", kind.__name__)
        else:
            self._loop.call_exception_handler(context)


async def connect_tls(
    loop: PeerErrorsAside,
    make_protocol: Callable[[], asyncio.BufferedProtocol],
    sock: socket.socket,
    context: ssl.SSLContext,
    handshake_seconds: float,
) -> asyncio.Transport:
    """Do the TLS handshake on ``sock``; the protocol that ``make_protocol`` makes gets the transport.

    Raises:
        OSError: the peer broke the handshake, or it took longer than ``handshake_seconds``.
    """
    transport, _ = await aiofastnet.connect_accepted_socket(
        cast(asyncio.AbstractEventLoop, loop),
        make_protocol,
        sock,
        ssl=context,
        ssl_handshake_timeout=handshake_seconds,
        ssl_shutdown_timeout=LINGER_SECONDS,
    )
    return transport


class TlsAdmission(AdmissionProtocol):
    """A handshake on TLS, which is still to be established."""

    __slots__ = ("charged",)

    def __init__(
        self,
        context: Context,
        sock: socket.socket,
        address: str,
        upgrade: Upgrade,
        on_gone: Callable[[], None],
        loop: PeerErrorsAside,
        tls: ssl.SSLContext,
    ) -> None:
        super().__init__(context, sock, address, upgrade, on_gone)
        self.charged = 0
        context.budget.charge(self, HANDSHAKE_BYTES)
        self._connect_by(self._connect(loop, tls))

    async def _connect(self, loop: PeerErrorsAside, tls: ssl.SSLContext) -> None:
        # The deadline of the handshake runs from accept, in the wheel; aiofastnet's must not come before it.
        seconds = 2 * self._context.policy.limits.handshake_seconds
        await self._make_transport(connect_tls(loop, lambda: self, self._sock, tls, seconds))

    def _not_connected(self, error: BaseException) -> None:
        # A peer that only goes away is no more than that. SSLError: it is no TLS, or no TLS that we speak, or it has
        # not the certificate that we ask for, or it does not like ours.
        if isinstance(error, ssl.SSLError):
            self._context.refused("tls-handshake", self.address)
        super()._not_connected(error)

    def shed(self) -> None:
        """Too much memory is held. A handshake that has not ended has cost its peer next to nothing."""
        self._context.refused("memory-budget", self.address)
        self.abort()

    def _leave(self) -> None:
        self._context.budget.charge(self, 0)
        super()._leave()

    def _accept(self, accepted: Accepted) -> None:
        self._context.loop.call_soon(self._look, accepted, LOOKS)

    def _look(self, accepted: Accepted, looks: int) -> None:
        """Hand over, unless the kernel holds records: those are decrypted first, and if they are data it is early.

        A record of which only a part is there when the 101 is written is not found, and counts as sent behind it.
        """
        if looks and self._parser is not None and self._kernel_holds_bytes():
            self._context.loop.call_soon(self._look, accepted, looks - 1)
        else:
            self._hand_over(accepted)
