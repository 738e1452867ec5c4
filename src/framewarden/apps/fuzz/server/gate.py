"""A gate: threads go in and out as long as it is open; who closes it is alone."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager

__all__ = ["Gate"]


class Gate:
    """Lets threads work side by side, or nobody but one."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._inside = 0
        self._open = True

    @contextmanager
    def inside(self) -> Iterator[None]:
        """Work beside others; wait where the gate is closed."""
        with self._changed:
            self._changed.wait_for(lambda: self._open)
            self._inside += 1
        try:
            yield
        finally:
            with self._changed:
                self._inside -= 1
                self._changed.notify_all()

    @contextmanager
    def alone(self) -> Iterator[None]:
        """Close the gate, and wait until everybody is out."""
        try:
            with self._changed:
                self._open = False
                self._changed.wait_for(lambda: not self._inside)
            yield
        finally:
            with self._changed:
                self._open = True
                self._changed.notify_all()
