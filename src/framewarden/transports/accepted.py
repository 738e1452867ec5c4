"""An accepted request becomes a connection."""

import asyncio
from typing import TypeVar

from framewarden.admission import Accepted
from framewarden.codec.handshake import Request
from framewarden.engine import Inspector
from framewarden.session.session import new_session_id
from framewarden.transports.connection import Connection
from framewarden.transports.context import Context
from framewarden.transports.upgrade import AdmissionProtocol

__all__ = ["make_connection"]

Kind = TypeVar("Kind", bound=Connection)


def make_connection(
    kind: type[Kind],
    context: Context,
    admitted: AdmissionProtocol,
    transport: asyncio.Transport,
    request: Request,
    accepted: Accepted,
) -> Kind:
    """Make a connection of this kind, with an Inspector and a session; the 101 is still to be written."""
    session_id = new_session_id()
    inspector = Inspector(
        context.policy,
        route=request.path,
        subprotocol=accepted.subprotocol,
        deflate=accepted.deflate,
        session_id=session_id,
        subject="" if accepted.identity is None else accepted.identity.subject,
        address=admitted.address,
    )
    return kind(
        context,
        transport,
        inspector,
        -1 if context.secure else admitted.descriptor,
        id=session_id,
        identity=accepted.identity,
        subprotocol=accepted.subprotocol,
        path=request.path,
        query=request.query,
    )
