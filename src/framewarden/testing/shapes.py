"""Values that fit a type, as the builtins that a message writes them as."""

import base64
import datetime as dt
import math
from collections.abc import Callable, Mapping
from typing import Any

import msgspec
from hypothesis import strategies as st
from msgspec import inspect

from framewarden.errors import ArgumentError

__all__ = ["DEEPEST", "Shapes", "fields_of", "is_array"]

DEEPEST = 4
"""Levels from which on everything that may be left out is: a type may hold itself."""
MORE = 4
"""How many elements more than the least a list, a text or an object has."""
LEAST_INT, MOST_INT = -(2**63), 2**64 - 1
NAMES = st.sampled_from(["a", "b", "é", "世", "type", "0", ""]) | st.text(max_size=4)

Strategy = st.SearchStrategy[Any]
Node = inspect.Type
Objects = (inspect.StructType, inspect.TypedDictType, inspect.DataclassType, inspect.NamedTupleType)
Lists = (inspect.ListType, inspect.VarTupleType, inspect.SetType, inspect.FrozenSetType)
Octets = (inspect.BytesType, inspect.ByteArrayType, inspect.MemoryViewType)


def is_array(node: Node) -> bool:
    """Whether a type that has fields is written as an array of their values."""
    return isinstance(node, inspect.NamedTupleType) or (isinstance(node, inspect.StructType) and node.array_like)


def fields_of(node: Node) -> tuple[inspect.Field, ...]:
    """The fields of a Struct, TypedDict, dataclass or NamedTuple."""
    assert isinstance(node, Objects)
    return node.fields


def bare(node: Node) -> Node:
    """The type without what ``msgspec.Meta`` says about it for documentation."""
    while isinstance(node, inspect.Metadata):
        node = node.type
    return node


class Shapes:
    """Strategies for the types of one schema.

    Args:
        custom: what types of the user's own are written as.
        binary: for MessagePack; else for JSON.
    """

    def __init__(self, custom: Mapping[Any, Strategy], *, binary: bool) -> None:
        self.custom = custom
        self.binary = binary
        # The node is kept beside its strategy, so that its id is nobody else's.
        self._made: dict[tuple[int, int], tuple[Node, Strategy]] = {}

    def of(self, node: Node, depth: int = 0) -> Strategy:
        """Values of one type; ``depth`` levels stand above it."""
        node, depth = bare(node), min(depth, DEEPEST)
        for kind, make in LEAVES.items():
            if isinstance(node, kind):
                return make(self, node)
        key = (id(node), depth)
        if key not in self._made:
            self._made[key] = (node, st.deferred(lambda: self._composite(node, depth)))
        return self._made[key][1]

    def _composite(self, node: Node, depth: int) -> Strategy:
        match node:
            case inspect.UnionType():
                return self._union(node, depth)
            case inspect.TupleType():
                return st.tuples(*(self.of(each, depth + 1) for each in node.item_types)).map(list)
            case inspect.DictType():
                return self.dictionaries(node, depth)
            case _ if isinstance(node, Lists):
                return self.lists(node, depth)
            case _ if isinstance(node, Objects):
                return self.arrays(node, depth) if is_array(node) else self.objects(node, depth)
        return self._own(node)

    def _own(self, node: Node) -> Strategy:
        kind = getattr(node, "cls", None)
        if kind not in self.custom:
            raise ArgumentError(f"custom does not say what {kind or node!r} is written as")
        return self.custom[kind]

    def _union(self, node: inspect.UnionType, depth: int) -> Strategy:
        members = node.types
        if depth == DEEPEST:  # the ones that end here, if there are any
            members = tuple(each for each in members if isinstance(bare(each), tuple(LEAVES))) or members
        return st.one_of([self.of(each, depth) for each in members])

    def lists(self, node: Node, depth: int) -> st.SearchStrategy[list[Any]]:
        """Values of a list, tuple or set of one type."""
        assert isinstance(node, Lists)
        least, most = self.room(node, depth)
        items = self.of(node.item_type, depth + 1)
        if isinstance(node, inspect.SetType | inspect.FrozenSetType):
            return st.lists(items, min_size=least, max_size=most, unique_by=repr)
        return st.lists(items, min_size=least, max_size=most)

    def dictionaries(self, node: inspect.DictType, depth: int) -> st.SearchStrategy[dict[Any, Any]]:
        """Values of a dict."""
        least, most = self.room(node, depth)
        return st.dictionaries(
            self.keys(node.key_type, depth), self.of(node.value_type, depth + 1), min_size=least, max_size=most
        )

    def keys(self, node: Node, depth: int) -> Strategy:
        """Names of a dict's members; ``Any`` is one that JSON has, too."""
        if isinstance(bare(node), inspect.AnyType):
            return NAMES
        return self.of(node, depth + 1).map(hashable)

    @staticmethod
    def room(node: Any, depth: int) -> tuple[int, int]:
        """How few and how many elements a value has."""
        least = node.min_length or 0
        most = least if depth == DEEPEST else least + MORE
        return least, most if node.max_length is None else min(most, node.max_length)

    def objects(self, node: Node, depth: int, *, without: frozenset[str] = frozenset()) -> Strategy:
        """Values of what is written as an object; ``without`` some of its fields."""
        fields = [field for field in fields_of(node) if field.encode_name not in without]
        required = {field.encode_name: self.of(field.type, depth + 1) for field in fields if field.required}
        optional = {field.encode_name: self.of(field.type, depth + 1) for field in fields if not field.required}
        tag: dict[str, Any] = {}
        if isinstance(node, inspect.StructType) and node.tag_field is not None:
            tag = {node.tag_field: node.tag}
        values = st.fixed_dictionaries(required, optional={} if depth == DEEPEST else optional)
        known = {*tag, *(field.encode_name for field in fields_of(node))}
        extra: st.SearchStrategy[dict[str, Any]] = st.just({})
        if not (isinstance(node, inspect.StructType) and node.forbid_unknown_fields):
            extra |= st.dictionaries(NAMES.filter(lambda name: name not in known), st.none() | st.just([1]), max_size=1)
        # A tag may stand anywhere.
        return st.builds(
            lambda value, more, first: {**tag, **value, **more} if first else {**more, **value, **tag},
            values,
            extra,
            st.booleans(),
        )

    def arrays(self, node: Node, depth: int) -> Strategy:
        """Values of what is written as an array of its fields: those at the end may be left out."""
        fields = fields_of(node)
        least = max((index + 1 for index, field in enumerate(fields) if field.required), default=0)
        head = [node.tag] if isinstance(node, inspect.StructType) and node.tag_field is not None else []
        whole = st.tuples(*(self.of(field.type, depth + 1) for field in fields))
        sizes = st.just(least) if depth == DEEPEST else st.integers(least, len(fields))
        return st.builds(lambda values, size: [*head, *values[:size]], whole, sizes)


