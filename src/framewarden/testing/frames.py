"""Single frames (RFC 6455 5.2), written byte by byte and not by framewarden's own writer, which they test."""

from hypothesis import strategies as st

from framewarden.testing.peers import Peer

__all__ = [
    "BINARY",
    "CLOSE",
    "CONTINUATION",
    "FIN",
    "PING",
    "PONG",
    "RSV1",
    "TEXT",
    "frame",
    "frame_ends",
    "masking_keys",
]

CONTINUATION, TEXT, BINARY, CLOSE, PING, PONG = 0x0, 0x1, 0x2, 0x8, 0x9, 0xA
FIN, RSV1 = 0x80, 0x40

KEY = b"\x37\xfa\x21\x3d"
"""The masking-key of the examples in RFC 6455 5.7."""


def frame(peer: Peer, first: int, payload: bytes, key: bytes = KEY, length: int | None = None) -> bytes:
    r"""Write one frame as ``peer`` reads it, its length in the fewest bytes.

    ``frame(Peer("client"), FIN | TEXT, b"Hello")`` is ``b"\x81\x05Hello"``.

    Args:
        peer: decides whether it is masked.
        first: first byte of the header: FIN, RSV bits and opcode.
        payload: as it is before masking.
        key: masking-key, 4 bytes.
        length: declares another length in bytes than the payload has.
    """
    length = len(payload) if length is None else length
    mask = 0x80 if peer.masked else 0
    if length < 126:
        head = bytes([first, mask | length])
    elif length < 65536:
        head = bytes([first, mask | 126]) + length.to_bytes(2, "big")
    else:
        head = bytes([first, mask | 127]) + length.to_bytes(8, "big")
    if not mask:
        return head + payload
    return head + key + bytes(value ^ key[index % 4] for index, value in enumerate(payload))


def frame_ends(data: bytes) -> list[tuple[int, int]]:
    r"""First byte and end of each frame of ``data``, which is whole frames and nothing else.

    ``frame_ends(b"\x81\x01a\x89\x00")`` is ``[(0x81, 3), (0x89, 5)]``.
    """
    found = []
    position = 0
    while position < len(data):
        first, second = data[position : position + 2]
        position += 2
        length = second & 0x7F
        if length > 125:
            size = 2 if length == 126 else 8
            length = int.from_bytes(data[position : position + size], "big")
            position += size
        position += length + (4 if second & 0x80 else 0)
        found.append((first, position))
    if position > len(data):
        raise AssertionError("a frame is half written")
    return found


def masking_keys() -> st.SearchStrategy[bytes]:
    """Draw masking-keys, among them the one that changes nothing."""
    return st.sampled_from([b"\0\0\0\0", KEY, b"\xff\xff\xff\xff"]) | st.binary(min_size=4, max_size=4)
