#!/usr/bin/env python3
"""The engine in a plain asyncio server: asyncio carries the bytes, framewarden reads what comes in.

Run ``python examples/embed_asyncio.py [port]`` and send ``{"type":"add","numbers":[1,2]}`` to it.
"""

import asyncio
import contextlib
import logging
import sys

import msgspec

from framewarden import Deflate, Inspector, Message, Policy, Schema, State
from framewarden.admission import Accepted, Admission
from framewarden.codec.handshake import HandshakeParser, Refusal, Request, refusal_response, switching_response

log = logging.getLogger("embed")


class Add(msgspec.Struct, tag="add", forbid_unknown_fields=True):
    """What a client may send."""

    numbers: list[int]


POLICY = Policy(schema=Schema(text=Add), deflate=Deflate())


async def handshake(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, admission: Admission) -> Inspector:
    """Read the request head, decide, answer; a refused client is a ConnectionError."""
    parser = HandshakeParser(POLICY.limits)
    verdict: Request | Refusal | None = None
    while verdict is None:
        data = await reader.read(65536)
        if not data:
            raise ConnectionError("gone")
        verdict = parser.feed(data)
    decision = admission.admit(verdict) if isinstance(verdict, Request) else verdict  # Host, Origin, compression
    if isinstance(decision, Refusal):
        writer.write(refusal_response(decision))
        raise ConnectionError(decision.rule)
    assert isinstance(verdict, Request)
    assert isinstance(decision, Accepted)
    writer.write(switching_response(verdict.key, decision.subprotocol, decision.extensions))
    return Inspector(POLICY, route=verdict.path, subprotocol=decision.subprotocol, deflate=decision.deflate)


async def converse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, inspector: Inspector) -> None:
    """Feed the Inspector, handle its events, send what it has to say, until a Close went out."""
    data = b""
    while inspector.state is State.OPEN:
        if not inspector.has_more:
            try:
                data = await asyncio.wait_for(reader.read(65536), POLICY.limits.idle_seconds)
            except TimeoutError:
                inspector.fail("idle-timeout")
            else:
                if not data:
                    break
        for event in inspector.receive_data(data):
            if isinstance(event, Message):  # Ping and Close are answered by the Inspector
                inspector.send_text(f'{{"sum":{sum(event.data.numbers)}}}')
        data = b""
        writer.write(inspector.data_to_send())
        await writer.drain()
    inspector.receive_eof()
    log.info("ended: %s", inspector.violation or inspector.close_code)


async def finish(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Send FIN and read on for a moment: closing with unread input could lose the Close frame on its way."""
    with contextlib.suppress(OSError, TimeoutError):
        writer.write_eof()
        async with asyncio.timeout(1):
            while await reader.read(65536):
                pass
    writer.close()


async def main(port: int) -> None:
    """Serve until interrupted."""

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError, TimeoutError):
            async with asyncio.timeout(POLICY.limits.handshake_seconds):
                inspector = await handshake(reader, writer, admission)
            await converse(reader, writer, inspector)
        await finish(reader, writer)

    async with await asyncio.start_server(connected, "127.0.0.1", port) as server:
        host, port = server.sockets[0].getsockname()
        admission = Admission(POLICY, (host, port))
        log.info("listening on ws://%s:%d", host, port)
        await server.serve_forever()


if __name__ == "__main__":
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(main(int(sys.argv[1]) if len(sys.argv) > 1 else 8766))
