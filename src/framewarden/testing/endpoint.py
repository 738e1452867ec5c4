"""One end of a connection in memory: an Inspector, and the plainest model of what it should be doing."""

from collections.abc import Callable
from typing import Any, NamedTuple

import msgspec

from framewarden.codec.extensions import DeflateParameters
from framewarden.engine import Inspector
from framewarden.errors import ArgumentError, ClosedError
from framewarden.policy import Policy
from framewarden.rfc6455 import State
from framewarden.testing.checks import expect, same
from framewarden.testing.frames import BINARY, CLOSE, PING, PONG, TEXT, frame_ends
from framewarden.testing.reading import PlainEvent, pump

__all__ = ["Due", "Endpoint"]

CONTROL = {"ping": PING, "pong": PONG, "close": CLOSE}


class Due(NamedTuple):
    """A frame that is to leave, or is on its way.

    Attributes:
        event: what it gives when its last byte has come; None: it is a fragment that is not the last.
        end: position in bytes in what is on its way, behind the frame.
    """

    event: PlainEvent | None
    end: int = 0


class Endpoint:
    """An Inspector, what it has been told to send, and what should come of it.

    Messages stand in the model as ``("message", opcode, payload)``, as they were sent.

    Args:
        role: "server" or "client".
        policy: of this end; it judges what comes in.
        deflate: what was agreed upon; None: no compression.
    """

    def __init__(self, role: str, policy: Policy, deflate: DeflateParameters | None) -> None:
        self.policy = policy
        self.inspector = Inspector(policy, role, deflate=deflate, clock=lambda: 0.0)
        self.compressed = deflate is not None
        self.waiting: list[PlainEvent | None] = []
        self.close: PlainEvent | None = None
        self.wire = bytearray()
        self.due: list[Due] = []
        self.pieces: list[str | bytes] = []
        self.whole: str | bytes = b""
        self.handed = self.received = self.failed = False
        self.fed = 0

    # --- Sending ----------------------------------------------------------------------------------------------------

    @property
    def state(self) -> State:
        """What the Inspector's state should be (RFC 6455 7.1)."""
        if self.failed:
            return State.FAILED
        if self.handed and self.received:
            return State.CLOSED
        return State.CLOSING if self.close is not None or self.handed or self.received else State.OPEN

    def send(self, call: Callable[[], Any], event: PlainEvent | None, *, whole: bool = False) -> bool:
        """Send one frame, if the model says that it can be sent; else see that it is refused. Returns which.

        Args:
            call: the send.
            event: what it must give at the other end; None: nothing yet.
            whole: it is a message, which cannot stand inside a fragmented one.
        """
        if self.handed or self.state is State.CLOSED:
            return _refused(call, ClosedError)
        if whole and self.pieces:
            return _refused(call, ClosedError if self.failed else ArgumentError)
        call()
        self.waiting.append(event)
        return True

    def begin(self, message: str | bytes, pieces: list[str | bytes]) -> None:
        """Send the first fragment of a message."""
        if not self.pieces and not self.handed and self.state is not State.CLOSED:
            self.whole, self.pieces = message, pieces
            self.proceed()

    def proceed(self) -> None:
        """Send the next fragment of the message that has begun."""
        if not self.pieces:
            return
        piece, final = self.pieces[0], len(self.pieces) == 1
        sent = self.send(
            lambda: self.inspector.send_fragment(piece, final=final), message_of(self.whole) if final else None
        )
        if sent:
            self.pieces = self.pieces[1:]

    def end(self, code: int | None, reason: str) -> None:
        """Send a Close; only the first one counts."""
        if self.handed or self.state is State.CLOSED:
            _refused(lambda: self.inspector.send_close(code, reason), ClosedError)
            return
        self.inspector.send_close(code, reason)
        self.close = self.close or ("close", 1005 if code is None else code, reason)

    def flush(self) -> None:
        """Take what the Inspector has to send: what waited, in its order, and a Close behind it."""
        data = self.inspector.data_to_send()
        wanted = list(self.waiting)
        if self.close is not None:
            wanted.append(self.close)
            self.close, self.handed = None, True
        self.waiting.clear()
        found = frame_ends(data)
        same([kind_of(first) for first, _ in found], list(map(kind, wanted)), "the frames that left")
        begin = len(self.wire)
        self.due += [Due(event, begin + end) for event, (_, end) in zip(wanted, found, strict=True)]
        self.wire += data

    # --- Receiving --------------------------------------------------------------------------------------------------

    def take(self, size: int) -> tuple[bytes, list[Due]]:
        """Take the first bytes off the wire, with the frames that end in them."""
        data = bytes(self.wire[:size])
        del self.wire[:size]
        done = [each for each in self.due if each.end <= len(data)]
        self.due = [each._replace(end=each.end - len(data)) for each in self.due[len(done) :]]
        return data, done

    def hear(self, chunks: list[bytes], frames: list[Due]) -> None:
        """Read chunks in which these frames end, and compare what comes of them."""
        over = self.failed or self.received
        got = [event for chunk in chunks for event in pump(self.inspector, chunk)]
        wanted: list[PlainEvent] = []
        for each in frames:
            if each.event is not None and not self.failed and not self.received:
                wanted += self._judge(each.event)
        same([self._shown(event) for event in got], wanted, "the events")
        if not over:
            self.fed += sum(map(len, chunks))
        if not self.failed and not self.received:
            same(self.inspector.bytes_received, self.fed, "the bytes that were judged")
        self.check()

    def _shown(self, event: PlainEvent) -> PlainEvent:
        """Of the sizes of a message only that which does not depend on the compressor."""
        if event[0] != "message":
            return event
        kind, opcode, data, wire, inflated = event
        expect(self.compressed or wire == inflated, f"a message of {wire} bytes became {inflated} without compression")
        return (kind, opcode, data, inflated)

    def _judge(self, event: PlainEvent) -> list[PlainEvent]:
        """What should come of a frame: events, and what is owed for it."""
        if event[0] == "ping" and not self.handed:
            self.waiting.append(("pong", event[1]))
        if event[0] == "close":
            self.received = True
            if self.close is None and not self.handed:
                self.close = ("close", event[1], "")
        if event[0] != "message":
            return [event]
        _, opcode, payload = event
        octets = payload.encode() if isinstance(payload, str) else payload
        try:
            value = self._decoded(opcode, payload, octets)
        except (ValueError, TypeError):  # a TypeError: a member of a set that cannot be one
            if self.policy.mode == "enforce":
                self._fail()
                return []
            value = payload
        return [("message", opcode, value, len(octets))]

    def _decoded(self, opcode: int, payload: str | bytes, octets: bytes) -> Any:
        schema = self.policy.schema
        if schema is None:
            return payload
        if opcode == TEXT:
            return msgspec.json.decode(octets, type=schema.text, dec_hook=schema.dec_hook)
        return msgspec.msgpack.decode(octets, type=schema.binary, dec_hook=schema.dec_hook)

    def _fail(self) -> None:
        """A message was refused: the Close says by which rule."""
        violation = self.inspector.violation
        expect(violation is not None, "a message that is not of the schema was accepted")
        assert violation is not None
        expect(violation.rule.startswith("schema-"), f"{violation} is no rule of the schema")
        self.failed = True
        if not self.handed:
            self.close = ("close", violation.close_code, violation.rule)

    def check(self) -> None:
        """The Inspector is what the model is."""
        same(self.inspector.state, self.state, "the state")
        expect((self.inspector.violation is not None) is self.failed, f"the violation is {self.inspector.violation}")
        if (self.failed or self.received) and not self.waiting and self.close is None:  # nor is anything to be sent
            same(self.inspector.bytes_held, 0, "the bytes that are held at the end")


def message_of(data: str | bytes) -> PlainEvent:
    """A message, as the model has it."""
    return ("message", TEXT if isinstance(data, str) else BINARY, data)


def kind(event: PlainEvent | None) -> str:
    """What a frame is: a fragmented message's last frame is a continuation, so data frames are one kind."""
    return "data" if event is None or event[0] == "message" else event[0]


def kind_of(first: int) -> str:
    """What the first byte of a frame says that it is."""
    return next((name for name, opcode in CONTROL.items() if opcode == first & 0x0F), "data")


def _refused(call: Callable[[], Any], error: type[Exception]) -> bool:
    """See that a send is refused."""
    try:
        call()
    except error:
        return False
    raise AssertionError(f"a send did not raise {error.__name__}")
