"""An input becomes as small as it can be and still shows the fault."""

import time

from hypothesis import given
from hypothesis import strategies as st

from framewarden.apps.fuzz.minimising import minimise


@given(st.binary(max_size=60), st.binary(min_size=1, max_size=4), st.binary(max_size=60))
def test_what_is_left_is_what_matters(before, needle, behind):
    small = minimise(before + needle + behind, lambda data: needle in data, 60)
    assert small == needle


@given(st.binary(min_size=3, max_size=60))
def test_bytes_that_do_not_matter_become_zeros(data):
    assert minimise(data, lambda other: len(other) >= 3, 60) == bytes(3)


def test_no_byte_of_two_pieces_that_belong_together_is_left_out():
    data = b"x" * 500 + b"A" + b"y" * 500 + b"B" + b"z" * 500
    assert minimise(data, lambda other: b"A" in other and b"B" in other, 60) == b"AB"


def test_it_stops_when_the_time_is_over():
    begun = time.monotonic()

    def slow(data: bytes) -> bool:
        time.sleep(0.01)
        return b"A" in data

    assert b"A" in minimise(b"x" * 3000 + b"A" + b"x" * 3000, slow, 0.2)
    assert time.monotonic() - begun < 5
