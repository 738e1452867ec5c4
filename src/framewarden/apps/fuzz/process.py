"""One process of libFuzzer: how it is started, what it says while it runs, what it leaves behind."""

import mmap
import re
import signal
import struct
import subprocess
import sys
import time
from pathlib import Path

from framewarden.apps.fuzz.building import environment
from framewarden.apps.fuzz.checkout import NATIVE

__all__ = ["LONGEST", "Process", "command_of"]

LONGEST = 4096
"""Bytes of an input that a campaign makes."""
MEMORY_MIB = 2048
SECONDS_SILENT = 30
"""Wall time that one input may take."""
SECONDS_TO_STOP = 10.0
COUNT = struct.Struct("=Q")
STATUS = re.compile(r"^#(\d+)\s.* cov: (\d+) ft: (\d+) corp: (\d+)/")
"""What libFuzzer prints of itself: executions, edges, features (edges with their counts), inputs of the corpus."""
ARTIFACT = re.compile(r"^(crash|timeout|oom|leak)-")


def command_of(place: Path, target: str) -> list[str]:
    """Name the program that understands libFuzzer's options for a target."""
    if target in NATIVE:
        return [str(place / target)]
    return [sys.executable, "-m", "fuzz.worker", "fuzz", target]


class Process:
    """A target that is being fuzzed.

    Args:
        place: the tree that was built for fuzzing.
        target: its name.
        folder: where its dictionary is, its log, and what it finds.
        corpus: the folder of its inputs; new ones are added.
        seconds: how long it runs.

    Attributes:
        edges: how many it has reached, of those that have counters.
        inputs: in its corpus.
        stopped: whether it was told to end.
    """

    def __init__(self, place: Path, target: str, folder: Path, corpus: Path, seconds: float) -> None:
        self.target = target
        self.folder = folder
        self.edges = self.inputs = self._told = 0
        self.stopped = False
        self.began = time.monotonic()
        self._ended: float | None = None
        self._log = (folder / "log").open("w+b")
        self._read = 0
        count = folder / f"count-{time.monotonic_ns()}"  # of its own: another process of the target has had one
        self._memory = self._counter(count)
        self._process = subprocess.Popen(  # noqa: S603 - the command is ours
            [*command_of(place, target), *self._options(seconds), str(corpus)],
            cwd=place,
            env=environment(place, sanitized=target not in NATIVE) | {"FRAMEWARDEN_FUZZ_COUNT": str(count)},
            stdin=subprocess.DEVNULL,
            stdout=self._log,
            stderr=subprocess.STDOUT,
            start_new_session=True,  # Ctrl-C is for us; we tell it
        )

    def _options(self, seconds: float) -> list[str]:
        options: dict[str, object] = {
            "max_total_time": max(1, round(seconds)),
            "max_len": LONGEST,
            "artifact_prefix": f"{self.folder}/",
            "timeout": SECONDS_SILENT,
            "rss_limit_mb": MEMORY_MIB,
            "report_slow_units": 2**31 - 1,
            "reload": 1,
        }
        if (self.folder / "dictionary").exists():
            options["dict"] = self.folder / "dictionary"
        return [f"-{name}={value}" for name, value in options.items()]

    @staticmethod
    def _counter(path: Path) -> mmap.mmap:
        path.write_bytes(bytes(COUNT.size))
        with path.open("r+b") as file:
            return mmap.mmap(file.fileno(), COUNT.size)

    @property
    def executions(self) -> int:
        """Inputs that have been run."""
        return max(self._told, int(COUNT.unpack(self._memory[:])[0]))

    @property
    def seconds(self) -> float:
        """How long it has been running, or ran."""
        return (self._ended or time.monotonic()) - self.began

    def look(self) -> int | None:
        """Read what it has said since; the exit code once it has ended."""
        code = self._process.poll()
        with (self.folder / "log").open("rb") as log:
            log.seek(self._read)
            lines, _, _ = log.read().rpartition(b"\n")
        self._read += len(lines) + (1 if lines else 0)
        for line in lines.decode(errors="replace").splitlines():
            if status := STATUS.match(line):
                self._told, self.edges, _, self.inputs = map(int, status.groups())
        if code is not None and self._ended is None:
            self._ended = time.monotonic()
            self._log.close()
        return code

    def stop(self) -> None:
        """Interrupt it, and end it if that takes too long."""
        self.stopped = True
        for sent, patience in ((signal.SIGINT, SECONDS_TO_STOP), (signal.SIGKILL, SECONDS_TO_STOP)):
            if self._process.poll() is None:
                self._process.send_signal(sent)
                try:
                    self._process.wait(patience)
                except subprocess.TimeoutExpired:
                    continue
        self.look()

    def said(self) -> str:
        """All that it said."""
        return (self.folder / "log").read_text(errors="replace")

    def found(self) -> list[Path]:
        """List the inputs that broke something."""
        return sorted(path for path in self.folder.iterdir() if ARTIFACT.match(path.name))
