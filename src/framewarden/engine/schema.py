"""A policy's schema, compiled: one decoder an opcode, and what to say of a message that a decoder refused."""

from collections.abc import Callable
from json import JSONDecodeError, loads
from typing import Any

import msgspec

from framewarden.engine.mismatch import describe
from framewarden.errors import PolicyError
from framewarden.policy import Schema

__all__ = ["Decoders", "classify", "compile_schema", "select"]


class Decoders:
    """What a connection decodes its messages with; ``None`` for an opcode that the schema has no type for."""

    __slots__ = ("binary", "binary_type", "refuse_duplicate_keys", "text", "text_type")

    def __init__(self, schema: Schema) -> None:
        self.text_type = schema.text
        self.binary_type = schema.binary
        self.refuse_duplicate_keys = schema.duplicate_keys == "refuse"
        self.text: Callable[[Any], Any] | None = None
        self.binary: Callable[[Any], Any] | None = None
        if schema.text is not None:
            self.text = msgspec.json.Decoder(schema.text, dec_hook=schema.dec_hook).decode
        if schema.binary is not None:
            self.binary = msgspec.msgpack.Decoder(schema.binary, dec_hook=schema.dec_hook).decode


def select(schema: Schema, route: str, subprotocol: str | None) -> Schema:
    """The schema of a route and a subprotocol; what has none of its own has that of the level above."""
    schema = schema.routes.get(route, schema)
    if subprotocol is not None:
        schema = schema.subprotocols.get(subprotocol, schema)
    return schema


def compile_schema(schema: Schema, route: str, subprotocol: str | None) -> Decoders:
    """Build the decoders.

    Raises:
        PolicyError: msgspec cannot decode such a type.
    """
    try:
        return Decoders(select(schema, route, subprotocol))
    except (TypeError, ValueError) as error:
        raise PolicyError(f"policy.schema: {error}") from None


def classify(error: BaseException, payload: bytes, decoders: Decoders, text: bool) -> tuple[str, str]:
    """Which rule a message broke that made a decoder raise ``error``, and the detail of the violation.

    The detail is built from the kind of the error, the names that the schema declares, and positions: never from the
    exception's text, which can carry the payload.
    """
    if raised_by_hook(error):
        return "schema-hook", f"a hook raised {type(error.__cause__ or error).__name__}"
    if isinstance(error, MemoryError):
        return "out-of-memory", "no memory for the decoded message"
    if isinstance(error, RecursionError):
        return "schema-depth", "nested too deeply to be decoded"
    if isinstance(error, UnicodeError):
        return "schema-unicode", "a string is not UTF-8"
    if isinstance(error, msgspec.ValidationError):
        kind = decoders.text_type if text else decoders.binary_type
        return mismatch(error, payload, kind, text)
    if isinstance(error, msgspec.DecodeError):
        return malformed(payload) if text else ("schema-malformed", "not MessagePack, or cut short")
    if isinstance(error, TypeError):  # msgspec's own: an unhashable member of a set, say
        return "schema-mismatch", "a value that its type cannot hold"
    return "schema-hook", f"a hook raised {type(error).__name__}"


def raised_by_hook(error: BaseException) -> bool:
    """Whether a hook of the user's failed, rather than the message.

    A hook's ValueError is a refusal, and msgspec makes a ValidationError of it; everything else is the hook's own
    failure. msgspec wraps a TypeError too. An error of its own has no traceback: no Python function has raised it.
    """
    if error.__cause__ is not None:
        return not isinstance(error.__cause__, ValueError)
    return error.__traceback__ is not None and not isinstance(error, msgspec.ValidationError)


def mismatch(error: msgspec.ValidationError, payload: bytes, kind: Any, text: bool) -> tuple[str, str]:
    """The message is JSON or MessagePack, as far as the decoder came, and not of the type."""
    if str(error).startswith(("Number out of range", "Integer value out of range")):
        return "schema-number", "a number is out of range"
    return "schema-mismatch", describe(payload, kind, text)


class _NotANumber(ValueError):
    pass


def _refuse_constant(name: str) -> None:
    raise _NotANumber


def malformed(payload: bytes) -> tuple[str, str]:
    """Ask another parser what is wrong with a text that msgspec does not take for JSON.

    Python's own reads NaN and half surrogate pairs, and says where it stops.
    """
    try:
        loads(payload.decode(), parse_constant=_refuse_constant)
    except _NotANumber:
        return "schema-number", "NaN or Infinity"
    except JSONDecodeError as error:
        return "schema-malformed", f"not JSON at character {error.pos}"
    except RecursionError:
        return "schema-depth", "nested too deeply to be decoded"
    except ValueError:
        return "schema-number", "a number has too many digits"
    return "schema-surrogate", "half of a surrogate pair"
