"""An echo server for ``test_many``: ``python -m tests.e2e.many_server CARRIER``. Prints its port, ends with its input.

At the end it prints how many security events there were.
"""

import asyncio
import resource
import sys

import uvloop

from framewarden.policy import Policy
from framewarden.session import Handler
from framewarden.transports import Server


class Echo(Handler):
    def on_message(self, session, message):
        session.send(message)


def say(number):
    sys.stdout.write(f"{number}\n")
    sys.stdout.flush()


async def main(carrier):
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    events = []
    options = {} if carrier == "picows" else {"carrier": carrier}
    async with Server(Echo, Policy(on_event=events.append), port=0, backlog=4096, **options) as server:
        say(server.address[1])
        await asyncio.to_thread(sys.stdin.read)
        say(len(events))


if __name__ == "__main__":
    uvloop.run(main(sys.argv[1]))
