"""Attacks with time: the server "impatient" waits less than a second for anything."""

import time

from framewarden.apps.cases.wire import Wire, head
from framewarden.apps.demo.attack import Attack, masked, text

__all__ = ["TIMEOUTS"]

PING = 0x9


def ignore_the_ping(wire: Wire) -> None:
    """Be silent until a Ping comes, and then talk on as if it had not come."""
    while wire.read_frame()[0] != PING:
        pass
    for _ in range(5):
        wire.send(text('{"type":"say","room":"nowhere","text":"ping?"}') + masked(0xA, b"not what was asked for"))
        time.sleep(0.08)


def drip_a_frame(wire: Wire) -> None:
    """A frame of 100 bytes that comes byte by byte, each one in time."""
    for byte in text("x" * 100)[:30]:
        wire.send(bytes([byte]))
        time.sleep(0.03)


def never_finish(wire: Wire) -> None:
    """A message whose fragments are whole and small, and that never ends."""
    for number in range(12):
        wire.send(masked(0 if number else 1, b"x", fin=False))
        time.sleep(0.08)


TIMEOUTS = (
    Attack(rule="frame-timeout", sent="a frame, a byte every 30 ms", data=drip_a_frame, against="impatient", slow=True),
    Attack(
        rule="message-timeout",
        sent="fragments without end, one every 80 ms",
        data=never_finish,
        against="impatient",
        slow=True,
    ),
    Attack(rule="idle-timeout", sent="nothing", data=b"", against="impatient", slow=True),
    Attack(
        rule="pong-timeout",
        sent="messages and wrong Pongs, but no answer to the Ping",
        data=ignore_the_ping,
        against="impatient",
        slow=True,
    ),
    Attack(
        rule="overloaded",
        sent="5 slow queries where 2 may wait",
        data=text('{"type":"search","words":"a"}') * 5,
        against="impatient",
        slow=True,
    ),
    Attack(rule="handshake-timeout", sent="half a request", data=head()[:40], against="impatient", slow=True),
)
