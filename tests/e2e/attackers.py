"""What the attack tests attack with: many plain sockets, and frames that were made before the attack begins."""

import contextlib
import random
import select
import socket
import struct
import time
import zlib

from tests.e2e.harness import frame

PATIENCE = 10.0
BATCH = 64
"""Handshakes at a time; more than max_pending_per_address would be turned away."""


def head(port, path="/", *extra):
    """An opening handshake."""
    lines = (
        f"GET {path} HTTP/1.1",
        f"Host: localhost:{port}",
        "Upgrade: websocket",
        "Connection: Upgrade",
        "Sec-WebSocket-Version: 13",
        "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
        *extra,
    )
    return ("\r\n".join(lines) + "\r\n\r\n").encode()


DEFLATE = "Sec-WebSocket-Extensions: permessage-deflate"


def deflated(data):
    """The payload of a compressed message (RFC 7692 7.2.1)."""
    stream = zlib.compressobj(9, zlib.DEFLATED, -15)
    return (stream.compress(data) + stream.flush(zlib.Z_SYNC_FLUSH))[:-4]


def bomb(size, ratio):
    """A compressed Binary message of ``size`` bytes that is about ``ratio`` times smaller on the wire."""
    noise = random.Random(size).randbytes(size // ratio)
    return frame(2, deflated(noise + bytes(size - len(noise))), rsv=4)


def dial(port, *, receive_buffer=None, source=None):
    """A TCP connection that does not block."""
    sock = socket.socket()
    if receive_buffer is not None:  # before the connection: the window is agreed upon there
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
    if source is not None:
        sock.bind((source, 0))
    sock.settimeout(PATIENCE)
    sock.connect(("127.0.0.1", port))
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    sock.setblocking(False)
    return sock


def upgraded(port, count, path="/", *extra, receive_buffer=None):
    """So many connections behind their 101."""
    request = head(port, path, *extra)
    done = []
    while len(done) < count:
        batch = [dial(port, receive_buffer=receive_buffer) for _ in range(min(BATCH, count - len(done)))]
        for sock in batch:
            sock.sendall(request)
        for sock in batch:
            answer = wait_for(sock)
            assert answer.startswith(b"HTTP/1.1 101"), answer
        done += batch
    return done


def wait_for(sock):
    """The next bytes of the server; none: it has closed."""
    assert select_one(sock, PATIENCE), "the server says nothing"
    try:
        return sock.recv(65536)
    except ConnectionError:
        return b""


def select_one(sock, seconds):
    poll = select.poll()
    poll.register(sock, select.POLLIN)
    return bool(poll.poll(seconds * 1000))


def push(sock, data):
    """Write what the kernel takes; returns what is left. OSError: the server has closed."""
    try:
        return data[sock.send(data) :]
    except BlockingIOError:
        return data


def pull(sock):
    """Throw away what is there. Returns False when the server has closed."""
    try:
        while data := sock.recv(65536):
            if len(data) < 65536:
                return True
    except BlockingIOError:
        return True
    except OSError:
        return False
    return False


def pour(socks, data, seconds, *, read=False, again=None):
    """Write ``data`` to each again and again, as fast as each takes it; ``again`` replaces those that were closed.

    Returns how many were closed.
    """
    open_socks = list(socks)
    rests = [data] * len(open_socks)
    closed = 0
    until = time.monotonic() + seconds
    while time.monotonic() < until and open_socks:
        idle = True
        for index in range(len(open_socks)):
            sock = open_socks[index]
            if sock is None:
                continue
            try:
                if read and not pull(sock):
                    raise ConnectionResetError
                rest = push(sock, rests[index])
            except OSError:
                closed += 1
                sock.close()
                open_socks[index] = again() if again is not None else None
                rests[index] = data
                continue
            idle = idle and len(rest) == len(rests[index])
            rests[index] = rest or data
        if idle:
            time.sleep(0.005)
    for sock in open_socks:
        if sock is not None and sock not in socks:
            sock.close()
    return closed


def reset(sock):
    """Close with RST."""
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    sock.close()


def received(sock, seconds=PATIENCE):
    """Everything that is still there or comes, until the server closes."""
    data = b""
    until = time.monotonic() + seconds
    with contextlib.suppress(OSError):
        while time.monotonic() < until and select_one(sock, max(0, until - time.monotonic())):
            piece = sock.recv(1 << 20)
            if not piece:
                break
            data += piece
    return data
