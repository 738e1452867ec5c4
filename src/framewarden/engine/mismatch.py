"""Say where a message differs from its type, in declared names and positions only.

msgspec's text cannot be used for it: it quotes unknown names and values, so it can carry payload into a log, and a
hostile name can forge the path at its end. So the message is decoded again without a type and walked along the type.
This runs once a refused message and looks at no more than the path to the first difference.
"""

from types import UnionType
from typing import Annotated, Any, Union, get_args, get_origin

import msgspec

__all__ = ["describe"]

DEEPEST = 16
CONVERSIONS = 48
LARGEST_PAYLOAD = 64 * 1024
_NAMES = {dict: "object", list: "array", str: "str", int: "int", float: "float", bool: "bool", type(None): "null"}


def describe(payload: bytes, kind: Any, text: bool) -> str:
    """Where and how a payload is not of the type ``kind``: ``"expected int, got str at $.room.members[3]"``.

    A peer chooses how often this runs, so what it may cost is bounded: 48 conversions of parts of the message, 16
    levels, and nothing at all for payloads above 64 KiB.
    """
    if len(payload) > LARGEST_PAYLOAD:
        return "not of the schema's type"
    try:
        value = msgspec.json.decode(payload) if text else msgspec.msgpack.decode(payload)
    except (msgspec.DecodeError, RecursionError, UnicodeError, TypeError):
        return "not of the schema's type"
    path, wrong = _Search().locate(value, kind, "$", DEEPEST)
    return f"{wrong} at {path}"


class _Search:
    """The walk to the first difference that can be named."""

    def __init__(self) -> None:
        self._conversions = CONVERSIONS

    def locate(self, value: Any, kind: Any, path: str, depth: int) -> tuple[str, str]:
        """The path to the difference, and what it is."""
        kind = _narrow(value, kind)
        origin = get_origin(kind) or kind
        if depth > 0 and self._conversions > 0:
            if isinstance(origin, type) and issubclass(origin, msgspec.Struct):
                return self._locate_in_struct(value, origin, path, depth)
            if origin in (list, set, frozenset, tuple) and isinstance(value, list):
                return self._locate_in_array(value, kind, path, depth)
        return path, f"{_expected(origin)}, got {_NAMES.get(type(value), 'another type')}"

    def _locate_in_struct(self, value: Any, kind: type[msgspec.Struct], path: str, depth: int) -> tuple[str, str]:
        config = kind.__struct_config__
        if config.array_like or not isinstance(value, dict):
            return path, f"{_expected(kind)}, got {_NAMES.get(type(value), 'another type')}"
        fields = msgspec.structs.fields(kind)
        names = {field.encode_name for field in fields}
        if config.tag_field is not None and value.get(config.tag_field, config.tag) != config.tag:
            return path, "unknown tag"
        for field in fields:
            if field.encode_name not in value:
                if field.required:
                    return path, f"missing field {field.encode_name}"
            elif not self._fits(value[field.encode_name], field.type):
                return self.locate(value[field.encode_name], field.type, f"{path}.{field.encode_name}", depth - 1)
        if config.forbid_unknown_fields and value.keys() - names - {config.tag_field}:
            return path, "unknown field"
        return path, "refused by a check of the type"

    def _locate_in_array(self, value: list[Any], kind: Any, path: str, depth: int) -> tuple[str, str]:
        members = get_args(kind)
        if get_origin(kind) is tuple and not (len(members) == 2 and members[1] is Ellipsis):
            if len(members) != len(value):
                return path, f"expected {len(members)} elements"
            wrong = next((i for i, each in enumerate(value) if not self._fits(each, members[i])), None)
        else:
            members = (members[0] if members else Any,) * len(value)
            wrong = self._first_misfit(value, members[0]) if value else None
        if wrong is None:
            return path, "refused by a check of the type"
        return self.locate(value[wrong], members[wrong], f"{path}[{wrong}]", depth - 1)

    def _first_misfit(self, value: list[Any], member: Any) -> int | None:
        """By halving, so that a long array costs as much as two conversions of it."""
        kind = list[member]
        if self._fits(value, kind):
            return None
        begin, end = 0, len(value)  # the first one that does not fit is in value[begin:end]
        while end - begin > 1:
            middle = (begin + end) // 2
            if self._fits(value[begin:middle], kind):
                begin = middle
            else:
                end = middle
        return begin

    def _fits(self, value: Any, kind: Any) -> bool:
        """Whether a part of the message is of its type; when there have been enough conversions, it is said to be."""
        if self._conversions == 0:
            return True
        self._conversions -= 1
        try:
            msgspec.convert(value, kind)
        except (msgspec.ValidationError, RecursionError):
            return False
        except Exception:  # noqa: BLE001 - a type that needs the schema's hook, or a hook of the type's own, fails here
            return True  # for reasons of its own: that is not the difference that is looked for
        return True


def _narrow(value: Any, kind: Any) -> Any:
    """The member of a union that the value was meant to be, if that can be told."""
    if get_origin(kind) is Annotated:
        return _narrow(value, get_args(kind)[0])
    if get_origin(kind) not in (Union, UnionType):
        return kind
    members = [member for member in get_args(kind) if member is not type(None)]
    if len(members) == 1:
        return _narrow(value, members[0])
    for member in members:
        if isinstance(value, dict) and _has_tag_of(value, member):
            return member
    return kind


def _has_tag_of(value: dict[Any, Any], kind: Any) -> bool:
    config = getattr(kind, "__struct_config__", None)
    return config is not None and config.tag_field is not None and value.get(config.tag_field) == config.tag


def _expected(kind: Any) -> str:
    """The declared type, as far as it has a name of its own."""
    if isinstance(kind, type) and kind is not UnionType:
        return f"expected {_NAMES.get(kind, kind.__name__)}"
    return "expected another type"
