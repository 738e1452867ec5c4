"""Accepting: what happens when the process is out of file descriptors."""

import errno
import logging
import resource
import socket

import pytest

from framewarden.transports import acceptor
from framewarden.transports.acceptor import Acceptor, connection_limit, listen


class Loop:
    """Remembers readers and timers."""

    def __init__(self):
        self.readers = {}
        self.timers = []
        self.clock = 0.0

    def time(self):
        return self.clock

    def add_reader(self, descriptor, callback, *arguments):
        self.readers[descriptor] = (callback, arguments)

    def remove_reader(self, descriptor):
        self.readers.pop(descriptor, None)

    def call_later(self, delay, callback):
        self.timers.append((delay, callback))


class Listener:
    """A listening socket whose accept fails."""

    def __init__(self, number):
        self.number = number
        self.calls = 0

    def fileno(self):
        return 7

    def accept(self):
        self.calls += 1
        raise OSError(self.number, "no more")


class Context:
    def __init__(self):
        from framewarden.policy import Policy

        self.loop = Loop()
        self.policy = Policy()
        self.members = set()


@pytest.mark.parametrize("number", acceptor.OUT_OF_FILES)
def test_out_of_files_is_a_pause_and_one_line(number, caplog):
    context, listener = Context(), Listener(number)
    accepting = Acceptor(context, [listener], None, None)
    accepting.start()
    for turn in range(50):
        callback, arguments = context.loop.readers[7]
        callback(*arguments)
        assert listener.calls == turn + 1  # it does not spin
        assert listener.fileno() not in context.loop.readers
        delay, again = context.loop.timers.pop()
        assert delay == pytest.approx(0.1)
        context.loop.clock += delay
        again()
    assert [record.levelno for record in caplog.records] == [logging.ERROR]


def test_other_errors_are_not_hidden():
    context, listener = Context(), Listener(errno.EBADF)
    with pytest.raises(OSError, match="no more"):
        Acceptor(context, [listener], None, None)._accept(listener)
    listener = Listener(errno.EAGAIN)
    Acceptor(context, [listener], None, None)._accept(listener)
    assert listener.calls == 1


@pytest.mark.parametrize("number", acceptor.GONE_ALREADY)
def test_a_connection_that_is_gone_before_it_is_taken(number, caplog):
    class Flaky(Listener):
        def accept(self):
            if self.calls == 3:
                self.number = errno.EAGAIN
            return super().accept()

    context, listener = Context(), Flaky(number)
    Acceptor(context, [listener], None, None)._accept(listener)
    assert listener.calls == 4
    assert caplog.records == []


def test_connection_limit(monkeypatch):
    assert connection_limit(7) == 7
    for files, expected in ((1024, 768), (100, 50), (1, 1), (resource.RLIM_INFINITY, 1 << 30)):
        monkeypatch.setattr(resource, "getrlimit", lambda which, files=files: (files, files))
        assert connection_limit(None) == expected


def test_listen():
    sockets = listen("localhost", 0, 5)
    try:
        assert len({sock.getsockname()[1] for sock in sockets}) == 1
        assert all(not sock.getblocking() for sock in sockets)
        port = sockets[0].getsockname()[1]
        with pytest.raises(OSError, match=rf"127\.0\.0\.1:{port}: .*in use"):
            listen("127.0.0.1", port, 5)
    finally:
        for sock in sockets:
            sock.close()
    with pytest.raises(OSError, match="not a host name"):
        listen("a..b", 0, 5)


def test_an_unknown_name_says_which(monkeypatch):
    def unknown(*arguments, **options):
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", unknown)
    with pytest.raises(socket.gaierror, match="nobody:80: Name or service"):
        listen("nobody", 80, 5)
