"""The opening handshake over real sockets: statuses, deadlines, bytes that come too early."""

import asyncio
import collections
import contextlib
import ctypes
import errno
import gc
import os
import resource
import socket
import ssl
import time
from pathlib import Path

import pytest
import trustme

from framewarden.errors import PolicyError
from framewarden.identity import Identity
from framewarden.policy import Access, Deflate, Limits, Policy
from framewarden.session import Handler
from framewarden.transports import Server
from tests.e2e.harness import PATIENCE, connected, frame, head, rules, run, serving, text, until, upgraded


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


MALFORMED = ("X: \x0b", "X: \x0c", "X: a\x00b", "X: \x7f", "X : 1", "(X): 1", "X\xe9: 1", ": 1")
MALFORMED += ("X: 1\nY: 2", "X: 1\rY: 2", "\tfolded")


@pytest.mark.parametrize(
    ("status", "rule", "options"),
    [
        (400, "websocket-key", {"leave_out": ["Sec-WebSocket-Key"]}),
        (400, "websocket-key", {"leave_out": ["Sec-WebSocket-Key"], "extra": ["Sec-WebSocket-Key: c2hvcnQ="]}),
        (400, "websocket-key", {"extra": ["Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ=="]}),
        (426, "websocket-version", {"leave_out": ["Sec-WebSocket-V"], "extra": ["Sec-WebSocket-Version: 8"]}),
        (426, "websocket-version", {"leave_out": ["Sec-WebSocket-V"], "extra": ["Sec-WebSocket-Version: 13, 8"]}),
        (400, "version-repeated", {"extra": ["Sec-WebSocket-Version: 13"]}),
        (400, "version-repeated", {"extra": ["Sec-WebSocket-Version: 8"]}),
        (405, "method", {"method": "POST"}),
        (505, "http-version", {"version": "HTTP/1.0"}),
        (400, "host", {"leave_out": ["Host"]}),
        (400, "host", {"extra": ["Host: evil.example"]}),
        (403, "host-not-allowed", {"host": "evil.example"}),
        (426, "upgrade-required", {"leave_out": ["Upgrade"]}),
        (426, "upgrade-required", {"leave_out": ["Connection"]}),
        (403, "origin", {"extra": ["Origin: https://evil.example"]}),
        (403, "origin", {"extra": ["Origin: null"]}),
        (400, "request-body", {"extra": ["Content-Length: 5"]}),
        (400, "request-body", {"extra": ["Transfer-Encoding: chunked"]}),
        (400, "header-syntax", {"extra": [" folded"]}),
        *[(400, "header-syntax", {"extra": [line]}) for line in MALFORMED],
        (431, "header-too-long", {"extra": ["X: " + "a" * 65536]}),
        (431, "too-many-headers", {"extra": ["X: 1"] * 200}),
        (414, "target-too-long", {"path": "/" + "a" * 10000}),
    ],
)
@run
async def test_refusals_arrive(status, rule, options):
    async with serving() as server:
        data = head(server, *options.pop("extra", ()), **options)
        for cut in (len(data), len(data) // 2):
            async with connected(server) as client:
                client.send(data[:cut])
                await client.writer.drain()
                if cut < len(data):
                    await asyncio.sleep(0.01)
                client.send(data[cut:])
                assert await client.read_head() == status
                await is_a_refusal(client)
        assert rules(server) == [rule, rule]
        event = server.events[0]
        assert (event.action, event.offset) == ("refuse", -1)
        assert event.address.startswith("127.0.0.1:")


async def is_a_refusal(client):
    """What every refusal has."""
    assert "close" in client.headers["connection"]
    assert len(await client.read_eof()) == int(client.headers["content-length"])


@run
async def test_a_path_that_is_not_served():
    async with serving(policy=Policy(access=Access(paths=("/chat",)))) as server:
        async with connected(server) as client:
            client.send(head(server, path="/admin"))
            assert await client.read_head() == 404
            await is_a_refusal(client)
        async with upgraded(server, path="/chat?a=b"):
            assert rules(server) == ["not-found"]


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


async def trickle(client, data, pause=0.01):
    """Send a byte at a time until the server has had enough."""
    for byte in data:
        if client.reader.at_eof() or client.reader._buffer:
            return
        client.send(bytes([byte]))
        await asyncio.sleep(pause)


@pytest.mark.parametrize("secure", [False, True])
@run
async def test_a_trickle_is_cut_before_the_deadline(secure, authority, monkeypatch):
    monkeypatch.setattr("framewarden.transports.upgrade.HEAD_GRACE_SECONDS", 0.2)
    tls = tls_of(authority) if secure else (None, None)
    limits = Limits(min_head_rate=1000, handshake_seconds=20)
    async with serving(limits=limits, ssl=tls[0]) as server, connected(server, tls[1]) as client:
        begun = time.monotonic()
        await trickle(client, head(server) * 100)
        assert await client.read_head() == 408
        assert 0.2 < time.monotonic() - begun < 4
        await is_a_refusal(client)
        assert rules(server) == ["handshake-timeout"]


@run
async def test_a_slow_head_that_is_fast_enough(monkeypatch):
    monkeypatch.setattr("framewarden.transports.upgrade.HEAD_GRACE_SECONDS", 0.05)
    async with serving(limits=Limits(min_head_rate=5, idle_seconds=0.5)) as server, connected(server) as client:
        await trickle(client, head(server), pause=0.002)  # for about half a second: visited several times
        assert await client.read_head() == 101


@pytest.mark.parametrize("secure", [False, True])
@run
async def test_a_connection_that_says_nothing_ends_at_the_deadline(secure, authority, monkeypatch):
    monkeypatch.setattr("framewarden.transports.upgrade.HEAD_GRACE_SECONDS", 0.01)
    tls = tls_of(authority) if secure else (None, None)
    limits = Limits(min_head_rate=10**6, handshake_seconds=0.4)
    async with serving(limits=limits, ssl=tls[0]) as server:
        begun = time.monotonic()
        async with connected(server, tls[1]) as client:
            assert await client.read_head() == 408
            assert time.monotonic() - begun > 0.35
            await is_a_refusal(client)
        await until(lambda: not server._context.members)


@run
async def test_too_many_handshakes_of_one_address():
    async with serving(limits=Limits(max_pending_per_address=2)) as server:
        async with upgraded(server), connected(server):  # the first is no handshake any more
            async with connected(server):
                await until(lambda: len(server._context.members) == 3)
                async with connected(server) as third:
                    assert await third.read_head() == 503
                    await is_a_refusal(third)
                assert rules(server) == ["too-many-pending"]
            await until(lambda: len(server._context.members) == 2)
            async with upgraded(server):
                assert rules(server) == ["too-many-pending"]
        await until(lambda: not server._context.members)
        assert len(server._acceptor._pending) == 0


@run
async def test_too_many_handshakes_of_one_address_over_tls(authority):
    ours, theirs = tls_of(authority)
    async with serving(limits=Limits(max_pending_per_address=1), ssl=ours) as server:
        async with connected(server):
            await until(lambda: server._context.members)
            async with connected(server) as second:
                with contextlib.suppress(ConnectionError):
                    assert await second.read_eof() == b""
            assert rules(server) == ["too-many-pending"]
        await until(lambda: not server._context.members)
        async with upgraded(server, ssl=theirs) as client:
            client.send(text("hi"))
            assert await client.read_text() == "hi"


@run
async def test_many_that_are_turned_away_at_once(monkeypatch):
    monkeypatch.setattr("framewarden.transports.acceptor.TURNED_AWAY_AT_ONCE", 3)
    async with serving(limits=Limits(max_pending_per_address=1)) as server, contextlib.AsyncExitStack() as stack:
        clients = [await stack.enter_async_context(connected(server)) for _ in range(10)]
        answers = []
        for client in clients[1:]:
            try:
                answers.append(await client.reader.read())
            except ConnectionError:
                answers.append(b"")
        assert [answer[:12] for answer in answers] == [b"HTTP/1.1 503"] * 3 + [b""] * 6
        assert rules(server) == ["too-many-pending"] * 9
        await stack.aclose()
        await until(lambda: not server._context.members)
        assert server._acceptor._turned_away == 0


@run
async def test_a_flood_of_connections_does_not_starve_the_others():
    async with serving(limits=Limits(max_pending_per_address=10_000)) as server, upgraded(server) as good:
        flood = asyncio.create_task(flooded(server))
        for number in range(100):
            good.send(text(str(number)))
            assert await good.read_text() == str(number)
        await flood
    await until(lambda: not server._context.members)


async def flooded(server):
    """Come and go, many at a time."""
    for _ in range(10):
        async with contextlib.AsyncExitStack() as stack:
            for client in [await stack.enter_async_context(connected(server)) for _ in range(30)]:
                client.send(b"GET / HTTP/1.1\r\nHost")


@run
async def test_a_socket_that_cannot_be_watched(monkeypatch, caplog):
    def full(self, descriptor, who):
        raise OSError(errno.ENOSPC, "No space left on device")

    async with serving() as server, upgraded(server) as good:
        with monkeypatch.context() as patch:
            patch.setattr("framewarden.transports.plain.Doorway.watch", full)
            async with connected(server) as client:
                with contextlib.suppress(ConnectionError):
                    assert await client.read_eof() == b""
        assert "cannot accept: No space left" in caplog.text
        assert len(server._acceptor._pending) == 0
        async with upgraded(server):
            good.send(text("still here"))
            assert await good.read_text() == "still here"


@run
async def test_peers_that_reset():
    handler = Slow()
    async with serving(handler) as server:
        for data in (b"", b"GET", head(server), head(server, method="POST"), head(server) + b"x"):
            async with connected(server) as client:
                client.send(data)
                await client.writer.drain()
                client.reset()
            await until(lambda: not server._context.members)
        assert len(server._acceptor._pending) == 0
        handler.release.set()
        async with upgraded(server) as client:
            assert await client.read_text() == "ann"


@run
async def test_an_error_of_ours_in_the_upgrade_closes(monkeypatch, caplog):
    def broken(*arguments):
        raise ValueError(secret)

    secret = "what a log must not quote"
    async with serving() as server:
        monkeypatch.setattr(server._acceptor, "_upgrade", broken)
        async with connected(server) as client:
            client.send(head(server))
            with contextlib.suppress(ConnectionError):
                assert await client.read_eof() == b""
        await until(lambda: not server._context.members)
        assert "ValueError" in caplog.text
        assert secret not in caplog.text


@run
async def test_the_server_stops_while_handshakes_are_under_way():
    async with serving(Slow()) as server, contextlib.AsyncExitStack() as stack:
        clients = [await stack.enter_async_context(connected(server)) for _ in range(4)]
        clients[1].send(b"GET")
        clients[2].send(head(server))
        clients[3].send(head(server, method="POST"))
        assert await clients[3].read_head() == 405
        begun = time.monotonic()
        doorway = server._acceptor._doorway
        await server.close()
        assert time.monotonic() - begun < 3
        assert doorway._epoll.closed
        for client in clients[:3]:
            with contextlib.suppress(ConnectionError):
                assert await client.read_eof() == b""


@run
async def test_both_families_of_localhost():
    async with serving(host="localhost") as server:
        assert len(server.addresses) == len({address[0] for address in server.addresses})
        assert len({port for _, port in server.addresses}) == 1
        for name, port in server.addresses:
            reader, writer = await asyncio.open_connection(name, port)
            writer.write(head(server, host=f"[{name}]:{port}" if ":" in name else None))
            assert (await reader.readline()).startswith(b"HTTP/1.1 101 ")
            writer.close()
            await writer.wait_closed()


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


@pytest.fixture(scope="module")
def authority():
    """A CA of this test."""
    return trustme.CA()


def tls_of(authority, name="127.0.0.1"):
    """Contexts of a server and of a client that trusts it."""
    ours, theirs = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), ssl.create_default_context()
    authority.issue_cert(name).configure_cert(ours)
    authority.configure_trust(theirs)
    return ours, theirs


