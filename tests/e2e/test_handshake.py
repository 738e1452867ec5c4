"""The opening handshake over real sockets: statuses, deadlines, bytes that come too early."""

import asyncio
import collections
import contextlib
import gc
import os
import ssl

import pytest
import trustme

from framewarden.errors import PolicyError
from framewarden.identity import Identity
from framewarden.policy import Access, Deflate, Limits, Policy
from framewarden.session import Handler
from framewarden.transports import Server
from tests.e2e.harness import connected, frame, head, rules, run, serving, text, until, upgraded


@run
async def test_101():
    policy = Policy(deflate=Deflate(), access=Access(subprotocols=("b", "a")))
    async with (
        serving(policy=policy) as server,
        upgraded(
            server,
            "Sec-WebSocket-Protocol: a, b",
            "Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits",
        ) as client,
    ):
        assert client.headers["upgrade"] == "websocket"
        assert client.headers["connection"].lower() == "upgrade"
        assert client.headers["sec-websocket-accept"] == "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="
        assert client.headers["sec-websocket-protocol"] == "b"
        assert client.headers["sec-websocket-extensions"].startswith("permessage-deflate")
        client.send(text("hi"))
        assert await client.read_text() == "hi"
        assert server.events == []


@run
async def test_nothing_is_echoed_that_was_not_agreed():
    async with (
        serving() as server,
        upgraded(server, "Sec-WebSocket-Protocol: a", "Sec-WebSocket-Extensions: permessage-deflate") as client,
    ):
        assert "sec-websocket-protocol" not in client.headers
        assert "sec-websocket-extensions" not in client.headers


@pytest.mark.parametrize(
    ("status", "rule", "options"),
    [
        (400, "websocket-key", {"leave_out": ["Sec-WebSocket-Key"]}),
        (400, "websocket-key", {"extra": ["Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ=="]}),
        (426, "websocket-version", {"leave_out": ["Sec-WebSocket-V"], "extra": ["Sec-WebSocket-Version: 8"]}),
        (400, "version-repeated", {"extra": ["Sec-WebSocket-Version: 13"]}),
        (405, "method", {"method": "POST"}),
        (505, "http-version", {"version": "HTTP/1.0"}),
        (400, "host", {"leave_out": ["Host"]}),
        (403, "host-not-allowed", {"host": "evil.example"}),
        (426, "upgrade-required", {"leave_out": ["Upgrade"]}),
        (426, "upgrade-required", {"leave_out": ["Connection"]}),
        (403, "origin", {"extra": ["Origin: https://evil.example"]}),
        (403, "origin", {"extra": ["Origin: null"]}),
        (400, "request-body", {"extra": ["Content-Length: 5"]}),
        (400, "request-body", {"extra": ["Transfer-Encoding: chunked"]}),
        (400, "header-syntax", {"extra": [" folded"]}),
        (400, "header-syntax", {"extra": ["X: \x0b"]}),
        (431, "header-too-long", {"extra": ["X: " + "a" * 65536]}),
        (431, "too-many-headers", {"extra": ["X: 1"] * 200}),
        (414, "target-too-long", {"path": "/" + "a" * 10000}),
    ],
)
@run
async def test_refusals_arrive(status, rule, options):
    async with serving() as server, connected(server) as client:
        client.send(head(server, *options.pop("extra", ()), **options))
        assert await client.read_head() == status
        assert "close" in client.headers["connection"]
        body = await client.read_eof()
        assert len(body) == int(client.headers["content-length"])
        assert rules(server) == [rule]
        event = server.events[0]
        assert (event.action, event.offset) == ("refuse", -1)
        assert event.address.startswith("127.0.0.1:")


@run
async def test_a_refusal_arrives_though_the_client_goes_on_sending():
    async with serving() as server, connected(server) as client:
        client.send(head(server, method="POST"), b"x" * 3_000_000)
        assert await client.read_head() == 405
        assert await client.read_eof() == b"405 Method Not Allowed\n"


