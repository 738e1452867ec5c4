"""What `shaped` draws decodes to the type, what `almost_shaped` draws is refused: by msgspec and by an Inspector."""

import datetime as dt
import decimal
import enum
import json
import uuid
from dataclasses import dataclass
from typing import Annotated, Any, Generic, Literal, NamedTuple, NotRequired, TypedDict, TypeVar

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from msgspec import Meta

from framewarden import Inspector, Policy, Schema
from framewarden.errors import ArgumentError
from framewarden.testing import almost_shaped, shaped

FEW = settings(max_examples=8)
DRAWN_ONLY = settings(max_examples=40, suppress_health_check=[HealthCheck.too_slow])


class Color(enum.Enum):
    RED = "red"
    BLUE = "blue"


class Level(enum.IntEnum):
    LOW = 1
    HIGH = 5


class Say(msgspec.Struct, tag="say", forbid_unknown_fields=True):
    room: str
    text: str = ""


class Join(msgspec.Struct, tag="join", forbid_unknown_fields=True):
    room: Annotated[str, Meta(min_length=1, max_length=4, pattern="^[a-z]+$")]


class Tree(msgspec.Struct, rename="camel"):
    left_side: "Tree | None" = None
    children: list["Tree"] = []


class Listed(msgspec.Struct, array_like=True, tag=3, forbid_unknown_fields=True):
    x: int
    y: float = 0.0


class Pair(NamedTuple):
    first: int
    second: str = ""


class Options(TypedDict):
    verbose: bool
    level: NotRequired[Literal[1, 2, "most"]]


T = TypeVar("T")


class Boxed(msgspec.Struct, Generic[T]):
    value: T
    more: list[T] = []


class Numbered(msgspec.Struct, tag_field="kind", tag=7):
    inside: Boxed[int]


@dataclass
class Person:
    name: str
    age: Annotated[int, Meta(ge=0, lt=150, description="in years")] = 0


class Even:
    def __init__(self, value: int) -> None:
        self.value = value


def even(kind, value):
    if kind is not Even or not isinstance(value, int) or value % 2:
        raise ValueError("odd")
    return Even(value)


TYPES = {
    "struct": Say,
    "union": Say | Join,
    "nullable": Say | None,
    "tree": Tree,
    "listed": Listed,
    "pair": Pair,
    "options": Options,
    "person": Person,
    "enum": Color,
    "int-enum": Level,
    "literal": Literal["a", "b", 3],
    "null": type(None),
    "bool": bool,
    "int": Annotated[int, Meta(ge=-5, le=5)],
    "step": Annotated[int, Meta(gt=0, lt=100, multiple_of=7)],
    "float": Annotated[float, Meta(gt=0, le=1.5)],
    "bare-list": list,
    "bare-dict": dict,
    "raw": list[msgspec.Raw],
    "generic": Boxed[str | None],
    "numbered": Numbered | None,
    "deep-set": set[tuple[int, int]],
    "float-powers": Annotated[float, Meta(multiple_of=0.1)],
    "float-step": Annotated[float, Meta(ge=0, le=10, multiple_of=0.5)],
    "text": Annotated[str, Meta(min_length=2, max_length=3)],
    "pattern": Annotated[str, Meta(pattern="[0-9]{2}")],
    "bytes": Annotated[bytes, Meta(min_length=1, max_length=3)],
    "datetime": dt.datetime,
    "aware": Annotated[dt.datetime, Meta(tz=True)],
    "naive": Annotated[dt.datetime, Meta(tz=False)],
    "date": dt.date,
    "time": Annotated[dt.time, Meta(tz=False)],
    "duration": dt.timedelta,
    "uuid": uuid.UUID,
    "decimal": decimal.Decimal,
    "list": Annotated[list[int], Meta(min_length=1, max_length=3)],
    "set": Annotated[set[int], Meta(min_length=1)],
    "frozenset": frozenset[str],
    "tuple": tuple[int, str, bool],
    "var-tuple": tuple[bool, ...],
    "dict": Annotated[dict[str, int], Meta(max_length=2)],
    "int-keys": dict[int, str],
    "constrained-keys": dict[Annotated[str, Meta(min_length=2)], Any],
    "uuid-keys": dict[uuid.UUID, bool],
    "mixed": int | str | list[bool] | None,
    "deep": dict[str, list[tuple[Say | Join, Color]]],
}


