"""The copy of the tree in which mutants are made, so that the one in place stays what it is."""

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from tests.mutants.catalogue import ROOT, Mutant

__all__ = ["BrokenCheckError", "Tree", "Verdict"]

COPIED = ("setup.py", "pyproject.toml", "README.md", "LICENSE", "src", "ext", "tests", "docs", "fuzz", "examples")
LEFT_OUT = shutil.ignore_patterns("__pycache__", "*.pyc", "*.egg-info")
# In stages, those first that find most in the least time: a run ends with its first failure.
VECTORS = ("tests/vectors",)
UNITS = ("tests/unit/codec", "tests/unit/kernels", "tests/unit/engine")
OTHERS = ("tests/regressions", "tests/differential", "tests/properties")
# Corpora of the fuzz targets are fuzzing.
FUZZING = ("tests/regressions/test_fuzz_corpus.py", "tests/regressions/test_findings.py")
SECONDS = 300
"""What one build or one run of the tests may take."""


class BrokenCheckError(Exception):
    """Nothing has been shown: it was not a test that failed."""


class Verdict(NamedTuple):
    """What the tests said of a tree."""

    failed: str | None
    """The first test that failed; None: all passed."""
    said: str


class Tree:
    """Sources and compiled modules of this checkout, copied to ``place``."""

    def __init__(self, place: Path) -> None:
        self.place = place
        shutil.rmtree(place, ignore_errors=True)
        place.mkdir(parents=True)
        for name in COPIED:
            source = ROOT / name
            if source.is_dir():
                shutil.copytree(source, place / name, ignore=LEFT_OUT)
            else:
                shutil.copy2(source, place / name)
        self._check_import()

    def _check_import(self) -> None:
        """The tests must not look at another framewarden than the one that is copied here."""
        code = "import framewarden.engine, framewarden.kernels; print(framewarden.__file__)"
        done = self._run("-c", code)
        if done.returncode or not Path(done.stdout.strip()).is_relative_to(self.place):
            raise BrokenCheckError(f"framewarden is not built in this checkout: make build\n{done.stderr}")

    def _run(self, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
        """This Python, in the copy, with nothing that would choose other modules, kernels, switches or examples."""
        kept = {key: value for key, value in os.environ.items() if not key.startswith(("FRAMEWARDEN_", "PYTEST_"))}
        # CI: the examples of Hypothesis are the same in every run. No .pyc: a change within a second would not be seen.
        kept |= {"CI": "1", "PYTHONPATH": str(self.place / "src"), "PYTHONDONTWRITEBYTECODE": "1", **environment}
        command = (sys.executable, *arguments)
        try:
            return subprocess.run(
                command, cwd=self.place, env=kept, capture_output=True, text=True, timeout=SECONDS, check=False
            )
        except subprocess.TimeoutExpired:
            raise BrokenCheckError(f"no end after {SECONDS} s: {' '.join(arguments)}") from None

    def stages(self, mutant: Mutant) -> list[Sequence[str]]:
        """All tests but fuzzing, those first that are likely to catch the mutant. The handshake has no vectors."""
        units = sorted(path.relative_to(self.place).as_posix() for path in (self.place / "tests/unit").glob("*"))
        others = [*OTHERS, *(each for each in units if each not in UNITS)]
        return [VECTORS, UNITS, others] if mutant.module else [UNITS, VECTORS, others]

    def test(self, tests: Sequence[str]) -> Verdict:
        """Run these, up to the first failure.

        Raises:
            BrokenCheckError: a test could not be collected or set up, or Python died.
        """
        options = (
            "-m",
            "pytest",
            "-x",
            "-q",
            "--tb=short",
            "-p",
            "no:cacheprovider",
            *(f"--ignore={each}" for each in FUZZING),
        )
        done = self._run(*options, *tests)
        if done.returncode == 0:
            return Verdict(None, done.stdout)
        failed = re.search(r"^FAILED (.*?)(?: - |$)", done.stdout, re.MULTILINE)
        if done.returncode != 1 or failed is None:
            raise BrokenCheckError(f"pytest ended with {done.returncode}\n{done.stdout[-4000:]}{done.stderr[-2000:]}")
        return Verdict(failed[1], done.stdout)

    @contextmanager
    def broken_by(self, mutant: Mutant) -> Iterator[None]:
        """The tree with the mutant in it; afterwards, however that ends, as it was.

        Raises:
            BrokenCheckError: the mutant does not fit, or does not compile.
        """
        path = self.place / mutant.file
        text = path.read_text("utf-8")
        compiled = None if mutant.module is None else self._compiled(mutant.module)
        kept = None if compiled is None else compiled.read_bytes()
        try:
            path.write_text(mutant.applied(text), "utf-8")
            if compiled is not None and mutant.module is not None:
                self._build(mutant.module, compiled)
            yield
        finally:
            path.write_text(text, "utf-8")
            if compiled is not None and kept is not None:
                compiled.unlink(missing_ok=True)
                compiled.write_bytes(kept)

    def _compiled(self, module: str) -> Path:
        found = list(self.place.glob(f"src/{module.replace('.', '/')}.*.so"))
        if len(found) != 1:
            raise BrokenCheckError(f"{module} has {len(found)} compiled modules, not one: make clean build")
        return found[0]

    def _build(self, module: str, compiled: Path) -> None:
        before = compiled.stat()
        done = self._run("setup.py", "-q", "build_ext", "--inplace", FRAMEWARDEN_BUILD_ONLY=module)
        if done.returncode:
            raise BrokenCheckError(f"it does not compile\n{done.stdout[-2000:]}{done.stderr[-2000:]}")
        after = compiled.stat()
        if (before.st_mtime_ns, before.st_ino) == (after.st_mtime_ns, after.st_ino):
            raise BrokenCheckError(f"{module} was not built again")
