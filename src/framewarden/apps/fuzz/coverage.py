"""Which lines the corpora reach, file by file: of the C, of the Cython and of the Python.

The corpora are run again in a build with gcov's counters. gcov counts lines of the ``.c`` that Cython wrote; the
comments in there say which line of the ``.pyx`` each of them came from.
"""

import re
import subprocess
import sys
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import msgspec

from framewarden.apps.fuzz.building import build_counting, environment, run_quietly
from framewarden.apps.fuzz.checkout import NATIVE, FuzzError
from framewarden.apps.fuzz.corpora import working

__all__ = ["FileCoverage", "measure", "native_share", "origins"]

ROOMS = ("kernels", "codec", "engine")
ORIGIN = re.compile(r'^\s*/\* "(framewarden/\w+/\w+\.pyx)":(\d+)$')
END_OF_FUNCTION = "/* function exit code */"
DATA_FILE = "coverage-of-python"


class FileCoverage(msgspec.Struct, frozen=True):
    """One source file.

    Attributes:
        file: its path in the checkout.
        lines: that have code.
        missed: those that no input reached.
    """

    file: str
    lines: int
    missed: tuple[int, ...]

    @property
    def share(self) -> float:
        """Of its lines, how many were reached: 0 to 1."""
        return 1 - len(self.missed) / self.lines if self.lines else 1.0

    @property
    def native(self) -> bool:
        """Whether it is C or Cython."""
        return not self.file.endswith(".py")


Hits = dict[str, dict[int, int]]
"""Of each file, how often each line was run."""


def measure(checkout: Path, targets: Iterable[str], tell: Callable[[str], None]) -> list[FileCoverage]:
    """Run the corpora of these targets again, and count. Takes about as long as they take without sanitizers.

    Args:
        checkout: where the corpora are.
        targets: their names.
        tell: is given a line for each target that an input of its corpus ended: its lines are not counted.
    """
    place = build_counting(checkout)
    for path in (*place.rglob("*.gcda"), *place.glob(f"{DATA_FILE}*")):
        path.unlink()
    for target in targets:
        if target not in NATIVE:
            try:
                _replay(place, target, working(checkout, target))
            except FuzzError as error:
                tell(f"lines of {target} are not counted: {error}")
    hits = _native_hits(place)
    covered = [
        _covered(file, lines) for file, lines in sorted(hits.items()) if any(lines.values()) or "neon" not in file
    ]
    return [*covered, *_python_coverage(place)]


def native_share(files: Iterable[FileCoverage]) -> float:
    """The share of all native lines that were reached: 0 to 1."""
    native = [file for file in files if file.native]
    lines = sum(file.lines for file in native)
    return 1 - sum(len(file.missed) for file in native) / lines if lines else 0.0


def _replay(place: Path, target: str, corpus: Path) -> None:
    sources = ",".join(f"*/framewarden/{room}/*" for room in ROOMS)
    counted = ["coverage", "run", "--parallel-mode", f"--data-file={DATA_FILE}", "--rcfile=/dev/null"]
    command = [sys.executable, "-m", *counted, f"--include={sources}", "-m", "fuzz.worker", "count"]
    run_quietly([*command, target, str(corpus)], place, environment(place, sanitized=False))


def _covered(file: str, lines: dict[int, int]) -> FileCoverage:
    return FileCoverage(file, len(lines), tuple(line for line, count in sorted(lines.items()) if count == 0))


def _native_hits(place: Path) -> Hits:
    notes = [str(path) for room in ROOMS for path in sorted((place / "build").rglob(f"{room}/*.gcda"))]
    if not notes:
        return {}
    done = subprocess.run(  # noqa: S603 - gcov, on our own notes
        ["gcov", "--json-format", "--stdout", *notes],  # noqa: S607 - wherever it is
        cwd=place, capture_output=True, text=True, check=True,
    )  # fmt: skip
    hits: Hits = {}
    for line in done.stdout.splitlines():
        for counted in msgspec.json.decode(line)["files"]:
            path = Path(counted["file"])
            if path.is_relative_to(place):
                _add(hits, place, path, {each["line_number"]: each["count"] for each in counted["lines"]})
    return hits


def _add(hits: Hits, place: Path, path: Path, counts: dict[int, int]) -> None:
    """Add gcov's counts of one file: the C as it is, what Cython wrote as what it was written from."""
    if path.is_relative_to(place / "ext"):
        places: Iterable[tuple[int, str, int]] = ((line, str(path.relative_to(place)), line) for line in counts)
    else:
        places = origins(path) if path.suffix == ".c" else ()
    for line, name, origin in places:
        if line in counts:
            file = hits.setdefault(name, {})
            file[origin] = max(file.get(origin, 0), counts[line])


def origins(path: Path) -> Iterator[tuple[int, str, int]]:
    """Lines of the C that Cython wrote, each with the file and the line that it was written from.

    What ends a function belongs to no line: it would make the last one look as if it had been reached.
    """
    origin: tuple[str, int] | None = None
    for number, line in enumerate(path.read_text().splitlines(), 1):
        if found := ORIGIN.match(line):
            origin = f"src/{found[1]}", int(found[2])
        elif line.strip() == END_OF_FUNCTION:
            origin = None
        if origin is not None:
            yield number, *origin


def _python_coverage(place: Path) -> list[FileCoverage]:
    """The same of the parsers that are Python, by coverage.py."""
    from coverage import Coverage  # noqa: PLC0415 - an extra

    counted = Coverage(data_file=str(place / DATA_FILE), config_file=False)
    parts = [str(path) for path in place.glob(f"{DATA_FILE}.*")]
    if not parts:
        return []
    counted.combine(parts)
    covered = []
    for path in sorted(counted.get_data().measured_files()):
        _, statements, _, missed, _ = counted.analysis2(path)
        if statements and not path.endswith("__init__.py"):
            covered.append(FileCoverage(str(Path(path).relative_to(place)), len(statements), tuple(missed)))
    return covered
