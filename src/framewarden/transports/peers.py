"""What a transport knows about the two ends of its connection."""

import asyncio

from framewarden.session import Peer

__all__ = ["peer_of"]


def peer_of(transport: asyncio.BaseTransport, address: str) -> Peer:
    """The two ends of a connection; ``address``: of the peer, for a transport that has forgotten it."""
    host, _, port = address.rpartition(":")
    remote = transport.get_extra_info("peername") or (host.strip("[]"), int(port or 0))
    local = transport.get_extra_info("sockname") or ("", 0)
    tls = transport.get_extra_info("ssl_object")
    if tls is None:
        return Peer(remote[0], remote[1], local[0], local[1], None)
    return Peer(remote[0], remote[1], local[0], local[1], tls.version(), tls.getpeercert() or None)
