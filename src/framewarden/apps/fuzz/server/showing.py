"""What a person sees of a campaign: a live line while it runs, and a table of what it found."""

from pathlib import Path

from rich.console import Console
from rich.table import Column, Table
from rich.text import Text

from framewarden.apps.fuzz.server.campaign import Progress
from framewarden.apps.fuzz.server.comparing import KINDS
from framewarden.apps.fuzz.server.findings import Finding, Report

__all__ = ["live", "show"]

MIB = 1024 * 1024


def live(progress: Progress, seconds: float) -> Text:
    """One line: where the campaign stands, of so many seconds."""
    found = ", ".join(f"{count} {kind}" for kind, count in progress.kinds.items()) or "nothing found"
    grown = "" if progress.grown is None else f"  grown {progress.grown / MIB:.1f} MiB"
    return Text(
        f"{progress.doing}  {progress.seconds:.0f} of {seconds:.0f} s  {progress.trials:,} sent"
        f"  {progress.rate:,.0f} a second{grown}  {found}"
    )


def show(report: Report, console: Console) -> None:
    """The findings, the limits that differ, and what was not compared."""
    console.print(
        f"{report.trials:,} streams and requests in {report.seconds:.0f} s, seed {report.seed}, permessage-deflate "
        f"{'agreed upon' if report.deflate else 'not agreed upon'}; {report.ended}."
    )
    for reason, count in report.not_compared.items():
        console.print(f"Not compared: {count:,} ({reason}).")
    if report.findings:
        console.print(_table(report.findings))
        for kind, text in KINDS.items():
            if any(each.kind == kind for each in report.findings):
                console.print(Text(f"{kind}: {text}."))
        console.print("One of them again, by its case (the report has each command):")
        console.print(Text(f"  {next((each.command for each in report.findings if each.command), 'none has a case')}"))
    else:
        console.print("Nothing found.")
    if report.limits:
        console.print("Limits that are not ours; nothing is wrong with that by itself:")
        console.print(_table(report.limits))


def _table(findings: tuple[Finding, ...]) -> Table:
    table = Table("kind", "expected", "seen", "times", "bytes", Column("case", overflow="fold"), "note")
    for each in findings:
        note = each.detail or ("" if each.confirmed else "not sent again")
        case = "" if each.file is None else Path(each.file).name
        row = (each.kind, each.expected, each.seen, f"{each.count:,}", f"{each.bytes:,}", case, note)
        table.add_row(*map(Text, row))
    return table
