"""Engine: the sans-I/O state of one connection.

Here live the Inspector, its events, schema decoding, and the scans that bound what decoding may cost. No I/O, no clock
and no randomness but those it is given. Imports: codec, kernels, the leaves, msgspec.
"""

from framewarden.engine._events import Close, Message, Ping, Pong
from framewarden.engine._inspector import MAX_EVENT_BYTES, MAX_EVENTS, Inspector

Event = Message | Ping | Pong | Close
"""What Inspector.receive_data returns a list of."""

__all__ = ["MAX_EVENTS", "MAX_EVENT_BYTES", "Close", "Event", "Inspector", "Message", "Ping", "Pong"]
