"""The server: listening sockets, connections, and their end."""

import asyncio
import inspect
import ipaddress
import logging
import signal
import ssl as ssl_module
from collections.abc import Callable
from types import TracebackType
from typing import Self

import uvloop

from framewarden.admission import Accepted, Admission, HostPort, format_host
from framewarden.codec.handshake import Request
from framewarden.engine import Inspector
from framewarden.errors import PolicyError
from framewarden.policy import Policy
from framewarden.rfc6455 import CloseCode
from framewarden.session import Echo, Handler
from framewarden.session.session import new_session_id
from framewarden.transports.acceptor import Acceptor, listen
from framewarden.transports.connection import Connection
from framewarden.transports.context import Context
from framewarden.transports.ending import LINGER_SECONDS
from framewarden.transports.lean_carrier import carry_lean
from framewarden.transports.picows_carrier import carry_by_picows
from framewarden.transports.tls import check_tls
from framewarden.transports.upgrade import AdmissionProtocol

__all__ = ["Server", "serve"]

_log = logging.getLogger("framewarden.server")

BACKLOG = 1024
HARDENED = Policy()
CARRIERS = {"picows": carry_by_picows, "lean": carry_lean}
EVERY_ADDRESS = ("", "0.0.0.0", "::")  # noqa: S104  # compared with, not bound to


