"""Servers with a flaw that was put there, for the probe to find: an honest client is served, the first message that is
not honest does what the flaw is. ``python -m tests.e2e.planted NAME`` runs one in a process of its own.
"""

import hashlib
import os
import sys

from tests.tiny_server import TinyServer, read_exactly, read_head, switching

PING, CLOSE = 9, 8
KEPT = []


def frame(first, payload=b""):
    return bytes([first, len(payload)]) + payload


def conversation(react, *, pong=lambda payload: payload):
    """What a server does that answers Ping and Close, and calls ``react(sock, first, payload)`` for all else."""

    def handle(sock):
        head = read_head(sock)
        if not head.endswith(b"\r\n\r\n"):
            return
        sock.sendall(switching(head))
        while header := read_exactly(sock, 2):
            first, size = header[0], header[1] & 0x7F
            if size == 126:
                size = int.from_bytes(read_exactly(sock, 2), "big")
            key = read_exactly(sock, 4) if header[1] & 0x80 else bytes(4)
            payload = bytes(octet ^ key[at % 4] for at, octet in enumerate(read_exactly(sock, size)))
            if first == 0x80 | PING:
                sock.sendall(frame(0x8A, pong(payload)))
            elif first == 0x80 | CLOSE:
                sock.sendall(frame(0x88, payload[:2]))
                return
            elif react(sock, first, payload):
                return

    return handle


def wait_for_ever(sock, first, payload):
    read_exactly(sock, 1 << 30)
    return True


def drop(sock, first, payload):
    return True


def take(sock, first, payload):
    """Be lenient."""


def babble(sock, first, payload):
    sock.sendall(b"\xff\xff garbage")


def close_politely(sock, first, payload):
    sock.sendall(frame(0x88, b"\x03\xe8"))
    return True


def die(sock, first, payload):
    os._exit(1)


def grow(sock, first, payload):
    KEPT.append(bytearray(b"x") * (64 << 20))


def shrink_again(sock, first, payload):
    """Grow for a moment only: the peak counts."""
    _ = bytearray(b"x") * (64 << 20)


class Quadratic:
    """Looks at everything that it has of a message again with every fragment."""

    def __init__(self):
        self.kept = bytearray()

    def __call__(self, sock, first, payload):
        self.kept += payload
        for _ in range(3):
            hashlib.sha256(self.kept).digest()
        if first & 0x80:
            self.kept.clear()


class Once:
    """Serves nobody any more, after the first message that is not honest."""

    def __init__(self):
        self.stuck = False
        self.serve = conversation(self.get_stuck)

    def get_stuck(self, sock, first, payload):
        self.stuck = True
        return wait_for_ever(sock, first, payload)

    def __call__(self, sock):
        if self.stuck:
            wait_for_ever(sock, 0, b"")
        else:
            self.serve(sock)


REACTIONS = {"dies": die, "grows": grow, "grows for a moment": shrink_again}


def main(name):
    with TinyServer(conversation(REACTIONS[name])) as server:
        sys.stdout.write(f"{server.port}\n")
        sys.stdout.flush()
        sys.stdin.read()


if __name__ == "__main__":
    main(sys.argv[1])
