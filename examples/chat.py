#!/usr/bin/env python3
"""A chat with typed messages.

Two ways to serve it, from the directory above this one: ``python examples/chat.py [port]``, or
``framewarden serve examples.chat:Chat --policy examples/chat.toml``.
"""

import logging
import sys
from typing import Any

import msgspec

from framewarden import Deflate, Handler, Limits, Policy, Schema, Session, serve

log = logging.getLogger("chat")


class Join(msgspec.Struct, tag="join", forbid_unknown_fields=True):
    """Enter a room."""

    room: str


class Say(msgspec.Struct, tag="say", forbid_unknown_fields=True):
    """Say something to everybody in a room."""

    room: str
    text: str


class Said(msgspec.Struct, tag="said"):
    """What everybody in the room gets."""

    room: str
    text: str


Incoming = Join | Say


class Chat(Handler):
    """One object for all connections; what arrives has been checked: frames, sizes, UTF-8, JSON and types."""

    def __init__(self) -> None:
        self.rooms: dict[str, set[Session]] = {}

    def on_message(self, session: Session, message: Any) -> None:
        """A Join or a Say, never anything else."""
        match message:
            case Join(room):
                self.rooms.setdefault(room, set()).add(session)
            case Say(room, text):
                for member in self.rooms.get(room, ()):
                    member.send(Said(room, text))

    def on_close(self, session: Session, code: int, reason: str) -> None:
        """The session leaves every room."""
        for members in self.rooms.values():
            members.discard(session)


# The same as in chat.toml. A compressed message has two sizes: on the wire, and inflated.
POLICY = Policy(
    limits=Limits(max_message_bytes=64 * 1024, max_inflated_bytes=64 * 1024, drain_seconds=5),
    schema=Schema(text=Incoming),
    deflate=Deflate(),
)


def tell(url: str) -> None:
    """Say where the server is."""
    log.info("listening on %s", url)


if __name__ == "__main__":
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    serve(Chat, POLICY, port=int(sys.argv[1]) if len(sys.argv) > 1 else 8765, on_start=tell)
