"""The drop-in for users of picows: the handshake, the server object, its example and its page."""

import asyncio
import re
import signal
import sys
from pathlib import Path

import pytest
import websockets
from picows import WSUpgradeResponse, WSUpgradeResponseWithListener

from framewarden.identity import Identity
from framewarden.policy import Access, Limits, Policy
from framewarden.transports.picows import NOT_TAKEN, create_server
from tests.e2e.harness import KEY, close, connected, frame, head, rules, run, text, until, upgraded
from tests.e2e.listeners import Recorder, members, ours, to_the_end

ROOT = Path(__file__).parents[2]


# The handshake


@run
async def test_the_handshake_is_ours():
    async with ours(lambda request: Recorder()) as server:
        for extra, leave_out, status in (
            ((), ("Host",), 400),
            (("Origin: https://evil.example",), (), 403),
            ((f"Sec-WebSocket-Key: {KEY}",), (), 400),
            (("Content-Length: 0",), (), 400),
        ):
            async with connected(server) as client:
                client.send(head(server, *extra, leave_out=leave_out))
                assert await client.read_head() == status
        async with upgraded(server, "Connection: keep-alive, Upgrade", leave_out=("Connection",)) as client:
            client.send(text("as Firefox says it"))
            assert await client.read_text() == "as Firefox says it"
        long = [f"X-{number}: {'v' * 100}" for number in range(80)]
        async with upgraded(server, *long) as client:  # more than picows' smallest buffer
            client.send(text("x"))
            assert await client.read_text() == "x"


@run
async def test_the_policys_subprotocol():
    access = Access(subprotocols=("v2", "v1"))
    async with ours(lambda request: Recorder(), access=access) as server:
        async with upgraded(server, "Sec-WebSocket-Protocol: v1, v2") as client:
            assert client.headers["sec-websocket-protocol"] == "v2"
        async with upgraded(server, "Sec-WebSocket-Protocol: v3") as client:
            assert "sec-websocket-protocol" not in client.headers


def _raise(request):
    raise LookupError(request.path)


def _respond(**headers):
    response = WSUpgradeResponse.create_101_response({name.replace("_", "-"): value for name, value in headers.items()})
    return WSUpgradeResponseWithListener(response, Recorder())


def _with_a_body(request):
    wrong = _respond()
    wrong.response.body = b"frames?"
    return wrong


@pytest.mark.parametrize(
    ("factory", "logged"),
    [
        (_raise, "LookupError"),
        (lambda request: "no listener", "str, which is no WSListener"),
        (lambda request: _respond(Sec_WebSocket_Protocol="v9"), "subprotocol"),
        (lambda request: _respond(Sec_WebSocket_Extensions="permessage-deflate"), "extension"),
        (lambda request: _respond(X_Split="a\r\nSet-Cookie: b"), "line ends"),
        (_with_a_body, "no body"),
    ],
)
@run
async def test_a_factory_that_fails_is_a_500_without_a_word(factory, logged, caplog):
    async with ours(factory) as server, connected(server) as client:
        client.send(head(server, "Sec-WebSocket-Protocol: v1", path="/secret"))
        assert await client.read_head() == 500
        assert await to_the_end(client) == b"500 Internal Server Error\n"
        assert rules(server) == ["handler-error"]
        assert logged in caplog.text
        assert "secret" not in caplog.text
        await until(lambda: not members(server))


@run
async def test_authenticate():
    def authenticate(request):
        return Identity(subject="me") if request.header("authorization") == "Bearer good" else None

    async with ours(lambda request: Recorder(), authenticate=authenticate) as server:
        async with connected(server) as client:
            client.send(head(server))
            assert await client.read_head() == 401
        async with upgraded(server, "Authorization: Bearer good") as client:
            client.send(frame(3))
            await client.read_close()
        assert [(event.rule, event.subject) for event in server.events] == [
            ("unauthenticated", ""),
            ("reserved-opcode", "me"),
        ]


# The server object


@run
async def test_the_server_is_one_of_asyncio():
    listener = Recorder()
    policy = Policy(limits=Limits(close_seconds=0.5))
    server = await create_server(lambda request: listener, "127.0.0.1", 0, policy=policy)
    assert isinstance(server, asyncio.AbstractServer)
    assert server.is_serving()
    assert server.get_loop() is asyncio.get_running_loop()
    server.address = server.sockets[0].getsockname()[:2]
    async with upgraded(server) as client:
        server.close()
        assert not server.is_serving()
        assert server.sockets == ()
        client.send(text("still here"))
        assert await client.read_text() == "still here"
        waiting = asyncio.ensure_future(server.wait_closed())
        server.close_clients()
        assert await client.read_close() == (1001, "")
        assert not waiting.done()
        client.send(close(1001))
        await asyncio.wait_for(waiting, 5)
    with pytest.raises(RuntimeError):
        await server.serve_forever()


@run
async def test_cancelling_serve_forever_closes_the_connections():
    server = await create_server(lambda request: Recorder(), "localhost")
    server.address = server.sockets[0].getsockname()[:2]
    serving = asyncio.ensure_future(server.serve_forever())
    async with upgraded(server) as client:
        serving.cancel()
        assert await client.read_close() == (1001, "")
        client.send(close(1001))
        with pytest.raises(asyncio.CancelledError):
            await serving
    assert not members(server)


@run
async def test_aborting():
    listener = Recorder()
    async with ours(lambda request: listener) as server, upgraded(server) as client:
        await until(lambda: listener.transport)
        server.abort_clients()
        assert await to_the_end(client) == b""
        await until(lambda: listener.told == ["connected", "disconnected"])


# The documents


@pytest.mark.skipif(not (ROOT / "examples").is_dir(), reason="the examples are not in the wheel")
@run
async def test_the_example_serves():
    process = await asyncio.create_subprocess_exec(
        sys.executable, "examples/picows_dropin.py", "0", cwd=ROOT, stderr=asyncio.subprocess.PIPE
    )
    try:
        line = (await asyncio.wait_for(process.stderr.readline(), 10)).decode()
        where = line.removeprefix("listening on ").strip()
        async with websockets.connect(where) as client:
            await client.send("hello")
            assert await client.recv() == "hello"
        with pytest.raises(websockets.InvalidStatus):
            await websockets.connect(where.replace("/echo", "/other"))
        process.send_signal(signal.SIGINT)
        assert await asyncio.wait_for(process.wait(), 10) == 0
    finally:
        if process.returncode is None:
            process.kill()


@pytest.mark.skipif(not (ROOT / "docs" / "picows.md").is_file(), reason="the documents are not in the wheel")
def test_every_argument_that_is_not_taken_is_documented():
    table = (ROOT / "docs" / "picows.md").read_text().partition("\n## Arguments\n")[2]
    assert set(NOT_TAKEN) == set(re.findall(r"`(\w+)`", "".join(re.findall(r"^\| (`.*?) \|", table, re.MULTILINE))))
