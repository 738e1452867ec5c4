"""The server under test: where it is, how it is reached, and what its process holds."""

import contextlib
import ipaddress
import re
import socket
import ssl
from collections.abc import Iterator
from pathlib import Path

import msgspec

from framewarden.apps.cases.answers import FrameListener
from framewarden.apps.cases.wire import PATIENCE, Wire
from framewarden.codec import encode_frame
from framewarden.codec.uri import WebSocketUri, parse_uri
from framewarden.errors import ArgumentError

__all__ = ["Memory", "Target", "Trouble"]

RESET_PEAK = "5"
"""proc(5), clear_refs: "reset the peak resident set size ("high water mark") to the process's current" one."""


class Trouble(msgspec.Struct, frozen=True):
    """Why an honest client is not served. ``silent``: it waits in vain, rather than being turned away."""

    text: str
    silent: bool = False


class Target(msgspec.Struct, frozen=True, kw_only=True):
    """A server that cases are played against. :meth:`of` makes one.

    Attributes:
        uri: as it was given.
        address: IP address and port.
        pid: its process, whose memory is watched together with its descendants'; None: memory is not looked at.
        patience: seconds that an answer may take.
        tls: for wss.
    """

    uri: WebSocketUri
    address: tuple[str, int]
    pid: int | None = None
    patience: float = PATIENCE
    tls: ssl.SSLContext | None = None

    @classmethod
    def of(
        cls, uri: str, *, pid: int | None = None, patience: float = PATIENCE, own_host: str | None = None
    ) -> "Target":
        """The server at ``uri``.

        Hostile bytes go to this machine, or to the host that whoever asks for it says is theirs.

        Args:
            uri: ws or wss.
            pid: process of the server.
            patience: seconds that an answer may take.
            own_host: the host of ``uri``, where that is not a loopback address.

        Raises:
            ArgumentError: it is no WebSocket URI, the host is not loopback and not ``own_host``, it has no address, or
                there is no process ``pid``.
        """
        parsed = parse_uri(uri)
        try:
            found = socket.getaddrinfo(parsed.host, parsed.port, type=socket.SOCK_STREAM)
        except OSError as error:
            raise ArgumentError(f"{parsed.host} has no address: {error.strerror or error}") from None
        names = [str(each[4][0]) for each in found]
        own = own_host is not None and own_host.lower().strip("[]") == parsed.host
        if not own and not all(ipaddress.ip_address(name.partition("%")[0]).is_loopback for name in names):
            raise ArgumentError(
                f"{parsed.host} is not a loopback address: hostile bytes are sent to no other, "
                f"unless --i-own-this-host {parsed.host} says that it is yours"
            )
        if pid is not None and not Path(f"/proc/{pid}/status").exists():
            raise ArgumentError(f"there is no process {pid}")
        address = _listening([(name, parsed.port) for name in names], patience)
        return cls(uri=parsed, address=address, pid=pid, patience=patience, tls=_tls() if parsed.secure else None)

    def connect(self) -> Wire:
        """A new connection.

        Raises:
            OSError: there is none.
        """
        sock = socket.create_connection(self.address, self.patience)
        try:
            if self.tls is not None:
                sock = self.tls.wrap_socket(sock, server_hostname=self.uri.host)
            return Wire(sock, self.uri.authority, self.patience)
        except OSError:
            sock.close()
            raise

    def alive(self) -> "Trouble | None":
        """Do what an honest client does: connect, shake hands, ping. What went wrong; None: nothing."""
        if self.pid is not None and not _running(self.pid):
            return Trouble(f"process {self.pid} is gone")
        try:
            wire = self.connect()
        except TimeoutError:
            return Trouble("it does not answer a connection", silent=True)
        except OSError as error:
            return Trouble(f"it refuses connections: {error.strerror or error}")
        with wire:
            try:
                wire.upgrade(self.uri.target)
                listener = FrameListener(HONEST)
                heard = wire.converse([PING], listener)
                if not listener.ponged and not listener.pongs:  # a wrong Pong is an answer, too
                    return NO_ANSWER if heard == "silence" else Trouble("an honest client is not served: no Pong")
                wire.send(CLOSE)
            except TimeoutError:
                return NO_ANSWER
            except OSError as error:
                return Trouble(f"an honest client is not served: {error}")
        return None

    def cpu_seconds(self) -> float | None:
        """CPU time that its process and its descendants have used; None: there is no pid, or it is gone."""
        if self.pid is None:
            return None
        used = [_cpu(process) for process in _family(self.pid)]
        return None if None in used else sum(each for each in used if each is not None)

    def memory(self) -> "Memory | None":
        """Begin to watch its memory; None: there is no pid."""
        return None if self.pid is None else Memory(self.pid)


