"""Clients that people use, in their own processes: node's ``ws`` and headless Chromium, over TCP and TLS."""

import asyncio
import ssl
import threading

import msgspec
import pytest
import trustme

from framewarden.policy import Access, Deflate, Limits, Policy, Schema
from framewarden.session import Handler
from tests.e2e.harness import rules, until
from tests.e2e.real_clients import NAME_THAT_IS_REBOUND, PATIENCE, Chromium, Loop, Node

# A browser starts in a second or two; under load and with a cold disk it may take many times that.
pytestmark = pytest.mark.timeout(120)


class Told(Handler):
    """Echoes, and remembers how connections ended; ``close me`` is what it says."""

    def __init__(self):
        self.closed = []
        self.ended = threading.Event()

    def on_message(self, session, message):
        if message == "close me":
            session.close(4000, "grüße")
        else:
            session.send(message)

    def on_close(self, session, code, reason):
        self.closed.append((code, reason))
        self.ended.set()


class Say(msgspec.Struct, tag="say", forbid_unknown_fields=True):
    text: str


@pytest.fixture(scope="module")
def authority(tmp_path_factory):
    made = trustme.CA()
    path = tmp_path_factory.mktemp("authority") / "ca.pem"
    made.cert_pem.write_to_path(str(path))
    return made, path


@pytest.fixture(scope="module")
def loop():
    loop = Loop()
    yield loop
    loop.close()


@pytest.fixture(scope="module")
def tls(authority):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority[0].issue_cert("127.0.0.1").configure_cert(context)
    return context


@pytest.fixture(scope="module")
def node(node_modules, authority):
    client = Node(node_modules("ws@8"), authority[1])
    yield client
    client.close()


@pytest.fixture(scope="module")
def chromium(requires):
    requires("chromium")
    client = Chromium()
    yield client
    client.close()


@pytest.fixture(params=["node", "chromium"])
def client(request):
    """One client after the other; each is started once."""
    return request.getfixturevalue(request.param)


def policy(client, **fields):
    """A policy that the page of Chromium, which comes from another port, may connect under."""
    access = fields.pop("access", {})
    if isinstance(client, Chromium):
        access = {"origins": (client.go("127.0.0.1"),)} | access
    return Policy(access=Access(**access), **fields)


# The long ones are not a single byte again and again: compressed, that would be a bomb by max_inflate_ratio.
LONG = " é ".join(map(str, range(16_000)))
MESSAGES = ("text", "", "grüße 🎉 \0", b"", b"\x00\xff binary", LONG, LONG.encode("utf-16"))


@pytest.mark.parametrize("secure", [False, True], ids=["ws", "wss"])
@pytest.mark.parametrize("compressed", [False, True], ids=["plain", "deflate"])
def test_echo_and_a_close_of_the_client(client, loop, tls, secure, compressed):
    handler = Told()
    how = policy(client, deflate=Deflate(min_bytes=0) if compressed else None)
    with loop.serving(handler, how, ssl=tls if secure else None) as server:
        socket = client.open(server.url)
        assert ("permessage-deflate" in socket.opened["extensions"]) == compressed
        for message in MESSAGES:
            socket.send(message)
            assert socket.receive() == [message]
        many = [f"{number}" * 10 for number in range(200)]
        socket.send(*many)
        assert socket.receive(len(many)) == many
        socket.close(3001, "bye ✓")
        assert socket.closed() == (3001, "", True)
        assert handler.ended.wait(PATIENCE)
        assert handler.closed == [(3001, "bye ✓")]
        assert server.events == []


def test_deflate_with_context_takeover(client, loop):
    deflate = Deflate(client_context_takeover=True, server_context_takeover=True, min_bytes=0)
    with loop.serving(Told(), policy(client, deflate=deflate)) as server:
        socket = client.open(server.url)
        for number in range(20):
            message = f"{number} the same words again and again " * 50
            socket.send(message)
            assert socket.receive() == [message]
        socket.close(1000)
        assert socket.closed() == (1000, "", True)
        assert server.events == []


@pytest.mark.parametrize("secure", [False, True], ids=["ws", "wss"])
def test_a_close_of_the_server(client, loop, tls, secure):
    handler = Told()
    with loop.serving(handler, policy(client), ssl=tls if secure else None) as server:
        socket = client.open(server.url)
        socket.send("close me")
        assert socket.closed() == (4000, "grüße", True)
        assert handler.ended.wait(PATIENCE)
        assert handler.closed[0][0] == 4000
        assert server.events == []


