"""Resident memory, each measure in a process of its own: ``python -m benchmarks.memory`` prints all of them.

Resident pages are what an operator pays for; they count whole pages, and the allocator's slack with them.
"""

import argparse
import ctypes
import gc
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmarks import cuts, traffic

ROOT = Path(__file__).parent.parent
INSPECTORS = 10_000
PIECES = 400_000  # reads or fragments of one message, by which a message is cut

Use = Callable[[Any], None]


def _kib(field: str) -> int:
    """A field of /proc/self/status, in KiB: VmRSS is resident now, VmHWM the most that ever was since the reset."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(field):
            return int(line.split()[1])
    raise LookupError(field)


def idle() -> int:
    """Bytes of an Inspector that has seen nothing: one of 10,000 that share a policy."""
    return _each(lambda _: None)


def used() -> int:
    """The same after each has received 64 messages of 125 bytes and one of 16 KiB in pieces, and answered a Ping."""
    small, _ = traffic.stream(traffic.ascii_text(125).encode(), total_bytes=64 * 125)
    large = traffic.frame(traffic.ascii_text(16 * 1024).encode())
    ping = traffic.frame(b"", opcode=0x9)

    def use(one: Any) -> None:
        for read in (*small, *traffic.cut(large, 4096), ping):
            one.receive_data(read)
        one.data_to_send()

    return _each(use)


def _each(use: Use) -> int:
    from framewarden.engine import Inspector
    from framewarden.policy import Policy

    policy = Policy()
    for _ in range(100):  # what is made once for all
        use(Inspector(policy))
    kept: list[Any] = [None] * INSPECTORS
    gc.collect()
    before = _kib("VmRSS")
    for i in range(INSPECTORS):
        kept[i] = Inspector(policy)
        use(kept[i])
    return (_kib("VmRSS") - before) * 1024 // INSPECTORS


def growth(name: str) -> int:
    """Bytes by which the highest resident size rises while a message is received in 400,000 pieces."""
    (cut,) = (one for one in cuts.CUTS if one.__name__ == name)
    cuts.work(cut, 1000)()
    one = cuts.receiver(cut)
    reads = list(cut(PIECES))
    gc.collect()
    ctypes.CDLL(None).malloc_trim(0)  # or what making the reads has left behind would be used first
    Path("/proc/self/clear_refs").write_text("5")  # VmHWM starts again from what is resident now
    before = _kib("VmRSS")
    for read in reads:
        one.receive_data(read)
        while one.has_more:
            one.receive_data(b"")
        one.data_to_send()
    assert one.violation is None, one.violation
    return (_kib("VmHWM") - before) * 1024


MEASURES: dict[str, Callable[[], int]] = {"idle": idle, "used": used}
MEASURES |= {cut.__name__: lambda name=cut.__name__: growth(name) for cut in cuts.CUTS}


def in_its_own_process(name: str) -> int:
    """The measure ``name``, taken by a new Python."""
    command = [sys.executable, "-m", "benchmarks.memory", name, "--bare"]
    return int(subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.memory", description=__doc__)
    parser.add_argument("name", nargs="?", choices=MEASURES, help="one measure; all of them if it is not given")
    parser.add_argument("--bare", action="store_true", help="measure here, and print nothing but the number of bytes")
    args = parser.parse_args()
    if args.bare:
        print(MEASURES[args.name]())
        return
    for name in [args.name] if args.name else MEASURES:
        print(f"{name:40} {in_its_own_process(name):>10,} bytes")


if __name__ == "__main__":
    main()
