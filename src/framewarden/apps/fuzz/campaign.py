"""A campaign: targets take turns on a few processes, each for its time; what they find is kept."""

import tempfile
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from framewarden.apps.fuzz.checkout import FuzzError
from framewarden.apps.fuzz.corpora import fill, working
from framewarden.apps.fuzz.findings import Findings
from framewarden.apps.fuzz.process import Process

__all__ = ["Campaign", "Standing"]

MOST_CRASHES = 20
"""Inputs that break something after which a target has its turn no more: the same few faults end every process."""
SECONDS_A_LOOK = 0.2
LEAST_SECONDS = 1.0


class Standing:
    """How it stands with one target.

    Attributes:
        target: its name.
        seconds: that it is to be fuzzed.
        processes: that have run, or run, for it.
        crashes: inputs that broke something.
        findings: faults.
    """

    def __init__(self, target: str, seconds: float) -> None:
        self.target = target
        self.seconds = seconds
        self.processes: list[Process] = []
        self.crashes = 0
        self.findings = 0

    @property
    def running(self) -> bool:
        """Whether a process of it runs."""
        return any(process.look() is None for process in self.processes[-1:])

    @property
    def spent(self) -> float:
        """Seconds that it has been fuzzed."""
        return sum(process.seconds for process in self.processes)

    @property
    def executions(self) -> int:
        """Inputs that have been run."""
        return sum(process.executions for process in self.processes)

    @property
    def edges(self) -> int:
        """Edges with a counter that were reached."""
        return max((process.edges for process in self.processes), default=0)

    @property
    def inputs(self) -> int:
        """Inputs in its corpus that reach something of their own."""
        return max((process.inputs for process in self.processes), default=0)

    @property
    def left(self) -> float:
        """Seconds that it still has."""
        return 0.0 if self.crashes >= MOST_CRASHES else self.seconds - self.spent


class Campaign:
    """Fuzzes targets of a checkout.

    Args:
        checkout: where the corpora and the regressions are.
        place: its copy that was built for fuzzing.
        targets: their names.
        seconds: for each of them.
        jobs: processes at a time. More than there are targets are not used: two processes of one target find little
            that one does not find in twice the time.
    """

    def __init__(self, checkout: Path, place: Path, targets: Sequence[str], seconds: float, jobs: int) -> None:
        self.checkout = checkout
        self.place = place
        self.jobs = jobs
        self.standings = [Standing(target, seconds) for target in targets]
        self.findings = Findings(checkout, place)
        self.interrupted = False
        self._folders: dict[str, Path] = {}

    def run(self, tell: Callable[["Campaign"], None]) -> None:
        """Fuzz until the time is over, or until KeyboardInterrupt; then ``interrupted`` is set.

        Args:
            tell: is called a few times a second.
        """
        with self._places():
            waiting, running = deque(self.standings), list[Standing]()
            try:
                while waiting or running:
                    while waiting and len(running) < self.jobs:
                        running.append(self._start(waiting.popleft()))
                    time.sleep(SECONDS_A_LOOK)
                    for standing in [standing for standing in running if not standing.running]:
                        running.remove(standing)
                        self._take(standing)
                        if standing.left > LEAST_SECONDS:
                            waiting.appendleft(standing)
                    tell(self)
            except KeyboardInterrupt:
                self.interrupted = True
            finally:
                for standing in running:
                    standing.processes[-1].stop()
                for standing in running:
                    self._take(standing)
                tell(self)

    @contextmanager
    def _places(self) -> Iterator[None]:
        """A folder for each target, gone afterwards."""
        with tempfile.TemporaryDirectory(prefix="framewarden-fuzz-") as folder:
            for standing in self.standings:
                place = self._folders[standing.target] = Path(folder, standing.target)
                place.mkdir()
            yield

    def _start(self, standing: Standing) -> Standing:
        folder = self._folders[standing.target]
        if not standing.processes:
            fill(self.checkout, self.place, standing.target, folder)
        corpus = working(self.checkout, standing.target)
        standing.processes.append(Process(self.place, standing.target, folder, corpus, standing.left))
        return standing

    def _take(self, standing: Standing) -> None:
        """See what a process that has ended has found."""
        process = standing.processes[-1]
        found = process.found()
        said = process.said()
        for path in found:
            standing.crashes += 1
            if self.findings.add(standing.target, path.read_bytes(), said) is not None:
                standing.findings += 1
            path.unlink()
        if not found and process.look() not in (0, None) and not process.stopped:
            last = [line for line in said.splitlines() if line.strip()][-3:]
            raise FuzzError(f"target {standing.target!r} ended by itself: {' / '.join(last)}")
