"""Attacks with payloads: text that is not UTF-8, Close frames (RFC 6455 5.5.1, 8.1), compressed messages (RFC 7692)."""

import zlib

from framewarden.apps.demo.attack import Attack, masked

__all__ = ["PAYLOADS"]

KIB = 1024
MIB = 1024 * 1024
EMPTY_BLOCK = b"\x00\x00\x00\xff\xff"
"""RFC 1951 3.2.4: a stored block of no bytes."""


def zeros(size: int) -> bytes:
    """A compressed Text message of that many NUL characters."""
    deflater = zlib.compressobj(1, zlib.DEFLATED, -15)
    pieces = [deflater.compress(bytes(min(size - begin, MIB))) for begin in range(0, size, MIB)]
    data = b"".join(pieces) + deflater.flush(zlib.Z_SYNC_FLUSH)
    return masked(1, data[:-4], rsv=4)


PAYLOADS = (
    Attack(
        rule="invalid-utf8",
        sent="C0 80 in a frame of 1,000 bytes that never ends",
        data=masked(1, b'{"type":"say","text":"\xc0\x80' + bytes(1_000))[:50],
    ),
    Attack(rule="close-length", sent="a Close with 1 byte", data=masked(8, b"\x03")),
    Attack(rule="close-code", sent="a Close with code 1005", data=masked(8, (1005).to_bytes(2, "big"))),
    Attack(
        rule="close-reason-utf8",
        sent="a Close, its reason FF FE",
        data=masked(8, (1000).to_bytes(2, "big") + b"\xff\xfe"),
    ),
    Attack(
        rule="deflate-data", sent="garbage, said to be compressed", data=masked(1, b"\xff" * 20, rsv=4), deflate=True
    ),
    Attack(rule="inflated-too-big", sent="64 MiB of zeros, compressed", data=zeros(64 * MIB), deflate=True),
    Attack(rule="inflate-ratio", sent="256 KiB of zeros, compressed", data=zeros(256 * KIB), deflate=True),
    Attack(
        rule="inflate-work",
        sent="20,000 empty DEFLATE blocks",
        data=masked(1, EMPTY_BLOCK * 20_000 + b"\x00", rsv=4),
        deflate=True,
    ),
)
