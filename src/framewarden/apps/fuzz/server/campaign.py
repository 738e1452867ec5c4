"""A campaign: trials are sent, the server is looked after, and what was found is sent again and made small.

Most of the time goes into sending, the last fifth into the findings.
"""

import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from functools import partial
from typing import Literal

import msgspec

from framewarden.apps.cases.runner import still_alive
from framewarden.apps.cases.target import Target
from framewarden.apps.fuzz.server.comparing import Kind, compare
from framewarden.apps.fuzz.server.findings import Entry, Findings, Key, short
from framewarden.apps.fuzz.server.making import Corpus, Maker, agreed_deflate
from framewarden.apps.fuzz.server.minimising import minimise
from framewarden.apps.fuzz.server.sending import Sender
from framewarden.apps.fuzz.server.strict import Strict
from framewarden.apps.fuzz.server.trial import Trial
from framewarden.apps.fuzz.server.watching import Watch
from framewarden.errors import FramewardenError
from framewarden.policy import Policy

__all__ = ["Campaign", "Progress", "Settings"]

SENDING = 0.8
"""Share of the time in which trials are sent; what is left is for confirming and minimising."""
LEAST_CONCLUDING = 1.0
"""Seconds for confirming and minimising, however short the campaign is."""
TICK = 0.25
"""Seconds between two looks at the campaign."""
CONFIRMATIONS = 3
"""How often a finding is sent again, until it is said that it does not come again."""
TIME_IS_UP = "the time was up"


Doing = Literal["sending", "confirming", "minimising"]
"""What a campaign is at."""


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """What whoever starts a campaign decides.

    Attributes:
        seconds: how long it takes.
        seed: makes the same trials again.
        jobs: connections at a time.
        max_growth: bytes that the process of the target may grow by; it is looked at where the target has a pid.
        return_seconds: how long a server that is gone may take to come back: somebody may start it again.
        policy: what the strict verdicts are by.
        corpus: streams and requests to begin with.
    """

    seconds: float = 60.0
    seed: int = 0
    jobs: int = 8
    max_growth: int = 64 * 1024 * 1024
    return_seconds: float = 10.0
    policy: Policy = Policy()
    corpus: Corpus = Corpus()


class Progress(msgspec.Struct, frozen=True):
    """Where a campaign stands.

    Attributes:
        doing: what it is at.
        seconds: since it began.
        trials: sent so far.
        kinds: findings of each kind, the worst kind first.
        grown: bytes that the process grew by; None: it is not looked at.
    """

    doing: Doing
    seconds: float
    trials: int
    kinds: dict[Kind, int]
    grown: int | None

    @property
    def rate(self) -> float:
        """Trials a second."""
        return self.trials / self.seconds if self.seconds else 0.0


class Campaign:
    """One campaign. ``run`` does it once.

    Args:
        target: the server; where it has a pid, its memory is watched.
        settings: everything else.

    Attributes:
        findings: what was found so far.
        sender: who sends.
        ended: why it ended; "": it did not.
        interrupted: by Ctrl-C.
        seconds: that it took.

    Raises:
        FramewardenError: the server does not serve an honest client: there is nothing to fuzz.
    """

    def __init__(self, target: Target, settings: Settings) -> None:
        trouble = still_alive(target)
        if trouble is not None:
            raise FramewardenError(f"the server is not fuzzed: {trouble.text}")
        try:
            deflate = agreed_deflate(target)
        except OSError as error:
            raise FramewardenError(f"the server is not fuzzed: offered permessage-deflate, {error}") from None
        strict = Strict(settings.policy, target.uri.authority, target.uri.target)
        nothing = Trial(strict.stream(b""))
        self.target = target
        self.settings = settings
        self.maker = Maker(settings.seed, strict, deflate, settings.corpus)
        self.findings = Findings()
        self.sender = Sender(target, self.maker, self.findings)
        self.watch = Watch(
            target,
            self.sender,
            self.findings,
            nothing,
            max_growth=settings.max_growth,
            return_seconds=settings.return_seconds,
        )
        self.ended = ""
        self.interrupted = False
        self.seconds = 0.0
        self._begun = 0.0
        self._over = threading.Event()

    def run(self, on_progress: Callable[[Progress], None] = lambda progress: None) -> None:
        """Send until the time is up, the server is gone or has grown too much, or until Ctrl-C.

        Args:
            on_progress: called about four times a second.
        """
        self._begun = time.monotonic()
        try:
            self._send(on_progress)
            if self.ended == TIME_IS_UP:
                self._conclude(on_progress)
        except KeyboardInterrupt:
            self.ended, self.interrupted = "it was interrupted", True
        self.seconds = time.monotonic() - self._begun

    def progress(self, doing: Doing) -> Progress:
        """Where it stands."""
        seconds = time.monotonic() - self._begun
        return Progress(doing, seconds, self.sender.trials, self.findings.by_kind(), self.watch.grown)

    def _send(self, on_progress: Callable[[Progress], None]) -> None:
        until = self._begun + SENDING * self.settings.seconds
        self.sender.start(self.settings.jobs)
        try:
            while not self.ended:
                self.sender.doubt.wait(TICK)
                self.ended = self.watch.look()
                on_progress(self.progress("sending"))
                if not self.ended and time.monotonic() >= until:
                    self.ended = TIME_IS_UP
        finally:
            self.sender.end()

    def _conclude(self, on_progress: Callable[[Progress], None]) -> None:
        """Send each finding again, then make their inputs small, for as long as there is time."""
        now = time.monotonic()
        until = max(self._begun + self.settings.seconds, now + LEAST_CONCLUDING)
        items = [item for item in self.findings.sorted() if item[1].answer]
        self._in_parallel([partial(self._confirm, *item, until) for item in items], "confirming", on_progress)
        items = [item for item in items if item[1].confirmed]
        left = until - time.monotonic()
        each = left * self.settings.jobs / max(1, len(items))
        self._in_parallel(
            [partial(self._minimise, *item, min(each, left), until) for item in items], "minimising", on_progress
        )

    def _in_parallel(
        self, tasks: Sequence[Callable[[], None]], doing: Doing, on_progress: Callable[[Progress], None]
    ) -> None:
        """Do tasks on as many connections at a time as trials are sent on."""
        with ThreadPoolExecutor(self.settings.jobs) as pool:
            waiting = [pool.submit(task) for task in tasks]
            try:
                while wait(waiting, TICK).not_done:
                    on_progress(self.progress(doing))
            except BaseException:
                self._over.set()
                raise
        for future in waiting:
            future.result()

    def _enough(self, until: float) -> bool:
        return self._over.is_set() or time.monotonic() >= until

    def _shows(self, key: Key, trial: Trial) -> bool:
        """Whether a trial shows what a finding is about."""
        outcome = self.sender.play(trial)
        return short(outcome.answer) == key[2] and compare(trial.verdict, outcome).kind == key[0]

    def _confirm(self, key: Key, entry: Entry, until: float) -> None:
        for _ in range(CONFIRMATIONS):
            if self._enough(until):
                return
            if self._shows(key, entry.trial):
                entry.confirmed = True
                return
        entry.detail = "it did not come again when the same was sent again"

    def _minimise(self, key: Key, entry: Entry, seconds: float, until: float) -> None:
        until = min(until, time.monotonic() + seconds)
        whole = self.maker.remake(entry.trial, entry.trial.verdict.data)  # not cut
        if not self._enough(until) and self._shows(key, whole):
            entry.trial = whole
        entry.trial = minimise(entry.trial, self.maker.remake, partial(self._shows, key), partial(self._enough, until))
