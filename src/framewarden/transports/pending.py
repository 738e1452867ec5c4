"""How many opening handshakes one address has under way at the same time."""

import socket

__all__ = ["PendingHandshakes", "address_key"]

NETWORK_BYTES = 8
"""Of an IPv6 address: the /64 that a provider gives to one customer, who can use any address in it."""
_MAPPED = bytes(10) + b"\xff\xff"


def address_key(host: str) -> str | bytes:
    """What an address is counted by: IPv4 as it is, IPv6 by its /64 (``::ffff:a.b.c.d`` by the IPv4 address in it)."""
    if ":" not in host:
        return host
    address = socket.inet_pton(socket.AF_INET6, host.partition("%")[0])
    if address.startswith(_MAPPED):
        return socket.inet_ntoa(address[len(_MAPPED) :])
    return address[:NETWORK_BYTES]


class PendingHandshakes:
    """Counts handshakes by address; an address that has none costs nothing.

    Args:
        limit: ``limits.max_pending_per_address``; may be replaced.
    """

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self._counts: dict[str | bytes, int] = {}

    def take(self, key: str | bytes) -> bool:
        """Take a place for an address. Returns False, and takes none, where it has as many as it may."""
        count = self._counts.get(key, 0)
        if count >= self.limit:
            return False
        self._counts[key] = count + 1
        return True

    def give_back(self, key: str | bytes) -> None:
        """Give back a place that was taken."""
        count = self._counts[key] - 1
        if count:
            self._counts[key] = count
        else:
            del self._counts[key]

    def __len__(self) -> int:
        """Addresses that have a handshake under way."""
        return len(self._counts)
