"""Headers that go out: the payload length in the fewest bytes, and what a prepared message is for each peer."""

import random
import zlib

import pytest

from framewarden.codec import encode_frame
from framewarden.codec._writer import prepare
from framewarden.codec.extensions import DeflateParameters
from framewarden.engine import Inspector
from framewarden.policy import Deflate, Policy
from tests.playback import frames

# RFC 6455 5.2: "the minimal number of bytes MUST be used to encode the length".
HEADERS = {
    0: b"\x00",
    1: b"\x01",
    125: b"\x7d",
    126: b"\x7e\x00\x7e",
    127: b"\x7e\x00\x7f",
    65535: b"\x7e\xff\xff",
    65536: b"\x7f\x00\x00\x00\x00\x00\x01\x00\x00",
    65537: b"\x7f\x00\x00\x00\x00\x00\x01\x00\x01",
}


@pytest.mark.parametrize("size", HEADERS)
def test_the_length_takes_as_few_bytes_as_it_can(size):
    payload = bytes(size)
    wanted = b"\x82" + HEADERS[size] + payload
    inspector = Inspector()
    inspector.send_bytes(payload)
    assert inspector.data_to_send() == wanted
    inspector.send_prepared(prepare(payload))
    assert inspector.data_to_send() == wanted
    assert encode_frame(2, payload) == wanted


@pytest.mark.parametrize("size", HEADERS)
def test_a_client_says_mask_beside_the_length(size):
    inspector = Inspector(role="client", key_source=lambda n: b"abcd"[:n])
    inspector.send_bytes(bytes(size))
    sent = inspector.data_to_send()
    length = HEADERS[size]
    assert sent[: 1 + len(length) + 4] == b"\x82" + bytes([0x80 | length[0]]) + length[1:] + b"abcd"
    assert frames(sent) == [(0x82, bytes(size))]


@pytest.mark.parametrize("order", [(15, 9), (9, 15)])
def test_a_prepared_message_keeps_to_the_window_of_each_peer(order):
    """RFC 7692 7.1.2.1: a peer that asked for a window of 512 bytes cannot look further back."""
    payload = random.Random(6455).randbytes(4000) * 2
    message = prepare(payload)
    for bits in order:
        agreed = DeflateParameters(server_context_takeover=False, server_max_window_bits=bits)
        inspector = Inspector(Policy(deflate=Deflate()), deflate=agreed)
        inspector.send_prepared(message)
        [(first, data)] = frames(inspector.data_to_send())
        assert first == 0xC2
        assert inflated(data, bits) == payload


def inflated(data: bytes, bits: int) -> bytes:
    """In small pieces: in one large piece zlib looks back into what it has put out, however small the window is."""
    stream = zlib.decompressobj(-bits)
    data += b"\x00\x00\xff\xff"
    out = b""
    while data:
        out += stream.decompress(data, 100)
        data = stream.unconsumed_tail
    return out
