"""Comparisons that raise, also where Python runs without ``assert`` statements."""

from typing import Any

__all__ = ["expect", "same"]


def expect(condition: bool, message: str) -> None:
    """Raise AssertionError unless ``condition`` holds."""
    if not condition:
        raise AssertionError(message)


def same(got: Any, wanted: Any, what: str) -> None:
    """Raise AssertionError unless two values are equal, or read alike: NaN is not equal to itself."""
    if got != wanted and repr(got) != repr(wanted):
        raise AssertionError(f"{what}: {got!r} is not {wanted!r}")
