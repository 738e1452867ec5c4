"""The commands of ``framewarden fuzz``."""

import importlib.util
import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from framewarden.apps.fuzz import checkout as places
from framewarden.apps.fuzz.building import build_fuzzing
from framewarden.apps.fuzz.campaign import Campaign
from framewarden.apps.fuzz.checkout import FuzzError
from framewarden.apps.fuzz.corpora import pack
from framewarden.apps.fuzz.coverage import measure, native_share
from framewarden.apps.fuzz.findings import REGRESSIONS, read_finding
from framewarden.apps.fuzz.judging import Judge
from framewarden.apps.fuzz.progress import Progress, line
from framewarden.apps.fuzz.report import Report, make_report, write_report
from framewarden.apps.fuzz.server import reproduce_on_server
from framewarden.apps.fuzz.server_command import server_command, tell_reproduction

__all__ = ["fuzz_app"]

FOUND = 1
INTERRUPTED = 130
REPORTS = Path("fuzz", "reports")
JOBS = min(2, os.cpu_count() or 1)

fuzz_app = typer.Typer(rich_markup_mode=None, add_completion=False)

Targets = Annotated[list[str] | None, typer.Option("--target", help="Only this one; may be given again.")]


@fuzz_app.callback(invoke_without_command=True)
def fuzz_options(context: typer.Context) -> None:
    """Fuzz our parsers, or any server."""
    if context.invoked_subcommand is None:
        typer.echo(context.get_help())


@fuzz_app.command("run")
def run_command(
    target: Targets = None,
    minutes: Annotated[float, typer.Option(min=0.01, help="For each target; with hypothesis, in all.")] = 1.0,
    jobs: Annotated[int, typer.Option(min=1, max=256, help="Processes at a time.")] = JOBS,
    driver: Annotated[str, typer.Option(help="coverage: clang and atheris; hypothesis: neither.")] = "coverage",
    out: Annotated[Path | None, typer.Option(metavar="DIR", help="For the report; fuzz/reports.")] = None,
) -> int:
    """Fuzz the parsers. Goes on from the corpora of the last campaign; Ctrl-C stops it and writes the report."""
    if driver == "hypothesis":
        return _hypothesis(target or [], minutes, out)
    if driver != "coverage":
        raise typer.BadParameter(f"--driver is coverage or hypothesis, not {driver!r}")
    checkout = _checkout()
    console = Console()
    report = _fuzz(checkout, _chosen(checkout, target), minutes * 60, jobs, console)
    page = write_report(report, out or checkout / REPORTS)
    console.print(f"report: {page}", highlight=False, markup=False, soft_wrap=True)
    for finding in report.findings:
        said = f"FOUND in {finding.target}: {finding.summary}: framewarden fuzz reproduce {REGRESSIONS / finding.name}"
        console.print(said, highlight=False, markup=False, soft_wrap=True)
    if report.interrupted:
        return INTERRUPTED
    return FOUND if report.findings else 0


def _fuzz(checkout: Path, names: Sequence[str], seconds: float, jobs: int, console: Console) -> Report:
    """Build, fuzz, count the lines; and show all of it."""
    with console.status("building with sanitizers and feedback (the first time takes a minute)"):
        place = build_fuzzing(checkout)
    campaign = Campaign(checkout, place, names, seconds, jobs)
    with Progress(console) as progress:
        campaign.run(progress)
    for standing in campaign.standings:
        console.print(line(standing), highlight=False, soft_wrap=True)
    if campaign.interrupted:
        return make_report(campaign, None)
    try:
        with console.status("counting the lines that the corpora reach"):
            coverage = measure(checkout, names, lambda said: console.print(said, highlight=False, markup=False))
    except KeyboardInterrupt:
        campaign.interrupted = True
        return make_report(campaign, None)
    console.print(f"lines of native code that the corpora reach: {native_share(coverage):.1%}", highlight=False)
    return make_report(campaign, coverage)


@fuzz_app.command("list")
def list_command() -> None:
    """Print the targets."""
    for name in places.target_names(_found()):
        typer.echo(name)


@fuzz_app.command("reproduce")
def reproduce_command(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="A finding of a campaign, or of fuzz server.")],
    target: Annotated[str | None, typer.Option(help="FILE is an input of this target, byte by byte.")] = None,
    server: Annotated[
        str | None, typer.Option(metavar="URI", help="FILE is a finding of fuzz server; play it.")
    ] = None,
    pid: Annotated[int | None, typer.Option(min=1, help="The server's process, whose memory is watched.")] = None,
    i_own_this_host: Annotated[
        str | None, typer.Option(metavar="HOST", help="Needed for every server that is not on loopback.")
    ] = None,
) -> int:
    """Run a finding again. Exit code 1: it still breaks something."""
    if server is not None:
        return tell_reproduction(reproduce_on_server(file, server, pid=pid, own_host=i_own_this_host))
    checkout = _checkout()
    if target is None:
        finding = read_finding(file)
        target, data = finding.target, finding.data
    else:
        data = file.read_bytes()
    [target] = _chosen(checkout, [target])
    with Judge(build_fuzzing(checkout), target) as judge:
        fault = judge.judge(data)
    if fault is None:
        typer.echo(f"{target}: {len(data)} bytes keep the invariant")
        return 0
    typer.echo(f"{target}: {len(data)} bytes: {fault.summary}")
    for place in fault.stack:
        typer.echo(f"  {place}")
    return FOUND


fuzz_app.command("server")(server_command)


@fuzz_app.command("pack")
def pack_command(target: Targets = None) -> None:
    """Keep the fewest inputs of the working corpora that reach all that they reach, in fuzz/corpora."""
    checkout = _checkout()
    place = build_fuzzing(checkout)
    for name in _chosen(checkout, target):
        inputs, size = pack(checkout, place, name)
        typer.echo(f"{name}: {inputs} inputs, {size} bytes")


def _found() -> Path:
    checkout = places.find()
    if checkout is None:
        raise FuzzError(places.lacking(None))
    return checkout


def _checkout() -> Path:
    """The checkout, if everything is there that a campaign needs."""
    checkout = places.find()
    if missing := places.lacking(checkout):
        raise FuzzError(missing)
    return _found()


def _chosen(checkout: Path, wanted: list[str] | None) -> tuple[str, ...]:
    names = places.target_names(checkout)
    for name in wanted or ():
        if name not in names:
            raise FuzzError(f"there is no target {name!r}; there are {', '.join(names)}")
    return tuple(dict.fromkeys(wanted)) if wanted else names


def _hypothesis(targets: list[str], minutes: float, out: Path | None) -> int:
    """Run the campaign that needs neither clang nor a checkout: a program of its own, so that nothing imports it."""
    if importlib.util.find_spec("hypothesis") is None:
        raise FuzzError("missing: hypothesis (pip install framewarden[testing])")
    command = [sys.executable, "-m", "framewarden.testing.campaign", "--seconds", str(minutes * 60)]
    command += [word for name in targets for word in ("--target", name)]
    if out is not None:
        out.mkdir(parents=True, exist_ok=True)
        command += ["--json", str(out / "hypothesis.json")]
    # A session of its own, so that Ctrl-C reaches it once, from us: a second one would cut its report.
    process = subprocess.Popen(command, start_new_session=True)  # noqa: S603 - the program is ours
    while True:
        try:
            return process.wait()
        except KeyboardInterrupt:
            process.send_signal(signal.SIGINT)
