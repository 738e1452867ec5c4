"""What is always true of an Inspector, whatever a peer sends and however it arrives."""

import pytest
from hypothesis import assume, event, given, note
from hypothesis import strategies as st

from framewarden import kernels
from framewarden.engine import MAX_EVENTS
from framewarden.policy import Limits
from framewarden.rfc6455 import State
from framewarden.testing import (
    FIN,
    TIGHT,
    Peer,
    broken,
    chunkings,
    frame,
    odd_deflate_payloads,
    peers,
    streams,
)
from tests.oracle import Outcome, judge, replies, utf8_error
from tests.playback import Played, bytewise, frames, make, plain, play, pump
from tests.properties.negotiated import inflate

limits = st.sampled_from([Limits(), TIGHT])


def inspect(peer: Peer, chunks: list[bytes], limits: Limits, **options) -> Played:
    return play(chunks, make(limits, peer.role, inflate(peer), **options))


def owed(outcome: Outcome) -> list[tuple[int, bytes]]:
    return [(FIN | opcode, payload) for opcode, payload in replies(outcome)]


@given(st.data(), peers())
def test_what_an_honest_peer_sends_arrives(data, peer):
    stream = data.draw(streams(peer))
    played = inspect(peer, data.draw(chunkings(stream.data)), Limits())
    assert played.outcome == Outcome(stream.events, None)
    assert frames(played.sent) == owed(played.outcome)


@given(st.data(), peers())
def test_the_oracle_reads_what_an_honest_peer_sends(data, peer):
    stream = data.draw(streams(peer))
    assert judge(stream.data, Limits(), peer.role, inflate(peer)) == Outcome(stream.events, None)


@given(st.data(), peers(deflate=False), limits)
def test_inspector_and_oracle_agree(data, peer, limits):
    stream = data.draw(broken(peer))
    wanted = judge(stream, limits, peer.role)
    event(wanted.violation[0] if wanted.violation else "accepted")
    assert inspect(peer, [stream], limits).outcome == wanted


@given(st.data(), peers(deflate=True), limits)
def test_inspector_and_oracle_agree_with_deflate(data, peer, limits):
    stream = data.draw(broken(peer))
    wanted = judge(stream, limits, peer.role, inflate(peer))
    event(wanted.violation[0] if wanted.violation else "accepted")
    assert inspect(peer, [stream], limits).outcome == wanted


@given(st.data(), peers(), limits)
def test_any_chunking_gives_the_same(data, peer, limits):
    stream = data.draw(broken(peer))
    whole = inspect(peer, [stream], limits)
    other = inspect(peer, data.draw(chunkings(stream)), limits)
    assert other.outcome == whole.outcome
    assert other.sent == whole.sent or peer.role == "client"
    assert frames(other.sent) == frames(whole.sent) == owed(whole.outcome)
    assert other.inspector.state is whole.inspector.state
    assert other.inspector.close_code == whole.inspector.close_code


@given(st.data(), peers(deflate=True))
def test_compressed_payloads_are_judged_alike(data, peer):
    """One compressed message of any bytes at all, in fragments."""
    payload = data.draw(odd_deflate_payloads())
    at = data.draw(st.integers(0, len(payload)))
    first = data.draw(st.sampled_from([0x41, 0x42]))
    stream = frame(peer, first, payload[:at]) + frame(peer, FIN, payload[at:]) + frame(peer, FIN | 2, b"next")
    wanted = judge(stream, TIGHT, peer.role, inflate(peer))
    for chunks in ([stream], bytewise(stream), data.draw(chunkings(stream))):
        got = inspect(peer, chunks, TIGHT).outcome
        assert got == wanted, chunks


@given(st.data(), peers(), limits, st.binary(max_size=40))
def test_nothing_follows_a_failure(data, peer, limits, more):
    stream = data.draw(broken(peer))
    inspector = make(limits, peer.role, inflate(peer))
    play([stream], inspector)
    assume(inspector.violation is not None)
    violation, judged = inspector.violation, inspector.bytes_received
    assert inspector.state is State.FAILED
    assert pump(inspector, more) == []
    assert pump(inspector, frame(peer, FIN | 1, b"late")) == []
    assert pump(inspector, frame(peer, FIN | 9, b"late")) == []
    assert inspector.data_to_send() == b""
    assert inspector.violation == violation
    assert inspector.bytes_received == judged
    assert inspector.bytes_held == 0
    inspector.receive_eof()
    assert inspector.violation == violation


