"""Streams into an Inspector: its verdict, or a failed connection that says why."""

from collections import deque
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import msgspec

from framewarden.codec.extensions import DeflateParameters
from framewarden.engine import Inspector
from framewarden.errors import ClosedError
from framewarden.policy import Limits, Policy, Schema
from framewarden.rfc6455 import State
from framewarden.rules import Violation
from tests.anomalies.attempts import Attempt, Calls, Outcome, Scenario, Scenarios, clock, memory_error
from tests.oracle import Inflate
from tests.playback import bytewise, frames, negotiated, plain
from tests.vectors.loader import VECTORS, Vector
from tests.vectors.schemas import SCHEMAS, Join, Say

__all__ = ["frame", "hooked", "large", "vectors"]

LONGEST_BYTEWISE = 64
"""Bytes of a vector that is also fed byte by byte: the cost is the square of the number of calls."""
MOST_FRAMES = 100
"""Events and fragments of a vector: the cost is the square of the number of allocations."""


class Judged(NamedTuple):
    """All that an Inspector made of a stream."""

    events: list[Any]
    violation: Any
    sent: list[tuple[int, bytes]]


def judged(events: Sequence[Any], inspector: Inspector) -> Judged:
    told = [(*plain(event), without_detail(getattr(event, "would_refuse", None))) for event in events]
    return Judged(told, without_detail(inspector.violation), frames(inspector.data_to_send()))


def without_detail(violation: Violation | None) -> Violation | None:
    """What is known of a message that was refused may be less where memory is short."""
    return None if violation is None else msgspec.structs.replace(violation, detail="")


def receiving(
    make: Callable[[], Inspector], chunks: Sequence[bytes], *, before: Sequence[bytes] = (), also: Sequence[str] = ()
) -> Scenario:
    """A stream, cut like this, into the Inspectors that ``make`` makes, after ``before``. The verdict is that of the
    stream, "out-of-memory" or one of ``also``.
    """

    def fresh() -> tuple[Inspector, Calls]:
        inspector = make()
        for chunk in before:
            inspector.receive_data(chunk)
        inspector.data_to_send()
        return inspector, [(inspector.receive_data, (chunk,)) for chunk in chunks]

    inspector, calls = fresh()
    wanted = judged([event for function, arguments in calls for event in function(*arguments)], inspector)

    def attempt() -> Attempt:
        inspector, calls = fresh()
        return Attempt(calls, lambda outcome: check_received(outcome, inspector, wanted, also))

    return attempt


def check_received(outcome: Outcome, inspector: Inspector, wanted: Judged, also: Sequence[str]) -> None:
    """The stream's own verdict with everything that belongs to it, or a failed connection that says why."""
    failed = memory_error(outcome)
    got = judged([event for events in outcome.results for event in events], inspector)
    if got.violation == wanted.violation:
        assert got == wanted
        if failed:  # no memory for a list of no events: it had ended before
            check_ended(inspector)
        return
    assert outcome.refused
    assert got.violation is not None, "failed without a verdict"
    assert got.violation.rule in ("out-of-memory", *also), got.violation
    assert got.violation.close_code == 1011
    assert inspector.state is State.FAILED
    assert got.events == wanted.events[: len(got.events)]
    *sent, last = got.sent
    assert last == (0x88, (1011).to_bytes(2, "big") + got.violation.rule.encode())
    assert sent == wanted.sent[: len(sent)]
    check_ended(inspector)


def check_ended(inspector: Inspector) -> None:
    """Nothing follows, and nothing is kept."""
    assert inspector.receive_data(b"\x81\x80abcd\x81\x00") == []
    assert inspector.bytes_held == 0
    for send, data in ((inspector.send_text, "late"), (inspector.send_bytes, b"late"), (inspector.send_ping, b"")):
        try:
            send(data)
        except ClosedError:
            continue
        raise AssertionError("something can be sent after the Close")
    assert inspector.data_to_send() == b""


# ---- What is received


