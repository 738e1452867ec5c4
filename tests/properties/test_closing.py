"""RFC 6455 5.5.1 and 7: whatever both ends do in whatever order, one Close leaves and nothing behind it."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from framewarden.errors import ClosedError
from framewarden.rfc6455 import State
from tests.playback import frames, make, plain

OURS = ["text", "ping", "close", "take"]
THEIRS = ["peer-text", "peer-ping", "peer-close", "peer-bad", "peer-eof"]
WIRE = {
    "peer-text": b"\x81\x01a",
    "peer-ping": b"\x89\x01b",
    "peer-close": b"\x88\x02\x0b\xb8",
    "peer-bad": b"\x8b\x00",
}
EVENT = {"peer-text": ("message", 1, "a", 1, 1), "peer-ping": ("ping", b"b"), "peer-close": ("close", 3000, "")}

CLOSE, PONG, PING, TEXT = 0x88, 0x8A, 0x89, 0x81


class Model:
    """What should be, said in the plainest way."""

    def __init__(self) -> None:
        self.waiting: list[tuple[int, bytes]] = []
        self.close: bytes | None = None
        self.handed = self.received = self.failed = self.ended = False

    @property
    def state(self) -> State:
        if self.failed:
            return State.FAILED
        if self.ended or (self.handed and self.received):
            return State.CLOSED
        if self.close is not None or self.handed or self.received:
            return State.CLOSING
        return State.OPEN

    def refuses(self) -> bool:
        return self.handed or self.state is State.CLOSED

    def hear(self, what: str) -> list[tuple]:
        if self.failed or self.ended or self.received:
            return []
        if what == "peer-bad":
            self.failed = True
            if not self.handed:
                self.close = b"\x03\xeareserved-opcode"
            return []
        if what == "peer-ping" and not self.handed:
            self.waiting.append((PONG, b"b"))
        if what == "peer-close":
            self.received = True
            if self.close is None and not self.handed:
                self.close = b"\x0b\xb8"
        return [EVENT[what]]

    def take(self) -> list[tuple[int, bytes]]:
        out, self.waiting = self.waiting, []
        if self.close is not None:
            out.append((CLOSE, self.close))
            self.close, self.handed = None, True
        return out


def act(inspector, what):
    match what:
        case "text":
            inspector.send_text("t")
        case "ping":
            inspector.send_ping(b"p")
        case "close":
            inspector.send_close(4000)


@given(st.lists(st.sampled_from(OURS + THEIRS), max_size=12))
def test_every_order_of_sending_receiving_and_closing(steps):
    inspector, model = make(None, "client", key_source=bytes), Model()
    sent = []
    for step in steps:
        if step == "take":
            out = frames(inspector.data_to_send())
            assert out == model.take()
            sent += out
        elif step == "peer-eof":
            inspector.receive_eof()
            model.ended = True
        elif step in WIRE:
            assert [plain(event) for event in inspector.receive_data(WIRE[step])] == model.hear(step)
        elif model.refuses():
            with pytest.raises(ClosedError):
                act(inspector, step)
        else:
            act(inspector, step)
            if step == "close":
                model.close = model.close or b"\x0f\xa0"
            else:
                model.waiting.append((TEXT, b"t") if step == "text" else (PING, b"p"))
        assert inspector.state is model.state, step
        assert (inspector.violation is not None) is model.failed
        if model.received:
            assert (inspector.close_code, inspector.close_reason) == (3000, "")
        elif model.ended:
            assert inspector.close_code == 1006
        else:
            assert inspector.close_code is None
    assert all(first != CLOSE for first, _ in sent[:-1])