class Server:
    """A WebSocket server that can be started in a running event loop (uvloop's, or asyncio's own).

    Args:
        handler: an object or a class (called without arguments) of :class:`framewarden.Handler`; None: echo.
        policy: limits, schema, compression, who may connect.
        host: name or IP address to listen on; every address that a name stands for is listened on.
        port: TCP port; 0: a free one, see ``address``.
        ssl: context for TLS 1.2 or newer; None: plain TCP. With ``verify_mode`` CERT_REQUIRED or CERT_OPTIONAL clients
            show a certificate, which is then ``session.peer.certificate``.
        backlog: connections that the kernel holds until they are accepted.
        carrier: "picows", or "lean": without picows' objects, for very many idle connections. A handler cannot tell
            them apart.

    Raises:
        PolicyError: the policy contradicts itself, ``handler`` is not a Handler, ``ssl`` allows versions older than
            TLS 1.2, or there is no such carrier.
    """

    def __init__(
        self,
        handler: Handler | type[Handler] | None = None,
        policy: Policy = HARDENED,
        host: str = "127.0.0.1",
        port: int = 8765,
        *,
        ssl: ssl_module.SSLContext | None = None,
        backlog: int = BACKLOG,
        carrier: str = "picows",
    ) -> None:
        if carrier not in CARRIERS:
            raise PolicyError(f"carrier must be 'picows' or 'lean', not {carrier!r}")
        self._carry = CARRIERS[carrier]
        made = handler() if inspect.isclass(handler) else handler
        if made is not None and not isinstance(made, Handler):
            raise PolicyError(f"the handler must be a framewarden.Handler, not {type(made).__name__}")
        self._handler = Echo() if made is None else made
        self._policy = policy
        self._host = host
        self._port = port
        self._ssl = None if ssl is None else check_tls(ssl)
        self._backlog = backlog
        self._acceptor: Acceptor | None = None
        self._addresses: list[HostPort] = []
        self._context: Context | None = None
        Inspector(policy)  # a schema that cannot be compiled is refused now, not at the first connection
        self._make_admission(port)

    def _make_admission(self, port: int) -> Admission:
        return Admission(
            self._policy,
            (self._host, port),
            secure=self._ssl is not None,
            authenticate=self._handler.authenticate if self._handler.authenticates else None,
            challenge=self._handler.challenge,
        )

    @property
    def address(self) -> HostPort:
        """IP address and port that the server listens on, the first where it has several."""
        return self._addresses[0]

    @property
    def addresses(self) -> list[HostPort]:
        """IP address and port of every listening socket; none before ``start`` and after ``close``."""
        return list(self._addresses)

    @property
    def url(self) -> str:
        """Where a client finds the server."""
        return f"{'ws' if self._ssl is None else 'wss'}://{format_host(*self.address)}"

    async def start(self) -> None:
        """Listen, and accept connections from now on.

        Raises:
            PolicyError: the address is not a loopback address, and TLS or an authenticator is missing.
            OSError: the address cannot be listened on.
        """
        if self._acceptor is not None:
            raise RuntimeError("the server has been started already")
        loop = asyncio.get_running_loop()
        sockets = await loop.run_in_executor(None, listen, self._host, self._port, self._backlog)
        addresses = [sock.getsockname()[:2] for sock in sockets]
        try:
            self._check_exposure([name for name, _ in addresses])
        except PolicyError:
            for sock in sockets:
                sock.close()
            raise
        self._addresses = addresses
        admission = self._make_admission(self.address[1])
        self._context = Context(loop, self._policy, self._handler, admission, secure=self._ssl is not None)
        self._acceptor = Acceptor(self._context, sockets, self._upgrade, self._ssl)
        self._acceptor.start()

    def _check_exposure(self, names: list[str]) -> None:
        """On loopback a developer may leave everything out; where others can connect, nothing is left out silently."""
        if all(ipaddress.ip_address(name.partition("%")[0]).is_loopback for name in names):
            return
        access = self._policy.access
        where = f"refusing to serve {self._host}, which is not a loopback address,"
        if self._ssl is None and not access.dangerous_allow_plaintext:
            raise PolicyError(f"{where} without TLS: give a certificate, or set access.dangerous_allow_plaintext")
        if not self._handler.authenticates and not access.dangerous_allow_anonymous:
            raise PolicyError(
                f"{where} without an authenticator: override Handler.authenticate, "
                "or set access.dangerous_allow_anonymous"
            )
        if access.hosts is None and not access.dangerous_allow_host_not_allowed and self._host in EVERY_ADDRESS:
            _log.warning("access.hosts is not set: requests for other hosts than localhost will be refused")

    def _upgrade(
        self, admitted: AdmissionProtocol, transport: asyncio.Transport, request: Request, accepted: Accepted
    ) -> None:
        """Turn an accepted request into a connection."""
        context = self._context
        assert context is not None
        session_id = new_session_id()
        inspector = Inspector(
            context.policy,
            route=request.path,
            subprotocol=accepted.subprotocol,
            deflate=accepted.deflate,
            session_id=session_id,
            subject="" if accepted.identity is None else accepted.identity.subject,
            address=admitted.address,
        )
        connection = Connection(
            context,
            transport,
            inspector,
            -1 if context.secure else admitted.descriptor,
            id=session_id,
            identity=accepted.identity,
            subprotocol=accepted.subprotocol,
            path=request.path,
            query=request.query,
        )
        context.replace(admitted, connection)
        self._carry(connection, transport, request.key, accepted)
        connection.open()

    async def close(self, code: int = CloseCode.GOING_AWAY) -> None:
        """Stop accepting, close every connection with ``code``, and wait until all are gone.

        A peer that does not answer the Close, or a handler that does not return, is cut off after ``close_seconds``.
        """
        acceptor, context = self._acceptor, self._context
        if acceptor is None or context is None:
            return
        self._acceptor = None
        acceptor.close()
        for member in tuple(context.members):
            member.shut_down(code)
        patience = self._policy.limits.close_seconds + LINGER_SECONDS
        if not await context.wait_empty(patience):
            for member in tuple(context.members):
                member.abort()
            await context.wait_empty(LINGER_SECONDS)
        # A connection may be gone while its handler still works, and a cancelled one still tells on_close.
        for _ in range(2):
            if context.tasks:
                await asyncio.wait(tuple(context.tasks), timeout=patience)
            for task in tuple(context.tasks):
                task.cancel()
        context.wheel.close()
        self._addresses = []

    async def __aenter__(self) -> Self:
        """Start."""
        await self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close."""
        await self.close()


def serve(
    handler: Handler | type[Handler] | None = None,
    policy: Policy = HARDENED,
    host: str = "127.0.0.1",
    port: int = 8765,
    *,
    ssl: ssl_module.SSLContext | None = None,
    backlog: int = BACKLOG,
    carrier: str = "picows",
    on_start: Callable[[Server], None] | None = None,
) -> None:
    """Serve on uvloop until SIGINT or SIGTERM; connections are closed with 1001 then.

    Args:
        handler: as in :class:`Server`, like the arguments that follow.
        policy: see there.
        host: see there.
        port: see there.
        ssl: see there.
        backlog: see there.
        carrier: see there.
        on_start: called once the server accepts connections.

    Raises:
        PolicyError: the policy contradicts itself or is unsafe for this address.
        OSError: the address cannot be listened on.
    """
    server = Server(handler, policy, host, port, ssl=ssl, backlog=backlog, carrier=carrier)

    async def run() -> None:
        loop = asyncio.get_running_loop()
        stop = asyncio.Event()
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, stop.set)
        async with server:
            if on_start is not None:
                on_start(server)
            await stop.wait()

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(run())
