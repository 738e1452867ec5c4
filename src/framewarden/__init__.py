"""framewarden: inspect every WebSocket frame before an application sees it.

Embed the engine in any server (:class:`Inspector`), or let framewarden be the server (:func:`serve`). The transports,
and with them picows and uvloop, are loaded when one of their names is first used.
"""

from typing import TYPE_CHECKING, Any

from framewarden.codec.extensions import DeflateParameters
from framewarden.engine import MAX_EVENT_BYTES, MAX_EVENTS, Close, Event, Inspector, Message, Ping, Pong
from framewarden.errors import ArgumentError, ArgumentTypeError, ClosedError, FramewardenError, PolicyError
from framewarden.identity import Identity
from framewarden.policy import Access, Deflate, Limits, Policy, Schema, SecurityEvent
from framewarden.policy_file import load_policy
from framewarden.rfc6455 import CloseCode, Opcode, Role, State
from framewarden.rules import RULES, Rule, Violation
from framewarden.session import Handler, Session

if TYPE_CHECKING:
    from framewarden.transports import Server, serve

__all__ = [
    "MAX_EVENTS",
    "MAX_EVENT_BYTES",
    "RULES",
    "Access",
    "ArgumentError",
    "ArgumentTypeError",
    "Close",
    "CloseCode",
    "ClosedError",
    "Deflate",
    "DeflateParameters",
    "Event",
    "FramewardenError",
    "Handler",
    "Identity",
    "Inspector",
    "Limits",
    "Message",
    "Opcode",
    "Ping",
    "Policy",
    "PolicyError",
    "Pong",
    "Role",
    "Rule",
    "Schema",
    "SecurityEvent",
    "Server",
    "Session",
    "State",
    "Violation",
    "load_policy",
    "serve",
]


def __getattr__(name: str) -> Any:
    """PEP 562: the names of the transports."""
    if name in ("Server", "serve"):
        from framewarden import transports  # noqa: PLC0415 - lazily, see above

        return getattr(transports, name)
    if name == "__version__":
        from importlib.metadata import version  # noqa: PLC0415 - costs 20 ms, and hardly anybody asks

        return version("framewarden")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
