"""What a probe says of a class, as a table and as JSON."""

import io

import pytest
from rich.console import Console

from framewarden.apps.cases import Case, Judgement, Outcome, Result, Verdict
from framewarden.apps.probe.command import chosen
from framewarden.apps.probe.pack import FlawClass
from framewarden.apps.probe.report import as_json, by_class
from framewarden.apps.probe.table import print_reports
from framewarden.errors import ArgumentError

ABOUT = FlawClass(id="b", title="A [class]", flaws=("CVE-2026-1", "CVE-2026-2"), does="nothing")
OTHER = FlawClass(id="other", title="Another", flaws=("CVE-2026-3",), does="nothing")


def result(id, verdict, seen, **fields):
    case = Case(id=id, flaw_class="b", comment="c", expect="accept")
    outcome = Outcome(answer=seen, **fields) if verdict is not Verdict.N_A else None
    exceeded = (Verdict.GREW,) if fields.get("grown") else ()
    return Result(case, Judgement(verdict, seen, exceeded), outcome)


STRICT = result("fine", Verdict.STRICT, "accepted", seconds=0.5)
NOTHING = result("client", Verdict.N_A, "it is about clients")
CLOSED = [result(f"case-{number}", Verdict.ACCEPTED, "close 1002, not accepted", grown=9) for number in range(5)]


@pytest.mark.parametrize(
    ("results", "verdict", "seen"),
    [
        ([], Verdict.N_A, "not played: the server was gone"),
        ([NOTHING, NOTHING], Verdict.N_A, "it is about clients"),
        ([STRICT], Verdict.STRICT, "all 1 cases"),
        ([STRICT, NOTHING, STRICT], Verdict.STRICT, "all 2 cases; 1 n/a"),
        ([STRICT, CLOSED[0]], Verdict.ACCEPTED, "case-0: close 1002, not accepted"),
        (
            CLOSED,
            Verdict.ACCEPTED,
            "; ".join([*(f"case-{number}: close 1002, not accepted" for number in range(3)), "and 2 more"]),
        ),
    ],
)
def test_a_class(results, verdict, seen):
    report, other = by_class([ABOUT, OTHER], results)
    assert (report.verdict, report.seen) == (verdict, seen)
    assert other.results == ()


def test_the_table():
    out = io.StringIO()
    reports = by_class([ABOUT, OTHER], [STRICT, NOTHING, *CLOSED])
    print_reports(Console(file=out, width=200), "ws://[::1]:1", reports, 1.25)
    text = out.getvalue()
    for words in ("A [class]", "CVE-2026-1, CVE-2026-2", "ACCEPTED", "and 2 more", "Another", "not played"):
        assert words in text
    assert text.splitlines()[-1] == "5 flaws in 7 cases against ws://[::1]:1: 1 n/a, 1 strict, 5 ACCEPTED; 1.2 s"


def test_json():
    told = as_json("ws://a", by_class([ABOUT], [NOTHING, CLOSED[0]]), 2.0)
    (about,) = told.pop("classes")
    assert told == {"uri": "ws://a", "seconds": 2.0}
    client, closed = about.pop("cases")
    assert about == {
        "id": "b",
        "title": "A [class]",
        "flaws": ("CVE-2026-1", "CVE-2026-2"),
        "verdict": "ACCEPTED",
        "seen": "case-0: close 1002, not accepted",
    }
    assert client == {"id": "client", "verdict": "n/a", "seen": "it is about clients", "expected": "accepted"}
    assert closed["exceeded"] == ["GREW"]
    assert (closed["answer"], closed["grown"], closed["ratio"], closed["end"]) == (closed["seen"], 9, None, "open")


def test_cases_are_chosen_by_id():
    cases = [STRICT.case, NOTHING.case]
    assert chosen(cases, []) == cases
    assert chosen(cases, ["client"]) == [NOTHING.case]
    with pytest.raises(ArgumentError, match="there is no case 'none'"):
        chosen(cases, ["none", "client"])
