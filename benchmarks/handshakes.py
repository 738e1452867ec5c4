"""Server CPU of one opening handshake, beside picows: ``python -m benchmarks.handshakes`` prints the ratios.

Each contender is a process of its own on uvloop and tells its CPU time (user and system) when it is asked; the same
client talks to them in turns of a few hundred handshakes, the order changes every round, and the answer is the median
over the rounds of the ratio within a round. A connection is closed by the client once it has the answer.

The request is what Chromium sends (HEAD; picows refuses Firefox's ``Connection: keep-alive, Upgrade``). "refused" is a
401 that a synchronous authenticator decides, "foreign" a 403 for the Origin, "keyless" a 400 for a request without a
key, "accepted" a 101 with everything that comes with it: the making of the connection, and its end.
"""

import argparse
import asyncio
import os
import random
import socket
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import uvloop

from benchmarks.conditions import conditions

ROOT = Path(__file__).parent.parent
TURN = 320
"""Handshakes that a contender answers in one round."""
ROUNDS = 21
KEY = "dGhlIHNhbXBsZSBub25jZQ=="
HEAD = (
    "GET /chat?room=lobby HTTP/1.1\r\n"
    "Host: 127.0.0.1:{port}\r\n"
    "Connection: Upgrade\r\n"
    "Pragma: no-cache\r\n"
    "Cache-Control: no-cache\r\n"
    "User-Agent: Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/142.0.0.0 "
    "Safari/537.36\r\n"
    "Upgrade: websocket\r\n"
    "Origin: http://127.0.0.1:{port}\r\n"
    "Sec-WebSocket-Version: 13\r\n"
    "Accept-Encoding: gzip, deflate, br, zstd\r\n"
    "Accept-Language: en-US,en;q=0.9\r\n"
    "Cookie: theme=dark; session=0123456789abcdef0123456789abcdef\r\n"
    f"Sec-WebSocket-Key: {KEY}\r\n"
    "Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits\r\n\r\n"
)
FRAMEWARDEN = "framewarden"
PICOWS = "picows"
SCENES = {"refused": 401, "foreign": 403, "keyless": 400, "accepted": 101}


# The contenders: each starts to listen and returns its port


async def start_framewarden(scene: str) -> int:
    """A server of ours whose handler knows nobody, or takes everybody."""
    from framewarden.identity import Identity
    from framewarden.policy import Limits, Policy
    from framewarden.session import Handler
    from framewarden.transports import Server

    class Door(Handler):
        def authenticate(self, request: Any) -> Identity | None:
            return Identity(subject="ann") if scene == "accepted" and request.header("cookie") else None

        def on_message(self, session: Any, message: Any) -> None:
            session.send(message)

    # Every client here has the same address.
    server = Server(Door, Policy(limits=Limits(max_pending_per_address=100_000)), port=0)
    await server.start()
    keep.append(server)
    return server.address[1]


async def start_picows(scene: str) -> int:
    """Picows' own server; its factory answers with an error, or with a listener."""
    from picows import WSListener, WSUpgradeResponse, WSUpgradeResponseWithListener, ws_create_server

    origins: list[str] = []

    def door(request: Any) -> Any:
        if scene in ("accepted", "keyless") and request.headers.get("cookie"):
            return WSListener()
        headers = {"WWW-Authenticate": "Bearer", "Connection": "close"}
        if request.headers.get("origin") not in origins:
            response = WSUpgradeResponse.create_error_response(403, b"403 Forbidden\n", {"Connection": "close"})
            return WSUpgradeResponseWithListener(response, None)
        response = WSUpgradeResponse.create_error_response(401, b"401 Unauthorized\n", headers)
        return WSUpgradeResponseWithListener(response, None)

    server = await ws_create_server(door, "127.0.0.1", 0)
    keep.append(server)
    port: int = server.sockets[0].getsockname()[1]
    origins.append(f"http://127.0.0.1:{port}")
    return port


CONTENDERS = {FRAMEWARDEN: start_framewarden, PICOWS: start_picows}
keep: list[object] = []


