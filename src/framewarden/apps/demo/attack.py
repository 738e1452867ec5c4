"""What an attack is, and the two things that attacks are made of: masked frames and request heads."""

from collections.abc import Callable
from typing import Literal

import msgspec

from framewarden.apps.cases.wire import Wire
from framewarden.codec import encode_frame

__all__ = ["Attack", "masked", "text"]


class Attack(msgspec.Struct, frozen=True, kw_only=True):
    """One hostile input.

    Attributes:
        rule: id of the rule that it breaks; the rule says what the answer must be.
        sent: what is sent, in words.
        data: what is sent. Frames behind the 101 where the rule has a close code, a request head where it has an HTTP
            status; or a function that is given the connection, where one send is not enough.
        against: name of the guarded server that gets it; "client": a guarded client gets it from a hostile server.
        path: request path of the connection that frames are sent on.
        deflate: whether that connection has negotiated permessage-deflate.
        crowd: connections that somebody else holds open meanwhile.
        silent_crowd: the same, of connections that say nothing.
        slow: it takes about a second, because time is what it is about.
    """

    rule: str
    sent: str
    data: bytes | Callable[[Wire], None]
    against: Literal["chat", "impatient", "members", "narrow", "small", "brief", "patient", "poor", "client"] = "chat"
    path: str = "/chat"
    deflate: bool = False
    crowd: int = 0
    silent_crowd: int = 0
    slow: bool = False


KEY = b"\x37\xfa\x21\x3d"
"""A masking-key; RFC 6455 5.7 uses the same."""


def masked(
    opcode: int, payload: bytes = b"", *, fin: bool = True, rsv: int = 0, length_bytes: int | None = None
) -> bytes:
    """A frame as a client sends it; RSV1 is 4, RSV2 is 2, RSV3 is 1."""
    return encode_frame(opcode, payload, fin=fin, rsv=rsv, key=KEY, length_bytes=length_bytes)


def text(payload: str) -> bytes:
    """A Text message in one frame."""
    return masked(1, payload.encode())
