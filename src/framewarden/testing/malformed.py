"""What a dishonest peer sends: honest streams with damage, frames that should not be, and noise."""

from hypothesis import strategies as st

from framewarden.policy import Limits
from framewarden.testing.compressed import TROUBLE as TROUBLE_DEFLATE
from framewarden.testing.contents import contents, texts
from framewarden.testing.frames import FIN, frame, masking_keys
from framewarden.testing.peers import Peer
from framewarden.testing.streams import messages, streams

__all__ = ["TIGHT", "broken", "mutated", "odd_frames"]

TIGHT = Limits(
    max_frame_bytes=300,
    max_message_bytes=500,
    max_inflated_bytes=900,
    max_fragments=6,
    max_control_run=3,
    max_empty_run=2,
)
"""Limits that the small streams of these strategies run into."""

# UTF-8 that is cut, overlong, a surrogate or too large; Close payloads.
TROUBLE_UTF8 = "c3 e282 f09f98 f09f9880 e282ac c0af e08080 f0808080 eda080 edbfbf f4908080 f5 ff 80 61ff 6162e2"
TROUBLE_CLOSE = "03e8 03ec 03ed 03e803 03e8ff 03e8e282 0bb8 1388 ffff"
TROUBLE = (*(bytes.fromhex(item) for item in f"{TROUBLE_UTF8} {TROUBLE_CLOSE}".split()), *TROUBLE_DEFLATE)
# Where the forms of the length end, and where a signed or a narrow integer would.
LENGTHS = (125, 126, 65535, 65536, 2**31, 2**32 + 5, 2**63 - 1, 2**63, 2**64 - 1)


@st.composite
def odd_frames(draw: st.DrawFn, peer: Peer) -> bytes:
    """Draw a frame with a mostly possible first byte, and perhaps another length or mask than it should have."""
    opcode = draw(st.sampled_from([0, 0, 0, 1, 1, 2, 2, 8, 9, 10]) | st.integers(0, 15))
    rsv = draw(st.sampled_from([0, 0, 0, 0, 4]) | st.integers(0, 7))
    first = draw(st.sampled_from([0, FIN, FIN])) | rsv << 4 | opcode
    payload = draw(contents() | texts().map(str.encode) | st.sampled_from(TROUBLE))
    way = draw(st.integers(0, 11))
    if way == 0:
        return frame(peer.opposite, first, payload)
    if way == 1:
        mask = 0x80 if peer.masked else 0
        size = draw(st.sampled_from([2, 8]))
        number = draw(st.sampled_from([len(payload), *LENGTHS]))
        head = bytes([first, mask | (126 if size == 2 else 127)])
        declared = int(number % 256**size).to_bytes(size, "big")
        return head + declared + (b"\0\0\0\0" if mask else b"") + payload
    if way == 2:
        return frame(peer, first, payload, length=len(payload) + draw(st.integers(0, 200)))
    return frame(peer, first, payload, draw(masking_keys()))


@st.composite
def mutated(draw: st.DrawFn, peer: Peer) -> bytes:
    """Draw an honest stream that is damaged in one to three places: bits, bytes, cuts, repeats, splices, odd frames."""
    data = bytearray(draw(streams(peer)).data)
    for _ in range(draw(st.integers(1, 3))):
        if not data:
            break
        at = draw(st.integers(0, len(data) - 1))
        match draw(st.sampled_from(["flip", "flip", "byte", "cut", "drop", "insert", "repeat", "splice"])):
            case "flip":
                data[at] ^= 1 << draw(st.integers(0, 7))
            case "byte":
                data[at] = draw(st.integers(0, 255))
            case "cut":
                del data[at:]
            case "drop":
                del data[at : at + draw(st.integers(1, 8))]
            case "insert":
                data[at:at] = draw(st.binary(min_size=1, max_size=8) | odd_frames(peer))
            case "repeat":
                data[at:at] = data[at : at + draw(st.integers(1, 16))]
            case _:
                data[at:] = draw(streams(peer)).data
    return bytes(data)


def broken(peer: Peer) -> st.SearchStrategy[bytes]:
    """Draw anything that a peer may send: damaged streams, odd frames in a row, and bytes that mean nothing.

    Some of it is valid all the same. What always holds is that nothing is raised, and that the cut does not matter::

        @given(st.data(), peers())
        def test_any_chunking_gives_the_same(data, peer):
            stream = data.draw(broken(peer))
            whole, other = (Inspector(Policy(), peer.role, deflate=peer.deflate) for _ in range(2))
            assert read(whole, [stream]) == read(other, data.draw(chunkings(stream)))
            assert whole.violation == other.violation
    """
    honest = messages(peer).map(lambda stream: stream.data)
    mixture = st.lists(odd_frames(peer) | honest, max_size=6).map(b"".join)
    return mutated(peer) | mixture | st.binary(max_size=60)
