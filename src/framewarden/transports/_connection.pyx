# cython: language_level=3, boundscheck=False, wraparound=False, initializedcheck=False, cdivision=True
# cython: auto_pickle=False
"""One upgraded connection: bytes in, messages to the handler, what it sends out again, deadlines, the end.

It is the protocol of an asyncio transport, and knows nothing of the carrier that may stand between them.
"""

from cpython.bytearray cimport PyByteArray_AS_STRING, PyByteArray_GET_SIZE
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_GET_SIZE
from libc.stdint cimport uint8_t, uint64_t

from framewarden.codec._messages cimport MessageReader
from framewarden.codec._payload cimport growing_clear
from framewarden.codec._writer cimport MessageWriter, Prepared
from framewarden.engine._events cimport Message, Pong
from framewarden.engine._inspector cimport Inspector
from framewarden.session._session cimport Link, Session

import asyncio
import logging
import random
from collections.abc import Awaitable

from framewarden.admission import describe_error
from framewarden.errors import ClosedError
from framewarden.rfc6455 import CloseCode, State
from framewarden.session.session import Delivery
from framewarden.transports.ending import Ending
from framewarden.transports.outbox import Outbox
from framewarden.transports.peers import peer_of
from framewarden.transports.working import Work

cdef extern from "<sys/socket.h>" nogil:
    ssize_t c_send "send" (int, const void *, size_t, int)
    int MSG_DONTWAIT
    int MSG_NOSIGNAL

cdef object OPEN = State.OPEN
cdef object CLOSING = State.CLOSING
cdef object FAILED = State.FAILED
cdef object DROPPED = Delivery.DROPPED

cdef double NEVER = -1
cdef Py_ssize_t TLS_HIGH_WATER = 16 * 1024  # bytes in a TLS transport from which on the peer counts as not reading
# When memory is short, a connection waits until others have given theirs back: so many turns at most, and not at all if
# it reads and holds less than this.
cdef int MOST_POSTPONED = 100
cdef size_t SMALL_READ = 4096
cdef Py_ssize_t LITTLE = 512 * 1024
cdef Py_ssize_t STALLED_BYTES = 4096    # what a transport and an Outbox take when they hold anything
cdef Py_ssize_t EVENT_BYTES = 256   # what an event that waits costs beside its payload
cdef double LIFETIME_SPREAD = 0.1   # of lifetime_seconds, by which a connection may end earlier

PING_PAYLOAD = b"framewarden"
"""What our own Pings carry, so that their Pongs can be told from unsolicited ones (RFC 6455 5.5.3)."""

_log = logging.getLogger("framewarden.session")


