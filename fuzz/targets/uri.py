"""Invariant: a text is a WebSocket URI, whose request our own server takes and reads alike; or an ArgumentError.

So a URI cannot put anything into the request, and its host is the one that the Host header names.
"""

from collections.abc import Iterable

from framewarden.admission.names import parse_host
from framewarden.codec.client_handshake import Offer, request_head
from framewarden.codec.handshake import HandshakeParser, Request
from framewarden.codec.uri import parse_uri
from framewarden.errors import ArgumentError
from framewarden.policy import Limits

ALLOWED: tuple[type[Exception], ...] = (ArgumentError,)
KEY = "dGhlIHNhbXBsZSBub25jZQ=="
LIMITS = Limits(max_header_bytes=10_000)
URIS = (
    "ws://example.org",
    "wss://example.org:8443/chat?x=1#y",
    "WS://EXAMPLE.org:80",
    "ws://127.0.0.1:1/%41",
    "ws://[::1]:8080/a//b",
    "ws://[::ffff:1.2.3.4]",
    "ws://user:password@example.org/",
    "ws://example.org:65536/",
    "ws://a?b",
    "ws://a:/",
    "ws://a/[]^|?{}`\\",
    "http://a/",
)
TOKENS = tuple(
    map(str.encode, ("ws", "wss", "://", "@", ":", "/", "?", "#", "[", "]", "%41", "%", "\r\n", " ", "\0", "ä"))
)


def one(data: bytes) -> None:
    try:
        uri = parse_uri(data.decode("utf-8", "replace"))
    except ArgumentError as error:
        assert str(error).isascii()
        return
    assert 0 < uri.port <= 65535
    assert uri.target.startswith("/")
    assert uri.host == uri.host.lower()
    request = HandshakeParser(LIMITS).feed(request_head(uri, Offer(key=KEY)))
    assert isinstance(request, Request), request
    assert (request.target, request.path, request.host) == (uri.target, uri.path, uri.authority)
    assert request.headers[0] == ("host", uri.authority)
    assert len(request.headers) == 5
    host = parse_host(request.host, 443 if uri.secure else 80)
    assert host == (uri.host, uri.port)


def seeds() -> Iterable[bytes]:
    return [uri.encode() for uri in URIS]
