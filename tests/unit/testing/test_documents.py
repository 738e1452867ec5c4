"""The page and the example are test suites: pytest runs them, in a process of its own, as a user does."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from framewarden import testing
from framewarden.testing import campaign

ROOT = Path(__file__).parents[3]
PAGE = (ROOT / "docs" / "testing.md").read_text()


def test_the_page_and_the_example_are_test_suites(tmp_path):
    """With few examples: it is the files that are tested."""
    profile = "from hypothesis import settings\nsettings.register_profile('few', max_examples=5, deadline=None)\n"
    (tmp_path / "conftest.py").write_text(f"{profile}settings.load_profile('few')\n")
    [block] = re.findall(r"^```python\n(.*?)^```", PAGE, re.DOTALL | re.MULTILINE)
    (tmp_path / "test_moves.py").write_text(block)
    shutil.copy(ROOT / "examples" / "test_with_strategies.py", tmp_path)
    result = subprocess.run(
        [sys.executable, "-m", "pytest", "-v", "-p", "no:cacheprovider", "-p", "no:benchmark"],
        cwd=tmp_path,
        env={name: value for name, value in os.environ.items() if name != "CI"} | {"PYTHONPATH": str(ROOT / "src")},
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 0, result.stdout + result.stderr
    assert result.stdout.count("test_moves.py::") == 4
    assert result.stdout.count("test_with_strategies.py::") == 5


STRATEGIES = sorted(
    name
    for name in testing.__all__
    if name[0].islower() and name not in ("frame", "frame_ends", "peers", "plain", "pump", "read")
)


@pytest.mark.parametrize("name", STRATEGIES)
def test_the_page_has_every_strategy(name):
    assert re.search(rf"^\|.*`{name}\(", PAGE, re.MULTILINE)


def test_the_page_has_every_target_and_option():
    table = PAGE.partition("## A campaign")[2]
    assert set(re.findall(r"^\| `(\w+)` \|", table, re.MULTILINE)) == set(campaign.TARGETS)


@pytest.mark.parametrize("name", testing.__all__)
def test_what_is_public_says_what_it_is(name):
    value = getattr(testing, name)
    if callable(value):
        assert value.__doc__
        assert not value.__doc__.startswith(f"{name}(")  # what a NamedTuple says that nobody has written about