cdef class Connection(Link):
    """Moves bytes between a transport, an Inspector and a handler.

    Three rules keep it in order. The handler never runs twice at a time: while something that it returned is awaited,
    messages wait in a queue, and reading pauses when the queue is full. Everything that is sent while a batch of
    inbound bytes is handled leaves in one write at its end, a Close always last. And after a read that filled the
    buffer, or that was not handled completely, the other connections have their turn.

    Args:
        context: the server's.
        transport: where bytes are written.
        inspector: the state of this connection.
        descriptor: of the socket, where what is written may go past the transport; -1: with TLS.
        session: keyword arguments of the Session.
    """

    def __init__(self, context, transport, Inspector inspector not None, int descriptor, **session):
        self.context = context
        self.now = context.now
        self.budget = context.budget
        self.transport = transport
        self.inspector = inspector
        self.limits = inspector.policy.limits
        self.buffer = context.buffer
        self.session = Session(self, inspector, **session)
        self.last_received = self.now()
        self.expires = self.last_received + self.limits.lifetime_seconds * (1 - LIFETIME_SPREAD * random.random())
        self.close_by = self.ping_sent = self.full_since = NEVER
        self.frame_since = self.message_since = self.stall_since = NEVER
        self.reading = True
        self.flushes = type(self).flush is not Connection.flush
        self.descriptor = descriptor
        if descriptor < 0:
            transport.set_write_buffer_limits(TLS_HIGH_WATER)

    # ---- The protocol

    def connection_made(self, transport):
        """Never called: the transport was there before."""

    def get_buffer(self, sizehint):
        """The buffer that all connections of the server share."""
        return self.buffer

    def buffer_updated(self, Py_ssize_t size):
        """So many bytes have come into the buffer."""
        self.called = True
        try:
            self.take(<uint8_t *>PyByteArray_AS_STRING(self.buffer), <size_t>size)
        finally:
            self.called = False

    def eof_received(self):
        """The peer sends nothing more: what is queued leaves, then the transport closes itself; not before the handler
        has answered what came before the peer's Close, where TCP can be closed on one side."""
        return bool(self.held) and self.descriptor >= 0

    def connection_lost(self, error):
        """The transport is gone: closed by us, by the peer, or broken."""
        if self.gone:
            return
        self.gone = True
        if self.peer is None:
            self.peer = peer_of(self.transport, self.inspector.address)
        self.inspector.receive_eof()
        if self.ending is not None:
            self.ending.cancel()
        if self.outbox is not None:
            self.outbox.clear()
        if self.work is not None and self.inspector.violation is None and self.inspector.close_code == 1006:
            self.work.clear()   # RFC 6455 7.1.5: nobody waits for what would be done about it
        self.finish()
        self.wake_waiters()
        self.leave()

    def pause_writing(self):
        """The peer does not read what we send: we do not read what it sends, so that answers cannot pile up."""
        self.stalled = True
        self.block()

    def resume_writing(self):
        """What was written has left."""
        self.stalled = False
        self.stall_since = NEVER
        self.last_received = self.now()     # it has answered, if only by reading
        if self.ping_sent >= 0:
            self.ping_sent = self.last_received     # and its Pong is read from now on
        self.blocked = self.streaming
        if self.has_more():
            self.yield_turn()
        self.direct = self.transport.get_write_buffer_size() == 0
        self.flush()
        self.set_reading()
        self.wake_waiters()     # a stream waits for this, too, while everything else is blocked behind it

    # ---- What is known

    @property
    def is_gone(self):
        """Whether the transport is; the handler may still work for it."""
        return self.gone

    @property
    def is_behind(self):
        """Whether reading is paused because the handler is behind."""
        return self.full_since >= 0

    @property
    def queued(self):
        """Messages that wait for the handler."""
        return 0 if self.work is None else len(self.work)

    # ---- Called by the server

    def open(self):
        """The 101 is written."""
        self.flushing = True
        try:
            self.call(self.context.handler.on_open, (self.session,))
        finally:
            self.flushing = False
        self.flush()
        if self.close_by < 0 and not self.finished:     # else on_open has closed: the deadline of that is set
            self.context.wheel.add(self, self.next_deadline(self.last_received))

    def shut_down(self, int code):
        """Begin to close."""
        if self.session is not None:
            self.session.close(code)

    def abort(self):
        """Close at once."""
        if self.work is not None:
            self.work.cancel()
        if not self.gone:
            self.transport.abort()

    def end(self):
        """Close without a closing handshake, or without waiting for its end: what was sent leaves first."""
        if not self.finished:
            self.flush()
        if not self.finished:
            self.closing(None)

    def shed(self):
        """Too much memory is held, and this connection holds more than others."""
        if self.inspector.violation is None:
            self.inspector.fail("memory-budget")
        self.flooded = True
        self.held = False
        self.take_waiting()
        if self.work is not None:
            self.work.clear()
            self.work.cancel()
        if self.outbox is not None:
            self.outbox.clear()
        # What the transport holds goes with the next flush, not here, where a handler may be sending.
        self.charge()
        if self.finished:
            self.context.loop.call_soon(self.abort)     # its last bytes are what it holds
        elif not self.flushing:
            self.context.end_soon(self)
            self.flushing = True    # as in wake()

    # ---- Bytes from the peer

    cdef int take(self, const uint8_t *data, size_t size) except -1:
        if self.finished:
            return 0    # read and thrown away, so that our Close arrives
        if size:
            self.last_received = self.now()
            if self.budget.crowded and self.may_wait(size):
                return self.keep_bytes(data, size)
        if self.waiting is not None:
            if self.stalled or size:
                return self.keep_bytes(data, size)
        self.flushing = True
        try:
            self.handle(self.take_waiting() if self.waiting is not None else self.inspector.receive(data, size))
        finally:
            self.flushing = False   # whatever happened, the next send asks for a flush again
        if (self.working or self.waiting is not None) and self.inspector.ended and not self.inspector.close_sent:
            self.hold_close()
        elif self.held:
            self.held = False
        self.note_unfinished()
        if (self.has_more() and self.full_since < 0 and not self.stalled) or (
            size == <size_t>PyByteArray_GET_SIZE(self.buffer) and self.descriptor >= 0
        ):
            self.yield_turn()
        if self.flushes:
            self.flush()
        else:
            self.flush_now()
        return 0

    cdef bint has_more(self) noexcept:
        """Events, or bytes, that came in and have not been handled."""
        return self.waiting is not None or self.inspector.rest.used != 0

    cdef int keep_bytes(self, const uint8_t *data, size_t size) except -1:
        """Look at them later: behind the events that wait for the peer to read, or when there is memory again."""
        if size and not self.inspector.ended:
            self.inspector.append_rest(data, size)
        if not self.stalled:
            self.yield_turn()
        return 0

    cdef int keep_events(self, list events) except -1:
        """The peer does not read our answers: what it sent besides is answered when it does."""
        if not events:
            return 0
        self.waiting = events
        self.waiting_bytes = EVENT_BYTES * len(events)
        for event in events:
            if type(event) is Message:
                self.waiting_bytes += <Py_ssize_t>(<Message>event).inflated_bytes
        return 0

    cdef list take_waiting(self):
        cdef list events = self.waiting
        self.waiting = None
        self.waiting_bytes = 0
        return events

    cdef bint may_wait(self, size_t size) except -1:
        """Memory is short: whether this read waits for others to give theirs back. Small ones of a connection that
        holds little go on."""
        if self.inspector.ended:
            return False
        return size >= SMALL_READ or self.charged >= LITTLE or self.inspector.rest.used != 0

    cdef int hold_close(self) except -1:
        """The stream has ended, by the peer's Close or by what is wrong with it, while the handler works on what came
        before. Its answers go before our Close: RFC 6455 5.5.1 lets an endpoint finish what it is sending, 7.1.7
        demands no haste. Not longer than close_seconds."""
        if not self.held and self.close_by < 0 and not self.flooded:
            self.held = True
            self.close_by = self.now() + self.limits.close_seconds
            self.context.wheel.add(self, self.close_by)
        return 0

    cdef int handle(self, list events) except -1:
        cdef Session session = self.session
        cdef Py_ssize_t index
        cdef bint failed = False
        on_message = self.context.on_message
        for index in range(len(events)):
            event = events[index]
            if type(event) is Message:
                if self.working:
                    self.work.put(event)
                    continue
                try:
                    result = on_message(session, (<Message>event).data)
                except (Exception, asyncio.CancelledError) as error:    # user code raises what it likes
                    self.handler_failed(error)
                    failed = True   # no return in here: Cython crashes at one if there was no memory for a traceback
                if failed:
                    return 0
                if result is not None:
                    self.give_time(result, (<Message>event).inflated_bytes)
                if self.flooded:
                    return 0
                if self.stalled and not self.working:
                    return self.keep_events(events[index + 1 :])
            elif type(event) is Pong and self.ping_sent >= 0 and (<Pong>event).data == PING_PAYLOAD:
                session.trip = max(0.0, self.last_received - self.ping_sent)
                self.ping_sent = NEVER
            elif self.context.on_control is not None:
                self.context.on_control(session, event)
            # The Inspector has queued the answers to Ping and Close; on_close is called when the connection has ended.
        return 0

    cdef int note_unfinished(self) except -1:
        """A frame or a message has begun and not ended: its time runs."""
        cdef MessageReader reader = self.inspector.reader
        cdef bint frame = reader.head_size != 0 or reader.in_payload
        cdef bint message = reader.message_opcode != 0
        cdef double soon = NEVER
        if not frame:
            self.frame_since = NEVER
        elif self.frame_since < 0 or self.frame_at != reader.frame_offset:
            self.frame_since = self.last_received
            self.frame_at = reader.frame_offset
            soon = self.limits.frame_seconds
        if not message:
            self.message_since = NEVER
        elif self.message_since < 0 or self.message_at != reader.message_offset:
            self.message_since = self.last_received
            self.message_at = reader.message_offset
            soon = self.limits.message_seconds if soon < 0 else min(soon, <double>self.limits.message_seconds)
        if soon >= 0 and self.close_by < 0:
            self.context.wheel.hasten(self, self.last_received + soon)
        return 0

    cdef int yield_turn(self) except -1:
        """Go on in the next turn of the loop, when the others have had theirs."""
        if not self.yielding:
            self.yielding = True
            self.set_reading()
            self.context.loop.call_soon(self.go_on)
        return 0

    def go_on(self):
        """Our turn again."""
        self.yielding = False
        if self.finished:
            return
        if self.has_more() and self.full_since < 0 and not self.stalled:
            if self.budget.crowded and self.postponed < MOST_POSTPONED:
                self.postponed += 1
                self.yield_turn()
                return
            self.postponed = 0
            self.take(<uint8_t *>PyByteArray_AS_STRING(self.buffer), 0)
        self.set_reading()

    cdef int set_reading(self) except -1:
        """Read, unless the handler or the peer is behind."""
        cdef bint wanted = not (self.stalled or self.yielding or self.full_since >= 0)
        if wanted == self.reading or self.finished:
            return 0
        if wanted:
            self.transport.resume_reading()
        elif self.called and self.descriptor < 0:
            # aiofastnet 1.2 forgets what it has decrypted when it is paused while it hands that out.
            self.context.loop.call_soon(self.read_or_not)
            return 0
        else:
            self.transport.pause_reading()
        self.reading = wanted
        return 0

    def read_or_not(self):
        """Outside of a call of the transport."""
        self.set_reading()

    # ---- Messages to the handler

    cdef int call(self, object hook, tuple arguments) except -1:
        """Call a hook of the handler while none is running."""
        try:
            result = hook(*arguments)
        except (Exception, asyncio.CancelledError) as error:    # user code raises what it likes
            self.handler_failed(error)
        else:
            if result is not None:
                self.give_time(result, 0)
        return 0

    cdef int give_time(self, object awaitable, object size) except -1:
        """A hook returned something: if it is awaitable, messages wait until it has been awaited."""
        if isinstance(awaitable, Awaitable):
            if self.work is None:
                self.work = Work(self.context, self.limits, self)
            self.working = True
            self.work.start(awaitable, size)
        return 0

    def call_handler(self, message):
        """For Work: give the handler its next message."""
        return self.context.on_message(self.session, message)

    def queue_changed(self):
        """For Work: the queue is full, or has room again. The time in which we did not read is nobody's silence."""
        cdef double now = self.now()
        if self.work.full:
            self.full_since = now
        else:
            self.full_since = NEVER
            self.last_received = now
            if self.ping_sent >= 0:
                self.ping_sent = now
            if self.frame_since >= 0:
                self.frame_since = now
            if self.message_since >= 0:
                self.message_since = now
            if self.has_more():
                self.yield_turn()
        self.set_reading()

    def wait_writable(self):
        """For Work: a future that is done when the peer reads again, None if it does."""
        return None if self.finished else self.wait_drained(False)

    def worked(self):
        """For Work: the handler has done everything."""
        self.working = False
        self.charge()
        if self.held and self.waiting is None:
            self.release_close()
        if self.finished:
            self.tell_close()
            if self.gone and not self.working:
                self.leave()

    cdef int release_close(self) except -1:
        """Nothing is said before our Close any more."""
        self.held = False
        self.flush()
        return 0

    def handler_failed(self, error):
        """RFC 6455 7.4.1, 1011: "it encountered an unexpected condition"."""
        if self.work is not None:
            self.work.clear()   # the answer to our Close may be what has not been read
        state = self.inspector.state
        if not isinstance(error, ClosedError | asyncio.CancelledError) or state is OPEN:
            # else it sent after the end, which it could not know of, or it was cut off
            _log.error("session %s: the handler failed: %s", self.inspector.session_id, describe_error(error))
            if state is OPEN:
                self.inspector.fail("handler-error", type(error).__name__)
        if not self.flushing and not self.finished:
            self.wake()

    # ---- Bytes to the peer

    cpdef wake(self):
        self.context.flush_later(self)
        self.flushing = True    # not before: there may be no memory to ask for it

    cpdef relieve(self):
        """64 KiB wait: the socket gets them now. A Close that was queued stays the last thing to go."""
        if not self.finished:
            self.write(self.inspector.take_pieces())
            if self.stalled:
                self.charge()

    def flush(self):
        """Write everything that was sent since the last flush, in one piece."""
        self.flush_now()

    cdef int flush_now(self) except -1:
        self.flushing = False
        if self.finished:
            return 0
        state = self.inspector.state
        self.move()
        if self.held:
            self.write(self.inspector.take_pieces())
        elif not (self.stalled and self.inspector.close_frame is not None and self.outbox is not None and self.outbox):
            # else the messages that wait go before the Close
            self.write_out()
            state = self.inspector.state
        if state is not OPEN and not self.held:
            self.closing(state)
        self.wake_waiters()
        self.charge()
        return 0

    cdef int write_out(self) except -1:
        """Everything that waits in the Inspector. What is usual, small answers, goes to the socket from where it was
        written, without an object."""
        cdef MessageWriter writer = self.inspector.writer
        cdef ssize_t sent
        self.inspector.settle()
        if writer.pieces is None and self.inspector.close_frame is None:
            if writer.out.used == 0:
                return 0
            if self.may_write():
                sent = c_send(self.descriptor, writer.out.data, writer.out.used, MSG_DONTWAIT | MSG_NOSIGNAL)
                if sent == <ssize_t>writer.out.used:
                    growing_clear(&writer.out)
                    return 0
                self.write_rest(self.inspector.take_buffers(), sent)
                return 0
        self.write(self.inspector.take_buffers())
        return 0

    cdef int write(self, list buffers) except -1:
        """Write to the socket, buffer after buffer, and what it does not take to the transport."""
        cdef bytes data
        cdef ssize_t sent = 0
        cdef Py_ssize_t index = 0, size
        if self.may_write():
            for index in range(len(buffers)):
                data = <bytes>buffers[index]
                size = PyBytes_GET_SIZE(data)
                sent = c_send(self.descriptor, PyBytes_AS_STRING(data), <size_t>size, MSG_DONTWAIT | MSG_NOSIGNAL)
                if sent != size:
                    break
            else:
                return 0
        if buffers:
            self.write_rest(buffers[index:], sent)
        return 0

    cdef bint may_write(self) except -1:
        """Whether the socket may be written to: there is one, it is open, and nothing waits before these bytes.

        The transport itself would write at the end of the turn, or when the socket can be written to: what is in its
        buffer after this is what the peer does not read.
        """
        if self.descriptor < 0 or not (self.called or not self.transport.is_closing()):
            return False
        if not self.direct:
            self.direct = not self.transport.get_write_buffer_size()
        return self.direct

    cdef int write_rest(self, list buffers, ssize_t sent) except -1:
        """Give the transport what the socket did not take. It tries again, and finds the error, if it was one."""
        cdef bytes data
        if sent > 0:
            buffers[0] = (<bytes>buffers[0])[sent:]
        if not self.transport.get_write_buffer_size():
            self.empty_at = self.given
        for data in buffers:
            self.given += <uint64_t>len(data)
        if self.direct and self.descriptor >= 0:
            self.direct = False
            self.transport.set_write_buffer_limits(0)   # from now on whatever is in it blocks
        if len(buffers) == 1:
            self.transport.write(buffers[0])
        else:
            self.transport.writelines(buffers)
        return 0

    cdef int block(self) except -1:
        """Messages wait from now on."""
        self.blocked = True
        self.stall_since = self.now()
        self.taken = self.given - <uint64_t>self.transport.get_write_buffer_size()
        if self.finished or self.close_by >= 0:
            return 0
        self.set_reading()
        self.context.wheel.hasten(self, self.stall_since + self.limits.max_write_stall_seconds / 4)
        return 0

    cpdef put(self, Prepared message, object key):
        """A message that has to wait: it is kept, or the policy says what is not."""
        if self.outbox is None:
            self.outbox = Outbox(self.inspector.policy)
        delivery = self.outbox.put(message, key, self.unsent())
        if delivery is None:
            # Not here: the handler that sends has not expected that on_close is called.
            self.inspector.fail("slow-consumer")
            self.outbox.clear()
            if not self.flushing:
                self.wake()
            delivery = DROPPED
        self.session.dropped = self.outbox.dropped
        self.charge()
        return delivery

    cdef size_t unsent(self) except? 0:
        return <size_t>self.transport.get_write_buffer_size() + self.inspector.writer.waiting()

    cdef int move(self) except -1:
        """Send what has waited, as long as the socket takes it. Nothing goes behind a Close, nor before one that says
        that something is wrong."""
        if self.outbox is None:
            return 0
        if self.inspector.close_sent or self.inspector.state is FAILED:
            self.outbox.clear()
            self.session.dropped = self.outbox.dropped
        while self.outbox and not self.blocked:
            if self.inspector.put_prepared(<Prepared>self.outbox.pop()):
                self.relieve()
        return 0

    cpdef set_streaming(self, bint streaming):
        self.streaming = streaming
        self.blocked = streaming or self.stalled
        if not self.blocked and not self.finished:
            self.move()     # now: it goes before what is sent next
            if not self.flushing:
                self.wake()
            self.wake_waiters()

    cpdef wait_drained(self, bint all):
        if self.finished:
            raise ClosedError("the connection has ended")
        if not self.stalled and not (all and (self.streaming or self.outbox)):
            return None
        waiter = self.context.loop.create_future()
        if self.waiters is None:
            self.waiters = []
        self.waiters.append((all, waiter))
        return waiter

    cdef int wake_waiters(self) except -1:
        cdef list waiters = self.waiters
        if waiters is None:
            return 0
        self.waiters = None
        for all, waiter in waiters:
            if waiter.done():
                continue
            if self.finished or self.gone:
                waiter.set_exception(ClosedError("the connection ended before everything had left"))
                waiter.exception()      # who waits no longer does not want to hear of it
            elif not self.stalled and not (all and (self.streaming or self.outbox)):
                waiter.set_result(None)
            else:
                if self.waiters is None:
                    self.waiters = []
                self.waiters.append((all, waiter))
        return 0

    cdef int charge(self) except -1:
        """Tell the budget what is held for this connection, if that has changed."""
        cdef Py_ssize_t held = 0
        if not self.gone:
            held = <Py_ssize_t>self.inspector.held()
            if self.stalled:    # the transport keeps a buffer until its last byte has left
                held += <Py_ssize_t>(self.given - self.empty_at) + STALLED_BYTES
        held += self.waiting_bytes
        if self.work is not None:
            held += <Py_ssize_t>self.work.held
        if self.outbox is not None:
            held += <Py_ssize_t>self.outbox.bytes
        if held != self.charged:
            self.budget.charge(self, held)
        return 0

    cpdef find_peer(self):
        if self.peer is None:
            self.peer = peer_of(self.transport, self.inspector.address)
        return self.peer

    # ---- The end

    cdef int closing(self, object state) except -1:
        """Our Close has been written. RFC 6455 7.1.1: the server closes TCP first, after both Close frames."""
        if state is CLOSING:
            if self.close_by < 0:
                self.close_by = self.now() + self.limits.close_seconds
                self.context.wheel.add(self, self.close_by)
            return 0
        self.context.wheel.remove(self)
        if self.flooded and self.transport.get_write_buffer_size():
            self.transport.abort()      # its Close would wait behind what it does not read
        else:
            self.ending = Ending(
                self.context.wheel,
                self.transport,
                secure=self.context.secure,
                drain_seconds=self.limits.close_seconds,
            )
        self.finish()
        return 0

    cdef int finish(self) except -1:
        """Nothing is read or written any more; what the handler has not seen yet it still sees."""
        if not self.finished:
            self.finished = True
            self.take_waiting()
            # Nothing more is sent, also where no Close has left: it would be kept, and nobody would write it.
            self.inspector.receive_eof()
            self.inspector.close_sent = True
            self.wake_waiters()
            if not self.working:
                self.tell_close()
        return 0

    cdef int tell_close(self) except -1:
        """Tell the handler, once, behind the last message."""
        if self.told:
            return 0
        self.told = True
        violation = self.inspector.violation
        if violation is not None:
            code, reason = violation.close_code, violation.rule
        else:
            code = self.inspector.close_code or int(CloseCode.ABNORMAL_CLOSURE)
            reason = self.inspector.close_reason
        self.call(self.context.handler.on_close, (self.session, code, reason))
        return 0

    cdef int leave(self) except -1:
        """The transport is gone. As long as the handler works for it, it counts, and not longer than close_seconds.

        Otherwise a peer that connects, sends and goes away, again and again, would have as much work waiting here as it
        likes: max_connections bounds work and memory only if this is part of them.
        """
        self.charge()
        if self.working:
            self.context.wheel.add(self, self.now() + self.limits.close_seconds)
            return 0
        self.context.wheel.remove(self)
        self.context.discard(self)
        # The session may be kept by the application: it needs neither the transport nor a garbage collection.
        self.session = None
        self.transport = None
        self.work = None
        return 0

    cdef int give_up(self, str rule) except -1:
        self.inspector.fail(rule)
        self.flush()
        return 0

    # ---- Deadlines

    cdef double next_deadline(self, double now) except? -1:
        limits = self.limits
        cdef double soonest = self.expires
        if self.full_since >= 0:
            return min(soonest, self.full_since + <double>limits.idle_seconds)
        soonest = min(soonest, self.last_received + <double>limits.idle_seconds)
        if self.stalled:    # it is not read: frames and messages cannot end
            return min(soonest, now + <double>limits.max_write_stall_seconds / 4)
        if self.frame_since >= 0:
            soonest = min(soonest, self.frame_since + <double>limits.frame_seconds)
        if self.message_since >= 0:
            soonest = min(soonest, self.message_since + <double>limits.message_seconds)
        if self.ping_sent >= 0:
            return min(soonest, self.pong_deadline())
        return min(soonest, self.last_received + <double>limits.ping_seconds)

    cdef double pong_deadline(self) except? -1:
        """When our Ping must have been answered. A Pong cannot come in the middle of a frame (RFC 6455 5.4: control
        frames stand between frames), so as long as one goes on coming in, its bytes are the answer."""
        cdef double since = self.ping_sent
        if self.frame_since >= 0:
            since = max(since, self.last_received)
        return since + <double>self.limits.pong_seconds

    cdef str overdue(self, double now):
        """The rule whose time is over; None: none is."""
        limits = self.limits
        if now >= self.expires:
            return "lifetime"
        if self.full_since >= 0:
            return "overloaded" if now >= self.full_since + <double>limits.idle_seconds else None
        if self.frame_since >= 0 and now >= self.frame_since + <double>limits.frame_seconds and self.reading:
            return "frame-timeout"
        if self.message_since >= 0 and now >= self.message_since + <double>limits.message_seconds and self.reading:
            return "message-timeout"
        if now >= self.last_received + <double>limits.idle_seconds:
            return "idle-timeout"
        if self.stalled:
            return self.behind(now)
        if self.ping_sent >= 0 and now >= self.pong_deadline():
            return "pong-timeout"
        return None

    cdef str behind(self, double now):
        """Whether the peer has taken nothing for max_write_stall_seconds. A policy that drops messages drops what
        waits then, and lets the other deadlines decide."""
        cdef uint64_t taken = self.given - <uint64_t>self.transport.get_write_buffer_size()
        if taken != self.taken:
            self.taken = taken
            self.stall_since = self.last_received = now
        elif now >= self.stall_since + <double>self.limits.max_write_stall_seconds:
            if self.inspector.policy.slow_consumer == "close":
                return "write-stall"
            if self.outbox is not None:
                self.outbox.clear()
                self.session.dropped = self.outbox.dropped
        return None

    def on_deadline(self, double now):
        """Send a Ping, give up, cut the handler off, or say when to come again."""
        limits = self.limits
        if self.gone:
            if self.work is None or not self.working:
                return None
            self.work.cancel()
            return now + limits.close_seconds   # it may go on all the same
        if self.close_by >= 0:
            if now < self.close_by:
                return self.close_by
            if self.held:
                self.release_close()
                if self.finished:
                    return None
                self.close_by = now + limits.close_seconds  # it waits behind what the peer has to read first
                return self.close_by
            self.transport.abort()      # RFC 6455 7.1.7 lets us close without the peer's Close
            return None
        rule = self.overdue(now)
        if rule is not None:
            self.give_up(rule)
            return None
        if (
            not self.stalled and self.full_since < 0 and self.ping_sent < 0
            and now >= self.last_received + <double>limits.ping_seconds
        ):
            self.ping_sent = now
            self.inspector.send_ping(PING_PAYLOAD)
            self.flush()
            if self.finished:
                return None
        return self.next_deadline(now)