def hashable(value: Any) -> Any:
    """An array that is a name: MessagePack has them."""
    return tuple(map(hashable, value)) if isinstance(value, list) else value


# --- What has no parts --------------------------------------------------------------------------------------------


def anything(shapes: Shapes) -> Strategy:
    """Draw any value that JSON, or MessagePack, can write."""
    scalars: Strategy = (
        st.none()
        | st.booleans()
        | st.integers(LEAST_INT, MOST_INT)
        | st.floats(allow_nan=False, allow_infinity=False)
        | st.text(max_size=8)
    )
    if shapes.binary:
        scalars |= st.binary(max_size=8)
    return st.recursive(
        scalars, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(NAMES, inner, max_size=3), max_leaves=12
    )


def integers(node: inspect.IntType) -> st.SearchStrategy[int]:
    """Draw integers inside the constraints."""
    lowest = max(LEAST_INT, LEAST_INT if node.ge is None else node.ge, LEAST_INT if node.gt is None else node.gt + 1)
    highest = min(MOST_INT, MOST_INT if node.le is None else node.le, MOST_INT if node.lt is None else node.lt - 1)
    step = node.multiple_of
    if step is None:
        small = st.integers(max(lowest, -100), min(highest, 100)) if lowest <= 100 and highest >= -100 else st.nothing()
        return small | st.integers(lowest, highest)
    return st.integers(-(-lowest // step), highest // step).map(lambda times: times * step)


def floats(node: inspect.FloatType) -> st.SearchStrategy[float]:
    """Draw finite floats inside the constraints."""
    lowest = max((each for each in (node.ge, node.gt) if each is not None), default=None)
    highest = min((each for each in (node.le, node.lt) if each is not None), default=None)
    step = node.multiple_of
    if step is not None:
        low = -1000 if lowest is None else math.ceil(lowest / step)
        high = low + 2000 if highest is None else math.floor(highest / step)
        times = st.integers(low, high)
        if math.fmod(7 * step, step):  # no float, as 0.1: its other multiples are none, but for those by powers of two
            powers = [sign * 2**power for power in range(10) for sign in (1, -1)]
            times = st.sampled_from([number for number in (0, *powers) if low <= number <= high])
        drawn = times.map(lambda number: number * step)
    else:
        drawn = st.floats(
            None if lowest is None else float(lowest),
            None if highest is None else float(highest),
            allow_nan=False,
            allow_infinity=False,
        )
    return drawn.filter(
        lambda value: not ((node.gt is not None and value <= node.gt) or (node.lt is not None and value >= node.lt))
    )


def strings(node: inspect.StrType) -> st.SearchStrategy[str]:
    """Draw text of the right length, which has the pattern in it."""
    least, most = Shapes.room(node, 0)
    if node.max_length is None:
        most = least + 12
    if node.pattern is None:
        return st.text(min_size=least, max_size=most)
    found = st.from_regex(node.pattern, alphabet=st.characters(codec="utf-8"))
    longest = math.inf if node.max_length is None else node.max_length
    return found.filter(lambda text: least <= len(text) <= longest)


def octets(shapes: Shapes, node: Any) -> Strategy:
    """Draw bytes of the right length; in JSON they are base64."""
    least, most = Shapes.room(node, 0)
    drawn = st.binary(min_size=least, max_size=most)
    return drawn if shapes.binary else drawn.map(in_base64)


def in_base64(data: bytes) -> str:
    """As JSON writes bytes."""
    return base64.b64encode(data).decode()


ZONES = st.just(dt.UTC) | st.integers(-14 * 60, 14 * 60).map(lambda minutes: dt.timezone(dt.timedelta(minutes=minutes)))


def zones(tz: bool | None) -> st.SearchStrategy[dt.tzinfo | None]:
    """Draw time zones: demanded, forbidden, or either."""
    return {True: ZONES, False: st.none(), None: st.none() | ZONES}[tz]


def datetimes(tz: bool | None) -> st.SearchStrategy[str]:
    """Draw RFC 3339 times that a time zone does not carry out of the calendar."""
    span = st.datetimes(dt.datetime(1, 1, 2), dt.datetime(9999, 12, 30))  # noqa: DTZ001 - the zone is drawn, too
    return st.builds(lambda when, zone: when.replace(tzinfo=zone).isoformat(), span, zones(tz))


def times(tz: bool | None) -> st.SearchStrategy[str]:
    """Draw times of day."""
    return st.builds(lambda when, zone: when.replace(tzinfo=zone).isoformat(), st.times(), zones(tz))


def extensions(shapes: Shapes) -> Strategy:
    """Draw MessagePack extension values, but for timestamps; JSON has none."""
    if not shapes.binary:
        return st.nothing()
    return st.builds(msgspec.msgpack.Ext, st.integers(0, 127), st.binary(max_size=8))


def written(values: Strategy) -> Strategy:
    """As msgspec writes them."""
    return values.map(msgspec.to_builtins)


Leaf = Callable[[Shapes, Any], Strategy]
LEAVES: dict[type[Node], Leaf] = {
    inspect.AnyType: lambda shapes, _: anything(shapes),
    inspect.RawType: lambda shapes, _: anything(shapes),
    inspect.NoneType: lambda _, __: st.none(),
    inspect.BoolType: lambda _, __: st.booleans(),
    inspect.IntType: lambda _, node: integers(node),
    inspect.FloatType: lambda _, node: floats(node),
    inspect.StrType: lambda _, node: strings(node),
    **dict.fromkeys(Octets, octets),
    inspect.DateTimeType: lambda _, node: datetimes(node.tz),
    inspect.DateType: lambda _, __: written(st.dates()),
    inspect.TimeType: lambda _, node: times(node.tz),
    inspect.TimeDeltaType: lambda _, __: written(st.timedeltas(dt.timedelta(days=-9999), dt.timedelta(days=9999))),
    inspect.UUIDType: lambda _, __: written(st.uuids()),
    inspect.DecimalType: lambda _, __: written(st.decimals(allow_nan=False, allow_infinity=False)),
    inspect.ExtType: lambda shapes, _: extensions(shapes),
    inspect.EnumType: lambda _, node: st.sampled_from([member.value for member in node.cls]),
    inspect.LiteralType: lambda _, node: st.sampled_from(list(node.values)),
}
"""What the values of types without parts are drawn from."""
