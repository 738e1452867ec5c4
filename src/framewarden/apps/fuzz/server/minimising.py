"""Make the input of a finding small: leave out frames, lines and bytes for as long as the same is seen."""

from collections.abc import Callable, Iterator, Sequence
from typing import TypeVar

from framewarden.apps.fuzz.mutating import Frame, Parts, join, split
from framewarden.apps.fuzz.server.trial import Trial

__all__ = ["minimise"]

Item = TypeVar("Item")


def minimise(
    trial: Trial,
    remake: Callable[[Trial, bytes], Trial],
    shows: Callable[[Trial], bool],
    stop: Callable[[], bool],
) -> Trial:
    """A smaller trial that shows the same.

    Args:
        trial: the one to begin with.
        remake: makes the same trial with other bytes.
        shows: whether a trial shows what the first one does; it is asked once for each smaller one.
        stop: asked before each; True: it is small enough.
    """
    best = trial
    going = True
    while going:
        going = False
        for data in smaller(best):
            if stop():
                return best
            candidate = remake(trial, data)
            if len(candidate.verdict.data) < len(best.verdict.data) and _same(candidate, trial) and shows(candidate):
                best, going = candidate, True
                break
    return best


def _same(candidate: Trial, trial: Trial) -> bool:
    """Whether the strict verdict is the same; then it is worth asking the server."""
    one, other = candidate.verdict, trial.verdict
    return one.rule == other.rule and one.answer == other.answer


def smaller(trial: Trial) -> Iterator[bytes]:
    """Smaller inputs, the smallest first."""
    if trial.verdict.stage == "handshake":
        lines = trial.verdict.data.split(b"\r\n")
        for fewer in without(lines):
            yield b"\r\n".join(fewer)
        for index, line in enumerate(lines):
            for end in (len(line) // 2, len(line) - 1):
                if 0 < end < len(line):
                    yield b"\r\n".join([*lines[:index], line[:end], *lines[index + 1 :]])
        return
    frames = split(trial.verdict.data).frames
    for kept in without(frames):
        yield join(Parts(kept, b""))
    for index, frame in enumerate(frames):
        for shorter in shortened(frame):
            yield join(Parts([*frames[:index], shorter, *frames[index + 1 :]], b""))


def without(items: Sequence[Item]) -> Iterator[list[Item]]:
    """Without a half of them, a quarter, ... without one."""
    size = len(items) // 2
    while size:
        for start in range(0, len(items), size):
            yield [*items[:start], *items[start + size :]]
        size //= 2


def shortened(frame: Frame) -> Iterator[Frame]:
    """The frame with less payload, in the same form of length."""
    payload = frame.payload
    for begin, end in ((0, 0), (0, len(payload) // 2), (len(payload) // 2, len(payload)), (0, len(payload) - 1),
                       (1, len(payload))):  # fmt: skip
        if 0 <= begin <= end and end - begin < len(payload):
            form, shorter = frame.form, frame.copy()
            shorter.payload = payload[begin:end]
            if form > shorter.form and frame.declared < (126 if form == 2 else 65536):
                shorter.declare(shorter.declared, form)  # it was not in the fewest bytes, and must not be
            yield shorter
