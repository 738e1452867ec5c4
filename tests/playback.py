"""Play bytes into an Inspector and tell what it did in plain tuples, as the oracle does."""

from collections.abc import Iterable
from itertools import pairwise
from typing import Any, NamedTuple

from framewarden.codec.extensions import DeflateParameters
from framewarden.engine import Inspector
from framewarden.policy import Limits, Policy, Schema
from framewarden.testing import plain, pump, read
from tests.oracle import Inflate, Outcome

__all__ = ["Played", "bytewise", "cut", "frames", "make", "negotiated", "outcome", "plain", "play", "pump"]


class Played(NamedTuple):
    outcome: Outcome
    inspector: Inspector
    sent: bytes


def negotiated(deflate: Inflate | None, role: str) -> DeflateParameters | None:
    """What was negotiated, when ``deflate`` is what the peer of ``role`` compresses with."""
    if deflate is None:
        return None
    peer = "client" if role == "server" else "server"
    return DeflateParameters(
        **{
            f"{peer}_max_window_bits": deflate.window_bits,
            f"{peer}_context_takeover": deflate.context_takeover,
        }
    )


def make(
    limits: Limits | None = None,
    role: str = "server",
    deflate: Inflate | None = None,
    schema: Schema | None = None,
    **options: Any,
) -> Inspector:
    """An Inspector with a clock that stands still."""
    options.setdefault("clock", lambda: 0.0)
    policy = Policy(limits=limits or Limits(), schema=schema)
    return Inspector(policy, role, deflate=negotiated(deflate, role), **options)


def play(chunks: Iterable[bytes], inspector: Inspector) -> Played:
    events = read(inspector, chunks)
    return Played(outcome(events, inspector), inspector, inspector.data_to_send())


def outcome(events: list[tuple[Any, ...]], inspector: Inspector) -> Outcome:
    violation = inspector.violation
    if violation is None:
        return Outcome(events, None)
    return Outcome(events, (violation.rule, violation.close_code, violation.offset))


def bytewise(stream: bytes) -> list[bytes]:
    return [stream[index : index + 1] for index in range(len(stream))]


def cut(stream: bytes, points: Iterable[int]) -> list[bytes]:
    """The stream, cut at points that may lie anywhere and come in any order."""
    edges = [0, *sorted(min(point, len(stream)) for point in points), len(stream)]
    return [stream[start:end] for start, end in pairwise(edges)]


def frames(sent: bytes) -> list[tuple[int, bytes]]:
    """Read what an endpoint sent: final frames only, as (first byte, payload)."""
    result = []
    position = 0
    while position < len(sent):
        first, second = sent[position : position + 2]
        position += 2
        length = second & 0x7F
        if length > 125:
            size = 2 if length == 126 else 8
            length = int.from_bytes(sent[position : position + size], "big")
            position += size
        key = b"\0\0\0\0"
        if second & 0x80:
            key = sent[position : position + 4]
            position += 4
        payload = sent[position : position + length]
        assert len(payload) == length, "a frame is half written"
        result.append((first, bytes(value ^ key[index % 4] for index, value in enumerate(payload))))
        position += length
    return result
