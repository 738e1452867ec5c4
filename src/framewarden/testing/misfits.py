"""Values in which one thing does not fit a type, as the builtins that a message writes them as."""

import re
from collections.abc import Callable
from typing import Any

from hypothesis import strategies as st
from msgspec import inspect

from framewarden.testing.shapes import (
    DEEPEST,
    Lists,
    Node,
    Objects,
    Octets,
    Shapes,
    Strategy,
    bare,
    datetimes,
    fields_of,
    in_base64,
    is_array,
    times,
)

__all__ = ["Misfits"]

SAMPLES: dict[str, Any] = {
    "null": None,
    "bool": True,
    "int": 7,
    "float": 0.5,
    "str": "?",
    "bytes": b"?",
    "array": [],
    "object": {},
}
"""A value of each kind; in a message it stands for all that are not of the kind that a type wants."""

KINDS: dict[type[Node], frozenset[str]] = {
    inspect.NoneType: frozenset({"null"}),
    inspect.BoolType: frozenset({"bool"}),
    inspect.IntType: frozenset({"int"}),
    inspect.FloatType: frozenset({"int", "float"}),
    inspect.StrType: frozenset({"str"}),
    inspect.DecimalType: frozenset({"str", "int", "float"}),
    inspect.UUIDType: frozenset({"str", "bytes"}),
    **dict.fromkeys(Octets, frozenset({"str", "bytes"})),
    **dict.fromkeys(
        (inspect.DateTimeType, inspect.DateType, inspect.TimeType, inspect.TimeDeltaType),
        frozenset({"str", "bytes", "int", "float"}),
    ),
    inspect.ExtType: frozenset({"ext"}),
    **dict.fromkeys((*Lists, inspect.TupleType, inspect.NamedTupleType), frozenset({"array"})),
    **dict.fromkeys((inspect.DictType, inspect.DataclassType, inspect.TypedDictType), frozenset({"object"})),
}
"""What the values of a type may be written as."""

NO_WORD = "?"
"""A text that is no number, no time, no UUID, and hopefully no member of an enum."""


