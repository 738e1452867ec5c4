"""The Python face of the kernels, under each implementation that this machine has."""

import sys

import pytest

from framewarden import kernels
from framewarden.kernels import Utf8Error, Utf8Validator, reference

KEY = b"\x37\xfa\x21\x3d"  # RFC 6455, section 5.7

# (bytes, index of the first wrong byte): RFC 3629, sections 3, 4 and 10, and the edges of every range.
INVALID = [
    (b"\x80", 0),
    (b"\xbf", 0),
    (b"\xc0\x80", 0),
    (b"\xc1\xbf", 0),
    (b"\xc2", 1),
    (b"\xc2A", 1),
    (b"\xc2\xc2", 1),
    (b"\xe0\x80", 1),
    (b"\xe0\x9f\xbf", 1),
    (b"\xe2\x82", 2),
    (b"\xe2\x82A", 2),
    (b"\xed\xa0\x80", 1),
    (b"\xed\xbf\xbf", 1),
    (b"\xf0\x8f\xbf\xbf", 1),
    (b"\xf0\x9f\x98", 3),
    (b"\xf0\x9f\x98\xc0", 3),
    (b"\xf4\x90\x80\x80", 1),
    (b"\xf5\x80\x80\x80", 0),
    (b"\xff", 0),
]


@pytest.fixture(params=kernels.available(), autouse=True)
def kernel(request):
    before = kernels.active()
    kernels.use(request.param)
    yield request.param
    kernels.use(before)


def test_unmask_the_example_of_the_rfc():
    # RFC 6455, section 5.7: a single-frame masked text message, "Hello".
    assert kernels.unmask(b"\x7f\x9f\x4d\x51\x58", KEY) == b"Hello"


@pytest.mark.parametrize("phase", [0, 1, 2, 3, 4, 2**62 + 1, 2**70 + 2])
def test_unmask(phase):
    for size in (0, 1, 3, 4, 7, 8, 15, 16, 17, 31, 32, 33, 63, 64, 65, 127, 128, 129, 1000):
        data = bytes(i * 7 % 256 for i in range(size))
        assert kernels.unmask(data, KEY, phase) == reference.unmask(data, KEY, phase)


@pytest.mark.parametrize("kind", [bytes, bytearray, memoryview])
def test_any_buffer(kind):
    data = kind("päyload".encode())
    assert kernels.unmask(data, kind(KEY)) == reference.unmask(bytes(data), KEY)
    assert kernels.decode_utf8(data) == "päyload"
    assert kernels.find_invalid_utf8(data) is None


@pytest.mark.parametrize("key", [b"", b"abc", b"abcde"])
def test_a_masking_key_has_four_bytes(key):
    with pytest.raises(ValueError, match=f"4 bytes, not {len(key)}"):
        kernels.unmask(b"data", key)
    with pytest.raises(ValueError, match="4 bytes"):
        Utf8Validator().feed_masked(b"data", key)


def test_a_phase_is_not_negative():
    with pytest.raises(ValueError, match="negative"):
        kernels.unmask(b"data", KEY, -1)


@pytest.mark.parametrize("not_bytes", ["text", 5, None])
def test_text_is_not_bytes(not_bytes):
    with pytest.raises(TypeError):
        kernels.unmask(not_bytes, KEY)
    with pytest.raises(TypeError):
        kernels.find_invalid_utf8(not_bytes)
    with pytest.raises(TypeError):
        kernels.decode_utf8(not_bytes)
    with pytest.raises(TypeError):
        Utf8Validator().feed(not_bytes)


