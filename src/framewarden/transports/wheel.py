"""One timer for all connections of a server.

A handle of the event loop for each deadline of each connection would cost more than the connections do when they are
idle. Here a deadline is a membership in a set: the sets are the slots of a wheel, one a tick, and one handle of the
loop turns it while it is not empty. Deadlines that move (every byte received moves one) are not moved here: the entry
is visited at the old time and says when to come again, so a busy connection costs one visit in ``ping_seconds``.
"""

import asyncio
import math
from typing import Protocol

__all__ = ["Entry", "TimerWheel"]


class Entry(Protocol):
    """Something that has deadlines. ``wheel_slot`` belongs to the wheel; None: not in it."""

    wheel_slot: int | None

    def on_deadline(self, now: float) -> float | None:
        """Do what is due at ``now`` (seconds of the loop's clock). Returns when to be called again; None: never."""


class _Slot(set[Entry]):
    """What is due at one tick. ``number`` is its key in the wheel: one object for all entries, which refer to it."""

    __slots__ = ("number",)

    def __init__(self, number: int) -> None:
        super().__init__()
        self.number = number


class TimerWheel:
    """Calls entries at or shortly after their deadlines: at most two ticks late.

    Args:
        loop: whose clock and timers are used.
        tick: resolution in seconds.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, tick: float) -> None:
        self._loop = loop
        self._tick = tick
        self._slots: dict[int, _Slot] = {}
        self._turned = 0
        self._handle: asyncio.TimerHandle | None = None
        self.now = loop.time

    def add(self, entry: Entry, when: float) -> None:
        """Call ``entry`` at ``when``, and no longer at the time it was added for before."""
        self.remove(entry)
        if self._handle is None:
            self._turned = int(self.now() / self._tick)
            self._handle = self._loop.call_later(self._tick, self._turn)
        number = max(math.ceil(when / self._tick), self._turned + 1)
        slot = self._slots.get(number)
        if slot is None:
            slot = self._slots[number] = _Slot(number)
        slot.add(entry)
        entry.wheel_slot = slot.number

    def hasten(self, entry: Entry, when: float) -> None:
        """Call ``entry`` at ``when``, if that is sooner than what it is in the wheel for."""
        slot = entry.wheel_slot
        if slot is None or when < (slot - 1) * self._tick:
            self.add(entry, when)

    def remove(self, entry: Entry) -> None:
        """Forget ``entry``; it need not be in the wheel."""
        slot = entry.wheel_slot
        if slot is None:
            return
        entry.wheel_slot = None
        entries = self._slots[slot]
        entries.discard(entry)
        if not entries:
            del self._slots[slot]

    def _turn(self) -> None:
        """Visit every slot whose time has come. A late turn catches up: cost is a lookup a missed tick."""
        now = self.now()
        reached = int(now / self._tick)
        if reached - self._turned > len(self._slots):
            due = sorted(slot for slot in self._slots if slot <= reached)
        else:
            due = [slot for slot in range(self._turned + 1, reached + 1) if slot in self._slots]
        self._turned = reached
        # What is added from here on comes into a later slot, so the wheel must be seen as turning.
        for slot in due:
            for entry in tuple(self._slots.get(slot, ())):
                if entry.wheel_slot == slot:  # else another entry's visit moved it
                    self._visit(entry, now)
        self._handle = self._loop.call_later(self._tick, self._turn) if self._slots else None

    def _visit(self, entry: Entry, now: float) -> None:
        self.remove(entry)
        try:
            again = entry.on_deadline(now)
        except Exception as error:  # noqa: BLE001  # one connection's error must not stop everybody's clock
            self._loop.call_exception_handler({"message": "framewarden: a deadline failed", "exception": error})
            return
        if again is not None:
            self.add(entry, again)

    def close(self) -> None:
        """Stop turning; nothing is called any more."""
        if self._handle is not None:
            self._handle.cancel()
        for entries in self._slots.values():
            for entry in entries:
                entry.wheel_slot = None
        self._slots.clear()
        self._handle = None
