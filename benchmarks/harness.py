"""Interleaved measurements: every contender does a slice of the work in every round, and only ratios are believed.

A machine that others use too is never equally fast for long. So all contenders of a comparison take turns, a few
milliseconds each, the order changes every round, thread CPU time is taken (not wall time), and the answer is the median
over the rounds of the ratio *within* a round.
"""

import gc
import statistics
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from random import Random
from time import thread_time_ns

Work = Callable[[], object]

SLICE_NS = 4_000_000  # CPU time a contender works in one round
ROUNDS = 41
WARM_UP_CALLS = 2


@dataclass(frozen=True)
class Comparison:
    """What the contenders took: nanoseconds of thread CPU time a call, one entry a round, rounds in step."""

    samples: Mapping[str, list[float]]

    def ns(self, name: str) -> float:
        """Median CPU time of one call, in nanoseconds. Holds for this run on this machine only."""
        return statistics.median(self.samples[name])

    def times(self, slow: str, fast: str) -> float:
        """How many times as long ``slow`` took as ``fast``: the median of the ratios within the rounds."""
        pairs = zip(self.samples[slow], self.samples[fast], strict=True)
        return statistics.median(a / b for a, b in pairs)

    def spread(self, slow: str, fast: str) -> tuple[float, float]:
        """First and third quartile of the ratios, to see how much the median is worth."""
        pairs = zip(self.samples[slow], self.samples[fast], strict=True)
        first, _, third = statistics.quantiles([a / b for a, b in pairs], n=4)
        return first, third


def compare(contenders: Mapping[str, Work], rounds: int = ROUNDS, slice_ns: int = SLICE_NS) -> Comparison:
    """Run all contenders in interleaved rounds. The garbage collector is off while they work, as in ``timeit``."""
    calls = {name: _calls_in(work, slice_ns) for name, work in contenders.items()}
    samples: dict[str, list[float]] = {name: [] for name in contenders}
    order = list(contenders)
    shuffle = Random(0).shuffle
    was_enabled = gc.isenabled()
    gc.collect()
    gc.disable()
    try:
        for _ in range(rounds):
            shuffle(order)
            for name in order:
                samples[name].append(_time(contenders[name], calls[name]) / calls[name])
    finally:
        if was_enabled:
            gc.enable()
    return Comparison(samples)


def _time(work: Work, calls: int) -> int:
    start = thread_time_ns()
    for _ in range(calls):
        work()
    return thread_time_ns() - start


def _calls_in(work: Work, slice_ns: int) -> int:
    """How many calls fill one slice. Also warms caches, freelists and specialised bytecode up."""
    for _ in range(WARM_UP_CALLS):
        work()
    calls = 1
    while True:
        took = _time(work, calls)
        if took * 4 > slice_ns:
            return max(1, calls * slice_ns // took)
        calls *= 2
