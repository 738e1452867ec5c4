"""The project's own tables agree with each other and with what is on disk."""

import ast
import os
import re
import sys
import tomllib
from pathlib import Path

import pytest

from tests.meta.imports import PACKAGE, ROOT, python_imports

PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
FOLDERS = ("src", "tests", "benchmarks", "fuzz", "docs", "examples")
SCRIPTS = [ROOT / "setup.py", *(path for folder in FOLDERS for path in (ROOT / folder).rglob("*.py*"))]
SCRIPTS = sorted(path for path in SCRIPTS if path.suffix in (".py", ".pyi", ".pyx", ".pxd"))


def modules_of_setup() -> set[str]:
    tree = ast.parse((ROOT / "setup.py").read_text())
    table = next(n.value for n in tree.body if isinstance(n, ast.Assign) and n.targets[0].id == "MODULES")
    return {entry.elts[0].value for entry in table.elts}


def dotted(path: Path) -> str:
    return ".".join(path.relative_to(ROOT / "src").with_suffix("").parts)


def test_setup_lists_every_compiled_module():
    assert modules_of_setup() == {dotted(path) for path in PACKAGE.rglob("*.pyx")}


def test_every_stub_and_every_declaration_has_its_source():
    compiled = modules_of_setup()
    for path in [*PACKAGE.rglob("*.pyi"), *PACKAGE.rglob("*.pxd")]:
        assert dotted(path) in compiled, path


def test_no_compiled_module_outlives_its_source():
    for path in PACKAGE.rglob("*.so"):
        assert path.with_name(path.name.partition(".")[0] + ".pyx").exists(), f"{path}: remove it"


def test_the_typed_marker_ships():
    assert (PACKAGE / "py.typed").exists()
    assert {"*.pyi", "*.pxd", "py.typed"} <= set(PYPROJECT["tool"]["setuptools"]["package-data"]["*"])


def test_cython_is_pinned_the_same_everywhere():
    build = [each for each in PYPROJECT["build-system"]["requires"] if each.startswith("Cython")]
    group = [each for each in PYPROJECT["dependency-groups"]["build"] if each.startswith("Cython")]
    assert build == group
    assert re.fullmatch(r"Cython==\d+\.\d+\.\d+", build[0])


def test_picows_is_pinned_to_a_minor_version():
    assert any(re.fullmatch(r"picows==\d+\.\d+\.\*", each) for each in PYPROJECT["project"]["dependencies"])


def test_every_import_of_the_package_is_a_dependency():
    declared = {re.split(r"[<>=!~\[ ;]", each)[0].replace("-", "_") for each in PYPROJECT["project"]["dependencies"]}
    assert declared == {"aiofastnet", "msgspec", "picows", "rich", "typer", "uvloop", "zlib_ng"}


def test_every_import_of_the_tests_is_in_the_group_test():
    declared = {re.split(r"[<>=!~\[ ;]", each)[0] for each in PYPROJECT["dependency-groups"]["test"]}
    declared |= {re.split(r"[<>=!~\[ ;]", each)[0] for each in PYPROJECT["project"]["dependencies"]}
    declared = {each.replace("-", "_") for each in declared} | {"framewarden", "tests", "docs", "benchmarks", "fuzz"}
    for path in (ROOT / "tests").rglob("*.py"):
        found = {each.top for each in python_imports(path.read_text())}
        assert found - set(sys.stdlib_module_names) <= declared, path


def test_warnings_are_errors_and_xfail_is_strict():
    options = PYPROJECT["tool"]["pytest"]["ini_options"]
    assert options["filterwarnings"][0] == "error"
    assert options["xfail_strict"] is True
    assert {"--strict-markers", "--strict-config"} <= set(options["addopts"])


def test_mypy_is_strict():
    assert PYPROJECT["tool"]["mypy"]["strict"] is True


def test_every_ignored_lint_rule_has_a_reason():
    text = (ROOT / "pyproject.toml").read_text()
    block = text.partition("\nignore = [\n")[2].partition("\n]\n")[0].splitlines()
    for before, line in zip(["", *block], block, strict=False):
        if not line.lstrip().startswith("#"):
            assert before.lstrip().startswith("#") or before.endswith(","), line
    assert block[0].lstrip().startswith("#")


def test_the_command_exists():
    assert PYPROJECT["project"]["scripts"] == {"framewarden": "framewarden.apps.cli:main"}
    assert (PACKAGE / "apps" / "cli.py").exists()


@pytest.mark.parametrize("path", SCRIPTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_ignores_name_their_rule_and_reason(path: Path):
    for number, line in enumerate(path.read_text().splitlines(), 1):
        where = f"{path.name}:{number}: {line.strip()}"
        for comment in re.findall(r"#\s*type:\s*ignore.*", line):
            assert re.match(r"#\s*type:\s*ignore\[[\w, -]+\]", comment), where
        for comment in re.findall(r"#\s*noqa\b.*", line, re.IGNORECASE):
            assert re.match(r"#\s*noqa: [A-Z]+\d+(, ?[A-Z]+\d+)*\s+(-|#|:)?\s*\S.{8,}", comment), f"{where}: say why"


def test_no_path_of_somebodys_machine_is_committed():
    for path in [*SCRIPTS, *ROOT.glob("*.md"), *ROOT.glob("docs/*.md"), ROOT / "Makefile", ROOT / "pyproject.toml"]:
        found = re.search(r"(?<![\w.])/(home|root|work|Users)/[\w.-]+", path.read_text())
        assert found is None or path == Path(__file__), f"{path}: {found}"


def test_the_interpreter_is_one_that_pyproject_allows():
    assert PYPROJECT["project"]["requires-python"] == ">=3.11"
    assert sys.version_info >= (3, 11)


def test_ci_runs_every_stage_it_names():
    text = (ROOT / ".ci" / "run").read_text()
    assert os.access(ROOT / ".ci" / "run", os.X_OK)
    stages = re.search(r"^STAGES=\((.*)\)$", text, re.MULTILINE)[1].split()
    for stage in stages:
        assert re.search(rf"^{stage}\(\)", text, re.MULTILINE), stage