@pytest.fixture
def context(authority):
    """TLS of a server."""
    return tls_of(authority)[0]


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


# TLS


@pytest.mark.parametrize(
    ("status", "rule", "options"),
    [
        (400, "websocket-key", {"leave_out": ["Sec-WebSocket-Key"]}),
        (426, "websocket-version", {"leave_out": ["Sec-WebSocket-V"], "extra": ["Sec-WebSocket-Version: 8"]}),
        (405, "method", {"method": "POST"}),
        (400, "header-syntax", {"extra": ["X : 1"]}),
        (431, "header-too-long", {"extra": ["X: " + "a" * 65536]}),
        (403, "origin", {"extra": ["Origin: https://evil.example"]}),
    ],
)
@run
async def test_refusals_arrive_over_tls(status, rule, options, authority):
    ours, theirs = tls_of(authority)
    async with serving(ssl=ours) as server, connected(server, theirs) as client:
        client.send(head(server, *options.pop("extra", ()), **options))
        assert await client.read_head() == status
        await is_a_refusal(client)
        assert rules(server) == [rule]


@run
async def test_early_data_over_tls(authority):
    """In the record of the head, in the next one, and in one that comes while the handler thinks."""
    ours, theirs = tls_of(authority)

    class Blocking(Handler):
        def authenticate(self, request):
            if request.path == "/thinks":
                client.send(frame(9))  # arrives while nobody reads
            return Identity(subject="ann")

    async with serving(Blocking, ssl=ours) as server:
        for path, pieces in (("/", [b"", frame(9)]), ("/", [frame(9)]), ("/thinks", [b""])):
            client = await asyncio.to_thread(blocking_client, server, theirs)
            with client:
                client.sendall(head(server, path=path) + pieces[0])
                for piece in pieces[1:]:
                    client.sendall(piece)
                assert (await asyncio.to_thread(client.recv, 100)).startswith(b"HTTP/1.1 400 "), (path, pieces)
        assert rules(server) == ["early-data"] * 3


