"""Fuzz the parsers: ``python fuzz/run.py [TARGET ...] [--seconds N] [--seed S]``, ``python fuzz/run.py --replay FILE``.

Each target runs in a process of its own. The parent sees through shared memory which input is being judged, so that it
can write down one that kills the process or never ends. Exit code 1: there is a finding.
"""

import argparse
import contextlib
import faulthandler
import hashlib
import importlib.util
import io
import mmap
import os
import random
import resource
import signal
import struct
import sys
import tempfile
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import NoReturn

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "src")]

from fuzz.mutate import LONGEST, Mutator  # noqa: E402 - found by the path above
from fuzz.targets import NAMES, load  # noqa: E402 - found by the path above

FINDINGS = ROOT / "fuzz" / "findings"
SECONDS_AN_INPUT = 1.0
SECONDS_A_BYTE = 50e-6
"""CPU time that one input may take. Far more than it needs: it is about hanging and about what is not linear."""
SECONDS_SILENT = 30.0
"""Wall time after which a process that is still at the same input is ended."""
MEMORY = 2**31
"""Bytes of address space of that process: what follows a declared length instead of the input runs into it."""


class BoundError(AssertionError):
    """An input took longer than it may."""


class Board:
    """Memory that both processes see: how many inputs have been judged, and the one that is being judged."""

    HEAD = struct.Struct("=QQ")

    def __init__(self) -> None:
        self.memory = mmap.mmap(-1, 2**20)
        self.executions = 0

    def begin(self, data: bytes) -> None:
        self.executions += 1
        self.memory[self.HEAD.size : self.HEAD.size + len(data)] = data
        self.memory[: self.HEAD.size] = self.HEAD.pack(self.executions, len(data))

    def read(self) -> tuple[int, bytes]:
        executions, size = self.HEAD.unpack(self.memory[: self.HEAD.size])
        return executions, self.memory[self.HEAD.size : self.HEAD.size + size]


def judge(one: Callable[[bytes], None], data: bytes) -> None:
    """Run a target on one input, within its time."""
    start = time.process_time()
    one(data)
    took = time.process_time() - start
    allowed = SECONDS_AN_INPUT + SECONDS_A_BYTE * len(data)
    if took > allowed:
        raise BoundError(f"{took:.2f} s for {len(data)} bytes, {allowed:.2f} s are allowed")


# ---- The process of one target


def with_havoc(name: str, seconds: float, seed: int, board: Board, folder: Path) -> None:
    """Seeds first, then mutations of them, blindly."""
    target = load(name)
    seeds = list(target.seeds())
    mutator = Mutator(seeds, target.TOKENS, seed)
    seeds.reverse()
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        data = seeds.pop() if seeds else mutator.next()
        board.begin(data)
        judge(target.one, data)


def with_atheris(name: str, seconds: float, seed: int, board: Board, folder: Path) -> None:
    """Coverage decides which mutations are kept: framewarden's Python, and the oracle beside the native code."""
    import atheris

    # It tells each module that it instruments.
    with contextlib.redirect_stderr(io.StringIO()), atheris.instrument_imports(include=["framewarden", "tests.oracle"]):
        target = load(name)
    end = time.monotonic() + seconds

    def one(data: bytes) -> None:
        if time.monotonic() > end:
            leave(0)
        board.begin(data)
        try:
            judge(target.one, data)
        except KeyboardInterrupt:
            leave(0)
        except Exception:  # noqa: BLE001 - whatever leaves a target is a finding
            traceback.print_exc()
            leave(1)

    corpus = folder / "corpus"
    corpus.mkdir()
    for index, data in enumerate(target.seeds()):
        (corpus / f"seed-{index:04}").write_bytes(data)
    tokens = folder / "tokens"
    lines = ("".join(f"\\x{octet:02x}" for octet in token) for token in target.TOKENS if len(token) <= 64)
    tokens.write_text("".join(f'"{line}"\n' for line in lines))
    options = {"seed": seed, "max_len": LONGEST, "dict": tokens, "artifact_prefix": f"{folder}/", "verbosity": 0}
    options |= {"timeout": int(10 * SECONDS_SILENT), "rss_limit_mb": MEMORY >> 20, "handle_int": 0, "handle_term": 0}
    atheris.Setup(["fuzz", *[f"-{key}={value}" for key, value in options.items()], str(corpus)], one)
    atheris.Fuzz()


def leave(code: int) -> NoReturn:
    """End a process that has no other way out: atheris does not return."""
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


