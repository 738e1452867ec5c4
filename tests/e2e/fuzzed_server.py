"""Servers to fuzz, each with another flaw, as a process: ``python fuzzed_server.py KIND SECONDS``.

It prints the port that it listens on, and ends by itself after so many seconds.
"""

import asyncio
import logging
import os
import sys
import time

import aiohttp.web
from websockets.asyncio.server import serve
from websockets.exceptions import ConnectionClosed

LEAK = []
MIB = 1 << 20


async def echo(connection):
    """Nothing is wrong with it."""
    try:
        async for message in connection:
            await connection.send(message)
    except ConnectionClosed:
        pass


def when(hit, then):
    """A handler that does ``then(connection)`` for a message with ``hit(message)``, and echoes the others."""

    async def handle(connection):
        try:
            async for message in connection:
                if hit(message):
                    then(connection)
                await connection.send(message)
        except ConnectionClosed:
            pass

    return handle


async def leak(connection):
    """Keeps 1 MiB for each connection that there ever was."""
    LEAK.append(os.urandom(MIB))
    await echo(connection)


def is_empty_text(message):
    return message == ""


def is_seldom(message):
    return isinstance(message, bytes) and len(message) == 64 and message[0] < 40


HANDLERS = {
    "websockets": echo,
    "dies": when(is_empty_text, lambda connection: os._exit(3)),
    "hangs": when(is_empty_text, lambda connection: time.sleep(60)),
    "hangs for a while": when(is_seldom, lambda connection: time.sleep(4.5)),
    "talks garbage": when(is_empty_text, lambda connection: connection.transport.write(b"\x83\x00")),
    "raises": when(is_empty_text, lambda connection: 1 // 0),
    "leaks": leak,
}


def tell(port):
    sys.stdout.write(f"{port}\n")
    sys.stdout.flush()


async def serve_websockets(handler, seconds):
    async with serve(handler, "127.0.0.1", 0) as server:
        tell(server.sockets[0].getsockname()[1])
        await asyncio.sleep(seconds)


async def serve_aiohttp(seconds):
    async def handle(request):
        response = aiohttp.web.WebSocketResponse()
        await response.prepare(request)
        async for message in response:
            if message.type is aiohttp.WSMsgType.TEXT:
                await response.send_str(message.data)
            elif message.type is aiohttp.WSMsgType.BINARY:
                await response.send_bytes(message.data)
        return response

    application = aiohttp.web.Application()
    application.router.add_get("/", handle)
    runner = aiohttp.web.AppRunner(application)
    await runner.setup()
    site = aiohttp.web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    tell(runner.addresses[0][1])
    await asyncio.sleep(seconds)
    await runner.cleanup()


if __name__ == "__main__":
    kind, seconds = sys.argv[1], float(sys.argv[2])
    logging.disable(logging.CRITICAL)
    asyncio.run(serve_aiohttp(seconds) if kind == "aiohttp" else serve_websockets(HANDLERS[kind], seconds))
