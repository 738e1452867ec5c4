"""A process that runs out of file descriptors: who is connected loses nothing, and afterwards others get in."""

import contextlib
import socket
import subprocess
import sys
import threading
from pathlib import Path

from websockets.sync.client import connect

ROOT = Path(__file__).parents[2]
SERVER = """
import asyncio, logging, resource, sys
import uvloop
from framewarden.policy import Limits, Policy
from framewarden.transports import Server

logging.basicConfig(level=logging.INFO)
resource.setrlimit(resource.RLIMIT_NOFILE, (40, 40))
# Limits that would stop the attacker before the descriptors run out are raised; nobody is cut meanwhile.
limits = Limits(max_connections=1000, max_pending_per_address=1000, handshake_seconds=60)

async def main():
    async with Server(None, Policy(limits=limits), port=0) as server:
        print(server.address[1], flush=True)
        await asyncio.to_thread(sys.stdin.read)

with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
    runner.run(main())
"""
ATTACKERS = 100
MESSAGES = 200


def test_an_attacker_holds_all_descriptors():
    with subprocess.Popen(
        [sys.executable, "-c", SERVER],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        log = []
        reader = threading.Thread(target=lambda: log.extend(process.stderr))
        reader.start()
        try:
            port = int(process.stdout.readline())
            with connect(f"ws://127.0.0.1:{port}", open_timeout=5) as good:
                with contextlib.ExitStack() as stack:
                    held = [
                        stack.enter_context(socket.create_connection(("127.0.0.1", port))) for _ in range(ATTACKERS)
                    ]
                    for number in range(MESSAGES):
                        good.send(str(number))
                        assert good.recv(timeout=5) == str(number)
                    while not log:  # it has noticed; the attackers wait in the kernel
                        reader.join(0.01)
                        assert process.poll() is None
                    for each in held:
                        each.sendall(b"GET / HTTP/1.1\r\n")
                    good.send("still here")
                    assert good.recv(timeout=5) == "still here"
                with connect(f"ws://127.0.0.1:{port}", open_timeout=5) as late:
                    late.send("late")
                    assert late.recv(timeout=5) == "late"
                good.send("to the end")
                assert good.recv(timeout=5) == "to the end"
        finally:
            process.stdin.close()
            process.wait(10)
            reader.join(10)
    assert process.returncode == 0
    assert len(log) == 1, log
    assert "cannot accept: Too many open files; trying again every 0.1 s" in log[0]
