"""Large compressed messages: where payload is judged in pieces, output in pieces, and both against the limits."""

import random
import zlib

from hypothesis import event, given
from hypothesis import strategies as st

from framewarden.policy import Limits
from framewarden.testing import FIN, RSV1, Peer, frame
from tests.oracle import Inflate, judge
from tests.playback import make, play

KIB = 1024

runs = st.tuples(
    st.sampled_from(["zeros", "noise", "words", "nothing", "restart"]),
    st.sampled_from([1, 100, 5 * KIB, 16 * KIB - 6, 16 * KIB, 20 * KIB, 64 * KIB, 70 * KIB]),
)


def content(kind: str, size: int) -> bytes:
    seeded = random.Random(size)
    if kind == "zeros":
        return bytes(size)
    if kind == "noise":
        return seeded.randbytes(min(size, 20 * KIB))
    return b"".join(seeded.choice([b"frame ", b"fragment ", b"message "]) for _ in range(size // 8))


def compressed(parts: list[tuple[str, int]], window_bits: int) -> bytes:
    """One message whose parts compress very well, not at all, or to nothing but work."""
    wire = b""
    stream = zlib.compressobj(9, zlib.DEFLATED, -window_bits)
    for kind, size in parts:
        if kind == "nothing":
            wire += stream.flush(zlib.Z_FULL_FLUSH) + b"\x00\x00\x00\xff\xff" * min(size // 5, 2000)
        elif kind == "restart":
            wire += stream.flush(zlib.Z_FINISH) + b"\x03\x00" * min(size // 100, 3)
            stream = zlib.compressobj(9, zlib.DEFLATED, -window_bits)
        else:
            wire += stream.compress(content(kind, size))
    return wire + stream.flush(zlib.Z_SYNC_FLUSH)[:-4]


@given(st.data(), st.lists(runs, min_size=1, max_size=4), st.sampled_from([9, 15]), st.booleans())
def test_large_messages_are_judged_alike(data, parts, window_bits, context_takeover):
    deflate = Inflate(window_bits, context_takeover)
    limits = data.draw(
        st.sampled_from(
            [
                Limits(),
                Limits(max_inflated_bytes=100 * KIB),
                Limits(max_inflate_ratio=3),
                Limits(max_inflate_ratio=10**6),
            ]
        )
    )
    payload = bytearray(compressed(parts, window_bits))
    if data.draw(st.integers(0, 3)) == 0:
        payload[data.draw(st.integers(0, len(payload) - 1))] ^= data.draw(st.integers(1, 255))
    peer = Peer("client")
    points = sorted(data.draw(st.lists(st.integers(0, len(payload)), max_size=3)))
    edges = [0, *points, len(payload)]
    stream = b""
    for index, end in enumerate(edges[1:]):
        first = (0 if index else RSV1 | 2) | (FIN if index == len(points) else 0)
        stream += frame(peer, first, bytes(payload[edges[index] : end]))
    wanted = judge(stream, limits, "client", deflate)
    event(wanted.violation[0] if wanted.violation else "accepted")
    size = data.draw(st.sampled_from([1460, 16 * KIB, 16 * KIB + 1, 64 * KIB, 10**9]))
    for chunks in ([stream[start : start + size] for start in range(0, len(stream), size)], [stream]):
        assert play(chunks, make(limits, "client", deflate)).outcome == wanted
