"""Who may connect: decided about a valid opening handshake, before the upgrade.

Imports codec and the leaves; knows nothing of sockets or sessions. Request checks, origins, authentication and the
choice of subprotocol and extensions live here.
"""

from framewarden.admission.admission import Accepted, Admission, Authenticate
from framewarden.admission.names import HostPort, Origin, format_host, parse_host, parse_origin
from framewarden.admission.reporting import describe_error, report_refusal

__all__ = [
    "Accepted",
    "Admission",
    "Authenticate",
    "HostPort",
    "Origin",
    "describe_error",
    "format_host",
    "parse_host",
    "parse_origin",
    "report_refusal",
]
