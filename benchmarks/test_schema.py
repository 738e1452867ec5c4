"""Parse, validate and decode to a type: framewarden, peers that give their payloads to msgspec, and msgspec alone."""

from collections.abc import Callable
from typing import Any

import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from benchmarks import contenders, schemas, traffic
from benchmarks.contenders import FRAMEWARDEN, PEERS

ALONE = "msgspec decode alone"
REFUSING = "framewarden, duplicate keys refused"
MESSAGES: dict[str, tuple[Callable[[], list[bytes]], Any]] = {
    "JSON 107 B, an order": (schemas.orders, schemas.Trade),
    "JSON 107 B, two strings": (schemas.chat, schemas.Chat),
    "JSON 1 KiB, a list of strings": (schemas.digests, schemas.Feed),
}


@pytest.mark.parametrize("name", [FRAMEWARDEN, REFUSING, *PEERS, ALONE])
@pytest.mark.parametrize("kind", MESSAGES)
def test_typed(benchmark: BenchmarkFixture, kind: str, name: str) -> None:
    """64 different messages a call."""
    import msgspec

    from framewarden.policy import Schema

    make, types = MESSAGES[kind]
    messages = make()
    decode = msgspec.json.Decoder(types).decode
    benchmark.group = f"typed {kind}"
    if name == ALONE:
        benchmark(lambda: list(map(decode, messages)))
        return
    reads = traffic.reads(b"".join(traffic.frame(message) for message in messages))
    schema = Schema(text=types, duplicate_keys="refuse" if name == REFUSING else "allow")
    contender = FRAMEWARDEN if name == REFUSING else name
    works = contenders.parsers((contender,), reads, len(messages), decode=decode, schema=schema)
    benchmark(works[contender])
