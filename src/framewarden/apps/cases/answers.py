"""Listeners: what a server says, bit by bit, read in bounded memory, whatever it is.

A listener is fed with what comes in and returns True when it has heard enough; :meth:`Wire.converse` feeds it.
"""

from framewarden.apps.cases.wire import MAX_HEAD, parse_head
from framewarden.rfc6455 import Opcode

__all__ = ["FrameListener", "HeadListener"]

MAX_PONGS = 1024
"""Payloads of Pongs that are kept."""
CONTROL = 0x8
OPCODES = frozenset(int(opcode) for opcode in Opcode)
MAX_CONTROL = 125
"""RFC 6455 5.5: bytes of a control frame's payload."""


class HeadListener:
    """Listens to the head of an HTTP response.

    Attributes:
        status: of the response; None: there is none yet, or what came is none.
        headers: names in lower case.
        garbage: what came is no HTTP response, or its head is longer than ``MAX_HEAD``.
    """

    def __init__(self) -> None:
        self.status: int | None = None
        self.headers: dict[str, str] = {}
        self.garbage = False
        self._head = bytearray()

    def __call__(self, data: bytes) -> bool:
        """Take what came in."""
        if self.garbage or self.status is not None:
            return True
        searched = max(0, len(self._head) - 3)
        self._head += data[: MAX_HEAD + 1 - len(self._head)]
        end = self._head.find(b"\r\n\r\n", searched)
        if end < 0:
            self.garbage = len(self._head) > MAX_HEAD or not b"HTTP/1.".startswith(self._head[:7])
            return self.garbage
        try:
            self.status, self.headers = parse_head(self._head[:end].decode("latin-1").split("\r\n"))
        except ConnectionError:
            self.garbage = True
        return True


class FrameListener:
    """Listens to a server's frames until a Close, or until the Pong that answers the last Ping.

    Payloads of messages are skipped, not kept. Frames that no server may send (RFC 6455 5: masked, a reserved opcode, a
    control frame of more than 125 bytes) are garbage, and end it.

    Args:
        until: payload of the Ping that was sent last.

    Attributes:
        pongs: payloads of the Pongs that came before that one.
        messages: how many messages have begun.
        ponged: the Pong with ``until`` has come.
        close: code of the Close; RFC 6455 7.1.5: 1005: it has none. None: there was no Close.
        garbage: a frame that no server may send has come.
        until_the_end: only a Close or garbage is enough, that Pong is not.
    """

    def __init__(self, until: bytes) -> None:
        self.until = until
        self.pongs: list[bytes] = []
        self.messages = 0
        self.ponged = False
        self.close: int | None = None
        self.garbage = False
        self.until_the_end = False
        self._pending = bytearray()
        self._skip = 0

    @property
    def ended(self) -> bool:
        """Whether nothing more can come."""
        return self.garbage or self.close is not None

    def __call__(self, data: bytes) -> bool:
        """Take what came in. What is kept between calls is less than one control frame."""
        view = memoryview(data)
        while not self.ended and view:
            if self._skip:
                skipped = min(self._skip, len(view))
                self._skip -= skipped
                view = view[skipped:]
                continue
            wanted = self._wanted() - len(self._pending)
            self._pending += view[:wanted]
            view = view[wanted:]
            if self._wanted() == len(self._pending):
                self._judge()
        return self.ended or (self.ponged and not self.until_the_end)

    def _wanted(self) -> int:
        """How many bytes must be there before more can be said: a header, then a control frame's payload."""
        if len(self._pending) < 2:
            return 2
        first, second = self._pending[:2]
        size = {126: 4, 127: 10}.get(second & 0x7F, 2)
        if first & CONTROL and size == 2 and not second & 0x80:
            return 2 + second
        return size

    def _judge(self) -> None:
        first, second = self._pending[:2]
        opcode = first & 0x0F
        if second & 0x80 or opcode not in OPCODES or (opcode & CONTROL and second > MAX_CONTROL):
            self.garbage = True
            return
        if opcode & CONTROL:
            self._take_control(opcode, bytes(self._pending[2:]))
        else:
            self.messages += opcode != Opcode.CONTINUATION
            self._skip = second if second < 126 else int.from_bytes(self._pending[2:], "big")
        self._pending.clear()

    def _take_control(self, opcode: int, payload: bytes) -> None:
        if opcode == Opcode.CLOSE:
            self.close = int.from_bytes(payload[:2], "big") if payload else 1005
            self.garbage = len(payload) == 1
        elif opcode == Opcode.PONG and payload == self.until:
            self.ponged = True
        elif opcode == Opcode.PONG and len(self.pongs) < MAX_PONGS:
            self.pongs.append(payload)