@pytest.mark.parametrize(("data", "index"), INVALID)
def test_the_index_of_the_first_wrong_byte(data, index):
    assert reference.find_invalid_utf8(data) == index
    for before in (b"", b"a", b"a" * 31, "é".encode() * 16, "漢字".encode() * 50, b"a" * 4095):
        wrong = len(before) + index
        assert kernels.find_invalid_utf8(before + data) == wrong
        with pytest.raises(Utf8Error, match=f"not UTF-8 at byte {wrong}$") as raised:
            kernels.decode_utf8(before + data)
        assert raised.value.offset == wrong
        if index < len(data):
            assert kernels.find_invalid_utf8(before + data + b"a" * 200) == wrong


def test_no_byte_is_overlooked():
    """Wherever it stands, in texts that end in each of the loops."""
    for size in (*range(1, 140), 159, 191, 255, 256, 257, 4097):
        for index in range(0, size, 1 if size < 140 else 31):
            data = b"a" * index + b"\xff" + b"a" * (size - index - 1)
            assert kernels.find_invalid_utf8(data) == index
            with pytest.raises(Utf8Error) as raised:
                Utf8Validator().feed_masked(reference.unmask(data, KEY), KEY)
            assert raised.value.offset == index


@pytest.mark.parametrize("point", [0x7F, 0x80, 0xFF, 0x100, 0x13F, 0x140, 0x7FF, 0x800, 0xFFFF, 0x10000, 0x10FFFF])
def test_the_edges_of_the_forms(point):
    """The highest character of a text decides how wide its form is; in a short text and in a long one."""
    for size in (0, 40, 9000):
        text = "a" * size + chr(point)
        assert kernels.decode_utf8(text.encode()) == text


@pytest.mark.parametrize("alphabet", ["a", "é", "aÿ", "aЖ", "я", "漢。a", "😀", "a😀é漢", "a" * 60 + "😀"])
def test_decode(alphabet):
    for size in (0, 1, 7, 20, 33, 100, 5000):
        text = (alphabet * size)[:size]
        got = kernels.decode_utf8(text.encode())
        assert got == text
        # The same form as CPython's: comparison, hashing and size go by it. CPython shares strings of one character,
        # and what others have asked of those may have made them larger.
        if size != 1:
            assert sys.getsizeof(got) == sys.getsizeof((text + "x")[:-1])
        assert hash(got) == hash(text)


def test_every_code_point():
    text = "".join(map(chr, [*range(0xD800), *range(0xE000, 0x110000)]))
    assert kernels.decode_utf8(text.encode()) == text


def test_validator_across_calls():
    text = Utf8Validator()
    assert (text.complete, text.ascii, text.bytes_seen) == (True, True, 0)
    text.feed(b"ab")
    assert (text.complete, text.ascii, text.bytes_seen) == (True, True, 2)
    text.feed(b"\xf0\x9f")
    assert (text.complete, text.ascii, text.bytes_seen) == (False, False, 4)
    text.feed(b"")
    assert not text.complete
    text.feed(b"\x98\x80")
    assert (text.complete, text.ascii, text.bytes_seen) == (True, False, 6)


def test_validator_stays_wrong():
    text = Utf8Validator()
    text.feed(b"abc\xe2")
    for data in (b"\x82A", b"more", b""):
        with pytest.raises(Utf8Error) as raised:
            text.feed(data)
        assert raised.value.offset == 5
        with pytest.raises(Utf8Error):
            text.feed_masked(data, KEY)
    assert not text.complete


def test_validator_unmasks_with_the_phase_of_the_payload():
    whole = "Grüße, 漢字 😀! ".encode() * 20
    masked = reference.unmask(whole, KEY)
    for size in (1, 2, 3, 5, 31, 64, 100):
        text = Utf8Validator()
        got = b"".join(text.feed_masked(masked[i : i + size], KEY) for i in range(0, len(masked), size))
        assert got == whole
        assert text.complete


def test_a_long_text_is_unmasked_as_a_short_one():
    """Longer than the blocks in which an implementation may do it."""
    whole = "Grüße, 漢字 😀! ".encode() * 1000
    assert Utf8Validator().feed_masked(reference.unmask(whole, KEY), KEY) == whole
