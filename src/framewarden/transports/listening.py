"""One connection whose application is a listener of picows: we judge what comes in, picows tells its listener.

This is the only place where picows parses frames, and it parses only what we have written: each verified message is one
frame with FIN, a minimal length and masking-key 0, so that nothing has to be unmasked. What picows writes comes back to
us, so that order, and the Close as the last thing out, have one owner.
"""

import asyncio
import contextlib
import struct
from collections.abc import Callable
from typing import Any

from picows import WSListener, WSTransport, WSUpgradeRequest, WSUpgradeResponseWithListener
from picows.picows import WSProtocol  # type: ignore[attr-defined]  # its stub leaves it out

from framewarden.codec import encode_frame
from framewarden.codec.handshake import canonical_head
from framewarden.engine import Close, Event, Ping, Pong
from framewarden.errors import ArgumentError, ClosedError
from framewarden.rfc6455 import CloseCode, Opcode, State
from framewarden.session import Handler, Session
from framewarden.transports._connection import PING_PAYLOAD
from framewarden.transports.connection import Connection
from framewarden.transports.context import Context

__all__ = [
    "Factory",
    "Hearing",
    "ListenerCarrier",
    "ListenerConnection",
    "Options",
    "Outlet",
    "encode_control",
    "encode_message",
]

Factory = Callable[[WSUpgradeRequest], WSListener | WSUpgradeResponseWithListener | None]
Options = dict[str, Any]
"""Arguments of WSProtocol."""

# Looked up for every frame: as plain numbers, since a member of an enum costs a call.
TEXT, BINARY, CLOSE, PING, PONG = (
    int(opcode) for opcode in (Opcode.TEXT, Opcode.BINARY, Opcode.CLOSE, Opcode.PING, Opcode.PONG)
)
OPEN = State.OPEN
ZERO_KEY = bytes(4)
NO_INFO = 0
"""What picows says for "no code" (WSCloseCode.NO_INFO), on the wire too, where no code 0 may be (RFC 6455 7.4.2)."""
CLOSE_REASON_BYTES = 123
SWITCHING = b"HTTP/1.1 101 "


def encode_message(data: str | bytes) -> bytes:
    """A message of the peer, as the one frame that picows reads. Linear in the payload."""
    if isinstance(data, str):
        return encode_frame(TEXT, data.encode(), key=ZERO_KEY)
    return encode_frame(BINARY, data, key=ZERO_KEY)


def encode_control(event: Event) -> bytes:
    """A Ping, Pong or Close of the peer, as the frame that picows reads."""
    if isinstance(event, Close):
        payload = b""
        if event.code != CloseCode.NO_STATUS_RCVD:
            payload = struct.pack("!H", event.code) + event.reason.encode()
        return encode_frame(CLOSE, payload, key=ZERO_KEY)
    return encode_frame(PING if isinstance(event, Ping) else PONG, event.data, key=ZERO_KEY)


class Hearing(Handler):
    """What a server calls for connections that belong to listeners: ``session.context`` is the ListenerConnection."""

    def on_message(self, session: Session, message: Any) -> None:
        """A message that passed every rule."""
        session.context.hear(encode_message(message))

    def on_control(self, session: Session, event: Event) -> None:
        """A Ping, Pong or Close."""
        session.context.hear_control(event)


