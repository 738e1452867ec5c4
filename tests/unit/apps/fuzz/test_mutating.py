"""Mutation that knows frames."""

import random
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from framewarden.apps.fuzz import mutating
from framewarden.apps.fuzz.mutating import MOST_FRAMES, STEPS, Frame, Parts, cross, join, mutate, split
from framewarden.codec import encode_frame
from framewarden.testing import Peer, broken

KEY = b"\x37\xfa\x21\x3d"
HONEST = (
    encode_frame(1, "héllo €".encode(), key=KEY)
    + encode_frame(9, b"ping", key=KEY)
    + encode_frame(2, b"x" * 300, fin=False, key=KEY)
    + encode_frame(0, b"y" * 5, key=KEY)
    + encode_frame(8, b"\x03\xe8", key=KEY)
)
anything = st.binary(max_size=400) | broken(Peer("server", None)) | broken(Peer("client", None))


def seeds(count=300):
    return [random.Random(seed) for seed in range(count)]


@given(anything)
def test_join_undoes_split(stream):
    assert join(split(stream)) == stream


def test_a_frame_is_taken_apart():
    frame, *rest = split(HONEST).frames
    assert len(rest) == 4
    assert (frame.first, frame.form, frame.declared, frame.key) == (0x81, 0, 10, KEY)
    assert frame.payload == "héllo €".encode()
    assert frame.data == encode_frame(1, frame.payload, key=KEY)[6:]


@pytest.mark.parametrize("size", [0, 1, 125, 126, 65535, 65536])
@pytest.mark.parametrize("key", [KEY, None])
def test_what_carries_a_payload_is_what_our_writer_writes(size, key):
    payload = b"abcdefg" * (size // 7 + 1)
    frame = Frame.carrying(0x82, payload[:size], key)
    assert frame.wire() == encode_frame(2, payload[:size], key=key)
    assert split(frame.wire()).frames[0].payload == payload[:size]


def test_a_length_that_lies_swallows_what_follows_it():
    lying = encode_frame(2, b"", key=KEY, length_bytes=8)[:2] + (2**63).to_bytes(8, "big") + KEY
    frames, tail = split(lying + HONEST)
    assert [(frame.form, frame.declared, frame.data, tail) for frame in frames] == [(8, 2**63, HONEST, b"")]


@pytest.mark.parametrize("cut", [b"\x81", b"\x81\xfe\x01", b"\x81\x7f" + bytes(7), b"\x81\x81abc"])
def test_a_header_that_is_cut_is_the_tail(cut):
    frames, tail = split(HONEST + cut)
    assert (len(frames), tail) == (5, cut)


@pytest.mark.parametrize("key", [KEY, None])
def test_a_frame_that_is_cut_is_completed(key):
    whole = encode_frame(1, b"hel" + b"a" * 300, key=key)
    (frame,), _ = split(whole[: 4 + len(key or b"") + 3])
    assert frame.missing == 300
    frame.complete()
    assert frame.missing == 0
    assert frame.wire() == whole


def test_the_work_on_a_stream_is_bounded():
    stream = b"\x89\x00" * (MOST_FRAMES + 10)
    frames, tail = split(stream)
    assert (len(frames), len(tail)) == (MOST_FRAMES, 20)


@pytest.mark.parametrize("step", STEPS, ids=lambda step: step.__name__)
def test_a_step_changes_the_stream(step):
    changed = 0
    for rng in seeds(60):
        frames, tail = split(HONEST)
        step(mutating._Work(frames, rng, 4096))
        changed += join(Parts(frames, tail)) != HONEST
    assert changed >= 30


@pytest.mark.parametrize("step", STEPS, ids=lambda step: step.__name__)
def test_a_step_takes_any_stream(step):
    for seed, stream in enumerate(
        [b"\x81\x00", b"\x88\x82abcd", b"\x00\xff" + b"\xff" * 20, b"\x81\xfe\0\x01abcdX", HONEST]
    ):
        for rng in seeds(20):
            frames, tail = split(stream)
            step(mutating._Work(frames, rng, seed * 10))
            assert frames
            again = split(join(Parts(frames, tail)))
            assert join(again) == join(Parts(frames, tail))


def test_every_step_is_taken(monkeypatch):
    taken = Counter()

    def counting(step):
        def count(work):
            taken[step.__name__] += 1
            step(work)

        return count

    monkeypatch.setattr(mutating, "STEPS", tuple(map(counting, STEPS)))
    for rng in seeds():
        mutate(HONEST, rng, 4096)
    assert set(taken) == {step.__name__ for step in STEPS}
    assert 300 <= sum(taken.values()) <= 1200


@given(anything, st.integers(0, 2**32), st.integers(0, 500))
def test_a_mutant_is_not_longer_than_it_may_be(stream, seed, longest):
    assert len(mutate(stream, random.Random(seed), longest)) <= longest


@given(anything, anything, st.integers(0, 2**32), st.integers(0, 500))
def test_a_cross_is_not_longer_than_it_may_be(one, other, seed, longest):
    assert len(cross(one, other, random.Random(seed), longest)) <= longest


@given(anything, anything, st.integers(0, 2**32))
def test_the_same_chance_gives_the_same_stream(one, other, seed):
    assert mutate(one, random.Random(seed), 4096) == mutate(one, random.Random(seed), 4096)
    assert cross(one, other, random.Random(seed), 4096) == cross(one, other, random.Random(seed), 4096)


def test_a_repeated_frame_that_grows_costs_no_more_than_the_result():
    frame = Frame.carrying(0x82, b"x" * 65536, None)
    frame.times = 2000
    assert len(frame.wire(100)) == len(frame.wire()) // 2000
    assert len(mutating._join_within(Parts([frame, frame], b"tail"), 100)) == 100


def test_a_mutant_keeps_the_mask_of_its_stream():
    """A continuation, a Ping that is put between: what a server judges is not that they are unmasked."""
    steps = [mutating.insert_control, mutating.insert_empty, mutating.fragment, mutating.fragment_inside_character]
    for rng in seeds(50):
        for stream, masked in ((HONEST, True), (encode_frame(1, b"text"), False)):
            frames = split(stream).frames
            for step in steps:
                step(mutating._Work(frames, rng, 4096))
            assert {frame.key is not None for frame in frames} == {masked}


def test_a_cut_inside_a_character_makes_no_other_text():
    for rng in seeds(50):
        frames = split(encode_frame(1, b"plain", key=KEY)).frames
        mutating.fragment_inside_character(mutating._Work(frames, rng, 100))
        first, second = frames
        assert (first.first, second.first) == (0x01, 0x80)
        assert len((first.payload + second.payload).decode()) == 6
        with pytest.raises(UnicodeDecodeError):
            first.payload.decode()


def test_a_cross_has_frames_of_both():
    """Of the one at the beginning, of the other behind them."""
    one, other = encode_frame(1, b"one", key=KEY) * 3, encode_frame(2, b"other", key=KEY) * 3
    found = set()
    for rng in seeds(300):
        found.add(tuple(frame.payload for frame in split(cross(one, other, rng, 4096)).frames))
    assert (b"one", b"other", b"one", b"one") in found
    assert (b"one", b"one", b"other") in found
