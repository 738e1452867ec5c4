"""Invariant: a message is judged alike by "enforce" and "report", by the oracle, and however it is cut.

Whatever is wrong with it, nothing is raised, and a detail is made of words of ours, declared names and positions: no
text of the payload ever stands in it.
"""

import datetime as dt
import decimal
import enum
import re
import uuid
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Annotated, Any, Literal, NamedTuple, TypedDict

import msgspec

from framewarden.codec import encode_frame
from framewarden.engine import Inspector, Message
from framewarden.policy import Limits, Policy, Schema
from framewarden.rules import RULES, Violation
from fuzz.draw import NUMBERS, Draw, chunks_at, hexes
from tests.oracle import Outcome, Types, judge
from tests.playback import frames, outcome, plain
from tests.vectors.loader import VECTORS
from tests.vectors.schemas import SCHEMAS, Even, Join, Named, Point, Say, even

ALLOWED: tuple[type[Exception], ...] = ()
TEXT, BINARY, FIN = 0x1, 0x2, 0x80
DEEP = 300
"""Brackets from which on a verdict depends on how deep the stack is that calls the decoder: not for the oracle then."""


class Color(enum.Enum):
    RED = "red"
    BLUE = "blue"


class Tree(msgspec.Struct, rename="camel"):
    left_side: "Tree | None" = None
    right_side: "Tree | None" = None
    values: list[int] = []


class Pair(NamedTuple):
    first: int
    second: str


class Options(TypedDict, total=False):
    verbose: bool
    level: Literal[1, 2, 3]


@dataclass
class Person:
    name: Annotated[str, msgspec.Meta(min_length=2, max_length=5, pattern="^[a-z]+$")]
    age: Annotated[int, msgspec.Meta(ge=0, lt=150)] = 0


