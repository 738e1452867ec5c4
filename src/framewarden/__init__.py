"""framewarden: inspect every WebSocket frame before an application sees it.

Embed the engine in any server (:class:`Inspector`), let framewarden be the server (:func:`serve`) or the client
(:func:`connect`). The transports, and with them picows and uvloop, are loaded when one of their names is first used.
"""

from typing import TYPE_CHECKING, Any

from framewarden.codec._writer import Prepared, prepare
from framewarden.codec.extensions import DeflateParameters
from framewarden.engine import MAX_EVENT_BYTES, MAX_EVENTS, Close, Event, Inspector, Message, Ping, Pong
from framewarden.errors import (
    ArgumentError,
    ArgumentTypeError,
    ClosedError,
    FramewardenError,
    HandshakeError,
    PolicyError,
)
from framewarden.identity import Identity
from framewarden.policy import Access, Deflate, Limits, Policy, Schema, SecurityEvent
from framewarden.policy_file import load_policy
from framewarden.rfc6455 import CloseCode, Opcode, Role, State
from framewarden.rules import RULES, Rule, Violation
from framewarden.session import Broadcast, Delivery, Handler, Peer, Session, broadcast

if TYPE_CHECKING:
    from framewarden.transports import ClientConnection, Server, connect, serve

__all__ = [
    "MAX_EVENTS",
    "MAX_EVENT_BYTES",
    "RULES",
    "Access",
    "ArgumentError",
    "ArgumentTypeError",
    "Broadcast",
    "ClientConnection",
    "Close",
    "CloseCode",
    "ClosedError",
    "Deflate",
    "DeflateParameters",
    "Delivery",
    "Event",
    "FramewardenError",
    "Handler",
    "HandshakeError",
    "Identity",
    "Inspector",
    "Limits",
    "Message",
    "Opcode",
    "Peer",
    "Ping",
    "Policy",
    "PolicyError",
    "Pong",
    "Prepared",
    "Role",
    "Rule",
    "Schema",
    "SecurityEvent",
    "Server",
    "Session",
    "State",
    "Violation",
    "broadcast",
    "connect",
    "load_policy",
    "prepare",
    "serve",
]


def __getattr__(name: str) -> Any:
    """PEP 562: the names of the transports."""
    if name in ("ClientConnection", "Server", "connect", "serve"):
        from framewarden import transports  # noqa: PLC0415 - lazily, see above

        return getattr(transports, name)
    if name == "__version__":
        from importlib.metadata import version  # noqa: PLC0415 - costs 20 ms, and hardly anybody asks

        return version("framewarden")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