class Outlet:
    """The transport, as picows and its listener see it: what they write and close goes through the connection.

    Everything else is the real transport's (``get_extra_info``, ``get_write_buffer_size``, ``is_closing``).
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
        self._connection.disconnect()

    def abort(self) -> None:
        """Close at once."""
        self._transport.abort()


class ListenerConnection(Connection):
    """A Connection that gives picows what passed the Inspector, and sends what picows writes.

    Deadlines, what waits for a peer that does not read, closing, and the answers to Ping and Close are those of every
    Connection. Arguments as there.
    """

    __slots__ = ("_carrier", "_context", "_end_asked", "_frames", "_on_accept", "_partial", "_session", "response")

    def __init__(self, context: Context, transport: asyncio.Transport, *arguments: Any, **named: Any) -> None:
        super().__init__(context, transport, *arguments, **named)
        self.session.context = self
        self.response: bytes | None = None
        """What picows answered the handshake with, if it was not a 101."""
        self._carrier: ListenerCarrier | None = None
        self._context = context
        self._end_asked = False
        self._frames: list[bytes] = []  # for picows, of the batch that is being handled
        self._on_accept: Callable[[bytes], None] | None = None  # until picows has answered the handshake
        self._partial: tuple[int, list[bytes]] | None = None  # a message that the listener sends in fragments
        self._session = self.session

    def shake_hands(
        self, carrier: "ListenerCarrier", outlet: Outlet, key: str, accept: Callable[[bytes], None]
    ) -> None:
        """Let picows answer the handshake; ``accept`` is called with a 101, another answer is in ``response``.

        Raises:
            RuntimeError: picows did not read our own head: this is not the picows that we know.
        """
        self._carrier = carrier
        self._on_accept = accept
        self.flushing = True  # what the listener sends at once leaves when the connection is opened
        carrier.shake_hands(outlet, canonical_head(key))
        if self._on_accept is not None:
            raise RuntimeError("picows did not answer our handshake")

    # What came in

    def hear(self, frame: bytes) -> None:
        """Keep ``frame`` for picows, which gets all frames of this batch at its end."""
        self._frames.append(frame)

    def hear_control(self, event: Event) -> None:
        """As ``hear``; what concerns only us is not passed on."""
        carrier = self._carrier
        if isinstance(event, Ping) and (carrier is None or not carrier.deliver_pings):
            return
        if isinstance(event, Pong) and event.data == PING_PAYLOAD:
            return
        self._frames.append(encode_control(event))

    # What goes out

    def send_frame(self, data: bytes) -> None:
        """Send what picows wrote: a frame; before that, the response to the handshake.

        Raises:
            ArgumentError: a Close whose code must not be sent (RFC 6455 7.4) or whose reason is too long, a Text that
                is not UTF-8, a reserved bit.
        """
        if self._on_accept is not None:
            self._take_response(data)
        elif self.response is None:
            length = data[1]
            try:  # not contextlib.suppress, which costs as much as the rest
                self._send(data[0], data[2 if length < 126 else 4 if length == 126 else 10 :])
            except ClosedError:
                return  # picows says nothing about a send behind the Close, either

    def _take_response(self, data: bytes) -> None:
        accept, self._on_accept = self._on_accept, None
        if accept is not None and data.startswith(SWITCHING):
            accept(data)
        else:
            self.response = data

    def _send(self, first: int, payload: bytes) -> None:
        if first & 0x70:
            raise ArgumentError("a reserved bit cannot be set: no extension is spoken here")
        opcode = first & 0x0F
        if opcode == CLOSE:
            self._begin_close(payload)
        elif opcode == PING:
            self._session.ping(payload)
        elif opcode != PONG:  # the Inspector has answered every Ping
            self._send_data(opcode, payload, final=bool(first & 0x80))

    def _send_data(self, opcode: int, payload: bytes, *, final: bool) -> None:
        """A message leaves when it is complete, in one frame: what its listener does to it is not known before."""
        if self._partial is not None or not final:
            begun, pieces = self._partial or (opcode, [])
            pieces.append(payload)
            self._partial = None if final else (begun, pieces)
            if not final:
                return
            opcode, payload = begun, b"".join(pieces)
        if opcode == BINARY:
            self._session.send(payload)
            return
        try:
            self._session.send(payload.decode())
        except UnicodeDecodeError:
            raise ArgumentError("a Text message must be UTF-8") from None

    def _begin_close(self, payload: bytes) -> None:
        """The listener closes: by the Inspector, which then knows of it, and never says "no code" by a code 0."""
        if self.inspector.state is not OPEN:
            return  # a Close waits already, or has left
        if len(payload) > CLOSE_REASON_BYTES + 2:
            raise ArgumentError(f"the reason of a Close has at most {CLOSE_REASON_BYTES} bytes")
        code = int.from_bytes(payload[:2], "big")
        self.inspector.send_close(None if code == NO_INFO else code, "" if code == NO_INFO else payload[2:].decode())
        if not self.flushing:
            self.flush()

    def flush(self) -> None:
        """Give picows what has come in; write what its listener sends, then a Close."""
        carrier, frames = self._carrier, self._frames
        if carrier is not None:
            self.flushing = True
            try:
                if frames:
                    self._frames = []
                    carrier.feed(frames[0] if len(frames) == 1 else b"".join(frames))
                if self.inspector.state is not OPEN:
                    carrier.closing(self._close_said())
            finally:
                self.flushing = False
        super().flush()
        if self._end_asked:
            self._end_asked = False
            self._end()

    def _close_said(self) -> tuple[int, str]:
        """Code and reason of our Close, or of the peer's, which ours repeats."""
        violation = self.inspector.violation
        if violation is not None:
            return violation.close_code, violation.rule
        code = self.inspector.close_code
        if code is None or code in (CloseCode.NO_STATUS_RCVD, CloseCode.ABNORMAL_CLOSURE):
            return NO_INFO, ""
        return code, self.inspector.close_reason

    def disconnect(self) -> None:
        """The listener disconnects: what was sent leaves, then the socket is closed."""
        if self.flushing:
            self._end_asked = True
        else:
            self._end()

    def _end(self) -> None:
        if self.blocked and not self.is_gone:
            self._context.keep(self._context.loop.create_task(self._end_later()))
        else:
            self.end()

    async def _end_later(self) -> None:
        """The peer has to read first. It has close_seconds, as behind every Close."""
        with contextlib.suppress(ClosedError, TimeoutError):
            await asyncio.wait_for(self._session.drain(), self.inspector.policy.limits.close_seconds)
        self.end()

    def connection_lost(self, error: Exception | None) -> None:
        """The transport is gone."""
        super().connection_lost(error)
        self._carrier = None