NO_ANSWER = Trouble("it does not answer an honest client", silent=True)
HONEST = b"framewarden is honest"
PING = encode_frame(0x9, HONEST, key=bytes(4))
CLOSE = encode_frame(0x8, b"\x03\xe8", key=bytes(4))


def _tls() -> ssl.SSLContext:
    """Nothing secret is sent, and a server under test has a certificate of its own making: none is verified."""
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


def _listening(addresses: list[tuple[str, int]], patience: float) -> tuple[str, int]:
    """The first that takes a connection: localhost is ::1 and 127.0.0.1, and many servers listen on one of them."""
    for address in addresses if len(addresses) > 1 else ():
        with contextlib.suppress(OSError):
            socket.create_connection(address, patience).close()
            return address
    return addresses[0]


class Memory:
    """Watches what a process and its descendants have resident, from now on."""

    def __init__(self, pid: int) -> None:
        self.pid = pid
        self._before = {process: _resident(process, "VmRSS") for process in _family(pid)}
        self._peaks = {process: _reset_peak(process) for process in self._before}

    def growth(self) -> int:
        """Bytes that they have had more at most; the sum of each one's peak, where the kernel lets us ask for it."""
        grown = 0
        for process in _family(self.pid):
            field = "VmHWM" if self._peaks.get(process, True) else "VmRSS"
            grown += max(0, _resident(process, field) - self._before.get(process, 0))
        return grown


def _family(pid: int) -> list[int]:
    """A process and its descendants."""
    parents = dict(_parents())
    family = [pid]
    for member in family:  # it grows meanwhile
        family += [child for child, parent in parents.items() if parent == member and child not in family]
    return family


def _parents() -> Iterator[tuple[int, int]]:
    for place in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            # proc(5): pid (comm) state ppid; comm may have spaces and parentheses.
            yield int(place.parent.name), int(place.read_text(errors="replace").rpartition(")")[2].split()[1])


def _resident(pid: int, field: str) -> int:
    """Bytes; 0 where the process is gone. VmRSS: resident now; VmHWM: at most so far."""
    try:
        found = re.search(rf"^{field}:\s+(\d+) kB", Path(f"/proc/{pid}/status").read_text(), re.MULTILINE)
    except OSError:
        return 0
    return int(found[1]) * 1024 if found else 0


def _cpu(pid: int) -> float | None:
    """Seconds of all its threads; the first field of their schedstat counts nanoseconds on a processor."""
    try:
        threads = [place.read_text().split() for place in Path(f"/proc/{pid}/task").glob("*/schedstat")]
        return sum(int(fields[0]) for fields in threads) / 1e9 if threads else None
    except (OSError, IndexError):
        return None


def _reset_peak(pid: int) -> bool:
    try:
        Path(f"/proc/{pid}/clear_refs").write_text(RESET_PEAK)
    except OSError:
        return False
    return True


def _running(pid: int) -> bool:
    """Whether it is there, and not a zombie that nobody has waited for."""
    return _resident(pid, "VmRSS") > 0
