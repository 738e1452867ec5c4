"""What fuzz/README.md says of the targets and the options is so."""

import re

import typer

from framewarden.apps.cli import app
from framewarden.apps.fuzz.checkout import NATIVE, target_names
from fuzz.targets import NAMES
from tests.meta.imports import ROOT

PAGE = (ROOT / "fuzz" / "README.md").read_text()


def test_every_target_is_documented_and_no_other():
    table = PAGE.partition("## What each target promises")[2]
    assert re.findall(r"^\| `(\w+)` \|", table, re.MULTILINE) == sorted([*NAMES, *NATIVE])


def test_every_file_is_a_target():
    assert sorted(target_names(ROOT)) == sorted([*NAMES, *NATIVE])


def test_every_option_of_a_campaign_is_documented_and_no_other():
    commands = typer.main.get_command(app).commands["fuzz"].commands
    options = {option for each in commands["run"].params for option in each.opts if option.startswith("--")}
    table = PAGE.partition("## A campaign")[2].partition("\n1. ")[0]
    assert set(re.findall(r"`(--[a-z-]+)", table)) == options
    for name in ("run", "reproduce", "list", "pack"):
        assert f"framewarden fuzz {name}" in PAGE
