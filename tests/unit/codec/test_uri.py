"""WebSocket URIs: what is read, and what is not one."""

import time

import pytest

from framewarden.codec.uri import MAX_URI, WebSocketUri, parse_uri
from framewarden.errors import ArgumentError


@pytest.mark.parametrize(
    ("uri", "secure", "host", "port", "target", "authority"),
    [
        ("ws://example.org", False, "example.org", 80, "/", "example.org"),
        ("wss://example.org", True, "example.org", 443, "/", "example.org"),
        ("ws://example.org:80/", False, "example.org", 80, "/", "example.org"),
        ("ws://example.org:443/", False, "example.org", 443, "/", "example.org:443"),
        ("wss://example.org:8443/chat?x=1&y=%20", True, "example.org", 8443, "/chat?x=1&y=%20", "example.org:8443"),
        ("WSS://Example.ORG/Chat", True, "example.org", 443, "/Chat", "example.org"),
        ("ws://example.org?x=1", False, "example.org", 80, "/?x=1", "example.org"),
        ("ws://example.org:/", False, "example.org", 80, "/", "example.org"),
        ("ws://127.0.0.1:1/", False, "127.0.0.1", 1, "/", "127.0.0.1:1"),
        ("ws://example.org./", False, "example.org.", 80, "/", "example.org."),
        (f"ws://{'a' * 63}.{'b' * 63}", False, f"{'a' * 63}.{'b' * 63}", 80, "/", f"{'a' * 63}.{'b' * 63}"),
        ("ws://[::ffff:1.2.3.4]/", False, "::ffff:102:304", 80, "/", "[::ffff:102:304]"),
        ("ws://[::1]:65535/", False, "::1", 65535, "/", "[::1]:65535"),
        ("wss://[0:0:0:0:0:0:0:1]", True, "::1", 443, "/", "[::1]"),
    ],
)
def test_a_uri(uri, secure, host, port, target, authority):
    assert parse_uri(uri) == WebSocketUri(secure, host, port, target, authority)


def test_the_path_has_no_query():
    assert parse_uri("ws://a/b?c").path == "/b"
    assert parse_uri("ws://a").path == "/"


@pytest.mark.parametrize(
    "uri",
    [
        "",
        "example.org",
        "//example.org",
        "http://example.org",
        "ws:/example.org",
        "ws:example.org",
        "ws://",
        "ws:///path",
        "ws://example.org#fragment",
        "ws://example.org/#",
        "ws://user@example.org",
        "ws://user:secret@example.org",
        "ws://good.example@evil.example/",
        "ws://example.org:0",
        "ws://example.org:65536",
        "ws://example.org:-1",
        "ws://example.org:8o",
        "ws://exa mple.org",
        "ws://ex%61mple.org",
        "ws://müller.example",
        "ws://.",
        "ws://.example.org",
        "ws://example..org",
        "ws://example.org..",
        "ws://" + "a" * 64 + ".example",
        "ws://example." + "a" * 64,
        "ws://[::g]",
        "ws://[::1",
        "ws://::1",
        "ws://[fe80::1%eth0]",
        "ws://example.org\\@evil.example",
        "ws://example.org/a b",
        "ws://example.org/ä",
        "ws://example.org/%zz",
        "ws://example.org/\r\nX: y",
        "ws://example.org\r\n",
        " ws://example.org",
        "ws://example.org\n",
        "ws://example.org/" + "a" * MAX_URI,
    ],
)
def test_not_a_uri(uri):
    with pytest.raises(ArgumentError) as caught:
        parse_uri(uri)
    assert "secret" not in str(caught.value)
    assert "evil" not in str(caught.value)


def test_the_longest_uri():
    assert len(parse_uri("ws://a/" + "b" * (MAX_URI - 7)).target) == MAX_URI - 6


def test_time_is_linear():
    begun = time.process_time()
    for uri in ("ws://" + "a" * 10**6, "ws://" + "a:" * 4000, "ws://a/" + "%41" * 2700 + "%"):
        with pytest.raises(ArgumentError):
            parse_uri(uri)
    assert time.process_time() - begun < 0.5
