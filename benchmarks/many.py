"""``python -m benchmarks.many``: as many connections as this machine allows one process, and a plan for more.

All of them are opened, held until the server has sent each a Ping and had its Pong, echo one message each, and are
closed with 1000, without one error. Run by hand: it takes a minute and much memory. The number is the hard limit of
open files less a reserve; the clients, in a process of their own, have the same limit, and several loopback addresses.
"""

import argparse
import math
import resource
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.conditions import conditions
from benchmarks.processes import ServerProcess
from benchmarks.servers import has_carriers
from framewarden.apps.bench import Generator, LoadError
from framewarden.apps.bench.generator import sources

RESERVE = 512
"""Files that are no connections: the server's own reserve is 256, and Python has a few."""
PORTS = 28_000
"""Of one source address for one server address, with Linux's default range of ports."""
MOST_HOLD_SECONDS = 120.0
KIB, GIB = 1024, 1024**3


@dataclass(frozen=True)
class Figures:
    """What one connection costs on the server's side."""

    base_bytes: int
    """Of a process that has no connection yet."""
    process_bytes: float
    kernel_bytes: float
    """Of one socket: slab and buffers, half of what two sockets a connection took on this machine."""
    ping_cpu: float
    """Seconds of server CPU for one Ping and its Pong."""


def kernel_bytes() -> int:
    """What the kernel has allocated for its objects, and for the queues of TCP."""
    (slab,) = (line.split()[1] for line in Path("/proc/meminfo").read_text().splitlines() if line.startswith("Slab:"))
    (tcp,) = (line.split() for line in Path("/proc/net/sockstat").read_text().splitlines() if line.startswith("TCP:"))
    return int(slab) * KIB + int(tcp[tcp.index("mem") + 1]) * resource.getpagesize()


def run(name: str, connections: int) -> Figures:
    """Open, ping, echo, close.

    Raises:
        LoadError: a connection went wrong.
    """
    addresses = sources(math.ceil(connections / PORTS) + 3)
    with (
        ServerProcess(name) as server,
        Generator("127.0.0.1", server.port, connections=connections, sources=addresses, timeout=60.0) as load,
    ):
        server.tidy()
        before, kernel_before = server.memory(), kernel_bytes()
        opened = load.open(at_once=512).faultless()
        print(f"opened {opened.connections:,} in {opened.seconds:.1f} s", flush=True)
        kernel = (kernel_bytes() - kernel_before) / 2
        server.tidy()
        process = server.memory() - before
        pings, cpu_before, held = 0, server.cpu_seconds(), 0.0
        while pings < connections and held < MOST_HOLD_SECONDS:
            report = load.hold(seconds=1.0).faultless()
            pings, held = pings + report.pings, held + report.seconds
        cpu = server.cpu_seconds() - cpu_before
        print(f"pinged: {pings:,} Pings answered in {held:.0f} s, {cpu:.2f} s of server CPU", flush=True)
        if pings < connections:
            raise LoadError(f"the server has sent {pings:,} Pings only")
        echoed = load.exchange(size=32, messages=1).faultless()
        print(f"echoed {echoed.messages:,} in {echoed.seconds:.1f} s, p99 {echoed.latency.p99:.2f} s", flush=True)
        closed = load.close().faultless()
        print(f"closed {closed.messages:,} with 1000 in {closed.seconds:.1f} s, no error in all of it", flush=True)
    return Figures(before, process / connections, kernel / connections, cpu / pings)


def plan(found: Figures, wanted: int) -> list[str]:
    """What so many connections on one machine need; computed from what was measured, not tried."""
    files = wanted + RESERVE
    # tcp_mem counts the pages of all queues; idle connections have none, but a few at once may have 16 KiB.
    pages = max(400_000, wanted * 16 * KIB // 10 // resource.getpagesize())
    workers = max(1, math.ceil(wanted / 100_000))
    each = math.ceil(wanted / workers)
    process = (wanted * found.process_bytes + workers * found.base_bytes) / GIB
    kernel = wanted * found.kernel_bytes / GIB
    pings = wanted / 20 * found.ping_cpu / workers
    return [
        f"{wanted:,} connections:",
        f"  memory: {process:.1f} GiB in the server's processes, {kernel:.1f} GiB in the kernel, while they are idle",
        f"  processes: {workers} (--workers {workers}); a Ping to each connection in 20 s takes {pings:.0%} of a core",
        f"  open files: ulimit -n {each + each // 10 + RESERVE} for each process (the kernel deals connections out",
        f"    unevenly: 10 % more than its share); sysctl fs.nr_open above that, fs.file-max above {files:,}",
        "  accepting: sysctl net.core.somaxconn=4096 net.ipv4.tcp_max_syn_backlog=8192; where a firewall tracks",
        f"    connections, net.netfilter.nf_conntrack_max above {wanted:,}",
        f"  queues: sysctl net.ipv4.tcp_mem, the third number at least {pages:,} pages",
        "  ports: the server needs one; clients on one machine, like a load test or a proxy, need",
        f"    {math.ceil(wanted / PORTS)} source addresses, or a wider net.ipv4.ip_local_port_range",
    ]


def main(arguments: Sequence[str] | None = None) -> int:
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    parser = argparse.ArgumentParser(prog="python -m benchmarks.many", description=__doc__)
    parser.add_argument("--connections", type=int, default=hard - RESERVE, help=f"default {hard - RESERVE:,}")
    parser.add_argument("--carrier", choices=["lean", "picows"], default="lean" if has_carriers() else "picows")
    args = parser.parse_args(arguments)
    print("\n".join(conditions()))
    print(f"\ncarrier {args.carrier}, at most {hard:,} open files a process")
    try:
        found = run("framewarden lean" if args.carrier == "lean" else "framewarden", args.connections)
    except LoadError as error:
        print(error)
        return 1
    print(f"a connection: {found.process_bytes:,.0f} B in the process, {found.kernel_bytes:,.0f} B in the kernel")
    for wanted in (100_000, 1_000_000):
        print("\n".join(["", *plan(found, wanted)]))
    return 0


if __name__ == "__main__":
    sys.exit(main())
