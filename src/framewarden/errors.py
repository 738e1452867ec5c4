"""The exceptions that framewarden raises: for what its own user did, not for what a peer sent.

What a peer does wrong is data: a :class:`framewarden.Violation` on the Inspector, or an HTTP refusal. Only a client,
whose user asked for a connection or a message, is told by an exception that there is none. A leaf: every room may
import it.
"""

__all__ = ["ArgumentError", "ArgumentTypeError", "ClosedError", "FramewardenError", "HandshakeError", "PolicyError"]


class FramewardenError(Exception):
    """Base of everything that framewarden raises."""


class ArgumentError(FramewardenError, ValueError):
    """A value that cannot be used: a close code that must not be sent, a text that is not encodable as UTF-8."""


class ArgumentTypeError(FramewardenError, TypeError):
    """A value of the wrong type."""


class ClosedError(FramewardenError, RuntimeError):
    """A send after our Close frame has left (RFC 6455 5.5.1: no more data frames after a Close), or a client that waits
    for a message of a connection that has ended.

    Attributes:
        code: close code of a client's connection (RFC 6455 7.4), None: it was a send.
        reason: what the Close gave as a reason, or the id of the rule that the peer broke.
    """

    def __init__(self, message: str, code: int | None = None, reason: str = "") -> None:
        super().__init__(message)
        self.code = code
        self.reason = reason


class HandshakeError(FramewardenError):
    """A server did not answer a client's opening handshake as RFC 6455 4.1 demands.

    Attributes:
        status: HTTP status code of the answer; None: there was none, or none that is HTTP/1.1.
        headers: its headers in order, names in lower case; written by the server, so do not trust them. At most
            ``max_head_bytes``. A body is never read.
    """

    def __init__(self, message: str, status: int | None = None, headers: tuple[tuple[str, str], ...] = ()) -> None:
        super().__init__(message)
        self.status = status
        self.headers = headers


class PolicyError(FramewardenError, ValueError):
    """A policy that contradicts itself, is unsafe where it would be used, or cannot be read."""
