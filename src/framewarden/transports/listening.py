"""One connection whose application is a listener of picows: we judge what comes in, picows tells its listener.

This is the only place where picows parses frames, and it parses only what we have written: each verified message is one
frame with FIN, a minimal length and masking-key 0, so that nothing has to be unmasked. What picows writes comes back to
us, so that order, and the Close as the last thing out, have one owner.
"""

import asyncio
import struct
from collections import deque
from collections.abc import Callable
from typing import Any

from picows import WSListener, WSTransport, WSUpgradeRequest, WSUpgradeResponseWithListener
from picows.picows import WSProtocol  # type: ignore[attr-defined]  # its stub leaves it out

from framewarden.codec import encode_frame
from framewarden.codec.handshake import canonical_head
from framewarden.engine import Close, Event, Inspector, Message, Ping, Pong
from framewarden.errors import ArgumentError
from framewarden.rfc6455 import CloseCode, Opcode, State
from framewarden.session import Session
from framewarden.transports.connection import PING_PAYLOAD, Connection
from framewarden.transports.context import Context

__all__ = ["Factory", "ListenerCarrier", "ListenerConnection", "Options", "Outlet", "encode_event"]

Factory = Callable[[WSUpgradeRequest], WSListener | WSUpgradeResponseWithListener | None]
Options = dict[str, Any]
"""Arguments of WSProtocol."""

ZERO_KEY = bytes(4)
NO_INFO = 0
"""What picows says for "no code" (WSCloseCode.NO_INFO), on the wire too, where no code 0 may be (RFC 6455 7.4.2)."""
PINGS_REMEMBERED = 64
"""Pings whose Pong a listener may send as well; more of them in a row the policy's max_control_run lets nobody send by
default."""
CLOSE_REASON_BYTES = 123


def encode_event(event: Event) -> bytes:
    """What the peer said, as the one frame that picows reads. Linear in the payload."""
    if isinstance(event, Message):
        data = event.data
        return encode_frame(event.opcode, data.encode() if isinstance(data, str) else data, key=ZERO_KEY)
    if isinstance(event, Close):
        payload = b""
        if event.code != CloseCode.NO_STATUS_RCVD:
            payload = struct.pack("!H", event.code) + event.reason.encode()
        return encode_frame(Opcode.CLOSE, payload, key=ZERO_KEY)
    return encode_frame(Opcode.PING if isinstance(event, Ping) else Opcode.PONG, event.data, key=ZERO_KEY)


class Outlet:
    """The transport, as picows and its listener see it: what they write and close goes through the connection.

    Everything else is the real transport's (``get_extra_info``, ``set_write_buffer_limits``, ``pause_reading``).
    """

    def __init__(self, transport: asyncio.Transport, connection: "ListenerConnection") -> None:
        self._transport = transport
        self._connection = connection

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)

    def write(self, data: bytes) -> None:
        """Take one frame, or the response to the handshake: picows writes each in one call."""
        self._connection.send_frame(bytes(data))

    def writelines(self, pieces: list[bytes | memoryview]) -> None:
        """A header, of which picows keeps the memory, and a large payload."""
        self._connection.send_frame(b"".join(pieces))

    def close(self) -> None:
        """Close when what was sent has left."""
        self._connection.end()

    def abort(self) -> None:
        """Close at once."""
        self._transport.abort()


