# cython: language_level=3, boundscheck=False, wraparound=False, initializedcheck=False
# cython: auto_pickle=False
"""What an Inspector reports.

Events are made a million times a second, so they come from a freelist and the garbage collector does not track them. In
exchange an event must not be stored inside its own ``data``: such a circle would never be freed.
"""

cimport cython
from libc.stdint cimport uint8_t, uint64_t

from framewarden.rfc6455 import Opcode

cdef object TEXT = Opcode.TEXT
cdef object BINARY = Opcode.BINARY


@cython.final
@cython.no_gc
@cython.freelist(1024)
cdef class Message:
    """A whole data message (RFC 6455 5.4) that passed every check.

    Attributes:
        opcode: Opcode.TEXT or Opcode.BINARY.
        data: the schema's type; without a schema ``str`` for Text and ``bytes`` for Binary.
        wire_bytes: payload of its frames, in bytes, as it was on the wire.
        inflated_bytes: payload in bytes after decompression; the same number if it was not compressed.
        would_refuse: None, or in the mode "report" the Violation for which the message would have been refused;
            ``data`` is ``str`` or ``bytes`` then.
    """

    __match_args__ = ("data",)

    def __init__(self):
        raise TypeError("a Message is made by an Inspector")

    @property
    def opcode(self) -> Opcode:
        return TEXT if self.code == 1 else BINARY

    def __repr__(self) -> str:
        return f"<Message {self.opcode.name} {type(self.data).__name__}, {self.inflated_bytes} bytes>"


@cython.final
@cython.no_gc
@cython.freelist(32)
cdef class Ping:
    """A Ping (RFC 6455 5.5.2); the Inspector has queued the Pong already.

    Attributes:
        data: 0 to 125 bytes.
    """

    __match_args__ = ("data",)

    def __init__(self):
        raise TypeError("a Ping is made by an Inspector")

    def __repr__(self) -> str:
        return f"<Ping {len(self.data)} bytes>"


@cython.final
@cython.no_gc
@cython.freelist(32)
cdef class Pong:
    """A Pong (RFC 6455 5.5.3), asked for or not.

    Attributes:
        data: 0 to 125 bytes.
    """

    __match_args__ = ("data",)

    def __init__(self):
        raise TypeError("a Pong is made by an Inspector")

    def __repr__(self) -> str:
        return f"<Pong {len(self.data)} bytes>"


@cython.final
@cython.no_gc
cdef class Close:
    """The peer's Close (RFC 6455 5.5.1); the Inspector has queued the echo already. No event follows it.

    Attributes:
        code: as received; 1005 if the frame had none (RFC 6455 7.1.5).
        reason: as received, at most 123 bytes of UTF-8.
    """

    __match_args__ = ("code", "reason")

    def __init__(self):
        raise TypeError("a Close is made by an Inspector")

    def __repr__(self) -> str:
        return f"<Close {self.code}>"


cdef Message new_message(
    uint8_t opcode, object data, uint64_t wire_bytes, uint64_t inflated_bytes, object would_refuse
):
    cdef Message event = Message.__new__(Message)
    event.code = opcode
    event.data = data
    event.wire_bytes = wire_bytes
    event.inflated_bytes = inflated_bytes
    event.would_refuse = would_refuse
    return event


cdef Ping new_ping(bytes data):
    cdef Ping event = Ping.__new__(Ping)
    event.data = data
    return event


cdef Pong new_pong(bytes data):
    cdef Pong event = Pong.__new__(Pong)
    event.data = data
    return event


cdef Close new_close(int code, str reason):
    cdef Close event = Close.__new__(Close)
    event.code = code
    event.reason = reason
    return event