@given(st.data(), peers(), limits)
def test_the_offset_lies_inside_what_was_judged(data, peer, limits):
    stream = data.draw(broken(peer))
    chunks = data.draw(chunkings(stream))
    inspector = make(limits, peer.role, inflate(peer))
    fed = 0
    for chunk in chunks:
        pump(inspector, chunk)
        fed += len(chunk)
        assert inspector.bytes_received <= fed
        if inspector.violation is not None:
            # Behind the message, for one that ends inside a character; else a byte that has come.
            assert 0 <= inspector.violation.offset <= fed
            break
        if inspector.close_code is None:
            assert inspector.bytes_received == fed


@given(st.data(), peers(), limits)
def test_a_prefix_never_fails_elsewhere(data, peer, limits):
    """Judging is monotonous: a prefix gives a prefix of the events, and fails as the whole does or not yet."""
    stream = data.draw(broken(peer))
    whole = inspect(peer, [stream], limits).outcome
    prefix = inspect(peer, [stream[: data.draw(st.integers(0, len(stream)))]], limits).outcome
    assert prefix.events == whole.events[: len(prefix.events)]
    assert prefix.violation is None or prefix == whole


@given(st.data(), peers(), st.binary(max_size=40))
def test_what_follows_a_close_is_ignored(data, peer, more):
    stream = data.draw(streams(peer, close=False)).data + frame(peer, FIN | 8, b"\x03\xe8bye")
    before = inspect(peer, [stream], Limits())
    after = inspect(peer, data.draw(chunkings(stream + more)), Limits())
    assert after.outcome == before.outcome
    assert after.outcome.events[-1] == ("close", 1000, "bye")
    assert after.inspector.close_code == 1000
    assert after.inspector.close_reason == "bye"
    assert after.inspector.state is State.CLOSED
    assert after.inspector.bytes_held == 0


@given(st.data(), peers(), limits)
def test_without_delivery_the_judgement_is_the_same(data, peer, limits):
    stream = data.draw(broken(peer))
    chunks = data.draw(chunkings(stream))
    heard = inspect(peer, chunks, limits)
    watched = inspect(peer, chunks, limits, deliver=False)
    assert watched.outcome.events == [event for event in heard.outcome.events if event[0] != "message"]
    assert watched.outcome.violation == heard.outcome.violation
    assert frames(watched.sent) == frames(heard.sent)


@given(st.data(), peers(deflate=False), limits)
def test_every_kernel_gives_the_same(data, peer, limits):
    stream = data.draw(broken(peer))
    chunks = data.draw(chunkings(stream))
    active = kernels.active()
    try:
        results = {}
        for name in kernels.available():
            kernels.use(name)
            results[name] = inspect(peer, chunks, limits).outcome
    finally:
        kernels.use(active)
    assert len({repr(outcome) for outcome in results.values()}) == 1, results


@pytest.mark.parametrize("name", kernels.available())
@given(data=st.data())
def test_text_is_what_python_says_it_is(name, data):
    """Long text with one wrong byte at any place, cut anywhere: where vector kernels have their edges."""
    text = data.draw(st.text(max_size=6)) * data.draw(st.integers(1, 60))
    content = bytearray(text.encode())
    if content and data.draw(st.booleans()):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    peer = Peer("server")
    stream = frame(peer, FIN | 1, bytes(content), data.draw(st.binary(min_size=4, max_size=4)))
    header = len(stream) - len(content)
    bad = utf8_error(bytes(content))
    active = kernels.active()
    try:
        kernels.use(name)
        outcome = inspect(peer, data.draw(chunkings(stream)), Limits()).outcome
    finally:
        kernels.use(active)
    if bad is None:
        assert outcome == Outcome([("message", 1, bytes(content).decode(), len(content), len(content))], None)
    else:
        with pytest.raises(UnicodeDecodeError):
            bytes(content).decode()
        assert outcome == Outcome([], ("invalid-utf8", 1007, header + bad))


