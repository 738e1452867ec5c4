"""The outbox against a plain list: what each policy keeps, drops and tells."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from framewarden.codec._writer import prepare
from framewarden.errors import ArgumentTypeError
from framewarden.policy import Limits, Policy
from framewarden.session import Delivery
from framewarden.transports.outbox import ENTRY_BYTES, Outbox

LIMIT = 2000
POLICIES = ("close", "drop-newest", "drop-oldest", "latest")


def make(slow_consumer):
    return Outbox(Policy(slow_consumer=slow_consumer, limits=Limits(max_backpressure_bytes=LIMIT)))


class Model:
    """The same, as a list of (key, payload), as slowly as it is said."""

    def __init__(self, policy):
        self.policy = policy
        self.waiting = []
        self.dropped = 0

    def bytes(self):
        return sum(len(payload) + ENTRY_BYTES for _, payload in self.waiting)

    def put(self, payload, key, unsent):
        if self.policy == "latest" and key is not None:
            kept = [entry for entry in self.waiting if entry[0] != key]
            self.dropped += len(self.waiting) - len(kept)
            self.waiting = kept
        drops_oldest = self.policy == "drop-oldest" or (self.policy == "latest" and key is not None)
        while True:
            others = self.bytes() + unsent
            if others == 0 or others + len(payload) + ENTRY_BYTES <= LIMIT:
                self.waiting.append((key if self.policy == "latest" else None, payload))
                return Delivery.BUFFERED
            if self.policy == "close":
                return None
            if not (drops_oldest and self.waiting):
                self.dropped += 1
                return Delivery.DROPPED
            del self.waiting[0]
            self.dropped += 1


PUT = st.tuples(st.integers(0, 3000), st.one_of(st.none(), st.integers(0, 3)), st.sampled_from((0, 0, 1, 900, 5000)))


@pytest.mark.parametrize("policy", POLICIES)
@given(steps=st.lists(st.one_of(PUT, st.just("pop"), st.just("clear")), max_size=60))
def test_as_the_model(policy, steps):
    outbox, model = make(policy), Model(policy)
    for number, step in enumerate(steps):
        if step == "clear":
            outbox.clear()
            model.dropped += len(model.waiting)
            model.waiting = []
        elif step == "pop":
            if model.waiting:
                assert outbox.pop().payload == model.waiting.pop(0)[1]
        else:
            size, key, unsent = step
            payload = number.to_bytes(2, "big") + bytes(size)
            assert outbox.put(prepare(payload), key, unsent) is model.put(payload, key, unsent)
        assert (len(outbox), outbox.bytes, outbox.dropped) == (len(model.waiting), model.bytes(), model.dropped)
        assert len(outbox) <= 1 or outbox.bytes <= LIMIT
    while model.waiting:
        assert outbox.pop().payload == model.waiting.pop(0)[1]
    assert not outbox


def test_one_that_is_too_large_waits_where_nothing_else_does():
    outbox = make("close")
    assert outbox.put(prepare(bytes(10 * LIMIT)), None, 0) is Delivery.BUFFERED
    assert outbox.put(prepare(b""), None, 0) is None


def test_a_key_must_be_hashable():
    with pytest.raises(ArgumentTypeError, match="key must be hashable, not list"):
        make("latest").put(prepare(b"x"), [], 0)
    assert make("drop-oldest").put(prepare(b"x"), [], 0) is Delivery.BUFFERED  # where it is not looked at
