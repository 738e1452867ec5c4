"""``framewarden probe``."""

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import msgspec
import typer
from rich.console import Console

from framewarden.apps.cases import Case, Result, Target, run
from framewarden.apps.probe.pack import flaw_cases, flaw_classes
from framewarden.apps.probe.report import as_json, by_class
from framewarden.apps.probe.table import print_reports
from framewarden.errors import ArgumentError

__all__ = ["chosen", "honest", "probe_command"]

PATIENCE = 2.0
"""Seconds; a server on the same machine answers within a few milliseconds."""
FLAWS_FOUND = 1
WIDTH = 200
"""Characters of a line where the output is not a terminal."""


def probe_command(
    uri: Annotated[str, typer.Argument(metavar="URI", help="ws:// or wss://, on this machine.")],
    pid: Annotated[
        int | None, typer.Option(metavar="P", help="Its process: memory and CPU time are looked at.")
    ] = None,
    case: Annotated[list[str] | None, typer.Option(metavar="ID", help="Only this case; may be repeated.")] = None,
    json: Annotated[Path | None, typer.Option(metavar="FILE", help="Write the results to a file, too.")] = None,
    i_own_this_host: Annotated[
        str | None, typer.Option(metavar="HOST", help="Allows the URI to name HOST, which is not this machine.")
    ] = None,
    timeout: Annotated[float, typer.Option(min=0.1, max=60, help="Seconds that an answer may take.")] = PATIENCE,
) -> None:
    """Play a case for every class of published flaws against a server. Exit code 1: flaws were found."""
    cases = chosen(flaw_cases(), case or [])
    target = honest(Target.of(uri, pid=pid, patience=timeout, own_host=i_own_this_host), uri)
    console = Console()
    if not console.is_terminal:
        console = Console(width=WIDTH)
    begun = time.perf_counter()
    results: list[Result] = []
    with console.status(f"{len(cases)} cases") as status:
        for result in run(cases, target):
            results.append(result)
            status.update(f"{len(results)} of {len(cases)} cases")
    seconds = time.perf_counter() - begun
    wanted = {each.flaw_class for each in cases}
    reports = by_class([each for each in flaw_classes() if each.id in wanted], results)
    print_reports(console, uri, reports, seconds)
    if json is not None:
        json.write_bytes(msgspec.json.format(msgspec.json.encode(as_json(uri, reports, seconds)), indent=2))
    if len(results) < len(cases) or any(result.verdict.flaw for result in results):
        raise typer.Exit(FLAWS_FOUND)


def chosen(cases: Sequence[Case], ids: Sequence[str]) -> list[Case]:
    """The cases that are asked for; all where none is.

    Raises:
        ArgumentError: there is no such case.
    """
    known = {case.id for case in cases}
    for id in ids:
        if id not in known:
            raise ArgumentError(f"there is no case {id!r}; docs/flaws.md has them all")
    return [case for case in cases if not ids or case.id in ids]


def honest(target: Target, uri: str) -> Target:
    """The same target, when it serves an honest client: of any other, a probe would say nothing.

    Raises:
        ArgumentError: it does not.
    """
    trouble = target.alive()
    if trouble is not None:
        raise ArgumentError(f"{uri} is no WebSocket server to probe: {trouble.text}")
    return target
