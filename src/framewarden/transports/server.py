"""The server: listening sockets, connections, and their end."""

import asyncio
import functools
import inspect
import ipaddress
import logging
import random
import ssl as ssl_module
from types import TracebackType
from typing import Literal, Self

from framewarden.admission import Accepted, Admission, HostPort, format_host
from framewarden.codec.handshake import Request
from framewarden.engine import Inspector
from framewarden.errors import PolicyError
from framewarden.policy import Policy
from framewarden.rfc6455 import CloseCode
from framewarden.session import Echo, Handler
from framewarden.transports.accepted import make_connection
from framewarden.transports.acceptor import Acceptor, listen
from framewarden.transports.budget import memory_limit
from framewarden.transports.connection import Connection
from framewarden.transports.context import Context
from framewarden.transports.ending import LINGER_SECONDS
from framewarden.transports.lean_carrier import carry_lean
from framewarden.transports.picows_carrier import carry_by_picows
from framewarden.transports.tls import check_tls
from framewarden.transports.upgrade import AdmissionProtocol

__all__ = ["Carrier", "Server"]

Carrier = Literal["picows", "lean"]
"""What carries an upgraded connection: picows' objects, or our own, which take less memory."""

_log = logging.getLogger("framewarden.server")

BACKLOG = 1024
HARDENED = Policy()
CARRIERS = {"picows": carry_by_picows, "lean": carry_lean}
PER_PROCESS = ("max_connections", "max_memory_bytes")
"""Limits on all connections together."""
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
        workers: how many processes serve this port; above 1 the port is opened so that others can open it too.

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
        carrier: Carrier = "picows",
        workers: int = 1,
    ) -> None:
        if carrier not in CARRIERS:
            raise PolicyError(f"the carrier must be 'picows' or 'lean', not {carrier!r}")
        if type(workers) is not int or workers < 1:
            raise PolicyError(f"workers must be a whole number, 1 or more, not {workers!r}")
        check_quotas(policy, workers)
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
        self._workers = workers
        self._acceptor: Acceptor | None = None
        self._addresses: list[HostPort] = []
        self._context: Context | None = None
        Inspector(policy)  # a schema that cannot be compiled is refused now, not at the first connection
        self._make_admission(policy, port)

    def _make_admission(self, policy: Policy, port: int) -> Admission:
        return Admission(
            policy,
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
        opening = functools.partial(listen, self._host, self._port, self._backlog, shared=self._workers > 1)
        sockets = await loop.run_in_executor(None, opening)
        addresses = [sock.getsockname()[:2] for sock in sockets]
        try:
            self.check_exposure(self._policy, [name for name, _ in addresses])
        except PolicyError:
            for sock in sockets:
                sock.close()
            raise
        admission = self._make_admission(self._policy, addresses[0][1])
        self._context = Context(
            loop, self._policy, self._handler, admission, secure=self._ssl is not None, workers=self._workers
        )
        acceptor = Acceptor(self._context, sockets, self._upgrade, self._ssl)
        try:
            acceptor.start()
        except OSError:  # no descriptor is left
            acceptor.close()
            raise
        self._acceptor = acceptor
        self._addresses = addresses

    def check_exposure(self, policy: Policy, names: list[str]) -> None:
        """On loopback a developer may leave everything out; where others can connect, nothing is left out silently.

        Raises:
            PolicyError: one of the IP addresses ``names`` is not a loopback address, and TLS or an authenticator is
                missing.
        """
        if all(ipaddress.ip_address(name.partition("%")[0]).is_loopback for name in names):
            return
        access = policy.access
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
        connection = make_connection(Connection, context, admitted, transport, request, accepted)
        context.replace(admitted, connection)
        self._carry(connection, transport, request.key, accepted)
        connection.open()

    def reload(self, policy: Policy | None = None, ssl: ssl_module.SSLContext | None = None) -> None:
        """Judge connections from now on by another policy, or with another certificate.

        Connections that are open keep the policy that they were admitted with, and go on.

        Args:
            policy: None: the one in force stays.
            ssl: None: the one in use stays.

        Raises:
            PolicyError: the policy cannot be used here, or TLS cannot be begun by a server of plain TCP. Everything
                stays as it was.
        """
        if ssl is not None and self._ssl is None:
            raise PolicyError("a server that was started without TLS cannot change to it: start it again")
        if ssl is not None:
            check_tls(ssl)
        if policy is not None:
            self._adopt(policy)
        if ssl is not None:
            self._ssl = ssl
            if self._acceptor is not None:
                self._acceptor.tls = ssl

    def _adopt(self, policy: Policy) -> None:
        check_quotas(policy, self._workers)
        Inspector(policy)
        admission = self._make_admission(policy, self.address[1] if self._addresses else self._port)
        self.check_exposure(policy, [name for name, _ in self._addresses])
        if self._context is not None:
            self._context.policy = policy
            self._context.admission = admission
            self._context.budget.set_limit(memory_limit(policy.limits.max_memory_bytes, self._workers))
        if self._acceptor is not None:
            self._acceptor.adopt(policy.limits)
        self._policy = policy

    async def close(self, code: int = CloseCode.GOING_AWAY) -> None:
        """Stop accepting, close every connection with ``code`` at once, and wait until all are gone.

        A peer that does not answer the Close, or a handler that does not return, is cut off after ``close_seconds``.
        """
        context = self._stop_accepting()
        if context is None:
            return
        for member in tuple(context.members):
            member.shut_down(code)
        patience = self._policy.limits.close_seconds + LINGER_SECONDS
        await self._end(context, patience)

    async def drain(self) -> None:
        """Stop accepting, and close every connection with 1001, each at a random moment of half of ``drain_seconds``.

        So the clients of a server that is started again do not all come back in the same moment. Handshakes that are
        not finished are cut off at once. What is left after ``drain_seconds`` is cut off, handlers too.
        """
        context = self._stop_accepting()
        if context is None:
            return
        seconds = self._policy.limits.drain_seconds
        timers = []
        for member in tuple(context.members):
            if isinstance(member, AdmissionProtocol):
                member.shut_down(CloseCode.GOING_AWAY)
                continue
            moment = random.uniform(0, seconds / 2)  # noqa: S311  # spread out, not secret
            timers.append(context.loop.call_later(moment, member.shut_down, CloseCode.GOING_AWAY))
        _log.info("draining: %d connections, at most %g s", len(context.members), seconds)
        try:
            await self._end(context, seconds)
        finally:
            for timer in timers:
                timer.cancel()

    def _stop_accepting(self) -> Context | None:
        """The context whose connections are to be ended, if another call is at it as well; None: it never began."""
        if self._acceptor is not None:
            self._acceptor.close()
            self._acceptor = None
        return self._context

    async def _end(self, context: Context, patience: float) -> None:
        """Wait for connections and handlers; what is left after ``patience`` seconds is cut off."""
        end = context.loop.time() + patience
        if not await context.wait_empty(patience):
            for member in tuple(context.members):
                member.abort()
            await context.wait_empty(LINGER_SECONDS)
        # A connection may be gone while its handler still works, and a cancelled one still tells on_close.
        for _ in range(2):
            if context.tasks:
                await asyncio.wait(tuple(context.tasks), timeout=max(end - context.loop.time(), LINGER_SECONDS))
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


def check_quotas(policy: Policy, workers: int) -> None:
    """What each process counts for itself must not be multiplied without anybody noticing.

    Raises:
        PolicyError: there are several workers, and a limit on all connections is set.
    """
    if workers == 1 or policy.access.dangerous_allow_per_worker_quotas:
        return
    for name in PER_PROCESS:
        if getattr(policy.limits, name) is not None:
            raise PolicyError(
                f"limits.{name} is counted by each process: {workers} workers would allow {workers} times as much; "
                "leave it out, or divide it and set access.dangerous_allow_per_worker_quotas"
            )
