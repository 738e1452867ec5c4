"""Unmasking, UTF-8 validation and decoding by the best instructions that this CPU has.

Here lives the only door from Python and Cython to the C of ``ext/kernels``: which implementation is used, and the
passes over payload bytes. It imports nothing else of framewarden; ``reference`` holds the same in obvious Python, as
an oracle for tests. Compiled modules cimport ``framewarden.kernels._kernels``.

The environment variable ``FRAMEWARDEN_KERNEL`` names the implementation to use from the start; with a name that is not
in ``available()`` the import fails.
"""

from framewarden.kernels._errors import Utf8Error
from framewarden.kernels._kernels import (
    Utf8Validator,
    active,
    available,
    decode_utf8,
    find_invalid_utf8,
    unmask,
    use,
)

__all__ = [
    "Utf8Error",
    "Utf8Validator",
    "active",
    "available",
    "decode_utf8",
    "find_invalid_utf8",
    "unmask",
    "use",
]
