"""Each strategy makes what it says: honest streams give their events, in the Inspector and in the oracle."""

import contextlib
import subprocess
import sys
import zlib
from pathlib import Path

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from framewarden import DeflateParameters, Inspector, Limits, Policy, Role
from framewarden.codec.handshake import HandshakeParser, Refusal, Request
from framewarden.testing import (
    FIN,
    RSV1,
    TEXT,
    WAYS,
    Compression,
    Deflater,
    Peer,
    broken,
    chunkings,
    closes,
    contents,
    controls,
    damaged_heads,
    deflate_payloads,
    frame,
    frame_ends,
    frames,
    masking_keys,
    messages,
    mutated,
    odd_deflate_payloads,
    odd_frames,
    peers,
    pump,
    read,
    refused_handshakes,
    streams,
    texts,
)
from framewarden.testing.handshakes import FAULTS
from framewarden.testing.streams import CLOSE_CODES
from tests.oracle import Outcome, judge
from tests.properties.negotiated import inflate


def inspector(peer: Peer, limits: Limits | None = None) -> Inspector:
    return Inspector(Policy(limits=limits or Limits()), peer.role, deflate=peer.deflate, clock=lambda: 0.0)


class EnoughError(Exception):
    """Everything that was looked for has been seen."""


def kinds(strategy, kind, wanted=None) -> set:
    """Of which kinds the first 100 examples are; of many more, until all that is ``wanted`` has been seen.

    Nothing is made smaller, which takes long.
    """
    seen = set()

    @settings(
        phases=[Phase.generate],
        max_examples=100 if wanted is None else 10_000,
        database=None,
        suppress_health_check=list(HealthCheck),
        report_multiple_bugs=False,
    )
    @given(strategy)
    def look(one):
        seen.add(kind(one))
        if wanted is not None and seen >= wanted:
            raise EnoughError

    with contextlib.suppress(EnoughError):
        look()
    return seen


# What is honest


@pytest.mark.parametrize("make", [controls, closes, messages, frames, streams])
@given(data=st.data(), peer=peers())
def test_what_is_honest_gives_its_events(make, data, peer):
    stream = data.draw(make(peer))
    reader = inspector(peer)
    assert read(reader, data.draw(chunkings(stream.data))) == stream.events
    assert reader.violation is None
    assert judge(stream.data, Limits(), peer.role, inflate(peer)) == Outcome(stream.events, None)


@given(st.data(), peers())
def test_a_frame_is_one(data, peer):
    one = data.draw(frames(peer))
    [(first, end)] = frame_ends(one.data)
    assert first & FIN
    assert end == len(one.data)
    assert len(one.events) == 1


@given(st.data(), peers())
def test_a_message_ends_and_is_one(data, peer):
    stream = data.draw(messages(peer, max_fragments=3))
    assert [event[0] for event in stream.events].count("message") == 1
    fragments = [first for first, _ in frame_ends(stream.data) if not first & 8]
    assert 1 <= len(fragments) <= 3
    assert [bool(first & FIN) for first in fragments] == [False] * (len(fragments) - 1) + [True]


PEER = Peer("server", DeflateParameters())


def test_streams_have_everything_in_them():
    def inside(stream):
        names = {event[0] for event in stream.events}
        firsts = [first for first, _ in frame_ends(stream.data)]
        compressed, fragmented = any(first & RSV1 for first in firsts), any(not first & FIN for first in firsts)
        return names | ({"compressed"} if compressed else set()) | ({"fragmented"} if fragmented else set())

    for part in ("message", "ping", "pong", "close", "compressed", "fragmented"):
        assert True in kinds(streams(PEER), lambda stream, part=part: part in inside(stream), {True}), part
    assert kinds(streams(PEER, close=False), lambda stream: "close" in inside(stream)) == {False}


@given(st.binary(max_size=100), st.data())
def test_chunks_are_the_whole(octets, data):
    assert b"".join(data.draw(chunkings(octets))) == octets


def test_chunkings_are_of_all_kinds():
    def kind(chunks):
        if len(chunks) == 1:
            return "whole"
        if b"" in chunks:
            return "empty ones"
        return "bytes" if len(chunks) == 20 else "anywhere"

    wanted = {"whole", "empty ones", "bytes", "anywhere"}
    assert kinds(chunkings(bytes(20)), kind, wanted) == wanted


# What it is made of


def test_a_peer_is_what_the_inspector_reads():
    deflate = DeflateParameters(client_max_window_bits=9, server_max_window_bits=10, client_context_takeover=False)
    peer = Peer("server", deflate)
    assert peer.masked
    assert peer.compression == Compression(9, False)
    assert peer.opposite == Peer("client", deflate)
    assert not peer.opposite.masked
    assert peer.opposite.compression == Compression(10, True)
    assert Peer("client").compression is None
    assert {peer.role, peer.opposite.role} == {role.value for role in Role}


