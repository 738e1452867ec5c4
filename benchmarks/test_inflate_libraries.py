"""Which library inflates: the measurement behind the choice of zlib-ng (docs/performance.md says why).

isal is not needed by anything else here; install it to see its entries.
"""

import zlib
from types import ModuleType

import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from benchmarks import traffic

pytestmark = pytest.mark.no_engine

KIB = 1024
TRAILER = b"\x00\x00\xff\xff"
LIMIT = 1024 * KIB  # max_length: there is always one
LIBRARIES = {"zlib": "zlib", "isal": "isal.isal_zlib", "zlib-ng": "zlib_ng.zlib_ng"}
SIZES = {"100 B": (100, 256), "1 KiB": (KIB, 64), "16 KiB": (16 * KIB, 16), "64 KiB": (64 * KIB, 8)}


@pytest.fixture(params=LIBRARIES)
def library(request: pytest.FixtureRequest) -> ModuleType:
    """Each library under zlib's interface."""
    module: ModuleType = pytest.importorskip(LIBRARIES[request.param])
    return module


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("window", [15, 9], ids=lambda bits: f"{bits}bits")
@pytest.mark.parametrize("takeover", [True, False], ids=["takeover", "fresh"])
def test_inflate(benchmark: BenchmarkFixture, library: ModuleType, size: str, window: int, takeover: bool) -> None:
    """A list of messages a call; without takeover each has a decompressor of its own, as each has no past."""
    messages = traffic.json_messages(*SIZES[size])
    payloads = [payload + TRAILER for payload in traffic.deflated(messages, window, takeover)]

    def with_takeover() -> int:
        decompress = library.decompressobj(-15).decompress
        return sum(len(decompress(payload, LIMIT)) for payload in payloads)

    def fresh() -> int:
        return sum(len(library.decompressobj(-15).decompress(payload, LIMIT)) for payload in payloads)

    benchmark.group = f"inflate {size}, window {window} bits, {'takeover' if takeover else 'fresh'}"
    benchmark.extra_info["messages a call"] = len(messages)
    assert benchmark(with_takeover if takeover else fresh) == sum(map(len, messages))


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("how", ["takeover", "fresh", "shared"])
def test_deflate(benchmark: BenchmarkFixture, library: ModuleType, size: str, how: str) -> None:
    """Level 1. Shared: one compressor for messages without takeover, by Z_FULL_FLUSH, which forgets all that was."""
    messages = traffic.json_messages(*SIZES[size])
    compressor = library.compressobj(1, library.DEFLATED, -15)

    def new() -> object:
        return library.compressobj(1, library.DEFLATED, -15)

    flush = library.Z_FULL_FLUSH if how == "shared" else library.Z_SYNC_FLUSH

    def deflate() -> int:
        length = 0
        for message in messages:
            one = new() if how == "fresh" else compressor
            length += len(one.compress(message)) + len(one.flush(flush))
        return length

    benchmark.group = f"deflate {size}, {how}"
    length = benchmark(deflate)
    benchmark.extra_info["bytes in for a byte out"] = round(sum(map(len, messages)) / length, 2)


def test_full_flush_forgets(library: ModuleType) -> None:
    """What "shared" stands on: each of the messages can be inflated alone, by anybody."""
    compressor = library.compressobj(1, library.DEFLATED, -15)
    for message in traffic.json_messages(KIB):
        payload = compressor.compress(message) + compressor.flush(library.Z_FULL_FLUSH)
        assert payload.endswith(TRAILER)
        assert zlib.decompressobj(-15).decompress(payload) == message
