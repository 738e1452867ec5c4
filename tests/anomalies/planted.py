"""What must not happen while memory is short, done on purpose: the room must see it."""

from collections.abc import Callable
from itertools import count
from typing import Any

from framewarden.engine import Inspector
from framewarden.kernels import decode_utf8
from tests.anomalies.attempts import Attempt, Outcome, Scenario, Scenarios, clock, memory_error, pure
from tests.anomalies.receiving import receiving

__all__ = ["PLANTED"]

kept: list[Any] = []


def crash() -> Scenarios:
    """A function of C that is given an address that is none."""
    import ctypes

    address = ctypes.c_void_p(1)
    yield "crash", lambda: Attempt([(ctypes.memset, (address, 0, 1))], lambda _: None)


def leak() -> Scenarios:
    """What was made before memory ran out stays in a list."""
    yield "leak", keeping(1)


def slow_leak() -> Scenarios:
    """The same, in one round of ten."""
    yield "slow leak", keeping(10)


def keeping(every: int) -> Scenario:
    turn = count().__next__

    def keep(outcome: Outcome) -> None:
        if turn() % every == 0:
            kept.append(object())
        memory_error(outcome)

    return lambda: Attempt([(decode_utf8, (b"abc",))], keep)


def loss() -> Scenarios:
    """An owner that asks for memory of its own and then forgets the bytes that it has read."""

    class Forgetful:
        def __init__(self) -> None:
            self.inspector = Inspector(role="client", clock=clock())

        def __getattr__(self, name: str) -> Any:
            return getattr(self.inspector, name)

        def receive_data(self, data: bytes) -> list[Any]:
            try:
                data = bytes(bytearray(data))
            except MemoryError:
                return []
            return self.inspector.receive_data(data)

    yield "loss", receiving(Forgetful, [b"\x81\x01a", b"\x81\x01b"])


def error() -> Scenarios:
    def wrong(data: bytes) -> str:
        try:
            return decode_utf8(data)
        except MemoryError:
            raise ValueError from None

    yield "error", pure(wrong, b"abc", expected="abc")


PLANTED: dict[str, Callable[[], Scenarios]] = {
    f"planted-{function.__name__}": function for function in (crash, leak, slow_leak, loss, error)
}
