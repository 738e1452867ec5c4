#!/usr/bin/env python3
"""A test suite of somebody who uses framewarden: a counter behind an Inspector, tested with framewarden.testing.

Run ``pytest examples/test_with_strategies.py``, with ``pip install framewarden[testing] pytest``.
"""

from typing import Annotated

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from framewarden import DeflateParameters, Inspector, Message, Policy, Schema
from framewarden.testing import InspectorPair, Peer, almost_shaped, broken, chunkings, peers, read, shaped, streams


class Add(msgspec.Struct, tag="add", forbid_unknown_fields=True):
    """Count further."""

    step: Annotated[int, msgspec.Meta(ge=1, le=10)]


class Reset(msgspec.Struct, tag="reset", forbid_unknown_fields=True):
    """Begin again."""


class Total(msgspec.Struct, tag="total", forbid_unknown_fields=True):
    """What the server answers."""

    value: int


POLICY = Policy(schema=Schema(text=Add | Reset))
CLIENT_POLICY = Policy(schema=Schema(text=Total))


class Counter:
    """What is tested: it reads from a client, and answers every message with the total."""

    def __init__(self) -> None:
        self.total = 0
        self.inspector = Inspector(POLICY)

    def receive(self, data: bytes) -> bytes:
        """Read what came, and say what is to be sent."""
        for event in self.inspector.receive_data(data):
            if isinstance(event, Message):
                self.total = self.total + event.data.step if isinstance(event.data, Add) else 0
                self.inspector.send_text(msgspec.json.encode(Total(self.total)).decode())
        return self.inspector.data_to_send()


@given(st.data(), st.lists(shaped(Add | Reset), max_size=5))
def test_totals_come_in_order_however_the_stream_is_cut(data: st.DataObject, messages: list[bytes]) -> None:
    """The client is an Inspector as well: it checks what the counter sends."""
    counter, client = Counter(), Inspector(CLIENT_POLICY, role="client")
    for message in messages:
        client.send_text(message.decode())
    answers = [counter.receive(chunk) for chunk in data.draw(chunkings(client.data_to_send()))]
    totals = [event[2].value for event in read(client, answers)]
    assert client.violation is None
    assert len(totals) == len(messages)
    assert totals[-1:] in ([], [counter.total])


@given(almost_shaped(Add | Reset))
def test_what_is_almost_a_message_changes_nothing(message: bytes) -> None:
    """And ends the connection with the code for a schema."""
    counter, client = Counter(), Inspector(role="client")
    counter.total = 7
    client.send_text(message.decode())
    read(client, [counter.receive(client.data_to_send())])
    assert counter.total == 7
    assert client.close_code == 4422


@given(st.data())
def test_no_stream_makes_the_counter_raise(data: st.DataObject) -> None:
    """Hostile bytes end in a violation, or wait for more."""
    counter = Counter()
    for chunk in data.draw(chunkings(data.draw(broken(Peer("server"))))):
        counter.receive(chunk)
    assert counter.total >= 0


@given(st.data(), peers())
def test_an_honest_stream_is_read(data: st.DataObject, peer: Peer) -> None:
    """The strategies are for any parser that is to read WebSocket; here it is the Inspector."""
    stream = data.draw(streams(peer))
    assert read(Inspector(Policy(), peer.role, deflate=peer.deflate), [stream.data]) == stream.events


class CounterPair(InspectorPair):
    """Both ends with the policies that they have in production."""

    policy = POLICY
    client_policy = CLIENT_POLICY
    deflate = DeflateParameters()


TestCounterPair = CounterPair.TestCase
