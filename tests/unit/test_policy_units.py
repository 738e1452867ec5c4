"""Sizes and durations with units."""

import pytest

from framewarden.policy_units import DURATION, SIZE, units_of


@pytest.mark.parametrize(
    ("text", "bytes_"),
    [
        ("0B", 0),
        ("512B", 512),
        ("1 B", 1),
        ("1kB", 1000),
        ("3MB", 3_000_000),
        ("2GB", 2_000_000_000),
        ("64KiB", 65_536),
        ("16MiB", 16_777_216),
        ("1GiB", 1_073_741_824),
        ("1.5KiB", 1536),
        ("0.001kB", 1),
    ],
)
def test_sizes(text, bytes_):
    size = SIZE.parse(text)
    assert size == bytes_
    assert type(size) is int


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("500ms", 0.5), ("20s", 20.0), ("0.25 s", 0.25), ("5m", 300.0), ("24h", 86_400.0), ("1.5d", 129_600.0)],
)
def test_durations(text, seconds):
    duration = DURATION.parse(text)
    assert duration == seconds
    assert type(duration) is float


WRONG = [
    "",
    "1",
    "B",
    "s",
    "-1s",
    "-1B",
    "+1B",
    "1e3B",
    "1_0B",
    "1  B",
    " 1B",
    "1B ",
    "1.B",
    ".5s",
    "1h30m",
    "٣s",
    "٣B",
]


@pytest.mark.parametrize("text", [*WRONG, "1KB", "1mb", "1Mib", "1k", "1s", "1.5B", "0.3KiB", "9" * 19 + "B"])
def test_what_is_no_size(text):
    with pytest.raises(ValueError, match=r"^'"):
        SIZE.parse(text)


@pytest.mark.parametrize("text", [*WRONG, "1S", "1M", "1min", "1B", "1us", "1w", "9" * 10_000 + "s"])
def test_what_is_no_duration(text):
    with pytest.raises(ValueError, match=r"^'") as raised:
        DURATION.parse(text)
    assert len(str(raised.value)) < 100


def test_the_name_of_a_field_says_what_it_holds():
    assert units_of("max_frame_bytes") is SIZE
    assert units_of("min_bytes") is SIZE
    assert units_of("idle_seconds") is DURATION
    assert units_of("max_headers") is None
    assert units_of("bytes") is None
