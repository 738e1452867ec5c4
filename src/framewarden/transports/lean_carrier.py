"""No carrier at all: the transport calls the connection itself. For very many idle connections."""

import asyncio

from framewarden.admission import Accepted
from framewarden.codec.handshake import switching_response
from framewarden.transports.connection import Connection

__all__ = ["carry_lean"]


def carry_lean(connection: Connection, transport: asyncio.Transport, key: str, accepted: Accepted) -> None:
    """Let ``connection`` be the transport's protocol, and answer the handshake."""
    transport.set_protocol(connection)
    transport.write(switching_response(key, accepted.subprotocol, accepted.extensions))
