"""docs/mutants.md: which test caught which mutant, when it was last made."""

import platform
import re
from collections.abc import Sequence

from framewarden import kernels
from tests.mutants.catalogue import Mutant

__all__ = ["row", "rows", "written"]

HEAD = """\
<!-- Written by `make mutants ARGS=--write`. Do not edit. -->

# Mutants

A test is worth what it notices. Each row is a mistake that was made on purpose, in a copy of the tree, and the test
that noticed first: vectors before units, units before properties. No fuzzing is needed for it; the examples of
Hypothesis are those of every run of CI. A row counts only if the test fails again when it runs alone.

The mistakes themselves, with the text before and after, are in `tests/mutants/mutants.toml`. A new rule of the parser
comes with the mutant that breaks it. One that lives is a hole in the tests: the missing vector is written, the mutant
stays. To run them again, some or all:

```console
make mutants ARGS="--mutant close-code-1015 --mutant obs-fold"
make mutants ARGS="--mutant obs-fold --write"
make mutants ARGS=--write
```
"""


def row(mutant: Mutant, test: str, seconds: float) -> str:
    """The row of a mutant, with the test that caught it and the seconds that the tests took until then."""
    test = test.removeprefix("tests/").replace("|", "\\|")
    return f"| `{mutant.id}` | {mutant.why} | {mutant.source} | `{test}` | {seconds:.1f} |"


def rows(text: str) -> dict[str, str]:
    """The rows of a page, by mutant."""
    return {match[1]: match[0] for match in re.finditer(r"^\| `([a-z0-9-]+)` \|.*$", text, re.MULTILINE)}


def written(lines: Sequence[str], missing: Sequence[str]) -> str:
    """The page with these rows; ``missing``: mutants that have none, because nobody has run them since they were new,
    or because they were not caught.
    """
    machine = f"CPython {platform.python_version()} on {platform.machine()} with the kernel {kernels.active()}"
    said = [f"{len(lines)} mutants were caught, by {machine}. Seconds are those of the tests up to the failure.\n"]
    if missing:
        said.append(f"Not shown yet: {', '.join(f'`{each}`' for each in missing)}.\n")
    header = ("| mutant | what is wrong then | against | caught by | s |", "|---|---|---|---|---|")
    return "\n".join((HEAD, *said, *header, *lines, ""))
