"""The exceptions that framewarden raises: always for what its own user did, never for what a peer sent.

What a peer does wrong is data: a :class:`framewarden.Violation` on the Inspector, or an HTTP refusal. A leaf: every
room may import it.
"""

__all__ = ["ArgumentError", "ArgumentTypeError", "ClosedError", "FramewardenError", "PolicyError"]


class FramewardenError(Exception):
    """Base of everything that framewarden raises."""


class ArgumentError(FramewardenError, ValueError):
    """A value that cannot be used: a close code that must not be sent, a text that is not encodable as UTF-8."""


class ArgumentTypeError(FramewardenError, TypeError):
    """A value of the wrong type."""


class ClosedError(FramewardenError, RuntimeError):
    """A send after our Close frame has left (RFC 6455 5.5.1: no more data frames after a Close)."""


class PolicyError(FramewardenError, ValueError):
    """A policy that contradicts itself, is unsafe where it would be used, or cannot be read."""
