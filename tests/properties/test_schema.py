"""With a schema: any chunking gives the same, and the verdict is the oracle's (DESIGN section 7: code and offset)."""

import json
from typing import Any

import msgspec
import pytest
from hypothesis import event, given
from hypothesis import strategies as st

from framewarden.engine import Inspector
from framewarden.policy import Limits, Policy, Schema
from framewarden.testing import FIN, Peer, chunkings, frame
from tests.oracle import Outcome, Types, judge
from tests.playback import Played, make, play, pump

PEER = Peer("client")
SMALL = Limits(max_decode_nodes=20)

names = st.sampled_from(["a", "b", "é", "世", "type", ""]) | st.text(max_size=3)
scalars = st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.floats(allow_nan=False) | st.text(max_size=8)
values = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=5) | st.dictionaries(names, inner, max_size=4),
    max_leaves=30,
)
packed = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats()
    | st.text(max_size=8)
    | st.binary(max_size=8),
    lambda inner: st.lists(inner, max_size=5) | st.dictionaries(names, inner, max_size=4),
    max_leaves=30,
)


class Point(msgspec.Struct):
    x: int
    y: float = 0.0


KINDS = {"any": Any, "list": list[int | str], "dict": dict[str, Any], "point": Point, "text": str}


@st.composite
def json_texts(draw: st.DrawFn) -> bytes:
    """JSON, mostly: spaced in one of several ways, with or without escapes, or damaged by one byte."""
    value = draw(values)
    separators = draw(st.sampled_from([(",", ":"), (", ", ": "), (" ,\n", "\t: ")]))
    content = bytearray(json.dumps(value, ensure_ascii=draw(st.booleans()), separators=separators).encode())
    match draw(st.integers(0, 5)):
        case 0:
            content[draw(st.integers(0, len(content) - 1))] = draw(
                st.sampled_from(b'{}[],:"\\0e x') | st.integers(0, 127)
            )
        case 1:
            del content[draw(st.integers(0, len(content) - 1)) :]
        case 2:
            at = draw(st.integers(0, len(content)))
            content[at:at] = draw(
                st.sampled_from([b"NaN", b'"\\ud800"', b"1e999", b'{"a":1,"a":2}', b"[[", b"\xc3\xa9"])
            )
    return bytes(content)


@st.composite
def packs(draw: st.DrawFn) -> bytes:
    content = bytearray(msgspec.msgpack.encode(draw(packed)))
    match draw(st.integers(0, 4)):
        case 0:
            content[draw(st.integers(0, len(content) - 1))] = draw(st.integers(0, 255))
        case 1:
            del content[draw(st.integers(0, len(content) - 1)) :]
    return bytes(content)


def inspect(chunks: list[bytes], types: Types, limits: Limits) -> Played:
    return play(chunks, make(limits, PEER.role, None, Schema(**types._asdict())))


def coarse(outcome: Outcome) -> Any:
    """What must agree; repr, because NaN is not equal to itself."""
    return repr(outcome.events), outcome.violation and outcome.violation[1:]


@given(st.data(), json_texts(), st.sampled_from(sorted(KINDS)), st.sampled_from([Limits(), SMALL]))
def test_json_is_judged_alike(data, content, kind, limits):
    stream = b"".join(in_fragments(data, 1, content)) + frame(PEER, FIN | 1, b"[1]")
    types = Types(text=KINDS[kind], duplicate_keys=data.draw(st.sampled_from(["allow", "refuse"])))
    wanted = judge(stream, limits, PEER.role, types=types)
    whole = inspect([stream], types, limits).outcome
    event(whole.violation[0] if whole.violation else "accepted")
    assert coarse(whole) == coarse(wanted), (content, whole, wanted)
    assert repr(inspect(data.draw(chunkings(stream)), types, limits).outcome) == repr(whole)


@given(st.data(), packs(), st.sampled_from(sorted(KINDS)), st.sampled_from([Limits(), SMALL]))
def test_messagepack_is_judged_alike(data, content, kind, limits):
    stream = b"".join(in_fragments(data, 2, content)) + frame(PEER, FIN | 2, b"\x91\x01")
    types = Types(binary=KINDS[kind])
    wanted = judge(stream, limits, PEER.role, types=types)
    whole = inspect([stream], types, limits).outcome
    event(whole.violation[0] if whole.violation else "accepted")
    assert coarse(whole) == coarse(wanted), (content, whole, wanted)
    assert repr(inspect(data.draw(chunkings(stream)), types, limits).outcome) == repr(whole)


def in_fragments(data: st.DataObject, opcode: int, content: bytes) -> list[bytes]:
    at = data.draw(st.none() | st.integers(0, len(content)))
    if at is None:
        return [frame(PEER, FIN | opcode, content)]
    return [frame(PEER, opcode, content[:at]), frame(PEER, FIN, content[at:])]


@given(json_texts(), st.sampled_from(sorted(KINDS)))
def test_report_mode_delivers_what_enforce_refuses(content, kind):
    """The same judgement, told on the event; the payload comes as str, and the connection lives."""
    try:
        text = content.decode()
    except UnicodeDecodeError:
        return
    schema = Schema(text=KINDS[kind])
    stream = frame(PEER, FIN | 1, content)
    enforced = make(None, PEER.role, None, schema)
    events = pump(enforced, stream)
    told = []
    reporting = Inspector(Policy(schema=schema, mode="report", on_event=told.append), PEER.role, clock=lambda: 5.0)
    [message] = reporting.receive_data(stream)
    assert reporting.violation is None
    assert reporting.data_to_send() == b""
    assert message.would_refuse == enforced.violation
    if enforced.violation is None:
        assert repr(message.data) == repr(events[0][2])
        assert told == []
    else:
        assert message.data == text
        assert [(one.rule, one.action, one.offset, one.time) for one in told] == [
            (enforced.violation.rule, "report", 0, 5.0)
        ]


@given(json_texts(), st.sampled_from(sorted(KINDS)))
def test_a_detail_says_nothing_of_the_payload(content, kind):
    """DESIGN section 3: made of the kind of error and of declared names and indices only."""
    marked = content.replace(b"a", b"SECRET").replace(b"1", b"31337")
    inspector = make(None, PEER.role, None, Schema(text=KINDS[kind]))
    pump(inspector, frame(PEER, FIN | 1, marked))
    if inspector.violation is not None:
        assert "SECRET" not in inspector.violation.detail
        assert "31337" not in inspector.violation.detail


@pytest.mark.parametrize("payload", [b"\xc3\xa9" * 40, b"a" * 80])
@pytest.mark.parametrize("at", [0, 1, 40, 79, 80])
def test_an_untyped_opcode_is_judged_at_the_end_of_the_message(payload, at):
    """In whatever pieces it comes, and never before."""
    stream = frame(PEER, 1, payload[:at]) + frame(PEER, FIN, payload[at:])
    schema = Schema(binary=Any)
    for end in range(len(stream)):
        assert play([stream[:end]], make(None, PEER.role, None, schema)).outcome == Outcome([], None)
    for chunks in ([stream], [stream[:5], stream[5:]], [stream[:60], stream[60:]]):
        outcome = play(chunks, make(None, PEER.role, None, schema)).outcome
        assert outcome == Outcome([], ("schema-opcode", 1003, 0))
