"""``python -m benchmarks.connections``: resident memory of an idle connection, beside the peers.

Server and clients are processes of their own. A server opens and closes a few connections first, so that what is made
once is made; then its private memory (USS) is read before and after 5,000 connections were opened, and again when each
of them has echoed one message; both after its garbage was collected and free memory was given back. What the kernel
keeps for a socket is not in it. Exit code 1: a bound is not kept.
"""

import argparse
import sys
from collections.abc import Sequence
from dataclasses import dataclass

from benchmarks.conditions import conditions
from benchmarks.processes import ServerProcess, available
from framewarden.apps.bench import Generator
from framewarden.apps.bench.generator import sources

CONNECTIONS = 5000
WARM_UP = 200
KIB = 1024
DEFLATE = "Sec-WebSocket-Extensions: permessage-deflate; server_no_context_takeover; client_no_context_takeover"
MOST_FOR_DEFLATE = 2.0
"""KiB more with compression agreed on, without context takeover."""


@dataclass(frozen=True)
class Row:
    server: str
    most: float | None = None
    """KiB an idle connection."""
    deflate: bool = False

    @property
    def name(self) -> str:
        return f"{self.server}, deflate" if self.deflate else self.server


ROWS = [
    Row("framewarden", 11),
    Row("framewarden", deflate=True),
    Row("framewarden lean", 3),
    Row("framewarden lean", deflate=True),
    Row("picows Python"),
    Row("websockets"),
    Row("websockets", deflate=True),
    Row("node ws"),
    Row("node ws", deflate=True),
    Row("aiohttp"),
]


@dataclass(frozen=True)
class Measured:
    idle: float
    """KiB a connection that has said nothing."""
    used: float | None
    """The same after one message and its echo; None: not measured, for the clients do not inflate."""


def measure(row: Row, connections: int) -> Measured:
    """One server, one row."""
    headers = [DEFLATE] if row.deflate else []
    with ServerProcess(row.server, *(["deflate"] if row.deflate else [])) as server:
        address = ("127.0.0.1", server.port)
        with Generator(*address, connections=WARM_UP, headers=headers) as load:
            load.open().faultless()
            if not row.deflate:
                load.exchange(size=32, messages=1).faultless()
            load.close().faultless()
        before = _settled(server)
        with Generator(*address, connections=connections, headers=headers, sources=sources(4), timeout=30.0) as load:
            opened = load.open().faultless()
            if row.deflate and opened.extensions != connections:
                raise RuntimeError(f"{row.server} did not agree on compression")
            idle = _settled(server) - before
            used = None
            if not row.deflate:
                load.exchange(size=32, messages=1).faultless()
                used = (_settled(server) - before) / connections / KIB
            load.close().faultless()
    return Measured(idle / connections / KIB, used)


def _settled(server: ServerProcess) -> int:
    server.tidy()
    server.tidy()  # what the first one set free may have held more
    return server.memory()


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.connections", description=__doc__)
    parser.add_argument("--connections", type=int, default=CONNECTIONS)
    parser.add_argument("--only", default="", metavar="WORDS", help="rows whose name contains these words")
    args = parser.parse_args(arguments)
    names = available(sorted({row.server for row in ROWS if args.only in row.name}))
    print("\n".join(conditions()))
    print(f"\nKiB a connection, {args.connections:,} of them (kernel excluded)")
    print(f"  {'server':28} {'idle':>6} {'used':>6}  wanted")
    plain: dict[str, float] = {}
    short = 0
    for row in ROWS:
        if row.server not in names or args.only not in row.name:
            continue
        found = measure(row, args.connections)
        most = row.most
        if row.deflate and row.server.startswith("framewarden") and row.server in plain:
            most = plain[row.server] + MOST_FOR_DEFLATE
        elif not row.deflate:
            plain[row.server] = found.idle
        kept = most is None or found.idle <= most
        short += not kept
        wanted = "" if most is None else f"idle at most {most:.1f}: {'ok' if kept else 'SHORT'}"
        used = "" if found.used is None else f"{found.used:.1f}"
        print(f"  {row.name:28} {found.idle:6.1f} {used:>6}  {wanted}".rstrip(), flush=True)
    return 1 if short else 0


if __name__ == "__main__":
    sys.exit(main())
