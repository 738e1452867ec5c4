"""Every case about frames, messages, closing and compression that the field's servers answer differently.

Each on a real socket, with the Close frame received by the client, and then the end of the stream. The frames of a case
stand in one list: it is sent whole, then once more a byte at a time.
"""

import resource
import struct
import zlib
from pathlib import Path

import pytest

from framewarden.policy import Deflate, Limits, Policy
from tests.e2e.harness import MASK, close, frame, run, serving, text, upgraded

pytestmark = pytest.mark.usefixtures("both_carriers")

DEFLATE = ("Sec-WebSocket-Extensions: permessage-deflate",)
TEXT, BINARY, CONTINUATION, CLOSE, PING = 1, 2, 0, 8, 9
RSV1, RSV2, RSV3 = 4, 2, 1
REFUSED_CODES = (0, 999, 1004, 1005, 1006, 1015, 1016, 1999, 2000, 2999, 5000, 65535)
ACCEPTED_CODES = (1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 1012, 1013, 1014, 3000, 3999, 4000, 4999)


def header(first, marker, length=b""):
    """A masked header by hand, whatever it says, and no payload."""
    return bytes([first, 0x80 | marker]) + length + MASK


def deflated(data):
    stream = zlib.compressobj(9, zlib.DEFLATED, -15)
    return (stream.compress(data) + stream.flush(zlib.Z_SYNC_FLUSH))[:-4]


CASES = {
    "unmasked frame": (1002, frame(TEXT, b"a", masked=False)),
    "two bytes in the 126 form": (1002, header(0x81, 126, struct.pack("!H", 2)) + b"aa"),
    "two bytes in the 127 form": (1002, header(0x81, 127, struct.pack("!Q", 2)) + b"aa"),
    "65,535 bytes in the 127 form": (1002, header(0x82, 127, struct.pack("!Q", 65535))),
    "top bit of the 64-bit length": (1002, header(0x82, 127, struct.pack("!Q", 1 << 63))),
    "2^64-1 bytes declared": (1002, header(0x82, 127, b"\xff" * 8)),
    "2^63-1 bytes declared": (1009, header(0x82, 127, struct.pack("!Q", (1 << 63) - 1))),
    "2^62 bytes declared": (1009, header(0x82, 127, struct.pack("!Q", 1 << 62))),
    "2^32+5 bytes declared": (1009, header(0x82, 127, struct.pack("!Q", (1 << 32) + 5))),
    "RSV1, nothing negotiated": (1002, frame(TEXT, b"a", rsv=RSV1)),
    "RSV2": (1002, frame(TEXT, b"a", rsv=RSV2)),
    "RSV3": (1002, frame(PING, b"a", rsv=RSV3)),
    **{f"opcode {opcode:X}": (1002, frame(opcode)) for opcode in (3, 4, 5, 6, 7, 11, 12, 13, 14, 15)},
    "fragmented Ping": (1002, frame(PING, b"a", fin=False)),
    "Ping of 126 bytes, judged from its header": (1002, header(0x89, 126)[:2]),
    "continuation with nothing started": (1002, frame(CONTINUATION, b"a")),
    "Text inside a fragmented message": (1002, frame(TEXT, b"a", fin=False) + frame(TEXT, b"b")),
    "invalid UTF-8, whole": (1007, frame(TEXT, b"a\xff")),
    "invalid UTF-8 in a non-final fragment": (1007, frame(TEXT, b"a\xc3\x28", fin=False)),
    "invalid UTF-8 in an unfinished frame": (1007, frame(TEXT, b"\xed\xa0" + b"a" * 98)[:8]),
    "text that ends inside a character": (1007, frame(TEXT, b"\xe2\x82", fin=False) + frame(CONTINUATION)),
    "Close with 1 byte": (1002, frame(CLOSE, b"\x03")),
    **{f"Close with code {code}": (1002, close(code)) for code in REFUSED_CODES},
    "Close reason not UTF-8": (1007, frame(CLOSE, b"\x03\xe8\xff")),
    "300,000 empty non-final continuations": (
        4413,
        frame(TEXT, b"a", fin=False) + frame(CONTINUATION, fin=False) * 300_000,
    ),
    "100,000 unsolicited Pongs": (4413, frame(10) * 100_000),
}
COMPRESSED = {
    "RSV1 on a continuation": (
        1002,
        frame(TEXT, b"\x00", fin=False, rsv=RSV1) + frame(CONTINUATION, b"\x00", rsv=RSV1),
    ),
    "RSV1 on a Ping": (1002, frame(PING, b"a", rsv=RSV1)),
    "garbage": (1007, frame(BINARY, b"\xff\xff\xff\xff", rsv=RSV1)),
    "not even an empty block": (1007, frame(BINARY, b"", rsv=RSV1)),
    "cut inside a block": (1007, frame(BINARY, deflated(b"hello, hello, hello")[:-3], rsv=RSV1)),
    "compressed text that is not UTF-8": (1007, frame(TEXT, deflated(b"a\xff"), rsv=RSV1)),
    "20,000 blocks of nothing": (4413, frame(BINARY, b"\x00\x00\x00\xff\xff" * 20_000, rsv=RSV1)),
}


async def refused(client, server, expected, data):
    """The client gets the Close with this code, and then the end of the stream."""
    before = len(server.events)
    client.send(data)
    code, reason = await client.read_close()
    assert code == expected, (code, reason)
    assert await client.read_eof() == b""
    assert [event.rule for event in server.events[before:]] == [reason]


@pytest.mark.parametrize("name", CASES)
@run
async def test_frames(name):
    code, data = CASES[name]
    async with serving() as server:
        async with upgraded(server) as client:
            await refused(client, server, code, data)
        async with upgraded(server) as client:
            client.send(text("before"))
            assert await client.read_text() == "before"
            for index in range(min(len(data), 40) - 1):
                client.send(data[index : index + 1])
                await client.writer.drain()
            await refused(client, server, code, data[min(len(data), 40) - 1 :])


@pytest.mark.parametrize("name", COMPRESSED)
@run
async def test_compression(name):
    code, data = COMPRESSED[name]
    async with serving(policy=Policy(deflate=Deflate())) as server, upgraded(server, *DEFLATE) as client:
        await refused(client, server, code, data)


@pytest.mark.parametrize("code", ACCEPTED_CODES)
@run
async def test_close_codes_that_may_be_sent_are_echoed(code):
    async with serving() as server, upgraded(server) as client:
        client.send(close(code))
        assert await client.read_close() == (code, "")
        assert await client.read_eof() == b""
        assert server.events == []


@run
async def test_data_behind_a_close_is_ignored():
    async with serving() as server, upgraded(server) as client:
        client.send(text("one"), close(1000), text("two"), frame(TEXT, b"a", masked=False))
        assert await client.read_text() == "one"
        assert await client.read_close() == (1000, "")
        assert await client.read_eof() == b""
        assert server.events == []


def resident_kib():
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize() // 1024


@run
async def test_a_compression_bomb_costs_no_memory():
    bomb = frame(BINARY, deflated(bytes(64 << 20)), rsv=RSV1)
    limits = Limits(max_inflate_ratio=10**6)  # so that only the size stops it
    for policy in (Policy(deflate=Deflate()), Policy(deflate=Deflate(), limits=limits)):
        async with serving(policy=policy) as server:
            async with upgraded(server, *DEFLATE) as client:
                await refused(client, server, 1009, bomb)
            before = resident_kib()
            for _ in range(5):
                async with upgraded(server, *DEFLATE) as client:
                    await refused(client, server, 1009, bomb)
            assert resident_kib() - before < 2 * 1024
