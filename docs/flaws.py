"""Probe servers, and write docs/flaws.json and docs/flaws.md from what was seen: `make flaws`.

The page is made of the JSON file alone; tests/meta checks that they agree, and that they have every case of the pack.
"""

import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import msgspec

from framewarden.apps.cases import Case, Result, Target, run
from framewarden.apps.probe.pack import flaw_cases, flaw_classes
from framewarden.apps.probe.report import by_class
from tests.e2e.probed import PEERS, probed

HERE = Path(__file__).parent
RESULTS = HERE / "flaws.json"
PAGE = HERE / "flaws.md"
WS = HERE.parent / "build" / "node" / "ws"
PATIENCE = 2.0

HEAD = """<!-- Written by docs/flaws.py (`make flaws`): change the code, not this page. -->
# Published flaws, and who has them

What `framewarden probe` ([how to use it](probe.md)) saw of VERSIONS: echo
servers on loopback, each used as its documents show it, with permessage-deflate on. FLAWS published flaws in CLASSES
classes, CASES cases.

A verdict does not say that a server has one of the published flaws; it says what this version does, by its defaults,
with input of their kind. *strict*: the right answer, with the right code. *safe*: refused in another way, or an answer
that harms as little. *dropped*: refused without a word. In capital letters: a flaw. *ACCEPTED*: hostile input was taken
(or honest input refused); *SLOW*, *GREW*: above the bound on time or memory; *HANG*, *CRASH*: what they say. *n/a*: a
probe cannot tell. Some defaults are meant to be changed, or left to a proxy: who takes every Origin expects its user to
name the right ones, who counts no connections expects somebody else to.

The verdict on a class is the worst of its cases, which stand below with the answers.

"""


class Server(msgspec.Struct, frozen=True):
    """One server, and what was seen: by class the verdict, by case verdict and answer."""

    name: str
    version: str
    classes: dict[str, str]
    cases: dict[str, tuple[str, str]]


def measure() -> Iterator[Server]:
    """Probe every server."""
    modules = ws_modules()
    cases = flaw_cases()
    for name in ("framewarden", *PEERS):
        begun = time.perf_counter()
        with probed(name, modules) as server:
            results = list(run(cases, Target.of(server.uri, pid=server.pid, patience=PATIENCE)))
        if len(results) < len(cases):
            sys.exit(f"{name} was gone after {results[-1].case.id}: {results[-1].judgement.seen}")
        reports = by_class(flaw_classes(), results)
        sys.stdout.write(f"{name} {server.version}: {time.perf_counter() - begun:.1f} s\n")
        yield Server(
            "node ws" if name == "ws" else name,
            server.version,
            {report.about.id: report.verdict.label for report in reports},
            {each.case.id: _told(each) for each in results},
        )


def _told(result: Result) -> tuple[str, str]:
    """Verdict, with the bounds that were exceeded beside it, and answer. Figures differ from run to run."""
    verdicts = dict.fromkeys([result.verdict, *result.judgement.exceeded])
    return " ".join(each.label for each in verdicts), result.outcome.answer if result.outcome else ""


def ws_modules() -> Path:
    """Where node's `ws` is, installed if need be; the tests have it in the same place."""
    if not (WS / "node_modules" / "ws").exists():
        WS.mkdir(parents=True, exist_ok=True)
        command = ["npm", "install", "--no-audit", "--no-fund", "--loglevel=error", "--prefix", str(WS), "ws"]
        subprocess.run(command, check=True)  # noqa: S603 - a fixed command
    return WS / "node_modules"


def page(servers: list[Server]) -> str:
    """docs/flaws.md."""
    cases, classes = flaw_cases(), flaw_classes()
    names = [f"{server.name} {server.version}" for server in servers]
    text = (
        HEAD.replace("VERSIONS", f"{', '.join(names[:-1])} and {names[-1]}")
        .replace("FLAWS", str(sum(len(each.flaws) for each in classes)))
        .replace("CLASSES", str(len(classes)))
        .replace("CASES", str(len(cases)))
    )
    rows = [
        [each.title, " ".join(each.flaws), *(_mark(server.classes[each.id]) for server in servers)] for each in classes
    ]
    parts = [text, _table(["class", "published", *(server.name for server in servers)], rows)]
    for each in classes:
        rows = [_case_row(case, servers) for case in cases if case.flaw_class == each.id]
        head = ["case", "what it is", "right answer", *(server.name for server in servers)]
        parts += [f"\n## {each.title}\n\nWhat is done: {each.does}.\n\n", _table(head, rows)]
    return "".join(parts)


def _case_row(case: Case, servers: list[Server]) -> list[str]:
    right = {"survive": "any"}.get(case.expect, case.right)
    if case.stage == "driver" or (case.role == "client" and case.stage == "handshake"):
        right = "refused" if case.expect == "reject" else "as it says"
    told = []
    for server in servers:
        verdict, answer = server.cases[case.id]
        told.append(_mark(verdict) if verdict in ("strict", "n/a") else f"{_mark(verdict)}: {answer}")
    return [f"`{case.id}`", case.comment, right, *told]


def _mark(verdict: str) -> str:
    return f"**{verdict}**" if verdict.isupper() else verdict


def _table(head: list[str], rows: list[list[str]]) -> str:
    lines = [head, ["---"] * len(head), *([cell.replace("|", "\\|") for cell in row] for row in rows)]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def results() -> list[Server]:
    """What docs/flaws.json says."""
    return msgspec.json.decode(RESULTS.read_bytes(), type=list[Server])


if __name__ == "__main__":
    RESULTS.write_bytes(msgspec.json.format(msgspec.json.encode(list(measure())), indent=1) + b"\n")
    PAGE.write_text(page(results()))
