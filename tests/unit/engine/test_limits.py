"""What one connection may cost: memory that follows what came, runs that end, and calls that are bounded."""

import subprocess
import sys
import tracemalloc
import zlib

import pytest

from framewarden.codec import encode_frame
from framewarden.codec.extensions import DeflateParameters
from framewarden.engine import MAX_EVENT_BYTES, MAX_EVENTS, Inspector
from framewarden.policy import Limits, Policy, Schema
from framewarden.rfc6455 import State
from tests.playback import make, play

WIDEST = Policy(limits=Limits(max_frame_bytes=2**31 - 1, max_message_bytes=2**31 - 1))


def header(opcode: int, length: int) -> bytes:
    """Of an unmasked frame."""
    return bytes([opcode, 127]) + length.to_bytes(8, "big")


@pytest.mark.parametrize("deliver", [True, False])
@pytest.mark.parametrize("first", [0x81, 0x82, 0x01, 0x02], ids=hex)
@pytest.mark.parametrize("length", [2**20, 2**30, 2**31 - 1])
def test_a_declared_length_allocates_nothing(first, length, deliver):
    inspector = Inspector(WIDEST, "client", deliver=deliver)
    data = header(first, length)
    tracemalloc.start()
    try:
        inspector.receive_data(data)
        for _ in range(10):
            inspector.receive_data(b"a" * 100)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert inspector.violation is None
    assert inspector.bytes_received == len(data) + 1000
    assert inspector.bytes_held <= 2048
    assert peak < 16 * 1024


@pytest.mark.parametrize("length", [2**31, 2**32 + 5, 2**62, 2**63 - 1])
def test_a_length_that_no_limit_allows_is_refused_at_its_header(length):
    inspector = Inspector(WIDEST, "client")
    tracemalloc.start()
    try:
        inspector.receive_data(header(0x82, length))
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert inspector.violation.rule == "frame-too-big"
    assert inspector.bytes_held < 128
    assert peak < 16 * 1024


def test_one_call_returns_a_bounded_number_of_bytes():
    """Small frames that inflate to 64 KiB each: one read of them must not become 50 MiB of messages at once."""
    stream = zlib.compressobj(9, zlib.DEFLATED, -15)
    wire = (stream.compress(bytes(65_000)) + stream.flush(zlib.Z_SYNC_FLUSH))[:-4]
    frames = encode_frame(2, wire, rsv=4, key=b"abcd") * 100
    inspector = Inspector(deflate=DeflateParameters(False, False))
    sizes = []
    data = frames
    while data or inspector.has_more:
        sizes.append(sum(message.inflated_bytes for message in inspector.receive_data(data)))
        data = b""
    assert sum(sizes) == 6_500_000
    assert max(sizes) < MAX_EVENT_BYTES + 65_000
    assert len(sizes) == 6


def test_an_unfinished_message_is_let_go_at_its_end_and_at_the_end():
    """Held while it is unfinished, not after a failure, nor after the transport ended."""
    begun = b"\x02\x7f" + (100_000).to_bytes(8, "big") + bytes(100_000)
    for end in (
        lambda inspector: inspector.receive_data(b"\x80\x00"),
        lambda inspector: inspector.receive_data(b"\xf0"),
        lambda inspector: inspector.receive_data(b"\x88\x00"),
        lambda inspector: inspector.fail("idle-timeout"),
        lambda inspector: inspector.receive_eof(),
    ):
        inspector = Inspector(Policy(), "client")
        inspector.receive_data(begun)
        assert 100_000 <= inspector.bytes_held <= 250_000
        end(inspector)
        inspector.data_to_send()
        assert inspector.bytes_held == 0


def test_a_compressed_message_that_is_refused_is_let_go():
    inspector = Inspector(Policy(), "client", deflate=DeflateParameters(server_context_takeover=False))
    size = 20_000
    stored = b"\x00" + size.to_bytes(2, "little") + (size ^ 0xFFFF).to_bytes(2, "little") + bytes(size)
    inspector.receive_data(b"\x42\x7e" + len(stored).to_bytes(2, "big") + stored)
    assert size <= inspector.bytes_held <= 4 * size
    inspector.receive_data(b"\x00\x01\x06")
    assert inspector.violation.rule == "deflate-data"
    inspector.data_to_send()
    assert inspector.bytes_held == 0


@pytest.mark.parametrize("takeover", [True, False])
def test_a_window_stays_only_where_it_is_kept(takeover):
    """Between two compressed messages nothing is held, unless the peer may refer to the one before."""
    inspector = Inspector(Policy(), "client", deflate=DeflateParameters(server_context_takeover=takeover))
    for _ in range(2):
        assert inspector.receive_data(b"\xc2\x07\xf2\x48\xcd\xc9\xc9\x07\x00")[0].data == b"Hello"
        assert (inspector.bytes_held > 0) == takeover


