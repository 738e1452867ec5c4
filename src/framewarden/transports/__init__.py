"""How bytes get in and out: sockets, event loop, carrier. The only room that imports picows, aiofastnet and uvloop.

One file a thing: ``acceptor`` takes sockets in, ``upgrade`` runs the opening handshake on one of them,
``picows_carrier`` carries it from then on, ``connection`` moves bytes between carrier, Inspector and handler,
``ending`` closes, ``wheel`` keeps the time, ``server`` puts them together; ``serving`` runs a server as a process that
signals are sent to, ``workers`` as several. ``picows`` is the drop-in for users of picows, on ``listening``. ``client``
opens a connection to a server, and ``client_connection`` is it.
"""

from framewarden.transports.client import connect
from framewarden.transports.client_connection import ClientConnection
from framewarden.transports.server import Server
from framewarden.transports.serving import serve

__all__ = ["ClientConnection", "Server", "connect", "serve"]