@pytest.mark.parametrize("binary", [False, True], ids=["json", "messagepack"])
@pytest.mark.parametrize("name", TYPES)
def test_what_is_drawn_is_what_it_says(name, binary):
    """The schema room itself is asked, not the filter at the strategies' end."""
    kind = TYPES[name]
    schema = Schema(binary=kind) if binary else Schema(text=kind)

    def send(message):
        client, server = Inspector(role="client"), Inspector(Policy(schema=schema))
        if binary:
            client.send_bytes(message)
        else:
            client.send_text(message.decode())
        return server.receive_data(client.data_to_send()), server.violation

    @FEW
    @given(shaped(kind, binary=binary))
    def accepted(message):
        [event], violation = send(message)
        assert violation is None
        assert event.would_refuse is None

    @FEW
    @given(almost_shaped(kind, binary=binary))
    def refused(message):
        events, violation = send(message)
        assert events == []
        assert violation.close_code == 4422
        decoded = msgspec.msgpack.decode(message) if binary else json.loads(message)
        assert decoded is not ...  # it is well-formed: without a type it can be read

    accepted()
    refused()


def test_what_is_wrong_with_a_struct():
    """One thing of each kind: each is drawn."""
    known = {"type", "room", "text"}
    wrongs = {
        "tag": lambda v: v.get("type") not in ("say", None) or "type" not in v,
        "missing": lambda v: v.get("type") == "say" and "room" not in v,
        "unknown": lambda v: bool(v.keys() - known),
        "kind": lambda v: not isinstance(v.get("room", ""), str) or not isinstance(v.get("text", ""), str),
    }
    seen = set()

    @DRAWN_ONLY
    @given(almost_shaped(Say))
    def look(message):
        value = msgspec.json.decode(message)
        if isinstance(value, dict):
            seen.update(name for name, wrong in wrongs.items() if wrong(value))
        else:
            seen.add("no object")

    for _ in range(20):
        look()
        if len(seen) == 5:
            break
    assert seen == {*wrongs, "no object"}


def test_what_fits_a_struct_has_optional_and_unknown_fields_or_not():
    seen = set()

    @DRAWN_ONLY
    @given(shaped(Tree))
    def look(message):
        value = msgspec.json.decode(message)
        seen.add("leftSide" in value)
        seen.update(["unknown"] if value.keys() - {"leftSide", "children"} else [])
        seen.update(["nested"] if value.get("children") else [])

    for _ in range(20):
        look()
        if len(seen) == 4:
            break
    assert seen == {True, False, "unknown", "nested"}


@FEW
@given(shaped(list[Even], dec_hook=even, custom={Even: st.integers(0, 9)}))
def test_a_type_of_ones_own_needs_what_it_is_written_as(message):
    """What the hook refuses is not drawn."""
    assert all(value % 2 == 0 for value in msgspec.json.decode(message))


@pytest.mark.parametrize("make", [shaped, almost_shaped])
def test_a_type_of_ones_own_that_nobody_knows(make):
    with pytest.raises(ArgumentError, match=r"custom does not say what .*Even"):
        make(list[Even])


@pytest.mark.parametrize("kind", [Any, msgspec.Raw])
def test_there_is_no_almost_where_everything_fits(kind):
    with pytest.raises(ArgumentError, match="there is no almost"):
        almost_shaped(kind)


def test_json_has_no_extension_values():
    with pytest.raises(ArgumentError, match="no message can be of this type"):
        shaped(msgspec.msgpack.Ext)
