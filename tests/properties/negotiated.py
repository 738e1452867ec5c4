"""What ``framewarden.testing`` draws, as the oracle and ``tests/playback.py`` take it."""

from framewarden.testing import Peer
from tests.oracle import Inflate

__all__ = ["inflate"]


def inflate(peer: Peer) -> Inflate | None:
    """What the messages that are read were compressed with; the oracle knows one direction only."""
    return None if peer.compression is None else Inflate(*peer.compression)
