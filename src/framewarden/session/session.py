"""What a session is made of that needs no speed: names, the two ends, how objects are encoded."""

import enum
import secrets
from collections.abc import AsyncIterable, AsyncIterator, Iterable
from typing import Any

import msgspec

from framewarden.engine.schema import select
from framewarden.errors import ArgumentError, ArgumentTypeError
from framewarden.policy import Policy

__all__ = ["Broadcast", "Delivery", "Peer", "encode_object", "new_session_id", "one_by_one", "sends_messagepack"]

_encode_json = msgspec.json.Encoder().encode
_encode_messagepack = msgspec.msgpack.Encoder().encode


class Delivery(enum.Enum):
    """What happened to a message that was sent.

    SENT: it leaves with the next write. BUFFERED: it waits, because the peer does not read as fast as we send.
    DROPPED: it will not be sent; ``policy.slow_consumer`` decided so, or ended the connection.
    """

    SENT = "sent"
    BUFFERED = "buffered"
    DROPPED = "dropped"


class Broadcast(msgspec.Struct, frozen=True):
    """How many sessions a message went to.

    Attributes:
        sent: it leaves with the next write.
        buffered: it waits, because the peer does not read as fast as we send.
        dropped: it will not be sent there; ``policy.slow_consumer`` decided so.
        closed: sessions that had ended already.
    """

    sent: int
    buffered: int
    dropped: int
    closed: int


class Peer(msgspec.Struct, frozen=True):
    """The two ends of a connection.

    Attributes:
        host: IP address of the peer, "" if unknown.
        port: its TCP port, 0 if unknown.
        local_host: IP address that it reached us at.
        local_port: our TCP port.
        tls: version of TLS ("TLSv1.3"), None: plain TCP.
        certificate: of the peer, verified, as ``ssl.SSLSocket.getpeercert`` tells it; None: it has shown none, or the
            server's context does not ask for one (``verify_mode``).
    """

    host: str
    port: int
    local_host: str
    local_port: int
    tls: str | None
    certificate: dict[str, Any] | None = None


def new_session_id() -> str:
    """128 bits from the operating system, so that nobody guesses a session's name."""
    return secrets.token_urlsafe(16)


def sends_messagepack(policy: Policy, path: str, subprotocol: str | None) -> bool:
    """Whether objects leave as MessagePack in Binary messages: where the schema in force has a type for Binary only."""
    if policy.schema is None:
        return False
    schema = select(policy.schema, path, subprotocol)
    return schema.binary is not None and schema.text is None


def encode_object(data: Any, messagepack: bool) -> str | bytes:
    """An object as a message: JSON in a str, or MessagePack in bytes.

    Raises:
        ArgumentTypeError: None, or a type that msgspec does not know.
        ArgumentError: a value that cannot be encoded.
    """
    if data is None:
        raise ArgumentTypeError("cannot send None")
    try:
        return _encode_messagepack(data) if messagepack else _encode_json(data).decode()
    except (TypeError, NotImplementedError) as error:
        raise ArgumentTypeError(f"cannot encode {type(data).__name__}: {error}") from None
    except (ValueError, RecursionError, OverflowError, msgspec.MsgspecError) as error:
        raise ArgumentError(f"cannot encode {type(data).__name__}: {type(error).__name__}") from None


async def one_by_one(chunks: Iterable[Any] | AsyncIterable[Any]) -> AsyncIterator[Any]:
    """The chunks of either kind of iterable."""
    if isinstance(chunks, AsyncIterable):
        async for chunk in chunks:
            yield chunk
    else:
        for chunk in chunks:
            yield chunk