class Misfits:
    """Strategies for what almost fits the types of one schema.

    Args:
        shapes: for what does fit.
    """

    def __init__(self, shapes: Shapes) -> None:
        self._shapes = shapes
        self._made: dict[tuple[int, int], tuple[Node, Strategy]] = {}

    def of(self, node: Node, depth: int = 0) -> Strategy:
        """Values that are wrong here, or in one of their parts."""
        node, depth = bare(node), min(depth, DEEPEST)
        if isinstance(node, ANYTHING):
            return st.nothing()
        key = (id(node), depth)
        if key not in self._made:
            self._made[key] = (node, st.deferred(lambda: self._here(node) | self._beyond(node) | self._in(node, depth)))
        return self._made[key][1]

    def _here(self, node: Node) -> Strategy:
        """Values of another kind."""
        wanted = _kinds(node)
        samples = [value for kind, value in SAMPLES.items() if kind not in wanted]
        if not self._shapes.binary:
            samples = [value for value in samples if not isinstance(value, bytes)]
        return st.sampled_from(samples) if samples else st.nothing()

    def _beyond(self, node: Node) -> Strategy:
        """Values of the right kind that a constraint forbids."""
        match node:
            case inspect.IntType() | inspect.FloatType():
                return _out_of_range(node)
            case inspect.StrType():
                return _wrong_text(node)
            case inspect.DateTimeType(tz=bool(tz)):
                return st.just(NO_WORD) | datetimes(not tz)
            case inspect.TimeType(tz=bool(tz)):
                return st.just(NO_WORD) | times(not tz)
            case inspect.EnumType():
                return _no_member([member.value for member in node.cls])
            case inspect.LiteralType():
                return _no_member(list(node.values))
            case inspect.UnionType():
                return st.nothing()
        if isinstance(node, (*Lists, inspect.DictType)):
            return self._wrong_length(node)
        if isinstance(node, Octets):
            return st.just(NO_WORD) | self._wrong_octets(node)
        return st.just(NO_WORD) if "str" in _kinds(node) and not isinstance(node, ANYTHING) else st.nothing()

    def _wrong_length(self, node: Any) -> Strategy:
        """An array or an object with one element too few or too many."""
        lengths = []
        if node.min_length:
            lengths.append(node.min_length - 1)
        if node.max_length is not None:
            lengths.append(node.max_length + 1)
        if not lengths:
            return st.nothing()
        if isinstance(node, inspect.DictType):
            keys, values = self._shapes.keys(node.key_type, DEEPEST), self._shapes.of(node.value_type, DEEPEST)
            return st.one_of([st.dictionaries(keys, values, min_size=size, max_size=size) for size in lengths])
        unique = repr if isinstance(node, inspect.SetType | inspect.FrozenSetType) else None
        items = self._shapes.of(node.item_type, DEEPEST)
        return st.one_of([st.lists(items, min_size=size, max_size=size, unique_by=unique) for size in lengths])

    def _wrong_octets(self, node: Any) -> Strategy:
        ways: list[Strategy] = []
        if node.min_length:
            ways.append(st.binary(max_size=node.min_length - 1))
        if node.max_length is not None:
            ways.append(st.binary(min_size=node.max_length + 1, max_size=node.max_length + 3))
        return st.one_of(ways).map(bytes if self._shapes.binary else in_base64)

    def _in(self, node: Node, depth: int) -> Strategy:
        """Values of which one part is wrong."""
        match node:
            case inspect.UnionType():
                return st.one_of([self._in_member(each, depth) for each in node.types])
            case inspect.TupleType():
                return self._in_tuple(node, depth)
            case inspect.DictType():
                return self._in_dictionary(node, depth)
        if isinstance(node, Lists):
            return self._in_list(node, depth)
        if isinstance(node, Objects):
            return self._in_array(node, depth) if is_array(node) else self._in_object(node, depth)
        return st.nothing()

    def _in_member(self, node: Node, depth: int) -> Strategy:
        """A value that was meant to be this member of a union."""
        node = bare(node)
        return self._beyond(node) | self._in(node, depth)

    def _in_tuple(self, node: inspect.TupleType, depth: int) -> Strategy:
        right = [self._shapes.of(each, depth + 1) for each in node.item_types]
        ways = [
            st.tuples(*right[:place], self.of(each, depth + 1), *right[place + 1 :]).map(list)
            for place, each in enumerate(node.item_types)
        ]
        return st.one_of(
            [*ways, *([st.tuples(*right[:-1]).map(list)] if right else []), st.tuples(*right, st.none()).map(list)]
        )

    def _in_list(self, node: Any, depth: int) -> Strategy:
        right = self._shapes.lists(node, depth)
        wrong = self.of(node.item_type, depth + 1)
        return _built(_replaced, right, wrong, st.integers(0, 2**16))

    def _in_dictionary(self, node: inspect.DictType, depth: int) -> Strategy:
        right = self._shapes.dictionaries(node, depth)
        keys, values = self._shapes.keys(node.key_type, depth), self._shapes.of(node.value_type, depth + 1)
        wrong_value = _built(lambda d, k, v: {**d, k: v}, right, keys, self.of(node.value_type, depth + 1))
        key = bare(node.key_type)
        wrong_keys = self._beyond(key)
        if isinstance(key, inspect.IntType | inspect.FloatType):
            wrong_keys |= st.just(NO_WORD)
        return wrong_value | _built(lambda d, k, v: {**d, k: v}, right, wrong_keys, values)

    def _in_object(self, node: Node, depth: int) -> Strategy:
        ways: list[Strategy] = []
        for field in fields_of(node):
            rest = self._shapes.objects(node, depth, without=frozenset({field.encode_name}))
            if field.required:
                ways.append(rest)
            name = field.encode_name
            ways.append(_built(_with, rest, st.just(name), self.of(field.type, depth + 1)))
        if isinstance(node, inspect.StructType):
            right = self._shapes.objects(node, depth)
            if node.forbid_unknown_fields:
                known = {field.encode_name for field in fields_of(node)} | {node.tag_field}
                names = st.text(max_size=4).filter(lambda name: name not in known)
                ways.append(_built(_with, right, names, st.none()))
            if node.tag_field is not None:
                ways.append(_built(_with, right, st.just(node.tag_field), st.just(_no_tag(node.tag)) | st.just([])))
        return st.one_of(ways)

    def _in_array(self, node: Node, depth: int) -> Strategy:
        fields = fields_of(node)
        tagged = isinstance(node, inspect.StructType) and node.tag_field is not None
        head = [node.tag] if isinstance(node, inspect.StructType) and tagged else []
        right = [self._shapes.of(field.type, depth + 1) for field in fields]
        ways: list[Strategy] = []
        for place, field in enumerate(fields):
            wrong = self.of(field.type, depth + 1)
            ways.append(st.tuples(*right[:place], wrong, *right[place + 1 :]).map(lambda values: [*head, *values]))
            if field.required:
                ways.append(st.tuples(*right[:place]).map(lambda values: [*head, *values]))
        if isinstance(node, inspect.StructType) and tagged:
            ways.append(st.tuples(*right).map(lambda values: [_no_tag(node.tag), *values]))
        if isinstance(node, inspect.NamedTupleType) or (
            isinstance(node, inspect.StructType) and node.forbid_unknown_fields
        ):
            ways.append(st.tuples(*right).map(lambda values: [*head, *values, None]))
        return st.one_of(ways)


