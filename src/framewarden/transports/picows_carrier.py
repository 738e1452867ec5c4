"""picows carries the connection: it answers the handshake and keeps the transport's life; we read what comes in.

Only names that picows 2.3 exports or documents in its stubs are used, no ``.pxd`` of it; ``tests/unit/transports/
test_picows_contract.py`` names each one, so that an upgrade that changes one fails there and not in production.
"""

import asyncio
import logging

from picows import WSAutoPingStrategy, WSListener, WSUpgradeResponse, WSUpgradeResponseWithListener
from picows.picows import WSProtocol  # type: ignore[attr-defined]  # its stub leaves it out

from framewarden.admission import Accepted
from framewarden.codec.handshake import canonical_head, switching_headers
from framewarden.transports.connection import Connection

__all__ = ["PicowsCarrier", "carry_by_picows"]

SMALLEST_READ_BUFFER = 2048
"""What picows rounds up to; it only ever holds our canonical head."""

# picows makes a child of every logging.Logger for every connection, and formats a line about each. An adapter is left
# as it is; the level keeps picows' own lines about a peer, which are ours to write, out of the log.
_logger = logging.LoggerAdapter(logging.getLogger("framewarden.picows"), {})
_logger.logger.setLevel(logging.CRITICAL)

# picows tells its listener about frames, of which it never sees one. One object serves all connections.
_listener = WSListener()


class PicowsCarrier(WSProtocol):  # type: ignore[misc]  # picows ships no annotations for it
    """A picows protocol whose input goes to our Inspector instead of to picows' parser."""

    __slots__ = ("_connection", "buffer_updated", "get_buffer")

    def __init__(self, connection: Connection, headers: tuple[tuple[str, str], ...]) -> None:
        response = WSUpgradeResponse.create_101_response(headers)
        super().__init__(
            host_port=None,
            ws_path=None,
            is_client_side=False,
            ws_listener_factory=lambda request: WSUpgradeResponseWithListener(response, _listener),
            logger=_logger,
            disconnect_on_exception=False,
            websocket_handshake_timeout=None,
            enable_auto_ping=False,
            auto_ping_idle_timeout=0,
            auto_ping_reply_timeout=0,
            auto_ping_strategy=WSAutoPingStrategy.PING_WHEN_IDLE,
            enable_auto_pong=False,
            max_frame_size=0,
            extra_headers=None,
            read_buffer_init_size=SMALLEST_READ_BUFFER,
        )
        self._connection = connection
        # Instead of methods: a call from the event loop goes to the connection without a step between.
        self.get_buffer = connection.get_buffer
        self.buffer_updated = connection.buffer_updated

    def upgrade(self, transport: asyncio.Transport, key: str) -> None:
        """Take ``transport`` over and write the 101.

        Raises:
            RuntimeError: picows did not accept our own head: this is not the picows that we know.
        """
        transport.set_protocol(self)
        super().connection_made(transport)
        head = canonical_head(key)
        super().get_buffer(len(head))[: len(head)] = head
        super().buffer_updated(len(head))
        response = self.transport.response
        if response is None or response.status != 101:
            raise RuntimeError("picows did not answer our handshake with 101")

    def eof_received(self) -> bool:
        """The peer sends nothing more."""
        return self._connection.eof_received()

    def connection_lost(self, exc: Exception | None) -> None:
        """The transport is gone."""
        super().connection_lost(exc)
        self._connection.connection_lost(exc)

    def pause_writing(self) -> None:
        """The peer does not read."""
        self._connection.pause_writing()

    def resume_writing(self) -> None:
        """The peer reads again."""
        self._connection.resume_writing()


def carry_by_picows(connection: Connection, transport: asyncio.Transport, key: str, accepted: Accepted) -> None:
    """Let picows carry ``connection``, and answer the handshake."""
    headers = switching_headers(accepted.subprotocol, accepted.extensions)
    PicowsCarrier(connection, headers).upgrade(transport, key)
