"""Read the vectors of this folder. What their fields mean is in README.md."""

import json
import zlib
from pathlib import Path
from typing import Any, NamedTuple

from tests.vectors.schemas import builtin

__all__ = ["VECTORS", "Vector", "agrees"]

FOLDER = Path(__file__).parent


class Vector(NamedTuple):
    id: str
    file: str
    role: str
    stream: bytes
    chunks: tuple[int, ...]
    deflate: dict[str, Any] | None
    limits: dict[str, int]
    schema: str | None
    violation: tuple[str, int, int] | None
    events: list[dict[str, Any]]

    def cuts(self) -> list[bytes]:
        """The stream at its ``chunks``; what is left is one more."""
        pieces, start = [], 0
        for size in self.chunks:
            pieces.append(self.stream[start : start + size])
            start += size
        return [*pieces, self.stream[start:]]


def load() -> list[Vector]:
    return [
        vector(path.name, row) for path in sorted(FOLDER.glob("*.json")) for row in json.loads(path.read_text("utf-8"))
    ]


def vector(file: str, row: dict[str, Any]) -> Vector:
    rejected = row["expect"] == "reject"
    return Vector(
        id=row["id"],
        file=file,
        role=row["role"],
        stream=b"".join(part(item) for item in row["parts"]) if "parts" in row else bytes.fromhex(row["hex"]),
        chunks=tuple(row.get("chunks", ())),
        deflate=row.get("deflate"),
        limits=row.get("limits", {}),
        schema=row.get("schema"),
        violation=(row["rule"], row["close_code"], row["offset"]) if rejected else None,
        events=[event for event in row["events"] for _ in range(event.get("repeat", 1))],
    )


def part(item: Any) -> bytes:
    if isinstance(item, str):
        return bytes.fromhex(item)
    if "bomb" in item:
        return bomb(item["bomb"], item["opcode"], item["key"])
    return bytes.fromhex(item["hex"]) * item.get("times", 1)


def bomb(size: int, opcode: int, key: str | None) -> bytes:
    """One compressed frame (FIN, RSV1) whose message is ``size`` zeros."""
    stream = zlib.compressobj(9, zlib.DEFLATED, -15)
    pieces = [stream.compress(bytes(min(65536, size - start))) for start in range(0, size, 65536)]
    payload = (b"".join(pieces) + stream.flush(zlib.Z_SYNC_FLUSH))[:-4]
    length = len(payload)
    mask = 0x80 if key is not None else 0
    if length < 126:
        header = bytes([0xC0 | opcode, mask | length])
    elif length < 65536:
        header = bytes([0xC0 | opcode, mask | 126]) + length.to_bytes(2, "big")
    else:
        header = bytes([0xC0 | opcode, mask | 127]) + length.to_bytes(8, "big")
    if key is None:
        return header + payload
    masking_key = bytes.fromhex(key)
    return header + masking_key + bytes(value ^ masking_key[i % 4] for i, value in enumerate(payload))


def agrees(expected: dict[str, Any], event: tuple[Any, ...]) -> bool:
    """Whether a plain event (as the oracle gives it) is the one that a vector expects."""
    kind, *rest = event
    if kind != expected["type"]:
        return False
    if kind == "close":
        return rest == [expected["code"], expected["reason"]]
    if kind in ("ping", "pong"):
        return rest == [part(expected["data"])]
    opcode, data, wire, inflated = rest
    if opcode != {"text": 1, "binary": 2}[expected["opcode"]]:
        return False
    if "value" in expected:
        return bool(builtin(data) == expected["value"]) and sizes(expected, expected["wire"], wire, inflated)
    wanted = expected["data"] if opcode == 1 else part(expected["data"])
    size = len(wanted.encode() if opcode == 1 else wanted)
    return type(data) is type(wanted) and data == wanted and sizes(expected, size, wire, inflated)


def sizes(expected: dict[str, Any], size: int, wire: int, inflated: int) -> bool:
    wanted = expected.get("wire", size)
    return (wanted is None or wire == wanted) and inflated == expected.get("inflated", size)


VECTORS = load()
