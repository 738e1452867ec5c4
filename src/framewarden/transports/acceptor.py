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
import traceback

from framewarden.admission import describe_error, format_host
from framewarden.transports.context import Context
from framewarden.transports.tls import PeerErrorsAside, connect_tls
from framewarden.transports.upgrade import AdmissionProtocol, Upgrade

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
"""Connections beyond the limit that are told so with a 503 at a time; those beyond are closed without a word."""
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
    """Open a listening socket on every address that ``host`` stands for, all on the same port.

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
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
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
        upgrade: given to every AdmissionProtocol.
        tls: None: plain TCP.

    Attributes:
        tls: for connections from now on; may be replaced by another context at any time.
        limit: connections beyond it are turned away; may be replaced, too.
    """

    def __init__(
        self, context: Context, sockets: list[socket.socket], upgrade: Upgrade, tls: ssl.SSLContext | None
    ) -> None:
        self._context = context
        self._sockets = sockets
        self._upgrade = upgrade
        self.tls = tls
        self._tls_loop = PeerErrorsAside(context.loop)
        self.limit = connection_limit(context.policy.limits.max_connections)
        self._paused: asyncio.TimerHandle | None = None
        self._logged = float("-inf")

    def start(self) -> None:
        """Accept from now on."""
        self._paused = None
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
            self._take(sock, format_host(address[0], address[1]))

    def _pause(self, error: OSError) -> None:
        """Out of file descriptors: the listening socket stays readable, so looking again at once would only spin."""
        self._stop_reading()
        now = self._context.loop.time()
        if now - self._logged >= LOG_SECONDS:
            self._logged = now
            _log.error("cannot accept: %s; trying again every %g s", error.strerror, PAUSE_SECONDS)
        self._paused = self._context.loop.call_later(PAUSE_SECONDS, self.start)

    def _take(self, sock: socket.socket, address: str) -> None:
        refused = None
        beyond = len(self._context.members) - self.limit
        if beyond >= 0:
            refused = "too-many-connections"
            if self.tls is not None or beyond >= TURNED_AWAY_AT_ONCE:
                self._context.refused(refused, address)
                sock.close()
                return
        protocol = AdmissionProtocol(self._context, sock, address, self._upgrade, refused)
        self._context.add(protocol)
        protocol.connecting = self._context.keep(self._context.loop.create_task(self._connect(protocol, sock)))

    async def _connect(self, protocol: AdmissionProtocol, sock: socket.socket) -> None:
        """Give ``protocol`` its transport. A peer that cannot do TLS, or goes away, is nothing to shout about."""
        try:
            if self.tls is None:
                await self._context.loop.connect_accepted_socket(lambda: protocol, sock)
            else:
                # The deadline of the handshake runs from accept, in the wheel; aiofastnet's must not come before it.
                seconds = 2 * self._context.policy.limits.handshake_seconds
                await connect_tls(self._tls_loop, lambda: protocol, sock, self.tls, seconds)
        except (Exception, asyncio.CancelledError) as error:  # noqa: BLE001  # whatever it is, its place is given back
            if isinstance(error, OSError | asyncio.CancelledError):
                _log.debug("%s did not get connected: %s", protocol.address, type(error).__name__)
            else:
                _log.error("%s did not get connected: %s", protocol.address, describe_error(error))
            protocol.connection_lost(None)
            sock.close()
            _forget_frames(error)
        finally:
            protocol.connecting = None


def _forget_frames(error: BaseException) -> None:
    """Break the cycle of an exception and the frames that it went through.

    The TLS object in them has tens of KiB, which a peer that has not even said who it is could leave to the garbage
    collector with every connection.
    """
    traceback.clear_frames(error.__traceback__)
    error.__traceback__ = None
