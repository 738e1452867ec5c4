"""How a socket is closed so that what we wrote last really arrives.

Closing a socket that holds unread input sends RST, and a RST makes the peer's kernel throw away what it had received
from us but not yet read: our Close frame, or our HTTP refusal. So on plain TCP we send FIN and go on reading, and throw
what we read away, until the peer closes too or a second has passed. TLS has no half-close that peers understand: there
close_notify is sent and aiofastnet does the reading (``ssl_shutdown_timeout``).
"""

import asyncio

from framewarden.transports.wheel import TimerWheel

__all__ = ["LINGER_SECONDS", "Ending"]

LINGER_SECONDS = 1.0
"""How long input is read and thrown away after our FIN or close_notify."""
POLL_SECONDS = 0.05
"""How often we look whether the last bytes have left."""


class Ending:
    """Ends one connection; nothing may be written to ``transport`` any more.

    Args:
        wheel: the server's timers.
        transport: what is closed. Its protocol must throw away what it still receives.
        secure: whether it is TLS.
        drain_seconds: how long the peer may take to receive what was written.
    """

    __slots__ = ("_drain_until", "_linger_until", "_secure", "_transport", "_wheel", "wheel_slot")

    def __init__(self, wheel: TimerWheel, transport: asyncio.Transport, *, secure: bool, drain_seconds: float) -> None:
        self.wheel_slot: int | None = None
        self._wheel = wheel
        self._transport = transport
        self._secure = secure
        now = wheel.now()
        self._drain_until = now + drain_seconds
        self._linger_until: float | None = None
        if not transport.is_closing():
            transport.resume_reading()
            if not secure:
                transport.write_eof()  # FIN follows the last byte that was written
        elif not transport.get_write_buffer_size():
            return
        again = self.on_deadline(now)
        if again is not None:
            wheel.add(self, again)

    def on_deadline(self, now: float) -> float | None:
        """Wait for the last byte to leave, then for the peer to close."""
        transport = self._transport
        if transport.get_write_buffer_size() and now < self._drain_until and self._linger_until is None:
            return now + POLL_SECONDS  # also to a peer that has sent its FIN: it may still read
        if self._linger_until is not None or transport.is_closing() or transport.get_write_buffer_size():
            transport.abort()
            return None
        if self._secure:
            transport.close()
            return None
        self._linger_until = now + LINGER_SECONDS
        return self._linger_until

    def cancel(self) -> None:
        """The transport is gone."""
        self._wheel.remove(self)
