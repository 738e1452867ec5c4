"""Stock picows and our drop-in for it as servers of a test, and a listener that remembers what it was told."""

import contextlib

import picows
import pytest
from picows import WSListener, WSMsgType

from framewarden.policy import Access, Limits, Policy
from framewarden.transports.picows import create_server


class Recorder(WSListener):
    """Remembers what picows told it, and echoes as the manual of picows does."""

    def __init__(self):
        self.told = []
        self.transport = None

    def on_ws_connected(self, transport):
        self.transport = transport
        self.told.append("connected")

    def on_ws_frame(self, transport, frame):
        self.told.append((frame.msg_type.name, frame.get_payload_as_bytes(), frame.fin, frame.rsv1))
        if frame.msg_type == WSMsgType.CLOSE:
            transport.send_close(frame.get_close_code(), frame.get_close_message())
            transport.disconnect()
        elif frame.msg_type in (WSMsgType.TEXT, WSMsgType.BINARY):
            transport.send(frame.msg_type, frame.get_payload_as_memoryview())

    def on_ws_disconnected(self, transport):
        self.told.append("disconnected")


class Stock:
    """picows' own server, with what the raw client of these tests asks of a server."""

    def __init__(self, server):
        self.address = server.sockets[0].getsockname()[:2]


@contextlib.asynccontextmanager
async def stock(factory, **options):
    server = await picows.ws_create_server(factory, "127.0.0.1", 0, **options)
    async with server:
        yield Stock(server)


@contextlib.asynccontextmanager
async def ours(factory, *, limits=None, access=None, **options):
    """Our server; its security events are in ``events``."""
    events = []
    policy = Policy(limits=limits or Limits(), access=access or Access(), on_event=events.append)
    async with await create_server(factory, "127.0.0.1", policy=policy, **options) as server:
        server.address = server.sockets[0].getsockname()[:2]
        server.events = events
        yield server


def url(server):
    return "ws://{}:{}".format(*server.address)


async def to_the_end(client):
    """What comes until the server closes; then the client does, too, so that the server need not wait for it."""
    data = await client.read_eof()
    client.writer.close()
    return data


def members(server):
    return server._server.context.members


both = pytest.mark.parametrize("serve", [stock, ours])
