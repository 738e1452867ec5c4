"""``framewarden fuzz server``: the options of a campaign against a server, its live line and its exit code."""

import secrets
from pathlib import Path
from typing import Annotated

import msgspec
import typer
from rich.console import Console
from rich.live import Live

from framewarden.apps.cases.target import Target
from framewarden.apps.fuzz.server.campaign import Campaign, Settings
from framewarden.apps.fuzz.server.making import Corpus
from framewarden.apps.fuzz.server.reporting import make_report
from framewarden.apps.fuzz.server.reproducing import Reproduction
from framewarden.apps.fuzz.server.showing import live, show
from framewarden.apps.probe.pack import flaw_cases
from framewarden.apps.server import search_current_directory
from framewarden.errors import ArgumentError
from framewarden.policy import Policy
from framewarden.policy_file import load_policy
from framewarden.policy_units import SIZE

__all__ = ["server_command", "tell_reproduction"]

FOUND = 1
INTERRUPTED = 130
WIDTH = 200
"""Characters of a line where the output is no terminal."""
PATIENCE = 2.0
"""Seconds that an answer may take."""


def server_command(
    uri: Annotated[str, typer.Argument(help="ws://127.0.0.1:PORT or wss://...")],
    minutes: Annotated[float, typer.Option(min=0.01, max=1440, help="How long it takes.")] = 1.0,
    seed: Annotated[
        int | None, typer.Option(min=0, max=2**63, help="Makes the same streams again; without it: a new one.")
    ] = None,
    jobs: Annotated[
        int, typer.Option(min=1, max=16, help="Connections at a time; with 1 a crash has one suspect.")
    ] = 8,
    pid: Annotated[
        int | None, typer.Option(min=1, help="The server's process: its memory and its children's is watched.")
    ] = None,
    max_growth: Annotated[
        str, typer.Option(metavar="BYTES", help="What the process may grow by: a number, or 64MiB.")
    ] = "64MiB",
    policy: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Limits of the strict verdict, in TOML; without it: the default."),
    ] = None,
    out: Annotated[Path, typer.Option(metavar="DIR", help="Where a case is written for each finding.")] = Path(
        "framewarden-findings"
    ),
    json: Annotated[Path | None, typer.Option(metavar="FILE", help="Write the report there, too.")] = None,
    i_own_this_host: Annotated[
        str | None, typer.Option(metavar="HOST", help="Needed for every server that is not on loopback.")
    ] = None,
) -> int:
    """Send hostile streams to a server and compare its answers with the strict verdict.

    Ends with 0 if nothing was found, 1 if something was, 130 after Ctrl-C. Whatever ends it, the report is written.
    """
    target = Target.of(uri, pid=pid, patience=PATIENCE, own_host=i_own_this_host)
    settings = Settings(
        seconds=60 * minutes,
        seed=secrets.randbelow(2**32) if seed is None else seed,
        jobs=jobs,
        max_growth=_bytes(max_growth),
        policy=_policy(policy),
        corpus=Corpus.of(flaw_cases()),
    )
    campaign = Campaign(target, settings)
    console = Console(highlight=False)
    console = console if console.is_terminal else Console(highlight=False, width=WIDTH)
    with Live(console=console, auto_refresh=False, transient=True) as line:
        campaign.run(lambda progress: line.update(live(progress, settings.seconds), refresh=console.is_terminal))
    report = make_report(campaign, uri, out, policy=str(policy or ""), own_host=i_own_this_host)
    show(report, console)
    if json is not None:
        json.write_bytes(msgspec.json.format(msgspec.json.encode(report), indent=2) + b"\n")
    if campaign.interrupted:
        return INTERRUPTED
    return FOUND if report.findings else 0


def tell_reproduction(reproduction: Reproduction) -> int:
    """Say what came of playing a case again. Returns the exit code: 1 if it was reproduced, else 0."""
    words = {True: "reproduced", False: "not reproduced", None: "nothing can be said"}
    print(f"{reproduction.case.id}: expected {reproduction.expected}, seen: {reproduction.seen}")
    print(words[reproduction.reproduced])
    return FOUND if reproduction.reproduced else 0


def _policy(file: Path | None) -> Policy:
    """The policy of the verdicts. Its schema may name types of modules in the current directory, as for ``serve``."""
    if file is None:
        return Policy()
    search_current_directory()
    return load_policy(file)


def _bytes(text: str) -> int:
    """A size on the command line.

    Raises:
        ArgumentError: it is none.
    """
    try:
        return int(text) if text.isdecimal() else int(SIZE.parse(text))
    except ValueError as error:
        raise ArgumentError(f"--max-growth must be {SIZE.allowed}: {error}") from None
