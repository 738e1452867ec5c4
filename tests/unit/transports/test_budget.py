"""The memory budget: who is shed, when, and what is told about it."""

from hypothesis import given
from hypothesis import strategies as st

from framewarden.transports import budget as module
from framewarden.transports.budget import MemoryBudget, memory_limit

LIMIT = 1875
"""A fifth is left free: shedding begins above 1500."""


class Holder:
    def __init__(self, budget, keeps=0):
        self.budget = budget
        self.charged = 0
        self.keeps = keeps
        self.shed_at = []

    def hold(self, held):
        self.budget.charge(self, held)

    def shed(self):
        self.shed_at.append(self.charged)
        self.hold(self.keeps)


def test_it_counts():
    budget = MemoryBudget(LIMIT)
    one, other = Holder(budget), Holder(budget)
    one.hold(100)
    other.hold(50)
    one.hold(30)
    assert (budget.total, one.charged, other.charged) == (80, 30, 50)
    one.hold(0)
    other.hold(0)
    assert budget.total == 0


def test_another_limit_leaves_a_fifth_free_too():
    budget = MemoryBudget(LIMIT)
    holder = Holder(budget)
    holder.hold(1500)
    assert not holder.shed_at
    budget.set_limit(1000)
    assert not holder.shed_at
    holder.hold(801)
    assert holder.shed_at == [801]
    budget.set_limit(LIMIT)
    holder.hold(1500)
    assert holder.shed_at == [801]


def test_the_largest_are_shed_first_until_an_eighth_is_free():
    budget = MemoryBudget(LIMIT)
    holders = [Holder(budget) for _ in range(4)]
    for holder, held in zip(holders, (100, 700, 200, 500), strict=True):
        holder.hold(held)
    assert not any(holder.shed_at for holder in holders)  # exactly the limit
    holders[0].hold(101)
    assert [holder.shed_at for holder in holders] == [[], [700], [], []]
    assert budget.total == 801


def test_one_that_is_leaving_is_not_shed_again_and_others_are():
    budget = MemoryBudget(LIMIT)
    first, second = Holder(budget, keeps=900), Holder(budget)
    first.hold(1600)
    assert first.shed_at == [1600]
    assert budget.crowded
    second.hold(1400)
    assert not second.shed_at  # what is leaving does not count
    second.hold(1501)
    assert (first.shed_at, second.shed_at) == ([1600], [1501])
    first.hold(0)
    assert not budget.crowded
    assert budget.total == 0
    first.hold(1600)  # it may come again
    assert first.shed_at == [1600, 1600]


def test_it_stays_crowded_until_the_memory_is_free(monkeypatch):
    monkeypatch.setattr(module, "SMALLEST_FALL", 1)
    falls = []
    budget = MemoryBudget(LIMIT, lambda: falls.append(budget.total))
    one = Holder(budget, keeps=200)
    one.hold(1600)
    assert budget.crowded
    one.hold(0)
    assert falls
    assert budget.crowded
    budget.settle()
    assert not budget.crowded


def test_falls_are_told_for_each_sixteenth(monkeypatch):
    monkeypatch.setattr(module, "SMALLEST_FALL", 1)
    falls = []
    budget = MemoryBudget(LIMIT, lambda: falls.append(budget.total))
    one = Holder(budget)
    for held in (1000, 950, 901, 900, 850, 800, 750, 760, 680, 660):
        one.hold(held)
    assert falls == [850, 680]  # a sixteenth is 107


@given(st.lists(st.tuples(st.integers(0, 4), st.integers(0, 800), st.integers(0, 100))))
def test_never_more_than_the_limit_but_for_what_is_leaving(changes):
    budget = MemoryBudget(LIMIT)
    holders = [Holder(budget) for _ in range(5)]
    for index, held, keeps in changes:
        holders[index].keeps = min(keeps, held)
        holders[index].hold(held)
        assert budget.total == sum(holder.charged for holder in holders)
        leaving = sum(holder.charged for holder in holders if holder in budget._leaving)
        assert budget.total - leaving <= budget.limit
        assert budget.crowded == (leaving > budget.limit // 16)


def test_memory_limit(tmp_path, monkeypatch):
    assert memory_limit(5000, workers=4) == 5000
    group = tmp_path / "memory.max"
    monkeypatch.setattr(module, "CGROUPS", (group, tmp_path / "missing"))
    whole = memory_limit(None)
    assert whole > 0
    group.write_text("max\n")
    assert memory_limit(None) == whole
    group.write_text("8000\n")
    assert memory_limit(None) == 2000
    assert memory_limit(None, workers=2) == 1000
