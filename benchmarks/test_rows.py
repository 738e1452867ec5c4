"""Every bound of ``python -m benchmarks``, as a test: ``pytest benchmarks -m ratios``."""

import pytest

from benchmarks.rows import ROWS, Row

pytestmark = pytest.mark.ratios


@pytest.mark.parametrize("row", [pytest.param(row, id=f"{i:02}-{row.name}") for i, row in enumerate(ROWS)])
def test_bound_is_kept(row: Row) -> None:
    results = list(row.measure(rounds=21))
    short = [r for r in results if not r.good]
    assert not short, "\n".join(
        f"{r.row} against {r.against}: {r.measured:.2f} {r.unit}, wanted {r.bound} {r.wanted}" for r in short
    )
