"""Who owns the bytes of a message: nothing that a message refers to changes when the next one comes."""

import msgspec
import pytest

from framewarden.codec import encode_frame
from framewarden.engine import Inspector
from framewarden.policy import Limits, Policy, Schema


class Text(msgspec.Struct):
    kept: msgspec.Raw


class Binary(msgspec.Struct):
    kept: memoryview


POLICY = Policy(limits=Limits(max_decode_nodes=2**20), schema=Schema(text=Text, binary=Binary))
KEY = b"\x37\xfa\x21\x3d"


def message(opcode: int, letter: bytes, size: int) -> bytes:
    """One message of ``size`` letters, and what goes around them."""
    if opcode == 1:
        return encode_frame(1, b'{"kept":"' + letter * size + b'"}', key=KEY)
    return encode_frame(2, msgspec.msgpack.encode({"kept": letter * size}), key=KEY)


def letters(data: Text | Binary) -> bytes:
    return bytes(data.kept).strip(b'"')


@pytest.mark.parametrize("size", [1, 40, 5_000, 400_000])
@pytest.mark.parametrize("opcode", [1, 2])
@pytest.mark.parametrize("reads", ["one", "several", "of other connections"])
def test_a_message_that_refers_to_its_bytes_keeps_them(opcode, size, reads):
    """In the same read, in the next one, and when another connection takes the memory that decoders share."""
    stream = [message(opcode, bytes([letter]), size) for letter in b"abcd"]
    if reads == "one":
        inspector = Inspector(POLICY)
        events = inspector.receive_data(b"".join(stream))
        while inspector.has_more:
            events += inspector.receive_data(b"")
    else:
        one = Inspector(POLICY)
        inspectors = [one] * 4 if reads == "several" else [Inspector(POLICY) for _ in stream]
        events = [inspector.receive_data(data)[0] for inspector, data in zip(inspectors, stream, strict=True)]
    assert [letters(event.data) for event in events] == [bytes([letter]) * size for letter in b"abcd"]
