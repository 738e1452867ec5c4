"""Attacks on what a connection may keep, and for how long; some of them do not read what they are sent."""

import contextlib
import time

from framewarden.apps.cases.wire import Wire
from framewarden.apps.demo.attack import Attack, masked, text

__all__ = ["RESOURCES"]

STALL_SECONDS = 0.6
"""As long as the server "patient" waits for a peer that takes nothing."""
JOIN = '{"type":"join","room":"%s"}'
SAY = '{"type":"say","room":"%s","text":"' + "x" * 60_000 + '"}'
SPEECHES = 300
"""More than the kernel keeps for a peer that does not read."""


def do_not_read(wire: Wire) -> None:
    """Be in a room, and do not read what is said there by somebody else."""
    wire.send(text(JOIN % "hall"))
    wire.read_frame()
    with Wire.to(wire.sock.getpeername()) as speaker, contextlib.suppress(OSError):
        speaker.upgrade()
        for _ in range(SPEECHES):
            speaker.send(text(SAY % "hall"))


def take_nothing(wire: Wire) -> None:
    """Ask for more than is read, until the server stops reading too, and wait."""
    wire.send(text(JOIN % "alone"))
    wire.read_frame()
    wire.sock.settimeout(0.1)
    with contextlib.suppress(TimeoutError):
        for _ in range(SPEECHES):
            wire.send(text(SAY % "alone"))
    wire.sock.settimeout(5)
    time.sleep(2 * STALL_SECONDS)


RESOURCES = (
    Attack(rule="lifetime", sent="nothing, for too long", data=b"", against="brief", slow=True),
    Attack(
        rule="slow-consumer",
        sent="nothing, and it reads nothing of what the room says",
        data=do_not_read,
        against="patient",
        slow=True,
    ),
    Attack(
        rule="write-stall", sent="questions, and it reads no answer", data=take_nothing, against="patient", slow=True
    ),
    Attack(
        rule="memory-budget",
        sent="the first half of a message of 600 kB",
        data=masked(1, b"x" * 600_000)[:300_000],
        against="poor",
    ),
)
