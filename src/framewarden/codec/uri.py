"""WebSocket URIs (RFC 6455 3), read strictly: what one parser takes for the host, no other may take for something else.

    ws-URI = "ws:" "//" host [ ":" port ] path [ "?" query ]

The grammar has no userinfo and no fragment, so both are refused: a password in a URI ends up in logs.
"""

import ipaddress
import re

import msgspec

from framewarden.codec.grammar import HOST, TARGET
from framewarden.errors import ArgumentError

__all__ = ["MAX_URI", "WebSocketUri", "parse_uri"]

MAX_URI = 8 * 1024
"""Characters of a URI; a server reads a request line of that length."""

_SCHEMES = {"ws": 80, "wss": 443}
_URI = re.compile(r"(?P<scheme>[A-Za-z]+)://(?P<authority>[^/?#]*)(?P<rest>[^#]*)")
# RFC 1035 2.3.4: a label has 63 octets or less; only the one of the root, behind a last dot, is empty. Looking up any
# other raises UnicodeError.
_LABELS = re.compile(r"[^.]{1,63}(?:\.[^.]{1,63})*\.?")


class WebSocketUri(msgspec.Struct, frozen=True):
    """A WebSocket URI in its parts.

    Attributes:
        secure: whether it is wss: TLS.
        host: name in lower case, or an IP address; without brackets.
        port: TCP port; the scheme's where the URI names none.
        target: path and query, as they go into the request line; not decoded.
        authority: value of the Host header: with brackets where they belong, without the scheme's own port.
    """

    secure: bool
    host: str
    port: int
    target: str
    authority: str

    @property
    def path(self) -> str:
        """The target up to the "?"."""
        return self.target.partition("?")[0]


def parse_uri(uri: str) -> WebSocketUri:
    """Read a WebSocket URI. Linear in its length, which may be 8,192 characters.

    Raises:
        ArgumentError: it is not one. The message does not quote it.
    """
    match = _URI.fullmatch(uri) if len(uri) <= MAX_URI else None
    if match is None or match["scheme"].lower() not in _SCHEMES:
        raise ArgumentError(f"a WebSocket URI is ws://host or wss://host, of at most {MAX_URI} characters, no fragment")
    scheme = match["scheme"].lower()
    if "@" in match["authority"]:
        raise ArgumentError("a WebSocket URI has no user and no password; send a header instead")
    host = HOST.fullmatch(match["authority"])
    port = _SCHEMES[scheme] if host is None or not host["port"] else int(host["port"])
    if host is None or "%" in host["name"] or not _LABELS.fullmatch(host["name"]) or not 0 < port <= 65535:
        raise ArgumentError("the URI's host must be a name in ASCII or an IP address, its port 1 to 65535")
    rest = match["rest"] if match["rest"].startswith("/") else f"/{match['rest']}"
    if TARGET.fullmatch(rest) is None:
        raise ArgumentError("the URI's path or query has a character that must be percent-encoded")
    name = host["name"].lower()
    if name.startswith("["):
        name = f"[{_ipv6(name[1:-1])}]"
    authority = name if port == _SCHEMES[scheme] else f"{name}:{port}"
    return WebSocketUri(scheme == "wss", name.strip("[]"), port, rest, authority)


def _ipv6(name: str) -> str:
    try:
        return ipaddress.IPv6Address(name).compressed
    except ValueError:
        raise ArgumentError("the URI's host has brackets and is not an IPv6 address") from None
