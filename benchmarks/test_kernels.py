"""Every kernel that this CPU has, beside memcpy and CPython's decoder, over 64 KiB that stay in the cache."""

import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from benchmarks import cuts, native, traffic

kernels = pytest.importorskip("framewarden.kernels")

SIZE = 64 * 1024
TIMES = 16  # payloads a call
TEXTS = {"ASCII": traffic.ascii_text(SIZE).encode(), "multibyte": traffic.multibyte_text(SIZE).encode()}
pytestmark = pytest.mark.no_engine


@pytest.fixture(params=kernels.available())
def kernel(request: pytest.FixtureRequest) -> object:
    """Use one kernel, and then the one that was in use."""
    before = kernels.active()
    kernels.use(request.param)
    yield request.param
    kernels.use(before)


@pytest.mark.parametrize("text", TEXTS)
def test_unmask(benchmark: BenchmarkFixture, kernel: str, text: str) -> None:
    bench = native.load("_kernel_loops").Bench(traffic.masked(TEXTS[text], cuts.KEY), cuts.KEY)
    benchmark.group = f"kernel, 64 KiB {text}"
    benchmark(bench.unmask, TIMES)


@pytest.mark.parametrize("text", TEXTS)
def test_unmask_validate(benchmark: BenchmarkFixture, kernel: str, text: str) -> None:
    bench = native.load("_kernel_loops").Bench(traffic.masked(TEXTS[text], cuts.KEY), cuts.KEY)
    benchmark.group = f"kernel, 64 KiB {text}"
    benchmark(bench.unmask_validate, TIMES)


@pytest.mark.parametrize("text", TEXTS)
def test_memcpy(benchmark: BenchmarkFixture, text: str) -> None:
    bench = native.load("_kernel_loops").Bench(TEXTS[text], cuts.KEY)
    benchmark.group = f"kernel, 64 KiB {text}"
    benchmark(bench.memcpy, TIMES)


@pytest.mark.parametrize("text", TEXTS)
def test_decode(benchmark: BenchmarkFixture, kernel: str, text: str) -> None:
    benchmark.group = f"decode to str, 64 KiB {text}"
    benchmark(kernels.decode_utf8, TEXTS[text])


@pytest.mark.parametrize("text", TEXTS)
def test_decode_by_cpython(benchmark: BenchmarkFixture, text: str) -> None:
    benchmark.group = f"decode to str, 64 KiB {text}"
    benchmark(TEXTS[text].decode)