@pytest.mark.parametrize(("deflate", "compressed"), [(None, {False, True}), (True, {True}), (False, {False})])
def test_peers_are_drawn_as_asked(deflate, compressed):
    wanted = {(role, each) for role in ("server", "client") for each in compressed}
    assert kinds(peers(deflate=deflate), lambda peer: (peer.role, peer.deflate is not None), wanted) == wanted


def test_a_frame_is_the_one_of_the_rfc():
    """RFC 6455 5.7."""
    assert frame(Peer("client"), FIN | TEXT, b"Hello") == bytes.fromhex("810548656c6c6f")
    assert frame(Peer("server"), FIN | TEXT, b"Hello") == bytes.fromhex("818537fa213d7f9f4d5158")
    assert frame(Peer("client"), 0x82, bytes(256))[:4] == bytes.fromhex("827e0100")
    assert frame(Peer("client"), 0x82, bytes(65536))[:10] == bytes.fromhex("827f0000000000010000")
    assert frame(Peer("client"), 0x82, b"", length=2**62)[:10] == bytes.fromhex("827f4000000000000000")


def test_the_ends_of_frames():
    sent = b"".join(frame(Peer("server"), FIN | 2, bytes(size)) for size in (0, 126, 65536))
    assert [end for _, end in frame_ends(sent)] == [6, 6 + 134, 6 + 134 + 65550]
    with pytest.raises(AssertionError, match="half written"):
        frame_ends(sent[:-1])


@given(masking_keys(), texts(), contents())
def test_keys_texts_and_contents(key, text, octets):
    assert len(key) == 4
    assert len(text.encode()) <= 4 * 160
    assert len(octets) <= 300


def test_close_codes_are_ones_that_may_be_sent():
    for code in CLOSE_CODES:
        Inspector(role="server").send_close(code)


# Compression

COMPRESSIONS = st.builds(Compression, window_bits=st.integers(9, 15), context_takeover=st.booleans())


@given(st.data(), COMPRESSIONS)
def test_a_compressed_payload_inflates_to_its_content(data, compression):
    """RFC 7692 7.2.2, by zlib alone."""
    one = data.draw(deflate_payloads(compression))
    stream, rest, content = zlib.decompressobj(-15), one.payload + b"\0\0\xff\xff", b""
    while rest:
        content += stream.decompress(rest)
        rest, stream = stream.unused_data, zlib.decompressobj(-15)
    assert content == one.content


@given(st.data(), COMPRESSIONS, st.lists(st.tuples(contents(), st.sampled_from(WAYS)), max_size=6))
def test_the_messages_of_a_deflater_are_read_in_their_order(data, compression, what):
    deflater = Deflater(compression)
    bits, takeover = compression
    peer = Peer("server", DeflateParameters(client_max_window_bits=bits, client_context_takeover=takeover))
    sent = b"".join(frame(peer, FIN | RSV1 | 2, deflater.message(content, way)) for content, way in what)
    reader = inspector(peer)
    assert [event[2] for event in read(reader, data.draw(chunkings(sent)))] == [content for content, _ in what]
    assert reader.violation is None


def rule_of(stream):
    """Which rule a stream breaks, None: none."""
    reader = inspector(PEER)
    pump(reader, stream)
    return reader.violation and reader.violation.rule


def test_odd_payloads_are_refused_for_several_reasons():
    wanted = {None, "deflate-data", "invalid-utf8"}
    assert kinds(odd_deflate_payloads(), lambda one: rule_of(frame(PEER, FIN | RSV1 | TEXT, one)), wanted) >= wanted


# What is broken


def test_many_rules_are_broken():
    """And some streams break none."""
    wanted = {None, "unmasked-frame", "invalid-utf8", "reserved-bits", "reserved-opcode"}
    assert kinds(odd_frames(PEER), rule_of, wanted) >= wanted
    for make in (mutated, broken):
        wanted = {None, "reserved-bits", "reserved-opcode", "unexpected-continuation"}
        assert kinds(make(PEER), rule_of, wanted) >= wanted


# Handshakes


def test_every_fault_of_a_handshake_is_drawn():
    assert kinds(refused_handshakes(), lambda opening: opening.expected.rule, set(FAULTS)) == set(FAULTS)


def test_damaged_heads_are_judged_in_every_way():
    wanted = {Request, Refusal, type(None)}
    assert kinds(damaged_heads(), lambda head: type(HandshakeParser(Limits()).feed(head)), wanted) == wanted
    response = b"HTTP/1.1 101 x\r\n\r\n"
    assert kinds(damaged_heads(st.just(response)), lambda head: head == response, {True, False}) == {True, False}


# Without Hypothesis


def test_who_lacks_hypothesis_is_told_how_to_get_it():
    program = "import sys; sys.modules['hypothesis'] = None; import framewarden; import framewarden.testing"
    source = Path(__file__).parents[3] / "src"
    result = subprocess.run(
        [sys.executable, "-c", f"import sys; sys.path.insert(0, {str(source)!r}); {program}"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 1
    assert result.stderr.splitlines()[-1] == (
        "ImportError: framewarden.testing needs Hypothesis: pip install framewarden[testing]"
    )
