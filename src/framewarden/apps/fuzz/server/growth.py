"""What a server grows by: when its process has grown too much, find the trial that makes it grow."""

from collections.abc import Iterable

import msgspec

from framewarden.apps.cases.play import play
from framewarden.apps.cases.target import Target
from framewarden.apps.fuzz.server.trial import Trial, growing

__all__ = ["Grower", "find_grower"]

CONNECTIONS = 16
"""How often a trial is sent until it is looked what the process has grown by."""
LEAST = 32 * 1024
"""Bytes a connection; less is noise."""


class Grower(msgspec.Struct, frozen=True):
    """A trial that makes a server grow.

    Attributes:
        trial: what is sent.
        each: bytes that the process grows by for each connection that sends it.
    """

    trial: Trial
    each: int


def find_grower(trials: Iterable[Trial], target: Target, average: float) -> Grower | None:
    """The trial that makes the process grow most; None: none of them does.

    Args:
        trials: candidates, the simplest first.
        target: with a pid; nobody else sends it anything meanwhile.
        average: bytes that the process grew by for each trial of the campaign; a trial that makes it grow by half of
            that is the one, and no other is tried.
    """
    found: Grower | None = None
    for trial in trials:
        grown = play(growing(trial, CONNECTIONS, 0), target).grown or 0
        each = grown // CONNECTIONS
        if each >= LEAST and (found is None or each > found.each):
            found = Grower(trial, each)
            if each >= average / 2:
                break
    return found
