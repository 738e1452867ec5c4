"""The report of a campaign, in Markdown and in JSON."""

import platform
import time
from collections.abc import Iterable
from pathlib import Path

import msgspec

from framewarden import __version__
from framewarden.apps.fuzz.campaign import Campaign
from framewarden.apps.fuzz.coverage import FileCoverage, native_share
from framewarden.apps.fuzz.findings import REGRESSIONS, Finding

__all__ = ["Report", "TargetReport", "make_report", "write_report"]

MOST_LINES = 40
"""Missed lines that the Markdown names of a file; the JSON has all."""


class TargetReport(msgspec.Struct, frozen=True):
    """What one target did.

    Attributes:
        target: its name.
        seconds: that it was fuzzed.
        executions: inputs that were run.
        edges: with a counter that were reached.
        inputs: of its corpus, at the end, that reach something of their own.
        crashes: inputs that broke something.
        findings: faults.
    """

    target: str
    seconds: float
    executions: int
    edges: int
    inputs: int
    crashes: int
    findings: int


class Report(msgspec.Struct, frozen=True):
    """A campaign.

    Attributes:
        version: of framewarden.
        machine: processor and system.
        date: when it ended, in UTC.
        seconds: of all targets together.
        interrupted: whether it was stopped before its time.
        targets: one by one.
        coverage: file by file; None: it was not measured.
        findings: one a fault.
    """

    version: str
    machine: str
    date: str
    seconds: float
    interrupted: bool
    targets: list[TargetReport]
    coverage: list[FileCoverage] | None
    findings: list[Finding]


def make_report(campaign: Campaign, coverage: list[FileCoverage] | None) -> Report:
    """Sum a campaign up."""
    targets = [
        TargetReport(
            standing.target,
            round(standing.spent, 1),
            standing.executions,
            standing.edges,
            standing.inputs,
            standing.crashes,
            standing.findings,
        )
        for standing in campaign.standings
    ]
    return Report(
        version=__version__,
        machine=f"{platform.machine()}, {platform.system()}, Python {platform.python_version()}",
        date=time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime()),
        seconds=round(sum(target.seconds for target in targets), 1),
        interrupted=campaign.interrupted,
        targets=targets,
        coverage=coverage,
        findings=campaign.findings.all,
    )


def write_report(report: Report, folder: Path) -> Path:
    """Write ``report.json`` and ``report.md``; the path of the latter."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "report.json").write_bytes(msgspec.json.format(msgspec.json.encode(report), indent=1) + b"\n")
    page = folder / "report.md"
    page.write_text("\n".join(_markdown(report)) + "\n")
    return page


def _markdown(report: Report) -> Iterable[str]:
    stopped = " It was interrupted." if report.interrupted else ""
    yield "# Fuzz campaign"
    yield ""
    yield f"framewarden {report.version}, {report.machine}, {report.date}."
    yield f"{report.seconds / 60:.1f} minutes of all targets together.{stopped}"
    yield ""
    yield "| target | seconds | executions | a second | edges | inputs | inputs that broke something | findings |"
    yield "|---|---|---|---|---|---|---|---|"
    for each in report.targets:
        rate = each.executions / max(each.seconds, 0.001)
        yield (
            f"| `{each.target}` | {each.seconds:.0f} | {each.executions:,} | {rate:,.0f} | {each.edges:,} |"
            f" {each.inputs:,} | {each.crashes} | {each.findings} |"
        )
    yield from _coverage(report.coverage)
    yield from _findings(report.findings)


def _coverage(files: list[FileCoverage] | None) -> Iterable[str]:
    if files is None:
        return
    yield ""
    yield "## Lines that the corpora reach"
    yield ""
    yield f"Of the native code: {native_share(files):.1%}."
    yield ""
    yield "| file | lines | reached | missed |"
    yield "|---|---|---|---|"
    for file in files:
        missed = ", ".join(map(str, file.missed[:MOST_LINES]))
        more = f" and {len(file.missed) - MOST_LINES} more" if len(file.missed) > MOST_LINES else ""
        yield f"| `{file.file}` | {file.lines} | {file.share:.1%} | {missed}{more} |"


def _findings(findings: list[Finding]) -> Iterable[str]:
    yield ""
    yield "## Findings"
    if not findings:
        yield ""
        yield "None."
    for finding in findings:
        yield ""
        yield f"### {finding.target}: {finding.kind}"
        yield ""
        yield f"`{finding.summary}`"
        yield ""
        yield from (f"    {place}" for place in finding.stack)
        yield ""
        alone = "" if finding.alone else " The input alone does not show it: it took what had been run before."
        yield f"{len(finding.data)} bytes.{alone} Again: `framewarden fuzz reproduce {REGRESSIONS / finding.name}`"
