"""Play cases against a server one after the other, and see after each whether it still serves an honest client."""

import time
from collections.abc import Iterable, Iterator

import msgspec

from framewarden.apps.cases.case import Case
from framewarden.apps.cases.play import Outcome, play
from framewarden.apps.cases.target import Target, Trouble
from framewarden.apps.cases.verdict import Judgement, Verdict, judge, not_judged

__all__ = ["Result", "run"]

ATTEMPTS = 3
"""How often an honest client tries, before we say that it is not served."""
BETWEEN = 0.2
"""Seconds between them: a server may still be busy with what it has been sent."""


class Result(msgspec.Struct, frozen=True):
    """One case, played and judged. ``outcome`` is None where it was not played."""

    case: Case
    judgement: Judgement
    outcome: Outcome | None

    @property
    def verdict(self) -> Verdict:
        """The verdict alone."""
        return self.judgement.verdict


def run(cases: Iterable[Case], target: Target) -> Iterator[Result]:
    """Play each case, in their order. A server that is dead ends it: what follows would be about nothing."""
    for case in cases:
        if not_judged(case):
            yield Result(case, judge(case, Outcome(answer="")), None)
            continue
        outcome = play(case, target)
        trouble = still_alive(target)
        yield Result(case, judge(case, outcome, trouble), outcome)
        if trouble is not None:
            return


def still_alive(target: Target) -> Trouble | None:
    """What is wrong with the server."""
    trouble = target.alive()
    for _ in range(ATTEMPTS - 1):
        if trouble is None:
            break
        time.sleep(BETWEEN)
        trouble = target.alive()
    return trouble
