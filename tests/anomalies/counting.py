"""What is left behind after many rounds, to the block."""

import gc
import sys
from array import array
from collections.abc import Callable, Sequence
from itertools import repeat

__all__ = ["added", "forget", "freeze"]


def freeze() -> None:
    """Let the garbage collector look at nothing but what is made from now on.

    It looks faster; and msgspec, which empties its cache of strings at every tenth look at it, keeps what it has.
    """
    gc.collect()
    gc.freeze()


def forget() -> None:
    """Let go of what CPython keeps for reuse.

    Its type cache keeps up to 4,096 names that were looked up in a type, by their addresses. The scanner of json makes
    new ones each time, so that it fills up for many rounds.
    """
    gc.collect()
    getattr(sys, "_clear_internal_caches", sys._clear_type_cache)()


def added(count: Callable[[], Sequence[int]], action: Callable[[], object], times: int) -> list[int]:
    """What so many rounds add to each count, after as many that warm up what they use."""
    counts = [array("q", [0] * len(count())) for _ in range(3)]  # an int is a block
    for index, rounds in enumerate((times, 0, times)):  # counting warms up, too
        for _ in repeat(None, rounds):
            action()
        for kind, value in enumerate(count()):
            counts[index][kind] = value
    return [after - before for _, before, after in zip(*counts, strict=True)]
