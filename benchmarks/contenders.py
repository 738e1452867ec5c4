"""framewarden and its peers, each driven the way it is meant to be, from memory, as a server.

``parsers(...)`` gives one function a contender; each call feeds a whole stream of masked client frames, in reads of at
most 64 KiB, to a connection that stays open. What a contender makes of a message is dropped at once.

* Every read of framewarden and of picows is one copy, as from a socket: into a new ``bytes``, or into the buffer that
  picows offers. The other peers are called with ``bytes`` that are there already; that is a small favour.
* aiohttp hands messages over through its queue; a coroutine awaits ``read()`` for each, as its WebSocketResponse does,
  and never has to wait.
* websockets hands frames over; a text is decoded as its connection classes do it.
* picows cannot check text by itself; its listeners call ``get_payload_as_utf8_text()``, which decodes.
"""

import asyncio
import logging
import socket
from collections.abc import Callable
from contextlib import suppress
from functools import cache
from typing import Any

from benchmarks import native
from benchmarks.harness import Work
from benchmarks.traffic import READ_BYTES, TEXT

HEAD = (
    b"GET / HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
)
LARGEST = 16 * 1024 * 1024  # bytes a message; no contender may refuse what is measured

FRAMEWARDEN = "framewarden"
PICOWS_COMPILED = "picows, compiled listener"
PICOWS_PYTHON = "picows, Python listener"
AIOHTTP = "aiohttp"
WEBSOCKETS = "websockets"
WSPROTO = "wsproto"
PEERS = (PICOWS_COMPILED, PICOWS_PYTHON, AIOHTTP, WEBSOCKETS, WSPROTO)
DEFLATING_PEERS = (AIOHTTP, WEBSOCKETS, WSPROTO)  # picows has no permessage-deflate

Decode = Callable[[bytes | str], object]
# What feeds the stream, and the same once more, counting the messages that come out.
Contender = tuple[Work, Callable[[], int]]


def parsers(
    names: tuple[str, ...],
    reads: list[bytes],
    messages: int,
    opcode: int = TEXT,
    *,
    deflate: bool = False,
    decode: Decode | None = None,
    schema: object = None,
) -> dict[str, Work]:
    """One function a name, that feeds all ``reads``. Each is run once, and must find all ``messages``.

    Args:
        names: contenders.
        reads: the stream.
        messages: how many messages the stream has.
        opcode: TEXT is made a ``str``, BINARY is made ``bytes``.
        deflate: the frames are compressed, with context takeover and a window of 15 bits.
        decode: the peers call it with every payload.
        schema: what framewarden decodes messages with instead: a ``framewarden.policy.Schema``.
    """
    makers: dict[str, Callable[[], Contender]] = {
        FRAMEWARDEN: lambda: _framewarden(reads, deflate, schema),
        PICOWS_COMPILED: lambda: _picows(reads, _compiled_listener(opcode, decode)),
        PICOWS_PYTHON: lambda: _picows(reads, _python_listener(opcode, decode)),
        AIOHTTP: lambda: _aiohttp(reads, decode, deflate),
        WEBSOCKETS: lambda: _websockets(reads, opcode, decode, deflate),
        WSPROTO: lambda: _wsproto(reads, decode, deflate),
    }
    works: dict[str, Work] = {}
    for name in names:
        work, count = makers[name]()
        found = count()
        assert found == messages, f"{name} found {found} messages of {messages}"
        works[name] = work
    return works


# framewarden


def inspector(*, deliver: bool = True, deflate: bool = False, schema: Any = None, **limits: int) -> Any:
    """An Inspector of a server that accepts large messages; every other limit is the default unless it is given."""
    from framewarden.codec.extensions import DeflateParameters
    from framewarden.engine import Inspector
    from framewarden.policy import Limits, Policy

    sizes = {"max_frame_bytes": LARGEST, "max_message_bytes": LARGEST, "max_inflated_bytes": LARGEST}
    policy = Policy(limits=Limits(**sizes | limits), schema=schema)
    return Inspector(policy, deliver=deliver, deflate=DeflateParameters() if deflate else None)


def feeder(receiver: Any, reads: list[bytes]) -> Work:
    """Feed the Inspector ``receiver``. A failed one would be the fastest of all, so that is looked at every time."""
    from framewarden.engine import MAX_EVENTS

    feed = native.load("_feed").to_one_buffer
    receive_data = receiver.receive_data

    def work() -> None:
        feed(receive_data, MAX_EVENTS, reads)
        assert receiver.violation is None, receiver.violation

    return work


def _framewarden(reads: list[bytes], deflate: bool, schema: object) -> Contender:
    receiver = inspector(deflate=deflate, schema=schema)

    def count() -> int:
        found = 0
        for read in reads:
            found += len(receiver.receive_data(read))
            while receiver.has_more:
                found += len(receiver.receive_data(b""))
        assert receiver.violation is None, receiver.violation
        return found

    return feeder(receiver, reads), count


# picows


