"""Code that Cython 3.3 translates into a crash when there is no memory: found by tests/anomalies, avoided everywhere.

* ``return``, ``continue`` and ``break`` inside an ``except`` clause release the traceback, which is NULL when there was
  no memory for it.
* A list comprehension releases an item twice when its list cannot grow.
* An exception may be replaced by MemoryError before its clause is entered: ``as error`` is then not what was caught.
"""

import re

import pytest

from tests.anomalies.conftest import allocations, allocations_path
from tests.conftest import ROOT

__all__ = ["allocations", "allocations_path"]  # fixtures

SOURCES = sorted((ROOT / "src").rglob("*.pyx"))


def left_early(lines):
    """Numbers of the lines that leave an except clause."""
    clause = None
    for number, line in enumerate(lines, 1):
        indent = len(line) - len(line.lstrip())
        if not line.strip():
            continue
        if clause is not None and indent <= clause:
            clause = None
        if re.match(r"\s*except\b.*:", line):
            clause = indent
        elif clause is not None and re.match(r"\s*(return|continue|break)\b", line):
            yield number


@pytest.mark.parametrize("source", SOURCES, ids=lambda path: path.stem)
def test_no_except_clause_is_left_by_return_continue_or_break(source):
    assert list(left_early(source.read_text().splitlines())) == []


@pytest.mark.parametrize("source", SOURCES, ids=lambda path: path.stem)
def test_no_list_comprehensions(source):
    assert re.findall(r"^[^#\n]*\[[^\]\n]+ for \w+ in .*\]", source.read_text(), re.MULTILINE) == []


def test_the_search_finds_them():
    text = "try:\n    f()\nexcept (A, B) as error:  # why\n    if x:\n        return 1\nreturn 2\n"
    assert list(left_early(text.splitlines())) == [5]


def test_a_text_that_is_refused_without_memory(allocations):
    """It was an AttributeError: MemoryError has no ``start``."""
    from framewarden.codec._writer import prepare
    from framewarden.errors import ArgumentError

    for n in range(1, 60):
        _, error, *_ = allocations.run([(prepare, ("\ud800",))], n, n)
        assert isinstance(error, (ArgumentError, MemoryError))
