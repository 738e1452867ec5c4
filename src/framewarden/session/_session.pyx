# cython: language_level=3, boundscheck=False, wraparound=False, initializedcheck=False, cdivision=True
# cython: auto_pickle=False
"""A connected peer, as the application sees it, and a message to many of them."""

cimport cython

from framewarden.codec._writer cimport Prepared
from framewarden.engine._inspector cimport Inspector

import asyncio

from framewarden.codec._writer import prepare
from framewarden.errors import ArgumentTypeError, ClosedError
from framewarden.rfc6455 import State
from framewarden.session.session import Broadcast, Delivery, encode_object, one_by_one, sends_messagepack

cdef object OPEN = State.OPEN
cdef object SENT = Delivery.SENT
cdef object BUFFERED = Delivery.BUFFERED
cdef object DROPPED = Delivery.DROPPED
cdef Py_ssize_t AT_ONCE = 4096      # bytes of a prepared message


cdef class Link:
    """What carries a session: a transport's connection. A subclass overrides all of it."""

    cpdef wake(self):
        """Something was sent outside of a batch: ask for a flush soon, and set ``flushing``."""
        raise NotImplementedError

    cpdef relieve(self):
        """64 KiB or more wait in the Inspector: take them now."""
        raise NotImplementedError

    cpdef put(self, Prepared message, object key):
        """Take a message while ``blocked``. Returns the Delivery."""
        raise NotImplementedError

    cpdef wait_drained(self, bint all):
        """A future that is done when the transport takes bytes again, and, if ``all``, no message waits any more; or
        None: it is so already. It raises ClosedError when the connection ends first."""
        raise NotImplementedError

    cpdef set_streaming(self, bint streaming):
        """A message is sent in fragments: messages wait until that is over."""
        raise NotImplementedError

    cpdef find_peer(self):
        """The Peer."""
        raise NotImplementedError


@cython.final
cdef class Session:
    """One connected peer. Made by a transport; it belongs to the event loop that handles it and is not thread-safe.

    Attributes:
        id: unguessable name of this connection; it appears in security events.
        identity: what ``Handler.authenticate`` returned; None: the handler does not authenticate.
        subprotocol: the one agreed upon; None: none.
        path: the request's path, not decoded; routes of a schema are looked up by it.
        query: the request's query, not decoded.
        context: yours; None until you set it.
        dropped: messages that were not sent because the peer does not read as fast as we send.
    """

    def __init__(self, Link link not None, Inspector inspector not None, *, str id, identity, subprotocol, str path,
                 str query):
        self.link = link
        self.inspector = inspector
        self.id = id
        self.identity = identity
        self.subprotocol = subprotocol
        self.path = path
        self.query = query
        self.trip = -1
        self.messagepack = sends_messagepack(inspector.policy, path, subprotocol)

    # ---- What is known

    @property
    def state(self):
        """Where the connection stands: the Inspector's state, which is the only truth about it."""
        return self.inspector.state

    @property
    def peer(self):
        """The addresses of both ends, and TLS: a :class:`Peer`."""
        return self.link.find_peer()

    @property
    def round_trip(self):
        """Seconds from our last Ping to its Pong; None: there was none yet. We ping a peer that is silent."""
        return None if self.trip < 0 else self.trip

    def measured(self, double seconds):
        """For the transport: a Ping of ours was answered after this time."""
        self.trip = seconds

    # ---- Sending

    def send(self, data, key=None):
        """Send one message; it leaves with everything else that is sent in this turn of the event loop.

        A ``str`` leaves as Text, ``bytes`` and other buffers as Binary. Any other object but None is encoded by
        msgspec: as JSON in a Text message, or as MessagePack in a Binary message where the schema of this connection
        has a type for Binary and none for Text.

        Args:
            data: the message.
            key: with ``slow_consumer = "latest"``, what it is about, anything hashable: of messages that have to wait
                only the last one with the same key is kept.

        Returns:
            A :class:`Delivery`: SENT, BUFFERED or DROPPED.

        Raises:
            ArgumentTypeError: ``data`` is None, or msgspec cannot encode it.
            ArgumentError: a text that is not encodable as UTF-8.
            ClosedError: our Close has left already.
        """
        cdef bint full
        kind = type(data)
        if self.link.blocked:
            return self.deliver(self.prepared(data), key)
        if kind is str:
            full = self.inspector.put_text(<str>data)
        elif kind is bytes:
            full = self.inspector.put_bytes(data)
        else:
            data = self.encoded(data)
            if isinstance(data, str):
                full = self.inspector.put_text(<str>data)
            else:
                full = self.inspector.put_bytes(data)
        self.written(full)
        return SENT

    def send_prepared(self, Prepared message not None, key=None):
        """Send a message that was encoded by ``framewarden.prepare``. Arguments, result and errors as ``send``."""
        return self.deliver(message, key)

    cdef object deliver(self, Prepared message, object key):
        if self.link.blocked:
            self.inspector.check_open()
            delivery = self.link.put(message, key)
            return delivery
        # At once what is large: a broadcast would fill the memory with copies of it before the first one leaves.
        self.written(self.inspector.put_prepared(message) or len(message.payload) >= AT_ONCE)
        return SENT

    cdef int written(self, bint full) except -1:
        if full:
            self.link.relieve()
        elif not self.link.flushing:
            self.link.wake()
        return 0

    cdef object encoded(self, object data):
        """What the Inspector can be given."""
        if isinstance(data, bytes | bytearray | memoryview):
            return data
        if isinstance(data, str):
            return str(data)
        return encode_object(data, self.messagepack)

    cdef Prepared prepared(self, object data):
        return prepare(self.encoded(data))

    def count_dropped(self, unsigned long long messages=1):
        """For the transport: messages were dropped."""
        self.dropped += messages

    async def drain(self):
        """Wait until nothing waits for the peer any more.

        Raises:
            ClosedError: the connection ended first.
        """
        waiter = self.link.wait_drained(True)
        if waiter is not None:
            await waiter

    async def stream(self, chunks):
        """Send one message in fragments as it is made, without knowing its end (RFC 6455 5.4). It is not compressed.

        Waits for the peer between two fragments. What others send meanwhile goes behind it, and counts as what waits.

        Args:
            chunks: an iterable or asynchronous iterable of str (a Text message), or of bytes (a Binary one).

        Raises:
            ArgumentTypeError: a chunk is neither, or not of the kind of those before it. As after every exception
                that ``chunks`` raises, the connection is closed with 1011 [handler-error] if the message had begun,
                since the peer waits for the rest.
            ClosedError: the connection has ended.
        """
        if self.streaming is None:
            self.streaming = asyncio.Lock()
        async with self.streaming:
            await self.drain()
            self.inspector.check_open()
            self.link.set_streaming(True)
            try:
                await send_fragments(self, chunks)
            except BaseException:
                if self.inspector.writer.fragmented and not self.inspector.close_sent:
                    self.inspector.fail("handler-error", "stream() ended early")
                    self.link.wake()
                raise
            finally:
                self.link.set_streaming(False)

    # ---- Control

    def ping(self, data=b""):
        """Send a Ping with up to 125 bytes (RFC 6455 5.5.2).

        Raises:
            ArgumentError: more than 125 bytes.
            ClosedError: our Close has left already.
        """
        self.inspector.send_ping(data)
        self.written(False)

    def close(self, code=1000, reason=""):
        """Begin the closing handshake; nothing happens if it has begun already (RFC 6455 7.1.2). Messages that wait
        for the peer go before the Close, unless a message is just sent in fragments: the Close ends that.

        Args:
            code: 1000 to 1003, 1007 to 1014 or 3000 to 4999.
            reason: at most 123 bytes of UTF-8; the peer sees it.

        Raises:
            ArgumentError: a code that must not be sent (RFC 6455 7.4), or a reason that is too long.
        """
        if self.inspector.state is OPEN:
            self.inspector.send_close(code, reason)
            self.written(False)


