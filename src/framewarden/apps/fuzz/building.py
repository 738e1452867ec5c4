"""Build what a campaign runs: extensions with sanitizers and feedback, C programs, and extensions that count lines.

Each kind of build has a copy of the tree in ``build/``, so that the extensions in place stay what they are. Only what
changed since the last time is compiled again.
"""

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from framewarden.apps.fuzz.checkout import NATIVE, FuzzError

__all__ = ["build_counting", "build_fuzzing", "environment", "run_quietly"]

COPIED = ("setup.py", "pyproject.toml", "README.md", "LICENSE", "src", "ext", "tests", "docs", "fuzz")
LEFT_OUT = shutil.ignore_patterns("*.so", "*.egg-info", "__pycache__", "corpus", "reports", "corpora", "conformance")
ALLOCATION_MIB = 256
"""What one allocation may ask for: what follows a declared length instead of the input runs into it."""
ASAN_OPTIONS = (
    f"detect_leaks=0:allocator_may_return_null=0:max_allocation_size_mb={ALLOCATION_MIB}:quarantine_size_mb=8"
)
SANITIZERS = "-fsanitize=fuzzer,address,undefined"


def copy_tree(checkout: Path, place: Path) -> None:
    """Copy the sources, with their times, so that a build sees what is new. What Cython wrote there stays."""
    for name in ("tests", "fuzz"):
        shutil.rmtree(place / name, ignore_errors=True)
    place.mkdir(parents=True, exist_ok=True)
    for name in COPIED:
        source = checkout / name
        if source.is_dir():
            shutil.copytree(source, place / name, ignore=_without_generated(checkout), dirs_exist_ok=True)
        else:
            shutil.copy2(source, place / name)


def _without_generated(checkout: Path) -> Callable[[str, list[str]], set[str]]:
    """What Cython wrote in the checkout was written for another build."""
    generated = checkout / "src"

    def ignore(folder: str, names: list[str]) -> set[str]:
        left_out = set(LEFT_OUT(folder, names))
        if Path(folder).is_relative_to(generated):
            left_out |= {name for name in names if name.endswith(".c")}
        return left_out

    return ignore


def run_quietly(command: list[str], where: Path, more: dict[str, str]) -> None:
    """Run a command that says something only if it fails.

    Raises:
        FuzzError: it failed; with the end of what it said.
    """
    done = subprocess.run(  # noqa: S603 - the command is ours
        command, cwd=where, env=os.environ | more, capture_output=True, text=True, check=False
    )
    if done.returncode != 0:
        said = " / ".join((done.stdout + done.stderr).strip().splitlines()[-8:])
        raise FuzzError(f"{' '.join(command[:4])} failed with {done.returncode}: {said}")


def build_fuzzing(checkout: Path) -> Path:
    """Build for fuzzing in ``build/fuzz``: extensions, C programs, and the library that hands libFuzzer a mutator."""
    place = checkout / "build" / "fuzz"
    copy_tree(checkout, place)
    run_quietly([sys.executable, "setup.py", "-q", "build_ext", "--inplace"], place, {"FRAMEWARDEN_BUILD_FUZZ": "1"})
    clang = ["clang", "-std=c11", "-g", "-O1", "-Wall", "-Wextra", "-Werror"]
    native = Path("fuzz/native")
    run_quietly([*clang, "-shared", "-fPIC", str(native / "mutator.c"), "-o", "mutator.so"], place, {})
    for name in NATIVE:
        sources = [str(native / f"{name.removesuffix('_c')}.c"), *_kernels(place)]
        includes = ["-Iext/kernels", "-Itests/kernels_c"]
        run_quietly([*clang, SANITIZERS, "-fno-sanitize-recover=all", *includes, *sources, "-o", name], place, {})
    return place


def _kernels(place: Path) -> list[str]:
    return sorted(str(path.relative_to(place)) for path in (place / "ext" / "kernels").glob("*.c"))


def build_counting(checkout: Path) -> Path:
    """Build with gcov's counters in ``build/gcov``."""
    place = checkout / "build" / "gcov"
    copy_tree(checkout, place)
    run_quietly([sys.executable, "setup.py", "-q", "build_ext", "--inplace"], place, {"FRAMEWARDEN_BUILD_GCOV": "1"})
    return place


def environment(place: Path, *, sanitized: bool) -> dict[str, str]:
    """Make the environment in which the targets of a tree run.

    A Python with a sanitized extension needs its runtime before everything else, and a malloc that the runtime sees.
    Python itself leaves much to the end of the process, so nobody looks for leaks there; tests/anomalies does.
    """
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("FRAMEWARDEN_", "LD_PRELOAD"))}
    clean |= {"PYTHONPATH": os.pathsep.join([str(place), str(place / "src")]), "PYTHONDONTWRITEBYTECODE": "1"}
    clean |= {"ASAN_OPTIONS": ASAN_OPTIONS, "UBSAN_OPTIONS": "print_stacktrace=1"}
    if sanitized:
        import atheris  # type: ignore[import-untyped]  # noqa: PLC0415 - an extra, and it costs a second

        runtime = Path(atheris.path()) / "asan_with_fuzzer.so"
        clean |= {
            "LD_PRELOAD": f"{runtime} {place / 'mutator.so'}",
            "PYTHONMALLOC": "malloc",
        }
    return clean
