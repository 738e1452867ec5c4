"""A decoded message was never released when there was no memory for its event."""

import sys

from framewarden.engine import Inspector
from framewarden.policy import Policy, Schema
from tests.anomalies.conftest import allocations, allocations_path

__all__ = ["allocations", "allocations_path"]  # fixtures


class Odd:
    """A type that msgspec does not know."""


DECODED = Odd()


def test_a_decoded_message_is_released(allocations):
    """The hook always gives the same object: its references are counted."""
    policy = Policy(schema=Schema(text=Odd, dec_hook=lambda kind, value: DECODED))
    events = [Inspector(role="client").receive_data(b"\x82\x00") for _ in range(1100)]  # none is left for reuse
    before = sys.getrefcount(DECODED)
    for n in range(1, 40):
        inspector = Inspector(policy, "client")
        allocations.run([(inspector.receive_data, (b"\x81\x011",))], n, n)
        del inspector
    assert sys.getrefcount(DECODED) == before
    assert events
