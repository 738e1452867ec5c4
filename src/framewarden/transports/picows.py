"""Drop-in for users of picows: the same listeners, behind our inspection.

``create_server`` stands in for ``picows.ws_create_server``. A ``WSListener`` gets only messages that passed every rule;
it sends through its ``WSTransport`` as ever. ``docs/picows.md`` lists what is different: messages arrive assembled, in
one frame each; there is no compression and no schema; sizes and times are the policy's.
"""

import asyncio
import logging
import socket
import ssl as ssl_module
from http import HTTPStatus
from typing import Any, Self

from picows import (
    WSAutoPingStrategy,
    WSListener,
    WSUpgradeRequest,
    WSUpgradeResponse,
    WSUpgradeResponseWithListener,
)

from framewarden.admission import Accepted, Authenticate, describe_error
from framewarden.codec.grammar import TOKEN
from framewarden.codec.handshake import Refusal, Request, checked_value, switching_headers
from framewarden.errors import ArgumentError, ArgumentTypeError, PolicyError
from framewarden.policy import Policy
from framewarden.rfc6455 import CloseCode
from framewarden.transports.accepted import make_connection
from framewarden.transports.acceptor import Acceptor
from framewarden.transports.context import Context
from framewarden.transports.listening import Factory, Hearing, ListenerCarrier, ListenerConnection, Options, Outlet
from framewarden.transports.server import BACKLOG, HARDENED, Server
from framewarden.transports.upgrade import AdmissionProtocol

__all__ = ["PicowsServer", "create_server"]

_log = logging.getLogger("framewarden.server")

READ_BUFFER_BYTES = 16 * 1024
"""What picows starts with."""

# What ws_create_server takes and we do not, with what does its work here.
NOT_TAKEN = {
    "max_frame_size": "give policy=Policy(limits=Limits(max_frame_bytes=..., max_message_bytes=...))",
    "websocket_handshake_timeout": "give policy=Policy(limits=Limits(handshake_seconds=...))",
    "ssl_handshake_timeout": "give policy=Policy(limits=Limits(handshake_seconds=...))",
    "ssl_shutdown_timeout": "give policy=Policy(limits=Limits(close_seconds=...))",
    "use_aiofastnet": "leave it out: TLS is carried by aiofastnet, plain TCP by the event loop",
    "sock": "give host and port",
    "family": "give an address of that family as host",
    "flags": "give an address as host",
    "reuse_address": "leave it out: it is always set",
    "reuse_port": "leave it out: one server listens on a port",
    "keep_alive": "leave it out: the policy's ping_seconds and pong_seconds find a peer that is gone",
    "start_serving": "leave it out: the server serves when create_server returns",
    "zero_copy_unsafe_ssl_write": "leave it out: picows has no such option any more",
}

RULES_OF_ANSWERS = {401: "unauthenticated", 403: "forbidden", 404: "not-found"}
"""Which rule a listener factory's own response stands for; the others are answers, not refusals."""


