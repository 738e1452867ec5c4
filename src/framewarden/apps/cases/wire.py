"""A raw socket that says exactly what it is told to, and reads what comes back: from any server, also a hostile one.

What is kept of an answer is bounded, and every wait has a deadline, however slowly the answer drips.
"""

import re
import select
import socket
import ssl
import time
from collections.abc import Callable, Iterable
from types import TracebackType
from typing import Literal, Self

from framewarden.codec.handshake import accept_value

__all__ = ["ADDRESS", "PATIENCE", "HandshakeRefused", "Heard", "Wire", "head", "parse_head"]

ADDRESS = "<address>"
"""Stands in a request head for the host and port of the server that it is sent to."""
PATIENCE = 5.0
"""Seconds that an answer may take."""
MAX_HEAD = 64 * 1024
"""Bytes of a response head."""
MAX_BODY = 1024 * 1024
"""Bytes of a response body."""
MAX_FRAME = 16 * 1024 * 1024
"""Bytes of a frame's payload."""
HANDSHAKE_KEY = "dGhlIHNhbXBsZSBub25jZQ=="
HEADERS = {
    "Host": ADDRESS,
    "Upgrade": "websocket",
    "Connection": "Upgrade",
    "Sec-WebSocket-Version": "13",
    "Sec-WebSocket-Key": HANDSHAKE_KEY,
}
STATUS_LINE = re.compile(r"HTTP/1\.[01] ([1-5][0-9]{2})(?: |$)")
LENGTH = re.compile(r"[0-9]{1,7}")
CLOSE = 0x8

Heard = Literal["heard", "FIN", "RST", "silence"]
"""How listening ended: the listener had heard enough, the other end closed or reset, or time was up."""


class HandshakeRefused(ConnectionError):
    """The opening handshake of an honest client was not accepted as it should be.

    Attributes:
        status: of the answer.
        accepted: it was accepted all the same, only without the compression that was asked for.
    """

    def __init__(self, status: int, *, accepted: bool) -> None:
        super().__init__(f"HTTP {status} where a good 101 was expected")
        self.status = status
        self.accepted = accepted


def head(*more: str, line: str = "GET /chat HTTP/1.1", change: dict[str, str | None] | None = None) -> bytes:
    """A request head that is accepted but for what is asked: lines to add, headers to change (None: to leave out)."""
    headers = HEADERS | (change or {})
    lines = [f"{name}: {value}" for name, value in headers.items() if value is not None]
    return "\r\n".join([line, *lines, *more, "", ""]).encode("latin-1")


def parse_head(lines: list[str]) -> tuple[int, dict[str, str]]:
    """The status of a response, and its headers with names in lower case.

    Raises:
        ConnectionError: it is no HTTP response.
    """
    line, *others = lines
    status = STATUS_LINE.match(line)
    if status is None:
        raise ConnectionError("no HTTP response")
    fields = (other.partition(":") for other in others)
    return int(status[1]), {name.lower(): value.strip() for name, _, value in fields}


