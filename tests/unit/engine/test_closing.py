"""What a Close of ours that waits changes, and what it does not; what no mode lets pass."""

from typing import Any

from framewarden.codec import encode_frame
from framewarden.engine import Inspector
from framewarden.policy import Limits, Policy, Schema
from tests.playback import frames

KEY = b"\x37\xfa\x21\x3d"


def test_a_ping_is_answered_while_our_close_waits():
    """RFC 6455 5.5.2: only a Close that was received ends that; and the Close stays the last thing out."""
    inspector = Inspector()
    inspector.send_close(4000, "enough")
    inspector.receive_data(encode_frame(9, b"there?", key=KEY) + encode_frame(9, key=KEY))
    assert frames(inspector.data_to_send()) == [(0x8A, b"there?"), (0x8A, b""), (0x88, b"\x0f\xa0enough")]


def test_a_close_of_ours_that_waits_stays_what_it_is():
    """The peer's comes before ours has left: ours is the answer (RFC 6455 5.5.1)."""
    inspector = Inspector()
    inspector.send_close(4000, "enough")
    inspector.receive_data(encode_frame(8, b"\x03\xe8bye", key=KEY))
    assert frames(inspector.data_to_send()) == [(0x88, b"\x0f\xa0enough")]
    assert (inspector.close_code, inspector.close_reason) == (1000, "bye")


def test_the_budget_is_enforced_in_report_mode():
    policy = Policy(limits=Limits(max_decode_nodes=16), schema=Schema(text=Any), mode="report")
    inspector = Inspector(policy)
    assert inspector.receive_data(encode_frame(1, b"[" + b"1," * 30 + b"1]", key=KEY)) == []
    assert inspector.violation.rule == "decode-nodes"
