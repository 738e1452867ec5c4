"""The application: what an embedder writes."""

from collections.abc import Awaitable
from typing import Any

from framewarden.codec.handshake import Request
from framewarden.identity import Identity
from framewarden.session._session import Session

__all__ = ["Echo", "Handler"]


class Handler:
    """Base of an application. One object serves all connections; override what you need, ``async`` or not.

    Messages of one connection are handled one at a time and in order: the next one waits until ``on_message`` has
    returned, or what it returned has been awaited. Ping and Close are answered meanwhile. An exception is logged,
    without its text, and closes the connection with 1011 [handler-error].

    When the connection is gone, what ``on_message`` is just doing has ``close_seconds`` to end; then it is cancelled.
    [memory-budget] cancels it at once, since it may hold the message that was too much.
    Messages that still wait are handled in this time if the peer said Close, and forgotten if it just went away.

    Attributes:
        challenge: value of WWW-Authenticate in the 401 that a request gets which ``authenticate`` did not accept
            (RFC 9110 11.6.1).
    """

    challenge = "Bearer"

    def authenticate(self, request: Request) -> Identity | Awaitable[Identity | None] | None:
        """Say who sent this request, before the upgrade. May be async.

        Returns:
            An Identity; or None: the request is refused with 401. Raise PermissionError to refuse it with 403 instead;
            any other exception refuses it with 503 [authenticate-error]. A handler that does not override this method
            serves everybody, with ``session.identity`` None.

        A request without Origin passes the origin check, because no browser sent it. So do not authenticate by cookie:
        use a header, or a token in the query or in a subprotocol.
        """
        raise NotImplementedError

    def on_open(self, session: Session) -> Awaitable[None] | None:
        """The connection is open. Nothing has been received yet."""

    def on_message(self, session: Session, message: Any) -> Awaitable[None] | None:
        """A message that passed every rule: a ``str``, ``bytes``, or an object of the schema's type.

        What is sent in answer goes before our Close, also if the peer's Close (or a frame that breaks a rule) came in
        one piece with the message: an ``async`` handler has ``close_seconds`` to answer what came before.
        """

    def on_close(self, session: Session, code: int, reason: str) -> Awaitable[None] | None:
        """The connection has ended: called once, after the last message. ``code``: RFC 6455 7.4; 1006: no Close."""

    @property
    def authenticates(self) -> bool:
        """Whether ``authenticate`` is overridden, by the class or on the object."""
        return getattr(self.authenticate, "__func__", None) is not Handler.authenticate


class Echo(Handler):
    """Sends every message back: what a server without a handler does."""

    def on_message(self, session: Session, message: Any) -> None:
        """Send ``message`` back."""
        session.send(message)
