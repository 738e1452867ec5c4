"""A connected peer, as the application sees it, and the application, as the server sees it.

Imports admission, engine and what is left of them; knows nothing of sockets.
"""

from framewarden.session._session import Link, Session, broadcast
from framewarden.session.handler import Echo, Handler
from framewarden.session.session import Broadcast, Delivery, Peer

__all__ = ["Broadcast", "Delivery", "Echo", "Handler", "Link", "Peer", "Session", "broadcast"]
