"""The data that is measured: messages and wire bytes, all from a seed, so that every run sees the same bytes."""

import itertools
import json
import struct
import zlib
from collections.abc import Iterable, Iterator, Sequence
from random import Random

SEED = 6455
READ_BYTES = 64 * 1024  # what one read of the server's receive buffer brings at most
TEXT, BINARY = 0x1, 0x2
WORDS = (
    "alpha", "bravo", "charlie", "delta", "echo", "foxtrot", "golf", "hotel", "india", "juliet", "kilo", "lima", "mike",
)  # fmt: skip
# Two and three bytes a character, as in most of the world's scripts; then the same with emoji (four bytes).
SCRIPTS = "Грузинский ქართული Ελληνικά עברית 日本語のテキスト 한국어 हिन्दी ไทย "


def ascii_text(size: int) -> str:
    """Printable ASCII, ``size`` characters."""
    return "".join(Random(SEED).choices("abcdefghijklmnopqrstuvwxyz ,.0123456789", k=size))


def multibyte_text(size: int) -> str:
    """Text whose UTF-8 has ``size`` bytes, most of them in characters of two and three bytes."""
    text = "".join(Random(SEED).choices(SCRIPTS, k=size)).encode()[:size].decode(errors="ignore")
    return text + "." * (size - len(text.encode()))


def binary(size: int) -> bytes:
    """Random bytes."""
    return Random(SEED).randbytes(size)


def json_messages(size: int, count: int = 64) -> list[bytes]:
    """``count`` different JSON objects of about ``size`` bytes each, as a chat or a feed sends them."""
    random = Random(SEED)
    messages = []
    for number in range(count):
        event = {"id": random.getrandbits(40), "type": "update", "room": random.choice(WORDS), "seq": number}
        items: list[dict[str, object]] = []
        text = json.dumps(event)
        while len(text) < size - 12:
            text = " ".join(random.choices(WORDS, k=4))
            items.append({"user": random.choice(WORDS), "price": round(random.uniform(1, 999), 2), "text": text})
            text = json.dumps(event | {"items": items})
        messages.append(text.encode()[:size].ljust(size, b" "))
    return messages


def deflated(messages: Iterable[bytes], wbits: int = 15, takeover: bool = True, level: int = 1) -> list[bytes]:
    """The messages as permessage-deflate payloads: raw deflate, the trailing 00 00 FF FF cut off (RFC 7692 7.2.1)."""
    payloads = []
    compressor = zlib.compressobj(level, zlib.DEFLATED, -wbits)
    for message in messages:
        if not takeover:
            compressor = zlib.compressobj(level, zlib.DEFLATED, -wbits)
        payload = compressor.compress(message) + compressor.flush(zlib.Z_SYNC_FLUSH)
        payloads.append(payload.removesuffix(b"\x00\x00\xff\xff"))
    return payloads


def masked(payload: bytes, key: bytes) -> bytes:
    """``payload`` XOR the repeated masking-key (RFC 6455 5.3)."""
    pad = (key * (len(payload) // 4 + 1))[: len(payload)]
    return (int.from_bytes(payload) ^ int.from_bytes(pad)).to_bytes(len(payload))


def frame(payload: bytes, opcode: int = TEXT, fin: bool = True, rsv1: bool = False, key: bytes | None = None) -> bytes:
    """One frame as a client sends it, masked. Without ``key``: one that is never the same for two payload sizes."""
    if key is None:
        key = Random(SEED ^ len(payload)).randbytes(4)
    head = bytes([fin << 7 | rsv1 << 6 | opcode])
    if len(payload) < 126:
        head += bytes([0x80 | len(payload)])
    elif len(payload) < 65536:
        head += struct.pack("!BH", 0x80 | 126, len(payload))
    else:
        head += struct.pack("!BQ", 0x80 | 127, len(payload))
    return head + key + masked(payload, key)


def frames(payloads: Sequence[bytes], opcode: int = TEXT, rsv1: bool = False, total_bytes: int = READ_BYTES) -> bytes:
    """Frames of the payloads in turn, each under a key of its own, as many as make about ``total_bytes``."""
    random = Random(SEED)
    stream = bytearray()
    for payload in itertools.cycle(payloads):
        stream += frame(payload, opcode, rsv1=rsv1, key=random.randbytes(4))
        if len(stream) + len(payload) > total_bytes:
            return bytes(stream)
    raise ValueError("no payload")


def stream(payload: bytes, opcode: int = TEXT, total_bytes: int = READ_BYTES) -> tuple[list[bytes], int]:
    """Reads of at most 64 KiB with frames of one payload, and how many frames they hold."""
    data = frames([payload], opcode, total_bytes=total_bytes)
    return reads(data), len(data) // len(frame(payload))


def reads(stream: bytes, size: int = READ_BYTES) -> list[bytes]:
    """The stream as the reads of a socket would cut it."""
    return list(cut(stream, size))


def cut(stream: bytes, size: int) -> Iterator[bytes]:
    """Pieces of ``size`` bytes."""
    for start in range(0, len(stream), size):
        yield stream[start : start + size]
