"""A raw, blocking socket that says exactly what it is told to, and reads what comes back."""

import re
import socket
from types import TracebackType
from typing import Self

from framewarden.codec.handshake import accept_value

__all__ = ["ADDRESS", "Wire", "head"]

ADDRESS = "<address>"
"""Stands in a request head for the host and port of the server that it is sent to."""
PATIENCE = 5.0
"""Seconds that an answer may take."""
HANDSHAKE_KEY = "dGhlIHNhbXBsZSBub25jZQ=="
HEADERS = {
    "Host": ADDRESS,
    "Upgrade": "websocket",
    "Connection": "Upgrade",
    "Sec-WebSocket-Version": "13",
    "Sec-WebSocket-Key": HANDSHAKE_KEY,
}
STATUS_LINE = re.compile(r"HTTP/1\.1 ([0-9]{3}) ")
CLOSE = 0x8


def head(*more: str, line: str = "GET /chat HTTP/1.1", change: dict[str, str | None] | None = None) -> bytes:
    """A request head that is accepted but for what is asked: lines to add, headers to change (None: to leave out)."""
    headers = HEADERS | (change or {})
    lines = [f"{name}: {value}" for name, value in headers.items() if value is not None]
    return "\r\n".join([line, *lines, *more, "", ""]).encode("latin-1")


class Wire:
    """One end of a connection; every method that reads raises OSError where the answer does not come.

    Args:
        sock: connected.
    """

    def __init__(self, sock: socket.socket) -> None:
        sock.settimeout(PATIENCE)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.sock = sock
        self._received = bytearray()
        self._peer = "{}:{}".format(*sock.getpeername()[:2])
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
        """The opening handshake of an honest client (RFC 6455 4.1)."""
        offer = ["Sec-WebSocket-Extensions: permessage-deflate"] if deflate else []
        self.send(head(*offer, line=f"GET {path} HTTP/1.1"))
        status, headers = self.read_head()
        agreed = headers.get("sec-websocket-extensions", "").startswith("permessage-deflate")
        proved = headers.get("sec-websocket-accept") == accept_value(HANDSHAKE_KEY)
        if status != 101 or not proved or agreed != deflate:
            raise ConnectionError(f"HTTP {status} where a good 101 was expected")

    def _fill(self) -> None:
        data = self.sock.recv(65536)
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
        if not self._received:
            self._fill()
        return self._take(len(self._received))

    def read_lines(self) -> list[str]:
        """The lines of a request's or a response's head."""
        while (end := self._received.find(b"\r\n\r\n")) < 0:
            self._fill()
        return self._take(end + 4)[:-4].decode("latin-1").split("\r\n")

    def read_head(self) -> tuple[int, dict[str, str]]:
        """A response: its status, and its headers with names in lower case. What it says for humans is skipped."""
        line, *lines = self.read_lines()
        headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
        status = STATUS_LINE.match(line)
        if status is None:
            raise ConnectionError("no HTTP response")
        self._take(int(headers.get("content-length", "0")))
        return int(status[1]), headers

    def read_frame(self) -> tuple[int, bytes]:
        """The next frame: its opcode and its payload without the mask."""
        first, second = self._take(2)
        size = second & 0x7F
        if size >= 126:
            size = int.from_bytes(self._take(2 if size == 126 else 8), "big")
        key = self._take(4) if second & 0x80 else bytes(4)
        payload = self._take(size)
        if not second & 0x80:
            return first & 0x0F, payload
        return first & 0x0F, bytes(byte ^ key[index % 4] for index, byte in enumerate(payload))

    def read_close(self) -> tuple[int, str]:
        """The code and the reason of the next Close frame; other frames are skipped. RFC 6455 7.1.5: 1005: no code."""
        while True:
            opcode, payload = self.read_frame()
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

    def __enter__(self) -> Self:
        """Nothing to do."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close."""
        self.sock.close()
