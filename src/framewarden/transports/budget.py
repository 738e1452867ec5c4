"""What all connections of a process may hold together (DESIGN.md 4)."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

__all__ = ["Holder", "MemoryBudget", "memory_limit"]

SMALLEST_FALL = 1024 * 1024
"""Bytes given back for which ``on_fall`` is worth its time at least."""
CGROUPS = (Path("/sys/fs/cgroup/memory.max"), Path("/sys/fs/cgroup/memory/memory.limit_in_bytes"))
"""Where Linux says how much memory this process's group may have: cgroup v2, v1."""


class Holder(Protocol):
    """Something that is charged. ``charged``: how many bytes, as the budget has been told."""

    charged: int

    def shed(self) -> None:
        """End with [memory-budget], and give back what is held, now or soon; charges what is held until then."""


def memory_limit(configured: int | None, workers: int = 1) -> int:
    """``limits.max_memory_bytes``; by default a quarter of the machine's or the cgroup's, shared by ``workers``."""
    if configured is not None:
        return configured
    memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    for file in CGROUPS:
        try:
            memory = min(memory, int(file.read_text()))
        except (OSError, ValueError):  # there is no such group, or it says "max"
            continue
    return memory // 4 // workers


class MemoryBudget:
    """Counts bytes, and sheds those who hold most when there are too many.

    Shedding goes on until an eighth of the limit is free, so that it is not done anew for every byte above the line:
    its cost, a sort, is shared by at least that many bytes.

    A fifth of the limit is left free for what is not counted: the message that is just handled, Python's objects,
    fragments between them.

    Args:
        limit: bytes.
        on_fall: called when a sixteenth of the limit has been given back, each time; it has ``settle`` called when
            that is free. What holders give back goes to the allocator, which need not give it to the system: fragments
            of it would add up beyond the limit.
    """

    def __init__(self, limit: int, on_fall: Callable[[], object] | None = None) -> None:
        self.set_limit(limit)
        self.total = 0
        self._highest = 0  # total, since the last fall
        self._on_fall = on_fall
        self._holders: set[Holder] = set()
        self._leaving: set[Holder] = set()
        self._leaving_bytes = 0
        self.crowded = False
        """Whether those that were shed still hold much: the system has not got it back yet, so nobody should get more
        before the event loop has ended them."""

    def set_limit(self, limit: int) -> None:
        """Hold to another limit from the next charge on."""
        self.limit = limit - limit // 5
        self._fall = max(limit // 16, SMALLEST_FALL)

    def charge(self, holder: Holder, held: int) -> None:
        """``holder`` holds ``held`` bytes now. May call ``shed`` of any holder."""
        more = held - holder.charged
        self.total += more
        holder.charged = held
        if self._leaving and holder in self._leaving:
            self._leaving_bytes += more
            if not held:
                self._leaving.discard(holder)
            if self._leaving_bytes > self.limit // 16:
                self.crowded = True
            elif self.crowded:
                self._fallen()
        if held:
            self._holders.add(holder)
        else:
            self._holders.discard(holder)
        if self.total - self._leaving_bytes > self.limit:
            self._shed()
        if self.total > self._highest:
            self._highest = self.total
        elif self.total <= self._highest - self._fall:
            self._fallen()

    def _fallen(self) -> None:
        self._highest = self.total
        if self._on_fall is None:
            self.settle()
        else:
            self._on_fall()

    def settle(self) -> None:
        """What was given back before ``on_fall`` was called is free now."""
        self.crowded = self._leaving_bytes > self.limit // 16

    def _shed(self) -> None:
        for holder in sorted(self._holders - self._leaving, key=_charged, reverse=True):
            if self.total - self._leaving_bytes <= self.limit - self.limit // 8:
                return
            self._leaving.add(holder)
            self._leaving_bytes += holder.charged
            self.crowded = self._leaving_bytes > self.limit // 16
            holder.shed()


def _charged(holder: Holder) -> int:
    return holder.charged
