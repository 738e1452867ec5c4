"""What the documents say is so."""

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest
import typer

from docs import tables
from framewarden.apps.cli import app
from framewarden.policy import Access, Deflate, Limits, Policy, Schema
from framewarden.policy_file import parse_policy
from framewarden.rules import RULES
from framewarden.session import Handler
from tests.meta.imports import PACKAGE, ROOMS, ROOT

MADE = {"build", "dist", ".venv"}  # copies of this tree stand there
DOCUMENTS = sorted(
    path
    for pattern in ("*.md", "docs/*.md", "*/README.md", "*/*/README.md")
    for path in ROOT.glob(pattern)
    if not MADE.intersection(path.relative_to(ROOT).parts)
)


@pytest.mark.parametrize("page", tables.PAGES)
def test_written_pages_are_up_to_date(page: str):
    assert (ROOT / "docs" / page).read_text() == tables.PAGES[page](), "run: make docs"


@pytest.mark.parametrize("rule", RULES)
def test_every_rule_is_documented(rule: str):
    assert f"| `{rule}` |" in (ROOT / "docs" / "rules.md").read_text()


@pytest.mark.parametrize("struct", [Policy, Limits, Deflate, Schema, Access], ids=lambda struct: struct.__name__)
def test_every_field_of_the_policy_is_documented(struct: type[msgspec.Struct]):
    page = (ROOT / "docs" / "policy.md").read_text()
    section = page.partition(f"\n## {struct.__name__}\n")[2].partition("\n## ")[0]
    assert re.findall(r"^\| `(\w+)` \|", section, re.MULTILINE) == list(struct.__struct_fields__)
    assert tables.attributes(struct).keys() == set(struct.__struct_fields__)


def test_every_rule_that_a_field_names_is_registered():
    page = (ROOT / "docs" / "policy.md").read_text()
    last_cells = [line.rpartition(" | ")[2] for line in page.splitlines() if line.startswith("| `")]
    named = re.findall(r"`([a-z0-9-]+)`", "\n".join(last_cells))
    assert "frame-too-big" in named
    assert set(named) <= set(RULES)


def test_every_numeric_field_has_a_unit():
    for struct in (Limits, Deflate):
        for field in msgspec.structs.fields(struct):
            if type(field.default) in (int, float) and field.name != "level":
                assert tables.unit(field.name, field.default), field.name


def test_the_architecture_page_has_every_room():
    text = (ROOT / "docs" / "architecture.md").read_text()
    for room in ROOMS:
        assert ((PACKAGE / room / "__init__.py").exists()) == (f"`{room}/`" in text), room


def test_every_option_of_serve_is_documented_and_no_other():
    page = (ROOT / "docs" / "operations.md").read_text()
    parameters = typer.main.get_command(app).commands["serve"].params
    options = {option for each in parameters for option in each.opts if option.startswith("--")}
    table = page.partition("## The command line")[2].partition("## Signals")[0]
    assert set(re.findall(r"`(--[a-z-]+)", table)) == options
    assert set(re.findall(r"--[a-z][a-z-]+", page)) <= options


def test_the_picture_of_the_rooms_is_the_contract():
    picture = next(
        line for line in (ROOT / "docs" / "architecture.md").read_text().splitlines() if line.startswith("ext/")
    )
    built = [room for room in reversed(ROOMS) if (PACKAGE / room / "__init__.py").exists()]
    assert picture.split(" ─> ") == ["ext/kernels", *built]


# --- Links and commands ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_links_lead_somewhere(document: Path):
    for target in re.findall(r"\]\(([^)#\s]+)(?:#[^)]*)?\)", document.read_text()):
        assert target.startswith(("https://", "mailto:")) or (document.parent / target).exists(), target


def commands(text: str) -> list[str]:
    """The commands of ```console blocks: the lines after a prompt, or every line where there is no prompt."""
    lines = []
    for block in re.findall(r"^```console\n(.*?)^```", text, re.DOTALL | re.MULTILINE):
        every = block.splitlines()
        prompted = [line[2:] for line in every if line.startswith("$ ")]
        lines += prompted or [line for line in every if line.strip() and not line.startswith("#")]
    return lines


def runnable(text: str) -> list[str]:
    """The commands of the ```console blocks that a line `<!-- runnable -->` stands before."""
    blocks = re.findall(r"<!-- runnable -->\n\n?(```console\n.*?^```)", text, re.DOTALL | re.MULTILINE)
    return commands("\n".join(blocks))


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_make_targets_exist(document: Path):
    text = document.read_text()
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    for line in commands(text):
        words = shlex.split(line, comments=True)
        if words[:1] == ["make"]:
            assert {word for word in words[1:] if "=" not in word and word[0] != "-"} <= targets, line
    for target in re.findall(r"`make ([a-z-]+)", text):
        assert target in targets, target


RUNNABLE = [(path.name, line) for path in DOCUMENTS for line in runnable(path.read_text())]


@pytest.mark.parametrize(("document", "line"), RUNNABLE)
def test_runnable_commands_run(document: str, line: str):
    assert line.startswith(("framewarden ", "python ")), "only commands of ours are run"
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}"
    result = subprocess.run(
        ["sh", "-c", line],
        cwd=ROOT,
        env={**os.environ, "PATH": path},
        capture_output=True,
        text=True,
        timeout=20,
        check=False,
    )
    assert result.returncode == 0, result.stdout + result.stderr


def python_blocks(document: str) -> list[str]:
    return re.findall(r"^```python\n(.*?)^```", (ROOT / document).read_text(), re.DOTALL | re.MULTILINE)


def test_the_engine_of_the_readme_does_what_the_readme_says(capsys: pytest.CaptureFixture[str]):
    code = python_blocks("README.md")[0]
    exec(compile(code, "README.md", "exec"), {"__name__": "readme"})  # noqa: S102 - it is our own text
    said = re.search(r"print\(inspector\.violation\)\n# (.*)", code)
    assert said is not None
    assert capsys.readouterr().out.splitlines()[0] == said[1]


def test_the_server_of_the_readme_is_one(monkeypatch: pytest.MonkeyPatch):
    served = {}
    monkeypatch.setattr("framewarden.transports.serve", lambda *what, **how: served.update(how, what=what))
    exec(compile(python_blocks("README.md")[1], "README.md", "exec"), {"__name__": "readme"})  # noqa: S102 - as above
    handler, policy = served["what"]
    assert issubclass(handler, Handler)
    assert policy == Policy()
    assert served["host"] == "127.0.0.1"


POLICIES = [
    (path.name, block)
    for path in DOCUMENTS
    for block in re.findall(r"^```toml\n(.*?)^```", path.read_text(), re.DOTALL | re.MULTILINE)
]


@pytest.mark.parametrize(("document", "block"), POLICIES)
def test_policies_in_documents_can_be_loaded(document: str, block: str):
    assert parse_policy(block.encode(), document) != Policy()


def test_the_readme_counts_the_rules():
    assert f"one of [{len(RULES)} rules]" in (ROOT / "README.md").read_text()


def test_the_extraction_of_commands():
    text = "```console\n$ make test\n12 passed\n```\n<!-- runnable -->\n```console\nframewarden --help\n```\n"
    assert commands(text) == ["make test", "framewarden --help"]
    assert runnable(text) == ["framewarden --help"]
