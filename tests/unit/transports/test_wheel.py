"""The timer wheel, on a clock that a test turns."""

import pytest

from framewarden.transports.wheel import TimerWheel


class Loop:
    """The part of an event loop that the wheel uses."""

    def __init__(self):
        self.clock = 100.0
        self.calls = []
        self.errors = []

    def time(self):
        return self.clock

    def call_later(self, delay, callback):
        call = [self.clock + delay, callback]
        self.calls.append(call)
        loop = self

        class Handle:
            def cancel(self):
                loop.calls.remove(call)

        return Handle()

    def call_exception_handler(self, context):
        self.errors.append(context["exception"])

    def run(self, seconds, step=0.05):
        end = self.clock + seconds
        while self.clock < end:
            self.clock += step
            for call in [call for call in self.calls if call[0] <= self.clock]:
                self.calls.remove(call)
                call[1]()


class Entry:
    def __init__(self, answer=None):
        self.wheel_slot = None
        self.seen = []
        self.answer = answer

    def on_deadline(self, now):
        self.seen.append(now)
        return self.answer(now) if self.answer else None


@pytest.fixture
def loop():
    return Loop()


@pytest.fixture
def wheel(loop):
    return TimerWheel(loop, 0.1)


def test_never_early_and_at_most_two_ticks_late(loop, wheel):
    entries = {when: Entry() for when in (100.01, 100.1, 100.15, 101.0, 105.03)}
    for when, entry in entries.items():
        wheel.add(entry, when)
    loop.run(6)
    for when, entry in entries.items():
        assert len(entry.seen) == 1
        assert when - 1e-6 <= entry.seen[0] <= when + 0.2 + 0.05 + 1e-6


def test_an_entry_says_when_to_come_again(loop, wheel):
    entry = Entry(lambda now: now + 1 if now < 102.5 else None)
    wheel.add(entry, 101)
    loop.run(5)
    assert len(entry.seen) == 3
    assert loop.calls == []  # an empty wheel does not turn


def test_moved_and_removed(loop, wheel):
    moved, removed = Entry(), Entry()
    wheel.add(moved, 105)
    wheel.add(moved, 101)
    wheel.add(removed, 101)
    wheel.remove(removed)
    wheel.remove(removed)
    loop.run(6)
    assert len(moved.seen) == 1
    assert removed.seen == []


def test_one_entry_can_remove_and_move_another(loop, wheel):
    a, b, c = Entry(), Entry(), Entry()

    def first(now):
        for entry in (a, b):
            wheel.remove(entry)
        wheel.add(c, 103)

    a.answer = b.answer = first
    for entry in (a, b, c):
        wheel.add(entry, 101)
    loop.run(1.5)
    assert len(a.seen) + len(b.seen) == 1
    loop.run(2)
    assert c.seen[-1] >= 103


def test_an_error_does_not_stop_the_clock(loop, wheel):
    bad, good = Entry(lambda now: 1 / 0), Entry()
    wheel.add(bad, 101)
    wheel.add(good, 101.2)
    loop.run(2)
    assert len(good.seen) == 1
    assert isinstance(loop.errors[0], ZeroDivisionError)


def test_a_late_turn_catches_up(loop, wheel):
    entries = [Entry() for _ in range(5)]
    for number, entry in enumerate(entries):
        wheel.add(entry, 100.5 + number)
    loop.run(60, step=50)
    assert all(len(entry.seen) == 1 for entry in entries)


def test_close(loop, wheel):
    entry = Entry()
    wheel.add(entry, 101)
    wheel.close()
    loop.run(2)
    assert entry.seen == []
    assert entry.wheel_slot is None
