"""What is always true of the kernels: each one, on any bytes and any chunking, says what the reference says."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from framewarden import kernels
from framewarden.kernels import Utf8Error, Utf8Validator, reference

keys = st.binary(min_size=4, max_size=4)

# Texts of every width, and long enough for the wide loops: a piece is repeated.
characters = st.one_of(
    st.characters(max_codepoint=0x7F),
    st.characters(max_codepoint=0xFF),
    st.characters(max_codepoint=0x7FF),
    st.characters(max_codepoint=0xFFFF),
    st.characters(),
).filter(lambda c: not "\ud800" <= c <= "\udfff")
texts = st.lists(st.builds(str.__mul__, characters, st.integers(1, 70)), max_size=12).map("".join)


@st.composite
def nearly_texts(draw):
    """Give UTF-8 in which a few bytes were replaced, removed or put in."""
    data = bytearray(draw(texts).encode())
    for _ in range(draw(st.integers(0, 3))):
        at = draw(st.integers(0, len(data)))
        data[at : at + draw(st.integers(0, 1))] = draw(st.binary(max_size=2))
    return bytes(data)


payloads = st.one_of(nearly_texts(), st.binary(max_size=400))


@st.composite
def chunked(draw):
    """Give a payload and the places where it is cut."""
    data = draw(payloads)
    cuts = draw(st.lists(st.integers(0, len(data)), max_size=4).map(sorted))
    return data, [0, *cuts, len(data)]


@pytest.fixture(params=kernels.available(), scope="module")
def kernel(request):
    before = kernels.active()
    kernels.use(request.param)
    yield request.param
    kernels.use(before)


@pytest.mark.usefixtures("kernel")
class TestKernel:
    @given(data=payloads, key=keys, phase=st.integers(0, 2**64))
    def test_unmask(self, data, key, phase):
        assert kernels.unmask(data, key, phase) == reference.unmask(data, key, phase)

    @given(data=payloads)
    def test_the_first_wrong_byte(self, data):
        assert kernels.find_invalid_utf8(data) == reference.find_invalid_utf8(data)

    @given(text=texts)
    def test_decode(self, text):
        data = text.encode()
        assert kernels.decode_utf8(data) == reference.decode_utf8(data) == text

    @given(data=payloads)
    def test_decode_refuses_what_python_refuses(self, data):
        try:
            want = data.decode()
        except UnicodeDecodeError:
            with pytest.raises(Utf8Error):
                kernels.decode_utf8(data)
        else:
            assert kernels.decode_utf8(data) == want

    @given(data_and_cuts=chunked(), key=keys)
    def test_any_chunking(self, data_and_cuts, key):
        data, cuts = data_and_cuts
        want = reference.find_invalid_utf8(data)
        masked = reference.unmask(data, key)
        plain, fused = Utf8Validator(), Utf8Validator()
        for start, end in pairwise(cuts):
            if want is not None and start <= want < end:
                with pytest.raises(Utf8Error) as in_plain:
                    plain.feed(data[start:end])
                with pytest.raises(Utf8Error) as in_fused:
                    fused.feed_masked(masked[start:end], key)
                assert in_plain.value.offset == in_fused.value.offset == want
                return
            plain.feed(data[start:end])
            assert fused.feed_masked(masked[start:end], key) == data[start:end]
            assert plain.ascii == fused.ascii == data[:end].isascii()
            assert plain.complete == fused.complete == (reference.find_invalid_utf8(data[:end]) is None)
        assert want in {None, len(data)}