async def create_server(
    listener_factory: Factory,
    host: str | None = None,
    port: int | None = None,
    *,
    policy: Policy = HARDENED,
    authenticate: Authenticate | None = None,
    disconnect_on_exception: bool = True,
    logger_name: str | logging.Logger | logging.LoggerAdapter[Any] | None = None,
    enable_auto_ping: bool = False,
    auto_ping_idle_timeout: float = 20,
    auto_ping_reply_timeout: float = 20,
    auto_ping_strategy: WSAutoPingStrategy = WSAutoPingStrategy.PING_WHEN_IDLE,
    enable_auto_pong: bool = True,
    read_buffer_init_size: int = READ_BUFFER_BYTES,
    ssl: ssl_module.SSLContext | None = None,
    backlog: int = BACKLOG,
    **not_taken: Any,
) -> "PicowsServer":
    """Listen, and give every connection that is admitted to a listener of picows, behind our inspection.

    Args:
        listener_factory: as in picows: called with a WSUpgradeRequest of a handshake that is valid and admitted by the
            policy; returns a WSListener, a WSUpgradeResponseWithListener, or None, which is answered with 404.
            What it raises is logged and answered with 500, without the text that picows sends.
        host: name or IP address; None: every address of the machine.
        port: TCP port; None or 0: a free one, see ``sockets``.
        policy: limits and who may connect. It must not have a schema or compression.
        authenticate: as :meth:`framewarden.Handler.authenticate`; None: the factory decides.
        disconnect_on_exception: as in picows.
        logger_name: as in picows.
        enable_auto_ping: as in picows; the policy's own ``ping_seconds`` hold besides.
        auto_ping_idle_timeout: as in picows, seconds.
        auto_ping_reply_timeout: as in picows, seconds.
        auto_ping_strategy: as in picows.
        enable_auto_pong: False: the listener is told of Pings. They are answered in any case; a Pong of the listener is
            not sent.
        read_buffer_init_size: of picows' buffer for a verified message, in bytes.
        ssl: context for TLS; None: plain TCP.
        backlog: connections that the kernel holds until they are accepted.
        **not_taken: the other arguments of ``picows.ws_create_server`` and of ``loop.create_server`` are refused, with
            what to use instead.

    Raises:
        ArgumentError: one of those.
        ArgumentTypeError: nobody knows an argument of this name, or the factory cannot be called.
        PolicyError: the policy has a schema or compression; or the address is not a loopback address, and TLS or
            ``authenticate`` is missing and the policy does not allow it.
        OSError: the address cannot be listened on.
    """
    for name in not_taken:
        if name not in NOT_TAKEN:
            raise ArgumentTypeError(f"create_server() has no argument {name!r}")
        raise ArgumentError(f"create_server() does not take {name}: {NOT_TAKEN[name]}")
    if not callable(listener_factory):
        raise ArgumentTypeError("listener_factory must be callable")
    if not isinstance(host, str | None):
        raise ArgumentTypeError("host must be one name or address: make a server for each")
    if policy.schema is not None or policy.deflate is not None:
        name = "deflate" if policy.schema is None else "schema"
        raise PolicyError(f"policy.{name} is not for listeners of picows, which get bytes: use framewarden.Handler")
    if enable_auto_ping and auto_ping_reply_timeout > auto_ping_idle_timeout:
        raise ArgumentError("auto_ping_reply_timeout must be at most auto_ping_idle_timeout")
    if auto_ping_strategy not in (WSAutoPingStrategy.PING_WHEN_IDLE, WSAutoPingStrategy.PING_PERIODICALLY):
        raise ArgumentError("auto_ping_strategy must be a WSAutoPingStrategy")
    options: Options = {
        "logger": _logger(logger_name),
        "disconnect_on_exception": disconnect_on_exception,
        "enable_auto_ping": enable_auto_ping,
        "auto_ping_idle_timeout": auto_ping_idle_timeout,
        "auto_ping_reply_timeout": auto_ping_reply_timeout,
        "auto_ping_strategy": auto_ping_strategy,
        "max_frame_size": policy.limits.max_message_bytes,
        "read_buffer_init_size": read_buffer_init_size,
    }
    handler = Hearing()
    if authenticate is not None:
        handler.authenticate = authenticate  # type: ignore[assignment, method-assign]  # the names of arguments differ
    server = _ListenerServer(
        handler, policy, host or "", port or 0, ssl=ssl, backlog=backlog, factory=listener_factory, options=options,
        deliver_pings=not enable_auto_pong,
    )  # fmt: skip
    await server.start()
    server.context.on_control = handler.on_control
    return PicowsServer(server)


def _logger(name: str | logging.Logger | logging.LoggerAdapter[Any] | None) -> Any:
    if name is None or isinstance(name, str):
        return logging.getLogger(f"picows.{name or 'server'}")
    return name


class _ListenerServer(Server):
    """A Server whose connections belong to listeners of picows."""

    def __init__(self, *arguments: Any, factory: Factory, options: Options, deliver_pings: bool, **named: Any) -> None:
        super().__init__(*arguments, **named)
        self._factory = factory
        self._options = options
        self._deliver_pings = deliver_pings

    @property
    def acceptor(self) -> Acceptor | None:
        """What accepts; None before ``start`` and after ``close``."""
        return self._acceptor

    @property
    def context(self) -> Context:
        """What the connections share."""
        assert self._context is not None  # there is no way to this object before start
        return self._context

    def _upgrade(
        self, admitted: AdmissionProtocol, transport: asyncio.Transport, request: Request, accepted: Accepted
    ) -> None:
        """Ask the factory; turn the request into a connection of its listener, or answer as the factory says."""
        context = self.context
        connection = make_connection(ListenerConnection, context, admitted, transport, request, accepted)
        call = _FactoryCall(self._factory, request, accepted.subprotocol)
        carrier = ListenerCarrier(connection, call, self._options, deliver_pings=self._deliver_pings)

        def accept(response: bytes) -> None:
            """Before the listener is told, who may send at once."""
            context.replace(admitted, connection)
            transport.set_protocol(carrier)
            transport.write(response)

        connection.shake_hands(carrier, Outlet(transport, connection), request.key, accept)
        if call.refusal is not None:
            admitted.refuse(call.refusal)
        elif connection.response is not None:
            admitted.answer(connection.response, RULES_OF_ANSWERS.get(carrier.transport.response.status))
        else:
            connection.open()


