"""Listening sockets, and taking connections from them.

We accept ourselves, so that the deadline of the handshake and the count of connections begin at accept, before TLS, and
so that running out of file descriptors is a pause and one line in the log instead of a storm (DESIGN.md 6.1).
"""

import asyncio
import errno
import logging
import resource
import socket
import ssl
from functools import partial

from framewarden.admission import format_host
from framewarden.codec.handshake import refuse
from framewarden.errors import PolicyError
from framewarden.policy import Limits
from framewarden.transports.context import Context
from framewarden.transports.pending import PendingHandshakes, address_key
from framewarden.transports.plain import Doorway, PlainAdmission
from framewarden.transports.tls import PeerErrorsAside, TlsAdmission, check_tls
from framewarden.transports.upgrade import Upgrade

__all__ = ["Acceptor", "connection_limit", "listen"]

_log = logging.getLogger("framewarden.server")

ACCEPTS_A_TURN = 64
"""Connections taken in before the event loop does something else."""
PAUSE_SECONDS = 0.1
"""How long nothing is accepted when the process is out of file descriptors."""
LOG_SECONDS = 10.0
"""At most one line about that in this time."""
RESERVED_FILES = 256
"""Of the limit of open files, what is not for connections."""
TURNED_AWAY_AT_ONCE = 64
"""Connections beyond a limit that are told so with a 503 at a time; those beyond are closed without a word."""
OUT_OF_FILES = (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM)
GONE_ALREADY = (
    errno.ECONNABORTED,
    errno.EHOSTDOWN,
    errno.EHOSTUNREACH,
    errno.ENETDOWN,
    errno.ENETUNREACH,
    errno.ENOPROTOOPT,
    errno.EOPNOTSUPP,
    errno.EPERM,
    errno.EPROTO,
)
"""Errors of one connection before we took it. accept(2): "Linux accept() passes already-pending network errors on the
new socket as an error code from accept()"; EPERM: "Firewall rules forbid connection"."""


