"""Attacks with opening handshakes (RFC 6455 4.2.1, RFC 9112); each is a good request but for one thing."""

from framewarden.apps.cases.wire import ADDRESS, head
from framewarden.apps.demo.attack import Attack, text

__all__ = ["HANDSHAKES"]

KIB = 1024

HTTP = (
    Attack(rule="request-line", sent="two spaces behind GET", data=head(line="GET  /chat HTTP/1.1")),
    Attack(rule="http-version", sent="HTTP/1.0", data=head(line="GET /chat HTTP/1.0")),
    Attack(rule="method", sent="POST", data=head(line="POST /chat HTTP/1.1")),
    Attack(
        rule="request-target",
        sent="a whole URL as the target",
        data=head(line=f"GET http://{ADDRESS}/chat HTTP/1.1"),
    ),
    Attack(rule="header-syntax", sent="a space before the colon", data=head("Content-Length : 5")),
    Attack(rule="target-too-long", sent="a path of 64 KiB", data=head(line=f"GET /{'a' * 64 * KIB} HTTP/1.1")),
    Attack(rule="header-too-long", sent="a header of 64 KiB", data=head(f"Cookie: {'a' * 64 * KIB}")),
    Attack(rule="too-many-headers", sent="200 headers more", data=head(*("Cookie: a",) * 200)),
    Attack(rule="head-too-long", sent="4 headers of 6 KiB", data=head(*(f"Cookie: {'a' * 6 * KIB}",) * 4)),
    Attack(rule="host", sent="two Host headers", data=head("Host: evil.example")),
    Attack(rule="request-body", sent="a request with a body", data=head("Content-Length: 5") + b"hello"),
)

WEBSOCKET = (
    Attack(rule="upgrade-required", sent="no Upgrade header", data=head(change={"Upgrade": None})),
    Attack(rule="websocket-version", sent="version 8", data=head(change={"Sec-WebSocket-Version": "8"})),
    Attack(rule="version-repeated", sent="versions 13 and 8", data=head("Sec-WebSocket-Version: 8")),
    Attack(
        rule="websocket-key", sent="a key of 15 bytes", data=head(change={"Sec-WebSocket-Key": "YWJjZGVmZ2hpamtsbW5v"})
    ),
    Attack(rule="subprotocol-syntax", sent="a subprotocol twice", data=head("Sec-WebSocket-Protocol: v1, v1")),
    Attack(
        rule="extension-syntax",
        sent="a parameter without a name",
        data=head("Sec-WebSocket-Extensions: permessage-deflate; =15"),
    ),
    Attack(rule="early-data", sent="a frame before the 101", data=head() + text('{"type":"join","room":"lobby"}')),
)

ADMISSION = (
    Attack(
        rule="host-not-allowed",
        sent="Host: evil.example (DNS rebinding)",
        data=head(change={"Host": "evil.example"}),
    ),
    Attack(rule="origin", sent="Origin: https://evil.example", data=head("Origin: https://evil.example")),
    Attack(
        rule="not-found", sent="a path that is not served", data=head(line="GET /admin HTTP/1.1"), against="members"
    ),
    Attack(rule="unauthenticated", sent="no token", data=head(), against="members"),
    Attack(
        rule="forbidden",
        sent="the token of an expelled member",
        data=head("Authorization: Bearer expelled"),
        against="members",
    ),
    Attack(
        rule="authenticate-error",
        sent="a token, while the database is down",
        data=head("Authorization: Bearer database-is-down"),
        against="members",
    ),
    Attack(
        rule="too-many-connections", sent="a second connection where 1 may be", data=head(), against="small", crowd=1
    ),
    Attack(
        rule="too-many-pending",
        sent="a third handshake where 2 may be under way",
        data=head(),
        against="narrow",
        silent_crowd=2,
    ),
)

HANDSHAKES = HTTP + WEBSOCKET + ADMISSION
