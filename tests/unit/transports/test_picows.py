"""The drop-in for picows without a socket: what is refused, and what picows gets to read."""

import asyncio
import logging

import pytest
from hypothesis import given
from picows import WSListener, WSUpgradeResponse

from framewarden.codec.handshake import HandshakeParser
from framewarden.engine import Inspector, Message
from framewarden.errors import ArgumentError, ArgumentTypeError, PolicyError
from framewarden.policy import Access, Deflate, Limits, Policy, Schema
from framewarden.testing import Peer, frame, streams
from framewarden.transports.listening import encode_control, encode_message
from framewarden.transports.picows import NOT_TAKEN, _check_response, _fill, _logger, create_server
from tests.playback import plain

PEER = Peer("server")


def create(*arguments, **options):
    """What create_server raises before anything listens."""
    asyncio.run(create_server(*(arguments or (lambda request: WSListener(),)), **options))


# Arguments


@pytest.mark.parametrize("name", NOT_TAKEN)
def test_an_argument_that_is_not_taken_says_what_to_use(name):
    with pytest.raises(ArgumentError, match=f"does not take {name}: (give|leave)"):
        create(**{name: 1})


def test_an_argument_that_nobody_knows():
    with pytest.raises(ArgumentTypeError, match="'max_frame_sise'"):
        create(max_frame_sise=1)


def test_a_policy_with_a_schema_or_compression_is_refused():
    with pytest.raises(PolicyError, match=r"policy\.schema"):
        create(policy=Policy(schema=Schema(text=str)))
    with pytest.raises(PolicyError, match=r"policy\.deflate"):
        create(policy=Policy(deflate=Deflate()))


def test_what_cannot_work_is_refused():
    with pytest.raises(ArgumentTypeError, match="callable"):
        create(None)
    with pytest.raises(ArgumentTypeError, match="one name or address"):
        create(host=["127.0.0.1", "::1"])
    with pytest.raises(ArgumentError, match="auto_ping_reply_timeout"):
        create(host="127.0.0.1", enable_auto_ping=True, auto_ping_idle_timeout=1, auto_ping_reply_timeout=2)
    with pytest.raises(ArgumentError, match="auto_ping_strategy"):
        create(host="127.0.0.1", auto_ping_strategy=7)


def test_every_address_needs_tls_and_an_authenticator():
    with pytest.raises(PolicyError, match="without TLS"):
        create()
    with pytest.raises(PolicyError, match="without an authenticator"):
        create(policy=Policy(access=Access(dangerous_allow_plaintext=True)))


def test_no_host_is_every_address():
    open_to_all = Policy(access=Access(dangerous_allow_plaintext=True, dangerous_allow_anonymous=True))

    async def run():
        async with await create_server(lambda request: WSListener(), policy=open_to_all) as server:
            return {sock.getsockname()[0] for sock in server.sockets}

    assert asyncio.run(run()) - {"::"} == {"0.0.0.0"}


def test_loggers_are_named_as_in_picows():
    assert _logger(None).name == "picows.server"
    assert _logger("chat").name == "picows.chat"
    adapter = logging.LoggerAdapter(logging.getLogger("mine"), {})
    assert _logger(adapter) is adapter


# The request and the response


def test_the_request_is_the_peers_but_for_upgrade_and_connection():
    class Request:
        path = b"/"
        headers = WSUpgradeResponse.create_101_response().headers  # a CIMultiDict

    head = (
        "GET /a%20b?c HTTP/1.1\r\nHost: x\r\nUpgrade: h2c, websocket\r\nConnection: keep-alive\r\n"
        "Connection: Upgrade\r\nCookie: a=1\r\nCookie: b=\xff\r\nSec-WebSocket-Version: 13\r\n"
        "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
    )
    request = HandshakeParser(Limits()).feed(head.encode("latin-1"))
    upgrade = Request()
    _fill(upgrade, request)
    assert upgrade.path == b"/a%20b?c"
    assert upgrade.headers.getall("Cookie") == ["a=1", "b=\udcff"]
    assert upgrade.headers.getall("Upgrade") == ["websocket"]
    assert upgrade.headers.getall("Connection") == ["upgrade"]
    assert sorted(name.lower() for name, _ in upgrade.headers.items()) == [
        *("connection", "cookie", "cookie", "host", "sec-websocket-key", "sec-websocket-version", "upgrade"),
    ]


@pytest.mark.parametrize(
    ("name", "value"), [("X", "a\r\nY: b"), ("X", "a\nb"), ("X", "a\0"), ("X", " a"), ("X y", "a"), ("", "a")]
)
def test_a_header_that_would_split_the_response_is_refused(name, value):
    with pytest.raises(ArgumentError):
        _check_response(WSUpgradeResponse.create_ok_response(b"", [(name, value)]))


def test_an_empty_header_is_none_that_would():
    response = WSUpgradeResponse.create_ok_response(b"", {"X": ""})
    _check_response(response)
    assert response.headers["X"] == ""


# What picows reads


def encode(event):
    return encode_message(event.data) if isinstance(event, Message) else encode_control(event)


@given(streams(PEER))
def test_what_picows_reads_is_what_was_verified(stream):
    """Each event becomes one frame: FIN, no other bit, masking-key 0; the same events come out of it again."""
    events = Inspector(Policy()).receive_data(stream.data)
    again = Inspector(Policy(limits=Limits(max_control_run=1 << 20)))
    for event in events:
        data = encode(event)
        assert data[0] & 0xF0 == 0x80
        assert [plain(each) for each in again.receive_data(data)] == [plain(event)]
    assert again.violation is None


@pytest.mark.parametrize("payload", [b"", b"\x03\xe8", b"\x03\xe8bye", b"\x11\x46" + b"r" * 123])
def test_a_close_is_repeated_to_the_byte(payload):
    (event,) = Inspector(Policy()).receive_data(frame(PEER, 0x88, payload))
    assert encode(event) == frame(PEER, 0x88, payload, key=bytes(4))
