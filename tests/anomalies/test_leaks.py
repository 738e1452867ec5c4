"""What is done a few hundred times leaves nothing behind: no block, and no reference to what connections share."""

import gc
import sys
from itertools import count, repeat

import msgspec
import pytest

from framewarden.codec._writer import prepare
from framewarden.codec.extensions import DeflateParameters
from framewarden.engine import Inspector
from framewarden.errors import FramewardenError
from framewarden.policy import Limits, Policy, Schema
from framewarden.rfc6455 import Opcode, Role, State
from framewarden.rules import RULES
from tests.anomalies.counting import added, forget, freeze
from tests.anomalies.receiving import frame
from tests.oracle import Inflate
from tests.playback import bytewise, negotiated
from tests.vectors.loader import VECTORS
from tests.vectors.schemas import SCHEMAS, Join, Say

TIMES = 200
DEFLATE = DeflateParameters()
SHARED = (None, True, False, *State, *Role, *Opcode, *(rule.id for rule in RULES.values()), *RULES.values(), Say, Join)


class Raws(msgspec.Struct):
    """Fields that keep the decoded buffer alive."""

    text: msgspec.Raw


class Views(msgspec.Struct):
    """The same for MessagePack."""

    data: memoryview


PLAIN = Policy()
TYPED = Policy(schema=Schema(text=Say | Join))
REPORTED = Policy(schema=Schema(text=Say | Join), mode="report")
EXPORTED = Policy(schema=Schema(text=Raws, binary=Views))
POLICIES = (PLAIN, TYPED, REPORTED, EXPORTED)


def failing(*_):
    raise LookupError


def made(policy=PLAIN, role="client", **options):
    return Inspector(policy, role, key_source=bytes, **options)


def accepting():
    inspector = made()
    data = frame(0x81, "grüße".encode()) + frame(0x82, bytes(300))
    inspector.receive_data(data + frame(0x89, b"x") + frame(0x8A, b""))
    inspector.data_to_send()


def decoding():
    inspector = made(TYPED)
    inspector.receive_data(frame(0x81, b'{"type":"say","room":"a","text":"b"}') * 3)


def refusing():
    for policy in (TYPED, REPORTED):
        inspector = made(policy)
        inspector.receive_data(frame(0x81, b'{"type":"say","room":1}') * 2)
        inspector.data_to_send()


def closing():
    for first in (True, False):
        inspector = made()
        if first:
            inspector.send_close(1000, "bye")
        inspector.receive_data(frame(0x88, b"\x03\xe8bye"))
        inspector.data_to_send()
        inspector.receive_eof()


def clocks_that_raise():
    inspector = made(clock=failing)
    with pytest.raises(LookupError):
        inspector.receive_data(frame(0x89, b"x"))


def keys_that_raise():
    inspector = Inspector(role="client", key_source=failing, deflate=DEFLATE)
    with pytest.raises(LookupError):
        inspector.send_text("text" * 100)


def callbacks():
    seen = []
    inspector = made(Policy(on_event=seen.append))
    inspector.receive_data(b"\xf0")
    assert len(seen) == 1


def sends():
    inspector = made(deflate=DEFLATE)
    for data in ("text", "grüße", "ü" * 40_000):
        inspector.send_text(data)
    inspector.send_bytes(bytes(70_000))
    inspector.send_fragment("a")
    inspector.send_ping(b"x")
    inspector.send_fragment("b", final=True)
    inspector.buffers_to_send()


def sends_that_are_refused():
    inspector = made()
    for name, arguments in (
        ("send_text", ("\ud800",)),
        ("send_text", (b"",)),
        ("send_bytes", ("",)),
        ("send_ping", (bytes(126),)),
        ("send_close", (1005,)),
        ("send_prepared", ("",)),
        ("fail", ("no-such-rule",)),
    ):
        with pytest.raises(FramewardenError):
            getattr(inspector, name)(*arguments)
    inspector.send_close()
    inspector.data_to_send()
    with pytest.raises(FramewardenError):
        inspector.send_text("late")


def prepared():
    message = prepare("text" * 300)
    for deflate in (None, DEFLATE, DeflateParameters(client_context_takeover=False)):
        inspector = made(deflate=deflate)
        inspector.send_prepared(message)
        inspector.data_to_send()


