"""How an input says what is done with it: its first bytes choose, the rest is fed.

Every target reads its choices with a :class:`Draw`, as many bytes for each choice whatever the others are, so that a
mutation of one choice leaves the meaning of all other bytes as it was. What ends too early reads as zeros. The
functions beside it write the choices of a seed, in the order in which they are read.
"""

from collections.abc import Sequence
from typing import Any, TypeVar

from framewarden.policy import Limits
from tests.oracle import Inflate
from tests.playback import cut

__all__ = ["FIELDS", "Chunking", "Draw", "chunks_at", "hexes", "inflate_flags", "inflate_of", "limits_as"]

T = TypeVar("T")

NUMBERS = (0, 1, 2, 3, 6, 16, 100, 125, 126, 200, 1000, 4096, 65535, 65536, 2**20, 2**31 - 1)
"""What a limit may be; 0 stands for the default."""
FIELDS = (
    "max_frame_bytes",
    "max_message_bytes",
    "max_inflated_bytes",
    "max_inflate_ratio",
    "max_fragments",
    "max_control_run",
    "max_empty_run",
    "max_decode_nodes",
)
LARGEST_INFLATED = 72 * 1024
"""The oracle goes byte by byte; a little above the 64 KiB from which on the ratio is judged is enough."""
MOST_PIECES = 1000
WINDOWS = (15, 9, 12, 8)


class Draw:
    """Reads choices from the front of an input."""

    def __init__(self, data: bytes) -> None:
        self.data = data
        self.position = 0

    def take(self, size: int) -> bytes:
        """So many bytes, with zeros where the input has ended."""
        piece = self.data[self.position : self.position + size]
        self.position += size
        return piece + bytes(size - len(piece))

    def byte(self) -> int:
        return self.take(1)[0]

    def choice(self, options: Sequence[T]) -> T:
        return options[self.byte() % len(options)]

    def word(self) -> int:
        """0 to 65535."""
        return int.from_bytes(self.take(2), "big")

    def rest(self) -> bytes:
        return self.data[self.position :]

    def limits(self) -> Limits:
        """One byte a limit."""
        chosen = {
            name: NUMBERS[octet % len(NUMBERS)] for name, octet in zip(FIELDS, self.take(len(FIELDS)), strict=True)
        }
        named = {name: number for name, number in chosen.items() if number}
        named["max_inflated_bytes"] = min(chosen["max_inflated_bytes"] or LARGEST_INFLATED, LARGEST_INFLATED)
        return Limits(**named)

    def chunking(self) -> "Chunking":
        """Ten bytes: how a stream is cut."""
        return Chunking(self.byte(), self.byte(), [self.word() for _ in range(4)])


class Chunking:
    """One way to cut any stream: at four points, in equal pieces, or byte by byte; never in many more than 1,000."""

    def __init__(self, way: int, size: int, points: list[int]) -> None:
        self.way = way
        self.size = size + 1
        self.points = points

    def cut(self, data: bytes) -> list[bytes]:
        if self.way % 3 == 0:
            return cut(data, (point % (len(data) + 1) for point in self.points))
        size = max(1 if self.way % 3 == 1 else self.size, len(data) // MOST_PIECES)
        return [data[start : start + size] for start in range(0, len(data), size)]


def limits_as(wanted: dict[str, Any]) -> bytes:
    """The choice of limits that comes nearest, from above."""
    return bytes(
        next(index for index, number in enumerate(NUMBERS) if number >= wanted[name]) if name in wanted else 0
        for name in FIELDS
    )


def chunks_at(*lengths: int) -> bytes:
    """The choice of a chunking whose first pieces have these lengths; without any: byte by byte."""
    if not lengths:
        return b"\x01" + bytes(9)
    points = [sum(lengths[: index + 1]) for index in range(min(4, len(lengths)))]
    return bytes(2) + b"".join(
        min(point, 65535).to_bytes(2, "big") for point in [*points, *[points[-1]] * (4 - len(points))]
    )


def inflate_flags(deflate: Inflate | None) -> int:
    """Bits 1 to 4 of a byte of flags: whether the peer compresses, keeps its context, and in which window."""
    if deflate is None:
        return 0
    window = WINDOWS.index(deflate.window_bits) if deflate.window_bits in WINDOWS else 0
    return 2 | deflate.context_takeover << 2 | window << 3


def inflate_of(flags: int) -> Inflate | None:
    """What :func:`inflate_flags` wrote."""
    return Inflate(WINDOWS[flags >> 3 & 3], bool(flags & 4)) if flags & 2 else None


def hexes(text: str) -> tuple[bytes, ...]:
    """The words of a text of hexadecimal numbers, as bytes."""
    return tuple(map(bytes.fromhex, text.split()))
