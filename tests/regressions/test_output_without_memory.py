"""Without memory to hand out what waited, it was lost and the connection went on: messages were missing in silence."""

import pytest

from framewarden.codec.extensions import DeflateParameters
from framewarden.engine import Inspector, Message
from framewarden.errors import ClosedError
from framewarden.rfc6455 import State
from tests.anomalies.conftest import allocations, allocations_path

__all__ = ["allocations", "allocations_path"]  # fixtures


@pytest.mark.parametrize("take", ["data_to_send", "buffers_to_send"])
@pytest.mark.parametrize("last", [1, 1000])
def test_output_that_is_lost_fails_the_connection(take, last, allocations):
    inspector = Inspector()
    inspector.send_text("lost")
    _, error, _, refused, _ = allocations.run([(getattr(inspector, take), ())], 1, last)
    assert refused
    assert isinstance(error, MemoryError)
    assert inspector.state is State.FAILED
    assert inspector.violation.rule == "out-of-memory"
    assert inspector.data_to_send() == b"\x88\x0f" + (1011).to_bytes(2, "big") + b"out-of-memory"


def send_ping(inspector):
    return inspector.send_ping, (bytes(125),)


def answer_ping(inspector):
    return inspector.receive_data, (b"\x89\xfd" + bytes(4 + 125),)


@pytest.mark.parametrize("ping", [send_ping, answer_ping])
def test_what_is_sent_afterwards_refers_to_nothing_that_was_lost(ping, allocations):
    """The compressor knew a message that had been lost with a Ping, or a Pong, that there was no memory for."""
    lost = 0
    for n in range(1, 60):
        inspector = Inspector(deflate=DeflateParameters())
        inspector.send_text("a message that is lost" * 10)
        allocations.run([ping(inspector)] * 20, n, n)
        inspector.send_text("a message that is lost" * 10)
        client = Inspector(role="client", deflate=DeflateParameters())
        messages = [event for event in client.receive_data(inspector.data_to_send()) if isinstance(event, Message)]
        assert client.violation is None
        assert {message.data for message in messages} == {"a message that is lost" * 10}
        lost += len(messages) == 1
    assert lost


def test_a_message_whose_beginning_was_lost_is_not_ended(allocations):
    """The peer got a continuation with nothing begun (RFC 6455 5.4)."""
    inspector = Inspector()
    inspector.send_fragment("begin")
    _, error, *_ = allocations.run([(inspector.data_to_send, ())], 1, 1)
    assert isinstance(error, MemoryError)
    with pytest.raises(ClosedError):
        inspector.send_fragment("end", final=True)
    client = Inspector(role="client")
    [close] = client.receive_data(inspector.data_to_send())
    assert client.violation is None
    assert close.code == 1011
