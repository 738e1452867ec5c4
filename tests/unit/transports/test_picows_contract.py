"""What we rely on in picows. An upgrade that changes one of these fails here, by name."""

import asyncio
import importlib.metadata
import inspect
import logging

import picows
import pytest
from picows.picows import WSProtocol

from framewarden.codec.handshake import canonical_head, switching_response
from framewarden.transports import picows_carrier

KEY = "dGhlIHNhbXBsZSBub25jZQ=="


class Socket:
    """What picows asks of the transport's socket."""

    def fileno(self):
        return -1

    def setsockopt(self, *arguments):
        pass

    def getsockopt(self, *arguments):
        return 0


class Transport(asyncio.Transport):
    """Remembers what was written."""

    def __init__(self):
        super().__init__({"socket": Socket()})
        self.written = []
        self.protocol = None
        self.closed = False

    def write(self, data):
        self.written.append(bytes(data))

    def get_write_buffer_size(self):
        return 1

    def set_protocol(self, protocol):
        self.protocol = protocol

    def close(self):
        self.closed = True


class Connection:
    """Remembers what the carrier told it."""

    def __init__(self):
        self.calls = []

    def get_buffer(self, sizehint):
        return BUFFER

    def buffer_updated(self, size):
        self.calls.append(bytes(BUFFER[:size]))

    def connection_lost(self, error):
        self.calls.append("lost")

    def eof_received(self):
        return False

    def pause_writing(self):
        self.calls.append("pause")

    def resume_writing(self):
        self.calls.append("resume")


BUFFER = bytearray(64 * 1024)


def upgraded(headers=()):
    """A carrier after its handshake, with its transport and its connection."""

    async def run():
        transport, connection = Transport(), Connection()
        carrier = picows_carrier.PicowsCarrier(connection, headers)
        carrier.upgrade(transport, KEY)
        return carrier, transport, connection

    return asyncio.run(run())


def test_the_minor_version_is_the_one_that_was_read():
    assert importlib.metadata.version("picows").startswith("2.3.")


def test_wsprotocol_can_be_subclassed_in_python_and_is_a_buffered_protocol():
    assert issubclass(picows_carrier.PicowsCarrier, WSProtocol)
    assert issubclass(WSProtocol, asyncio.BufferedProtocol)
    assert upgraded()[0].is_buffered_protocol()


@pytest.mark.parametrize(
    "name",
    [
        "connection_made",
        "connection_lost",
        "eof_received",
        "get_buffer",
        "buffer_updated",
        "pause_writing",
        "resume_writing",
        "is_buffered_protocol",
    ],
)
def test_wsprotocol_has(name):
    assert callable(getattr(WSProtocol, name))


def test_the_names_that_we_import():
    for name in ("WSAutoPingStrategy", "WSListener", "WSUpgradeResponse", "WSUpgradeResponseWithListener"):
        assert name in picows.__all__
    assert "extra_headers" in inspect.signature(picows.WSUpgradeResponse.create_101_response).parameters


def test_the_101_is_ours_in_everything_but_the_order():
    _, transport, _ = upgraded((("Sec-WebSocket-Protocol", "chat"), ("Sec-WebSocket-Extensions", "x; y=1")))
    written = b"".join(transport.written)
    ours = switching_response(KEY, "chat", "x; y=1")
    assert written.endswith(b"\r\n\r\n")
    assert sorted(written.lower().split(b"\r\n")) == sorted(ours.lower().split(b"\r\n"))


def test_the_canonical_head_fits_the_smallest_read_buffer():
    assert len(canonical_head(KEY)) < picows_carrier.SMALLEST_READ_BUFFER - 256


def test_inbound_bytes_never_reach_picows():
    carrier, transport, connection = upgraded()
    before = len(transport.written)
    frame = b"\x89\x00"  # a Ping that picows would fail the connection for: it is not masked
    assert carrier.get_buffer(-1) is BUFFER
    carrier.get_buffer(-1)[: len(frame)] = frame
    carrier.buffer_updated(len(frame))
    assert connection.calls == [frame]
    assert len(transport.written) == before
    assert not transport.closed


def test_the_end_reaches_both():
    carrier, _, connection = upgraded()
    carrier.pause_writing()
    carrier.resume_writing()
    assert carrier.eof_received() is False
    carrier.connection_lost(None)
    assert connection.calls == ["pause", "resume", "lost"]
    assert carrier.transport.is_disconnected


def test_no_child_logger_and_no_line_a_connection(caplog):
    caplog.set_level(logging.DEBUG)
    before = set(logging.Logger.manager.loggerDict)
    carrier, _, _ = upgraded()
    carrier.connection_lost(None)
    assert set(logging.Logger.manager.loggerDict) == before
    assert not [record for record in caplog.records if "picows" in record.name]


def test_another_answer_than_101_is_an_error(monkeypatch):
    monkeypatch.setattr(picows_carrier, "canonical_head", lambda key: b"GET / HTTP/1.1\r\n\r\n")
    with pytest.raises(RuntimeError, match="101"):
        upgraded()
