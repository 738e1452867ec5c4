"""Hypothesis strategies: frames, messages and streams of a peer, valid ones and broken ones, and ways to cut them.

``peers()`` draws who speaks and what was negotiated, ``streams(peer)`` what an honest peer sends, together with the
events that it should give, ``broken(peer)`` what a dishonest one sends.
"""

import zlib
from itertools import pairwise
from typing import Any, NamedTuple

from hypothesis import strategies as st

from framewarden.policy import Limits
from tests.oracle import Inflate

__all__ = ["TIGHT", "Peer", "Stream", "broken", "chunkings", "frame", "peers", "streams"]

TEXT, BINARY, CLOSE, PING, PONG = 0x1, 0x2, 0x8, 0x9, 0xA
FIN, RSV1 = 0x80, 0x40

TIGHT = Limits(
    max_frame_bytes=300,
    max_message_bytes=500,
    max_inflated_bytes=900,
    max_fragments=6,
    max_control_run=3,
    max_empty_run=2,
)
"""Limits that small streams run into."""


class Peer(NamedTuple):
    """Who is inspected: ``role`` is ours, so a "server" reads masked frames."""

    role: str
    deflate: Inflate | None


class Stream(NamedTuple):
    data: bytes
    events: list[tuple[Any, ...]]


def frame(peer: Peer, first: int, payload: bytes, key: bytes = b"\x37\xfa\x21\x3d", length: int | None = None) -> bytes:
    """One frame in the fewest bytes; ``length`` declares another length than the payload has."""
    length = len(payload) if length is None else length
    mask = 0x80 if peer.role == "server" else 0
    if length < 126:
        head = bytes([first, mask | length])
    elif length < 65536:
        head = bytes([first, mask | 126]) + length.to_bytes(2, "big")
    else:
        head = bytes([first, mask | 127]) + length.to_bytes(8, "big")
    if not mask:
        return head + payload
    return head + key + bytes(value ^ key[index % 4] for index, value in enumerate(payload))


def peers(deflate: bool | None = None) -> st.SearchStrategy[Peer]:
    inflate = st.builds(Inflate, window_bits=st.sampled_from([9, 12, 15]), context_takeover=st.booleans())
    choices = {None: st.none() | inflate, True: inflate, False: st.none()}
    return st.builds(Peer, role=st.sampled_from(["server", "client"]), deflate=choices[deflate])


keys = st.sampled_from([b"\0\0\0\0", b"\x37\xfa\x21\x3d", b"\xff\xff\xff\xff"]) | st.binary(min_size=4, max_size=4)
# Small ones, and those at the edges of the length forms and of vector registers.
sizes = st.integers(0, 12) | st.sampled_from([15, 16, 17, 31, 32, 33, 63, 64, 65, 124, 125, 126, 127, 128, 300])
contents = st.binary(max_size=20) | st.builds(
    lambda size, unit: (unit * size)[:size], sizes, st.binary(min_size=1, max_size=5)
)
texts = st.text(max_size=12) | st.builds(
    lambda text, times: text * times, st.text(min_size=1, max_size=4), st.integers(1, 40)
)


@st.composite
def control(draw: st.DrawFn, peer: Peer) -> Stream:
    opcode = draw(st.sampled_from([PING, PONG]))
    payload = draw(st.binary(max_size=6) | st.just(b"p" * 125))
    return Stream(frame(peer, FIN | opcode, payload, draw(keys)), [("ping" if opcode == PING else "pong", payload)])


@st.composite
def messages(draw: st.DrawFn, peer: Peer, deflater: "Deflater | None") -> Stream:
    """One message in any number of fragments, with control frames between them."""
    data: str | bytes
    if draw(st.booleans()):
        opcode, data = TEXT, draw(texts)
        content = data.encode()
    else:
        opcode, data = BINARY, draw(contents)
        content = data
    payload, first = content, opcode
    if deflater is not None and draw(st.booleans()):
        payload, first = deflater.message(content, draw(st.sampled_from(sorted(Deflater.WAYS)))), RSV1 | opcode
    points = sorted(draw(st.lists(st.integers(0, len(payload)), max_size=3)))
    edges = [0, *points, len(payload)]
    wire, events = b"", []
    for index, (start, end) in enumerate(pairwise(edges)):
        if index and draw(st.integers(0, 3)) == 0:
            between = draw(control(peer))
            wire += between.data
            events += between.events
        fin = FIN if index == len(points) else 0
        wire += frame(peer, fin | (0 if index else first), payload[start:end], draw(keys))
    return Stream(wire, [*events, ("message", opcode, data, len(payload), len(content))])


class Deflater:
    """Compresses the messages of one connection, in every way that a sender may."""

    WAYS = frozenset({"plain", "stored", "final", "blocks", "padded"})

    def __init__(self, parameters: Inflate) -> None:
        self.parameters = parameters
        self.fresh()

    def fresh(self) -> None:
        self.stream = zlib.compressobj(6, zlib.DEFLATED, -self.parameters.window_bits)

    def message(self, content: bytes, way: str) -> bytes:
        if not self.parameters.context_takeover:
            self.fresh()
        if way == "stored":
            return self.stored(content) + b"\0"
        if way == "final":  # a block with BFINAL ends the stream (RFC 7692 7.2.3.4): the receiver starts afresh
            payload = self.stream.compress(content) + self.stream.flush(zlib.Z_FINISH) + b"\0"
            self.fresh()
            return payload
        if way == "blocks":
            half = len(content) // 2
            payload = self.stream.compress(content[:half]) + self.stream.flush(zlib.Z_SYNC_FLUSH)
            payload += self.stream.compress(content[half:]) + self.stream.flush(zlib.Z_SYNC_FLUSH)
        else:
            payload = self.stream.compress(content) + self.stream.flush(zlib.Z_SYNC_FLUSH)
        if not payload.endswith(b"\0\0\xff\xff"):  # nothing to flush: an empty message (RFC 7692 7.2.3.6)
            return b"\0"
        return payload if way == "padded" and payload == b"" else payload[:-4]

    def stored(self, content: bytes) -> bytes:
        """RFC 1951 3.2.4, with the window left as it was: the compressor is not told, so it starts afresh."""
        self.fresh()
        size = len(content)
        return b"\0" + size.to_bytes(2, "little") + (size ^ 0xFFFF).to_bytes(2, "little") + content


