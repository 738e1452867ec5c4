"""What an application sends, as the text or bytes of a message."""

from typing import Any

import msgspec

from framewarden.engine.schema import select
from framewarden.errors import ArgumentError, ArgumentTypeError
from framewarden.policy import Policy

__all__ = ["encode_object", "sends_messagepack"]

_encode_json = msgspec.json.Encoder().encode
_encode_messagepack = msgspec.msgpack.Encoder().encode


def sends_messagepack(policy: Policy, path: str, subprotocol: str | None) -> bool:
    """Whether objects leave as MessagePack in Binary messages: where the schema in force has a type for Binary only."""
    if policy.schema is None:
        return False
    schema = select(policy.schema, path, subprotocol)
    return schema.binary is not None and schema.text is None


def encode_object(data: Any, *, messagepack: bool) -> str | bytes:
    """Encode what is neither text nor bytes: a ``str`` of JSON for a Text message, or MessagePack for a Binary one.

    Raises:
        ArgumentTypeError: ``data`` is None, or msgspec cannot encode it.
        ArgumentError: it holds a value that cannot be encoded.
    """
    if data is None:
        raise ArgumentTypeError("cannot send None")
    try:
        return _encode_messagepack(data) if messagepack else _encode_json(data).decode()
    except (TypeError, NotImplementedError) as error:
        raise ArgumentTypeError(f"cannot encode {type(data).__name__}: {error}") from None
    except (ValueError, RecursionError, OverflowError, msgspec.MsgspecError) as error:
        raise ArgumentError(f"cannot encode {type(data).__name__}: {type(error).__name__}") from None