IDLE = """
import gc, os
from framewarden.engine import Inspector
from framewarden.policy import Policy

def resident():
    gc.collect()
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")

def used(inspector):
    inspector.receive_data(bytes.fromhex("018100000000") + b"a")
    inspector.receive_data(bytes.fromhex("808100000000") + b"b")
    inspector.receive_data(bytes.fromhex("898000000000"))
    inspector.send_text("answer")
    assert inspector.data_to_send()
    assert inspector.bytes_held == 0
    return inspector

policy = Policy()
warm = [{made} for _ in range(1000)]
before = resident()
kept = [{made} for _ in range(10_000)]
print((resident() - before) / len(kept))
"""


@pytest.mark.skipif(sys.platform != "linux", reason="resident memory is read from /proc")
@pytest.mark.parametrize("made", ["Inspector(policy)", "used(Inspector(policy))"], ids=["fresh", "used"])
def test_an_idle_inspector_takes_less_than_1_kib(made):
    script = IDLE.replace("{made}", made)
    run = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert 0 < float(run.stdout) < 1024


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock():
    return Clock()


def pinging(clock, run: int) -> Inspector:
    return Inspector(Policy(limits=Limits(max_control_run=run)), "client", clock=clock)


PING = b"\x89\x00"


def test_a_control_run_ends_one_second_after_it_began(clock):
    inspector = pinging(clock, 2)
    for _ in range(10):
        assert len(inspector.receive_data(PING * 2)) == 2
        clock.now += 1.0
    assert len(inspector.receive_data(PING)) == 1
    clock.now += 0.99
    assert len(inspector.receive_data(PING * 2)) == 1
    assert inspector.violation.rule == "control-flood"


def test_a_control_run_is_timed_from_its_first_frame_not_its_last(clock):
    inspector = pinging(clock, 3)
    for _ in range(30):
        inspector.receive_data(PING)
        clock.now += 0.4
    assert inspector.violation is None
    for _ in range(5):
        inspector.receive_data(PING)
        clock.now += 0.2
    assert inspector.violation.rule == "control-flood"


def test_a_clock_that_is_set_back_does_not_fail_a_peer(clock):
    inspector = pinging(clock, 2)
    inspector.receive_data(PING * 2)
    clock.now -= 3600.0
    assert len(inspector.receive_data(PING * 2)) == 2
    clock.now -= 0.5
    inspector.receive_data(PING)
    assert inspector.violation.rule == "control-flood"


def test_a_call_returns_at_most_max_events():
    inspector = Inspector(Policy(), "client")
    stream = b"\x82\x01x" * (2 * MAX_EVENTS + 1)
    sizes = [len(inspector.receive_data(stream))]
    while inspector.has_more:
        assert inspector.bytes_held > 0
        sizes.append(len(inspector.receive_data(b"")))
    assert sizes == [MAX_EVENTS, MAX_EVENTS, 1]
    assert inspector.bytes_received == len(stream)
    assert inspector.bytes_held == 0


def test_exactly_max_events_leave_nothing():
    inspector = Inspector(Policy(), "client")
    assert len(inspector.receive_data(b"\x82\x01x" * MAX_EVENTS)) == MAX_EVENTS
    assert not inspector.has_more
    assert inspector.receive_data(b"") == []


def test_a_failure_behind_max_events_waits_for_its_turn():
    inspector = Inspector(Policy(), "client")
    assert len(inspector.receive_data(b"\x82\x00" * MAX_EVENTS + b"\xf0\x00")) == MAX_EVENTS
    assert inspector.has_more
    assert inspector.state is State.OPEN
    assert inspector.receive_data(b"") == []
    assert inspector.violation.offset == 2 * MAX_EVENTS
    assert not inspector.has_more


def test_a_failure_by_the_owner_drops_what_waits():
    inspector = Inspector(Policy(), "client")
    inspector.receive_data(b"\x82\x00" * (MAX_EVENTS + 5))
    assert inspector.has_more
    inspector.fail("handler-error")
    assert not inspector.has_more
    assert inspector.receive_data(b"") == []


def test_as_many_values_as_the_limit_pass_where_strings_hold_what_looks_like_more():
    """Delimiters inside a string make the quick count too high; the exact one decides, at the limit and above it."""
    for content, violation in ((b'["a,b:c[",1,2]', None), (b'["a,b:c[",1,2,3]', ("decode-nodes", 4413, 0))):
        inspector = make(Limits(max_decode_nodes=4), "client", schema=Schema(text=list))
        assert play([bytes([0x81, len(content)]) + content], inspector).outcome.violation == violation
