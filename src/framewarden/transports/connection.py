"""A connection as asyncio's transports know one."""

import asyncio

from framewarden.transports import _connection

__all__ = ["Connection"]


class Connection(_connection.Connection, asyncio.BufferedProtocol):
    """The compiled connection, with the base class that transports ask for."""

    __slots__ = ()
