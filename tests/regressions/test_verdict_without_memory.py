"""Without memory for its verdict a connection had failed and could not say why: no violation, no Close, no event."""

from collections import deque

import pytest

from framewarden.engine import Inspector
from framewarden.policy import Policy
from framewarden.rfc6455 import State
from tests.anomalies.conftest import allocations, allocations_path
from tests.anomalies.counting import forget

__all__ = ["allocations", "allocations_path"]  # fixtures


@pytest.mark.parametrize("alone", [True, False])
@pytest.mark.parametrize(
    "ask",
    [
        lambda inspector: inspector.violation.rule.encode(),
        lambda inspector: inspector.data_to_send(),
        lambda inspector: inspector.buffers_to_send()[-1],
    ],
    ids=["violation", "data_to_send", "buffers_to_send"],
)
def test_a_verdict_is_given_when_there_is_memory_again(ask, alone, allocations):
    n = 0
    while True:
        n += 1
        told = deque()  # it needs no memory for its first item
        inspector = Inspector(Policy(on_event=told.append))
        forget()
        _, _, _, refused, _ = allocations.run([(inspector.fail, ("idle-timeout",))], n, n if alone else 10_000)
        assert inspector.state is State.FAILED
        assert ask(inspector).endswith(b"idle-timeout")
        assert inspector.violation.rule == "idle-timeout"
        assert [event.rule for event in told] == ["idle-timeout"]
        if not refused:
            break
    assert n > 5


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