async def serve(name: str, scene: str) -> None:
    """Listen, print the port, and print the CPU time so far in nanoseconds for every byte on standard input."""
    print(await CONTENDERS[name](scene), flush=True)
    loop = asyncio.get_running_loop()
    ended = loop.create_future()

    def asked() -> None:
        if os.read(0, 1):
            print(time.process_time_ns(), flush=True)
        else:
            loop.remove_reader(0)
            ended.set_result(None)

    loop.add_reader(0, asked)
    await ended


# The client


class Contender:
    """A server process."""

    def __init__(self, name: str, scene: str) -> None:
        command = [sys.executable, "-m", "benchmarks.handshakes", "--serve", name, "--scene", scene]
        self.process = subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        self.port = self._read()
        head = HEAD.format(port=self.port)
        if scene == "foreign":
            head = head.replace("Origin: http://127.0.0.1", "Origin: http://evil.example")
        elif scene == "keyless":
            head = head.replace("Sec-WebSocket-Key", "Sec-WebSocket-Quay")
        self.head = head.encode()
        self.begins = b"HTTP/1.1 %d " % SCENES[scene]

    def _read(self) -> int:
        assert self.process.stdout is not None
        return int(self.process.stdout.readline())

    def cpu_ns(self) -> int:
        """CPU time of the process so far."""
        assert self.process.stdin is not None
        self.process.stdin.write(b"?")
        self.process.stdin.flush()
        return self._read()

    def turn(self, at_once: int) -> float:
        """Nanoseconds of the server's CPU a handshake, of TURN handshakes."""
        before = self.cpu_ns()
        for _ in range(TURN // at_once):
            sockets = [socket.create_connection(("127.0.0.1", self.port)) for _ in range(at_once)]
            for sock in sockets:
                sock.sendall(self.head)
            for sock in sockets:
                answer = sock.recv(4096)
                assert answer.startswith(self.begins), answer
                sock.close()
        return (self.cpu_ns() - before) / (TURN // at_once * at_once)

    def stop(self) -> None:
        """End the process."""
        self.process.communicate(timeout=20)


def measure(scene: str, at_once: int, rounds: int, say: Callable[[str], None] = print) -> float:
    """Run the contenders in turns and say what they took. Returns our CPU time by picows': median of the rounds."""
    contenders = {name: Contender(name, scene) for name in CONTENDERS}
    samples: dict[str, list[float]] = {name: [] for name in contenders}
    try:
        for contender in contenders.values():
            contender.turn(at_once)
        order = list(contenders)
        shuffle = random.Random(0).shuffle
        for _ in range(rounds):
            shuffle(order)
            for name in order:
                samples[name].append(contenders[name].turn(at_once))
    finally:
        for contender in contenders.values():
            contender.stop()
    ratio = statistics.median(a / b for a, b in zip(samples[FRAMEWARDEN], samples[PICOWS], strict=True))
    took = ", ".join(f"{name} {statistics.median(samples[name]) / 1000:.1f} us" for name in samples)
    say(f"{scene:8} {at_once:3} at once: {ratio:.2f} of picows  ({took})")
    return ratio


def parse_us() -> float:
    """Microseconds that our parser takes for HEAD, whole."""
    from framewarden.codec.handshake import HandshakeParser, Request
    from framewarden.policy import Limits

    limits, head = Limits(), HEAD.format(port=8765).encode()
    assert isinstance(HandshakeParser(limits).feed(head), Request)
    times = []
    for _ in range(50):
        begun = time.thread_time_ns()
        for _ in range(100):
            HandshakeParser(limits).feed(head)
        times.append((time.thread_time_ns() - begun) / 100)
    return statistics.median(times) / 1000


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.handshakes", description=__doc__)
    parser.add_argument("--scene", choices=SCENES, help="one of the scenes; all if it is not given")
    parser.add_argument("--at-once", type=int, default=None, help="connections at a time; 1 and 32 if it is not given")
    parser.add_argument("--rounds", type=int, default=ROUNDS, help=f"rounds of {TURN} handshakes")
    parser.add_argument("--serve", choices=CONTENDERS, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.serve:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(serve(args.serve, args.scene))
        return
    for line in conditions():
        print(line)
    print(f"parsing a head of {len(HEAD.format(port=8765))} bytes: {parse_us():.1f} us")
    for scene in [args.scene] if args.scene else SCENES:
        for at_once in [args.at_once] if args.at_once else (1, 32):
            measure(scene, at_once, args.rounds)


if __name__ == "__main__":
    main()
