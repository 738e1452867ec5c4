"""Runs the Autobahn|Testsuite against us, as a server and as a client, and compares what it says with the ledger.

python -m tests.conformance.run                      # all 517 cases, three times: two servers and the client
python -m tests.conformance.run --subset             # what every change must pass
python -m tests.conformance.run --role server 6.* 7.1.5
"""

import argparse
import asyncio
import collections
import contextlib
import functools
import logging
import signal
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import uvloop

import framewarden
from framewarden import ClosedError, Handler, Limits, Policy, Server, Session, load_policy
from framewarden.transports.server import Carrier
from tests.conformance import ledger
from tests.conformance.suite import AGENT, Suite, SuiteError

HERE = Path(__file__).parent
BUILD = HERE.parents[1] / "build"
POLICY = HERE / "policy.toml"
PATIENT = Policy(limits=Limits(pong_seconds=900, idle_seconds=1000))
"""For asking the fuzzing server something: it answers nothing while it writes its report."""


class Deliberate(Handler):
    """Echoes too, but not at once: what came before the end is still answered before our Close."""

    async def on_message(self, session: Session, message: Any) -> None:
        """Send it back a turn of the loop later."""
        await asyncio.sleep(0)
        session.send(message)


async def as_server(suite: Suite, carrier: Carrier = "picows", handler: type[Handler] | None = None) -> None:
    """Let the fuzzing client judge our server."""
    async with Server(handler, load_policy(POLICY), "127.0.0.1", 0, carrier=carrier) as server:
        await suite.judge_server(server.url)


async def as_client(suite: Suite) -> None:
    """Let our client be judged by the fuzzing server."""
    policy = load_policy(POLICY)
    async with suite.fuzzing_server() as url:
        async with framewarden.connect(f"{url}/getCaseCount", PATIENT) as connection:
            count = int(await connection.receive())
        for number in range(1, count + 1):
            async with framewarden.connect(f"{url}/runCase?case={number}&agent={AGENT}", policy) as connection:
                with contextlib.suppress(ClosedError):  # many cases close before they have heard our echo
                    async for message in connection:
                        await connection.send(message)
        async with framewarden.connect(f"{url}/updateReports?agent={AGENT}", PATIENT) as connection:
            async for _ in connection:
                pass


class Way(NamedTuple):
    """One way to be judged: in which role, and by which run."""

    role: ledger.Role
    run: Callable[[Suite], Awaitable[None]]


WAYS = {
    "server": Way("server", as_server),
    "lean-server": Way("server", functools.partial(as_server, carrier="lean", handler=Deliberate)),
    "client": Way("client", as_client),
}


async def run(way: Way, suite: Suite, seconds: float) -> None:
    """One run; SIGINT and SIGTERM end it, and what it has started."""
    task = asyncio.current_task()
    assert task is not None
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, task.cancel)
    async with asyncio.timeout(seconds):
        await way.run(suite)


def report(found: dict[str, ledger.Verdict]) -> str:
    """How often each verdict was given."""
    counts = [
        collections.Counter(getattr(verdict, name) for verdict in found.values()) for name in ("behavior", "close")
    ]
    said = [", ".join(f"{number} {word}" for word, number in count.most_common()) for count in counts]
    return f"{said[0]}; close: {said[1]}"


def judge(name: str, wstest: Path, cases: list[str] | None, seconds: float) -> bool:
    """Run ``cases`` (None: all) in one of the ways and say how it went. Returns whether all is as the ledger says."""
    way, expected = WAYS[name], ledger.load()
    folder = BUILD / "conformance" / name
    suite = Suite(wstest, folder, cases or ["*"])
    begun = time.monotonic()
    asked = cases or list(expected)
    print(f"{name}: {len(asked)} cases", flush=True)
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(run(way, suite, seconds))
    found = suite.found()
    complaints = ledger.compare(expected, way.role, asked, found)
    print(f"{name}: {report(found)}; {time.monotonic() - begun:.0f} s; {folder / 'report' / 'index.html'}", flush=True)
    for complaint in complaints:
        print(f"  {complaint}")
    return not complaints


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        prog="conformance", description="The Autobahn|Testsuite, compared with the ledger."
    )
    parser.add_argument("cases", nargs="*", metavar="CASE", help="number or pattern (6.4.2, '7.*'); none: all cases")
    parser.add_argument("--role", choices=WAYS, help="one of them only; default: all")
    parser.add_argument("--subset", action="store_true", help="groups 9, 12 and 13 by a sample only")
    parser.add_argument("--seconds", type=float, default=5400.0, help="time for each (default: 5400)")
    parser.add_argument("--wstest", type=Path, help="an installed suite; default: it is installed in build/autobahn")
    options = parser.parse_args(arguments)
    if options.cases and options.subset:
        parser.error("--subset and cases exclude each other")
    return options


def main(arguments: Sequence[str] | None = None) -> int:
    """Run it. Returns 0: as the ledger says; 1: not; 2: the run itself went wrong."""
    options = parse(arguments)
    logging.basicConfig(level=logging.ERROR)
    try:
        every = ledger.load()
        cases = ledger.subset(every) if options.subset else None
        if options.cases:
            cases = ledger.select(every, options.cases)
        wstest = options.wstest
        if wstest is None:
            wstest = BUILD / "autobahn" / "wstest"
            subprocess.run([HERE / "install.sh", wstest.parent], check=True)
        ways = [options.role] if options.role else list(WAYS)
        results = [judge(name, wstest, cases, options.seconds) for name in ways]
    except (SuiteError, ledger.LedgerError, OSError, TimeoutError, subprocess.CalledProcessError) as error:
        print(f"conformance: {type(error).__name__}: {error}", file=sys.stderr)
        return 2
    except (asyncio.CancelledError, KeyboardInterrupt):
        return 130
    return 0 if all(results) else 1


if __name__ == "__main__":
    sys.exit(main())
