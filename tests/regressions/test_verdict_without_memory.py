"""Without memory for its verdict a connection had failed and could not say why: no violation, no Close, no event."""

import pytest

from framewarden.engine import Inspector
from framewarden.policy import Policy
from framewarden.rfc6455 import State
from tests.anomalies.conftest import allocations, allocations_path

__all__ = ["allocations", "allocations_path"]  # fixtures


@pytest.mark.parametrize("last", [1, 10_000])
def test_a_verdict_is_given_when_there_is_memory_again(last, allocations):
    told = []
    inspector = Inspector(Policy(on_event=told.append))
    _, _, _, refused, _ = allocations.run([(inspector.fail, ("idle-timeout",))], 1, last)
    assert refused
    assert inspector.state is State.FAILED
    assert inspector.violation.rule == "idle-timeout"
    assert inspector.data_to_send().endswith(b"idle-timeout")
    assert [event.rule for event in told] == ["idle-timeout"]


def test_bytes_that_could_not_be_looked_at_are_not_gone_past(allocations):
    """receive_data raised MemoryError before it had read anything, and the next call went on behind those bytes."""
    inspector = Inspector(role="client")
    kept = [[] for _ in range(200)]  # more lists than the interpreter keeps for reuse
    results, error, _, refused, _ = allocations.run([(inspector.receive_data, (b"\x81",))], 1, 1000)
    assert refused
    assert isinstance(error, MemoryError) or results == [[]]
    assert kept
    assert inspector.receive_data(b"\x82\x00") == []
    assert inspector.violation.rule == "out-of-memory"
