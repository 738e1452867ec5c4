"""``framewarden.connect``: a strict client on plain asyncio transports, for asyncio's event loop and for uvloop."""

import asyncio
import base64
import functools
import secrets
import ssl as ssl_module
from collections.abc import Sequence
from types import TracebackType
from typing import cast

from framewarden.codec.client_handshake import Accepted, Offer, Rejected, ResponseParser, request_head
from framewarden.codec.uri import WebSocketUri, parse_uri
from framewarden.engine import Inspector
from framewarden.errors import ArgumentError, ArgumentTypeError, HandshakeError
from framewarden.policy import Policy
from framewarden.rfc6455 import CloseCode, Role
from framewarden.transports.client_connection import ClientConnection, receive_buffer

__all__ = ["connect"]

HARDENED = Policy()


def connect(
    uri: str,
    policy: Policy = HARDENED,
    *,
    subprotocols: Sequence[str] = (),
    origin: str | None = None,
    headers: Sequence[tuple[str, str]] = (),
    ssl: ssl_module.SSLContext | None = None,
) -> "Connecting":
    """Connect to a WebSocket server.

    ::

        async with framewarden.connect("wss://example.org/chat") as connection:
            await connection.send("hello")
            print(await connection.receive())

    What the server sends is judged as a server judges its clients: by the same limits and rules, and the policy's
    schema. The connection is closed with 1000 at the end of the block, with 1011 if it ends by an exception, with 1001
    if it is cancelled.

    Args:
        uri: ws:// or wss://, without user, password and fragment.
        policy: limits, schema and compression; ``access`` does not matter here. ``handshake_seconds`` bounds name
            lookup, TCP, TLS and the opening handshake together.
        subprotocols: names to offer, in order of preference.
        origin: value of Origin; None: none is sent.
        headers: more headers for the request, as pairs: for authentication as a rule.
        ssl: context for wss; None: one that verifies the server's certificate and name by the system's authorities,
            TLS 1.2 or newer.

    Raises (all but the first two when the block is entered):
        ArgumentError: the URI, a header or a subprotocol could not be sent, or ssl is given for ws.
        ArgumentTypeError: ``policy`` is not a Policy.
        OSError: the server cannot be reached, or TLS failed; TimeoutError: it took longer than handshake_seconds.
        HandshakeError: the server answered, but not with a valid 101.
    """
    if not isinstance(policy, Policy):
        raise ArgumentTypeError(f"policy must be a Policy, not {type(policy).__name__}")
    target = parse_uri(uri)
    if ssl is not None and not target.secure:
        raise ArgumentError("ssl is for wss://; this URI is ws://")
    key = base64.b64encode(secrets.token_bytes(16)).decode("ascii")
    offer = Offer(key=key, subprotocols=tuple(subprotocols), deflate=policy.deflate)
    head = request_head(target, offer, origin=origin, headers=headers)
    return Connecting(target, policy, offer, head, ssl)


class Connecting:
    """What :func:`connect` returns: an asynchronous context manager, to be entered once."""

    def __init__(
        self, uri: WebSocketUri, policy: Policy, offer: Offer, head: bytes, ssl: ssl_module.SSLContext | None
    ) -> None:
        self._uri = uri
        self._policy = policy
        self._offer = offer
        self._head = head
        self._ssl = ssl
        self._entered = False
        self._connection: ClientConnection | None = None

    async def __aenter__(self) -> ClientConnection:
        """Connect. Raises RuntimeError if it is entered again: RFC 6455 4.1 wants a new key for each connection."""
        if self._entered:
            raise RuntimeError("a connect() can be entered once; call it again")
        self._entered = True
        seconds = self._policy.limits.handshake_seconds
        deadline = asyncio.timeout(seconds)
        try:
            async with deadline:
                self._connection = await self._open()
        except TimeoutError:
            if not deadline.expired():
                raise  # the system's own
            raise TimeoutError(f"the connection was not open within handshake_seconds ({seconds} s)") from None
        return self._connection

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close."""
        assert self._connection is not None
        if error is None:
            code = CloseCode.NORMAL_CLOSURE
        else:
            code = CloseCode.INTERNAL_ERROR if isinstance(error, Exception) else CloseCode.GOING_AWAY
        await self._connection.close(code)

    async def _open(self) -> ClientConnection:
        loop = asyncio.get_running_loop()
        uri = self._uri
        context = (self._ssl or default_context()) if uri.secure else None
        transport, opening = await loop.create_connection(
            lambda: _Opening(loop, uri, self._policy, self._offer),
            uri.host,
            uri.port,
            ssl=context,
            server_hostname=uri.host if uri.secure else None,
        )
        transport.write(self._head)
        try:
            return await opening.answered
        except BaseException:  # cancelled as well: whatever happened, nobody has the connection
            transport.abort()
            raise


@functools.cache
def default_context() -> ssl_module.SSLContext:
    """A TLS context that verifies the server. Made once: reading the authorities takes 10 ms and more."""
    context = ssl_module.create_default_context()
    context.minimum_version = ssl_module.TLSVersion.TLSv1_2
    context.set_alpn_protocols(["http/1.1"])  # RFC 6455 4.1 upgrades HTTP/1.1
    return context


class _Opening(asyncio.BufferedProtocol):
    """Waits for the server's answer; then a ClientConnection takes its place. ``answered``: that connection."""

    def __init__(self, loop: asyncio.AbstractEventLoop, uri: WebSocketUri, policy: Policy, offer: Offer) -> None:
        self.answered: asyncio.Future[ClientConnection] = loop.create_future()
        self._loop = loop
        self._uri = uri
        self._policy = policy
        self._parser = ResponseParser(policy.limits, offer)
        self._buffer = receive_buffer(loop)
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """TCP, and TLS, are up."""
        self._transport = cast(asyncio.Transport, transport)  # uvloop's is not a subclass

    def get_buffer(self, sizehint: int) -> memoryview:
        """Where the next bytes are read to."""
        return self._buffer

    def buffer_updated(self, nbytes: int) -> None:
        """``nbytes`` came in."""
        if self.answered.done():
            return  # given up
        verdict = self._parser.feed(bytes(self._buffer[:nbytes]))
        if isinstance(verdict, Rejected):
            self._fail(HandshakeError(verdict.detail, verdict.status, verdict.headers))
        elif verdict is not None:
            self.answered.set_result(self._upgrade(verdict))

    def _upgrade(self, accepted: Accepted) -> ClientConnection:
        transport = self._transport
        assert transport is not None
        inspector = Inspector(
            self._policy,
            Role.CLIENT,
            route=self._uri.path,
            subprotocol=accepted.subprotocol,
            deflate=accepted.deflate,
            address=self._uri.authority,
        )
        connection = ClientConnection(self._loop, transport, inspector, accepted, self._uri.path)
        transport.set_protocol(connection)
        rest = self._parser.rest
        if rest:
            connection.received(rest, len(rest))
        return connection

    def eof_received(self) -> bool:
        """The server hung up."""
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        """The transport is gone, and no answer has come."""
        if not self.answered.done():
            error = HandshakeError("the server closed the connection before it had answered")
            error.__cause__ = exc
            self._fail(error)

    def _fail(self, error: HandshakeError) -> None:
        self.answered.set_exception(error)
        self.answered.exception()  # whoever was cancelled does not ask for it; then asyncio need not complain
