"""The Nth allocation fails, alone and with all that follow it, for every N: no crash, no leak, a clean error.

What a clean error is, each scenario says: the documented verdict, or MemoryError and nothing done, and an object that
has failed or that can be used.
"""

import json
import subprocess
import sys

import pytest

from tests.anomalies.scenarios import GROUPS, SHORT
from tests.conftest import ROOT

LONG = [pytest.param(group, marks=pytest.mark.long) for group in GROUPS if group not in SHORT]


def exhaust(group, allocations_path):
    command = (sys.executable, "-m", "tests.anomalies.exhaust", str(allocations_path), group)
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=500, check=False)


@pytest.mark.timeout(600)
@pytest.mark.parametrize("group", [*SHORT, *LONG])
def test_every_allocation_may_fail(group, allocations_path):
    result = exhaust(group, allocations_path)
    said = result.stdout.splitlines() or ["nothing"]
    assert result.returncode == 0, f"{said[-2:]}\n{result.stderr[-3000:]}"
    assert json.loads(said[-1])["scenarios"] > 0


@pytest.mark.parametrize(
    ("group", "words"),
    [
        ("crash", '"signal": 11'),
        ("leak", "blocks are leaked"),
        ("slow_leak", "blocks are leaked"),
        ("loss", "AssertionError"),
        ("error", "ValueError"),
    ],
)
def test_it_sees_what_is_wrong(group, words, allocations_path):
    """Each thing that must not happen, done on purpose."""
    result = exhaust(f"planted-{group}", allocations_path)
    assert result.returncode != 0
    assert words in result.stdout + result.stderr
