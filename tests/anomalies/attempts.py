"""One operation, ready to be made while memory is short, and what may have come of it: shared by all scenarios."""

from collections.abc import Callable, Iterator
from itertools import repeat
from typing import Any, NamedTuple

__all__ = ["Attempt", "Calls", "Outcome", "Scenario", "Scenarios", "clock", "memory_error", "pure"]

Calls = list[tuple[Callable[..., Any], tuple[Any, ...]]]


class Outcome(NamedTuple):
    """What ``allocations.run`` tells."""

    results: list[Any]
    """Of the calls, until one raised."""
    error: BaseException | None
    allocations: int
    refused: int
    asker: str


class Attempt(NamedTuple):
    """Fresh objects, the calls that are made on them without memory, and the judge of what came of it."""

    calls: Calls
    check: Callable[[Outcome], None]


Scenario = Callable[[], Attempt]
Scenarios = Iterator[tuple[str, Scenario]]


def clock() -> Callable[[], float]:
    """One that stands still, and needs no memory."""
    return repeat(0.0).__next__


def memory_error(outcome: Outcome) -> bool:
    """Whether a call has raised MemoryError; nothing else may be raised."""
    assert outcome.error is None or type(outcome.error) is MemoryError, repr(outcome.error)
    return outcome.error is not None


def pure(function: Callable[..., Any], *arguments: Any, expected: Any) -> Scenario:
    """A function without state: its result, or MemoryError."""

    def check(outcome: Outcome) -> None:
        if not memory_error(outcome):
            assert outcome.results == [expected]
        assert function(*arguments) == expected

    return lambda: Attempt([(function, arguments)], check)
