"""The server that the attack tests attack, as a process: ``python -m tests.e2e.attacked '<options in JSON>'``.

It prints its port, and ends when its standard input does. What it logs goes to standard error.
"""

import asyncio
import contextlib
import json
import logging
import resource
import socket
import ssl
import sys
from collections import Counter

import uvloop

from framewarden import broadcast
from framewarden.policy import Deflate, Limits, Policy
from framewarden.session import Handler
from framewarden.transports import Server


class Attacked(Handler):
    """Echo; behind ``/slow`` one that takes its time; behind ``/news`` subscribers; behind ``/control`` the test."""

    def __init__(self, rules, leak):
        self.server = None
        self.rules = rules
        self.leak = leak
        self.kept = []
        self.subscribers = set()
        self.telling = None

    def on_open(self, session):
        if session.path == "/news":
            self.subscribers.add(session)

    def on_close(self, session, code, reason):
        self.subscribers.discard(session)

    def on_message(self, session, message):
        if session.path == "/control":
            return self.obey(session, json.loads(message))
        if session.path == "/slow":
            return self.wait(session, message)
        if self.leak:
            self.kept.append(b"x" * (256 * 1024))
        session.send(message)
        return None

    async def wait(self, session, message):
        await asyncio.sleep(0.1)
        session.send(message[:10])

    def obey(self, session, order):
        if order == "state":
            context = self.server._context
            held = sum(getattr(member, "charged", 0) for member in context.members)
            session.send(
                {
                    "members": len(context.members),
                    "tasks": len(context.tasks),
                    "budget": context.budget.total,
                    "held": held,
                    "subscribers": len(self.subscribers),
                    "rules": dict(self.rules),
                }
            )
        else:
            self.telling = asyncio.get_running_loop().create_task(self.tell(session, **order))

    async def tell(self, session, count, size):
        """Broadcast so many messages."""
        totals = Counter()
        for number in range(count):
            told = broadcast(self.subscribers, number.to_bytes(4, "big") + bytes(size - 4))
            totals.update({name: getattr(told, name) for name in told.__struct_fields__})
            await asyncio.sleep(0.002)  # others have their turn
        session.send(totals)


async def serve(options):
    rules = Counter()
    handler = Attacked(rules, options.get("leak", False))
    policy = Policy(
        limits=Limits(**options.get("limits", {})),
        deflate=Deflate(**options["deflate"]) if "deflate" in options else None,
        on_event=lambda event: rules.update([event.rule]),
    )
    tls = None
    if "certificate" in options:
        tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        tls.load_cert_chain(options["certificate"])
    async with Server(handler, policy, "127.0.0.1", 0, ssl=tls) as server:
        handler.server = server
        if "send_buffer" in options:  # what the kernel holds for thousands of peers is not what is measured
            for sock in server._acceptor._sockets:
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, options["send_buffer"])
        loop = asyncio.get_running_loop()
        over = asyncio.Event()
        loop.add_reader(sys.stdin.fileno(), over.set)
        sys.stdout.write(f"{server.address[1]}\n")
        sys.stdout.flush()
        await over.wait()
        loop.remove_reader(sys.stdin.fileno())
        with contextlib.suppress(AttributeError):
            handler.telling.cancel()


def main():
    options = json.loads(sys.argv[1])
    logging.basicConfig(level=logging.WARNING, format="%(levelname)s %(name)s %(message)s")
    files = options.get("files", 20_000)
    resource.setrlimit(resource.RLIMIT_NOFILE, (files, resource.getrlimit(resource.RLIMIT_NOFILE)[1]))
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(serve(options))


if __name__ == "__main__":
    main()
