"""encode_frame raised OverflowError when it was asked for no extended length and there was a payload."""

import pytest

from framewarden.codec import encode_frame
from framewarden.errors import ArgumentError
from tests.playback import frames


@pytest.mark.parametrize("size", [0, 1, 125])
@pytest.mark.parametrize("key", [None, b"\x37\xfa\x21\x3d"])
def test_a_frame_without_extended_length_is_the_minimal_one(size, key):
    frame = encode_frame(2, bytes(size), key=key, length_bytes=0)
    assert frame == encode_frame(2, bytes(size), key=key)
    assert frames(frame) == [(0x82, bytes(size))]


def test_what_does_not_fit_is_refused():
    with pytest.raises(ArgumentError):
        encode_frame(2, bytes(126), length_bytes=0)
