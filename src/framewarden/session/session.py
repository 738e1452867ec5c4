"""One connected peer."""

import secrets
from collections.abc import Callable
from typing import Any

import msgspec

from framewarden.engine import Inspector
from framewarden.identity import Identity
from framewarden.rfc6455 import State
from framewarden.session.encoding import encode_object, sends_messagepack

__all__ = ["Peer", "Session", "new_session_id"]


class Peer(msgspec.Struct, frozen=True):
    """The two ends of a connection.

    Attributes:
        host: IP address of the peer, "" if unknown.
        port: its TCP port, 0 if unknown.
        local_host: IP address that it reached us at.
        local_port: our TCP port.
        tls: version of TLS ("TLSv1.3"), None: plain TCP.
    """

    host: str
    port: int
    local_host: str
    local_port: int
    tls: str | None


def new_session_id() -> str:
    """128 bits from the operating system, so that nobody guesses a session's name."""
    return secrets.token_urlsafe(16)


class Session:
    """One connected peer. Made by a transport; it belongs to the event loop that handles it and is not thread-safe.

    Attributes:
        id: unguessable name of this connection; it appears in security events.
        identity: what ``Handler.authenticate`` returned; None: the handler does not authenticate.
        peer: the addresses of both ends, and TLS.
        subprotocol: the one agreed upon; None: none.
        path: the request's path, not decoded; routes of a schema are looked up by it.
        query: the request's query, not decoded.
        context: yours; None until you set it.
    """

    __slots__ = (
        "__weakref__",
        "_flush_soon",
        "_inspector",
        "_messagepack",
        "_send_bytes",
        "_send_text",
        "context",
        "flushing",
        "id",
        "identity",
        "path",
        "peer",
        "query",
        "subprotocol",
    )

    def __init__(
        self,
        inspector: Inspector,
        flush_soon: Callable[[], None],
        *,
        id: str,
        identity: Identity | None,
        peer: Peer,
        subprotocol: str | None,
        path: str,
        query: str,
    ) -> None:
        self.id = id
        self.identity = identity
        self.peer = peer
        self.subprotocol = subprotocol
        self.path = path
        self.query = query
        self.context: Any = None
        # Set by the transport while it will flush in any case: what is sent meanwhile leaves in one write.
        self.flushing = False
        self._flush_soon = flush_soon
        self._inspector = inspector
        self._send_text = inspector.send_text
        self._send_bytes = inspector.send_bytes
        self._messagepack = sends_messagepack(inspector.policy, path, subprotocol)

    @property
    def state(self) -> State:
        """Where the connection stands: the Inspector's state, which is the only truth about it."""
        return self._inspector.state

    def send(self, data: Any) -> None:
        """Send one message; it leaves with everything else that is sent in this turn of the event loop.

        A ``str`` leaves as Text, ``bytes`` and other buffers as Binary. Any other object but None is encoded by
        msgspec: as JSON in a Text message, or as MessagePack in a Binary message where the schema of this connection
        has a type for Binary and none for Text.

        Raises:
            ArgumentTypeError: ``data`` is None, or msgspec cannot encode it.
            ArgumentError: a text that is not encodable as UTF-8.
            ClosedError: our Close has left already.
        """
        kind = type(data)
        if kind is str:
            self._send_text(data)
        elif kind is bytes or isinstance(data, bytes | bytearray | memoryview):
            self._send_bytes(data)
        elif isinstance(data, str):
            self._send_text(str(data))
        else:
            self._send_object(data)
        if not self.flushing:
            self.flushing = True
            self._flush_soon()

    def _send_object(self, data: Any) -> None:
        encoded = encode_object(data, messagepack=self._messagepack)
        if isinstance(encoded, str):
            self._send_text(encoded)
        else:
            self._send_bytes(encoded)

    def ping(self, data: bytes = b"") -> None:
        """Send a Ping with up to 125 bytes (RFC 6455 5.5.2).

        Raises:
            ArgumentError: more than 125 bytes.
            ClosedError: our Close has left already.
        """
        self._inspector.send_ping(data)
        self._wake()

    def close(self, code: int = 1000, reason: str = "") -> None:
        """Begin the closing handshake; nothing happens if it has begun already (RFC 6455 7.1.2).

        Args:
            code: 1000 to 1003, 1007 to 1014 or 3000 to 4999.
            reason: at most 123 bytes of UTF-8; the peer sees it.

        Raises:
            ArgumentError: a code that must not be sent (RFC 6455 7.4), or a reason that is too long.
        """
        if self._inspector.state is State.OPEN:
            self._inspector.send_close(code, reason)
            self._wake()

    def _wake(self) -> None:
        if not self.flushing:
            self.flushing = True
            self._flush_soon()
