#!/usr/bin/env python3
"""A listener written for picows, behind framewarden: one import and one call are different.

    python examples/picows_dropin.py [port]

Everything below is picows, as its manual has it; only ``create_server`` is ours.
"""

import asyncio
import logging
import sys

import uvloop
from picows import WSFrame, WSListener, WSMsgType, WSTransport, WSUpgradeRequest

from framewarden import Limits, Policy
from framewarden.transports.picows import create_server  # was: from picows import ws_create_server

log = logging.getLogger("echo")


class Echo(WSListener):
    """Gets only messages that passed every rule, assembled, in one frame each."""

    def on_ws_frame(self, transport: WSTransport, frame: WSFrame) -> None:
        """A Text, Binary, Pong or Close frame; Pings are answered already."""
        if frame.msg_type == WSMsgType.CLOSE:
            transport.send_close(frame.get_close_code(), frame.get_close_message())
            transport.disconnect()
        elif frame.msg_type != WSMsgType.PONG:
            transport.send(frame.msg_type, frame.get_payload_as_bytes())


def factory(request: WSUpgradeRequest) -> Echo | None:
    """A listener for one path; everything else is answered with 404."""
    return Echo() if request.path == b"/echo" else None


async def main() -> None:
    """Serve until interrupted."""
    policy = Policy(limits=Limits(max_message_bytes=64 * 1024))
    server = await create_server(
        factory, "127.0.0.1", int(sys.argv[1]) if len(sys.argv) > 1 else 8765, policy=policy, enable_auto_ping=True
    )
    async with server:
        log.info("listening on ws://127.0.0.1:%s/echo", server.sockets[0].getsockname()[1])
        await server.serve_forever()


if __name__ == "__main__":
    logging.basicConfig(level=logging.WARNING, format="%(message)s")
    log.setLevel(logging.INFO)
    try:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(main())
    except KeyboardInterrupt:
        pass
