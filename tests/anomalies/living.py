"""An Inspector from its beginning to its end, the kernels and the opening handshakes."""

from collections.abc import Callable
from typing import Any

import pytest

from framewarden.codec import handshake
from framewarden.codec.client_handshake import Offer, ResponseParser
from framewarden.codec.extensions import DeflateParameters
from framewarden.codec.handshake import HandshakeParser
from framewarden.engine import Inspector
from framewarden.kernels import Utf8Validator, decode_utf8, find_invalid_utf8, unmask
from framewarden.policy import Limits, Policy, Schema
from framewarden.rfc6455 import Role
from tests.anomalies.attempts import Attempt, Outcome, Scenario, Scenarios, memory_error, pure
from tests.anomalies.receiving import frame
from tests.vectors.schemas import Join, Say

__all__ = ["ending", "heads", "kernels", "making"]


# ---- An Inspector's life


def making() -> Scenarios:
    """An Inspector is there, or MemoryError."""
    schema = Schema(text=Say | Join, routes={"/b": Schema(binary=Say)})
    for name, policy, options in (
        ("hardened", Policy(), {}),
        ("with a schema", Policy(schema=schema), {}),
        ("with a schema for its route", Policy(schema=schema), {"route": "/b"}),
        ("with deflate", Policy(), {"deflate": DeflateParameters()}),
    ):
        for role in ("server", "client"):
            yield f"{name}, {role}", made(policy, role, options)
    yield "a schema that is compiled", compiled


def made(policy: Policy, role: str, options: dict[str, Any]) -> Scenario:
    def make() -> Inspector:
        return Inspector(policy, role, **options)

    def check(outcome: Outcome) -> None:
        if not memory_error(outcome):
            assert outcome.results[0].role == Role(role)
        assert make().receive_data(b"") == []

    return lambda: Attempt([(make, ())], check)


def compiled() -> Attempt:
    """A policy that no Inspector has used yet: nothing half made stays behind for the next one."""
    policy = Policy(schema=Schema(text=Say | Join))

    def check(outcome: Outcome) -> None:
        memory_error(outcome)
        inspector = Inspector(policy, "client")
        [message] = inspector.receive_data(frame(0x81, b'{"type":"join","room":"a"}'))
        assert message.data == Join("a")

    return Attempt([(Inspector, (policy,))], check)


def ending() -> Scenarios:
    """Failing, the end of the transport, and being dropped in the middle of something."""
    yield "fail", failing
    for name, stream in (
        ("nothing", b""),
        ("a header", b"\x81\xfe"),
        ("a frame", b"\x81\x85abcdxy"),
        ("a fragment", b"\x01\x81abcdx\x80\x85"),
    ):
        yield f"dropped in {name}", dropped(stream)


def failing() -> Attempt:
    inspector = Inspector(key_source=bytes)

    def check(outcome: Outcome) -> None:
        if memory_error(outcome):
            inspector.fail("idle-timeout")
        assert inspector.violation.rule in ("idle-timeout", "out-of-memory")
        assert inspector.data_to_send()[2:] == (
            inspector.violation.close_code.to_bytes(2, "big") + inspector.violation.rule.encode()
        )

    return Attempt([(inspector.fail, ("idle-timeout",))], check)


def dropped(stream: bytes) -> Scenario:
    """The last reference goes when there is no memory at all."""

    def attempt() -> Attempt:
        holder = [Inspector(key_source=bytes)]
        holder[0].receive_data(stream)
        holder[0].send_text("waits")

        def check(outcome: Outcome) -> None:
            assert outcome.error is None
            assert holder == []

        return Attempt([(holder.clear, ())], check)

    return attempt


# ---- Kernels


def kernels() -> Scenarios:
    for text in ("ascii", "größe", "東京", "🎈"):
        data = text.encode()
        yield f"decode_utf8 {text}", pure(decode_utf8, data, expected=text)
        yield f"find_invalid_utf8 {text}", pure(find_invalid_utf8, data, expected=None)
        yield f"decode_utf8 of a buffer, {text}", pure(decode_utf8, bytearray(data), expected=text)
    yield "find_invalid_utf8", pure(find_invalid_utf8, bytes(300) + b"\xff", expected=300)
    yield "unmask", pure(unmask, b"abcd" * 50, b"\x01\x02\x03\x04", 1, expected=unmask(b"abcd" * 50, b"\1\2\3\4", 1))
    yield "unmask a buffer", pure(unmask, bytearray(b"abcd"), bytearray(b"\0\0\0\0"), expected=b"abcd")
    yield "Utf8Validator", validating


def validating() -> Attempt:
    """A piece for which there was no memory has not been read: it can be fed again."""
    validator = Utf8Validator()
    pieces = [b"gr", "ü".encode()[:1], "ü".encode()[1:] + b"\0e"]
    calls = [(validator.feed_masked, (piece, b"\0\0\0\0")) for piece in pieces]

    def check(outcome: Outcome) -> None:
        if memory_error(outcome):
            assert validator.bytes_seen == sum(map(len, outcome.results))
            for function, arguments in calls[len(outcome.results) :]:
                outcome.results.append(function(*arguments))
        assert outcome.results == pieces
        assert validator.complete
        assert not validator.ascii

    return Attempt(calls, check)


# ---- Opening handshakes

KEY = "dGhlIHNhbXBsZSBub25jZQ=="
REQUEST = (
    b"GET /chat?room=1 HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: keep-alive, Upgrade\r\n"
    b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: " + KEY.encode() + b"\r\nSec-WebSocket-Protocol: chat, log\r\n"
    b"Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits\r\nOrigin: http://localhost\r\n\r\n"
)
RESPONSE = (
    "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    f"Sec-WebSocket-Accept: {handshake.accept_value(KEY)}\r\nSec-WebSocket-Protocol: chat\r\n\r\n"
).encode()
OFFER = Offer(key=KEY, subprotocols=("chat", "log"))


def parsing(make: Callable[[], Any], chunks: list[bytes]) -> Scenario:
    """The verdict, or MemoryError; and then for ever: of a head that has lost a piece nothing can be said."""

    def read() -> Any:
        parser = make()
        return [parser.feed(chunk) for chunk in chunks][-1]

    wanted = read()

    def attempt() -> Attempt:
        parser = make()
        calls = [(parser.feed, (chunk,)) for chunk in chunks]

        def check(outcome: Outcome) -> None:
            if not memory_error(outcome):
                assert outcome.results[-1] == wanted
                return
            for function, arguments in calls:
                with pytest.raises(MemoryError):
                    function(*arguments)

        return Attempt(calls, check)

    return attempt


def heads() -> Scenarios:
    for name, head in (
        ("good", REQUEST),
        ("refused", REQUEST.replace(b"Upgrade: websocket", b"Upgrade: h2c")),
        ("malformed", REQUEST.replace(b"Host:", b"Host :")),
        ("cut short", REQUEST[:100]),
    ):
        thirds = [head[:50], head[50:170], head[170:]]
        yield f"request, {name}", parsing(lambda: HandshakeParser(Limits()), [head])
        yield f"request in pieces, {name}", parsing(lambda: HandshakeParser(Limits()), thirds)
    for name, head in (("good", RESPONSE + b"\x81\x00"), ("rejected", RESPONSE.replace(b"101", b"403"))):
        yield f"response, {name}", parsing(lambda: ResponseParser(Limits(), OFFER), [head])
        yield f"response in pieces, {name}", parsing(lambda: ResponseParser(Limits(), OFFER), [head[:70], head[70:]])