class Wire:
    """One end of a connection; every method that reads raises OSError where the answer does not come.

    Args:
        sock: connected.
        authority: what ``ADDRESS`` stands for; None: the other end's IP address and port.
        patience: seconds that an answer may take; None: ``PATIENCE``.
    """

    def __init__(self, sock: socket.socket, authority: str | None = None, patience: float | None = None) -> None:
        self._patience = PATIENCE if patience is None else patience
        sock.settimeout(self._patience)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.sock = sock
        self._received = bytearray()
        self._deadline = 0.0
        self._peer = authority or "{}:{}".format(*sock.getpeername()[:2])
        self.name = "{}:{}".format(*sock.getsockname()[:2])
        """Our address, as the other end sees it."""

    @classmethod
    def to(cls, address: tuple[str, int]) -> Self:
        """Connect."""
        return cls(socket.create_connection(address, PATIENCE))

    def send(self, data: bytes) -> None:
        """Send everything; ``ADDRESS`` in it becomes the other end's."""
        self.sock.sendall(data.replace(ADDRESS.encode(), self._peer.encode()))

    def upgrade(self, path: str = "/chat", *, deflate: bool = False) -> None:
        """The opening handshake of an honest client (RFC 6455 4.1).

        Raises:
            HandshakeRefused: the answer is not the right 101.
        """
        offer = ["Sec-WebSocket-Extensions: permessage-deflate"] if deflate else []
        self.send(head(*offer, line=f"GET {path} HTTP/1.1"))
        status, headers = self.read_head()
        agreed = headers.get("sec-websocket-extensions", "").startswith("permessage-deflate")
        proved = headers.get("sec-websocket-accept") == accept_value(HANDSHAKE_KEY)
        if status != 101 or not proved or agreed != deflate:
            raise HandshakeRefused(status, accepted=status == 101 and proved)

    # --- Reading: each public method is one wait, whose deadline begins with it --------------------------------------

    def _begin(self) -> None:
        self._deadline = time.monotonic() + self._patience

    def _fill(self) -> None:
        left = self._deadline - time.monotonic()
        if left <= 0:
            raise TimeoutError("the answer takes too long")
        self.sock.settimeout(left)
        try:
            data = self.sock.recv(65536)
        finally:
            self.sock.settimeout(self._patience)
        if not data:
            raise ConnectionError("closed without a word")
        self._received += data

    def _take(self, size: int) -> bytes:
        while len(self._received) < size:
            self._fill()
        taken = bytes(self._received[:size])
        del self._received[:size]
        return taken

    def receive(self) -> bytes:
        """What has come in, as it came."""
        self._begin()
        if not self._received:
            self._fill()
        return self._take(len(self._received))

    def _lines(self) -> list[str]:
        searched = 0
        while (end := self._received.find(b"\r\n\r\n", searched)) < 0:
            if len(self._received) > MAX_HEAD:
                raise ConnectionError(f"a response head of more than {MAX_HEAD} bytes")
            searched = max(0, len(self._received) - 3)
            self._fill()
        return self._take(end + 4)[:-4].decode("latin-1").split("\r\n")

    def read_lines(self) -> list[str]:
        """The lines of a request's or a response's head."""
        self._begin()
        return self._lines()

    def read_head(self) -> tuple[int, dict[str, str]]:
        """A response: its status, and its headers with names in lower case. What it says for humans is skipped."""
        self._begin()
        status, headers = parse_head(self._lines())
        length = headers.get("content-length", "0")
        if status != 101:  # RFC 9110 6.4.1: a 1xx has no content
            if LENGTH.fullmatch(length) is None or int(length) > MAX_BODY:
                raise ConnectionError(f"a response body of more than {MAX_BODY} bytes")
            self._take(int(length))
        return status, headers

    def _frame(self) -> tuple[int, bytes]:
        first, second = self._take(2)
        size = second & 0x7F
        if size >= 126:
            size = int.from_bytes(self._take(2 if size == 126 else 8), "big")
        if size > MAX_FRAME:
            raise ConnectionError(f"a frame of more than {MAX_FRAME} bytes")
        key = self._take(4) if second & 0x80 else bytes(4)
        payload = self._take(size)
        if not second & 0x80:
            return first & 0x0F, payload
        return first & 0x0F, bytes(byte ^ key[index % 4] for index, byte in enumerate(payload))

    def read_frame(self) -> tuple[int, bytes]:
        """The next frame: its opcode and its payload without the mask."""
        self._begin()
        return self._frame()

    def read_close(self) -> tuple[int, str]:
        """The code and the reason of the next Close frame; other frames are skipped. RFC 6455 7.1.5: 1005: no code."""
        self._begin()
        while True:
            opcode, payload = self._frame()
            if opcode == CLOSE:
                break
        code = int.from_bytes(payload[:2], "big") if payload else 1005
        return code, payload[2:].decode(errors="replace")

    def ends(self) -> bool:
        """Whether nothing comes any more and the other end closes, with FIN and not with RST."""
        try:
            return not self._received and self.sock.recv(1) == b""
        except OSError:
            return False

    def half_close(self) -> None:
        """Close our direction, of TCP: an SSLSocket would forget its keys, and what still comes could not be read."""
        socket.socket.shutdown(self.sock, socket.SHUT_WR)

    # --- Writing and reading at once ----------------------------------------------------------------------------------

    def converse(self, pieces: Iterable[bytes], listen: Callable[[bytes], bool], seconds: float | None = None) -> Heard:
        """Write ``pieces``, each on its own, and meanwhile and afterwards give what comes back to ``listen``.

        So neither end waits for the other to read. It ends when ``listen`` returns True, when the other end closes, or
        after ``seconds`` (None: the patience of this wire) in which the other end neither took nor said anything; after
        four times as long in any case. What ``listen`` keeps is its own business.
        """
        said = self._take(len(self._received))
        if said and listen(said):
            return "heard"
        self.sock.setblocking(False)
        try:
            return self._converse(iter(pieces), listen, self._patience if seconds is None else seconds)
        finally:
            self.sock.settimeout(self._patience)

    def _converse(self, pieces: Iterable[bytes], listen: Callable[[bytes], bool], seconds: float) -> Heard:
        outbox = iter(pieces)
        piece = memoryview(next(outbox, b""))
        at_last = time.monotonic() + 4 * seconds
        until = time.monotonic() + seconds
        broken = False
        while (left := min(until, at_last) - time.monotonic()) > 0:
            self._wait(writing=bool(piece), seconds=left)
            try:
                said = self._read_some()
            except ConnectionError:
                return "RST"
            if said == b"":
                return "RST" if broken else "FIN"
            if said and listen(said):
                return "heard"
            try:
                taken = self._write_some(piece) if piece else 0
            except ConnectionError:  # it reads no more; what it has said is still to be read
                broken, piece, taken, outbox = True, memoryview(b""), 0, iter(())
            if said or taken:
                until = time.monotonic() + seconds
            piece = piece[taken:] or memoryview(next(outbox, b""))
        return "silence"

    def _wait(self, *, writing: bool, seconds: float) -> None:
        if isinstance(self.sock, ssl.SSLSocket) and self.sock.pending():
            return
        poll = select.poll()
        poll.register(self.sock, select.POLLIN | (select.POLLOUT if writing else 0))
        poll.poll(max(1, int(seconds * 1000)))

    def _read_some(self) -> bytes | None:
        """What is there; empty: the end; None: nothing yet."""
        try:
            return self.sock.recv(65536)
        except (BlockingIOError, ssl.SSLWantReadError, ssl.SSLWantWriteError):
            return None
        except ssl.SSLError as error:
            raise ConnectionError(str(error)) from None

    def _write_some(self, piece: memoryview) -> int:
        """How much of it was taken."""
        try:
            return self.sock.send(piece)
        except (BlockingIOError, ssl.SSLWantReadError, ssl.SSLWantWriteError):
            return 0
        except ssl.SSLError as error:
            raise ConnectionError(str(error)) from None

    def __enter__(self) -> Self:
        """Nothing to do."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close."""
        self.sock.close()
