"""What messages say, before it is put into frames."""

from hypothesis import strategies as st

__all__ = ["contents", "texts"]

# Small ones, and those at the edges of the length forms and of vector registers.
SIZES = (15, 16, 17, 31, 32, 33, 63, 64, 65, 124, 125, 126, 127, 128, 300)


def texts() -> st.SearchStrategy[str]:
    """Draw text of up to 160 characters, of every length in UTF-8."""
    repeated = st.builds(lambda text, times: text * times, st.text(min_size=1, max_size=4), st.integers(1, 40))
    return st.text(max_size=12) | repeated


def contents() -> st.SearchStrategy[bytes]:
    """Draw up to 300 bytes, with the lengths where header forms and vector registers end."""
    sizes = st.integers(0, 12) | st.sampled_from(SIZES)
    repeated = st.builds(lambda size, unit: (unit * size)[:size], sizes, st.binary(min_size=1, max_size=5))
    return st.binary(max_size=20) | repeated
