"""What `shaped` draws decodes to the type, what `almost_shaped` draws is refused: by msgspec and by an Inspector."""

import datetime as dt
import decimal
import enum
import json
import uuid
from dataclasses import dataclass
from typing import Annotated, Any, Literal, NamedTuple, NotRequired, TypedDict

import msgspec
import pytest
from hypothesis import HealthCheck, find, given, settings
from hypothesis import strategies as st
from msgspec import Meta

from framewarden import Inspector, Policy, Schema
from framewarden.errors import ArgumentError
from framewarden.testing import almost_shaped, shaped

FEW = settings(max_examples=12)
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
        (msgspec.msgpack if binary else json).__name__  # well-formed: the next line reads it without a type
        msgspec.msgpack.decode(message, strict=False) if binary else json.loads(message)

    accepted()
    refused()
