"""``python -m benchmarks.end_to_end``: echo and refusal over loopback, in CPU time of the server a message.

Every server and every load generator is a process of its own. All servers take turns in each round, in random order;
the figure is the median over the rounds of the ratio within a round. Exit code 1: a bound is not kept.
"""

import argparse
import statistics
import sys
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from random import Random

from benchmarks.conditions import conditions
from benchmarks.processes import ServerProcess, available
from framewarden.apps.bench import Generator, Report

ROUNDS = 25
SECONDS = 0.2
"""Of one server in one round: short, so that what a ratio compares happened at nearly the same time."""
BUSY = 0.9
"""Share of the time above which a process counts as the one that all others waited for."""

EVERYBODY = [
    "framewarden",
    "framewarden lean",
    "picows Python",
    "picows Cython",
    "node ws",
    "websockets",
    "aiohttp",
]
OURS = EVERYBODY[:2]


@dataclass(frozen=True)
class Bound:
    """How our server CPU a message must stand to a peer's: ``ours <= most x theirs``."""

    peer: str
    most: float

    def __str__(self) -> str:
        return f"{1 / self.most:g} times as fast as" if self.most < 1 else f"at most {self.most:g} times the time of"


@dataclass
class Samples:
    """One server in one row, an entry a round."""

    cpu: list[float] = field(default_factory=list)
    """Seconds of server CPU a message."""
    rate: list[float] = field(default_factory=list)
    """Messages a second."""
    share: list[float] = field(default_factory=list)
    """How busy the server was."""
    reports: list[Report] = field(default_factory=list)

    def add(self, cpu: float, report: Report) -> None:
        self.cpu.append(cpu / report.messages)
        self.rate.append(report.messages / report.seconds)
        self.share.append(cpu / report.seconds)
        self.reports.append(report)

    @property
    def bottleneck(self) -> str:
        """How busy both were, and for whom the others waited; nobody, where other programs took the processors."""
        server, generator = statistics.median(self.share), statistics.median(report.busy for report in self.reports)
        who = "GENERATOR" if generator > BUSY else "server" if server > BUSY else "neither"
        return f"{server:6.0%} {generator:9.0%}  {who}"


@dataclass(frozen=True)
class Row:
    name: str
    work: Callable[[Generator, argparse.Namespace], Report]
    bounds: Sequence[Bound]
    words: Sequence[str] = ()
    """For the servers."""
    opens: bool = True


def _pipelined(load: Generator, args: argparse.Namespace) -> Report:
    refill = min(args.refill or args.in_flight, args.in_flight)
    return load.exchange(size=args.size, in_flight=args.in_flight, refill=refill, seconds=args.seconds)


def _one_by_one(load: Generator, args: argparse.Namespace) -> Report:
    return load.exchange(size=args.size, seconds=args.seconds)


def _refused(load: Generator, args: argparse.Namespace) -> Report:
    return load.refused(args.refusals)


ROWS = {
    "pipelined": Row("many messages in flight", _pipelined, [Bound("picows Python", 1 / 10), Bound("node ws", 1 / 5)]),
    "request-response": Row(
        "one message in flight", _one_by_one, [Bound("picows Python", 1.0), Bound("picows Cython", 1.2)]
    ),
    "refused": Row("handshake refused with 401", _refused, [Bound("picows Python", 1 / 2)], ["refuse"], opens=False),
}


def measure(row: Row, names: Sequence[str], args: argparse.Namespace) -> dict[str, Samples]:
    """All servers, in interleaved rounds; the first one, which warms up, does not count."""
    samples = {name: Samples() for name in names}
    shuffle = Random(0).shuffle
    with ExitStack() as stack:
        servers = {name: stack.enter_context(ServerProcess(name, *row.words)) for name in names}
        loads = {
            name: stack.enter_context(Generator("127.0.0.1", server.port, connections=args.connections))
            for name, server in servers.items()
        }
        if row.opens:
            for load in loads.values():
                load.open().faultless()
        order = list(names)
        for number in range(args.rounds + 1):
            shuffle(order)
            for name in order:
                before = servers[name].cpu_seconds()
                report = row.work(loads[name], args).faultless()
                took = servers[name].cpu_seconds() - before
                if number > 0:
                    samples[name].add(took, report)
        for load in loads.values():
            load.close()
    return samples


def ratios(ours: Samples, theirs: Samples) -> list[float]:
    return [a / b for a, b in zip(ours.cpu, theirs.cpu, strict=True)]


def show(row: Row, samples: dict[str, Samples], args: argparse.Namespace) -> int:
    """Print one row's tables. Returns how many bounds are not kept."""
    how = "" if not row.opens else f", {args.size} B, {args.connections} connections"
    print(f"\n{row.name}{how}")
    print(
        f"  {'server':18} {'us/message':>10} {'messages/s':>11} {'p50 ms':>8} {'p99 ms':>8} "
        f"{'server':>6} {'generator':>9}  bottleneck"
    )
    for name, one in samples.items():
        p50, p99 = (statistics.median(getattr(r.latency, q) for r in one.reports) * 1e3 for q in ("p50", "p99"))
        print(
            f"  {name:18} {statistics.median(one.cpu) * 1e6:10.2f} {statistics.median(one.rate):11,.0f} "
            f"{p50:8.2f} {p99:8.2f} {one.bottleneck}"
        )
    short = 0
    for name in OURS:
        for bound in row.bounds:
            if name in samples and bound.peer in samples:
                found = ratios(samples[name], samples[bound.peer])
                middle = statistics.median(found)
                first, _, third = statistics.quantiles(found, n=4) if len(found) > 1 else (middle,) * 3
                kept = middle <= bound.most
                short += not kept
                measured = f"{1 / middle:.1f}x as fast" if bound.most < 1 else f"{middle:.2f}x the time"
                print(
                    f"  {name}: {measured} ({first:.3f}-{third:.3f}); wanted: {bound} {bound.peer}: "
                    f"{'ok' if kept else 'SHORT'}",
                    flush=True,
                )
    return short


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.end_to_end", description=__doc__)
    parser.add_argument("rows", nargs="*", choices=[*ROWS, []], help="rows to measure; all of them if none is given")
    parser.add_argument("--connections", type=int, default=100)
    parser.add_argument("--in-flight", type=int, default=64, help="messages of a connection under way, where many are")
    parser.add_argument("--refill", type=int, default=0, help="send again once so many are free (default: all)")
    parser.add_argument("--size", type=int, default=32, help="octets of a message")
    parser.add_argument("--seconds", type=float, default=SECONDS, help="of one server in one round")
    parser.add_argument("--refusals", type=int, default=200, help="of one server in one round")
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    parser.add_argument("--servers", default=",".join(EVERYBODY), help="names, separated by commas")
    args = parser.parse_args(arguments)
    names = available(args.servers.split(","))
    print("\n".join(conditions()))
    rows = [ROWS[name] for name in args.rows or ROWS]
    short = sum(show(row, measure(row, names, args), args) for row in rows)
    if short:
        print(f"\n{short} of the bounds not kept")
    return 1 if short else 0


if __name__ == "__main__":
    sys.exit(main())
