"""The vocabulary of RFC 6455: opcodes, close codes, roles, connection states. A leaf: every room may import it."""

from enum import Enum, IntEnum

__all__ = ["ACCEPT_GUID", "CloseCode", "Opcode", "Role", "State"]

ACCEPT_GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
"""RFC 6455 1.3: concatenated to Sec-WebSocket-Key, hashed with SHA-1, gives Sec-WebSocket-Accept."""


class Opcode(IntEnum):
    """RFC 6455 5.2 and 11.8."""

    CONTINUATION = 0x0
    TEXT = 0x1
    BINARY = 0x2
    CLOSE = 0x8
    PING = 0x9
    PONG = 0xA


class Role(Enum):
    """Which end of the connection we are: a server reads masked frames, a client unmasked ones (RFC 6455 5.1)."""

    SERVER = "server"
    CLIENT = "client"


class State(Enum):
    """Where a connection stands (RFC 6455 4.1, 7.1).

    OPEN: messages flow. CLOSING: a Close has been sent or received, not both. CLOSED: both, or the transport ended.
    FAILED: the peer broke a rule (RFC 6455 7.1.7); nothing more is read from it.
    """

    OPEN = "open"
    CLOSING = "closing"
    CLOSED = "closed"
    FAILED = "failed"


class CloseCode(IntEnum):
    """RFC 6455 7.4.1 and the IANA registry, then our policy range, which mirrors the HTTP status codes."""

    NORMAL_CLOSURE = 1000
    GOING_AWAY = 1001
    PROTOCOL_ERROR = 1002
    UNSUPPORTED_DATA = 1003
    NO_STATUS_RCVD = 1005
    ABNORMAL_CLOSURE = 1006
    INVALID_PAYLOAD = 1007
    POLICY_VIOLATION = 1008
    MESSAGE_TOO_BIG = 1009
    MANDATORY_EXTENSION = 1010
    INTERNAL_ERROR = 1011
    SERVICE_RESTART = 1012
    TRY_AGAIN_LATER = 1013
    BAD_GATEWAY = 1014
    TLS_HANDSHAKE = 1015

    UNAUTHENTICATED = 4401
    FORBIDDEN = 4403
    TIMEOUT = 4408
    REPLAY = 4409
    BUDGET = 4413
    SCHEMA = 4422
    RATE = 4429
