"""A client's connection behind the opening handshake: messages in and out, deadlines, the end."""

import asyncio
import weakref
from collections import deque
from typing import Any, Self

from framewarden.codec.client_handshake import Accepted
from framewarden.engine import Event, Inspector, Message, Pong
from framewarden.errors import ClosedError
from framewarden.rfc6455 import CloseCode, State
from framewarden.rules import Violation
from framewarden.session.session import encode_object, sends_messagepack
from framewarden.transports.client_times import Deadlines, RoundTrips, new_payload

__all__ = ["ClientConnection", "receive_buffer"]

RECEIVE_BUFFER_BYTES = 64 * 1024
HELD_BYTES = 64 * 1024
"""Output that waits together with a Close for messages that have not been received yet; more, and it leaves."""
CLEAN = frozenset({CloseCode.NORMAL_CLOSURE, CloseCode.GOING_AWAY, CloseCode.NO_STATUS_RCVD})
"""Close codes behind which an ``async for`` just ends."""

_buffers: weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, memoryview] = weakref.WeakKeyDictionary()


def receive_buffer(loop: asyncio.AbstractEventLoop) -> memoryview:
    """The one buffer that all clients of ``loop`` read into: a read is judged before the loop reads again.

    A memoryview, because asyncio's TLS writes into slices of it, and a slice of a bytearray is a copy.
    """
    buffer = _buffers.get(loop)
    if buffer is None:
        buffer = _buffers[loop] = memoryview(bytearray(RECEIVE_BUFFER_BYTES))
    return buffer


