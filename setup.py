"""The compiled modules, and the switches they can be built with. Everything else stands in pyproject.toml.

In place, quickly (only what changed is translated and compiled again):

    python setup.py build_ext --inplace

Switches, each an environment variable that is set to 1. A build with other switches than the last one in this tree
starts from nothing; all that use one therefore build in a copy of the tree.

    FRAMEWARDEN_BUILD_DEBUG     -O0 -g3, C assertions, and the checks of Cython (bounds, None, unset references),
                                whatever the heads of the .pyx files say
    FRAMEWARDEN_BUILD_TRACE     the same checks, and line tracing for coverage; the .c must stay beside the .pyx
    FRAMEWARDEN_BUILD_SANITIZE  AddressSanitizer and UndefinedBehaviorSanitizer; Python must then be started with
                                libasan preloaded (`make sanitize` does)
    FRAMEWARDEN_BUILD_FUZZ      by clang, with the same sanitizers and with feedback for libFuzzer; Python must then be
                                started with atheris' runtime preloaded (`framewarden fuzz run` does)
    FRAMEWARDEN_BUILD_GCOV      -O0, and gcov's counters: which lines were reached, also without the GIL
                                (`framewarden fuzz run` reads them)
    FRAMEWARDEN_BUILD_WERROR    a warning of the C compiler, and a warning or performance hint of Cython, is an error

    FRAMEWARDEN_BUILD_ONLY      not a switch but words, for developers: only modules whose name contains one of them
"""

import contextlib
import io
import os
import sys
from pathlib import Path

from Cython.Build import cythonize
from Cython.Compiler.Errors import CompileError
from Cython.Compiler.ParseTreeTransforms import InterpretCompilerDirectives
from setuptools import Extension, setup

KERNELS = sorted(str(source) for source in Path("ext/kernels").glob("*.c"))
LOADGEN = sorted(str(source) for source in Path("ext/loadgen").glob("*.c"))

# The one place to add a compiled module: (module, C sources beside its .pyx).
MODULES = [
    ("framewarden.kernels._kernels", KERNELS),
    ("framewarden.codec._head", []),
    ("framewarden.codec._payload", []),
    ("framewarden.codec._deflate", []),
    ("framewarden.codec._messages", []),
    ("framewarden.codec._writer", []),
    ("framewarden.engine._events", []),
    ("framewarden.engine._scan", []),
    ("framewarden.engine._inspector", []),
    ("framewarden.session._session", []),
    ("framewarden.transports._connection", []),
    ("framewarden.apps.bench._loadgen", LOADGEN),
]

SWITCHES = ["DEBUG", "TRACE", "SANITIZE", "FUZZ", "GCOV", "WERROR"]
ON = [name for name in SWITCHES if os.environ.get(f"FRAMEWARDEN_BUILD_{name}", "0") not in ("", "0")]
ONLY = os.environ.get("FRAMEWARDEN_BUILD_ONLY", "").split()
JOBS = min(2, os.cpu_count() or 1)

# No -march: the wheel must run on every machine of its kind. The kernels choose by CPU when they are loaded.
# -Wno-array-bounds: Cython's comparison of any object with None, once inlined, shows gcc None's size and the fields of
# int, float and bytes in branches that None never takes. The C tests of the kernels compile with every warning.
CFLAGS = ["-std=c11", "-O3", "-fvisibility=hidden", "-Wno-array-bounds"]
LDFLAGS: list[str] = []
MACROS: list[tuple[str, str | None]] = []
UNDEFINED: list[str] = []
CHECKS: dict[str, bool] = {}

if "DEBUG" in ON or "TRACE" in ON:
    CFLAGS += ["-O0", "-g3"]
    UNDEFINED += ["NDEBUG"]
    # Not overflowcheck: with it Cython fails on `cdef enum: SIZE = 64 * 1024`; UBSan sees the same.
    CHECKS = {
        "boundscheck": True,
        "initializedcheck": True,
        "nonecheck": True,
        "wraparound": False,  # a negative index is a mistake here, not a way to count from the end: let it be found
    }
