"""What an application can do with a session; the wire is read back by an Inspector in the client's role."""

from typing import Any

import msgspec
import pytest

from framewarden.engine import Inspector
from framewarden.errors import ArgumentError, ArgumentTypeError, ClosedError
from framewarden.policy import Policy, Schema
from framewarden.rfc6455 import Opcode, State
from framewarden.session import Handler, Link, Session
from framewarden.session.session import new_session_id


class Say(msgspec.Struct, tag="say"):
    text: str


class Wire(Link):
    """A link that only remembers that it was woken."""

    def __init__(self):
        self.flushes = []

    def wake(self):
        self.flushing = True
        self.flushes.append(1)


def make(policy=Policy(), path="/", subprotocol=None):
    inspector = Inspector(policy, route=path, subprotocol=subprotocol)
    link = Wire()
    session = Session(link, inspector, id=new_session_id(), identity=None, subprotocol=subprotocol, path=path, query="")
    flushes = link.flushes
    return session, inspector, flushes


def sent(inspector):
    """The messages that left, as a client sees them."""
    client = Inspector(Policy(), "client")
    return [(event.opcode, event.data) for event in client.receive_data(inspector.data_to_send())]


@pytest.mark.parametrize(
    ("data", "opcode", "wire"),
    [
        ("text", Opcode.TEXT, "text"),
        ("", Opcode.TEXT, ""),
        (b"bytes", Opcode.BINARY, b"bytes"),
        (bytearray(b"bytes"), Opcode.BINARY, b"bytes"),
        (memoryview(b"bytes"), Opcode.BINARY, b"bytes"),
        (Say("hi"), Opcode.TEXT, '{"type":"say","text":"hi"}'),
        ({"a": [1, None]}, Opcode.TEXT, '{"a":[1,null]}'),
        (7, Opcode.TEXT, "7"),
    ],
)
def test_send(data, opcode, wire):
    session, inspector, _ = make()
    session.send(data)
    assert sent(inspector) == [(opcode, wire)]


@pytest.mark.parametrize(
    ("schema", "path", "subprotocol", "binary"),
    [
        (None, "/", None, False),
        (Schema(text=Say), "/", None, False),
        (Schema(text=Say, binary=Say), "/", None, False),
        (Schema(binary=Say), "/", None, True),
        (Schema(text=Say, routes={"/b": Schema(binary=Say)}), "/b", None, True),
        (Schema(text=Say, routes={"/b": Schema(binary=Say)}), "/", None, False),
        (Schema(text=Say, subprotocols={"mp": Schema(binary=Say)}), "/", "mp", True),
        (Schema(text=Say, subprotocols={"mp": Schema(binary=Say)}), "/", None, False),
    ],
)
def test_messagepack_where_the_schema_has_only_binary(schema, path, subprotocol, binary):
    session, inspector, _ = make(Policy(schema=schema), path, subprotocol)
    session.send(Say("hi"))
    (opcode, data), *_ = sent(inspector)
    assert opcode == (Opcode.BINARY if binary else Opcode.TEXT)
    decoded: Any = (msgspec.msgpack if binary else msgspec.json).decode(data, type=Say)
    assert decoded == Say("hi")


@pytest.mark.parametrize("data", [None, object(), {"a": object()}, 1j])
def test_what_cannot_be_sent(data):
    session, inspector, flushes = make()
    with pytest.raises(ArgumentTypeError):
        session.send(data)
    assert inspector.data_to_send() == b""
    assert flushes == []


def test_a_text_that_is_not_unicode():
    session, inspector, _ = make()
    for data in ("\ud800", Say("\ud800")):
        with pytest.raises(ArgumentError):
            session.send(data)
    assert inspector.data_to_send() == b""


def test_one_flush_for_many_sends():
    session, _, flushes = make()
    session.send("a")
    session.send("b")
    session.ping()
    assert flushes == [1]


def test_close():
    session, inspector, flushes = make()
    with pytest.raises(ArgumentError):
        session.close(1005)
    assert session.state is State.OPEN
    session.send("before")
    session.close(1001, "bye")
    session.close(1000)  # the first one counts
    assert flushes == [1]
    assert inspector.data_to_send().endswith(b"\x88\x05\x03\xe9bye")
    with pytest.raises(ClosedError):
        session.send("after")
    session.close(4000)


def test_ids_differ():
    assert len({new_session_id() for _ in range(100)}) == 100
    assert len(new_session_id()) >= 22


def test_a_handler_authenticates_only_where_it_says_so():
    class Token(Handler):
        def authenticate(self, request):
            return None

    assert not Handler().authenticates
    assert Token().authenticates


def test_whether_a_handler_authenticates():
    class Overridden(Handler):
        def authenticate(self, request):
            return None

    class Static(Handler):
        @staticmethod
        def authenticate(request):
            return None

    on_the_object = Handler()
    on_the_object.authenticate = lambda request: None
    assert [each.authenticates for each in (Overridden(), Static(), on_the_object)] == [True] * 3
    assert not Handler().authenticates
    assert not type("Plain", (Handler,), {})().authenticates
