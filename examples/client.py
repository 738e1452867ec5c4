#!/usr/bin/env python3
"""A client of chat.py: enters a room, says something in it, and logs what it hears until the first answer.

From the directory above this one: ``python examples/client.py ws://127.0.0.1:8765 lobby hello``.
"""

import asyncio
import logging
import sys

import msgspec

from framewarden import ClosedError, Deflate, HandshakeError, Limits, Policy, Schema, connect

log = logging.getLogger("client")


class Join(msgspec.Struct, tag="join"):
    """Enter a room."""

    room: str


class Say(msgspec.Struct, tag="say"):
    """Say something to everybody in a room."""

    room: str
    text: str


class Said(msgspec.Struct, tag="said", forbid_unknown_fields=True):
    """What the server may send, and nothing else."""

    room: str
    text: str


POLICY = Policy(limits=Limits(max_message_bytes=64 * 1024), schema=Schema(text=Said), deflate=Deflate())


async def chat(uri: str, room: str, text: str) -> None:
    """Say ``text``, and hear it."""
    async with connect(uri, POLICY) as connection:
        await connection.send(Join(room))
        log.info("round trip: %.1f ms", await connection.ping() * 1000)
        await connection.send(Say(room, text))
        async for said in connection:
            log.info("%s: %s", said.room, said.text)
            break


if __name__ == "__main__":
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    if len(sys.argv) != 4:
        sys.exit("usage: client.py ws://HOST:PORT ROOM TEXT")
    try:
        asyncio.run(chat(*sys.argv[1:4]))
    except HandshakeError as error:
        sys.exit(f"refused ({error.status}): {error}")
    except ClosedError as error:
        sys.exit(f"closed with {error.code} {error.reason}")
    except OSError as error:
        sys.exit(f"not connected: {error}")
