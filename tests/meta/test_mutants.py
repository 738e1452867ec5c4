"""The list of mutants fits the code as it is; `make mutants` shows that the tests notice each of them."""

import re

from tests.meta.imports import PACKAGE, externs
from tests.mutants import page
from tests.mutants.catalogue import ROOT, Mutant, complaints, load

MUTANTS = load()


def test_every_mutant_fits():
    """The old text stands exactly once in its file, ids are unique, and something changes."""
    assert complaints(MUTANTS) == []


def test_a_mutant_that_does_not_fit_is_complained_of():
    mutant = Mutant("twice", "setup.py", "import", "imports", "", "")
    assert len(complaints([mutant, mutant._replace(old="os.environ.get(", new="os.environ.get(")])) == 4


def test_there_are_enough_and_they_are_spread():
    rooms = [mutant.file.removeprefix("src/framewarden/").partition("/")[0] for mutant in MUTANTS]
    assert len(MUTANTS) >= 20
    assert {room: rooms.count(room) >= 5 for room in set(rooms)} == {"ext": True, "codec": True, "engine": True}


def test_every_mutant_says_why_and_against_what():
    for mutant in MUTANTS:
        assert re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)*", mutant.id), mutant.id
        assert len(mutant.why) > 20, mutant.id
        assert re.fullmatch(r"policy|RFC \d{4} [\d.]+", mutant.source), mutant.id


def test_a_mutant_needs_one_module_to_be_built_again():
    """A declaration, or a header that a declaration names, is compiled into others; and only x86-64 and C are built."""
    shared = {header for path in PACKAGE.rglob("*.p[xy][dx]") for header in externs(path.read_text())}
    assert "fw_kernels.h" in shared
    for mutant in MUTANTS:
        assert mutant.file.endswith((".py", ".pyx", ".c", ".h")), mutant.id
        assert mutant.file.rpartition("/")[2] not in shared | {"neon.c"}, mutant.id


def test_the_page_has_every_mutant():
    """Either a row that says who caught it, or its name among those of which nothing has been shown yet."""
    text = (ROOT / "docs" / "mutants.md").read_text()
    rows = page.rows(text)
    missing = re.findall(r"`([a-z0-9-]+)`", text.partition("Not shown yet:")[2].partition("\n")[0])
    again = "run: make mutants ARGS=--write"
    assert [*rows] == [mutant.id for mutant in MUTANTS if mutant.id in rows], again
    assert missing == [mutant.id for mutant in MUTANTS if mutant.id not in rows], again
    for mutant in MUTANTS:
        assert mutant.id in missing or f"| {mutant.why} | {mutant.source} |" in rows[mutant.id], again
    assert len(rows) >= 20
