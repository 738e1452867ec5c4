"""Payloads of compressed messages (RFC 7692 7.2), in every way that a sender may write them, and wrong ones."""

import zlib
from typing import NamedTuple

from hypothesis import strategies as st

from framewarden.testing.contents import contents
from framewarden.testing.peers import Compression

__all__ = ["WAYS", "Compressed", "Deflater", "deflate_payloads", "odd_deflate_payloads"]

WAYS = ("blocks", "final", "plain", "stored")
"""One block, several, one that is not compressed, one that ends the DEFLATE stream."""

# DEFLATE that is empty, final, cut or wrong.
TROUBLE_HEX = "00 0300 01 06 07 0200 f248cdc9c90700 f348cdc9c9070000 f20011000000 010600f9ff 010400fbff 000000ffff"
TROUBLE = tuple(bytes.fromhex(item) for item in TROUBLE_HEX.split())


class Compressed(NamedTuple):
    """The payload of one compressed message.

    Attributes:
        payload: what stands in the message's frames.
        content: what it inflates to.
    """

    payload: bytes
    content: bytes


class Deflater:
    """Compresses the messages of one connection, one after the other.

    ::

        deflater = Deflater(Compression(window_bits=15, context_takeover=True))
        payload = deflater.message(b"hello", "plain")

    Args:
        compression: window and context takeover of this direction.
    """

    def __init__(self, compression: Compression) -> None:
        self._compression = compression
        self._fresh()

    def _fresh(self) -> None:
        self._stream = zlib.compressobj(6, zlib.DEFLATED, -self._compression.window_bits)

    def message(self, content: bytes, way: str) -> bytes:
        """Compress one message in one of ``WAYS``."""
        if not self._compression.context_takeover:
            self._fresh()
        if way == "stored":
            return self._stored(content) + b"\0"
        if way == "final":  # a block with BFINAL ends the stream (RFC 7692 7.2.3.4): the receiver starts afresh
            payload = self._stream.compress(content) + self._stream.flush(zlib.Z_FINISH) + b"\0"
            self._fresh()
            return payload
        payload = b""
        if way == "blocks":
            half = len(content) // 2
            payload = self._stream.compress(content[:half]) + self._stream.flush(zlib.Z_SYNC_FLUSH)
            content = content[half:]
        payload += self._stream.compress(content) + self._stream.flush(zlib.Z_SYNC_FLUSH)
        if not payload.endswith(b"\0\0\xff\xff"):  # nothing to flush: an empty message (RFC 7692 7.2.3.6)
            return b"\0"
        return payload[:-4]

    def _stored(self, content: bytes) -> bytes:
        """RFC 1951 3.2.4, with the window left as it was: the compressor is not told, so it starts afresh."""
        self._fresh()
        size = len(content)
        return b"\0" + size.to_bytes(2, "little") + (size ^ 0xFFFF).to_bytes(2, "little") + content


@st.composite
def deflate_payloads(
    draw: st.DrawFn, compression: Compression, content: st.SearchStrategy[bytes] | None = None
) -> Compressed:
    """Draw the payload of the first compressed message of a connection, with what it inflates to.

    Args:
        draw: given by Hypothesis.
        compression: window and context takeover of this direction.
        content: what to compress, below 64 KiB; None: anything.
    """
    plain = draw(contents() if content is None else content)
    return Compressed(Deflater(compression).message(plain, draw(st.sampled_from(WAYS))), plain)


def odd_deflate_payloads() -> st.SearchStrategy[bytes]:
    """Draw what may stand in a frame with RSV1 and is rarely right: cut, empty or final DEFLATE, and no DEFLATE."""
    hello = b"\xf2\x48\xcd\xc9\xc9\x07"
    return st.sampled_from(TROUBLE) | st.binary(max_size=30) | st.binary(max_size=12).map(lambda tail: hello + tail)