def child(name: str, seconds: float, seed: int, driver: str, board: Board, folder: Path) -> NoReturn:
    """Exit code 0, or 1 for a finding that has been told."""
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    try:
        (with_atheris if driver == "atheris" else with_havoc)(name, seconds, seed, board, folder)
    except KeyboardInterrupt:
        leave(0)
    except BaseException:  # noqa: BLE001 - whatever it is, it is told, and the child never goes on as its parent
        traceback.print_exc()
        leave(1)
    leave(0)


# ---- The parent


def fuzz(name: str, seconds: float, seed: int, driver: str) -> bool:
    """Fuzz one target. Returns whether nothing was found."""
    board = Board()
    start = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="fuzz-") as folder:
        sys.stdout.flush()
        process = os.fork()
        if process == 0:
            child(name, seconds, seed, driver, board, Path(folder))
        try:
            status = watch(process, board)
        finally:
            stop(process)
            took = time.monotonic() - start
            executions, data = board.read()
            peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss // 1024
            print(
                f"{name}: {executions} executions in {took:.0f} s, {executions / max(took, 0.001):.0f} a second,"
                f" at most {peak} MiB so far ({driver}, seed {seed})",
                flush=True,
            )
    if status == 0:
        return True
    how = "broke the invariant" if status == 1 else f"ended the process ({describe(status)})"
    path = FINDINGS / f"{name}-{hashlib.sha256(data).hexdigest()[:12]}"
    FINDINGS.mkdir(exist_ok=True)
    path.write_bytes(data)
    print(f"{name}: FOUND: {len(data)} bytes {how}: python fuzz/run.py --replay {path.relative_to(ROOT)}", flush=True)
    return False


def watch(process: int, board: Board) -> int:
    """Wait for the process; its exit code, or minus the signal that ended it."""
    last, since = -1, time.monotonic()
    while not (ended := os.waitid(os.P_PID, process, os.WEXITED | os.WNOHANG | os.WNOWAIT)):
        executions, _ = board.read()
        if executions != last:
            last, since = executions, time.monotonic()
        elif time.monotonic() - since > SECONDS_SILENT:
            os.kill(process, signal.SIGKILL)
        time.sleep(0.05)
    return ended.si_status if ended.si_code == os.CLD_EXITED else -ended.si_status


def stop(process: int) -> None:
    """Let the process end. It has been told, by the terminal too; but it may be inside native code."""
    for sent in (signal.SIGINT, signal.SIGTERM, signal.SIGKILL):
        for _ in range(20):
            if os.waitpid(process, os.WNOHANG)[0]:
                return
            time.sleep(0.05)
        os.kill(process, sent)
    os.waitpid(process, 0)


def describe(status: int) -> str:
    return f"exit code {status}" if status >= 0 else signal.Signals(-status).name


def replay(path: Path, names: list[str]) -> bool:
    """Run one input again; its target is given, or the first word of the file's name."""
    name = names[0] if names else path.name.partition("-")[0]
    if name not in NAMES:
        sys.exit(f"{path.name} does not begin with a target: name one of {', '.join(NAMES)}")
    data = path.read_bytes()
    try:
        judge(load(name).one, data)
    except Exception:  # noqa: BLE001 - whatever leaves a target is a finding
        traceback.print_exc()
        return False
    print(f"{name}: {len(data)} bytes keep the invariant")
    return True


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("targets", nargs="*", metavar="TARGET", help=f"of {', '.join(NAMES)}; all when none is given")
    parser.add_argument("--seconds", type=float, default=60, help="for each target (60)")
    parser.add_argument(
        "--seed", type=int, help="makes a run of the havoc driver the same again; random when not given"
    )
    parser.add_argument("--driver", choices=["atheris", "havoc"], help="atheris when it is installed")
    parser.add_argument("--replay", type=Path, metavar="FILE", help="judge this input and nothing else")
    options = parser.parse_args()
    if unknown := [name for name in options.targets if name not in NAMES]:
        parser.error(f"no target {unknown[0]!r}; there are {', '.join(NAMES)}")
    faulthandler.enable()
    if options.replay is not None:
        return 0 if replay(options.replay, options.targets) else 1
    driver = options.driver or ("atheris" if importlib.util.find_spec("atheris") else "havoc")
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    seed = random.randrange(1, 2**31) if options.seed is None else options.seed
    try:
        results = [fuzz(name, options.seconds, seed, driver) for name in options.targets or NAMES]
    except KeyboardInterrupt:
        print("stopped")
        return 130
    return 0 if all(results) else 1


if __name__ == "__main__":
    sys.exit(main())