@run
async def test_a_slow_handshake():
    async with serving(limits=Limits(handshake_seconds=0.2)) as server, connected(server) as client:
        for byte in head(server)[:20]:
            client.send(bytes([byte]))
            await asyncio.sleep(0.001)
        assert await client.read_head() == 408
        await client.read_eof()
        assert rules(server) == ["handshake-timeout"]


@run
async def test_a_byte_at_a_time_within_the_deadline():
    async with serving() as server, connected(server) as client:
        for byte in head(server):
            client.send(bytes([byte]))
            await asyncio.sleep(0)
        assert await client.read_head() == 101


@run
async def test_early_data_in_one_write():
    async with serving() as server, connected(server) as client:
        client.send(head(server), text("early"))
        assert await client.read_head() == 400
        assert rules(server) == ["early-data"]


class Slow(Handler):
    """Needs a moment to know who it is."""

    def __init__(self):
        self.release = asyncio.Event()
        self.cancelled = False
        self.opened = 0

    async def authenticate(self, request):
        try:
            await self.release.wait()
        except asyncio.CancelledError:
            self.cancelled = True
            raise
        return Identity(subject="ann")

    def on_open(self, session):
        self.opened += 1
        session.send(session.identity.subject)


@run
async def test_early_data_while_the_admission_waits():
    handler = Slow()
    async with serving(handler) as server, connected(server) as client:
        client.send(head(server))
        await asyncio.sleep(0.05)
        client.send(frame(9))
        assert await client.read_head() == 400
        assert rules(server) == ["early-data"]
        await until(lambda: handler.cancelled)
        assert handler.opened == 0


@run
async def test_bytes_that_the_kernel_holds_before_the_101():
    class Blocking(Handler):
        def authenticate(self, request):
            os.write(client.writer.get_extra_info("socket").fileno(), frame(9))  # arrives while nobody reads
            return Identity(subject="ann")

    async with serving(Blocking) as server, connected(server) as client:
        client.send(head(server))
        assert await client.read_head() == 400
        assert rules(server) == ["early-data"]


@run
async def test_an_asynchronous_admission():
    handler = Slow()
    async with serving(handler) as server, connected(server) as client:
        client.send(head(server))
        await asyncio.sleep(0.02)
        handler.release.set()
        assert await client.read_head() == 101
        assert await client.read_text() == "ann"


@run
async def test_a_client_that_goes_away_frees_its_admission():
    handler = Slow()
    async with serving(handler) as server:
        async with connected(server) as client:
            client.send(head(server))
            await asyncio.sleep(0.05)
        await until(lambda: handler.cancelled)


@run
async def test_an_admission_that_never_ends():
    handler = Slow()
    async with serving(handler, limits=Limits(handshake_seconds=0.2)) as server, connected(server) as client:
        client.send(head(server))
        assert await client.read_head() == 503
        assert rules(server) == ["authenticate-error"]  # the peer has done its part
        await until(lambda: handler.cancelled)


@run
async def test_an_error_of_ours_in_an_asynchronous_admission_closes(monkeypatch):
    handler = Slow()
    async with serving(handler) as server, connected(server) as client:
        client.send(head(server))
        await asyncio.sleep(0.05)
        (member,) = server._context.members
        monkeypatch.setattr(type(member), "_conclude", lambda self, decision: 1 / 0)
        handler.release.set()
        with contextlib.suppress(ConnectionError):
            assert await client.read_eof() == b""
        await until(lambda: not server._context.members)


@run
async def test_authenticate_that_is_set_on_the_object():
    handler = Handler()
    handler.authenticate = lambda request: None
    async with serving(handler) as server, connected(server) as client:
        client.send(head(server))
        assert await client.read_head() == 401


