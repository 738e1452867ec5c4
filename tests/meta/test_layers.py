"""The one direction of imports (docs/architecture.md), for Python, Cython and C."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.meta.imports import (
    LEAVES,
    PACKAGE,
    ROOMS,
    ROOT,
    Import,
    cython_imports,
    externs,
    includes,
    python_imports,
    room_of,
    target_room,
)

KERNELS = ROOT / "ext" / "kernels"

THIRD_PARTY = {
    **{leaf: {"msgspec"} for leaf in LEAVES},
    "": set(),
    "kernels": set(),
    # The negotiated parameters of permessage-deflate are a Struct, like the policy that they come from.
    "codec": {"zlib_ng", "msgspec"},
    "engine": {"msgspec"},
    "admission": {"msgspec"},
    "session": {"msgspec"},
    "transports": {"picows", "uvloop", "aiofastnet"},
    # msgspec for the types of messages; websockets is the demo's client, which must not be of our own making; atheris
    # and coverage are asked by a campaign that finds them.
    "apps": {"typer", "rich", "msgspec", "uvloop", "websockets", "atheris", "coverage"},
    "testing": {"hypothesis", "msgspec"},
}

# Whoever tests with the strategies loads no event loop, and may embed the engine alone.
TESTING_IMPORTS = {"testing", "engine", "codec", "kernels", *LEAVES}

# No clock, no randomness, no I/O: time and keys come in as arguments. (The Inspector names `time.time` and `os.urandom`
# as the defaults of those arguments.)
IMPURE = {
    "asyncio",
    "logging",
    "multiprocessing",
    "random",
    "secrets",
    "select",
    "socket",
    "ssl",
    "subprocess",
    "threading",
}
FORBIDDEN_STDLIB = {"kernels": IMPURE | {"time"}, "codec": IMPURE | {"time", "os"}, "engine": IMPURE}

# What a .c of the kernels may include: no allocation, no I/O, no Python.h.
C_HEADERS = {"<stddef.h>", "<stdint.h>", "<stdbool.h>", "<string.h>", "<limits.h>", "<immintrin.h>", "<arm_neon.h>"}
C_HEADERS |= {"<emmintrin.h>", "<smmintrin.h>", "<nmmintrin.h>", "<tmmintrin.h>", "<stdalign.h>", "<cpuid.h>"}

PYTHON = sorted([*PACKAGE.rglob("*.py"), *PACKAGE.rglob("*.pyi")])
CYTHON = sorted([*PACKAGE.rglob("*.pyx"), *PACKAGE.rglob("*.pxd")])


def complaints(room: str, found: list[Import]) -> list[str]:
    """What of the imports of a file in this room is not allowed."""
    return [f"line {each.line}: {each.module}: {why}" for each in found if (why := _why_not(room, each))]


def _why_not(room: str, found: Import) -> str:
    if found.module.startswith("."):
        return "relative"
    if found.top == "framewarden":
        return _why_not_ours(room, target_room(found.module))
    if found.cimport:
        return "" if found.top in ("cython", "cpython", "libc") else "the struct layouts of others drift"
    if found.top in FORBIDDEN_STDLIB.get(room, ()):
        return f"{room} has no clock, randomness or I/O"
    if found.top in sys.stdlib_module_names or found.top == "cython" or found.top in THIRD_PARTY[room]:
        return ""
    return f"third-party, not allowed in {room or 'the front door'}"


def _why_not_ours(room: str, target: str) -> str:
    if room == "" or target in LEAVES or target == room:
        return ""
    if target == "":
        return "" if room == "apps" else "the front door is for users"
    if room == "testing":
        return "" if target in TESTING_IMPORTS else f"testing needs no {target}"
    if room in LEAVES:
        return "a leaf imports leaves only"
    return "" if ROOMS.index(target) > ROOMS.index(room) else f"{target} stands above {room}"


def test_import_linter_keeps_the_contracts_of_pyproject():
    program = "from importlinter.cli import lint_imports; raise SystemExit(lint_imports(no_cache=True))"
    result = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stdout + result.stderr


@pytest.mark.parametrize("path", PYTHON, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_python_imports(path: Path):
    found = list(python_imports(path.read_text()))
    if path.suffix == ".pyi":  # only type checkers read it, and they bring typing_extensions along
        found = [each for each in found if each.top != "typing_extensions"]
    assert complaints(room_of(path), found) == []


@pytest.mark.parametrize("path", CYTHON, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_cython_imports(path: Path):
    assert complaints(room_of(path), list(cython_imports(path.read_text()))) == []


@pytest.mark.parametrize("path", CYTHON, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_only_the_room_kernels_declares_the_c_kernels(path: Path):
    ours = [header for header in externs(path.read_text()) if (KERNELS / Path(header).name).exists()]
    assert ours == [] or room_of(path) == "kernels"


@pytest.mark.parametrize("path", sorted([*KERNELS.glob("*.[ch]")]), ids=lambda path: path.name)
def test_c_includes(path: Path):
    for header in includes(path.read_text()):
        assert header in C_HEADERS or (header[0] == '"' and (KERNELS / header.strip('"')).exists()), header


@pytest.mark.parametrize("path", sorted((ROOT / "ext" / "loadgen").glob("*.[ch]")), ids=lambda path: path.name)
def test_the_load_generator_knows_neither_python_nor_the_kernels(path: Path):
    for header in includes(path.read_text()):
        assert header != "<Python.h>"
        assert header[0] != '"' or (path.parent / header.strip('"')).exists(), header


@pytest.mark.parametrize("path", [*PYTHON, *CYTHON], ids=lambda path: str(path.relative_to(PACKAGE)))
def test_nothing_of_ours_imports_the_room_testing(path: Path):
    """Nor Hypothesis: a server runs without it."""
    found = (python_imports if path.suffix in (".py", ".pyi") else cython_imports)(path.read_text())
    asked = {each.module for each in found if each.top == "hypothesis" or target_room(each.module) == "testing"}
    assert asked == set() or room_of(path) == "testing"


def test_every_room_is_known():
    rooms = {path.name for path in PACKAGE.iterdir() if path.is_dir() and any(path.glob("*.py*"))} - {"__pycache__"}
    assert rooms <= set(ROOMS)
    modules = {path.stem for path in PACKAGE.glob("*.py")} - {"__init__", "__main__"}
    assert modules == set(LEAVES)


@pytest.mark.parametrize(
    ("room", "line", "allowed"),
    [
        ("codec", "from framewarden.kernels cimport _kernels", True),
        ("codec", "from framewarden.kernels._kernels cimport (\n    fw_utf8,\n    active_kernels,\n)", True),
        ("codec", "from framewarden import errors", True),
        ("codec", "from libc.stdint cimport uint8_t", True),
        ("codec", '"""Users write::\n\n    from framewarden.engine import Inspector\n"""', True),
        ("codec", "# import asyncio", True),
        ("codec", "from framewarden.engine._events cimport Message", False),
        ("codec", "    from framewarden.engine import Inspector", False),
        ("codec", "cimport framewarden.engine._events as events", False),
        ("codec", "from framewarden import Inspector", False),
        ("codec", "import framewarden", False),
        ("codec", "from picows.picows cimport WSFrame", False),
        ("codec", "import time", False),
        ("engine", "import os, random", False),
        ("kernels", "import msgspec", False),
        ("kernels", "from framewarden.codec import Frame", False),
        ("errors", "from framewarden.codec import Frame", False),
        ("transports", "from framewarden.engine import Inspector", True),
        ("transports", "from .engine import Inspector", False),
        ("apps", "from framewarden import serve", True),
        ("apps", "from framewarden.testing import frame", False),
        ("apps", "import hypothesis", False),
        ("testing", "from hypothesis import strategies", True),
        ("testing", "from framewarden.engine import Inspector", True),
        ("testing", "from framewarden.session import Session", False),
        ("testing", "from framewarden import Inspector", False),
    ],
)
def test_the_checker_sees(room: str, line: str, allowed: bool):
    assert (complaints(room, list(cython_imports(f"x = 1\n{line}\n"))) == []) is allowed


def test_the_checker_sees_c():
    assert includes('/* #include <stdio.h> */\n#include <Python.h>\n # include "words.h"\n') == [
        "<Python.h>",
        '"words.h"',
    ]
    assert externs('cdef extern from "fw_kernels.h" nogil:\n    pass\n# cdef extern from "x.h":\n') == ["fw_kernels.h"]