class ListenerCarrier(WSProtocol):  # type: ignore[misc]  # picows ships no annotations for it
    """A picows protocol that reads our frames only.

    Args:
        connection: where inbound bytes go.
        factory: called once, while picows reads our head.
        options: the arguments of WSProtocol that a user chooses.
        deliver_pings: whether the listener is told of Pings, which the Inspector answers in any case.
    """

    def __init__(
        self, connection: ListenerConnection, factory: Factory, options: Options, *, deliver_pings: bool
    ) -> None:
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
        self.deliver_pings = deliver_pings
        self._connection = connection
        self._paused = False
        self._news = options["enable_auto_ping"]

    def shake_hands(self, outlet: Outlet, head: bytes) -> None:
        """Let picows read ``head``; it asks the factory, and writes the response to ``outlet``."""
        # While a transport has nothing to write, picows writes plain TCP by a system call of its own, past us. It looks
        # up this method here, once: to picows there is always something.
        outlet.__dict__["get_write_buffer_size"] = _always_something
        super().connection_made(outlet)
        del outlet.__dict__["get_write_buffer_size"]
        self.feed(head)

    def feed(self, data: bytes) -> None:
        """Give picows ``data``, in pieces that fit."""
        room = super().get_buffer(-1)
        if len(data) <= len(room):
            room[: len(data)] = data
            super().buffer_updated(len(data))
            return
        view = memoryview(data)
        while view:
            room = super().get_buffer(-1)
            size = min(len(room), len(view))
            room[:size] = view[:size]
            super().buffer_updated(size)
            view = view[size:]

    def closing(self, said: tuple[int, str]) -> None:
        """Tell picows that a Close leaves: it sends nothing more, and ``close_handshake`` says which one it was."""
        transport: WSTransport = self.transport
        if not transport.is_close_frame_sent:
            transport.send_close(*said)  # type: ignore[arg-type]  # any number will do, as in what peers say

    # Called by the transport

    def get_buffer(self, sizehint: int) -> bytearray:
        """The buffer that all connections of the server share."""
        return self._connection.get_buffer(sizehint)

    def buffer_updated(self, nbytes: int) -> None:
        """Inbound bytes go to the Inspector only."""
        self._connection.buffer_updated(nbytes)
        if self._news:
            super().buffer_updated(0)  # half a frame is none yet, but its peer is there: auto-ping counts from now on

    def eof_received(self) -> bool:
        """The peer sends nothing more."""
        return self._connection.eof_received()

    def connection_lost(self, exc: Exception | None) -> None:
        """The transport is gone."""
        self._connection.connection_lost(exc)
        super().connection_lost(exc)

    def pause_writing(self) -> None:
        """The peer does not read; the listener is told once."""
        self._connection.pause_writing()
        if not self._paused:
            self._paused = True
            super().pause_writing()

    def resume_writing(self) -> None:
        """The peer reads again; the listener is told when nothing waits any more."""
        self._connection.resume_writing()
        if self._paused and not self._connection.blocked:
            self._paused = False
            super().resume_writing()


def _always_something() -> int:
    return 1
