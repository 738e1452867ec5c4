"""Do what a group of scenarios does while allocations fail: the Nth alone, and all from the Nth on, for every N.

    python -m tests.anomalies.exhaust MODULE GROUP

Started by test_out_of_memory.py, because it may crash. The last line of stdout says what it was doing: that names a
crash. Exit code 0: every N was as it should be, and what is allocated has not grown.

msgspec 0.22 does not look whether it got the memory for a string (json_decode copies into what PyUnicode_New returned,
NULL or not). So where msgspec decodes or encodes, each series of Ns is tried in a fork, and an N is left out if, and
only if, the process dies of a signal inside msgspec, and it was msgspec that had asked for the allocation that failed.
"""

import importlib.util
import json
import os
import sys
import traceback
from collections.abc import Callable
from functools import partial
from types import ModuleType
from typing import Any

from tests.anomalies.attempts import Outcome, Scenario
from tests.anomalies.counting import added, forget, freeze
from tests.anomalies.planted import PLANTED
from tests.anomalies.scenarios import DECODE, GROUPS

NEVER = 2**62
MODES: dict[str, Callable[[int], int]] = {"one": lambda n: n, "all": lambda n: NEVER}
"""The last allocation that fails, if the nth is the first."""
PASSES = 2
"""Rounds over all N, in which a leak is seen."""
REPEATS = 20
"""Rounds of one N, to see whether it is the one that leaks."""

Round = tuple[str, int]


def load(path: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location("allocations", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def say(**what: Any) -> None:
    os.write(1, json.dumps(what).encode() + b"\n")


class Exhaustion:
    """One scenario, and all that is tried with it."""

    def __init__(self, allocations: ModuleType, name: str, scenario: Scenario) -> None:
        self.allocations = allocations
        self.name = name
        self.scenario = scenario
        self.rounds: list[Round] = []

    def attempt(self, first: int, last: int) -> Outcome:
        """One round, judged. Nothing is there for reuse, so that the nth allocation is the same one in every round."""
        calls, check = self.scenario()
        forget()
        outcome = Outcome(*self.allocations.run(calls, first, last))
        check(outcome)
        return outcome

    def count(self) -> tuple[int]:
        forget()
        return (self.allocations.blocks(),)

    def run(self, *, forks: bool) -> None:
        self.attempt(NEVER, NEVER)
        for mode in MODES:
            n = 1
            if not forks:
                self.explore(mode, n)
                continue
            while crash := self.fork(partial(self.explore, mode, n)):
                n = crash["first"] + 1
        if not forks:
            self.check_growth()
            return
        while crash := self.fork(self.check_growth):
            self.rounds.remove(("one" if crash["first"] == crash["last"] else "all", crash["first"]))

    def explore(self, mode: str, n: int) -> None:
        """Every N from this one on until nothing is refused."""
        while True:
            say(scenario=self.name, mode=mode, n=n)
            if not self.attempt(n, MODES[mode](n)).refused:
                return
            self.rounds.append((mode, n))
            n += 1

    def fork(self, task: Callable[[], None]) -> dict[str, Any] | None:
        """Do it in a fork. Returns how that has crashed, if the crash is msgspec's."""
        reading, writing = os.pipe()
        child = os.fork()
        if child == 0:
            os.dup2(writing, 1)
            try:
                os.closerange(reading, writing + 1)
                task()
            except BaseException:  # noqa: BLE001 - it is told, and nothing may go on behind a fork
                traceback.print_exc()
                os._exit(1)
            os._exit(0)
        os.close(writing)
        with open(reading, "rb") as pipe:  # noqa: PTH123 - a descriptor, not a path
            said = [json.loads(line) for line in pipe]
        status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        crash = said.pop() if status else None
        self.rounds += [(line["mode"], line["n"]) for line in said[:-1] if "leaks" not in line]
        if status == 0:
            return None
        say(**crash)
        if status > 0 or not ("msgspec" in crash["asked"] and "msgspec" in crash["crashed"]):
            raise SystemExit(1)
        return crash

    def check_growth(self) -> None:
        """No round leaves anything behind.

        What msgspec forgets is not ours, nor what CPython does: 3.11 forgets a function's arguments when it has no
        memory for a cell (MAKE_CELL), and pieces of a match of re.
        """

        def every_round() -> None:
            for mode, n in self.rounds:
                self.attempt(n, MODES[mode](n))

        if added(self.count, every_round, PASSES) == [0]:
            return
        leaks = [leak for leak in self.rounds if self.leaks(*leak)]
        assert not leaks, f"blocks are leaked in rounds of {leaks}"

    def leaks(self, mode: str, n: int) -> bool:
        """Whether the repetition of one round leaves something behind that native code of ours had to let go."""
        asker = self.attempt(n, MODES[mode](n)).asker
        if "framewarden" not in asker:
            return False
        [grown] = added(self.count, partial(self.attempt, n, MODES[mode](n)), REPEATS)
        if grown:
            say(scenario=self.name, mode=mode, n=n, leaks=grown, asked=asker)
        return grown != 0


def main(path: str, group: str) -> None:
    allocations = load(path)
    sys.unraisablehook = lambda _: None  # what a callback cannot raise is written there; here it is MemoryError
    allocations.install()
    allocations.report_crashes()
    scenarios = list((GROUPS | PLANTED)[group]())
    freeze()
    for name, scenario in scenarios:
        Exhaustion(allocations, name, scenario).run(forks=group in DECODE)
    say(scenarios=len(scenarios))


if __name__ == "__main__":
    main(*sys.argv[1:])
