"""The page and the example are test suites: pytest runs them, in a process of its own."""

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


def run(folder: Path, name: str) -> str:
    """Run a test file as a user does; with few examples, for it is the file that is tested."""
    profile = "from hypothesis import settings\nsettings.register_profile('few', max_examples=5, deadline=None)\n"
    (folder / "conftest.py").write_text(f"{profile}settings.load_profile('few')\n")
    result = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "no:benchmark", name],
        cwd=folder,
        env={name: value for name, value in os.environ.items() if name != "CI"} | {"PYTHONPATH": str(ROOT / "src")},
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 0, result.stdout + result.stderr
    return result.stdout


def test_the_example_of_the_page(tmp_path):
    [block] = re.findall(r"^```python\n(.*?)^```", PAGE, re.DOTALL | re.MULTILINE)
    (tmp_path / "test_moves.py").write_text(block)
    assert "4 passed" in run(tmp_path, "test_moves.py")


def test_the_example_file(tmp_path):
    shutil.copy(ROOT / "examples" / "test_with_strategies.py", tmp_path)
    assert "5 passed" in run(tmp_path, "test_with_strategies.py")


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