class ClientConnection(asyncio.BufferedProtocol):
    """A connection to a server. :func:`framewarden.connect` makes it; it belongs to one event loop.

    Messages wait in a queue of at most ``max_queued_messages`` messages or ``max_queued_bytes``; when it is full,
    reading pauses, and with it the deadlines: what is not received is not answered either, Ping included.

    When the server closes, or breaks a rule, behind messages that still wait here, our Close waits, too, at most
    ``close_seconds``: what is sent in answer to them leaves before it (RFC 6455 5.5.1).

    ``async for message in connection`` gives what :meth:`receive` gives, and ends when the connection does; it raises
    ClosedError if that was not by a Close with 1000, 1001 or no code.

    Attributes:
        subprotocol: the one that the server chose; None: none.
        headers: those of the server's answer, names in lower case.
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        transport: asyncio.Transport,
        inspector: Inspector,
        accepted: Accepted,
        path: str,
    ) -> None:
        self.subprotocol = accepted.subprotocol
        self.headers = accepted.headers
        self._loop = loop
        self._transport = transport
        self._inspector = inspector
        self._limits = inspector.policy.limits
        self._messagepack = sends_messagepack(inspector.policy, path, accepted.subprotocol)
        self._buffer = receive_buffer(loop)
        self._queue: deque[tuple[Any, int]] = deque()
        self._queued_bytes = 0
        self._full = False  # reading has been paused
        self._discarding = False  # close() has been called: what still comes in is for nobody
        self._heard_close = False
        self._receiver: asyncio.Future[None] | None = None
        self._stalled = False  # the server does not read what we write
        self._senders: set[asyncio.Future[None]] = set()
        self._trips = RoundTrips()
        self._deadlines = Deadlines(inspector, self._trips, loop.time())
        self._held_until: float | None = None  # our Close waits for messages to be received
        self._close_by: float | None = None
        self._lost = loop.create_future()
        self._timer: asyncio.TimerHandle | None = None
        self._arm()

    # What the user calls

    async def send(self, data: Any) -> None:
        """Send one message. Waits first as long as the server is behind with reading.

        A ``str`` leaves as Text, ``bytes`` and other buffers as Binary. Any other object but None is encoded by
        msgspec: as JSON in a Text message, or as MessagePack in a Binary message where the schema has a type for Binary
        and none for Text. Cancelled while it waits, nothing has been sent.

        Raises:
            ArgumentTypeError: ``data`` is None, or msgspec cannot encode it.
            ArgumentError: a text that is not encodable as UTF-8.
            ClosedError: the connection has ended, or is being closed.
        """
        if not isinstance(data, str | bytes | bytearray | memoryview):
            data = encode_object(data, self._messagepack)
        while self._stalled and not self._lost.done():
            await self._writable()
        if self._lost.done():
            raise self._closed()
        if isinstance(data, str):
            self._inspector.send_text(str(data))
        else:
            self._inspector.send_bytes(data)
        self._flush()

    async def receive(self) -> Any:
        """The next message, as a handler gets it: a ``str``, ``bytes``, or an object of the schema's type.

        Only one task may wait at a time. Cancelled, no message is lost.

        Raises:
            ClosedError: the connection has ended, and all messages have been received; ``code`` and ``reason`` say how.
            RuntimeError: another task waits already.
        """
        while not self._queue:
            self._flush(release=True)  # what came before the end has been handled
            if self._heard_close or self._inspector.violation is not None or self._lost.done():
                raise self._closed()
            if self._receiver is not None:
                raise RuntimeError("another task waits in receive() already")
            self._receiver = self._loop.create_future()
            try:
                await self._receiver
            finally:
                self._receiver = None
        data, size = self._queue.popleft()
        self._queued_bytes -= size
        if self._full and not self._is_full(2):
            self._read_again()
        return data

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Any:
        try:
            return await self.receive()
        except ClosedError as error:
            if error.code in CLEAN:
                raise StopAsyncIteration from None
            raise

    async def ping(self) -> float:
        """Send a Ping and wait for its Pong. Returns the round trip in seconds.

        A server that does not answer within ``pong_seconds`` fails the connection.

        Raises:
            ClosedError: the connection has ended, or ended while this waited.
        """
        if self._lost.done():
            raise self._closed()
        future: asyncio.Future[float] = self._loop.create_future()
        payload = self._send_ping(future)
        try:
            return await future
        finally:
            self._trips.forget(payload)

    async def close(self, code: int = CloseCode.NORMAL_CLOSURE, reason: str = "") -> None:
        """Close the connection, and wait until it is closed: at most ``close_seconds``.

        RFC 6455 7.1.1: the server closes TCP first. Messages that come in from now on are thrown away; those that wait
        can still be received. Cancelled, it cuts the connection off.

        Args:
            code: 1000 to 1003, 1007 to 1014 or 3000 to 4999.
            reason: at most 123 bytes of UTF-8; the server sees it.

        Raises:
            ArgumentError: a code that must not be sent (RFC 6455 7.4), or a reason that is too long.
        """
        if self._inspector.state is State.OPEN:
            self._inspector.send_close(code, reason)
        self._flush(release=True)
        self._discarding = True
        if self._full:
            self._read_again()
        try:
            await asyncio.shield(self._lost)
        except asyncio.CancelledError:
            self._transport.abort()
            raise

    @property
    def close_code(self) -> int | None:
        """How the connection ended: the rule's code if the server broke one, else that of its Close (RFC 6455 7.1.5).

        1005: a Close without a code, 1006: no Close, None: it has not ended.
        """
        violation = self._inspector.violation
        return self._inspector.close_code if violation is None else violation.close_code

    @property
    def close_reason(self) -> str:
        """The id of the rule that the server broke, or the reason of its Close."""
        violation = self._inspector.violation
        return self._inspector.close_reason if violation is None else violation.rule

    @property
    def violation(self) -> Violation | None:
        """The :class:`framewarden.Violation` if the server broke a rule, else None."""
        return self._inspector.violation

    @property
    def state(self) -> State:
        """Where the connection stands: the Inspector's state, which is the only truth about it."""
        return self._inspector.state

    def _closed(self) -> ClosedError:
        code = self.close_code
        return ClosedError(f"the connection has ended ({code})", code, self.close_reason)

    # Called by the transport

    def get_buffer(self, sizehint: int) -> memoryview:
        """Where the next bytes are read to."""
        return self._buffer

    def buffer_updated(self, nbytes: int) -> None:
        """``nbytes`` came in."""
        self.received(self._buffer, nbytes)

    def received(self, data: bytes | memoryview, size: int) -> None:
        """``size`` bytes came in; ``data`` is only valid during this call."""
        self._take(self._inspector.receive_data(data, size))
        self._go_on()

    def eof_received(self) -> bool:
        """The server sends nothing more: what is queued leaves, then the transport closes itself."""
        if self._close_by is None:
            self._close_soon()
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        """The transport is gone."""
        self._inspector.receive_eof()
        if self._timer is not None:
            self._timer.cancel()
        self._lost.set_result(None)
        self._wake()
        self.resume_writing()
        self._trips.fail(self._closed())

    def pause_writing(self) -> None:
        """The transport holds more than its high-water mark."""
        self._stalled = True
        self._deadlines.waiting(self._loop.time(), self._transport.get_write_buffer_size())
        self._arm()

    def resume_writing(self) -> None:
        """What was written has left."""
        self._stalled = False
        self._deadlines.taken()
        for sender in self._senders:
            if not sender.done():
                sender.set_result(None)

    # Bytes in

    def _take(self, events: list[Event]) -> None:
        for event in events:
            if type(event) is Message:
                if not self._discarding:
                    self._queue.append((event.data, event.inflated_bytes))
                    self._queued_bytes += event.inflated_bytes
            elif isinstance(event, Pong):
                self._trips.answer(event.data)
        if not self._full and self._is_full():
            self._full = True
            if not self._transport.is_closing():
                self._transport.pause_reading()

    def _go_on(self) -> None:
        """Read what the Inspector kept back, as far as there is room, then answer."""
        while self._inspector.has_more and not self._full:
            self._take(self._inspector.receive_data(b""))
        if self._inspector.close_code is not None:
            self._heard_close = True
        if (
            self._close_by is None
            and self._held_until is None
            and self._queue
            and self._inspector.state is not State.OPEN
        ):
            self._held_until = self._loop.time() + self._limits.close_seconds
            self._arm()
        self._flush()
        if self._stalled and self._deadlines.is_flooded(self._transport.get_write_buffer_size()):
            self._give_up("slow-consumer")
        if self._deadlines.received(self._loop.time()):
            self._arm()
        self._wake()

    def _is_full(self, divisor: int = 1) -> bool:
        """Whether the queue holds its limits, or a part of them: reading goes on when it is half empty again."""
        if self._discarding:
            return False
        limits = self._limits
        waiting = len(self._queue) * divisor
        return waiting >= limits.max_queued_messages or self._queued_bytes * divisor >= limits.max_queued_bytes

    def _read_again(self) -> None:
        """The queue has room. The time in which we did not read is nobody's silence."""
        self._full = False
        self._deadlines.restart(self._loop.time())
        if not self._transport.is_closing():
            self._transport.resume_reading()
            self._arm()
            self._loop.call_soon(self._go_on)

    def _wake(self) -> None:
        """Tell who waits in receive() that there is a message, or will be none."""
        if self._receiver is not None and not self._receiver.done():
            self._receiver.set_result(None)

    # Bytes out

    async def _writable(self) -> None:
        sender = self._loop.create_future()
        self._senders.add(sender)
        try:
            await sender
        finally:
            self._senders.discard(sender)

    def _flush(self, *, release: bool = False) -> None:
        """Write what was sent. A Close is always the last of it, so a Close that is held holds everything."""
        if self._held_until is not None:
            if not release and self._inspector.bytes_to_send < HELD_BYTES:
                return
            self._held_until = None
        data = self._inspector.data_to_send()
        if data and not self._transport.is_closing():
            self._transport.write(data)
        if self._close_by is None and self._inspector.state is not State.OPEN:
            self._close_soon()

    def _close_soon(self) -> None:
        """A Close has left, or the server has hung up. It has close_seconds to answer, and to close TCP."""
        self._close_by = self._loop.time() + self._limits.close_seconds
        self._arm()

    def _send_ping(self, future: asyncio.Future[float] | None) -> bytes:
        payload = new_payload()
        self._inspector.send_ping(payload)
        self._trips.add(payload, self._loop.time(), future)
        self._flush()
        self._arm()
        return payload

    # Deadlines

    def _arm(self) -> None:
        """Set the timer for the next deadline."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._lost.done():
            return
        when = self._close_by or self._held_until
        if when is None:
            if self._full:
                return  # nothing is expected of a server that is not read from; _read_again sets it again
            when = self._deadlines.next(self._loop.time())
        self._timer = self._loop.call_at(when, self._on_timer)

    def _on_timer(self) -> None:
        self._timer = None
        now = self._loop.time()
        if self._close_by is not None:
            if now >= self._close_by:
                self._transport.abort()
                return
        elif self._held_until is not None:
            if now >= self._held_until:
                self._flush(release=True)
        elif not self._full:
            self._watch(now)
        if self._timer is None:
            self._arm()

    def _watch(self, now: float) -> None:
        """Give the server up, or ask whether it is there."""
        if self._stalled:
            self._deadlines.waiting(now, self._transport.get_write_buffer_size())
        rule = self._deadlines.overdue(now)
        if rule is not None:
            self._give_up(rule)
        elif self._deadlines.is_ping_due(now):
            self._send_ping(None)

    def _give_up(self, rule: str) -> None:
        self._inspector.fail(rule)
        self._flush()
        self._wake()
