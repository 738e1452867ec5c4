"""What one sees of a campaign while it runs: a table in a terminal, lines elsewhere."""

import time
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.live import Live
from rich.table import Table

from framewarden.apps.fuzz.campaign import Campaign, Standing

__all__ = ["Progress"]

SECONDS_A_LINE = 30.0


class Progress:
    """Shows a campaign; a context manager that is called with the campaign a few times a second.

    Args:
        console: where.
    """

    def __init__(self, console: Console) -> None:
        self.console = console
        self._live = Live(console=console, refresh_per_second=4, transient=True) if console.is_terminal else None
        self._told = time.monotonic()
        self._begun: set[str] = set()

    def __enter__(self) -> Self:
        """Begin."""
        if self._live is not None:
            self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Clear what is shown."""
        if self._live is not None:
            self._live.stop()

    def __call__(self, campaign: Campaign) -> None:
        """Show how it stands now."""
        if self._live is not None:
            self._live.update(standings(campaign))
            return
        for standing in campaign.standings:
            if standing.processes and standing.target not in self._begun:
                self._begun.add(standing.target)
                self.console.print(f"{standing.target}: begins, for {standing.seconds:.0f} s", highlight=False)
        if time.monotonic() - self._told > SECONDS_A_LINE:
            self._told = time.monotonic()
            for standing in campaign.standings:
                if standing.running:
                    self.console.print(line(standing), highlight=False, soft_wrap=True)


def standings(campaign: Campaign) -> Table:
    """Make the table of a campaign: a row a target."""
    table = Table("target", "time", "executions", "a second", "edges", "corpus", "findings", "")
    for standing in campaign.standings:
        table.add_row(
            standing.target,
            f"{standing.spent:.0f} of {standing.seconds:.0f} s",
            f"{standing.executions:,}",
            f"{_rate(standing):,.0f}",
            f"{standing.edges:,}",
            f"{standing.inputs:,}",
            str(standing.findings),
            "runs" if standing.running else "" if standing.left > 0 else "done",
        )
    return table


def line(standing: Standing) -> str:
    """Say the same of one target in one line."""
    ran = f"{standing.spent:.0f} s, {standing.executions:,} executions, {_rate(standing):,.0f} a second"
    reached = f"{standing.edges:,} edges, {standing.inputs:,} inputs, {standing.findings} findings"
    return f"{standing.target}: {ran}, {reached}"


def _rate(standing: Standing) -> float:
    return standing.executions / max(standing.spent, 0.001)