class ListenerConnection(Connection):
    """A Connection that gives picows what passed the Inspector, and sends what picows writes.

    Deadlines, closing and the answers to Ping and Close are those of every Connection.

    Args:
        context: the server's.
        transport: where bytes are written.
        inspector: the state of this connection.
        make_session: as for Connection; the session serves the server only.
        deliver_pings: whether the listener is told of Pings, which the Inspector answers in any case.
    """

    __slots__ = ("_answered", "_carrier", "_close_left", "_deliver_pings", "_end_asked", "_pieces", "_responding")

    def __init__(
        self,
        context: Context,
        transport: asyncio.Transport,
        inspector: Inspector,
        make_session: Callable[[Callable[[], None]], Session],
        *,
        deliver_pings: bool,
    ) -> None:
        super().__init__(context, transport, inspector, make_session)
        self._deliver_pings = deliver_pings
        self._carrier: ListenerCarrier | None = None
        self._pieces: list[bytes] = []
        self._answered: deque[bytes] = deque(maxlen=PINGS_REMEMBERED)
        self._close_left = False
        self._end_asked = False
        self._responding = True  # what picows writes first is the response to the handshake

    def shake_hands(self, carrier: "ListenerCarrier", key: str) -> bytes | None:
        """Let picows answer the handshake. Returns its response if that is not a 101: the connection never begins.

        Raises:
            RuntimeError: picows did not read our own head: this is not the picows that we know.
        """
        self._carrier = carrier
        self._session.flushing = True  # the 101, and what the listener sends at once, leave in one write
        carrier.shake_hands(Outlet(self._transport, self), canonical_head(key))
        response = carrier.transport.response
        if response is None or self._responding:
            raise RuntimeError("picows did not answer our handshake")
        return None if response.status == 101 else b"".join(self._pieces)

    # What came in

    def _handle(self, events: list[Event]) -> None:
        carrier = self._carrier
        assert carrier is not None
        frames = []
        for event in events:
            if isinstance(event, Ping):
                if not self._deliver_pings:
                    continue
                self._answered.append(event.data)
            elif isinstance(event, Pong) and event.data == PING_PAYLOAD:
                super()._handle([event])  # to the Ping of our own deadlines
                continue
            frames.append(encode_event(event))
        carrier.feed(b"".join(frames))

    # What goes out

    def send_frame(self, data: bytes) -> None:
        """Send what picows wrote: a frame; before that, the response to the handshake.

        Raises:
            ArgumentError: a Close whose code must not be sent (RFC 6455 7.4), or whose reason is too long.
        """
        if self._responding:
            self._responding = False
            self._pieces.append(data)
            return
        if self._finished or self._close_left:
            return  # RFC 6455 5.5.1: no more frames after a Close
        opcode = data[0] & 0x0F
        if opcode == Opcode.CLOSE:
            if self._inspector.state is State.OPEN:  # else a Close waits already, in answer to the peer's
                self._begin_close(data)
        elif opcode == Opcode.PONG and data[2:] in self._answered:
            self._answered.remove(data[2:])  # the Inspector has answered it
            return
        else:
            self._pieces.append(data)
        if not self._session.flushing:
            self.flush()

    def _begin_close(self, frame: bytes) -> None:
        """The listener closes: by the Inspector, which then knows of it, and never says "no code" by a code 0."""
        if frame[1] > CLOSE_REASON_BYTES + 2:
            raise ArgumentError(f"the reason of a Close has at most {CLOSE_REASON_BYTES} bytes")
        code = int.from_bytes(frame[2:4], "big")
        self._inspector.send_close(None if code == NO_INFO else code, "" if code == NO_INFO else frame[4:].decode())

    def flush(self) -> None:
        """Write what the listener sent, then what the Inspector has to say; a Close is the last thing."""
        if self._carrier is not None and self._inspector.state is not State.OPEN:
            self._close_left = True
            self._carrier.closing(self._close_said())
        pieces, self._pieces = self._pieces, []
        if pieces and not self._finished:
            self._transport.write(b"".join(pieces))
        super().flush()
        if self._end_asked and not self._finished:
            self._closing(State.CLOSED)

    def _close_said(self) -> tuple[int, str]:
        """Code and reason of our Close, or of the peer's, which ours repeats."""
        violation = self._inspector.violation
        if violation is not None:
            return violation.close_code, violation.rule
        code = self._inspector.close_code
        if code is None or code in (CloseCode.NO_STATUS_RCVD, CloseCode.ABNORMAL_CLOSURE):
            return NO_INFO, ""
        return code, self._inspector.close_reason

    def end(self) -> None:
        """The listener disconnects: what was sent leaves, then the socket is closed."""
        self._end_asked = True
        if not self._session.flushing:
            self.flush()


class ListenerCarrier(WSProtocol):  # type: ignore[misc]  # picows ships no annotations for it
    """A picows protocol that reads our frames only.

    Args:
        context: the server's.
        connection: where inbound bytes go.
        factory: called once, while picows reads our head.
        options: the arguments of WSProtocol that a user chooses.
    """

    def __init__(self, context: Context, connection: ListenerConnection, factory: Factory, options: Options) -> None:
        super().__init__(
            host_port=None,
            ws_path=None,
            is_client_side=False,
            ws_listener_factory=factory,
            websocket_handshake_timeout=None,  # it runs from accept, in the wheel
            enable_auto_pong=False,  # the Inspector answers
            extra_headers=None,
            **options,
        )
        self._context = context
        self._connection = connection

    def shake_hands(self, outlet: Outlet, head: bytes) -> None:
        """Let picows read ``head``; it asks the factory, and writes the response to ``outlet``."""
        # While a transport has nothing to write, picows writes plain TCP by a system call of its own, past us. It looks
        # up this method here, once: to picows there is always something.
        outlet.__dict__["get_write_buffer_size"] = _always_something
        super().connection_made(outlet)
        del outlet.__dict__["get_write_buffer_size"]
        self.feed(head)

    def feed(self, data: bytes) -> None:
        """Give picows ``data``, in pieces that fit. No data is news, too: its auto-ping counts from then on."""
        view = memoryview(data)
        while True:
            room = super().get_buffer(-1)
            size = min(len(room), len(view))
            room[:size] = view[:size]
            super().buffer_updated(size)
            view = view[size:]
            if not view:
                return

    def closing(self, said: tuple[int, str]) -> None:
        """Tell picows that a Close leaves: it sends nothing more, and ``close_handshake`` says which one it was."""
        transport: WSTransport = self.transport
        if not transport.is_close_frame_sent:
            transport.send_close(*said)  # type: ignore[arg-type]  # any number will do, as in what peers say

    # Called by the transport

    def get_buffer(self, sizehint: int) -> bytearray:
        """The buffer that all connections of the server share."""
        return self._context.buffer

    def buffer_updated(self, nbytes: int) -> None:
        """Inbound bytes go to the Inspector only."""
        self._connection.received(self._context.buffer, nbytes)

    def eof_received(self) -> bool:
        """The peer sends nothing more."""
        return self._connection.eof_received()

    def connection_lost(self, exc: Exception | None) -> None:
        """The transport is gone."""
        self._connection.lost()
        super().connection_lost(exc)

    def pause_writing(self) -> None:
        """The peer does not read."""
        self._connection.pause_writing()
        super().pause_writing()

    def resume_writing(self) -> None:
        """The peer reads again."""
        self._connection.resume_writing()
        super().resume_writing()


def _always_something() -> int:
    return 1
