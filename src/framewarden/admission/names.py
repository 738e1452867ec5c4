"""Host names and origins: read into tuples that can be compared exactly, and the defaults for a listening address."""

import functools
import ipaddress
import re

from framewarden.codec.grammar import HOST

__all__ = [
    "LOCAL_NAMES",
    "HostPort",
    "Origin",
    "default_hosts",
    "format_host",
    "parse_host",
    "parse_origin",
    "usual_text",
]

HostPort = tuple[str, int]
"""A name in lower case, or an IP address in its shortest form without brackets; and a port."""
Origin = tuple[str, str, int]
"""A scheme in lower case, then as in HostPort (RFC 6454 4)."""

LOCAL_NAMES = ("localhost", "127.0.0.1", "::1")
LONGEST_REMEMBERED = 256
"""Characters of an origin whose reading is remembered."""
DEFAULT_PORTS = {"http": 80, "https": 443}

# RFC 6454 6.2: ASCII serialisation of an origin: scheme "://" host [ ":" port ]; browsers leave the default port out.
_ORIGIN = re.compile(r"(?P<scheme>[A-Za-z][A-Za-z0-9+.\-]*)://(?P<host>[^/?#@]+)")


def format_host(name: str, port: int) -> str:
    """``name:port``, with brackets around an IPv6 address."""
    return f"[{name}]:{port}" if ":" in name else f"{name}:{port}"


def _canonical(name: str) -> str:
    """One spelling for each name: lower case, no brackets, the shortest form of an IPv6 address."""
    name = name.lower()
    if not name.startswith("["):
        return name
    try:
        return ipaddress.IPv6Address(name[1:-1]).compressed
    except ValueError:
        return name


def parse_host(value: str, default_port: int) -> HostPort | None:
    """Read ``uri-host [":" port]`` (RFC 9110 7.2); None if it is not that."""
    match = HOST.fullmatch(value)
    if match is None:
        return None
    port = int(match["port"] or default_port)
    return (_canonical(match["name"]), port) if port <= 65535 else None


def parse_origin(value: str) -> Origin | None:
    """Read one serialised origin; None if it is not one, or ``null``, or a scheme that has no default port has none."""
    return _remembered_origin(value) if len(value) <= LONGEST_REMEMBERED else _parse_origin(value)


def _parse_origin(value: str) -> Origin | None:
    match = _ORIGIN.fullmatch(value)
    if match is None:
        return None
    scheme = match["scheme"].lower()
    host = parse_host(match["host"], DEFAULT_PORTS.get(scheme, 0))
    return (scheme, *host) if host is not None and host[1] else None


# A page that is refused comes again and again. What a peer can make us remember is bounded: 64 times 256 characters.
_remembered_origin = functools.lru_cache(maxsize=64)(_parse_origin)


def default_hosts(address: HostPort) -> frozenset[HostPort]:
    """Those of the address that the server listens on, and of localhost, on its port."""
    name, port = address
    return frozenset((_canonical(f"[{each}]" if ":" in each else each), port) for each in (name, *LOCAL_NAMES))


def usual_text(name: str, port: int, default_port: int) -> str:
    """How a client usually writes this host, the default port left out: what is equal need not be parsed."""
    return format_host(name, port) if port != default_port else f"[{name}]" if ":" in name else name
