"""The ways to cut a stream that cost a naive parser more than the bytes are worth.

Each cut is a function of ``n``, the number of pieces, that gives one whole message (or several) as reads. The time of
twice as many pieces must be at most twice the time.
"""

import struct
from collections.abc import Callable, Iterator
from itertools import repeat
from typing import Any

from benchmarks import traffic
from benchmarks.contenders import LARGEST, inspector
from benchmarks.harness import Work
from benchmarks.traffic import BINARY, TEXT

MANY = 2**21  # above any number of pieces: the limits that would end the measurement early are raised to it
KEY = b"\x37\xfa\x21\x3d"
CONTINUATION = 0x0

Cut = Callable[[int], Iterator[bytes]]


def one_byte_reads(n: int) -> Iterator[bytes]:
    """A Text of ASCII, one byte a read."""
    return traffic.cut(traffic.frame(traffic.ascii_text(n).encode(), key=KEY), 1)


def one_byte_reads_multibyte(n: int) -> Iterator[bytes]:
    """A Text of two and three bytes a character, one byte a read."""
    return traffic.cut(traffic.frame(traffic.multibyte_text(n).encode(), key=KEY), 1)


def one_byte_reads_binary(n: int) -> Iterator[bytes]:
    """A Binary, one byte a read."""
    return traffic.cut(traffic.frame(traffic.binary(n), BINARY, key=KEY), 1)


def one_byte_fragments(n: int) -> Iterator[bytes]:
    """A Text in fragments of one byte, in reads of 64 KiB."""
    return traffic.cut(b"".join(_fragments(n, b"x")), traffic.READ_BYTES)


def one_byte_fragments_in_one_byte_reads(n: int) -> Iterator[bytes]:
    """The same, one byte a read."""
    return traffic.cut(b"".join(_fragments(n // 7, b"x")), 1)


def empty_fragments(n: int) -> Iterator[bytes]:
    """A Text in empty fragments, in reads of 64 KiB."""
    return traffic.cut(b"".join(_fragments(n, b"")), traffic.READ_BYTES)


def empty_fragments_in_one_byte_reads(n: int) -> Iterator[bytes]:
    """The same, one byte a read."""
    return traffic.cut(b"".join(_fragments(n // 6, b"")), 1)


def compressed_one_byte_reads(n: int) -> Iterator[bytes]:
    """A compressed Text, one byte a read; its bytes are random enough that it does not become small."""
    text = traffic.binary(n * 3 // 4).hex().encode()
    (payload,) = traffic.deflated([text])
    return traffic.cut(traffic.frame(payload, rsv1=True, key=KEY), 1)


def pings_between_one_byte_fragments(n: int) -> Iterator[bytes]:
    """A Ping after each fragment of one byte, in reads of 64 KiB."""
    ping = traffic.frame(b"", 0x9, key=KEY)
    stream = b"".join(fragment + ping for fragment in _fragments(n // 2, b"x")[:-1])
    return traffic.cut(stream + _fragments(1, b"x")[-1], traffic.READ_BYTES)


def _fragments(n: int, payload: bytes) -> list[bytes]:
    """The first fragment, ``n`` more, and an empty last one."""
    head = struct.pack("B", 0x80 | len(payload)) + KEY + traffic.masked(payload, KEY)
    opened, middle = bytes([TEXT]) + head, bytes([CONTINUATION]) + head
    return [opened, *repeat(middle, n), traffic.frame(b"", CONTINUATION, key=KEY)]


CUTS: tuple[Cut, ...] = (
    one_byte_reads,
    one_byte_reads_multibyte,
    one_byte_reads_binary,
    one_byte_fragments,
    one_byte_fragments_in_one_byte_reads,
    empty_fragments,
    empty_fragments_in_one_byte_reads,
    compressed_one_byte_reads,
    pings_between_one_byte_fragments,
)


def receiver(cut: Cut) -> Any:
    """An Inspector whose limits on the number of pieces are out of the way."""
    return inspector(
        deflate=cut is compressed_one_byte_reads, max_fragments=MANY, max_empty_run=MANY, max_message_bytes=LARGEST
    )


def work(cut: Cut, n: int) -> Work:
    """Feed the cut message to an Inspector that lives on; every time it must give one message."""
    one = receiver(cut)
    reads = list(cut(n))

    def feed() -> int:
        receive_data = one.receive_data
        messages = 0
        for read in reads:
            events = receive_data(read)
            while one.has_more:
                events += receive_data(b"")
            for event in events:
                messages += type(event).__name__ == "Message"
        one.data_to_send()
        return messages

    def checked() -> None:
        found = feed()
        assert found == 1, f"{cut.__name__}({n}): {found} messages, {one.violation}"

    return checked
