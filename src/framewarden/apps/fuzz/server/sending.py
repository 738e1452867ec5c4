"""The threads that send trials, one after the other on each thread."""

import itertools
import threading
import time
from collections import Counter, deque

import msgspec

from framewarden.apps.cases.play import Outcome, play
from framewarden.apps.cases.target import Target
from framewarden.apps.fuzz.server.comparing import compare
from framewarden.apps.fuzz.server.findings import Findings
from framewarden.apps.fuzz.server.gate import Gate
from framewarden.apps.fuzz.server.making import Maker
from framewarden.apps.fuzz.server.trial import Trial, as_case

__all__ = ["Sender", "Sent"]

REMEMBERED = 64
"""Trials that are remembered, for when the server dies."""
DOUBTFUL = ("hang", "no handshake", "refused to connect")
"""Answers after which it is looked whether the server still lives."""


class Sent(msgspec.Struct, frozen=True):
    """A trial that was sent.

    Attributes:
        trial: what was sent.
        number: of the trial.
        outcome: what came back.
        begun: when it was sent, in seconds of the monotonic clock.
        ended: when the answer had come, or was waited for no more.
    """

    trial: Trial
    number: int
    outcome: Outcome
    begun: float
    ended: float

    @property
    def answered(self) -> bool:
        """Whether the server said something: it lived when this was sent."""
        return self.outcome.answer not in (*DOUBTFUL, "dropped")

    @property
    def finished(self) -> bool:
        """Whether the server answered, and ended the connection where it had to."""
        return self.answered and (self.trial.verdict.stage == "handshake" or self.outcome.end != "open")


class Sender:
    """Sends trials, compares what comes back, and hands in what is found.

    Args:
        target: the server.
        maker: makes the trials.
        findings: where they are handed in.

    Attributes:
        gate: closed by who wants to be alone with the server.
        doubt: set when an answer says that the server may be gone.
        trials: how many were sent.
        skipped: those whose answer says nothing, by reason.
    """

    def __init__(self, target: Target, maker: Maker, findings: Findings) -> None:
        self.gate = Gate()
        self.doubt = threading.Event()
        self.trials = 0
        self.skipped: Counter[str] = Counter()
        self._target = msgspec.structs.replace(target, pid=None)  # with a pid each trial would be measured
        self._maker = maker
        self._findings = findings
        self._numbers = itertools.count()
        self._lock = threading.Lock()
        self._recent: deque[Sent] = deque(maxlen=REMEMBERED)
        self._over = threading.Event()
        self._threads: list[threading.Thread] = []

    def start(self, jobs: int) -> None:
        """Begin to send, on that many connections at a time."""
        self._threads = [threading.Thread(target=self._work, daemon=True) for _ in range(jobs)]
        for thread in self._threads:
            thread.start()

    def end(self) -> None:
        """Send no more, and wait for the answers: a few times the target's patience where they do not come."""
        self._over.set()
        for thread in self._threads:
            thread.join()

    def recent(self) -> list[Sent]:
        """What was sent last, in the order in which the answers came."""
        with self._lock:
            return list(self._recent)

    def play(self, trial: Trial) -> Outcome:
        """Send one trial, and do nothing about it."""
        return play(as_case(trial), self._target)

    def _work(self) -> None:
        while not self._over.is_set():
            with self.gate.inside():
                if not self._over.is_set():
                    self._send(next(self._numbers))

    def _send(self, number: int) -> None:
        trial = self._maker.make(number)
        begun = time.monotonic()
        outcome = self.play(trial)
        comparison = compare(trial.verdict, outcome)
        with self._lock:
            self.trials += 1
            self._recent.append(Sent(trial, number, outcome, begun, time.monotonic()))
            if comparison.skipped:
                self.skipped[comparison.skipped] += 1
        if comparison.kind is not None:
            self._findings.add(comparison.kind, outcome.answer, trial, number)
        if outcome.answer in DOUBTFUL:
            self.doubt.set()
