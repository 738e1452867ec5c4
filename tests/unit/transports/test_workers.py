"""Watching over workers, as far as it needs no process; tests/e2e/test_serve.py has the rest."""

import socket

import pytest

from framewarden.transports.workers import FAILED, LARGEST_REPORT, LONGEST_WAIT_SECONDS, READY, Worker, backoff, reserve


def test_the_time_until_another_start():
    assert [backoff(failures) for failures in range(5)] == [0, 0.1, 0.2, 0.4, 0.8]
    times = [backoff(failures) for failures in range(2000)]
    assert times == sorted(times)
    assert times[-1] == LONGEST_WAIT_SECONDS


@pytest.fixture
def pair():
    ours, theirs = socket.socketpair()
    ours.setblocking(False)
    with ours, theirs:
        yield Worker(1, ours), theirs


def test_a_worker_is_ready_when_it_says_so(pair):
    worker, theirs = pair
    worker.hear()
    assert not worker.ready
    theirs.send(READY)
    worker.hear()
    assert worker.ready
    assert worker.failure == ""
    theirs.send(FAILED + b"first this, ")
    worker.hear()
    theirs.send(b"then that")
    theirs.close()
    worker.hear()
    assert worker.failure == "first this, then that"
    worker.order(b"S")
    worker.order(b"S")  # it is gone


def test_a_report_has_an_end(pair):
    worker, theirs = pair
    for _ in range(4):
        theirs.send(FAILED + b"\xff" * LARGEST_REPORT)
        worker.hear()
    assert not worker.ready
    assert len(worker.failure) == LARGEST_REPORT - 1


def test_a_reserved_port_takes_no_connections_but_from_who_shares_it():
    with reserve("127.0.0.1", 0) as [(name, port)]:
        assert port != 0
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection((name, port))
        with reserve("127.0.0.1", port) as again:  # nobody listens there yet
            assert again == [(name, port)]
        with socket.socket() as listener:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
            listener.bind((name, port))
            listener.listen()
            with socket.create_connection((name, port)):
                pass
            with pytest.raises(OSError, match="in use"), reserve("127.0.0.1", port):
                pass
