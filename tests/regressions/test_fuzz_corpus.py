"""The seeds of every fuzz target, and a few hundred inputs made of them, the same in every run."""

import pytest

from fuzz.mutate import Mutator
from fuzz.targets import NAMES, load

MUTATED = 300


@pytest.mark.parametrize("name", NAMES)
def test_seeds(name):
    target = load(name)
    seeds = list(target.seeds())
    assert len(seeds) >= 10
    for data in seeds:
        target.one(data)


@pytest.mark.parametrize("name", NAMES)
def test_mutated_seeds(name):
    target = load(name)
    mutator = Mutator(list(target.seeds()), target.TOKENS, seed=6455)
    for number in range(MUTATED):
        data = mutator.next()
        try:
            target.one(data)
        except Exception as error:
            raise AssertionError(f"input {number}: {data.hex()}") from error