@given(st.data(), peers(deflate=False))
def test_memory_follows_what_was_received(data, peer):
    """Never what was declared; nothing is held between messages."""
    allowed = Limits(max_frame_bytes=2**30, max_message_bytes=2**31 - 1)
    inspector = make(allowed, peer.role)
    declared = data.draw(st.sampled_from([200, 70_000, 2**20, 2**30]))
    opcode = data.draw(st.sampled_from([1, 2]))
    assert pump(inspector, frame(peer, opcode, b"", length=declared)) == []
    fed = 0
    for piece in data.draw(st.lists(st.sampled_from([b"", b"a", b"ab" * 30, b"a" * 5000]), max_size=6)):
        chunk = piece[: declared - fed - 1]
        assert pump(inspector, xored(peer, chunk, fed)) == []
        fed += len(chunk)
        assert inspector.bytes_held <= 2 * fed + 256
    assert inspector.violation is None


def xored(peer: Peer, chunk: bytes, position: int) -> bytes:
    """A piece of a payload, masked with the key that ``frame`` uses when it is not told."""
    if peer.role == "client":
        return chunk
    key = b"\x37\xfa\x21\x3d"
    return bytes(value ^ key[(position + index) % 4] for index, value in enumerate(chunk))


@given(st.data(), peers())
def test_nothing_is_held_between_messages(data, peer):
    stream = data.draw(streams(peer))
    inspector = make(Limits(), peer.role, inflate(peer))
    play(data.draw(chunkings(stream.data)), inspector)
    window = 64 * 1024 if inflate(peer) is not None and inflate(peer).context_takeover else 0
    assert inspector.bytes_held <= window


@given(st.data(), peers())
def test_memory_stays_under_the_limits(data, peer):
    """Whatever comes and in whatever pieces, as long as what is to be sent is taken."""
    inspector = make(TIGHT, peer.role, inflate(peer))
    window = 64 * 1024 if peer.deflate is not None else 0
    for _ in range(data.draw(st.integers(1, 4))):
        for chunk in data.draw(
            st.sampled_from([broken(peer), streams(peer, close=False).map(lambda one: one.data)]).flatmap(
                lambda strategy: strategy.flatmap(chunkings)
            )
        ):
            pump(inspector, chunk)
            inspector.data_to_send()
            assert inspector.bytes_held <= 2 * (TIGHT.max_message_bytes + TIGHT.max_inflated_bytes) + 256 + window


@given(st.data(), peers(deflate=False), st.integers(1, 3))
def test_a_call_returns_a_bounded_number_of_events(data, peer, calls):
    """MAX_EVENTS at most, and going on gives what one go would: also when more bytes come before it was asked to."""
    unit = data.draw(streams(peer, close=False))
    assume(unit.events)
    times = (MAX_EVENTS * calls) // len(unit.events) + data.draw(st.integers(-1, 2))
    unlimited = Limits(max_control_run=2**31 - 1)
    tail = data.draw(broken(peer))
    stream = unit.data * times + tail
    inspector = make(unlimited, peer.role)
    at = data.draw(st.integers(0, len(stream)))
    events, batches = [], 0
    rest = [stream[:at], stream[at:]]
    while rest or inspector.has_more:
        batch = inspector.receive_data(rest.pop(0) if rest else b"")
        assert len(batch) <= MAX_EVENTS
        if inspector.has_more:
            assert len(batch) == MAX_EVENTS
            assert inspector.violation is None
        events += batch
        batches += 1
    note(f"{batches} calls")
    expected = judge(tail, unlimited, peer.role)
    moved = expected.violation and (*expected.violation[:2], expected.violation[2] + len(unit.data) * times)
    got = [plain(one) for one in events]
    assert got == unit.events * times + expected.events
    violation = inspector.violation
    assert (violation and (violation.rule, violation.close_code, violation.offset)) == moved
