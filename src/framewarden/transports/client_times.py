"""What a client expects of its server, and until when; and how long answers to Pings take.

No timer is here: the clock's time comes in, deadlines and the rules that are broken go out.
"""

import asyncio
import secrets
import time
from typing import NamedTuple

from framewarden.engine import Inspector

__all__ = ["Deadlines", "RoundTrips", "new_payload"]

PING_BYTES = 8
"""Unpredictable, so that a Pong that nobody asked for does not answer a Ping (RFC 6455 5.5.3)."""


def new_payload() -> bytes:
    """What a Ping carries."""
    return secrets.token_bytes(PING_BYTES)


class _Ping(NamedTuple):
    """One that has not been answered. ``since``: by the loop's clock; ``sent``: by a clock that is fine enough."""

    since: float
    sent: float
    future: asyncio.Future[float] | None


class RoundTrips:
    """The Pings that wait for their Pongs."""

    def __init__(self) -> None:
        self._pings: dict[bytes, _Ping] = {}

    @property
    def since(self) -> float | None:
        """Since when the oldest one waits; None: none does."""
        return next(iter(self._pings.values())).since if self._pings else None

    def add(self, payload: bytes, now: float, future: asyncio.Future[float] | None) -> None:
        """Count one that is sent now. ``future`` gets the round trip in seconds."""
        self._pings[payload] = _Ping(now, time.perf_counter(), future)

    def forget(self, payload: bytes) -> None:
        """Nobody waits for this one any more."""
        self._pings.pop(payload, None)

    def answer(self, payload: bytes) -> None:
        """A Pong came. RFC 6455 5.5.3: it may be "for only the most recently processed Ping", so earlier ones count."""
        if payload not in self._pings:
            return
        for earlier in tuple(self._pings):
            ping = self._pings.pop(earlier)
            if ping.future is not None and not ping.future.done():
                ping.future.set_result(time.perf_counter() - ping.sent)
            if earlier == payload:
                return

    def restart(self, now: float) -> None:
        """Let the time of all of them begin again: nothing has been read meanwhile."""
        self._pings = {payload: ping._replace(since=now) for payload, ping in self._pings.items()}

    def fail(self, error: Exception) -> None:
        """The connection is gone."""
        for ping in self._pings.values():
            if ping.future is not None and not ping.future.done():
                ping.future.set_exception(error)


class Deadlines:
    """The deadlines of a connection that is open and read from.

    Args:
        inspector: what it says of unfinished frames and messages counts.
        trips: the Pings.
        now: the loop's time.
    """

    def __init__(self, inspector: Inspector, trips: RoundTrips, now: float) -> None:
        self._limits = inspector.policy.limits
        self._inspector = inspector
        self._trips = trips
        self._last_received = now
        # Offset in the stream, and since when: of the frame and of the message that have begun and not ended.
        self._frame: tuple[int, float] | None = None
        self._message: tuple[int, float] | None = None
        # Bytes that waited to be written, and since when there are as many; None: the server takes what we write.
        self._stall: tuple[int, float] | None = None

    def received(self, now: float) -> bool:
        """Bytes have been judged. Returns whether ``next`` may be sooner than before."""
        self._last_received = now
        frame, message = self._frame, self._message
        self._frame = _begun(frame, self._inspector.unfinished_frame, now)
        self._message = _begun(message, self._inspector.unfinished_message, now)
        return self._frame is not frame or self._message is not message

    def restart(self, now: float) -> None:
        """Reading goes on: the time in which we did not read is nobody's silence."""
        self._last_received = now
        self._frame = None if self._frame is None else (self._frame[0], now)
        self._message = None if self._message is None else (self._message[0], now)
        self._trips.restart(now)

    def waiting(self, now: float, size: int) -> None:
        """The server does not take what we write: so many bytes wait."""
        if self._stall is None or size < self._stall[0]:
            self._stall = (size, now)

    def taken(self) -> None:
        """What waited has left."""
        self._stall = None

    def is_flooded(self, size: int) -> bool:
        """Whether answers to Pings pile up, behind what waited already, for a server that does not read them."""
        return self._stall is not None and size > self._stall[0] + self._limits.max_backpressure_bytes

    def next(self, now: float) -> float:
        """When to look again."""
        limits = self._limits
        soonest = self._last_received + limits.idle_seconds
        if self._frame is not None:
            soonest = min(soonest, self._frame[1] + limits.frame_seconds)
        if self._message is not None:
            soonest = min(soonest, self._message[1] + limits.message_seconds)
        if self._stall is not None:
            return min(soonest, now + limits.max_write_stall_seconds / 4)
        pong = self._pong()
        return min(soonest, self._last_received + limits.ping_seconds if pong is None else pong)

    def overdue(self, now: float) -> str | None:
        """The rule whose time is over; None: none is."""
        limits = self._limits
        if self._frame is not None and now >= self._frame[1] + limits.frame_seconds:
            return "frame-timeout"
        if self._message is not None and now >= self._message[1] + limits.message_seconds:
            return "message-timeout"
        if now >= self._last_received + limits.idle_seconds:
            return "idle-timeout"
        if self._stall is not None:
            return "write-stall" if now >= self._stall[1] + limits.max_write_stall_seconds else None
        pong = self._pong()
        return "pong-timeout" if pong is not None and now >= pong else None

    def is_ping_due(self, now: float) -> bool:
        """Whether a Ping should leave: the server has been silent, and none is under way."""
        if self._stall is not None or self._trips.since is not None:
            return False
        return now >= self._last_received + self._limits.ping_seconds

    def _pong(self) -> float | None:
        since = self._trips.since
        if since is None:
            return None
        # A Pong stands between frames (RFC 6455 5.4), so the bytes of a frame that still comes in are an answer, too.
        if self._frame is not None:
            since = max(since, self._last_received)
        return since + self._limits.pong_seconds


def _begun(known: tuple[int, float] | None, offset: int | None, now: float) -> tuple[int, float] | None:
    """The frame or message that began at ``offset`` (None: there is none) and since when it is known."""
    if offset is None:
        return None
    return known if known is not None and known[0] == offset else (offset, now)
