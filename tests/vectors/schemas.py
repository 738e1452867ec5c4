"""The schemas that vectors name, as plain types: a test makes of them what it needs."""

from typing import Any, NamedTuple

import msgspec

__all__ = ["SCHEMAS", "Named"]


class Say(msgspec.Struct, tag="say", forbid_unknown_fields=True):
    room: str
    text: str


class Join(msgspec.Struct, tag="join", forbid_unknown_fields=True):
    room: str


class Point(msgspec.Struct, forbid_unknown_fields=True):
    x: int
    y: int


class Even:
    """A type that msgspec does not know: made by the hook from "even:4"."""

    def __init__(self, number: int) -> None:
        self.number = number

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Even) and other.number == self.number

    def __hash__(self) -> int:
        return hash(self.number)


def even(kind: type, value: Any) -> Any:
    """Refuse odd numbers as a hook should; fail at anything else as a hook should not."""
    if kind is not Even:
        raise NotImplementedError
    _, _, digits = value.partition(":")
    if not digits:
        raise RuntimeError("this hook is broken")
    if int(digits) % 2:
        raise ValueError("odd")
    return Even(int(digits))


class Named(NamedTuple):
    """The arguments of ``framewarden.Schema`` and of the oracle's ``Types``."""

    text: Any = None
    binary: Any = None
    duplicate_keys: str = "allow"
    dec_hook: Any = None


SCHEMAS = {
    "chat": Named(text=Say | Join),
    "point": Named(binary=Point),
    "both": Named(text=list[int], binary=list[int]),
    "any": Named(text=Any, binary=Any),
    "numbers": Named(text=list[float]),
    "unique": Named(text=Any, duplicate_keys="refuse"),
    "hooked": Named(text=list[Even], dec_hook=even),
}


def builtin(value: Any) -> Any:
    """A decoded value as JSON can hold it, with bytes as ``{"hex": ...}``."""
    if isinstance(value, Even):
        return f"even:{value.number}"
    if isinstance(value, bytes):
        return {"hex": value.hex()}
    if isinstance(value, list):
        return [builtin(item) for item in value]
    if isinstance(value, dict):
        return {key: builtin(item) for key, item in value.items()}
    return msgspec.to_builtins(value)
