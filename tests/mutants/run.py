"""Breaks the parser on purpose, one mistake at a time, and shows that the tests without fuzzing notice each of them.

python -m tests.mutants.run                             # every mutant: about 15 minutes
python -m tests.mutants.run --mutant close-code-1015    # this one; what pytest said is in build/mutants-said/
python -m tests.mutants.run --list
python -m tests.mutants.run --write                     # every mutant, and their rows in docs/mutants.md

The tests run in a copy of the tree (build/mutants), once as it is, then with one mutant after the other: rebuilt where
the file is compiled, tested up to the first failure, and put back. That failure must come again when the test runs
alone: one that does not was bad luck, and shows nothing. A mutant that does not compile, or that keeps the tests from
being collected, is a mistake of this check. Exit code 1: a mutant lives, or nothing was shown of it.
"""

import argparse
import shutil
import signal
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from rich.console import Console
from rich.table import Table

from tests.mutants import page
from tests.mutants.catalogue import ROOT, Mutant, complaints, load
from tests.mutants.tree import BrokenCheckError, Tree, Verdict

BUILD = ROOT / "build"
SAID = BUILD / "mutants-said"
"""What pytest said of each mutant."""
ALL_PASSED = Verdict(None, "all tests passed")

# Lines are not broken where nobody sees them being written.
console = Console(markup=False, highlight=False, width=None if sys.stdout.isatty() else 200)


class Result(NamedTuple):
    """What became of a mutant: a test caught it, or it lives, or nothing was shown."""

    mutant: Mutant
    caught_by: str | None
    seconds: float
    """What the tests took up to the failure."""
    wrong: str = ""
    """Why nothing was shown."""

    @property
    def word(self) -> str:
        """One word for it, or the test."""
        return self.caught_by or ("NOTHING SHOWN" if self.wrong else "LIVES")


def examine(tree: Tree, mutant: Mutant) -> Result:
    """Make the mutant, look who notices, put back what was."""
    begun = time.monotonic()
    try:
        with tree.broken_by(mutant):
            begun = time.monotonic()
            verdict = next(
                (found for found in map(tree.test, tree.stages(mutant)) if found.failed is not None), ALL_PASSED
            )
            seconds = time.monotonic() - begun
            (SAID / f"{mutant.id}.txt").write_text(verdict.said)
            if verdict.failed is not None and tree.test([verdict.failed]).failed is None:
                return Result(mutant, None, seconds, f"{verdict.failed} failed, but not when it ran alone")
    except BrokenCheckError as error:
        return Result(mutant, None, time.monotonic() - begun, str(error))
    return Result(mutant, verdict.failed, seconds)


def check(mutants: Sequence[Mutant], results: list[Result]) -> None:
    """Examine all of them, one after the other, say how each went, and append that to ``results``."""
    tree = Tree(BUILD / "mutants")
    shutil.rmtree(SAID, ignore_errors=True)
    SAID.mkdir()
    for stage in tree.stages(mutants[0]):
        verdict = tree.test(stage)
        if verdict.failed is not None:
            raise BrokenCheckError(f"{verdict.failed} fails without any mutant\n{verdict.said[-4000:]}")
        console.print(f"without a mutant: {verdict.said.strip().splitlines()[-1]}")
    for number, mutant in enumerate(mutants, 1):
        result = examine(tree, mutant)
        console.print(f"{number}/{len(mutants)} {mutant.id}: {result.word}, {result.seconds:.1f} s")
        if result.wrong:
            console.print(result.wrong)
        results.append(result)


def record(mutants: Sequence[Mutant], results: Sequence[Result]) -> None:
    """Write the rows of ``results`` in docs/mutants.md; one that was not caught has none."""
    place = ROOT / "docs" / "mutants.md"
    rows = page.rows(place.read_text("utf-8")) if place.exists() else {}
    for result in results:
        rows.pop(result.mutant.id, None)
        if result.caught_by is not None:
            rows[result.mutant.id] = page.row(result.mutant, result.caught_by, result.seconds)
    shown = [rows[mutant.id] for mutant in mutants if mutant.id in rows]
    place.write_text(page.written(shown, [mutant.id for mutant in mutants if mutant.id not in rows]), "utf-8")


def table(results: Sequence[Result]) -> Table:
    """All results, for the end of the run."""
    made = Table("mutant", "file", "caught by", "seconds", title="Mutants")
    for result in results:
        made.add_row(result.mutant.id, Path(result.mutant.file).name, result.word, f"{result.seconds:.1f}")
    return made


def parse(arguments: Sequence[str] | None, known: Sequence[str]) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(prog="python -m tests.mutants.run", description=__doc__.partition("\n")[0])
    parser.add_argument("--mutant", action="append", metavar="ID", choices=known, help="only this one; may be repeated")
    parser.add_argument("--list", action="store_true", help="say what mutants there are, and run nothing")
    parser.add_argument("--write", action="store_true", help="write the rows of these in docs/mutants.md again")
    return parser.parse_args(arguments)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the check. Returns the exit code."""
    mutants = load()
    chosen = parse(arguments, [mutant.id for mutant in mutants])
    if chosen.list:
        for mutant in mutants:
            console.print(f"{mutant.id}: {mutant.why} ({mutant.source}; {mutant.file})")
        return 0
    said = complaints(mutants)
    if said:
        raise BrokenCheckError("\n".join(said))
    named = {mutant.id: mutant for mutant in mutants}
    wanted = [named[id] for id in chosen.mutant or named]
    begun = time.monotonic()
    results: list[Result] = []
    try:
        check(wanted, results)
    finally:  # what has been shown has been shown, also where the rest was interrupted
        console.print(table(results))
        if chosen.write:
            record(mutants, results)
    caught = [result for result in results if result.caught_by is not None]
    console.print(f"{len(caught)} of {len(results)} mutants caught, {time.monotonic() - begun:.0f} s")
    return 0 if len(caught) == len(results) else 1


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # the mutant is taken out again, as with Ctrl-C
    try:
        sys.exit(main())
    except BrokenCheckError as error:
        console.print(f"the check itself is broken: {error}")
        sys.exit(1)
    except KeyboardInterrupt:
        sys.exit(130)
