"""Findings: one of each kind, rule and answer, with the smallest input that showed it; and the report."""

import threading

import msgspec

from framewarden.apps.cases.case import Case
from framewarden.apps.fuzz.server.comparing import KINDS, Kind
from framewarden.apps.fuzz.server.trial import Trial

__all__ = ["Entry", "Finding", "Findings", "Key", "Report", "short"]

Key = tuple[Kind, str, str]
"""What makes two findings the same: kind, what was expected, what was answered."""


class Finding(msgspec.Struct, frozen=True, omit_defaults=True):
    """One thing that a server does otherwise than the strict verdict says.

    Attributes:
        kind: see ``KINDS``.
        expected: the strict verdict.
        seen: the answer.
        count: trials that showed it.
        bytes: length of the smallest input.
        number: of the trial that showed it first.
        confirmed: it came again when the same input was sent again.
        detail: what there is to say besides.
        file: the case that shows it; None: there is none.
        suspects: other cases, one of which may be the one that did it.
        command: plays the case again.
    """

    kind: Kind
    expected: str
    seen: str
    count: int
    bytes: int
    number: int
    confirmed: bool = False
    detail: str = ""
    file: str | None = None
    suspects: tuple[str, ...] = ()
    command: str | None = None


class Report(msgspec.Struct, frozen=True):
    """What a campaign found.

    Attributes:
        server: URI.
        seed: makes the same trials again.
        policy: file with the policy that the verdicts are by; "": the default limits.
        deflate: whether the server agrees on permessage-deflate.
        trials: streams and requests that were sent.
        compared: those whose answer was compared with the verdict.
        not_compared: the others, by reason.
        seconds: that it took.
        ended: why it ended.
        grown: bytes that the process grew by; None: no pid was given.
        findings: worst first.
        limits: differences of limits, which are no findings.
    """

    server: str
    seed: int
    policy: str
    deflate: bool
    trials: int
    compared: int
    not_compared: dict[str, int]
    seconds: float
    ended: str
    grown: int | None
    findings: tuple[Finding, ...]
    limits: tuple[Finding, ...]


ERRORS = frozenset((1002, 1003, 1007, 1008, 1009, 1010, 1011))
"""Close codes that say that something was wrong (RFC 6455 7.4.1)."""


def short(answer: str) -> str:
    """An answer without what makes no difference: the extension that a 101 agrees on, the code of a Close of no error.

    Most servers answer a Close with its own code, so there are as many of those as there are codes.
    """
    if answer.startswith("close ") and int(answer[6:]) not in ERRORS:
        return "close without an error code"
    return answer.partition(" with ")[0]


class Entry:
    """A finding while the campaign runs."""

    def __init__(self, trial: Trial, number: int) -> None:
        self.trial = trial
        self.number = number
        """Of the trial that showed it first."""
        self.count = 0
        self.confirmed = False
        self.detail = ""
        self.suspects: tuple[Trial, ...] = ()
        self.answer = True
        """It is about an answer: the same trial shows it again, and a smaller one may."""
        self.case: Case | None = None
        """The case that shows it, where that is not simply its trial's."""


class Findings:
    """All findings of a campaign; threads may add to it."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self.entries: dict[Key, Entry] = {}

    def add(self, kind: Kind, answer: str, trial: Trial, number: int) -> None:
        """Count one answer, and keep its input if it is the smallest yet."""
        with self._lock:
            entry = self.entries.setdefault((kind, trial.verdict.expected, short(answer)), Entry(trial, number))
            entry.count += 1
            entry.number = min(entry.number, number)
            if len(trial.verdict.data) < len(entry.trial.verdict.data):
                entry.trial = trial

    def put(self, kind: Kind, expected: str, seen: str, entry: Entry) -> None:
        """Count one thing that is not an answer; the first input is kept, or the first that is known to be the one."""
        with self._lock:
            before = self.entries.get((kind, expected, seen))
            entry.answer = False
            entry.count = 1 + (0 if before is None else before.count)
            if before is not None and (before.confirmed or not entry.confirmed):
                before.count, entry = entry.count, before
            self.entries[kind, expected, seen] = entry

    def by_kind(self) -> dict[Kind, int]:
        """How many there are of each kind, the worst kind first."""
        with self._lock:
            kinds = [kind for kind, _, _ in self.entries]
        return {kind: kinds.count(kind) for kind in KINDS if kind in kinds}

    def sorted(self) -> list[tuple[Key, Entry]]:
        """The worst first."""
        order = list(KINDS)
        with self._lock:
            return sorted(self.entries.items(), key=lambda item: (order.index(item[0][0]), item[0]))
