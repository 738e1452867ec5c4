"""One file a target. Its first comment is the invariant; it has ``one``, ``seeds``, ``ALLOWED`` and ``TOKENS``.

``one(data)`` raises AssertionError when the invariant is broken; every other exception that leaves it is a finding as
well. ``seeds()`` makes the first inputs, from ``tests/vectors`` where there are vectors. ``ALLOWED`` lists the
exceptions that what is fuzzed may raise. ``TOKENS`` are bytes that mean something to it. A target whose inputs are
streams of frames also has ``mutate`` and ``cross``, which change them as frames.
"""

import importlib
from collections.abc import Iterable
from typing import Protocol, cast

__all__ = ["NAMES", "Target", "load"]

NAMES = (
    "calls",
    "stream",
    "schema",
    "handshake",
    "client_handshake",
    "uri",
    "extensions",
    "policy",
    "kernels",
    "roundtrip",
    "loadgen",
    "cases",
    "wire",
)


class Target(Protocol):
    ALLOWED: tuple[type[Exception], ...]
    TOKENS: tuple[bytes, ...]

    def one(self, data: bytes) -> None: ...

    def seeds(self) -> Iterable[bytes]: ...


def load(name: str) -> Target:
    """The target called ``name``, one of ``NAMES``."""
    return cast("Target", importlib.import_module(f"fuzz.targets.{name}"))