def blocking_client(server, context):
    """A TLS client that writes at once, wherever it is called."""
    sock = socket.create_connection(server.address, PATIENCE)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return context.wrap_socket(sock, server_hostname=server.address[0])


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
@run
async def test_versions_that_are_spoken(version, authority):
    ours, theirs = tls_of(authority)
    theirs.maximum_version = version
    handler = Sessions()
    async with serving(handler, ssl=ours) as server, upgraded(server, ssl=theirs):
        await until(lambda: handler.peers)
        assert handler.peers[0].tls == version.name.replace("_", ".")
        assert handler.peers[0].certificate is None


class Sessions(Handler):
    """Remembers who came."""

    def __init__(self):
        self.peers = []

    def on_open(self, session):
        self.peers.append(session.peer)


@pytest.mark.parametrize("version", [ssl.TLSVersion.MINIMUM_SUPPORTED, ssl.TLSVersion.TLSv1, ssl.TLSVersion.TLSv1_1])
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_older_versions_are_refused_when_the_server_is_made(version, context):
    context.minimum_version = version
    with pytest.raises(PolicyError, match=rf"minimum_version is {version.name}.* set context\.minimum_version"):
        Server(ssl=context)


@run
async def test_a_client_certificate(authority):
    ours, theirs = tls_of(authority)
    ours.verify_mode = ssl.CERT_REQUIRED
    authority.configure_trust(ours)
    handler = Sessions()
    async with serving(handler, ssl=ours) as server:
        with pytest.raises((OSError, asyncio.IncompleteReadError)):  # where the alert finds the client
            async with upgraded(server, ssl=theirs):
                raise AssertionError("a client without a certificate got in")
        await until(lambda: rules(server) == ["tls-handshake"])
        authority.issue_cert("ann.example").configure_cert(theirs)
        async with upgraded(server, ssl=theirs):
            await until(lambda: handler.peers)
        assert ("DNS", "ann.example") in handler.peers[0].certificate["subjectAltName"]
        assert rules(server) == ["tls-handshake"]


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (b"GET / HTTP/1.1\r\n\r\n", ["tls-handshake"]),
        (b"\x16\x03\x01\x00\x05hello", ["tls-handshake"]),
        (b"", []),  # it only went away
        (b"\x16\x03\x01", []),
    ],
)
@run
async def test_a_tls_handshake_that_fails_is_told(data, expected, context):
    async with serving(ssl=context) as server, connected(server) as client:
        client.send(data)
        client.writer.write_eof()
        with contextlib.suppress(ConnectionError):
            assert b"HTTP" not in await client.read_eof()
        await until(lambda: not server._context.members)
        assert rules(server) == expected
        if expected:
            assert server.events[0].address.startswith("127.0.0.1:")


