"""docs/mutants.md: what the last whole run found."""

import platform
from collections.abc import Sequence

from framewarden import kernels
from tests.mutants.catalogue import Mutant

__all__ = ["written"]

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
make mutants ARGS=--write
```
"""


def cell(text: str) -> str:
    return text.replace("|", "\\|")


def written(rows: Sequence[tuple[Mutant, str, float]]) -> str:
    """The page for these mutants, each with the test that caught it and the seconds that the tests took until then."""
    machine = f"CPython {platform.python_version()} on {platform.machine()} with the kernel {kernels.active()}"
    lines = [
        HEAD,
        f"{len(rows)} of {len(rows)} were caught, by {machine}. Seconds are those of the tests up to the failure.\n",
        "| mutant | what is wrong then | against | caught by | s |",
        "|---|---|---|---|---|",
    ]
    for mutant, test, seconds in rows:
        lines.append(
            f"| `{mutant.id}` | {cell(mutant.why)} | {mutant.source} | `{cell(test.removeprefix('tests/'))}` "
            f"| {seconds:.1f} |"
        )
    return "\n".join(lines) + "\n"
