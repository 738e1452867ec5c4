"""The doorway: who is told, when, and what stops nobody else."""

import asyncio
import os
import socket

import pytest
import uvloop

from framewarden.transports import plain
from framewarden.transports.pending import PendingHandshakes, address_key
from framewarden.transports.plain import Doorway


class Peer:
    """Counts what it is told."""

    def __init__(self, doorway, fails=False):
        self.ours, self.theirs = socket.socketpair()
        self.doorway = doorway
        self.fails = fails
        self.told = 0
        self.aborted = self.looked = False
        doorway.watch(self.ours.fileno(), self)

    def readable(self):
        self.told += 1
        if self.fails:
            raise ValueError(secret)

    def second_look(self):
        self.looked = True
        if self.fails:
            raise ValueError(secret)

    def abort(self):
        self.aborted = True

    def close(self, *, closing=True):
        self.doorway.forget(self.ours.fileno(), closing=closing)
        self.ours.close()
        self.theirs.close()


secret = "what a log must not quote"


async def turns(count=5):
    for _ in range(count):
        await asyncio.sleep(0)


def run(test):
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(asyncio.wait_for(test(), 10))


def test_it_tells_once_until_it_is_asked_again():
    async def test():
        doorway = Doorway(asyncio.get_running_loop())
        peer = Peer(doorway)
        await turns()
        assert peer.told == 0
        os.write(peer.theirs.fileno(), b"x")
        await turns()
        assert peer.told == 1
        doorway.watch_again(peer.ours.fileno())
        await turns()
        assert peer.told == 2
        doorway.forget(peer.ours.fileno(), closing=False)
        os.write(peer.theirs.fileno(), b"x")
        await turns()
        assert peer.told == 2
        peer.close()
        doorway.close()

    run(test)


def test_an_error_with_one_stops_no_other(caplog):
    async def test():
        doorway = Doorway(asyncio.get_running_loop())
        peers = [Peer(doorway, fails=index % 2 == 0) for index in range(10)]
        for peer in peers:
            os.write(peer.theirs.fileno(), b"x")
        await turns()
        assert [peer.told for peer in peers] == [1] * 10
        assert [peer.aborted for peer in peers] == [True, False] * 5
        for peer in peers:
            peer.aborted = False
            doorway.look_soon(peer)
        await asyncio.sleep(3 * plain.SECOND_LOOK_SECONDS)
        assert all(peer.looked for peer in peers)
        assert [peer.aborted for peer in peers] == [True, False] * 5
        for peer in peers:
            peer.close()
        doorway.close()

    run(test)
    assert "ValueError" in caplog.text
    assert secret not in caplog.text


def test_one_turn_of_the_loop_is_bounded(monkeypatch):
    monkeypatch.setattr(plain, "SOCKETS_A_TURN", 4)

    async def test():
        doorway = Doorway(asyncio.get_running_loop())
        peers = [Peer(doorway) for _ in range(12)]
        for peer in peers:
            os.write(peer.theirs.fileno(), b"x")
        for told in (4, 8, 12, 12):
            doorway._look()
            assert sum(peer.told for peer in peers) == told
        for peer in peers:
            peer.close()
        doorway.close()

    run(test)


def test_one_that_is_gone_in_the_same_turn_is_not_told():
    async def test():
        doorway = Doorway(asyncio.get_running_loop())
        one, two = Peer(doorway), Peer(doorway)
        for peer in (one, two):
            os.write(peer.theirs.fileno(), b"x")
        calls = []
        one.readable = lambda: (calls.append("one"), two.close())
        two.readable = lambda: (calls.append("two"), one.close())
        await turns()
        assert len(calls) == 1
        (one if calls == ["one"] else two).close()
        doorway.close()

    run(test)


def test_it_closes_when_the_last_one_is_gone():
    async def test():
        doorway = Doorway(asyncio.get_running_loop())
        peers = [Peer(doorway) for _ in range(2)]
        doorway.close()
        peers[0].close()
        assert not doorway._epoll.closed
        os.write(peers[1].theirs.fileno(), b"x")
        await turns()
        assert peers[1].told == 1
        peers[1].close()
        assert doorway._epoll.closed
        doorway.close()

    run(test)


def test_a_second_look_comes_soon():
    async def test():
        doorway = Doorway(asyncio.get_running_loop())
        peers = [Peer(doorway) for _ in range(3)]
        for peer in peers:
            doorway.look_soon(peer)
        assert not any(peer.looked for peer in peers)
        await asyncio.sleep(3 * plain.SECOND_LOOK_SECONDS)
        assert all(peer.looked for peer in peers)
        for peer in peers:
            peer.close()
        doorway.close()

    run(test)


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("192.0.2.1", "192.0.2.1", True),
        ("192.0.2.1", "192.0.2.2", False),
        ("2001:db8:1:2::1", "2001:db8:1:2:ffff::9", True),
        ("2001:db8:1:2::1", "2001:db8:1:3::1", False),
        ("fe80::1%2", "fe80::2", True),
        ("::ffff:192.0.2.1", "192.0.2.1", True),
        ("::ffff:192.0.2.1", "::ffff:192.0.2.2", False),
        ("::1", "127.0.0.1", False),
    ],
)
def test_what_counts_as_one_address(one, other, same):
    assert (address_key(one) == address_key(other)) is same


def test_places_are_counted_and_given_back():
    pending = PendingHandshakes(2)
    assert [pending.take("a") for _ in range(3)] == [True, True, False]
    assert pending.take("b")
    assert len(pending) == 2
    pending.give_back("a")
    assert pending.take("a")
    for key in ("a", "a", "b"):
        pending.give_back(key)
    assert len(pending) == 0
