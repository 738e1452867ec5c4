"""A well-behaved client, as a process of its own: it sends a numbered message every 10 ms and checks each echo.

``python bystander.py <port> [<file with a certificate to trust>]`` prints "ready" when it knows how quick the server is
in quiet times, and when its standard input ends, what it has seen since, in JSON. Latencies are in seconds, from the
time at which a message was to be sent, so that a server that answers nothing for a while makes all of them late.
"""

import base64
import json
import os
import select
import socket
import ssl
import struct
import sys
import time

EVERY = 0.01
QUIET = 40
"""Messages before it is ready."""
PATIENCE = 5.0
"""How long the last echoes may take."""
PADDING = "x" * 100


def connect(port, certificate):
    sock = socket.create_connection(("127.0.0.1", port), timeout=PATIENCE)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    if certificate:
        sock = ssl.create_default_context(cafile=certificate).wrap_socket(sock, server_hostname="localhost")
    key = base64.b64encode(os.urandom(16)).decode()
    sock.sendall(
        f"GET / HTTP/1.1\r\nHost: localhost:{port}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        f"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {key}\r\n\r\n".encode()
    )
    head = b""
    while not head.endswith(b"\r\n\r\n"):
        head += sock.recv(1)
    assert head.startswith(b"HTTP/1.1 101"), head
    sock.setblocking(False)
    return sock


def masked(payload):
    """A Text frame of less than 126 bytes."""
    key = os.urandom(4)
    return bytes([0x81, 0x80 | len(payload)]) + key + bytes(byte ^ key[i % 4] for i, byte in enumerate(payload))


class Bystander:
    def __init__(self, sock):
        self.sock = sock
        self.due = {}
        self.latencies = []
        self.sent = 0
        self.wrong = []
        self.inbound = b""

    def send(self, due):
        self.due[self.sent] = due
        try:
            self.sock.send(masked(f"{self.sent}:{PADDING}"[:110].encode()))
        except OSError as error:  # also when its own echoes are not read, which does not happen
            self.wrong.append(f"send: {error!r}")
        self.sent += 1

    def receive(self):
        """Read what is there; returns False when the server has closed."""
        while True:
            try:
                data = self.sock.recv(65536)
            except (BlockingIOError, ssl.SSLWantReadError):
                return True
            except OSError as error:
                self.wrong.append(f"recv: {error!r}")
                return False
            if not data:
                self.wrong.append("the server closed")
                return False
            self.inbound += data
            self.parse()

    def parse(self):
        while len(self.inbound) >= 2 and len(self.inbound) >= 2 + (self.inbound[1] & 0x7F):
            opcode, size = self.inbound[0], self.inbound[1]
            payload, self.inbound = self.inbound[2 : 2 + size], self.inbound[2 + size :]
            if opcode == 0x81:
                self.echo(payload.decode())
            elif opcode == 0x88:
                self.wrong.append(f"Close: {struct.unpack('!H', payload[:2])[0]} {payload[2:].decode()}")
            else:
                self.wrong.append(f"a frame of {opcode:#x}")

    def echo(self, text):
        number = int(text.partition(":")[0])
        due = self.due.pop(number, None)
        if due is None or text != f"{number}:{PADDING}"[:110]:
            self.wrong.append(f"an echo that was not asked for: {text[:20]}")
        else:
            self.latencies.append(time.monotonic() - due)

    def run(self, over):
        """Send and receive until ``over()``."""
        due = time.monotonic()
        while not over():
            wait = due - time.monotonic()
            if wait <= 0:
                self.send(due)
                due += EVERY
            elif select.select([self.sock], [], [], wait)[0] and not self.receive():
                return
            if not self.receive():
                return

    def finish(self):
        """Wait for what is still on its way."""
        until = time.monotonic() + PATIENCE
        while self.due and time.monotonic() < until:
            select.select([self.sock], [], [], 0.1)
            if not self.receive():
                return


def percentile(values, share):
    return sorted(values)[int(len(values) * share)] if values else float("inf")


def say(line):
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def main():
    one = Bystander(connect(int(sys.argv[1]), sys.argv[2] if len(sys.argv) > 2 else None))
    one.run(lambda: one.sent >= QUIET or one.wrong)
    one.finish()
    quiet = percentile(one.latencies, 0.99)
    one.latencies = []
    say("ready")
    one.run(lambda: select.select([sys.stdin], [], [], 0)[0])
    one.finish()
    seen = {"sent": one.sent, "lost": len(one.due), "wrong": one.wrong, "quiet_p99": quiet}
    seen |= {"p50": percentile(one.latencies, 0.5), "p99": percentile(one.latencies, 0.99)}
    say(json.dumps(seen | {"max": max(one.latencies, default=float("inf"))}))


if __name__ == "__main__":
    main()
