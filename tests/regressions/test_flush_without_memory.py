"""A connection that could not ask for a flush, for lack of memory, believed that it had: it sent nothing any more."""

import pytest

from framewarden.engine import Inspector
from framewarden.transports.connection import Connection


class Budget:
    def charge(self, connection, held):
        pass


class Context:
    """All that a connection asks for while it is made; there is no memory for its first flush."""

    on_control = loop = None
    buffer = bytearray(1)

    def __init__(self):
        self.budget = Budget()
        self.asked = []

    def now(self):
        return 0.0

    def flush_later(self, connection):
        self.asked.append(connection)
        if len(self.asked) == 1:
            raise MemoryError

    end_soon = flush_later


class Transport:
    def set_write_buffer_limits(self, high):
        pass


def made():
    context = Context()
    connection = Connection(
        context, Transport(), Inspector(), -1, id="s", identity=None, subprotocol=None, path="/", query=""
    )
    return context, connection


def test_the_next_send_asks_for_a_flush_again():
    context, connection = made()
    with pytest.raises(MemoryError):
        connection.session.ping(b"first")
    connection.session.ping(b"second")
    assert context.asked == [connection] * 2


def test_what_is_shed_asks_for_a_flush_again():
    context, connection = made()
    with pytest.raises(MemoryError):
        connection.shed()
    connection.shed()
    assert context.asked == [connection] * 2
