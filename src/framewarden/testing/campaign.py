"""A campaign with the strategies of this room: every property for a time, without a compiler and without a checkout.

    python -m framewarden.testing.campaign --seconds 600
    python -m framewarden.testing.campaign --target chunked --target machine --json report.json

What failed is remembered in a directory and tried first by the next campaign. A finding ends its target, after
Hypothesis has made the example small, which may take minutes. Exit code 0: nothing was found, 1: something was, 130:
Ctrl-C.

The JSON is a list with an object for each target: ``target``, ``executions``, ``seconds``, and ``findings``, a list of
objects with ``error`` and ``example``.
"""

import argparse
import json
import signal
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import FrameType

import msgspec
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.database import DirectoryBasedExampleDatabase
from hypothesis.stateful import run_state_machine_as_test

from framewarden.testing.machine import InspectorPair
from framewarden.testing.properties import PROPERTIES

__all__ = ["TARGETS", "Finding", "Tally", "main"]

DATABASE = Path(".hypothesis") / "framewarden-campaign"
FIRST_SLICE = 10
"""Executions of the first slice of a target; its speed decides how many the next ones have."""
SLICE_SECONDS = 2.0
LARGEST_SLICE = 20_000
LINE_SECONDS = 10.0
"""How long a target works before it is heard of again."""


class Finding(msgspec.Struct, frozen=True):
    """A property that does not hold.

    Attributes:
        error: type and text of what was raised.
        example: the smallest example that Hypothesis found, as it tells it.
    """

    error: str
    example: str


class Tally(msgspec.Struct):
    """What one target has done so far.

    Attributes:
        target: its name.
        executions: how often the property was run, those that made an example smaller included.
        seconds: how long that took.
        findings: what was found.
    """

    target: str
    executions: int = 0
    seconds: float = 0.0
    findings: list[Finding] = []

    def line(self) -> str:
        """One line for a person."""
        rate = self.executions / self.seconds if self.seconds else 0.0
        return f"{self.target:<10} {self.executions:>9,} executions {rate:>8,.0f}/s {len(self.findings):>3} findings"


class Interruption:
    """Ctrl-C and SIGTERM, heard between two executions.

    Not by an exception wherever the program is: Hypothesis has a callback in the garbage collector, and what is raised
    there is lost. A second signal raises at once, for a property that never comes back.
    """

    def __init__(self) -> None:
        self.told = False

    def __call__(self, number: int, frame: FrameType | None) -> None:
        """Handle a signal."""
        self.told = True
        signal.signal(number, signal.default_int_handler)

    def check(self) -> None:
        """Raise KeyboardInterrupt if there was one."""
        if self.told:
            raise KeyboardInterrupt


INTERRUPTION = Interruption()

Target = Callable[[settings, Tally], None]


def _property(name: str) -> Target:
    def run(how: settings, tally: Tally) -> None:
        @how
        @given(st.data())
        def once(data: st.DataObject) -> None:
            INTERRUPTION.check()
            tally.executions += 1
            PROPERTIES[name](data)

        once()

    return run


def _machine(how: settings, tally: Tally) -> None:
    class Counted(InspectorPair):
        def __init__(self) -> None:
            INTERRUPTION.check()
            super().__init__()
            tally.executions += 1

    run_state_machine_as_test(Counted, settings=how)


TARGETS: dict[str, Target] = {**{name: _property(name) for name in PROPERTIES}, "machine": _machine}
"""Everything that a campaign can run, by name."""


def _findings(error: BaseException) -> Iterator[Finding]:
    """One for each way in which a property failed; Hypothesis keeps them apart."""
    if isinstance(error, BaseExceptionGroup):
        for each in error.exceptions:
            yield from _findings(each)
        return
    yield Finding(f"{type(error).__name__}: {error}", "\n".join(getattr(error, "__notes__", ())))


def _slice(tally: Tally, executions: int, database: Path) -> None:
    how = settings(
        max_examples=executions,
        # A property's own database: what failed for another is no example of it.
        database=DirectoryBasedExampleDatabase(database / tally.target),
        deadline=None,
        derandomize=False,
        suppress_health_check=list(HealthCheck),
        print_blob=False,
    )
    begin = time.monotonic()
    try:
        TARGETS[tally.target](how, tally)
    except Exception as error:  # noqa: BLE001 - whatever a property raises is a finding
        tally.findings = list(_findings(error))
    finally:
        tally.seconds += time.monotonic() - begin


def _work(tally: Tally, seconds: float, database: Path) -> None:
    """Run a target for its share of the time, in slices, until something is found."""
    executions, heard = FIRST_SLICE, 0.0
    while not tally.findings and (tally.seconds < seconds or not tally.executions):
        _slice(tally, executions, database)
        rate = tally.executions / max(tally.seconds, 1e-3)
        room = min(SLICE_SECONDS, seconds - tally.seconds)
        executions = min(max(int(rate * room), 1), LARGEST_SLICE)
        if tally.seconds - heard > LINE_SECONDS:
            heard = tally.seconds
            _say(tally.line())
    _say(tally.line())
    for finding in tally.findings:
        _say(f"  {finding.error}")
        _say("".join(f"    {line}\n" for line in finding.example.splitlines()))


def _say(line: str) -> None:
    print(line, flush=True)


def main(arguments: list[str] | None = None) -> int:
    """Run a campaign; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m framewarden.testing.campaign", description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=60.0, help="for all targets together (60)")
    parser.add_argument("--target", action="append", choices=sorted(TARGETS), help="only this one; may be repeated")
    parser.add_argument("--json", type=Path, help="write what was done and found to this file")
    parser.add_argument("--database", type=Path, default=DATABASE, help=f"where failures are remembered ({DATABASE})")
    options = parser.parse_args(arguments)
    if options.seconds <= 0:
        parser.error("--seconds must be above 0")
    tallies = [Tally(name, findings=[]) for name in dict.fromkeys(options.target or TARGETS)]
    _say(f"{len(tallies)} targets, {options.seconds:g} s; failures are remembered in {options.database}")
    code = 0
    try:
        for tally in tallies:
            _work(tally, options.seconds / len(tallies), options.database)
    except KeyboardInterrupt:
        _say("interrupted; until then:")
        for tally in tallies:
            _say(tally.line())
        code = 130
    if options.json is not None:
        options.json.write_text(json.dumps(msgspec.to_builtins(tallies), indent=2) + "\n")
    return code or int(any(tally.findings for tally in tallies))


if __name__ == "__main__":
    signal.signal(signal.SIGINT, INTERRUPTION)
    signal.signal(signal.SIGTERM, INTERRUPTION)
    sys.exit(main())