def test_the_server_stops(client, loop):
    with loop.serving(Told(), policy(client)) as server:
        socket = client.open(server.url)
    assert socket.closed() == (1001, "", True)


def test_a_ping_is_answered(client, loop):
    """Nothing but Pongs keeps this connection from being idle for too long."""
    limits = Limits(ping_seconds=0.2, pong_seconds=1, idle_seconds=1)
    with loop.serving(Told(), policy(client, limits=limits)) as server:
        socket = client.open(server.url)
        loop.run(asyncio.sleep(1.5))
        socket.send("still here")
        assert socket.receive() == ["still here"]
        assert server.events == []


@pytest.mark.parametrize("secure", [False, True], ids=["ws", "wss"])
def test_a_violation_is_seen_with_its_code(client, loop, tls, secure):
    handler = Told()
    with loop.serving(handler, policy(client, schema=Schema(text=Say)), ssl=tls if secure else None) as server:
        socket = client.open(server.url)
        socket.send('{"type":"say","text":"hello"}')
        assert socket.receive() == ['{"type":"say","text":"hello"}']
        socket.send('{"type":"say","text":"hello","admin":true}', "never read")
        assert socket.closed() == (4422, "schema-mismatch", True)
        assert rules(server) == ["schema-mismatch"]


@pytest.mark.parametrize("secure", [False, True], ids=["ws", "wss"])
def test_a_message_that_is_too_long_is_refused_while_it_is_sent(client, loop, tls, secure):
    limits = Limits(max_frame_bytes=100_000, max_message_bytes=100_000)
    with loop.serving(Told(), policy(client, limits=limits), ssl=tls if secure else None) as server:
        socket = client.open(server.url)
        socket.send("x" * 100_000)
        assert socket.receive() == ["x" * 100_000]
        socket.send(b"x" * 1_000_000)
        code, reason, _ = socket.closed()
        assert reason in ("frame-too-big", "message-too-big")
        assert (code, rules(server)) == (1009, [reason])


def test_subprotocols(client, loop):
    with loop.serving(Told(), policy(client, access={"subprotocols": ("v2", "v1")})) as server:
        socket = client.open(server.url, ["v1", "v2"])
        assert socket.opened["protocol"] == "v2"
        socket.send("x")
        assert socket.receive() == ["x"]
        # Both fail a connection whose server speaks none of what they offered.
        assert client.open(server.url, ["v3"]).opened is None
        assert client.open(server.url).opened["protocol"] == ""


def test_a_foreign_origin_is_refused(client, loop):
    origin = client.go("127.0.0.1") if isinstance(client, Chromium) else "https://evil.example"
    with loop.serving(Told()) as server:
        socket = client.open(server.url, origin=origin)
        assert socket.opened is None
        assert socket.closed()[0] == 1006
        assert rules(server) == ["origin"]
    with loop.serving(Told(), Policy(access=Access(origins=(origin,)))) as server:
        assert client.open(server.url, origin=origin).opened is not None
        assert server.events == []


def test_a_rebound_name_is_refused_in_a_browser(chromium, loop):
    """The page and the server have the same host, as the browser sees it; the address behind the name has changed."""
    origin = chromium.go(NAME_THAT_IS_REBOUND)
    with loop.serving(Told(), Policy(access=Access(origins=(origin,)))) as server:
        url = server.url.replace("127.0.0.1", NAME_THAT_IS_REBOUND)
        assert chromium.open(url).opened is None
        assert rules(server) == ["host-not-allowed"]
        # The same page reaches the server under the server's own name: it is the Host that was refused.
        assert chromium.open(server.url).opened is not None


def test_a_refusal_is_a_failed_connection(client, loop):
    with loop.serving(Told(), policy(client, access={"paths": ("/chat",)})) as server:
        socket = client.open(f"{server.url}/other")
        assert socket.opened is None
        assert socket.closed() == (1006, "", False)
        assert client.open(f"{server.url}/chat").opened is not None
        assert rules(server) == ["not-found"]


def test_many_sockets_of_one_client(client, loop):
    with loop.serving(Told(), policy(client)) as server:
        sockets = [client.open(server.url) for _ in range(20)]
        for number, socket in enumerate(sockets):
            socket.send(f"number {number}")
        assert [socket.receive() for socket in sockets] == [[f"number {number}"] for number in range(20)]
        for socket in sockets:
            socket.close(1000)
        assert {socket.closed()[0] for socket in sockets} == {1000}
        loop.run(until(lambda: not server._context.members))