class Transport:
    """What picows needs of a transport; nothing is ever sent on it."""

    def __init__(self) -> None:
        self.pair = _tcp_pair()

    def get_extra_info(self, name: str, default: object = None) -> object:
        return self.pair[0] if name == "socket" else default

    def get_write_buffer_size(self) -> int:
        return 0

    def write(self, data: bytes) -> None:
        pass

    def abort(self) -> None:
        pass

    close = abort


def _tcp_pair() -> tuple[socket.socket, socket.socket]:
    with socket.create_server(("127.0.0.1", 0)) as server:
        client = socket.create_connection(server.getsockname())
        return server.accept()[0], client


@cache
def _loop() -> asyncio.AbstractEventLoop:
    return asyncio.new_event_loop()


def _compiled_listener(opcode: int, decode: Decode | None) -> Any:
    listeners = native.load("_picows_listener")
    return listeners.Decoder(decode) if decode else listeners.Listener("text" if opcode == TEXT else "bytes")


def _python_listener(opcode: int, decode: Decode | None) -> Any:
    from picows import WSFrame, WSListener, WSTransport

    class Listener(WSListener):
        messages = 0

        def on_ws_frame(self, transport: WSTransport, frame: WSFrame) -> None:
            if decode is not None:
                decode(frame.get_payload_as_bytes())
            elif opcode == TEXT:
                frame.get_payload_as_utf8_text()
            else:
                frame.get_payload_as_bytes()
            self.messages += 1

    return Listener()


def _picows(reads: list[bytes], listener: Any) -> Contender:
    from picows import WSAutoPingStrategy
    from picows.picows import WSProtocol

    quiet = logging.getLogger("benchmarks.quiet")
    quiet.setLevel(logging.CRITICAL)

    async def connect() -> Any:
        protocol = WSProtocol(
            None, None, False, lambda request: listener, quiet, True, None, False, 10, 10,
            WSAutoPingStrategy.PING_WHEN_IDLE, True, LARGEST, None, 2 * READ_BYTES,
        )  # fmt: skip
        protocol.connection_made(Transport())
        return protocol

    feed = native.load("_feed").to_buffered_protocol
    protocol = _loop().run_until_complete(connect())
    get_buffer, buffer_updated = protocol.get_buffer, protocol.buffer_updated
    feed(get_buffer, buffer_updated, [HEAD])

    def work() -> None:
        feed(get_buffer, buffer_updated, reads)

    def count() -> int:
        before = listener.messages
        work()
        return listener.messages - before

    return work, count


# aiohttp


class _Reading:
    """What aiohttp's queue needs of a protocol."""

    _reading_paused = False

    def pause_reading(self) -> None:
        self._reading_paused = True

    def resume_reading(self) -> None:
        self._reading_paused = False


def _aiohttp(reads: list[bytes], decode: Decode | None, deflate: bool) -> Contender:
    from aiohttp._websocket.reader_c import WebSocketDataQueue, WebSocketReader

    async def drain(queue: Any, messages: int) -> None:
        for _ in range(messages):
            message = await queue.read()
            if decode is not None:
                decode(message.data)

    def work() -> int:
        # A queue of its own for each pass: a limit that is never reached, so that nothing pauses.
        queue = WebSocketDataQueue(_Reading(), 2**30, loop=_loop())
        reader = WebSocketReader(queue, LARGEST, deflate, True)
        found = 0
        for read in reads:
            reader.feed_data(read)
            waiting = len(queue._buffer)  # noqa: SLF001 - there is no other way to ask
            with suppress(StopIteration):
                drain(queue, waiting).send(None)
            found += waiting
        return found

    return work, work


# websockets


def _websockets(reads: list[bytes], opcode: int, decode: Decode | None, deflate: bool) -> Contender:
    from websockets.extensions.permessage_deflate import PerMessageDeflate
    from websockets.protocol import State
    from websockets.server import ServerProtocol

    protocol = ServerProtocol(state=State.OPEN, max_size=LARGEST)
    if deflate:
        protocol.extensions = [PerMessageDeflate(False, False, 15, 15)]

    def work() -> int:
        found = 0
        for read in reads:
            protocol.receive_data(read)
            frames = protocol.events_received()
            for frame in frames:
                if decode is not None:
                    decode(frame.data)
                elif opcode == TEXT:
                    frame.data.decode()
            found += len(frames)
        return found

    return work, work


# wsproto


def _wsproto(reads: list[bytes], decode: Decode | None, deflate: bool) -> Contender:
    from wsproto.connection import Connection, ConnectionType
    from wsproto.extensions import PerMessageDeflate

    extensions: list[Any] = []
    if deflate:
        extension = PerMessageDeflate()
        extension.accept("permessage-deflate")
        extensions.append(extension)
    connection = Connection(ConnectionType.SERVER, extensions)

    def work() -> int:
        found = 0
        for read in reads:
            connection.receive_data(read)
            # A message that did not come whole is handed over in pieces; its last piece says so.
            for event in connection.events():
                if event.message_finished:
                    found += 1
                    if decode is not None:
                        decode(event.data)
        return found

    return work, work
