"""What an Inspector made of a stream, in plain tuples that can be compared."""

from collections.abc import Iterable
from typing import Any

from framewarden.engine import Close, Event, Inspector, Message, Ping, Pong

__all__ = ["PlainEvent", "plain", "pump", "read"]

PlainEvent = tuple[Any, ...]
"""``("message", opcode, data, wire bytes, inflated bytes)``, ``("ping", data)``, ``("pong", data)`` or
``("close", code, reason)``."""


def plain(event: Event) -> PlainEvent:
    """Make a tuple of an event: events themselves are made by an Inspector only, and compared by identity."""
    match event:
        case Message():
            return ("message", int(event.opcode), event.data, event.wire_bytes, event.inflated_bytes)
        case Ping():
            return ("ping", event.data)
        case Pong():
            return ("pong", event.data)
        case Close():
            return ("close", event.code, event.reason)


def pump(inspector: Inspector, data: bytes) -> list[PlainEvent]:
    """Everything that one read gives, in as many calls as that takes."""
    events = inspector.receive_data(data)
    while inspector.has_more:
        events += inspector.receive_data(b"")
    return [plain(event) for event in events]


def read(inspector: Inspector, chunks: Iterable[bytes]) -> list[PlainEvent]:
    """Everything that a stream gives, read in these chunks.

    ::

        stream = data.draw(streams(peer))
        assert read(inspector, data.draw(chunkings(stream.data))) == stream.events
    """
    return [event for chunk in chunks for event in pump(inspector, chunk)]