def vector_maker(vector: Vector, mode: str) -> Callable[[], Inspector]:
    schema = None if vector.schema is None else Schema(**SCHEMAS[vector.schema]._asdict())
    policy = Policy(limits=Limits(**vector.limits), schema=schema, mode=mode)
    deflate = None if vector.deflate is None else Inflate(**vector.deflate)
    parameters = negotiated(deflate, vector.role)
    return lambda: Inspector(policy, vector.role, deflate=parameters, clock=clock(), key_source=bytes)


def vectors(file: str) -> Scenarios:
    """Every vector of a file, whole, and if it is short byte by byte."""
    for vector in VECTORS:
        if vector.file != file or len(vector.events) > MOST_FRAMES or len(vector.chunks) > MOST_FRAMES:
            continue
        also = ["schema-hook"] if vector.schema == "hooked" else []
        make = vector_maker(vector, "enforce")
        yield vector.id, receiving(make, [vector.stream], also=also)
        if len(vector.stream) <= LONGEST_BYTEWISE:
            yield f"{vector.id}, byte by byte", receiving(make, bytewise(vector.stream), also=also)
        if vector.schema is not None:
            yield f"{vector.id}, reported", receiving(vector_maker(vector, "report"), [vector.stream], also=also)


def frame(first: int, payload: bytes) -> bytes:
    """Not masked."""
    size = len(payload)
    if size < 126:
        return bytes([first, size]) + payload
    return (
        bytes([first, 126]) + size.to_bytes(2, "big") + payload
        if size < 65536
        else (bytes([first, 127]) + size.to_bytes(8, "big") + payload)
    )


def client(**options: Any) -> Callable[[], Inspector]:
    policy = Policy(**options)
    return lambda: Inspector(policy, "client", clock=clock(), key_source=bytes)


def deflated(text: str, **parameters: Any) -> tuple[Callable[[], Inspector], bytes]:
    """A server that compression was agreed upon with, and what its peer sends it."""
    agreed = DeflateParameters(**parameters)
    peer = Inspector(role="client", deflate=agreed, key_source=bytes)
    peer.send_text(text)
    peer.send_text(text)
    return lambda: Inspector(deflate=agreed, clock=clock(), key_source=bytes), peer.data_to_send()


def large() -> Scenarios:
    """Payloads that grow in pieces, and input that waits for the next call."""
    text = "grüße 🎈 " * 10_000
    stream = frame(0x81, text.encode())
    quarter = len(stream) // 4
    pieces = [stream[start : start + quarter] for start in range(0, len(stream), quarter)]
    yield "text", receiving(client(), [stream])
    yield "text in pieces", receiving(client(), pieces)
    yield "binary in pieces", receiving(client(), [b"\x82" + pieces[0][1:], *pieces[1:]])
    fragments = [frame(0x01, text.encode()), frame(0x00, b"a" * 300), frame(0x89, b"ping"), frame(0x80, b"b" * 70_000)]
    yield "fragments", receiving(client(), fragments)
    two = frame(0x82, bytes(600_000)) * 2 + frame(0x89, b"ping") + frame(0x81, b"text")
    yield "what waits", receiving(client(), [two, b"", frame(0x81, b"more")])
    flood = frame(0x8A, b"") * 63 + frame(0x81, b"")
    yield "what waits after 1,024 events", receiving(client(), [frame(0x81, b"more"), b""], before=[flood * 17])
    for takeover in (True, False):
        make, stream = deflated(text, client_context_takeover=takeover)
        half = len(stream) // 2
        yield f"compressed, takeover {takeover}", receiving(make, [stream])
        yield f"compressed in pieces, takeover {takeover}", receiving(make, [stream[:half], stream[half:]])


def hooked() -> Scenarios:
    """A policy with a callback: what it raises, or cannot, is not the stream's business."""
    forget = deque(maxlen=0).append
    for mode in ("enforce", "report"):
        make = client(schema=Schema(text=Say | Join), mode=mode, on_event=forget)
        stream = frame(0x81, b'{"type":"say","room":"a","text":5}') + frame(0x81, b'{"type":"join","room":"a"}')
        yield f"on_event, {mode}", receiving(make, [stream])
    yield "on_event, a broken rule", receiving(client(on_event=forget), [b"\x81\x01a\xf0"])
