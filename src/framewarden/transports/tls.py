"""TLS on an accepted socket, by aiofastnet."""

import asyncio
import logging
import socket
import ssl
from collections.abc import Callable
from typing import Any, cast

import aiofastnet

from framewarden.transports.ending import LINGER_SECONDS

__all__ = ["PeerErrorsAside", "connect_tls"]

_log = logging.getLogger("framewarden.server")


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
