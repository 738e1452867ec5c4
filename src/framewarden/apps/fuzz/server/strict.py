"""The strict verdict: what our own engine says about a stream or a request, which is what a server is compared with.

A stream is cut or completed so that its verdict does not hang in the air. ``apps.cases`` sends a Ping behind it: who
answers that Ping has read all that comes before it, and goes on.
"""

from typing import Literal

import msgspec

from framewarden.apps.cases.play import QUESTION
from framewarden.apps.cases.wire import ADDRESS
from framewarden.apps.fuzz.mutating import Frame, split
from framewarden.codec import encode_frame
from framewarden.codec.extensions import DeflateParameters
from framewarden.codec.handshake import HandshakeParser, Refusal
from framewarden.engine import Inspector, Message
from framewarden.policy import Policy
from framewarden.rfc6455 import Opcode, Role
from framewarden.rules import RULES

__all__ = ["LIMITS", "TARGET", "Strict", "Verdict"]

TARGET = "<target>"
"""Stands in a request for the path and query of the server's URI, as ``ADDRESS`` for its host and port."""
QUESTION_FRAME = encode_frame(Opcode.PING, QUESTION, key=bytes(4))
MOST_COMPLETED = 64 * 1024
"""Bytes of payload that are added to a frame that is cut; one that lacks more is left out, if it is no violation."""
LIMITS = frozenset(
    rule.id
    for rule in RULES.values()
    if rule.severity == "limit" or (rule.source == "policy" and not rule.id.startswith("schema"))
)
"""Rules whose bounds an operator sets: another server has other ones, which nobody told us."""


class Verdict(msgspec.Struct, frozen=True):
    """What is sent, and what a strict server answers.

    Attributes:
        stage: "frames": it follows the 101; "handshake": it is the request.
        data: bytes to send, with all that was added.
        rule: id of the rule that they break, "" for none.
        answer: in the words of ``Outcome.answer``: "close 1002", "HTTP 400", "HTTP 101", "accepted".
        close: code of the peer's own Close (RFC 6455 7.1.5: 1005: it has none); None: there is none.
        messages: whether a whole message comes before the end: then an application has had its say, too.
    """

    stage: Literal["frames", "handshake"]
    data: bytes
    rule: str
    answer: str
    close: int | None = None
    messages: bool = False

    @property
    def expected(self) -> str:
        """For people: the answer, and why."""
        if self.close is not None:
            return "a Close that answers the peer's"
        return f"{self.answer} [{self.rule}]" if self.rule else f"{self.answer} (no rule is broken)"


class Strict:
    """Judges as a server with ``policy`` does.

    Args:
        policy: its limits and its schema are used.
        authority: of the server's URI.
        target: path and query of the server's URI.
    """

    def __init__(self, policy: Policy, authority: str = "127.0.0.1", target: str = "/") -> None:
        self._policy = msgspec.structs.replace(policy, on_event=None)
        self._authority = authority.encode()
        self._target = target.encode()

    def stream(self, stream: bytes, deflate: DeflateParameters | None = None) -> Verdict:
        """Judge what a client sends behind the opening handshake. Linear in its length.

        Nothing follows the frame that breaks a rule but the Ping, so that a server which lets it pass is seen to do so.

        Args:
            stream: any bytes.
            deflate: what the opening handshake agreed on; None: no compression.
        """
        reader = _Reader(self._policy, self._target.partition(b"?")[0].decode(), deflate)
        pieces: list[bytes] = []
        frames, tail = split(stream)
        for index, frame in enumerate(frames):
            piece = reader.feed(frame)
            if piece is None:
                break
            pieces.append(piece)
            if reader.failed():
                break
            if reader.inspector.close_code is not None:
                pieces += [later.wire() for later in frames[index + 1 :]]  # RFC 6455 5.5.1: it is not looked at
                return self._closed(b"".join(pieces), reader)
        data = b"".join(pieces)
        if tail and not reader.failed():
            reader.read(tail)
            if not reader.failed():
                return self.stream(data, deflate)  # without it, for it may end inside a header
            data += tail
        if not reader.failed():
            reader.read(QUESTION_FRAME)  # it may be one control frame too many
        violation = reader.inspector.violation
        if violation is None:
            return Verdict("frames", data, "", "accepted", messages=reader.messages)
        return Verdict("frames", data, violation.rule, f"close {violation.close_code}", messages=reader.messages)

    @staticmethod
    def _closed(data: bytes, reader: "_Reader") -> Verdict:
        """RFC 6455 5.5.1: "When sending a Close frame in response, the endpoint typically echos the status code"."""
        code = reader.inspector.close_code
        return Verdict("frames", data, "", f"close {code}", close=code, messages=reader.messages)

    def request(self, head: bytes) -> Verdict:
        """Judge the head of an opening handshake; an end is added to one that has none. Linear in its length.

        Args:
            head: any bytes; ``ADDRESS`` and ``TARGET`` in it stand for the server's.
        """
        parser = HandshakeParser(self._policy.limits)
        verdict = parser.feed(head.replace(ADDRESS.encode(), self._authority).replace(TARGET.encode(), self._target))
        for end in (b"\n" if head.endswith(b"\r") else b"", b"\r\n", b"\r\n"):
            if verdict is None:
                head += end
                verdict = parser.feed(end)
        if isinstance(verdict, Refusal):
            return Verdict("handshake", head, verdict.rule, f"HTTP {verdict.status}")
        return Verdict("handshake", head, "", "HTTP 101")


class _Reader:
    """A server's Inspector, fed frame by frame."""

    def __init__(self, policy: Policy, route: str, deflate: DeflateParameters | None) -> None:
        self.inspector = Inspector(policy, Role.SERVER, route=route, deflate=deflate, clock=_no_time_passes)
        self.messages = False

    def failed(self) -> bool:
        """Whether a rule was broken."""
        return self.inspector.violation is not None

    def feed(self, frame: Frame) -> bytes | None:
        """Inspect a frame, and what it lacks. Returns its bytes; None: it is left out, because it lacks too much."""
        piece = frame.wire()
        self.read(piece)
        if not frame.missing:
            return piece
        if frame.missing > MOST_COMPLETED:
            return piece if self.failed() else None
        frame.complete()
        whole = frame.wire()
        self.read(whole[len(piece) :])
        return whole

    def read(self, data: bytes) -> None:
        """Inspect bytes."""
        events = self.inspector.receive_data(data)
        while events:
            self.messages = self.messages or any(isinstance(event, Message) for event in events)
            events = self.inspector.receive_data(b"") if self.inspector.has_more else []
        self.inspector.data_to_send()


def _no_time_passes() -> float:
    """The clock of an Inspector: a stream is sent at once."""
    return 0.0