async def send_fragments(Session session, chunks):
    """One fragment a chunk; the final one is empty, since the end is only known behind it."""
    kind = bytes
    async for chunk in one_by_one(chunks):
        kind = str if isinstance(chunk, str) else bytes
        session.written(session.inspector.send_fragment(chunk))
        waiter = session.link.wait_drained(False)
        if waiter is not None:
            await waiter
    session.written(session.inspector.send_fragment(kind(), True))


def broadcast(sessions, data, key=None):
    """Send one message to many sessions; it is encoded once, and compressed once for each kind of peer.

    Args:
        sessions: an iterable of :class:`Session`, which may have ended.
        data: a str, a buffer of bytes, or an object, as in ``Session.send``.
        key: see there.

    Returns:
        A :class:`Broadcast`: how many got it.

    Raises:
        ArgumentTypeError: ``data`` cannot be encoded, or something in ``sessions`` is not a Session.
        ArgumentError: a text that is not encodable as UTF-8.
    """
    cdef Session session
    cdef Py_ssize_t sent = 0, buffered = 0, dropped = 0, closed = 0
    messages = [None, None]     # objects as JSON, as MessagePack
    plain = isinstance(data, str | bytes | bytearray | memoryview)
    try:
        hash(key)
    except TypeError:
        raise ArgumentTypeError(f"key must be hashable, not {type(key).__name__}") from None
    for each in tuple(sessions):
        if type(each) is not Session:
            raise ArgumentTypeError(f"sessions must be of Session, not {type(each).__name__}")
        session = <Session>each
        kind = 0 if plain else int(session.messagepack)
        if messages[kind] is None:
            messages[kind] = session.prepared(data)
        delivery = None
        try:
            delivery = session.deliver(<Prepared>messages[kind], key)
        except ClosedError:
            closed += 1     # no continue in here: Cython crashes at one when there was no memory for the traceback
        if delivery is SENT:
            sent += 1
        elif delivery is BUFFERED:
            buffered += 1
        elif delivery is DROPPED:
            dropped += 1
    return Broadcast(sent, buffered, dropped, closed)
