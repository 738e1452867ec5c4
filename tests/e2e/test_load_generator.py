"""The load generator: against our server, and against servers that do wrong."""

import asyncio
import errno
import os
import resource
import signal
import time

import pytest

from framewarden.apps.bench import Generator, LoadError
from framewarden.apps.bench._loadgen import Load
from framewarden.policy import Deflate, Limits, Policy
from framewarden.session import Handler
from tests.e2e.harness import frame, run, serving
from tests.tiny_server import TinyServer, read_exactly, read_head, read_until_end, switching, upgraded

DEFLATE = "Sec-WebSocket-Extensions: permessage-deflate; server_no_context_takeover; client_no_context_takeover"


class Nobody(Handler):
    def authenticate(self, request):
        return None


def server_frame(opcode, payload=b"", **options):
    return frame(opcode, payload, masked=False, **options)


def message(number, size=32, connection=0):
    """What the generator sends as its message ``number``: see ``frames.h``."""
    stamp = b"%08x%08x" % (connection, number)
    pattern = bytes(32 + (at * 7 + at // 95) % 95 for at in range(size))
    return stamp[-size:] + pattern[16:] if size < 16 else stamp + pattern[16:]


# --- Right servers --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("opcode", [1, 2])
@pytest.mark.parametrize("size", [0, 1, 15, 16, 17, 125, 126, 65535, 65536, 300_000])
@run
async def test_every_size_is_echoed(opcode, size):
    async with serving() as server:
        load = Load(*server.address, connections=3)
        assert (await asyncio.to_thread(load.open))["connections"] == 3
        report = await asyncio.to_thread(load.exchange, size=size, opcode=opcode, in_flight=4, messages=10)
        assert report["messages"] == 30
        assert report["errors"] == {}
        assert report["bytes_received"] == 30 * len(server_frame(opcode, bytes(size)))
        assert report["bytes_sent"] == 30 * len(frame(opcode, bytes(size)))
        report = await asyncio.to_thread(load.close)
        assert (report["messages"], report["connections"], report["errors"]) == (3, 0, {})


@pytest.mark.parametrize("refill", [None, 1, 3, 8])
@run
async def test_many_in_flight(refill):
    async with serving() as server:
        load = Load(*server.address, connections=5)
        await asyncio.to_thread(load.open)
        for messages in (1, 8, 100):
            report = await asyncio.to_thread(load.exchange, size=32, in_flight=8, refill=refill, messages=messages)
            assert report["messages"] == 5 * messages
            assert report["errors"] == {}
        report = await asyncio.to_thread(load.exchange, size=32, in_flight=8, refill=refill, seconds=0.2)
        assert report["messages"] > 0
        assert 0.2 <= report["seconds"] < 2
        assert 0 < report["cpu_seconds"] <= report["seconds"]
        latency = report["latency"]
        assert 0 < latency["p50"] <= latency["p90"] <= latency["p99"] <= latency["max"] < 2
        assert report["errors"] == (await asyncio.to_thread(load.close))["errors"] == {}


@run
async def test_pings_are_answered_while_connections_are_held():
    async with serving(limits=Limits(ping_seconds=0.2, pong_seconds=0.5, idle_seconds=5)) as server:
        load = Load(*server.address, connections=4)
        await asyncio.to_thread(load.open)
        report = await asyncio.to_thread(load.hold, seconds=1.2)
        assert report["pings"] >= 4
        assert report["connections"] == 4
        reader, writer = os.pipe()
        asyncio.get_running_loop().call_later(0.2, os.write, writer, b".")
        report = await asyncio.to_thread(load.hold, seconds=20, until=reader)
        assert report["seconds"] < 5
        assert (await asyncio.to_thread(load.close))["messages"] == 4
        assert server.events == []
        os.close(reader)
        os.close(writer)


@run
async def test_refusals_are_counted():
    async with serving(Nobody()) as server:
        load = Load(*server.address, connections=4)
        report = await asyncio.to_thread(load.refused, 50)
        assert (report["messages"], report["errors"]) == (50, {})
        assert 0 < report["latency"]["p50"] <= report["latency"]["max"] <= report["seconds"]
        assert len(server.events) == 50
        report = await asyncio.to_thread(load.refused, 5, status=403)
        assert (report["messages"], report["errors"], report["details"]) == (0, {"status": 5}, {"status": 401})
        report = await asyncio.to_thread(load.open)
        assert (report["errors"], report["details"]) == ({"status": 4}, {"status": 401})


@run
async def test_compression_is_agreed_on():
    async with serving(policy=Policy(deflate=Deflate())) as server:
        load = Load(*server.address, connections=3, headers=[DEFLATE])
        assert (await asyncio.to_thread(load.open))["extensions"] == 3
        assert (await asyncio.to_thread(load.exchange, size=32, messages=2))["messages"] == 6
        plain = Load(*server.address, connections=3)
        assert (await asyncio.to_thread(plain.open))["extensions"] == 0
        for each in (load, plain):
            assert (await asyncio.to_thread(each.close))["messages"] == 3


@run
async def test_source_addresses_are_taken_in_turn():
    seen = []

    class Note(Handler):
        def on_open(self, session):
            seen.append(session.peer.host)

    async with serving(Note()) as server:
        load = Load(*server.address, connections=6, sources=["127.0.0.2", "127.0.0.3"])
        assert (await asyncio.to_thread(load.open))["connections"] == 6
        assert sorted(seen) == ["127.0.0.2"] * 3 + ["127.0.0.3"] * 3
        assert (await asyncio.to_thread(load.close))["messages"] == 6


@run
async def test_in_a_process_of_its_own():
    def work(host, port):
        with Generator(host, port, connections=2) as load:
            assert load.open().faultless().connections == 2
            report = load.exchange(size=10, messages=7).faultless()
            assert report.messages == 14
            assert 0 < report.busy <= 1
            with pytest.raises(LoadError, match="size must be"):
                load.exchange(size=-1, messages=1)
            assert load.hold(seconds=0.01).connections == 2
            assert load.close().faultless().messages == 2
            with pytest.raises(LoadError, match=r"5 x status \(first: 101\)"):
                load.refused(5, status=418).faultless()

    async with serving(Nobody()) as refusing, serving() as server:
        with pytest.raises(LoadError, match="3 x status"):
            await asyncio.to_thread(_open_faultless, refusing.address)
        await asyncio.to_thread(work, *server.address)


def _open_faultless(address):
    with Generator(*address, connections=3) as load:
        load.open().faultless()


# --- Wrong servers --------------------------------------------------------------------------------------------------


def meet(handle, *, timeout=5.0, connections=1, **exchange):
    """Open, and exchange if that went well. The one error that there was, its detail, the last report."""
    with TinyServer(handle) as server:
        load = Load("127.0.0.1", server.port, connections=connections, timeout=timeout)
        begun = time.monotonic()
        report = load.open()
        if not report["errors"]:
            report = load.exchange(**({"size": 32, "messages": 1} | exchange))
        assert time.monotonic() - begun < timeout + 3
        assert report["connections"] + sum(report["errors"].values()) == connections
        (found,) = report["errors"].items() or [("", 0)]
        return found[0], report["details"].get(found[0]), report


def say(data):
    """Send this for the 101 and read on."""

    def handle(sock):
        head = read_head(sock)
        sock.sendall(data(head) if callable(data) else data)
        read_until_end(sock)

    return handle


def answer(*pieces):
    """Accept the handshake, wait for a message, and send this."""

    def then(sock):
        sock.recv(65536)
        for piece in pieces:
            sock.sendall(piece)
        read_until_end(sock)

    return upgraded(then)


RIGHT = message(0)
HANDSHAKES = {
    "404": (b"HTTP/1.1 404 Not Found\r\n\r\n", ("status", 404)),
    "no HTTP": (b"SSH-2.0-OpenSSH_9.2p1\r\n\r\n", ("handshake", 25)),
    "no end": (b"HTTP/1.1 101 Switching Protocols\r\n" + b"X: y\r\n" * 2000, ("handshake", 8192)),
    "wrong accept": (lambda head: switching(head).replace(b"Accept: ", b"Accept: A"), ("handshake", None)),
    "accept in small letters": (lambda head: switching(head).lower(), ("handshake", None)),
    "no upgrade": (lambda head: switching(head).replace(b"Upgrade: websocket\r\n", b""), ("handshake", None)),
    "wrong connection": (lambda head: switching(head).replace(b": Upgrade", b": close"), ("handshake", None)),
    "two accepts": (
        lambda head: switching(head).replace(b"\r\n\r\n", b"\r\nSec-WebSocket-Accept: x\r\n\r\n"),
        ("handshake", None),
    ),
    "extension that was not offered": (
        lambda head: switching(head, b"Sec-WebSocket-Extensions: permessage-deflate"),
        ("handshake", None),
    ),
}


@pytest.mark.parametrize(("said", "expected"), HANDSHAKES.values(), ids=HANDSHAKES)
def test_wrong_handshake(said, expected):
    kind, detail, _ = meet(say(said))
    assert (kind, detail if expected[1] is not None else None) == expected


WRONG = {
    "closes": ((), ("ended", 0)),
    "opcode": ((server_frame(2, RIGHT),), ("opcode", 2)),
    "longer": ((server_frame(1, RIGHT + b"x"),), ("length", 33)),
    "shorter": ((server_frame(1, RIGHT[:-1]),), ("length", 31)),
    "longer by a fragment": ((server_frame(1, RIGHT, fin=False), server_frame(0, b"x")), ("length", 33)),
    "declared 2^63": ((b"\x81\x7f\x80" + bytes(7),), ("length", -(2**63))),
    "first octet": ((server_frame(1, b"X" + RIGHT[1:]),), ("payload", 0)),
    "last octet, alone": ((server_frame(1, RIGHT)[:-1], b"\x7f"), ("payload", None)),
    "another message": ((server_frame(1, message(1)),), ("payload", 0)),
    "masked": ((frame(1, RIGHT),), ("frame", 0x81)),
    "RSV1": ((server_frame(1, RIGHT, rsv=4),), ("frame", 0xC1)),
    "opcode 3": ((server_frame(3, RIGHT),), ("frame", 0x83)),
    "long Ping": ((server_frame(9, bytes(126)),), ("frame", 0x89)),
    "fragmented Ping": ((server_frame(9, b"", fin=False),), ("frame", 0x09)),
    "length not minimal": ((b"\x81\x7e\x00\x20" + RIGHT,), ("frame", 0x81)),
    "continuation of nothing": ((server_frame(0, RIGHT),), ("frame", 0x80)),
    "text inside a message": ((server_frame(1, b"", fin=False), server_frame(1, RIGHT)), ("frame", 0x81)),
    "Close": ((server_frame(8, b"\x03\xe9bye"),), ("closed", 1001)),
    "Close without a code": ((server_frame(8),), ("closed", 1005)),
    "two answers": ((server_frame(1, RIGHT) * 2,), ("unexpected-message", 1)),
}


@pytest.mark.parametrize(("pieces", "expected"), WRONG.values(), ids=WRONG)
def test_wrong_answer(pieces, expected):
    handle = answer(*pieces) if pieces else upgraded(lambda sock: sock.recv(65536))
    messages = 2 if pieces and pieces[0] == server_frame(1, RIGHT) * 2 else 1
    with TinyServer(handle) as server:
        load = Load("127.0.0.1", server.port)
        assert load.open()["errors"] == {}
        report = load.exchange(size=32, messages=1)
        if messages == 2:  # the first answer ends the exchange; the second one is seen by whoever looks next
            report = report if report["errors"] else load.hold(seconds=0.2)
    (kind,) = report["errors"]
    assert (kind, report["details"][kind] if expected[1] is not None else None) == expected


def test_a_right_answer_in_any_pieces():
    ping, pong = server_frame(9, b"are you there?"), server_frame(10, b"unasked")
    parts = [RIGHT[:1], b"", RIGHT[1:17], RIGHT[17:]]
    whole = ping + server_frame(1, parts[0], fin=False) + pong + server_frame(0, parts[1], fin=False)
    whole += server_frame(0, parts[2], fin=False) + ping + server_frame(0, parts[3])
    kind, _, report = meet(answer(*[whole[at : at + 1] for at in range(len(whole))]))
    assert kind == ""
    assert (report["messages"], report["pings"]) == (1, 2)


def test_frames_right_behind_the_handshake():
    def handle(sock):
        sock.sendall(switching(read_head(sock)) + server_frame(9, b"now"))
        assert read_exactly(sock, 9)[:2] == b"\x8a\x83"
        read_exactly(sock, len(frame(1, RIGHT)))
        sock.sendall(server_frame(1, RIGHT))
        read_until_end(sock)

    kind, _, report = meet(handle)
    assert (kind, report["messages"]) == ("", 1)


@pytest.mark.parametrize(
    ("handle", "kind"),
    [
        (None, "handshake-timeout"),
        (read_until_end, "handshake-timeout"),
        (upgraded(read_until_end), "answer-timeout"),
        (upgraded(lambda sock: time.sleep(1.5)), "answer-timeout"),
        (answer(server_frame(1, RIGHT)[:-1]), "answer-timeout"),
    ],
    ids=["accepts nothing", "says nothing", "never answers", "never reads", "never ends its answer"],
)
def test_a_server_that_does_not_answer(handle, kind):
    begun = time.monotonic()
    found, _, report = meet(handle, timeout=0.3, size=32)
    assert found == kind
    assert 0.25 < time.monotonic() - begun < 4
    assert report["messages"] == 0


def test_a_server_that_does_not_read():
    """More than the buffers of both sockets take: what is left waits, and the deadline ends it."""
    found, _, report = meet(upgraded(lambda sock: time.sleep(1.5)), timeout=0.5, size=1 << 24, in_flight=2)
    assert found == "answer-timeout"
    assert 0 < report["bytes_sent"] < 1 << 25


def test_a_server_that_reads_slowly():
    size = 1 << 22
    reply = server_frame(1, message(0, size))

    def then(sock):
        time.sleep(0.2)
        read_exactly(sock, size + 14)
        sock.sendall(reply)
        read_until_end(sock)

    kind, _, report = meet(upgraded(then), size=size)
    assert (kind, report["messages"], report["bytes_sent"]) == ("", 1, size + 14)


def test_what_a_signal_broke_off_is_not_gone_on_with():
    """The rest of a large answer would be held against the pattern of a small one, far behind its end."""
    size = 1 << 20

    def then(sock):
        read_exactly(sock, size + 14)
        sock.sendall(server_frame(1, message(0, size))[: size // 2])
        time.sleep(0.1)
        os.kill(os.getpid(), signal.SIGUSR1)
        read_until_end(sock)

    def breaks_off(number, stack):
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGUSR1, breaks_off)
    try:
        with TinyServer(upgraded(then)) as server:
            load = Load("127.0.0.1", server.port, timeout=5)
            load.open()
            with pytest.raises(KeyboardInterrupt):
                load.exchange(size=size, messages=1)
            for phase in (lambda: load.exchange(size=1, messages=1), lambda: load.refused(1), load.close):
                with pytest.raises(RuntimeError, match="broken off"):
                    phase()
    finally:
        signal.signal(signal.SIGUSR1, before)


@pytest.mark.parametrize(
    ("then", "kind", "detail"),
    [
        (server_frame(8, b"\x03\xe8"), "", None),
        (server_frame(1, b"late") + server_frame(8, b"\x03\xe8"), "", None),
        (server_frame(8, b"\x03\xe9"), "close-code", 1001),
        (server_frame(8), "close-code", 1005),
        (b"", "ended", 0),
        (None, "close-timeout", 0),
    ],
)
def test_closing(then, kind, detail):
    def handle(sock):
        assert sock.recv(65536)[:2] == b"\x88\x82"
        if then is None:
            read_until_end(sock)
        else:
            sock.sendall(then)

    with TinyServer(upgraded(handle)) as server:
        load = Load("127.0.0.1", server.port, timeout=0.5)
        load.open()
        report = load.close()
    assert report["connections"] == 0
    if kind:
        assert (report["messages"], report["errors"], report["details"]) == (0, {kind: 1}, {kind: detail})
    else:
        assert (report["messages"], report["errors"]) == (1, {})


def test_a_flood_of_pings_that_never_reads():
    def flood(sock):
        sock.recv(65536)
        for _ in range(2000):
            sock.sendall(server_frame(9, bytes(125)) * 16)
        sock.sendall(server_frame(1, RIGHT))
        read_until_end(sock)

    kind, _, report = meet(upgraded(flood))
    assert (kind, report["messages"]) == ("", 1)
    assert report["pings"] <= 32_000


def test_nobody_listens():
    with TinyServer(None) as server:
        port = server.port
    load = Load("127.0.0.1", port, connections=3)
    report = load.open()
    assert (report["errors"], report["details"]) == ({"connect": 3}, {"connect": errno.ECONNREFUSED})


def test_out_of_file_descriptors():
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with TinyServer(None) as server:
        load = Load("127.0.0.1", server.port, connections=20, timeout=0.2)
        free = os.dup(0)
        os.close(free)
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, (free + 5, hard))
            report = load.open()
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    assert report["errors"]["file-descriptors"] >= 15
    assert report["details"]["file-descriptors"] == errno.EMFILE
    assert sum(report["errors"].values()) == 20


@pytest.mark.parametrize(
    ("call", "reason"),
    [
        (lambda load: load.exchange(size=1, messages=1, seconds=1), "one of them"),
        (lambda load: load.exchange(size=1), "one of them"),
        (lambda load: load.exchange(size=-1, messages=1), "size"),
        (lambda load: load.exchange(size=1 << 40, messages=1), "size"),
        (lambda load: load.exchange(size=1, messages=0), "messages"),
        (lambda load: load.exchange(size=1, messages=1, opcode=8), "opcode"),
        (lambda load: load.exchange(size=1, messages=1, in_flight=0), "in_flight"),
        (lambda load: load.exchange(size=1, messages=1, in_flight=2, refill=3), "refill"),
        (lambda load: load.exchange(size=1, seconds=0), "seconds"),
        (lambda load: load.hold(), "no end"),
        (lambda load: load.open(at_once=0), "at_once"),
        (lambda load: load.close(at_once=0), "at_once"),
        (lambda load: load.refused(0), "count"),
        (lambda load: Load("127.0.0.1", 0), "port"),
        (lambda load: Load("127.0.0.1", 1, connections=0), "connections"),
        (lambda load: Load("127.0.0.1", 1, timeout=0), "timeout"),
    ],
)
def test_arguments_out_of_range(call, reason):
    with pytest.raises(ValueError, match=reason):
        call(Load("127.0.0.1", 1))


def test_names_are_no_addresses():
    with pytest.raises(OSError, match="illegal IP address"):
        Load("localhost", 1)
