"""Echo servers, each in a process of its own: ``python -m benchmarks.servers NAME [refuse] [deflate]``.

A server prints its port, answers every line of its input with an empty line once it has collected garbage and given
free memory back, and ends when its input ends. All Python servers run on uvloop. Every peer is used as its documents
show it, with compression off unless asked for; framewarden has its default policy, with all of its guards.
"""

import asyncio
import ctypes
import gc
import inspect
import logging
import resource
import sys
from collections.abc import Awaitable, Callable
from typing import Any

import uvloop

BACKLOG = 4096
HOST = "127.0.0.1"

Start = Callable[..., Awaitable[int]]
"""Called with ``refuse`` and ``deflate``; listens, and returns the port."""


def _framewarden(carrier: str) -> Start:
    async def start(*, refuse: bool, deflate: bool) -> int:
        from framewarden import Deflate, Handler, Policy, Server

        class Echo(Handler):
            def on_message(self, session: Any, message: Any) -> None:
                session.send(message)

        class Refuse(Echo):
            def authenticate(self, request: Any) -> None:
                return None

        options = {"carrier": carrier} if has_carriers() else {}
        policy = Policy(deflate=Deflate()) if deflate else Policy()
        server = Server(Refuse if refuse else Echo, policy, HOST, 0, backlog=BACKLOG, **options)
        await server.start()
        return server.address[1]

    return start


def has_carriers() -> bool:
    """Whether this framewarden lets one choose the carrier."""
    from framewarden import Server

    return "carrier" in inspect.signature(Server.__init__).parameters


def _picows(make_listener: Callable[[], Any]) -> Start:
    async def start(*, refuse: bool, deflate: bool) -> int:
        from picows import WSUpgradeResponse, WSUpgradeResponseWithListener, ws_create_server

        assert not deflate, "picows has no compression"
        refusal = WSUpgradeResponseWithListener(WSUpgradeResponse.create_error_response(401), None)
        listener = (lambda request: refusal) if refuse else (lambda request: make_listener())
        server = await ws_create_server(listener, HOST, 0, backlog=BACKLOG)
        return server.sockets[0].getsockname()[1]

    return start


def _picows_python() -> Any:
    from picows import WSListener, WSMsgType

    class Echo(WSListener):
        def on_ws_frame(self, transport: Any, frame: Any) -> None:
            if frame.msg_type == WSMsgType.TEXT:
                transport.send(WSMsgType.TEXT, frame.get_payload_as_utf8_text().encode())
            elif frame.msg_type == WSMsgType.BINARY:
                transport.send(WSMsgType.BINARY, frame.get_payload_as_bytes())
            elif frame.msg_type == WSMsgType.PING:
                transport.send_pong(frame.get_payload_as_bytes())
            elif frame.msg_type == WSMsgType.CLOSE:
                transport.send_close(frame.get_close_code(), frame.get_close_message())
                transport.disconnect()

    return Echo


async def _picows_from_python(*, refuse: bool, deflate: bool) -> int:
    return await _picows(_picows_python())(refuse=refuse, deflate=deflate)


async def _picows_from_cython(*, refuse: bool, deflate: bool) -> int:
    from benchmarks.native import load

    return await _picows(load("_picows_echo").Echo)(refuse=refuse, deflate=deflate)


async def _websockets(*, refuse: bool, deflate: bool) -> int:
    from websockets.asyncio.server import serve
    from websockets.extensions.permessage_deflate import ServerPerMessageDeflateFactory

    async def echo(connection: Any) -> None:
        async for message in connection:
            await connection.send(message)

    def refused(connection: Any, request: Any) -> Any:
        return connection.respond(401, "")

    factory = ServerPerMessageDeflateFactory(server_no_context_takeover=True, client_no_context_takeover=True)
    server = await serve(
        echo,
        HOST,
        0,
        backlog=BACKLOG,
        compression=None,
        extensions=[factory] if deflate else None,
        process_request=refused if refuse else None,
    )
    return next(iter(server.sockets)).getsockname()[1]


async def _aiohttp(*, refuse: bool, deflate: bool) -> int:
    from aiohttp import WSMsgType, web

    async def echo(request: web.Request) -> web.StreamResponse:
        if refuse:
            refusal = web.Response(status=401)
            refusal.force_close()
            return refusal
        socket = web.WebSocketResponse(compress=deflate)
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
    await web.TCPSite(runner, HOST, 0, backlog=BACKLOG).start()
    return runner.addresses[0][1]


SERVERS: dict[str, Start] = {
    "framewarden": _framewarden("picows"),
    "framewarden lean": _framewarden("lean"),
    "picows Python": _picows_from_python,
    "picows Cython": _picows_from_cython,
    "websockets": _websockets,
    "aiohttp": _aiohttp,
}


def tidy() -> None:
    """Collect garbage, and give back what malloc keeps."""
    gc.collect()
    ctypes.CDLL(None).malloc_trim(0)


async def main(name: str, *words: str) -> None:
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    logging.disable(logging.ERROR)  # a connection that ends is worth a traceback to some
    print(await SERVERS[name](refuse="refuse" in words, deflate="deflate" in words), flush=True)
    while await asyncio.to_thread(sys.stdin.readline):
        tidy()
        print(flush=True)


if __name__ == "__main__":
    uvloop.run(main(*sys.argv[1:]))
