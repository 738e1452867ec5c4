"""One upgraded connection: bytes in, messages to the handler, what it sends out again, deadlines, the end.

It knows asyncio's transport interface and the Inspector, and nothing of the carrier that stands between them.
"""

import asyncio
import logging
from collections import deque
from collections.abc import Awaitable, Callable
from typing import Any

from framewarden.admission import describe_error
from framewarden.engine import Event, Inspector, Message, Pong
from framewarden.errors import ClosedError
from framewarden.rfc6455 import CloseCode, State
from framewarden.session import Session
from framewarden.transports.context import Context
from framewarden.transports.ending import Ending

__all__ = ["Connection"]

_log = logging.getLogger("framewarden.session")

PING_PAYLOAD = b"framewarden"
"""What our own Pings carry, so that their Pongs can be told from unsolicited ones (RFC 6455 5.5.3)."""


class Connection:
    """Moves bytes between a transport, an Inspector and a handler.

    Two rules keep it in order. The handler never runs twice at a time: while something that it returned is awaited,
    messages wait in a queue, and reading pauses when the queue is full. And everything that is sent while a batch of
    inbound bytes is handled leaves in one write at its end, a Close always last.

    Args:
        context: the server's.
        transport: where bytes are written.
        inspector: the state of this connection.
        make_session: called with a function that asks for a flush in the next turn of the event loop.
    """

    __slots__ = (
        "_close_by",
        "_context",
        "_ending",
        "_finished",
        "_full_since",
        "_inspector",
        "_last_received",
        "_lost",
        "_on_message",
        "_ping_sent",
        "_queue",
        "_queued_bytes",
        "_receive",
        "_session",
        "_stalled",
        "_told",
        "_transport",
        "_worker",
        "wheel_slot",
    )

    def __init__(
        self,
        context: Context,
        transport: asyncio.Transport,
        inspector: Inspector,
        make_session: Callable[[Callable[[], None]], Session],
    ) -> None:
        self.wheel_slot: int | None = None
        self._context = context
        self._transport = transport
        self._inspector = inspector
        self._receive = inspector.receive_data
        self._on_message = context.handler.on_message
        self._session = make_session(self._flush_soon)
        self._last_received = context.wheel.now()
        self._close_by: float | None = None
        self._ending: Ending | None = None
        self._finished = False  # nothing may be written any more
        self._lost = False  # the transport is gone
        self._told = False  # on_close has been called
        self._ping_sent: float | None = None
        self._stalled = False  # the peer does not read what we write
        self._full_since: float | None = None  # the queue is full: reading has been paused since then
        self._worker: asyncio.Task[None] | None = None
        self._queue: deque[Message] | None = None  # made when the handler is asynchronous
        self._queued_bytes = 0

    # Called by the carrier

    def open(self) -> None:
        """The 101 is written."""
        self._session.flushing = True
        try:
            self._call(self._context.handler.on_open, self._session)
        finally:
            self._session.flushing = False
        self.flush()
        if self._close_by is None and not self._finished:  # else on_open has closed: the deadline of that is set
            self._context.wheel.add(self, self._next_deadline())

    def received(self, data: bytes | bytearray, size: int) -> None:
        """``size`` bytes came in. ``data`` is only valid during this call."""
        if self._finished:
            return  # read and thrown away, so that our Close arrives
        self._last_received = self._context.wheel.now()
        self._session.flushing = True
        try:
            self._handle(self._receive(data, size))
            while self._inspector.has_more and self._full_since is None:
                self._handle(self._receive(b""))
        finally:
            self._session.flushing = False  # whatever happened, the next send asks for a flush again
        self.flush()

    def eof_received(self) -> bool:
        """The peer sends nothing more: what is queued leaves, then the transport closes itself."""
        return False

    def lost(self) -> None:
        """The transport is gone: closed by us, by the peer, or broken."""
        self._inspector.receive_eof()
        self._context.wheel.remove(self)
        if self._ending is not None:
            self._ending.cancel()
        self._lost = True
        if self._is_abnormal():
            self._clear_queue()  # nobody waits for what would be done about it
        self._finish()
        self._leave()

    def _leave(self) -> None:
        """The transport is gone. As long as the handler works for it, it counts, and not longer than close_seconds.

        Otherwise a peer that connects, sends and goes away, again and again, would have as much work waiting here as it
        likes: max_connections bounds work and memory only if this is part of them.
        """
        wheel = self._context.wheel
        if self._worker is None:
            wheel.remove(self)
            self._context.discard(self)
        else:
            wheel.add(self, wheel.now() + self._context.policy.limits.close_seconds)

    def pause_writing(self) -> None:
        """The peer does not read what we send: we do not read what it sends, so that answers cannot pile up."""
        self._stalled = True
        self._pause_or_resume()

    def resume_writing(self) -> None:
        """What we sent has left."""
        self._stalled = False
        self._pause_or_resume()

    # Called by the server

    def shut_down(self, code: int) -> None:
        """Begin to close."""
        self._session.close(code)

    def abort(self) -> None:
        """Close at once."""
        if self._worker is not None:
            self._worker.cancel()
        if not self._lost:
            self._transport.abort()

    # Messages to the handler

    def _handle(self, events: list[Event]) -> None:
        session, on_message = self._session, self._on_message
        for event in events:
            if type(event) is Message:
                if self._worker is not None:
                    self._enqueue(event)
                    continue
                try:
                    result = on_message(session, event.data)
                except (Exception, asyncio.CancelledError) as error:  # noqa: BLE001  # user code raises what it likes
                    self._handler_failed(error)
                    return
                if result is not None:
                    self._await(result)
            elif isinstance(event, Pong) and event.data == PING_PAYLOAD:
                self._ping_sent = None
            # The Inspector has queued the answers to Ping and Close; on_close is called when the connection has ended.

    def _call(self, hook: Callable[..., Awaitable[None] | None], *arguments: Any) -> None:
        """Call a hook of the handler while none is running."""
        try:
            result = hook(*arguments)
        except (Exception, asyncio.CancelledError) as error:  # noqa: BLE001  # user code raises what it likes
            self._handler_failed(error)
        else:
            if result is not None:
                self._await(result)

    def _await(self, result: object) -> None:
        """A hook returned something: if it is awaitable, messages wait until it has been awaited."""
        if isinstance(result, Awaitable):
            if self._queue is None:
                self._queue = deque()
            self._worker = self._context.keep(self._context.loop.create_task(self._work(result)))

    def _enqueue(self, message: Message) -> None:
        assert self._queue is not None  # made with the worker
        self._queue.append(message)
        self._queued_bytes += message.inflated_bytes
        if self._full_since is None and self._is_full():
            self._full_since = self._context.wheel.now()
            self._pause_or_resume()

    def _clear_queue(self) -> None:
        if self._queue is not None:
            self._queue.clear()
            self._queued_bytes = 0

    def _is_full(self, divisor: int = 1) -> bool:
        """Whether the queue holds its limits, or a part of them: reading goes on when it is half empty again."""
        limits = self._context.policy.limits
        waiting = 0 if self._queue is None else len(self._queue) * divisor
        return waiting >= limits.max_queued_messages or self._queued_bytes * divisor >= limits.max_message_bytes

    async def _work(self, running: Awaitable[None]) -> None:
        """Await what the handler returned, then handle what has come in meanwhile, one message after the other."""
        try:
            await running
            while self._queue:
                message = self._queue.popleft()
                self._queued_bytes -= message.inflated_bytes
                if self._full_since is not None and not self._is_full(2):
                    self._read_again()
                result = self._on_message(self._session, message.data)
                if isinstance(result, Awaitable):
                    await result
        except asyncio.CancelledError as error:
            # By the server, which gives up waiting; or by the handler itself, which must not leave a queue behind.
            self._handler_failed(error)
            self._flush_soon()
            raise
        except Exception as error:  # noqa: BLE001  # user code raises what it likes
            self._handler_failed(error)
            self._flush_soon()
        finally:
            self._worker = None
            if self._finished and not self._context.loop.is_closed():
                self._tell_close()
                if self._lost:
                    self._leave()

    def _read_again(self) -> None:
        """The queue has room. The time in which we did not read is nobody's silence."""
        self._full_since = None
        now = self._context.wheel.now()
        self._last_received = now
        if self._ping_sent is not None:
            self._ping_sent = now
        self._pause_or_resume()
        if self._inspector.has_more:
            self._context.loop.call_soon(self._go_on)

    def _go_on(self) -> None:
        """Handle what the Inspector kept back while the queue was full."""
        if not self._finished and self._full_since is None:
            self.received(b"", 0)

    def _pause_or_resume(self) -> None:
        if self._finished:
            return
        if self._stalled or self._full_since is not None:
            self._transport.pause_reading()
        else:
            self._transport.resume_reading()

    def _handler_failed(self, error: BaseException) -> None:
        """RFC 6455 7.4.1, 1011: "it encountered an unexpected condition"."""
        self._clear_queue()
        if self._full_since is not None:
            self._read_again()  # the answer to our Close may be what has not been read
        state = self._inspector.state
        if isinstance(error, ClosedError | asyncio.CancelledError) and state is not State.OPEN:
            return  # it sent after the end, which it could not know of, or it was cut off
        _log.error("session %s: the handler failed: %s", self._session.id, describe_error(error))
        if state is State.OPEN:
            self._inspector.fail("handler-error", type(error).__name__)

    # Bytes to the peer

    def _flush_soon(self) -> None:
        self._session.flushing = True
        self._context.loop.call_soon(self.flush)

    def flush(self) -> None:
        """Write everything that was sent since the last flush, in one piece."""
        self._session.flushing = False
        if self._finished:
            return
        data = self._inspector.data_to_send()
        if data:
            self._transport.write(data)
        state = self._inspector.state
        if state is not State.OPEN:
            self._closing(state)

    def _closing(self, state: State) -> None:
        """Our Close has been written. RFC 6455 7.1.1: the server closes TCP first, after both Close frames."""
        if state is State.CLOSING:
            if self._close_by is None:
                self._close_by = self._context.wheel.now() + self._context.policy.limits.close_seconds
                self._context.wheel.add(self, self._close_by)
            return
        self._context.wheel.remove(self)
        self._full_since = None
        limits = self._context.policy.limits
        self._ending = Ending(
            self._context.wheel, self._transport, secure=self._context.secure, drain_seconds=limits.close_seconds
        )
        self._finish()

    def _finish(self) -> None:
        """Nothing is read or written any more; what the handler has not seen yet it still sees."""
        if not self._finished:
            self._finished = True
            if self._worker is None:
                self._tell_close()

    def _is_abnormal(self) -> bool:
        """Whether the transport ended without a Close of the peer and without a violation (RFC 6455 7.1.5)."""
        return self._inspector.violation is None and self._inspector.close_code == CloseCode.ABNORMAL_CLOSURE

    def _tell_close(self) -> None:
        """Tell the handler, once, behind the last message."""
        if self._told:
            return
        self._told = True
        violation = self._inspector.violation
        if violation is not None:
            code, reason = violation.close_code, violation.rule
        else:
            code = self._inspector.close_code or int(CloseCode.ABNORMAL_CLOSURE)
            reason = self._inspector.close_reason
        self._call(self._context.handler.on_close, self._session, code, reason)

    # Deadlines

    def _next_deadline(self) -> float:
        limits = self._context.policy.limits
        idle = self._last_received + limits.idle_seconds
        if self._full_since is not None:
            return self._full_since + limits.idle_seconds
        if self._stalled:
            return idle
        return min(idle, self._pong_deadline() or self._last_received + limits.ping_seconds)

    def _pong_deadline(self) -> float | None:
        """When our Ping must have been answered; None: there is none that is not."""
        if self._ping_sent is None:
            return None
        # A Pong cannot come in the middle of a frame (RFC 6455 5.4: control frames stand between frames), so as long
        # as an unfinished message goes on coming in, its bytes are the answer.
        since = max(self._ping_sent, self._last_received) if self._inspector.bytes_held else self._ping_sent
        return since + self._context.policy.limits.pong_seconds

    def on_deadline(self, now: float) -> float | None:
        """Send a Ping, give up, cut the handler off, or say when to come again."""
        limits = self._context.policy.limits
        if self._lost:
            if self._worker is None:
                return None
            self._worker.cancel()
            return now + limits.close_seconds  # it may go on all the same
        if self._close_by is not None:
            if now < self._close_by:
                return self._close_by
            self._transport.abort()  # RFC 6455 7.1.7 lets us close without the peer's Close
            return None
        if self._full_since is not None:
            if now >= self._full_since + limits.idle_seconds:
                self._give_up("overloaded")
                return None
            return self._next_deadline()
        if now >= self._last_received + limits.idle_seconds:
            self._give_up("idle-timeout")
            return None
        if not self._stalled:
            pong = self._pong_deadline()
            if pong is not None and now >= pong:
                self._give_up("pong-timeout")
                return None
            if pong is None and now >= self._last_received + limits.ping_seconds:
                self._ping_sent = now
                self._inspector.send_ping(PING_PAYLOAD)
                self.flush()
        return self._next_deadline()

    def _give_up(self, rule: str) -> None:
        self._inspector.fail(rule)
        self.flush()