class Everything(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    said: Say | Join | None = None
    point: Point | None = None
    tree: Tree | None = None
    pair: Pair | None = None
    options: Options | None = None
    person: Person | None = None
    color: Color | None = None
    when: dt.datetime | None = None
    id: uuid.UUID | None = None
    price: decimal.Decimal | None = None
    raw: msgspec.Raw | None = None
    blob: bytes | None = None
    names: dict[str, set[int]] | None = None
    fixed: tuple[int, str, float] | None = None


class Listed(msgspec.Struct, array_like=True):
    x: int
    inner: list[Point]


KINDS: tuple[Named, ...] = (
    *SCHEMAS.values(),
    Named(text=Everything, binary=Everything),
    Named(text=Tree, binary=list[Tree], duplicate_keys="refuse"),
    Named(text=list[Listed], binary=Listed),
    Named(text=dict[str, Even], binary=dict[str, Even], dec_hook=even),
    Named(text=str | int | None, binary=bytes | list[bytes]),
)
DECLARED = (Say, Join, Point, Even, Color, Tree, Pair, Options, Person, Everything, Listed)
TYPES = "str int float bool null object array bytes set dict list tuple datetime UUID Decimal Raw"
SENTENCES = (
    "expected another type, got another type at; missing field; unknown field; unknown tag; expected elements",
    "refused by a check of the type; not of the schema's type; nested too deeply to be decoded; not JSON at character",
    "not MessagePack, or cut short; a string is not UTF-8; a number is out of range; a number has too many digits",
    "NaN or Infinity; half of a surrogate pair; more than values; no memory for the decoded message",
    "a hook raised RuntimeError NotImplementedError TypeError AttributeError; of bytes",
)
MAY_DIFFER = {
    ("schema-malformed", "decode-nodes"),
    ("schema-mismatch", "decode-nodes"),
    ("schema-number", "decode-nodes"),
    ("schema-hook", "decode-nodes"),
    ("schema-hook", "schema"),
}
"""Rules of the Inspector and of the oracle."""
ADDRESS = re.compile(r" object at 0x[0-9a-f]+")
WORD = re.compile(r"[A-Za-z_]+|\d+")


def declared_names() -> Iterable[str]:
    for kind in DECLARED:
        yield kind.__name__
        if issubclass(kind, msgspec.Struct):
            yield from (field.encode_name for field in msgspec.structs.fields(kind))


WORDS = frozenset(
    word
    for sentence in (*SENTENCES, TYPES, *(rule.text for rule in RULES.values()), *declared_names())
    for word in WORD.findall(sentence)
)
JSON_TOKENS = (
    *[b"{", b"}", b"[", b"]", b",", b":", b'"', b"\\", b"null", b"true", b"1", b"-1", b"1.5", b"1e999", b"NaN"],
    *[b"[" * 60, b'{"":' * 20, b'"\\ud800"', b'"\\u00e9"', b"9223372036854775808", b"18446744073709551616", b"9" * 400],
    *[b'"type":"say",', b'"type":"join",', b'"room":"r"', b'"text":"t"', b'"x":1,', b'"x":1,"x":2', b'"leftSide":'],
    *[b'"%s":' % field.encode_name.encode() for field in msgspec.structs.fields(Everything)],
    *[b'{"type":"say"', b'"even:4"', b'"even:3"', b'"odd"', b'"red"', b'"2020-01-01T00:00:00Z"', b'"\xc3\xa9"'],
    *[b"-Infinity", b"\xff", b"\xc0", b"\xef\xbb\xbf"],
)
MSGPACK_TOKENS = (
    *hexes(
        "80 81 90 91 a178 a0 c1 c40161 c70cff d6ff00000000 dcffff ddffffffff df7fffffff dbffffffff cb7ff8000000000000"
    ),
    *[b"\xa4type", b"\xa3say", b"\xa4room", b"\x91" * 60, b"\x81\xa0" * 30],
)
TOKENS = JSON_TOKENS + MSGPACK_TOKENS


def one(data: bytes) -> None:
    draw = Draw(data)
    flags = draw.byte()
    opcode = BINARY if flags & 1 else TEXT
    named = draw.choice(KINDS)
    if flags & 2:
        named = named._replace(duplicate_keys="refuse")
    limits = Limits(max_decode_nodes=draw.choice(NUMBERS) or Limits().max_decode_nodes)
    key, at, chunking = draw.take(4), draw.word(), draw.chunking()
    content = draw.rest()
    role = "server" if flags & 4 else "client"
    cut = at % (len(content) + 1) if flags & 8 else None
    stream = framed(opcode, content, cut, key if flags & 4 else None)
    [enforced, _] = check_chunks(
        Policy(schema=Schema(**named._asdict()), limits=limits), role, stream, chunking.cut(stream)
    )
    report = Policy(schema=Schema(**named._asdict()), limits=limits, mode="report")
    [reported, told] = check_chunks(report, role, stream, chunking.cut(stream))
    if content.count(b"[") + content.count(b"{") < DEEP and not is_deep(content):
        wanted = judge(stream, limits, role, types=Types(**named._asdict()))
        check_verdict(enforced.outcome, wanted)
    check_report(enforced, reported, told, opcode, content)
    for violation in (enforced.violation, reported.violation, *told):
        if violation is not None:
            check_detail(violation, content, limits)


def framed(opcode: int, content: bytes, at: int | None, key: bytes | None) -> bytes:
    """The message in one frame or in two, and a Ping behind it."""
    ping = encode_frame(9, b"alive", key=key)
    if at is None:
        return encode_frame(opcode, content, key=key) + ping
    return encode_frame(opcode, content[:at], fin=False, key=key) + encode_frame(0, content[at:], key=key) + ping


class Judged(NamedTuple):
    outcome: Outcome
    violation: Violation | None
    sent: list[tuple[int, bytes]]
    inspector: Inspector


def check_chunks(policy: Policy, role: str, stream: bytes, chunks: list[bytes]) -> tuple[Judged, list[Violation]]:
    """The same whole and in chunks; what was judged, and what was only told."""
    whole, told = inspect(policy, role, [stream])
    other, also_told = inspect(policy, role, chunks)
    assert shown(other[:3]) == shown(whole[:3]), f"{other} is not {whole}, in {len(chunks)} chunks"
    assert also_told == told
    return whole, told


def inspect(policy: Policy, role: str, chunks: list[bytes]) -> tuple[Judged, list[Violation]]:
    inspector = Inspector(policy, role, clock=lambda: 0.0, key_source=bytes)
    events = [event for chunk in chunks for event in inspector.receive_data(chunk)]
    told = [event.would_refuse for event in events if isinstance(event, Message) and event.would_refuse is not None]
    sent = frames(inspector.data_to_send())
    return Judged(outcome(list(map(plain, events)), inspector), inspector.violation, sent, inspector), told


def is_deep(content: bytes) -> bool:
    return sum(0x80 <= octet <= 0x9F or 0xDC <= octet <= 0xDF for octet in content) >= DEEP


def check_verdict(got: Outcome, wanted: Outcome) -> None:
    """Two differences are allowed.

    In ``"a""b"`` the oracle counts two values; the Inspector counts delimiters first, and the decoder stops at the
    second value: refused it is either way. And msgspec makes a refusal of a hook's TypeError, which the oracle takes
    over; for the Inspector only a ValueError is one (``framewarden.Schema``), everything else is the hook's failure.
    """
    rules = (got.violation and got.violation[0], wanted.violation and wanted.violation[0])
    if rules in MAY_DIFFER:
        assert got.events == wanted.events == []
    else:
        assert coarse(got) == coarse(wanted), f"{got} is not {wanted}"


def shown(value: Any) -> str:
    """As text, because NaN is not equal to itself; without addresses."""
    try:
        return ADDRESS.sub("", repr(value))
    except RecursionError:  # what was decoded is nested as deeply as a decoder may go, and repr() may not
        return "too deep to be shown"


def coarse(judged: Outcome) -> Any:
    """What the oracle knows of a schema: events, close code and offset."""
    return shown(judged.events), judged.violation and judged.violation[1:]


def check_report(enforced: Judged, reported: Judged, told: list[Violation], opcode: int, content: bytes) -> None:
    """What enforce refuses, report delivers as it is, with the same judgement on it, and goes on."""
    refused = enforced.violation
    delivered = refused is not None and refused.rule.startswith("schema-") and refused.rule != "schema-hook"
    if not delivered:
        assert shown(reported.outcome) == shown(enforced.outcome)
        assert told == []
        return
    assert reported.violation is None
    assert told == [refused]
    message, ping = reported.outcome.events
    assert message[2] == (content.decode() if opcode == TEXT else content)
    assert ping == ("ping", b"alive")
    assert reported.sent == [(FIN | 10, b"alive")]


def check_detail(violation: Violation, content: bytes, limits: Limits) -> None:
    detail = violation.detail
    assert detail.isascii()
    assert detail.isprintable()
    largest = max(len(content) + 32, limits.max_decode_nodes)
    for word in WORD.findall(detail):
        if word.isdigit():
            assert int(word) <= largest, f"{word} is no position: {detail}"
        else:
            assert word in WORDS, f"{word} is not a word of ours: {detail}"


def messages(stream: bytes) -> Iterable[tuple[int, bytes]]:
    """Opcode and content of the data messages of a vector."""
    opcode, content = 0, b""
    for first, payload in frames(stream):
        if first & 8:
            continue
        opcode, content = first & 0xF or opcode, content + payload
        if first & FIN:
            yield opcode, content
            content = b""


def seeds() -> Iterable[bytes]:
    names = list(SCHEMAS)
    for vector in VECTORS:
        if vector.schema is None or vector.deflate is not None:
            continue
        nodes = NUMBERS.index(vector.limits.get("max_decode_nodes", 0))
        for first, content in messages(vector.stream):
            head = bytes([first == BINARY, names.index(vector.schema), nodes])
            yield head + bytes(6) + chunks_at(3) + content
    for index, (kind, value) in enumerate(EXAMPLES):
        cuts = chunks_at(*[5] * (index % 4))
        for binary in (0, 1):
            encoded = msgspec.msgpack.encode(value) if binary else msgspec.json.encode(value)
            flags = binary | index % 8 << 1
            yield bytes([flags, kind, 0, 1, 2, 3, 4, 0, index]) + cuts + encoded
    for index, content in enumerate(NAMED):
        for nodes in (0, 3):
            yield bytes([2 | index % 2 << 2, HOOKED, nodes, 1, 2, 3, 4, 0, index]) + chunks_at(4) + content
    for content in PACKED:
        for nodes in (0, 3):
            yield bytes([1, HOOKED, nodes, 1, 2, 3, 4, 0, 0]) + chunks_at(4) + content + bytes(4200)


MANY = b",".join(b'"name %d":"even:2"' % number for number in range(12))
ESCAPES = rb'''"\b\t\n\f\r\"\\\/":"even:2","\u0009\u00e9\u4e16\ud83d\ude00":"even:2"'''
"""Every escape of RFC 8259 7, and characters of one to four bytes."""
NAMED = (
    b"{" + MANY + b"}",
    b"{" + MANY + b',"name 3":"even:4"}',
    b"{" + ESCAPES + b"}",
    b"{" + ESCAPES + b"," + '"\\t\u00e9\u4e16\U0001f600":"even:2"'.encode() + b"}",
    b"{" + ESCAPES + b"," + ESCAPES + b"," + MANY + b"}",
    b'{"a":{"b":{"a":1,"b":2,"a":3}}}',
    b'{"\\ud800":1,"\\udc00":1,"\\ud83dx":1}',
    b'{"a" : [ {"a":1} , {"a":1,"\\u0061":2} ]}',
    b'{"a' + b"a" * 70 + b'":"even:2","a' + b"a" * 70 + b'":"even:2"}',
)
"""Objects whose names are alike, or look so."""
PACKED = hexes(
    "81a16101 82a161c3a162c2 91ca3f800000 91cb3ff0000000000000 93cc01cd0001ce00000001 92cf0000000000000001d001"
    " 92d10001d200000001 91d30000000000000001 91d40100 91d5010000 91d60100000000 91d7010000000000000000"
    " 91d801" + "00" * 16 + " 91c7010100 91c800010100 91c9000000010100 91c40161 91c5000161 91c60000000161"
    " 91d90161 91da000161 91db0000000161 dc000101 dd0000000101 de0001a16101 df00000001a16101 91c1 91c0 91ff"
)
"""Every format of MessagePack once; what follows makes the message long enough to be counted."""
EVERYTHING, TREE, LISTED, HOOKED, PLAIN = range(len(SCHEMAS), len(KINDS))
EXAMPLES: tuple[tuple[int, Any], ...] = (
    (EVERYTHING, {"said": {"type": "say", "room": "r", "text": "t"}, "point": {"x": 1, "y": 2}}),
    (EVERYTHING, {"tree": {"leftSide": {"values": [1, 2]}, "rightSide": None}, "color": "red", "pair": [1, "x"]}),
    (EVERYTHING, {"options": {"verbose": True, "level": 2}, "person": {"name": "abc", "age": 3}}),
    (EVERYTHING, {"when": "2020-01-01T00:00:00Z", "id": "c1d3a9ad-4e5b-4a24-bd77-0e1ec0ff0f3c", "price": "1.50"}),
    (EVERYTHING, {"raw": {"a": [1, {"b": "secret"}]}, "names": {"a": [1, 2]}, "fixed": [1, "b", 0.5]}),
    (EVERYTHING, {"said": {"type": "shout"}, "more": 1}),
    (EVERYTHING, {"person": {"name": "TOO LONG", "age": 200}}),
    (TREE, {"leftSide": {"leftSide": {"leftSide": {"values": ["secret"]}}}}),
    (TREE, [{"values": [1]}, {"values": 5}]),
    (LISTED, [[1, [{"x": 1, "y": 2}, {"x": 1, "y": "z"}]]]),
    (LISTED, [1, [{"x": 1, "y": 2}]]),
    (HOOKED, {"a": "even:4", "b": "even:3"}),
    (HOOKED, {"a": "nothing"}),
    (HOOKED, {"a": 5}),
    (PLAIN, "secret"),
    (PLAIN, [b"secret", "secret"]),
    (PLAIN, 2**64 - 1),
)