def exporters():
    """A Raw and a memoryview outlive the call, and the next message."""
    inspector = made(EXPORTED)
    stream = frame(0x81, b'{"text":"' + b"a" * 100 + b'"}') + frame(0x82, b"\x81\xa4data\xc4\x64" + b"b" * 100)
    events = inspector.receive_data(stream) + inspector.receive_data(stream)
    del inspector
    assert [len(bytes(getattr(event.data, "text", b"") or event.data.data)) for event in events] == [102, 100] * 2


def dropped_in_every_state():
    peer = Inspector(deflate=DEFLATE, key_source=bytes)
    peer.send_text("compressed " * 50)
    for stream in (
        frame(0x81, b"text"),
        frame(0x01, b"a" * 100) + frame(0x00, b"b" * 100),
        frame(0x82, bytes(70_000)),
        peer.data_to_send(),
    ):
        for cut in (*range(min(len(stream), 14)), len(stream) // 2, len(stream) - 1):
            inspector = made(deflate=DEFLATE)
            inspector.receive_data(stream[:cut])
            inspector.send_text("waits")


def vectors(rejected):
    """Every vector of either kind, whole, and the short ones byte by byte."""
    players = []
    for vector in VECTORS:
        if len(vector.stream) > 4096 or (vector.violation is not None) is not rejected:
            continue
        schema = None if vector.schema is None else Schema(**SCHEMAS[vector.schema]._asdict())
        policy = Policy(limits=Limits(**vector.limits), schema=schema)
        deflate = None if vector.deflate is None else Inflate(**vector.deflate)
        players.append((policy, vector, negotiated(deflate, vector.role)))

    def play():
        for policy, vector, deflate in players:
            for chunks in ([vector.stream], bytewise(vector.stream[:64])):
                inspector = made(policy, vector.role, deflate=deflate, clock=repeat(0.0).__next__)
                for chunk in chunks:
                    inspector.receive_data(chunk)
                inspector.data_to_send()

    return play


@pytest.fixture
def counting(allocations):
    freeze()
    yield allocations
    gc.unfreeze()


def growth(counting, action, times):
    """What so many rounds add: blocks, references to what is shared, references in all."""

    def counts():
        forget()
        shared = sum(map(sys.getrefcount, (*SHARED, *POLICIES)))
        total = sys.gettotalrefcount() if hasattr(sys, "gettotalrefcount") else 0  # of a debug build of Python
        return counting.blocks(), shared, total

    return added(counts, action, times)


ACTIONS = (
    accepting,
    decoding,
    refusing,
    closing,
    clocks_that_raise,
    keys_that_raise,
    callbacks,
    sends,
    sends_that_are_refused,
    prepared,
    exporters,
    dropped_in_every_state,
)


@pytest.mark.parametrize("action", ACTIONS, ids=lambda action: action.__name__)
def test_nothing_is_left_behind(action, counting):
    times = TIMES // 10 if action in (sends, dropped_in_every_state) else TIMES
    assert growth(counting, action, times) == [0, 0, 0]


@pytest.mark.parametrize("rejected", [False, True])
def test_no_vector_leaves_anything_behind(rejected, counting):
    assert growth(counting, vectors(rejected), TIMES // 20) == [0, 0, 0]


kept = []


@pytest.mark.parametrize(
    ("leak", "kind"),
    [
        (lambda: kept.append(made()), 0),
        (lambda: kept.append(made().receive_data(frame(0x81, b"text"))), 0),
        (lambda: kept.append(State.FAILED), 1),
        (lambda: kept.append(PLAIN), 1),
    ],
    ids=["an Inspector", "an event", "an enum member", "a policy"],
)
def test_it_sees_a_leak(leak, kind, counting):
    try:
        assert growth(counting, leak, TIMES)[kind] >= TIMES
    finally:
        kept.clear()


@pytest.mark.parametrize("times", [TIMES, TIMES // 10, TIMES // 20])
def test_it_sees_one_block_that_is_left_behind_in_ten_rounds(times, counting):
    turn = count().__next__

    def leak():
        accepting()
        if turn() % 10 == 0:
            kept.append(object())

    try:
        assert growth(counting, leak, times)[0] == times // 10
    finally:
        kept.clear()
