"""The classic view of the parsers: one group an operation, one entry a contender. Not interleaved: see test_rows."""

import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from benchmarks import contenders, traffic
from benchmarks.contenders import DEFLATING_PEERS, FRAMEWARDEN, PEERS
from benchmarks.traffic import BINARY, TEXT

KIB = 1024
ALL = (FRAMEWARDEN, *PEERS)
OPERATIONS = {
    "TEXT ASCII 16 B to str": (traffic.ascii_text(16).encode(), TEXT),
    "TEXT ASCII 125 B to str": (traffic.ascii_text(125).encode(), TEXT),
    "TEXT ASCII 1 KiB to str": (traffic.ascii_text(KIB).encode(), TEXT),
    "TEXT ASCII 64 KiB to str": (traffic.ascii_text(64 * KIB).encode(), TEXT),
    "TEXT multibyte 64 KiB to str": (traffic.multibyte_text(64 * KIB).encode(), TEXT),
    "BINARY 125 B to bytes": (traffic.binary(125), BINARY),
}


@pytest.mark.parametrize("name", ALL)
@pytest.mark.parametrize("operation", OPERATIONS)
def test_parse(benchmark: BenchmarkFixture, operation: str, name: str) -> None:
    """256 KiB of frames a call."""
    payload, opcode = OPERATIONS[operation]
    reads, messages = traffic.stream(payload, opcode, total_bytes=256 * KIB)
    work = contenders.parsers((name,), reads, messages, opcode)[name]
    benchmark.group = operation
    benchmark.extra_info["messages a call"] = messages
    benchmark(work)


@pytest.mark.parametrize("name", ALL)
def test_small_reads(benchmark: BenchmarkFixture, name: str) -> None:
    """1 MiB of Text in reads of 1460 bytes, as TCP segments over Ethernet bring them."""
    reads = traffic.reads(traffic.frame(traffic.ascii_text(KIB * KIB).encode()), 1460)
    work = contenders.parsers((name,), reads, 1)[name]
    benchmark.group = "TEXT ASCII 1 MiB to str, 1460 B reads"
    benchmark(work)


@pytest.mark.parametrize("name", [FRAMEWARDEN, *DEFLATING_PEERS])
@pytest.mark.parametrize("size", [KIB, 64 * KIB])
def test_deflate(benchmark: BenchmarkFixture, size: int, name: str) -> None:
    """Compressed JSON, context takeover, to ``str``."""
    messages = traffic.json_messages(size, max(8, 64 * KIB // size))
    stream = b"".join(traffic.frame(payload, rsv1=True) for payload in traffic.deflated(messages))
    work = contenders.parsers((name,), traffic.reads(stream), len(messages), deflate=True)[name]
    benchmark.group = f"deflate {size // KIB} KiB JSON to str"
    benchmark(work)