if "TRACE" in ON:
    CHECKS["linetrace"] = True
    # sys.monitoring (Python 3.13) does not carry the tracing that the coverage plugin needs.
    MACROS += [("CYTHON_TRACE", "1"), ("CYTHON_TRACE_NOGIL", "1"), ("CYTHON_USE_SYS_MONITORING", "0")]
if "SANITIZE" in ON:
    CFLAGS += ["-O1", "-g", "-fno-omit-frame-pointer", "-fsanitize=address,undefined", "-fno-sanitize-recover=all"]
    LDFLAGS += ["-fsanitize=address,undefined"]
if "FUZZ" in ON:
    os.environ["CC"] = os.environ.get("CC", "clang")
    os.environ["LDSHARED"] = f"{os.environ['CC']} -shared"
    CFLAGS += ["-O1", "-g", "-fno-omit-frame-pointer", "-fsanitize=fuzzer-no-link,address,undefined"]
    CFLAGS += ["-fno-sanitize-recover=undefined", "-fsanitize-ignorelist=fuzz/native/not_ours.txt"]
if "GCOV" in ON:
    CFLAGS += ["-O0", "--coverage", "-fprofile-abs-path"]
    LDFLAGS += ["--coverage"]
if "WERROR" in ON:
    # What the two -Wno say is true of every file that Cython writes.
    CFLAGS += ["-Wall", "-Wextra", "-Werror", "-Wno-unused-parameter", "-Wno-missing-field-initializers"]


def extensions() -> list[Extension]:
    """The modules of the table."""
    wanted = [entry for entry in MODULES if not ONLY or any(word in entry[0] for word in ONLY)]
    return [
        Extension(
            module,
            [f"src/{module.replace('.', '/')}.pyx", *sources],
            include_dirs=["ext/kernels", "ext/loadgen"],
            depends=[str(header) for header in sorted(Path("ext").glob("*/*.h"))],
            define_macros=MACROS,
            undef_macros=UNDEFINED,
            extra_compile_args=CFLAGS,
            extra_link_args=LDFLAGS,
        )
        for module, sources in wanted
    ]


def switches_changed() -> bool:
    """Whether the last build in this tree was made with other switches; what the present ones mean is noted."""
    note = Path("build/switches")
    before = note.read_text() if note.exists() else ""
    now = repr((ON, CFLAGS, CHECKS)) if ON else ""
    if before != now:
        note.parent.mkdir(exist_ok=True)
        note.write_text(now)
    return before != now


def let_checks_win() -> None:
    """Take the directives that a switch sets out of the heads of the .pyx files, which would win otherwise."""
    visit = InterpretCompilerDirectives.visit_ModuleNode

    def visit_without_head(self, node):  # noqa: ANN001, ANN202 - a method of Cython's, which has no annotations
        for name in CHECKS:
            node.directive_comments.pop(name, None)
        return visit(self, node)

    InterpretCompilerDirectives.visit_ModuleNode = visit_without_head


def translate(force: bool) -> list[Extension]:
    """Write the .c files: beside the .pyx, because the coverage plugin looks for them there."""
    strict = "WERROR" in ON
    if CHECKS:
        let_checks_win()
    said = io.StringIO()
    try:
        # Hints have no switch that makes them errors: their text is read, which takes one process.
        with contextlib.redirect_stderr(said) if strict else contextlib.nullcontext():
            result = cythonize(
                extensions(),
                include_path=["src"],
                compiler_directives=CHECKS,
                force=force or strict,
                nthreads=0 if strict else JOBS,
            )
    except CompileError as error:
        sys.exit(f"{said.getvalue()}setup.py: Cython found errors in {error.args[1] if error.args[1:] else error}")
    sys.stderr.write(said.getvalue())
    if "warning:" in said.getvalue() or "performance hint:" in said.getvalue():
        sys.exit("setup.py: FRAMEWARDEN_BUILD_WERROR is set, and Cython warned or gave a performance hint, see above")
    return result


force = switches_changed()
setup(
    ext_modules=translate(force),
    options={"build_ext": {"parallel": JOBS, "force": force}},
)