class _FactoryCall:
    """Calls a listener factory with what we verified, where picows calls it with our canonical head.

    Attributes:
        refusal: our answer, where the factory has none.
    """

    def __init__(self, factory: Factory, request: Request, subprotocol: str | None) -> None:
        self._factory = factory
        self._request = request
        self._subprotocol = subprotocol
        self.refusal: Refusal | None = None

    def __call__(self, upgrade: WSUpgradeRequest) -> WSUpgradeResponseWithListener:
        """What picows makes of a request; ``upgrade`` becomes the peer's, and ``transport.request``."""
        _fill(upgrade, self._request)
        try:
            result = self._factory(upgrade)
        except Exception as error:  # noqa: BLE001  # user code raises what it likes
            return self._fail(describe_error(error))
        if result is None:
            return self._refuse(Refusal("not-found", HTTPStatus.NOT_FOUND))
        try:
            return self._take(result)
        except ArgumentError as error:
            return self._fail(str(error))

    def _fail(self, what: str) -> WSUpgradeResponseWithListener:
        _log.error("listener_factory failed: %s", what)
        return self._refuse(Refusal("handler-error", HTTPStatus.INTERNAL_SERVER_ERROR))

    def _refuse(self, refusal: Refusal) -> WSUpgradeResponseWithListener:
        self.refusal = refusal
        return WSUpgradeResponseWithListener(WSUpgradeResponse.create_error_response(refusal.status), None)

    def _take(self, result: object) -> WSUpgradeResponseWithListener:
        """The response to what the factory returned.

        Raises:
            ArgumentError: it cannot be sent.
        """
        if isinstance(result, WSListener):
            return self._accept(WSUpgradeResponse.create_101_response(), result)
        if not isinstance(result, WSUpgradeResponseWithListener):
            raise ArgumentError(f"it returned {type(result).__name__}, which is no WSListener")
        _check_response(result.response)
        if result.response.status != HTTPStatus.SWITCHING_PROTOCOLS:
            return result
        return self._accept(result.response, result.listener)

    def _accept(self, response: WSUpgradeResponse, listener: WSListener) -> WSUpgradeResponseWithListener:
        if response.body:
            raise ArgumentError("a 101 has no body: it would be read as frames")
        if "Sec-WebSocket-Extensions" in response.headers:
            raise ArgumentError("no extension is spoken here")
        chosen = response.headers.getall("Sec-WebSocket-Protocol", [])
        if not chosen:
            response.headers.extend(switching_headers(self._subprotocol, None))
        elif len(chosen) > 1 or chosen[0] not in self._request.subprotocols:
            # RFC 6455 4.1: a client fails the connection when the subprotocol "was not present in the client's
            # handshake".
            raise ArgumentError("it chose a subprotocol that the client did not offer")
        return WSUpgradeResponseWithListener(response, listener)


def _fill(upgrade: WSUpgradeRequest, request: Request) -> None:
    """Make ``upgrade``, which picows parsed from our canonical head, the request of the peer.

    picows reads Upgrade and Connection again, and only in the form in which our head has them, so they stay.
    """
    upgrade.path = request.target.encode("ascii")
    kept = {name: upgrade.headers[name] for name in ("Upgrade", "Connection")}
    upgrade.headers.clear()
    for name, value in request.headers:
        if name not in ("upgrade", "connection"):
            # As picows decodes: bytes above 0x7F are surrogates.
            upgrade.headers.add(name, value.encode("latin-1").decode("ascii", "surrogateescape"))
    upgrade.headers.extend(kept)


def _check_response(response: WSUpgradeResponse) -> None:
    """A factory may put into a header what the peer sent: CR and LF must not come out of it.

    Raises:
        ArgumentError: a header cannot be sent.
    """
    for name, value in response.headers.items():
        if TOKEN.fullmatch(name) is None:
            raise ArgumentError("a header name must be a token")
        if value:
            checked_value(value)


class PicowsServer(asyncio.AbstractServer):
    """A server with the methods of ``asyncio.Server``.

    Leaving ``async with``, and cancelling ``serve_forever``, closes the connections with 1001; after ``close`` alone
    they go on, and ``wait_closed`` waits until the last one is gone.
    """

    def __init__(self, server: _ListenerServer) -> None:
        self._server = server
        self._loop = asyncio.get_running_loop()

    @property
    def sockets(self) -> tuple[socket.socket, ...]:
        """The listening sockets; none after ``close``."""
        acceptor = self._server.acceptor
        return () if acceptor is None else acceptor.sockets

    def get_loop(self) -> asyncio.AbstractEventLoop:
        """The event loop that the server runs in."""
        return self._loop

    def is_serving(self) -> bool:
        """Whether connections are accepted."""
        return bool(self.sockets)

    def close(self) -> None:
        """Stop accepting. Connections go on."""
        acceptor = self._server.acceptor
        if acceptor is not None:
            acceptor.close()

    def close_clients(self) -> None:
        """Begin to close every connection with 1001."""
        for member in tuple(self._server.context.members):
            member.shut_down(CloseCode.GOING_AWAY)

    def abort_clients(self) -> None:
        """Close every connection at once."""
        for member in tuple(self._server.context.members):
            member.abort()

    async def wait_closed(self) -> None:
        """Wait until every connection is gone, after ``close``."""
        if not self.is_serving():
            await self._server.context.wait_empty(float("inf"))

    async def start_serving(self) -> None:
        """Nothing to do: connections are accepted from the beginning."""

    async def serve_forever(self) -> None:
        """Serve until cancelled; then close the connections with 1001."""
        if not self.is_serving():
            raise RuntimeError("the server is closed")
        try:
            await self._loop.create_future()
        finally:
            await self._server.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self._server.close()
