"""Messages that wait because their peer does not read as fast as we send (DESIGN.md 6.7)."""

from collections import OrderedDict
from collections.abc import Hashable

from framewarden.codec._writer import Prepared
from framewarden.errors import ArgumentTypeError
from framewarden.policy import Policy
from framewarden.session import Delivery

__all__ = ["Outbox"]

ENTRY_BYTES = 256
"""What a message that waits costs beside its payload."""


class Outbox:
    """What one connection cannot send yet, whole messages in order, and what is done when it is too much.

    Messages wait here and not in the transport, so that they can still be dropped. One message may be larger than the
    limit when nothing else waits; otherwise it could never be sent.

    Args:
        policy: its ``slow_consumer`` and ``limits.max_backpressure_bytes`` are used.
    """

    __slots__ = ("_limit", "_policy", "_waiting", "bytes", "dropped")

    def __init__(self, policy: Policy) -> None:
        self._limit = policy.limits.max_backpressure_bytes
        self._policy = policy.slow_consumer
        self._waiting: OrderedDict[Hashable, Prepared] = OrderedDict()
        self.bytes = 0
        self.dropped = 0

    def __len__(self) -> int:
        return len(self._waiting)

    def put(self, message: Prepared, key: Hashable, unsent: int) -> Delivery | None:
        """Take a message, or drop it, or drop others for it.

        Args:
            message: the message.
            key: see ``Session.send``.
            unsent: bytes that wait for the same peer elsewhere.

        Returns:
            What happened to it; None: too much waits, and the policy is to close.

        Raises:
            ArgumentTypeError: the key is not hashable.
        """
        replaces = self._policy == "latest" and key is not None
        name: Hashable = key if replaces else object()
        try:
            known = name in self._waiting
        except TypeError:
            raise ArgumentTypeError(f"key must be hashable, not {type(key).__name__}") from None
        if known:
            self._forget(name)
        while self._is_over(len(message.payload) + ENTRY_BYTES, unsent):
            if self._policy == "close":
                return None
            if not self._waiting or not (replaces or self._policy == "drop-oldest"):
                self.dropped += 1
                return Delivery.DROPPED
            self._forget(next(iter(self._waiting)))
        self._waiting[name] = message
        self.bytes += len(message.payload) + ENTRY_BYTES
        return Delivery.BUFFERED

    def _is_over(self, size: int, unsent: int) -> bool:
        waiting = self.bytes + unsent
        return waiting > 0 and waiting + size > self._limit

    def _forget(self, name: Hashable) -> None:
        self.bytes -= len(self._waiting.pop(name).payload) + ENTRY_BYTES
        self.dropped += 1

    def pop(self) -> Prepared:
        """The oldest message."""
        _, message = self._waiting.popitem(last=False)
        self.bytes -= len(message.payload) + ENTRY_BYTES
        return message

    def clear(self) -> None:
        """Forget everything."""
        self.dropped += len(self._waiting)
        self._waiting.clear()
        self.bytes = 0
