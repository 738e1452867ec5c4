"""A server that does exactly what a test wants, on threads: for clients that must survive any server."""

import base64
import contextlib
import hashlib
import re
import socket
import threading

GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"


def switching(head, *lines):
    """The right 101 for a request, with further header lines."""
    key = re.search(rb"Sec-WebSocket-Key: (\S+)", head)[1]
    accept = base64.b64encode(hashlib.sha1(key + GUID).digest())
    usual = [b"HTTP/1.1 101 Switching Protocols", b"Upgrade: websocket", b"Connection: Upgrade"]
    return b"\r\n".join([*usual, b"Sec-WebSocket-Accept: " + accept, *lines, b"", b""])


def read_head(sock):
    """Everything up to the empty line; less, if the peer is gone."""
    head = b""
    while b"\r\n\r\n" not in head:
        data = sock.recv(65536)
        if not data:
            break
        head += data
    return head


def read_exactly(sock, size):
    """So many octets; fewer, if the peer is gone."""
    data = bytearray()
    while len(data) < size and (more := sock.recv(min(size - len(data), 65536))):
        data += more
    return bytes(data)


def read_until_end(sock):
    """Read until the peer closes."""
    while sock.recv(65536):
        pass


def upgraded(then):
    """What a server does that accepts the handshake, and ``then(sock)``."""

    def handle(sock):
        sock.sendall(switching(read_head(sock)))
        then(sock)

    return handle


class TinyServer:
    """Calls ``handle(sock)`` on a thread for each connection, and closes it afterwards; a broken socket is no matter.

    With ``handle`` None nothing is accepted: the kernel alone answers.
    """

    def __init__(self, handle):
        self.handle = handle
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=128)
        self.port = self._listener.getsockname()[1]
        self._open = set()
        self._threads = []
        if handle is not None:
            self._run(self._accept)

    def _run(self, target, *arguments):
        thread = threading.Thread(target=target, args=arguments, daemon=True)
        self._threads.append(thread)
        thread.start()

    def _accept(self):
        with contextlib.suppress(OSError):
            while True:
                sock, _ = self._listener.accept()
                self._open.add(sock)
                self._run(self._serve, sock)

    def _serve(self, sock):
        with contextlib.suppress(OSError):
            self.handle(sock)
        with contextlib.suppress(OSError):
            sock.shutdown(socket.SHUT_WR)
            sock.settimeout(5)
            read_until_end(sock)  # closing with unread input would send RST
        sock.close()
        self._open.discard(sock)

    def __enter__(self):
        return self

    def __exit__(self, *error):
        # A thread that accepts or reads does not notice that its socket is closed, only that it is shut down.
        for sock in [self._listener, *self._open]:
            with contextlib.suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for thread in self._threads:
            thread.join(5)
            assert not thread.is_alive()
