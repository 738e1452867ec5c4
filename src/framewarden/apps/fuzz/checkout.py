"""Where the sources are that a campaign is run on, and what the machine lacks for one.

Coverage-guided fuzzing needs the targets (``fuzz/``) and the sources of the native code, which a wheel does not have.
"""

import importlib.util
import shutil
from pathlib import Path

import framewarden
from framewarden.errors import FramewardenError

__all__ = ["NATIVE", "FuzzError", "find", "lacking", "target_names"]

NATIVE = ("kernels_c",)
"""Targets that are C programs of their own, without Python: ``fuzz/native``."""
HYPOTHESIS = "the Hypothesis campaign needs neither: framewarden fuzz run --driver hypothesis"


class FuzzError(FramewardenError):
    """A campaign that cannot be run, or an input that cannot be read."""


def find() -> Path | None:
    """Find the checkout: the folder that one is in, or the one that this package is imported from. None: neither."""
    here = Path.cwd()
    installed = Path(framewarden.__file__).resolve().parent
    for folder in (here, *here.parents, *installed.parents):
        if (folder / "fuzz" / "targets").is_dir() and (folder / "ext" / "kernels").is_dir():
            return folder
    return None


def lacking(checkout: Path | None) -> str:
    """Say in one line what a coverage-guided campaign lacks on this machine, and how it is had; "": nothing."""
    missing = []
    if checkout is None:
        missing.append("a checkout of framewarden (the folder that has fuzz/targets)")
    if shutil.which("clang") is None:
        missing.append("clang (apt-get install clang libclang-rt-14-dev llvm)")
    elif shutil.which("llvm-symbolizer") is None:  # without it faults of native code cannot be told from each other
        missing.append("llvm-symbolizer (apt-get install llvm)")
    if shutil.which("gcov") is None:
        missing.append("gcov (apt-get install gcc)")
    missing += [
        f"{name} (pip install {package})"
        for name, package in (("atheris", "atheris"), ("coverage", "coverage"), ("Cython", "Cython"))
        if importlib.util.find_spec(name) is None
    ]
    return f"missing: {', '.join(missing)}; {HYPOTHESIS}" if missing else ""


def target_names(checkout: Path) -> tuple[str, ...]:
    """Name the targets of a checkout: a file each."""
    files = sorted((checkout / "fuzz" / "targets").glob("*.py"))
    return (*NATIVE, *(path.stem for path in files if path.stem != "__init__"))
