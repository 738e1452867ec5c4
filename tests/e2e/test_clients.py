"""Independent clients: websockets and aiohttp, plain and TLS."""

import asyncio
import contextlib
import ssl

import aiohttp
import msgspec
import pytest
import trustme
import websockets

from framewarden.errors import PolicyError
from framewarden.policy import Access, Deflate, Limits, Policy, Schema
from framewarden.session import Handler
from framewarden.transports import Server
from tests.e2e.harness import close, frame, rules, run, serving, text, until, upgraded


class Say(msgspec.Struct, tag="say", forbid_unknown_fields=True):
    text: str


class Heard(msgspec.Struct, tag="heard"):
    length: int


class Chat(Handler):
    def on_message(self, session, message):
        assert isinstance(message, Say)
        session.send(Heard(len(message.text)))


@pytest.fixture(scope="module")
def tls():
    """Contexts of a server and of a client that trusts it."""
    authority = trustme.CA()
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("localhost", "127.0.0.1").configure_cert(server)
    client = ssl.create_default_context()
    authority.configure_trust(client)
    return server, client


@contextlib.asynccontextmanager
async def aiohttp_client(url, context=None, **options):
    async with aiohttp.ClientSession() as session, session.ws_connect(url, ssl=context or True, **options) as client:
        yield client


@pytest.mark.parametrize("secure", [False, True])
@run
async def test_websockets(tls, secure):
    async with serving(ssl=tls[0] if secure else None) as server:
        async with websockets.connect(server.url, ssl=tls[1] if secure else None, max_size=None) as client:
            for message in ("text", "", b"binary", "grüße 🎉", "x" * 100_000, b"y" * 1_000_000):
                await client.send(message)
                assert await client.recv() == message
            await client.send(["frag", "men", "ted"])
            assert await client.recv() == "fragmented"
            await (await client.ping(b"?"))
        assert client.close_code == 1000
        assert server.events == []


@pytest.mark.parametrize("secure", [False, True])
@run
async def test_aiohttp(tls, secure):
    async with serving(ssl=tls[0] if secure else None) as server:
        async with aiohttp_client(server.url, tls[1] if secure else None, max_msg_size=0) as client:
            for message in ("text", "x" * 100_000):
                await client.send_str(message)
                assert await client.receive_str() == message
            await client.send_bytes(b"y" * 1_000_000)
            assert await client.receive_bytes() == b"y" * 1_000_000
        assert client.close_code == 1000
        assert server.events == []


@pytest.mark.parametrize("takeover", [False, True])
@run
async def test_compression(takeover):
    deflate = Deflate(client_context_takeover=takeover, server_context_takeover=takeover, min_bytes=0)
    async with serving(policy=Policy(deflate=deflate)) as server:
        async with websockets.connect(server.url) as client:
            assert "permessage-deflate" in client.response.headers["Sec-WebSocket-Extensions"]
            for number in range(20):
                message = f"{number} the same words again and again " * 20
                await client.send(message)
                assert await client.recv() == message
        async with aiohttp_client(server.url, compress=15) as client:
            for number in range(20):
                message = f"{number} the same words again and again " * 20
                await client.send_str(message)
                assert await client.receive_str() == message
        assert server.events == []


@run
async def test_typed_messages():
    policy = Policy(schema=Schema(text=Say))
    async with serving(Chat, policy) as server, websockets.connect(server.url) as client:
        await client.send(msgspec.json.encode(Say("hello")).decode())
        assert msgspec.json.decode(await client.recv(), type=Heard) == Heard(5)
        await client.send('{"type":"say","text":"hello","admin":true}')
        with pytest.raises(websockets.ConnectionClosedError):
            await client.recv()
        assert client.close_code == 4422
        assert client.close_reason == "schema-mismatch"
        assert rules(server) == ["schema-mismatch"]


@run
async def test_typed_messages_in_messagepack():
    policy = Policy(schema=Schema(binary=Say))
    async with serving(Chat, policy) as server, websockets.connect(server.url) as client:
        await client.send(msgspec.msgpack.encode(Say("hello")))
        assert msgspec.msgpack.decode(await client.recv(), type=Heard) == Heard(5)
        await client.send("text")
        with pytest.raises(websockets.ConnectionClosedError):
            await client.recv()
        assert client.close_code == 1003


