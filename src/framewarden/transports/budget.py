"""What all connections of a process may hold together (DESIGN.md 4)."""

import os
from pathlib import Path
from typing import Protocol

__all__ = ["Holder", "MemoryBudget", "memory_limit"]

CGROUPS = (Path("/sys/fs/cgroup/memory.max"), Path("/sys/fs/cgroup/memory/memory.limit_in_bytes"))
"""Where Linux says how much memory this process's group may have: cgroup v2, v1."""


class Holder(Protocol):
    """Something that is charged. ``charged``: how many bytes, as the budget has been told."""

    charged: int

    def shed(self) -> None:
        """End with [memory-budget], and give back what is held."""


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

    Args:
        limit: bytes.
    """

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.total = 0
        self._holders: set[Holder] = set()
        self._shedding = False

    def charge(self, holder: Holder, held: int) -> None:
        """``holder`` holds ``held`` bytes now. May call ``shed`` of any holder."""
        self.total += held - holder.charged
        holder.charged = held
        if held:
            self._holders.add(holder)
        else:
            self._holders.discard(holder)
        if self.total > self.limit and not self._shedding:
            self._shed()

    def _shed(self) -> None:
        self._shedding = True
        try:
            for holder in sorted(self._holders, key=_charged, reverse=True):
                if self.total <= self.limit - self.limit // 8:
                    return
                holder.shed()
        finally:
            self._shedding = False


def _charged(holder: Holder) -> int:
    return holder.charged
