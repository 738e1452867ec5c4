"""A client whose key source failed at its Close could not be asked for its violation: that raised again, every time."""

import pytest

from framewarden.engine import Inspector
from framewarden.errors import ArgumentError
from framewarden.policy import Policy


def test_the_verdict_can_be_read_where_no_close_can_be_written():
    events = []
    inspector = Inspector(Policy(on_event=events.append), "client", key_source=lambda _: b"abc")
    with pytest.raises(ArgumentError, match="key_source"):
        inspector.receive_data(b"\x83\x00")
    for _ in range(2):
        assert inspector.violation is not None
        assert inspector.violation.rule == "reserved-opcode"
        assert inspector.data_to_send() == b""
    assert [event.rule for event in events] == ["reserved-opcode"]


def test_a_key_source_that_asks_for_the_verdict_is_told_of_once():
    events = []

    def key_source(_):
        assert inspector.violation is not None
        return b"\1\2\3\4"

    inspector = Inspector(Policy(on_event=events.append), "client", key_source=key_source)
    inspector.receive_data(b"\x83\x00")
    assert [event.rule for event in events] == ["reserved-opcode"]
