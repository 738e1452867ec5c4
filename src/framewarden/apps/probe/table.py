"""Print a probe: a row a class."""

from collections import Counter
from collections.abc import Sequence

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from framewarden.apps.cases import Verdict
from framewarden.apps.probe.report import ClassReport

__all__ = ["print_reports"]

STYLES = {
    Verdict.N_A: "dim",
    Verdict.STRICT: "green",
    Verdict.SAFE: "green",
    Verdict.DROPPED: "yellow",
}


def print_reports(console: Console, uri: str, reports: Sequence[ClassReport], seconds: float) -> None:
    """The table, and what it comes to."""
    table = Table("class", "published", "verdict", "what was seen")
    for report in reports:
        style = STYLES.get(report.verdict, "bold red")
        table.add_row(
            escape(report.about.title),
            ", ".join(report.about.flaws),
            f"[{style}]{report.verdict.label}[/{style}]",
            escape(report.seen),
        )
    console.print(table)
    results = [result for report in reports for result in report.results]
    flaws = sum(result.verdict.flaw for result in results)
    counted = Counter(result.verdict.label for result in results)
    told = ", ".join(f"{counted[each.label]} {each.label}" for each in Verdict if counted[each.label])
    console.print(
        f"[bold]{flaws} flaws[/bold] in {len(results)} cases against {escape(uri)}: {told}; {seconds:.1f} s",
        highlight=False,
    )
