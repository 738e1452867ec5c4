"""A server on a free port, a raw client that says exactly what a test wants, and frames written by hand."""

import asyncio
import contextlib
import inspect
import logging
import struct

import uvloop

from framewarden.policy import Limits, Policy
from framewarden.transports import Server

KEY = "dGhlIHNhbXBsZSBub25jZQ=="
MASK = b"\x11\x22\x33\x44"
PATIENCE = 8.0
"""Seconds that a test waits for something that should be there."""


carried_by = {"carrier": "picows"}
"""Options of every server of ``serving`` that does not say otherwise."""


def run(test):
    """Make a test of a coroutine function: run it on uvloop, with pytest's arguments; logged errors fail nothing."""

    def wrapper(**arguments):
        async def bounded():
            await asyncio.wait_for(test(**arguments), 30)

        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(bounded())

    wrapper.__name__, wrapper.__doc__ = test.__name__, test.__doc__
    wrapper.__signature__ = inspect.signature(test)
    wrapper.pytestmark = getattr(test, "pytestmark", [])
    return wrapper


@contextlib.asynccontextmanager
async def serving(handler=None, policy=None, *, limits=None, **options):
    """A server on a free loopback port. Its security events are in ``server.events``."""
    events = []
    policy = policy or Policy(limits=limits or Limits())
    policy = Policy(**{name: getattr(policy, name) for name in policy.__struct_fields__} | {"on_event": events.append})
    server = Server(handler, policy, options.pop("host", "127.0.0.1"), 0, **carried_by | options)
    async with server:
        server.events = events
        yield server


def head(server, *extra, path="/", host=None, method="GET", version="HTTP/1.1", leave_out=()):
    """An opening handshake that the server accepts, but for what is asked."""
    name, port = server.address
    lines = [
        f"Host: {host or f'{name}:{port}'}",
        "Upgrade: websocket",
        "Connection: Upgrade",
        "Sec-WebSocket-Version: 13",
        f"Sec-WebSocket-Key: {KEY}",
    ]
    lines = [line for line in lines if not line.startswith(tuple(leave_out) or ("\0",))]
    return "\r\n".join([f"{method} {path} {version}", *lines, *extra, "", ""]).encode("latin-1")


def frame(opcode, payload=b"", *, fin=True, masked=True, rsv=0):
    """One frame, by hand."""
    first = (0x80 if fin else 0) | rsv << 4 | opcode
    bit = 0x80 if masked else 0
    if len(payload) < 126:
        header = bytes([first, bit | len(payload)])
    elif len(payload) < 65536:
        header = bytes([first, bit | 126]) + struct.pack("!H", len(payload))
    else:
        header = bytes([first, bit | 127]) + struct.pack("!Q", len(payload))
    if not masked:
        return header + payload
    return header + MASK + bytes(byte ^ MASK[index % 4] for index, byte in enumerate(payload))


def text(payload):
    """A masked Text frame."""
    return frame(1, payload.encode())


def close(code=1000, reason=""):
    """A masked Close frame."""
    return frame(8, struct.pack("!H", code) + reason.encode())


class Client:
    """A raw client."""

    def __init__(self, reader, writer):
        self.reader = reader
        self.writer = writer
        self.status = None
        self.headers = {}

    def send(self, *pieces):
        self.writer.write(b"".join(pieces))

    async def read_head(self):
        """Read the response head; its status is returned, its headers are in ``headers``."""
        data = await asyncio.wait_for(self.reader.readuntil(b"\r\n\r\n"), PATIENCE)
        line, *lines = data[:-4].decode("latin-1").split("\r\n")
        self.status = int(line.split()[1])
        self.headers = {name.lower(): value for name, value in (line.split(": ", 1) for line in lines)}
        return self.status

    async def read_frame(self):
        """One frame of the server: first byte, payload."""
        first, second = await asyncio.wait_for(self.reader.readexactly(2), PATIENCE)
        assert not second & 0x80
        size = second
        if size == 126:
            (size,) = struct.unpack("!H", await self.reader.readexactly(2))
        elif size == 127:
            (size,) = struct.unpack("!Q", await self.reader.readexactly(8))
        return first, await asyncio.wait_for(self.reader.readexactly(size), PATIENCE)

    async def read_text(self):
        first, payload = await self.read_frame()
        assert first == 0x81, hex(first)
        return payload.decode()

    async def read_close(self):
        """The next frame is a Close: its code and reason."""
        first, payload = await self.read_frame()
        assert first == 0x88, (hex(first), payload)
        return (struct.unpack("!H", payload[:2])[0], payload[2:].decode()) if payload else (None, "")

    async def read_eof(self):
        """What comes until the server closes."""
        return await asyncio.wait_for(self.reader.read(), PATIENCE)

    def reset(self):
        """Close with RST."""
        sock = self.writer.get_extra_info("socket")
        sock.setsockopt(1, 13, struct.pack("ii", 1, 0))  # SOL_SOCKET, SO_LINGER
        self.writer.transport.abort()


@contextlib.asynccontextmanager
async def connected(server, ssl=None):
    """A raw client that has said nothing yet."""
    reader, writer = await asyncio.open_connection(*server.address, ssl=ssl)
    try:
        yield Client(reader, writer)
    finally:
        writer.close()
        with contextlib.suppress(OSError):
            await writer.wait_closed()


@contextlib.asynccontextmanager
async def upgraded(server, *extra, ssl=None, **options):
    """A raw client behind the 101."""
    async with connected(server, ssl) as client:
        client.send(head(server, *extra, **options))
        assert await client.read_head() == 101
        yield client


async def until(condition):
    """Wait for something that a test cannot await."""
    for _ in range(int(PATIENCE / 0.01)):
        if condition():
            return
        await asyncio.sleep(0.01)
    raise AssertionError("it did not happen")


def rules(server):
    """The rules of all security events so far."""
    return [event.rule for event in server.events]


logging.getLogger("websockets").setLevel(logging.WARNING)
