"""Servers to be probed, each in a process of its own: ``python -m tests.e2e.probed NAME``.

A server echoes, prints its port and ends when its input does. Each is used as its documents show it, with
permessage-deflate on; node's ``ws`` is ``probed_ws.js``. ``docs/flaws.py`` probes the same ones.
"""

import asyncio
import contextlib
import importlib.metadata
import logging
import os
import resource
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import uvloop

HOST = "127.0.0.1"
ROOT = Path(__file__).parents[2]
PEERS = ("websockets", "aiohttp", "ws")
OURS = ("framewarden", "framewarden lean")


class Probed(NamedTuple):
    """A server that runs: where, as which process, and what it is."""

    uri: str
    pid: int
    version: str


async def start_framewarden(carrier):
    from framewarden import Deflate, Policy, Server

    server = Server(None, Policy(deflate=Deflate()), HOST, 0, carrier=carrier)
    await server.start()
    return server.address[1]


async def start_websockets():
    from websockets.asyncio.server import serve

    async def echo(connection):
        async for message in connection:
            await connection.send(message)

    server = await serve(echo, HOST, 0)
    return next(iter(server.sockets)).getsockname()[1]


async def start_aiohttp():
    from aiohttp import WSMsgType, web

    async def echo(request):
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        async for message in socket:
            if message.type == WSMsgType.TEXT:
                await socket.send_str(message.data)
            elif message.type == WSMsgType.BINARY:
                await socket.send_bytes(message.data)
        return socket

    application = web.Application()
    application.router.add_get("/", echo)
    runner = web.AppRunner(application, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, HOST, 0).start()
    return runner.addresses[0][1]


STARTS = {
    "framewarden": lambda: start_framewarden("picows"),
    "framewarden lean": lambda: start_framewarden("lean"),
    "websockets": start_websockets,
    "aiohttp": start_aiohttp,
}


async def main(name):
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, 65536), hard))
    logging.disable(logging.CRITICAL)  # a connection that is refused is worth a traceback to some
    sys.stdout.write(f"{await STARTS[name]()}\n")
    sys.stdout.flush()
    over = asyncio.Event()
    asyncio.get_running_loop().add_reader(sys.stdin.fileno(), over.set)
    await over.wait()


@contextlib.contextmanager
def probed(name, node_modules=None):
    """A server of that name, as long as the block.

    ``node_modules``: the folder that ``ws`` is in.
    """
    if name == "ws":
        command = ["node", str(Path(__file__).with_name("probed_ws.js"))]
        environment = os.environ | {"NODE_PATH": str(node_modules)}
    else:
        command = [sys.executable, "-m", "tests.e2e.probed", name]
        environment = dict(os.environ)
    pipe = subprocess.PIPE
    with subprocess.Popen(command, cwd=ROOT, env=environment, stdin=pipe, stdout=pipe, text=True) as process:
        try:
            port, *version = process.stdout.readline().split()
            known = version[0] if version else importlib.metadata.version(name.split()[0])
            yield Probed(f"ws://{HOST}:{port}", process.pid, known)
        finally:
            process.stdin.close()
            try:
                process.wait(5)
            except subprocess.TimeoutExpired:  # one that is stuck is what a probe looks for
                process.kill()


if __name__ == "__main__":
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(main(sys.argv[1]))
