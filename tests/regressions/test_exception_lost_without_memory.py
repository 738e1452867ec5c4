"""receive_data raised SystemError where CPython had lost the exception that said what was wrong with a message.

An exception that passes from one Python function to another, while there is no memory for the frame object of the
other, is cleared (CPython 3.11, take_ownership() in Python/frame.c); "error return without exception set" follows. The
parser that is asked why msgspec has refused a message raises through three functions.
"""

import pytest

from framewarden.engine import Inspector
from framewarden.policy import Policy, Schema
from framewarden.rfc6455 import State
from tests.anomalies.conftest import allocations, allocations_path
from tests.vectors.schemas import Say

__all__ = ["allocations", "allocations_path"]  # fixtures


@pytest.mark.parametrize("mode", ["enforce", "report"])
@pytest.mark.parametrize("stream", [b"\x81\x00", b"\x81\x04{,1}"], ids=["empty", "not JSON"])
def test_a_lost_exception_is_the_lack_of_memory(mode, stream, allocations):
    policy = Policy(schema=Schema(text=Say), mode=mode)
    rules = set()
    n = 0
    while True:
        n += 1
        inspector = Inspector(policy, "client", key_source=bytes)
        _, error, _, refused, _ = allocations.run([(inspector.receive_data, (stream,))], n, n)
        if not refused:
            break
        assert error is None or type(error) is MemoryError, repr(error)
        if inspector.violation is not None:
            rules.add(inspector.violation.rule)
            assert inspector.state is State.FAILED
            assert inspector.data_to_send().endswith(inspector.violation.rule.encode())
    assert n > 20
    assert rules == {"out-of-memory"} | ({"schema-malformed"} if mode == "enforce" else set())