CLOSE_CODES = [1000, 1001, 1002, 1003, 1007, 1011, 1012, 1013, 1014, 3000, 3999, 4000, 4999]


@st.composite
def closes(draw: st.DrawFn, peer: Peer) -> Stream:
    code = draw(st.none() | st.sampled_from(CLOSE_CODES))
    if code is None:
        return Stream(frame(peer, FIN | CLOSE, b"", draw(keys)), [("close", 1005, "")])
    reason = draw(st.text(max_size=10))
    payload = code.to_bytes(2, "big") + reason.encode()
    return Stream(frame(peer, FIN | CLOSE, payload, draw(keys)), [("close", code, reason)])


@st.composite
def streams(draw: st.DrawFn, peer: Peer, *, close: bool = True) -> Stream:
    """What an honest peer sends; nothing in it runs into the default limits."""
    deflater = None if peer.deflate is None else Deflater(peer.deflate)
    parts = [
        draw(messages(peer, deflater)) if draw(st.integers(0, 3)) else draw(control(peer))
        for _ in range(draw(st.integers(0, 4)))
    ]
    if close and draw(st.integers(0, 3)) == 0:
        parts.append(draw(closes(peer)))
    return Stream(b"".join(part.data for part in parts), [event for part in parts for event in part.events])


@st.composite
def odd_frames(draw: st.DrawFn, peer: Peer) -> bytes:
    """A frame with a mostly possible first byte, and perhaps with another length or mask than it should have."""
    opcode = draw(st.sampled_from([0, 0, 0, 1, 1, 2, 2, 8, 9, 10]) | st.integers(0, 15))
    rsv = draw(st.sampled_from([0, 0, 0, 0, 4]) | st.integers(0, 7))
    first = draw(st.sampled_from([0, FIN, FIN])) | rsv << 4 | opcode
    payload = draw(contents | texts.map(str.encode) | st.sampled_from(TROUBLE))
    way = draw(st.integers(0, 11))
    if way == 0:
        return frame(Peer("client" if peer.role == "server" else "server", None), first, payload)
    if way == 1:
        mask = 0x80 if peer.role == "server" else 0
        size = draw(st.sampled_from([2, 8]))
        number = draw(
            st.sampled_from([len(payload), 125, 126, 65535, 65536, 2**31, 2**32 + 5, 2**63 - 1, 2**63, 2**64 - 1])
        )
        head = bytes([first, mask | (126 if size == 2 else 127)])
        return head + (number % 256**size).to_bytes(size, "big") + (b"\0\0\0\0" if mask else b"") + payload
    if way == 2:
        return frame(peer, first, payload, length=len(payload) + draw(st.integers(0, 200)))
    return frame(peer, first, payload, draw(keys))


# UTF-8 that is cut, overlong, a surrogate or too large; DEFLATE that is empty, final, cut or wrong; Close payloads.
TROUBLE_UTF8 = "c3 e282 f09f98 f09f9880 e282ac c0af e08080 f0808080 eda080 edbfbf f4908080 f5 ff 80 61ff 6162e2"
TROUBLE_DEFLATE = "00 0300 01 06 07 0200 f248cdc9c90700 f348cdc9c9070000 f20011000000 010600f9ff 010400fbff 000000ffff"
TROUBLE_CLOSE = "03e8 03ec 03ed 03e803 03e8ff 03e8e282 0bb8 1388 ffff"
TROUBLE = [bytes.fromhex(item) for item in f"{TROUBLE_UTF8} {TROUBLE_DEFLATE} {TROUBLE_CLOSE}".split()]


@st.composite
def mutated(draw: st.DrawFn, peer: Peer) -> bytes:
    """An honest stream, damaged in a few places."""
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
            case "splice":
                data[at:] = draw(streams(peer)).data
    return bytes(data)


def broken(peer: Peer) -> st.SearchStrategy[bytes]:
    """Anything that a peer may send: damaged streams, odd frames in a row, and bytes that mean nothing."""
    mixture = st.lists(odd_frames(peer) | messages(peer, None).map(lambda stream: stream.data), max_size=6).map(
        b"".join
    )
    return mutated(peer) | mixture | st.binary(max_size=60)


def chunkings(data: bytes) -> st.SearchStrategy[list[bytes]]:
    """The same bytes in pieces, some of them empty, or byte by byte."""
    points = st.lists(st.integers(0, len(data)), max_size=8)
    anywhere = points.map(lambda inner: pieces(data, sorted(inner)))
    evenly = st.sampled_from([1, 2, 3, 7, 64]).map(lambda size: pieces(data, list(range(size, len(data), size))))
    return anywhere | evenly


def pieces(data: bytes, points: list[int]) -> list[bytes]:
    return [data[start:end] for start, end in zip([0, *points], [*points, len(data)], strict=True)]