ANYTHING = (inspect.AnyType, inspect.RawType, inspect.CustomType)


def _kinds(node: Node) -> frozenset[str]:
    """What the values of a type may be written as; of a type of the user's own nobody knows."""
    node = bare(node)
    if isinstance(node, inspect.UnionType):
        return frozenset().union(*map(_kinds, node.types))
    if isinstance(node, inspect.StructType):
        return frozenset({"array" if node.array_like else "object"})
    if isinstance(node, inspect.EnumType):
        return _kinds_of([member.value for member in node.cls])
    if isinstance(node, inspect.LiteralType):
        return _kinds_of(list(node.values))
    return KINDS.get(type(node), frozenset(SAMPLES))


def _kinds_of(values: list[Any]) -> frozenset[str]:
    names = {type(None): "null", int: "int"}
    return frozenset(names.get(type(value), "str") for value in values)


def _no_member(values: list[Any]) -> Strategy:
    """A text or a number that looks like one of these and is none."""
    ways: list[Strategy] = []
    texts = [value for value in values if isinstance(value, str)]
    numbers = [value for value in values if isinstance(value, int)]
    if texts:
        more = [*(text + NO_WORD for text in texts), *(text[:-1] for text in texts), *map(str.swapcase, texts)]
        ways.append(st.sampled_from([text for text in more if text not in texts]))
    if numbers:
        ways.append(st.sampled_from([min(numbers) - 1, max(numbers) + 1]))
    return st.one_of(ways)


def _no_tag(tag: Any) -> Any:
    return tag + NO_WORD if isinstance(tag, str) else tag + 2**20


def _out_of_range(node: Any) -> Strategy:
    step = 1 if isinstance(node, inspect.IntType) else 0.5
    values = [
        *([] if node.ge is None else [node.ge - step]),
        *([] if node.gt is None else [node.gt]),
        *([] if node.le is None else [node.le + step]),
        *([] if node.lt is None else [node.lt]),
        *(
            []
            if node.multiple_of in (None, 1)
            else [(node.ge or node.gt or 0) // node.multiple_of * node.multiple_of + node.multiple_of / 2]
        ),
    ]
    if isinstance(node, inspect.IntType):
        values = [int(value) for value in values]
    return st.sampled_from(values) if values else st.nothing()


def _wrong_text(node: inspect.StrType) -> Strategy:
    ways: list[Strategy] = []
    if node.min_length:
        ways.append(st.text(max_size=node.min_length - 1))
    if node.max_length is not None:
        ways.append(st.text(min_size=node.max_length + 1, max_size=node.max_length + 3))
    if node.pattern is not None:
        pattern = re.compile(node.pattern)
        least, most = Shapes.room(node, 0)
        ways.append(st.text(min_size=least, max_size=most).filter(lambda text: pattern.search(text) is None))
    return st.one_of(ways)


def _built(function: Callable[..., Any], *parts: Strategy) -> Strategy:
    """As st.builds, but known to be empty when a part is."""
    return st.tuples(*parts).map(lambda values: function(*values))


def _replaced(values: list[Any], wrong: Any, place: int) -> list[Any]:
    """One of the values, or one more behind none."""
    if not values:
        return [wrong]
    place %= len(values)
    return [*values[:place], wrong, *values[place + 1 :]]


def _with(value: dict[str, Any], name: str, part: Any) -> dict[str, Any]:
    return {**value, name: part}