def connection_limit(configured: int | None) -> int:
    """``limits.max_connections``, by default the limit of open files less 256."""
    if configured is not None:
        return configured
    files = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    if files == resource.RLIM_INFINITY:
        return 1 << 30
    return max(files - RESERVED_FILES, files // 2, 1)


def listen(host: str, port: int, backlog: int | None, *, shared: bool = False) -> list[socket.socket]:
    """Open a listening socket on every address that ``host`` stands for ("": every one), all on the same port.

    Args:
        host: name or IP address.
        port: TCP port; 0: a free one.
        backlog: connections that the kernel holds until they are accepted; None: the port is only kept, nobody can
            connect to these sockets.
        shared: other processes may listen there too (SO_REUSEPORT), and the kernel deals the connections out.

    Raises:
        OSError: the name is unknown, or no address can be bound.
    """
    try:
        return _listen(host, port, backlog, shared)
    except UnicodeError:
        raise OSError(errno.EINVAL, f"{host} is not a host name") from None
    except OSError as error:
        # The system says what, but not where.
        raise type(error)(error.errno, f"{format_host(host, port)}: {error.strerror}") from None


def _listen(host: str, port: int, backlog: int | None, shared: bool) -> list[socket.socket]:
    found = socket.getaddrinfo(host or None, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    sockets: list[socket.socket] = []
    try:
        for family, kind, protocol, _, address in dict.fromkeys(found):
            sock = socket.socket(family, kind, protocol)
            try:
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                if shared:
                    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
                if family == socket.AF_INET6:
                    sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
                chosen = sockets[0].getsockname()[1] if sockets else port
                sock.bind((address[0], chosen, *address[2:]))
                if backlog is not None:
                    sock.listen(backlog)
                sock.setblocking(False)
            except OSError as error:
                sock.close()
                # A machine without IPv6 still has a "localhost" with an IPv6 address.
                if error.errno not in (errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT) or len(found) == 1:
                    raise
                continue
            sockets.append(sock)
    except BaseException:
        for sock in sockets:
            sock.close()
        raise
    if not sockets:
        raise OSError(errno.EADDRNOTAVAIL, "none of its addresses can be listened on")
    return sockets


class Acceptor:
    """Takes connections from listening sockets and starts the opening handshake on each.

    Args:
        context: the server's.
        sockets: listening, not blocking.
        upgrade: given to every handshake.
        tls: None: plain TCP.

    Raises:
        PolicyError: ``tls`` allows versions older than TLS 1.2.
    """

    def __init__(
        self, context: Context, sockets: list[socket.socket], upgrade: Upgrade, tls: ssl.SSLContext | None
    ) -> None:
        limits = context.policy.limits
        self._context = context
        self._sockets = sockets
        self._upgrade = upgrade
        self._tls = tls if tls is None else check_tls(tls)
        self._tls_loop = PeerErrorsAside(context.loop)
        self._doorway: Doorway | None = None
        self._limit = connection_limit(limits.max_connections)
        self._pending = PendingHandshakes(limits.max_pending_per_address)
        self._turned_away = 0  # they are members too until they are gone
        self._paused: asyncio.TimerHandle | None = None
        self._logged = float("-inf")

    @property
    def sockets(self) -> tuple[socket.socket, ...]:
        """Those that connections are taken from; none after ``close``."""
        return tuple(self._sockets)

    @property
    def tls(self) -> ssl.SSLContext | None:
        """The context that new connections do TLS with; it can be replaced while connections come in.

        Raises:
            PolicyError: the new one allows versions older than TLS 1.2, or it would change between TLS and plain TCP.
        """
        return self._tls

    @tls.setter
    def tls(self, context: ssl.SSLContext | None) -> None:
        if context is None or self._tls is None:
            raise PolicyError("a server that runs cannot change between TLS and plain TCP")
        self._tls = check_tls(context)

    def adopt(self, limits: Limits) -> None:
        """Count connections and handshakes by other limits from now on."""
        self._limit = connection_limit(limits.max_connections)
        self._pending.limit = limits.max_pending_per_address

    def start(self) -> None:
        """Accept from now on."""
        self._paused = None
        if self._tls is None and self._doorway is None:
            self._doorway = Doorway(self._context.loop)
        for sock in self._sockets:
            self._context.loop.add_reader(sock.fileno(), self._accept, sock)

    def _stop_reading(self) -> None:
        for sock in self._sockets:
            self._context.loop.remove_reader(sock.fileno())

    def close(self) -> None:
        """Accept nothing more and close the listening sockets."""
        if self._paused is not None:
            self._paused.cancel()
        self._stop_reading()
        for sock in self._sockets:
            sock.close()
        self._sockets = []
        if self._doorway is not None:
            self._doorway.close()

    def _accept(self, listener: socket.socket) -> None:
        for _ in range(ACCEPTS_A_TURN):
            try:
                sock, address = listener.accept()
            except (BlockingIOError, InterruptedError):
                return
            except OSError as error:
                if error.errno in GONE_ALREADY:
                    continue
                if error.errno not in OUT_OF_FILES:
                    raise
                self._pause(error)
                return
            sock.setblocking(False)
            try:
                self._take(sock, address[0], address[1])
            except OSError as error:
                sock.close()
                self._pause(error)
                return

    def _pause(self, error: OSError) -> None:
        """Out of file descriptors: the listening socket stays readable, so looking again at once would only spin."""
        self._stop_reading()
        now = self._context.loop.time()
        if now - self._logged >= LOG_SECONDS:
            self._logged = now
            _log.error("cannot accept: %s; trying again every %g s", error.strerror, PAUSE_SECONDS)
        self._paused = self._context.loop.call_later(PAUSE_SECONDS, self.start)

    def _take(self, sock: socket.socket, host: str, port: int) -> None:
        """Begin the handshake, or turn the peer away. Raises OSError where the system has no room for it."""
        address = format_host(host, port)
        if len(self._context.members) - self._turned_away >= self._limit:
            self._turn_away(sock, address, "too-many-connections")
            return
        key = address_key(host)
        if not self._pending.take(key):
            self._turn_away(sock, address, "too-many-pending")
            return
        on_gone = partial(self._pending.give_back, key)
        try:
            if self._tls is not None:
                TlsAdmission(self._context, sock, address, self._upgrade, on_gone, self._tls_loop, self._tls)
            else:
                assert self._doorway is not None
                PlainAdmission(self._context, sock, address, self._upgrade, on_gone, self._doorway)
        except OSError:
            on_gone()
            raise

    def _turn_away(self, sock: socket.socket, address: str, rule: str) -> None:
        """Say 503 on plain TCP, to some; TLS would have to be done for it first."""
        if self._doorway is None or self._turned_away >= TURNED_AWAY_AT_ONCE:
            self._context.refused(rule, address)
            sock.close()
            return
        away = PlainAdmission(self._context, sock, address, self._upgrade, self._came_back, self._doorway)
        self._turned_away += 1
        away.refuse(refuse(rule))

    def _came_back(self) -> None:
        """One that was turned away is gone."""
        self._turned_away -= 1