@pytest.mark.parametrize("challenge", ['Bearer realm="é"', "", "a\r\nb", None])
def test_a_challenge_that_cannot_be_sent(challenge):
    class Bad(Handler):
        def authenticate(self, request):
            return None

    Bad.challenge = challenge
    with pytest.raises(PolicyError, match="challenge"):
        Server(Bad)


@pytest.mark.parametrize(
    ("error", "status", "rule"),
    [(None, 401, "unauthenticated"), (PermissionError, 403, "forbidden"), (ValueError, 503, "authenticate-error")],
)
@run
async def test_authenticate_refuses(error, status, rule):
    class Refusing(Handler):
        def authenticate(self, request):
            if error:
                raise error

    async with serving(Refusing) as server, connected(server) as client:
        client.send(head(server))
        assert await client.read_head() == status
        assert ("www-authenticate" in client.headers) == (status == 401)
        assert rules(server) == [rule]


@run
async def test_too_many_connections():
    async with serving(limits=Limits(max_connections=1)) as server:
        async with upgraded(server) as first:
            async with connected(server) as second:
                assert await second.read_head() == 503
                assert rules(server) == ["too-many-connections"]
            first.send(text("still here"))
            assert await first.read_text() == "still here"
        for _ in range(100):  # the server sees the end a moment later
            async with connected(server) as third:
                third.send(head(server))
                if await third.read_head() == 101:
                    break
            await asyncio.sleep(0.01)
        else:
            raise AssertionError("the first connection's place was not given back")


@pytest.fixture
def context():
    """TLS of a server."""
    made = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    trustme.CA().issue_cert("localhost").configure_cert(made)
    return made


@run
async def test_a_silent_tls_peer_is_seen_by_the_deadline(context):
    limits = Limits(handshake_seconds=0.2)
    async with serving(limits=limits, ssl=context) as server, connected(server) as client:
        assert await client.read_eof() == b""
        await until(lambda: rules(server) == ["handshake-timeout"])
        await until(lambda: not server._context.members)


@pytest.mark.parametrize(
    "data", [b"GET / HTTP/1.1\r\n\r\n", b"", b"\x16\x03\x01", b"\x16\x03\x01\xff\xff" + b"x" * 70_000]
)
@run
async def test_a_peer_that_cannot_do_tls_is_not_worth_a_line_in_the_log(context, data, caplog):
    async with serving(ssl=context) as server, connected(server) as client:
        client.send(data)
        client.writer.write_eof()
        with contextlib.suppress(ConnectionError):
            await client.read_eof()
        await until(lambda: not server._context.members)
        assert caplog.records == []


@run
async def test_a_broken_tls_handshake_leaves_nothing_to_the_garbage_collector(context):
    async def break_off(server):
        async with connected(server) as client:
            client.send(b"no TLS at all")
            with contextlib.suppress(ConnectionError):
                await client.read_eof()
        await until(lambda: not server._context.members)

    async with serving(ssl=context) as server:
        await break_off(server)
        gc.collect()
        gc.disable()
        gc.set_debug(gc.DEBUG_SAVEALL)
        try:
            for _ in range(50):
                await break_off(server)
            gc.collect()
            left = collections.Counter(type(found).__name__ for found in gc.garbage)
        finally:
            gc.set_debug(0)
            gc.garbage.clear()
            gc.enable()
        assert left.keys().isdisjoint({"TlsAdmission", "SSLTransport", "SSLObject", "_SSLSocket", "traceback"}), left


@run
async def test_an_unexpected_error_gives_the_place_back(context, monkeypatch, caplog):
    async def broken(*arguments):
        raise ValueError(secret)

    secret = "what a log must not quote"
    monkeypatch.setattr("framewarden.transports.tls.connect_tls", broken)
    async with serving(ssl=context) as server, connected(server) as client:
        assert await client.read_eof() == b""
        await until(lambda: not server._context.members)
        assert "ValueError" in caplog.text
        assert secret not in caplog.text
