"""What every run of the benchmarks says of itself, and what it needs."""

import pytest

from benchmarks.conditions import conditions


def pytest_report_header() -> list[str]:
    return conditions()


@pytest.fixture(autouse=True)
def _engine_is_built(request: pytest.FixtureRequest) -> None:
    """Skip what needs the compiled package when it is not built."""
    if request.node.get_closest_marker("no_engine") is None:
        pytest.importorskip("framewarden.engine", reason="build the package first")
