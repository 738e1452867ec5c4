"""Mutations of an input whose rest is a stream of frames: the frames are changed as frames, and the choices before them
are mostly left alone; now and then the stream is cut in another way.
"""

import random

from framewarden.apps.fuzz.mutating import cross, mutate

__all__ = ["cross_streams", "mutate_stream"]

RECUT = 0.2
"""How often an input is cut in another way instead."""


def mutate_stream(data: bytes, rng: random.Random, longest: int, begin: int, cuts: range) -> bytes:
    """Change an input.

    Args:
        data: the input.
        rng: decides; the same one does the same.
        longest: bytes that it may have afterwards.
        begin: where the stream begins; before it are choices (``fuzz.draw``).
        cuts: where the choices are that say how it is cut.
    """
    choices, stream = bytearray(data[:begin].ljust(begin, b"\0")), data[begin:]
    if rng.random() < RECUT:
        choices[rng.choice(cuts)] = rng.randrange(256)
    else:
        stream = mutate(stream, rng, max(0, longest - begin))
    return bytes(choices) + stream


def cross_streams(one: bytes, other: bytes, rng: random.Random, longest: int, begin: int) -> bytes:
    """Frames of both inputs, with the choices of the first."""
    return one[:begin].ljust(begin, b"\0") + cross(one[begin:], other[begin:], rng, max(0, longest - begin))
