"""What a transport knows about the two ends of its connection."""

import asyncio

from framewarden.session import Peer

__all__ = ["peer_of", "socket_of"]


def peer_of(transport: asyncio.BaseTransport, address: str) -> Peer:
    """The two ends of a connection; ``address``: of the peer, for a transport that has forgotten it."""
    host, _, port = address.rpartition(":")
    remote = transport.get_extra_info("peername") or (host.strip("[]"), int(port or 0))
    local = transport.get_extra_info("sockname") or ("", 0)
    tls = transport.get_extra_info("ssl_object")
    return Peer(remote[0], remote[1], local[0], local[1], None if tls is None else tls.version())


def socket_of(transport: asyncio.BaseTransport) -> int:
    """The descriptor of a plain TCP transport's socket; -1: it has none."""
    sock = transport.get_extra_info("socket")
    return -1 if sock is None else sock.fileno()
