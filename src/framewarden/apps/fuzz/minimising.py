"""Make an input smaller that shows the same fault."""

import time
from collections.abc import Callable

__all__ = ["minimise"]

Same = Callable[[bytes], bool]


def minimise(data: bytes, same: Same, seconds: float) -> bytes:
    """Leave pieces out, then turn bytes into zeros, as long as ``same`` says that the fault is the same.

    Pieces are halves first and bytes last, again and again until nothing changes: no byte of what comes back can be
    left out, unless the time was over.

    Args:
        data: shows the fault.
        same: whether an input shows it, too.
        seconds: after which the best input so far is good enough.
    """
    end = time.monotonic() + seconds
    before = None
    while data != before and time.monotonic() < end:
        before = data
        data = _with_zeros(_without_pieces(data, same, end), same, end)
    return data


def _without_pieces(data: bytes, same: Same, end: float) -> bytes:
    size = max(1, len(data) // 2)
    while size:
        at = 0
        while at < len(data) and time.monotonic() < end:
            candidate = data[:at] + data[at + size :]
            if same(candidate):
                data = candidate
            else:
                at += size
        size //= 2
    return data


def _with_zeros(data: bytes, same: Same, end: float) -> bytes:
    for at in range(len(data)):
        if data[at] and time.monotonic() < end:
            candidate = data[:at] + b"\0" + data[at + 1 :]
            if same(candidate):
                data = candidate
    return data
