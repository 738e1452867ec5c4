"""The comparison of servers is what was measured, and has every case of the pack."""

import re

import typer

from docs import flaws
from framewarden.apps.cases import Case, Verdict, parse_case
from framewarden.apps.cli import app
from framewarden.apps.probe.pack import flaw_cases, flaw_classes

SERVERS = {server.name: server for server in flaws.results()}
LABELS = {verdict.label for verdict in Verdict}


def test_the_page_is_made_of_the_results():
    assert flaws.PAGE.read_text() == flaws.page(flaws.results()), "run: make flaws"


def test_the_results_have_the_whole_pack():
    for server in SERVERS.values():
        assert set(server.classes) == {each.id for each in flaw_classes()}, "run: make flaws"
        assert set(server.cases) == {case.id for case in flaw_cases()}, "run: make flaws"
        verdicts = {word for words, _ in server.cases.values() for word in words.split()}
        assert set(server.classes.values()) | verdicts <= LABELS


def test_it_compares_us_with_the_others_by_version():
    assert SERVERS.keys() == {"framewarden", "websockets", "aiohttp", "node ws"}
    assert all(server.version[0].isdigit() for server in SERVERS.values())
    assert set(SERVERS["framewarden"].classes.values()) == {"strict", "n/a"}


def test_every_option_and_verdict_of_the_probe_is_documented_and_no_other():
    page = (flaws.HERE / "probe.md").read_text()
    parameters = typer.main.get_command(app).commands["probe"].params
    options = {option for each in parameters for option in each.opts if option.startswith("--")}
    assert set(re.findall(r"^\| `(--[a-z-]+)", page, re.MULTILINE)) == options
    table = page.partition("## Verdicts")[2].partition("## The pack")[0]
    assert set(re.findall(r"^\| (\S+) \| ", table, re.MULTILINE)) - {"verdict", "---"} == LABELS


def test_every_field_of_a_case_is_documented_and_no_other():
    page = (flaws.HERE / "probe.md").read_text()
    table = page.partition("### A case")[2].partition("### A new case")[0]
    named = {
        name for row in re.findall(r"^\| (`[^|]+`) \|", table, re.MULTILINE) for name in re.findall(r"`(\w+)`", row)
    }
    assert named == set(Case.__struct_fields__)


def test_the_case_of_the_page_is_one_of_the_pack():
    page = (flaws.HERE / "probe.md").read_text()
    (block,) = re.findall(r"^```json\n(.*?)^```", page, re.DOTALL | re.MULTILINE)
    case = parse_case(block.encode())
    assert case in flaw_cases()
