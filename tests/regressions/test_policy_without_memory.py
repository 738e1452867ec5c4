"""A Policy was never let go of when there was no memory for what an Inspector keeps beside it."""

import sys

from framewarden.engine import Inspector
from framewarden.policy import Policy, Schema
from tests.anomalies.conftest import allocations, allocations_path
from tests.anomalies.counting import forget
from tests.vectors.schemas import Say

__all__ = ["allocations", "allocations_path"]  # fixtures


def test_a_policy_is_let_go_of(allocations):
    """CPython 3.11 forgets the arguments of a function that makes a closure, without memory for the cell."""
    schema = Schema(text=Say)
    for n in range(1, 60):
        policy = Policy(schema=schema)
        before = sys.getrefcount(policy)
        forget()
        allocations.run([(Inspector, (policy,))], n, n)
        forget()
        assert sys.getrefcount(policy) == before, n
