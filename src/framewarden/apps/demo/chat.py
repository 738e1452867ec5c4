"""The application that the demo guards: a chat with typed messages, written as any user of framewarden would."""

import asyncio
from typing import Any

import msgspec

from framewarden.codec.handshake import Request
from framewarden.identity import Identity
from framewarden.policy import Schema
from framewarden.rfc6455 import State
from framewarden.session import Handler, Session

__all__ = ["SCHEMA", "Answer", "Chat", "Emoji", "Join", "Leave", "Members", "React", "Say", "Search"]

SEARCH_SECONDS = 1.5
"""How long a search takes."""

# What clients send: JSON in Text messages, told apart by "type".


class Join(msgspec.Struct, tag="join", forbid_unknown_fields=True):
    """Enter a room."""

    room: str


class Say(msgspec.Struct, tag="say", forbid_unknown_fields=True):
    """Say something in a room."""

    room: str
    text: str


class Leave(msgspec.Struct, tag="leave", forbid_unknown_fields=True):
    """Leave a room."""

    room: str


class Search(msgspec.Struct, tag="search", forbid_unknown_fields=True):
    """Look for words in what was said; takes its time."""

    words: str


class Emoji:
    """A type that msgspec does not know; the schema's hook makes it of a name."""

    def __init__(self, sign: str) -> None:
        self.sign = sign


class React(msgspec.Struct, tag="react", forbid_unknown_fields=True):
    """React to message ``number``."""

    number: int
    emoji: Emoji


class File(msgspec.Struct, forbid_unknown_fields=True):
    """An upload: MessagePack in a Binary message."""

    name: str
    content: bytes


EMOJI = {"heart": "❤", "party": "🎉", "thumbs-up": "👍"}


def make_emoji(kind: type, value: Any) -> Emoji:
    """The hook, with a mistake that is easily made: a name that is not in the table is a KeyError, not a ValueError."""
    return Emoji(EMOJI[value])


SCHEMA = Schema(
    text=Join | Say | Leave | Search | React,
    duplicate_keys="refuse",
    dec_hook=make_emoji,
    routes={"/files": Schema(binary=File), "/notes": Schema(text=Any)},
)

# What the server answers.


class Joined(msgspec.Struct, tag="joined"):
    """You are in the room."""

    room: str
    members: int


class Said(msgspec.Struct, tag="said"):
    """Somebody said something in a room that you are in."""

    number: int
    room: str
    text: str


class Reacted(msgspec.Struct, tag="reacted"):
    """Your reaction was counted."""

    number: int
    sign: str


class Left(msgspec.Struct, tag="left"):
    """You are out of the room."""

    room: str


Answer = Joined | Said | Reacted | Left


class Chat(Handler):
    """Rooms, and who is in them."""

    def __init__(self) -> None:
        self.rooms: dict[str, set[Session]] = {}
        self.said = 0

    def on_message(self, session: Session, message: Any) -> Any:
        """Every message is of one of the schema's types here; nothing has to be checked again."""
        match message:
            case Join(room):
                members = self.rooms.setdefault(room, set())
                members.add(session)
                session.send(Joined(room, len(members)))
            case Say(room, text):
                self.said += 1
                for member in self.rooms.get(room, ()):
                    member.send(Said(self.said, room, text))
            case React(number, emoji):
                session.send(Reacted(number, emoji.sign))
            case Leave(room):
                self.rooms[room].remove(session)  # the mistake of this application: was it ever in the room?
                session.send(Left(room))
            case Search():
                return self.search(session)
        return None

    async def search(self, session: Session) -> None:
        """A slow query: the messages behind it wait."""
        if session.state is State.OPEN:
            await asyncio.sleep(SEARCH_SECONDS)

    def on_close(self, session: Session, code: int, reason: str) -> None:
        """The session leaves every room."""
        for members in self.rooms.values():
            members.discard(session)


class Members(Chat):
    """The same chat for members only."""

    def authenticate(self, request: Request) -> Identity | None:
        """Ask the table of members, which has its bad days."""
        match request.header("authorization"):
            case None:
                return None
            case "Bearer expelled":
                raise PermissionError
            case "Bearer database-is-down":
                raise ConnectionError
            case token:
                return Identity(subject=token.removeprefix("Bearer "))