@run
async def test_a_client_that_does_not_trust_us_is_told(context):
    async with serving(ssl=context) as server:
        with pytest.raises(ssl.SSLError):  # by an alert, which asyncio's client does not send
            await asyncio.to_thread(blocking_client, server, ssl.create_default_context())
        await until(lambda: rules(server) == ["tls-handshake"])


@run
async def test_a_certificate_is_replaced_while_the_server_runs(authority):
    ours, theirs = tls_of(authority)
    other = trustme.CA()
    new, new_theirs = tls_of(other)
    async with serving(ssl=ours) as server, upgraded(server, ssl=theirs) as old:
        server._acceptor.tls = new
        assert server._acceptor.tls is new
        async with upgraded(server, ssl=new_theirs) as client:
            client.send(text("new"))
            assert await client.read_text() == "new"
        with pytest.raises(ssl.SSLError):
            async with connected(server, theirs):
                raise AssertionError("the old certificate is still shown")
        old.send(text("old"))
        assert await old.read_text() == "old"
        with pytest.raises(PolicyError, match="plain TCP"):
            server._acceptor.tls = None
        new.minimum_version = ssl.TLSVersion.MINIMUM_SUPPORTED
        with pytest.raises(PolicyError, match="minimum_version"):
            server._acceptor.tls = new


def resident_kib():
    """What is really held: without what the allocator keeps for later."""
    gc.collect()
    ctypes.CDLL(None).malloc_trim(0)
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize() // 1024


@run
async def test_silent_tls_peers_cost_no_memory_once_they_are_cut(context):
    before = 0
    async with serving(limits=Limits(handshake_seconds=0.2), ssl=context) as server:
        for turn in range(5):
            if turn == 2:  # what is made once has been made
                before = resident_kib()
            async with contextlib.AsyncExitStack() as stack:
                clients = [await stack.enter_async_context(connected(server)) for _ in range(100)]
                for client in clients:
                    with contextlib.suppress(ConnectionError):
                        assert await client.read_eof() == b""
            await until(lambda: not server._context.members)
        assert rules(server) == ["handshake-timeout"] * 500
        assert resident_kib() - before < 300 * 12  # each of the 300 had a TLS object of more than 30 KiB
