"""A client's deadlines, without a clock."""

import asyncio

import pytest

from framewarden import Inspector, Limits, Policy
from framewarden.transports.client_times import Deadlines, RoundTrips, new_payload

LIMITS = {
    "idle_seconds": 60.0,
    "ping_seconds": 20.0,
    "pong_seconds": 10.0,
    "frame_seconds": 5.0,
    "message_seconds": 8.0,
    "max_write_stall_seconds": 16.0,
    "max_backpressure_bytes": 1000,
}


class Watched:
    """An Inspector, what it was fed, and the deadlines."""

    def __init__(self, **changed):
        self.inspector = Inspector(Policy(limits=Limits(**LIMITS | changed)), "client")
        self.trips = RoundTrips()
        self.times = Deadlines(self.inspector, self.trips, 100.0)

    def feed(self, data, now):
        self.inspector.receive_data(data)
        return self.times.received(now)


def test_silence():
    watched = Watched()
    assert watched.times.next(100.0) == 120.0
    assert not watched.times.is_ping_due(119.9)
    assert watched.times.is_ping_due(120.0)
    watched.trips.add(b"one", 120.0, None)
    assert not watched.times.is_ping_due(121.0)  # one is under way
    assert watched.times.next(121.0) == 130.0
    assert watched.times.overdue(129.9) is None
    assert watched.times.overdue(130.0) == "pong-timeout"
    assert watched.times.overdue(160.0) == "idle-timeout"
    watched.feed(b"\x8a\x00", 125.0)  # a Pong for nobody is a byte, but no answer
    assert watched.times.overdue(130.0) == "pong-timeout"


@pytest.mark.parametrize(
    ("data", "rule", "seconds"), [(b"\x81", "frame-timeout", 5.0), (b"\x01\x01a", "message-timeout", 8.0)]
)
def test_what_has_begun(data, rule, seconds):
    watched = Watched()
    assert watched.feed(data, 101.0)  # a deadline that is sooner than those before
    assert watched.times.next(101.0) == 101.0 + seconds
    assert watched.times.overdue(100.9 + seconds) is None
    assert watched.times.overdue(101.0 + seconds) == rule


def test_a_frame_has_its_own_time_and_more_bytes_of_it_do_not_give_it_more():
    watched = Watched()
    watched.feed(b"\x82\x7e\x01\x00", 101.0)
    assert not watched.feed(b"a" * 100, 103.0)
    assert watched.times.overdue(106.0) == "frame-timeout"
    assert watched.feed(b"a" * 156 + b"\x82", 104.0)  # it ended, the next one began
    assert watched.times.overdue(106.0) is None
    assert watched.times.overdue(109.0) == "frame-timeout"
    assert watched.feed(b"\x00", 105.0)
    assert watched.times.overdue(120.0) is None


def test_bytes_of_a_frame_answer_a_ping():
    watched = Watched(frame_seconds=1000.0, message_seconds=1000.0)
    watched.trips.add(b"one", 101.0, None)
    watched.feed(b"\x82\x7e\x01\x00", 102.0)
    watched.feed(b"a", 109.0)
    assert watched.times.overdue(112.0) is None
    assert watched.times.overdue(119.0) == "pong-timeout"


def test_writes():
    watched = Watched()
    watched.times.waiting(101.0, 5000)
    assert watched.times.next(101.0) == 105.0
    watched.times.waiting(105.0, 5000)
    assert watched.times.overdue(116.9) is None
    assert watched.times.overdue(117.0) == "write-stall"
    watched.times.waiting(110.0, 4999)  # something was taken
    assert watched.times.overdue(125.9) is None
    assert watched.times.overdue(126.0) == "write-stall"
    assert not watched.times.is_ping_due(126.0)
    assert not watched.times.is_flooded(5999)
    assert watched.times.is_flooded(6000)
    watched.times.taken()
    assert watched.times.overdue(126.0) is None
    assert not watched.times.is_flooded(10**6)


def test_a_pause_in_reading_is_nobodys_silence():
    watched = Watched()
    watched.feed(b"\x81", 101.0)
    watched.trips.add(b"one", 101.0, None)
    watched.times.restart(300.0)
    assert watched.times.overdue(304.9) is None
    assert watched.times.overdue(305.0) == "frame-timeout"
    assert watched.trips.since == 300.0


def test_round_trips():
    async def measure():
        loop = asyncio.get_running_loop()
        trips = RoundTrips()
        futures = [loop.create_future() for _ in range(4)]
        payloads = [new_payload() for _ in futures]
        assert len(set(payloads)) == 4
        for number, future in enumerate(futures):
            trips.add(payloads[number], number, future)
        assert trips.since == 0
        trips.answer(b"forged")
        assert trips.since == 0
        trips.answer(payloads[1])
        assert [future.done() for future in futures] == [True, True, False, False]
        assert all(0 <= future.result() < 60 for future in futures[:2])
        trips.forget(payloads[2])
        assert trips.since == 3
        trips.fail(ValueError("gone"))
        assert isinstance(futures[3].exception(), ValueError)

    asyncio.run(measure())
