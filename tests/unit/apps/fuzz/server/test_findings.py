"""Findings are kept once, with their smallest input, and reported with a case."""

import io
import re
from pathlib import Path

import pytest
import typer
from rich.console import Console

from framewarden.apps.fuzz.server.campaign import Progress
from framewarden.apps.fuzz.server.comparing import KINDS
from framewarden.apps.fuzz.server.findings import Entry, Finding, Findings, Report, short
from framewarden.apps.fuzz.server.reporting import file_name
from framewarden.apps.fuzz.server.showing import live, show
from framewarden.apps.fuzz.server.strict import Verdict
from framewarden.apps.fuzz.server.trial import Trial
from framewarden.apps.fuzz.server_command import server_command

ROOT = Path(__file__).parents[5]


def trial(data=b"", rule="reserved-bits"):
    return Trial(Verdict("frames", data, rule, "close 1002"))


def test_one_of_each_pair_with_the_smallest_input():
    findings = Findings()
    findings.add("accepted", "accepted", trial(b"three"), 7)
    findings.add("accepted", "accepted", trial(b"one"), 9)
    findings.add("accepted", "accepted", trial(b"four!"), 3)
    findings.add("accepted", "accepted", trial(b"another", "close-code"), 4)
    findings.add("wrong code", "close 1009", trial(b"x"), 5)
    entries = dict(findings.sorted())
    assert [key[0] for key in entries] == ["accepted", "accepted", "wrong code"]
    entry = entries["accepted", "close 1002 [reserved-bits]", "accepted"]
    assert (entry.trial.verdict.data, entry.count, entry.number) == (b"one", 3, 3)
    assert findings.by_kind() == {"accepted": 2, "wrong code": 1}


def test_what_makes_no_difference_is_one_finding():
    findings = Findings()
    for answer in ("HTTP 101", "HTTP 101 with permessage-deflate"):
        findings.add("accepted", answer, trial(), 1)
    for answer in ("close 1000", "close 1005", "close 3456"):
        findings.add("wrong code", answer, trial(), 1)
    for code in (1000, 4000):
        closing = Trial(Verdict("frames", b"", "", f"close {code}", close=code))
        findings.add("refused", "close 1002", closing, 1)
    assert findings.by_kind() == {"accepted": 1, "refused": 1, "wrong code": 1}
    assert short("close 1002") == "close 1002"


def test_the_worst_kind_comes_first():
    findings = Findings()
    for kind in reversed(KINDS):
        findings.add(kind, "x", trial(), 1)
    assert [key[0] for key, _ in findings.sorted()] == list(KINDS)
    assert list(findings.by_kind()) == list(KINDS)


def test_the_first_that_is_known_to_be_the_one_is_kept():
    findings = Findings()
    doubtful, certain, later = (Entry(trial(bytes(size)), size) for size in (3, 2, 1))
    certain.confirmed = later.confirmed = True
    for entry in (doubtful, certain, later):
        findings.put("crash", "lives", "gone", entry)
    (((_, _, _), kept),) = findings.sorted()
    assert kept is certain
    assert kept.count == 3
    assert not kept.answer


def test_a_file_has_a_name_for_every_file_system():
    name = file_name(("wrong code", "close 1002 [length-high-bit]", "close 1009"))
    assert name == "wrong-code-close-1009-not-close-1002-length-high-bit"
    assert re.fullmatch(r"[a-z0-9-]+", file_name(("crash", "an honest client is served", "it refuses: ../..\n")))


def finding(kind="accepted", **more):
    return Finding(
        kind=kind, expected="close 1002 [close-code]", seen="accepted", count=12345, bytes=8, number=1, **more
    )


def shown(report):
    console = Console(width=200, record=True, file=io.StringIO())
    show(report, console)
    return console.export_text()


def report(findings=(), limits=(), skipped=None):
    return Report(
        "ws://127.0.0.1:1/", 5, "", True, 1000, 900, skipped or {}, 60.0, "the time was up", None, findings, limits
    )


def test_what_is_shown_of_findings():
    text = shown(report((finding(confirmed=True, file="out/a.json", command="framewarden fuzz reproduce out/a.json"),)))
    assert "close 1002 [close-code]" in text
    assert "12,345" in text
    assert "a.json" in text
    assert f"accepted: {KINDS['accepted']}." in text
    assert "framewarden fuzz reproduce out/a.json" in text
    assert "Nothing found" not in text


def test_what_is_shown_of_nothing():
    text = shown(report(limits=(finding("limit differs"),), skipped={"no connection": 3}))
    assert "Nothing found." in text
    assert "Not compared: 3 (no connection)." in text
    assert "Limits that are not ours" in text
    assert "not sent again" in text


def test_the_live_line():
    line = live(Progress("sending", 2.0, 3000, {"crash": 1, "accepted": 2}, 3 << 20), 60).plain
    assert line == "sending  2 of 60 s  3,000 sent  1,500 a second  grown 3.0 MiB  1 crash, 2 accepted"
    assert live(Progress("sending", 0.0, 0, {}, None), 60).plain.endswith("0 a second  nothing found")


@pytest.mark.skipif(not (ROOT / "docs").is_dir(), reason="the documents are not in the wheel")
def test_every_kind_and_every_option_is_documented_and_no_other():
    page = (ROOT / "docs" / "fuzz-server.md").read_text()
    tables = re.findall(r"^\| `([^`]+)` \|", page, re.MULTILINE)
    application = typer.Typer(add_completion=False)
    application.command()(server_command)
    options = {option for each in typer.main.get_command(application).params for option in each.opts}
    assert set(tables) == set(KINDS) | {option for option in options if option.startswith("--") and option != "--help"}