@run
async def test_subprotocols():
    policy = Policy(access=Access(subprotocols=("v2", "v1")))
    async with serving(policy=policy) as server:
        async with websockets.connect(server.url, subprotocols=["v1", "v2"]) as client:
            assert client.subprotocol == "v2"
        async with websockets.connect(server.url, subprotocols=["v3"]) as client:
            assert client.subprotocol is None


@run
async def test_a_refusal_is_an_http_response_to_a_real_client():
    async with serving() as server:
        with pytest.raises(websockets.InvalidStatus) as caught:
            await websockets.connect(server.url, origin="https://evil.example")
        assert caught.value.response.status_code == 403
        assert caught.value.response.body == b"403 Forbidden\n"


@run
async def test_many_clients():
    async with serving() as server:

        async def talk(number):
            async with websockets.connect(server.url) as client:
                for turn in range(5):
                    await client.send(f"{number} {turn}")
                    assert await client.recv() == f"{number} {turn}"

        await asyncio.gather(*(talk(number) for number in range(40)))
        await until(lambda: not server._context.members)


# TLS, seen by a raw client


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (frame(1, b"x", masked=False), (1002, "unmasked-frame")),
        (close(1000), (1000, "")),
    ],
)
@run
async def test_tls_delivers_the_close_frame(tls, data, expected):
    async with serving(ssl=tls[0]) as server, upgraded(server, ssl=tls[1]) as client:
        client.send(text("x" * 70_000), data, b"\x00" * 200_000)
        assert (await client.read_frame())[1] == b"x" * 70_000
        assert await client.read_close() == expected
        assert await client.read_eof() == b""


@run
async def test_tls_early_data_and_the_session(tls):
    seen = []

    class Look(Handler):
        def on_open(self, session):
            seen.append(session.peer.tls)

    from tests.e2e.harness import connected, head

    async with serving(Look, ssl=tls[0], limits=Limits(close_seconds=1)) as server:
        async with connected(server, tls[1]) as client:
            client.send(head(server))
            client.send(text("early"))
            assert await client.read_head() == 400
            assert rules(server) == ["early-data"]
        async with upgraded(server, ssl=tls[1]):
            await until(lambda: seen)
            assert seen[0].startswith("TLSv1.")


# Where a server refuses to start


class Authenticating(Handler):
    def authenticate(self, request):
        return None


async def starts(handler=None, policy=Policy(), **options):
    async with Server(handler, policy, "0.0.0.0", 0, **options):
        return True


@run
async def test_other_addresses_than_loopback_need_tls_and_an_authenticator(tls):
    with pytest.raises(PolicyError, match="without TLS"):
        await starts(Authenticating)
    with pytest.raises(PolicyError, match="without an authenticator"):
        await starts(ssl=tls[0])
    assert await starts(Authenticating, ssl=tls[0])
    plaintext = Policy(access=Access(dangerous_allow_plaintext=True))
    assert await starts(Authenticating, plaintext)
    with pytest.raises(PolicyError, match="without an authenticator"):
        await starts(None, plaintext)
    assert await starts(None, Policy(access=Access(dangerous_allow_plaintext=True, dangerous_allow_anonymous=True)))


@run
async def test_what_is_refused_before_anything_listens():
    class Unrelated:
        pass

    with pytest.raises(PolicyError):
        Server(Unrelated())
    with pytest.raises(PolicyError):
        Server(policy=Policy(access=Access(origins=("nonsense",))))
    async with serving() as server:
        with pytest.raises(OSError, match="in use"):
            await Server(port=server.address[1]).start()
        with pytest.raises(RuntimeError):
            await server.start()


@run
async def test_localhost_listens_on_every_address_that_it_stands_for():
    async with serving(host="localhost") as server:
        assert len({port for _, port in server.addresses}) == 1
        async with websockets.connect(f"ws://localhost:{server.address[1]}") as client:
            await client.send("x")
            assert await client.recv() == "x"


def test_asyncios_own_loop():
    async def main():
        async with serving() as server, websockets.connect(server.url) as client:
            await client.send("x")
            assert await client.recv() == "x"

    asyncio.run(main())
