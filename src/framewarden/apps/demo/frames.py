"""Attacks with frame headers (RFC 6455 5.2 to 5.5)."""

from framewarden.apps.demo.attack import Attack, masked
from framewarden.codec import encode_frame

__all__ = ["FRAMES"]

KIB = 1024

FRAMES = (
    Attack(rule="reserved-bits", sent="Text with RSV1, no extension agreed upon", data=masked(1, b"{}", rsv=4)),
    Attack(rule="reserved-opcode", sent="a frame with opcode 0x3", data=masked(3)),
    Attack(rule="rsv1-on-control", sent="a compressed Ping", data=masked(9, b"ping", rsv=4), deflate=True),
    Attack(
        rule="rsv1-on-continuation",
        sent="RSV1 on the second fragment",
        data=masked(1, b"\xaa", fin=False, rsv=4) + masked(0, b"\x00", rsv=4),
        deflate=True,
    ),
    Attack(rule="fragmented-control", sent="a Ping without FIN", data=masked(9, b"ping", fin=False)),
    Attack(rule="unexpected-continuation", sent="a continuation of nothing", data=masked(0, b"{}")),
    Attack(
        rule="interleaved-message",
        sent="Text inside a fragmented Text",
        data=masked(1, b"{", fin=False) + masked(1, b"{}"),
    ),
    Attack(rule="control-flood", sent="1,000 Pings at once", data=masked(9) * 1_000),
    Attack(
        rule="too-many-fragments",
        sent="a message in 5,000 one-byte fragments",
        data=masked(1, b"[", fin=False) + masked(0, b"[", fin=False) * 4_999,
    ),
    Attack(rule="unmasked-frame", sent="a frame without a mask", data=encode_frame(1, b"{}")),
    Attack(rule="masked-frame", sent="a server's frame with a mask", data=masked(1, b"{}"), against="client"),
    Attack(rule="oversized-control", sent="the header of a 126-byte Ping", data=masked(9, bytes(126))[:4]),
    Attack(
        rule="length-high-bit",
        sent="a header that declares 2^63 bytes",
        data=b"\x81\xff" + (1 << 63).to_bytes(8, "big"),
    ),
    Attack(rule="length-not-minimal", sent="2 bytes, their length in 64 bits", data=masked(1, b"{}", length_bytes=8)),
    Attack(
        rule="frame-too-big", sent="a header that declares 2^62 bytes", data=b"\x81\xff" + (1 << 62).to_bytes(8, "big")
    ),
    Attack(
        rule="message-too-big",
        sent="three fragments of 400 KiB",
        data=masked(1, b" " * 400 * KIB, fin=False) + masked(0, b" " * 400 * KIB, fin=False) * 2,
    ),
    Attack(
        rule="empty-fragments",
        sent="300,000 empty fragments",
        data=masked(1, fin=False) + masked(0, fin=False) * 299_999,
    ),
)
