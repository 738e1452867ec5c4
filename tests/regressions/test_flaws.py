"""Every case of the flaw pack (src/framewarden/apps/probe/flaws) against our own code.

What comes behind the 101 is played into an Inspector, a request into HandshakeParser and Admission, a response into
ResponseParser: whole, at the case's cuts and in small pieces. A case that is about cost has its bounds here, too. What
no bytes of one connection say has a driver. ``tests/e2e/test_probe.py`` plays the pack against servers.
"""

import asyncio
import base64
import functools
import json
import re
import ssl
import time
import tracemalloc
from collections import Counter
from pathlib import Path

import pytest
import trustme

from framewarden import DeflateParameters, Handler, Inspector, Policy, connect
from framewarden.admission import Admission
from framewarden.apps.cases import Case
from framewarden.apps.demo.chat import Members
from framewarden.apps.probe.pack import FOLDER, flaw_cases, flaw_classes
from framewarden.codec.client_handshake import Offer, Rejected, ResponseParser, request_head
from framewarden.codec.handshake import HandshakeParser, Refusal
from framewarden.codec.uri import parse_uri
from framewarden.errors import ArgumentError
from framewarden.policy import Deflate, Limits, Schema
from framewarden.rules import RULES
from framewarden.session.session import new_session_id
from tests.e2e.harness import close, frame, run, serving, text, upgraded
from tests.playback import frames
from tests.tiny_server import switching

CASES = {case.id: case for case in flaw_cases()}
CVES = Path(__file__).parents[3] / "shared" / "CVES.md"
KIB, MIB = 1024, 1024 * 1024
READ = 64 * KIB
"""Bytes that one read of a socket gives at most."""
HELD = 3 * MIB // 2
"""What a connection may hold at most: a message of max_message_bytes, and a half as much again while it is put together
or inflated."""
EVERY_BYTE = 4096
"""Streams up to this size are also cut at every byte."""
LEAST_SECONDS = 0.002
REPEATS = 7
POLICY = Policy(deflate=Deflate())
ROOMY = Policy(
    limits=Limits(max_fragments=2**31 - 1, max_empty_run=2**31 - 1, max_message_bytes=2**31 - 1, max_control_run=10**9),
    deflate=Deflate(),
)
"""So that nothing is refused before it has cost what it costs."""

OF_THE_SERVER = {"flood-pending": "connections are counted by the server: tests/e2e/test_probe.py"}
NOT_YET = {"flood-rate": "framewarden has no rule about rates yet"}


def named(stage, role=None, *, costs=None):
    """Ids of the cases of one kind."""
    return [
        case.id
        for case in CASES.values()
        if case.stage == stage
        and role in (None, case.role)
        and case.id not in OF_THE_SERVER
        and (costs is None or (case.cost is not None and getattr(case.cost, costs) is not None))
    ]


def cuttings(case, stream):
    """The stream whole, at the cuts of the case, and in pieces that a socket could give."""
    yield [stream]
    if case.cuts:
        yield list(case.pieces(stream))
    if len(stream) <= EVERY_BYTE:
        yield [stream[at : at + 1] for at in range(len(stream))]
    yield [stream[at : at + READ - 1] for at in range(0, len(stream), READ - 1)]


def inspector(case, policy=POLICY, **options):
    deflate = DeflateParameters() if case.deflate else None
    return Inspector(policy, case.role, deflate=deflate, clock=lambda: 0.0, **options)


def feed(inspector, pieces):
    """Feed everything; what was held at most, in bytes."""
    held = 0
    for piece in pieces:
        inspector.receive_data(piece)
        held = max(held, inspector.bytes_held)
        while inspector.has_more:
            inspector.receive_data(b"")
            held = max(held, inspector.bytes_held)
    return held


# --- Frames ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("id", named("frames"))
def test_frames(id):
    case = CASES[id]
    stream = case.stream()
    offsets = set()
    for pieces in cuttings(case, stream):
        judged = inspector(case)
        held = feed(judged, pieces)
        violation = judged.violation
        if case.expect != "survive":
            assert (violation and violation.rule) == case.rule
            assert (violation or judged).close_code == case.close_code
        offsets.add(violation and violation.offset)
        assert held <= HELD or max(map(len, pieces)) > READ
        if case.pongs is not None:
            answers = [payload.hex() for first, payload in frames(judged.data_to_send()) if first == 0x8A]
            assert answers == list(case.pongs)
    assert len(offsets) == 1, "the verdict depends on the cuts"


@pytest.mark.parametrize("id", named("frames", costs="memory"))
def test_memory_of_frames(id):
    case = CASES[id]
    stream = case.stream()
    pieces = [stream[at : at + READ] for at in range(0, len(stream), READ)]
    judged = inspector(case)
    tracemalloc.start()
    try:
        before = tracemalloc.get_traced_memory()[0]
        tracemalloc.reset_peak()
        feed(judged, pieces)
        grown = tracemalloc.get_traced_memory()[1] - before
    finally:
        tracemalloc.stop()
    assert grown <= min(case.cost.memory, 3 * MIB)


def seconds(work):
    """CPU time of this thread, the shortest of a few."""
    taken = []
    for _ in range(REPEATS):
        begun = time.thread_time()
        work()
        taken.append(time.thread_time() - begun)
    return min(taken)


def ratio(case, work):
    """How many times longer twice as much takes; 1: too little to be measured."""
    single, double = (seconds(functools.partial(work, case.stream(doubled=doubled))) for doubled in (False, True))
    return double / single if double > LEAST_SECONDS else 1.0


@pytest.mark.parametrize("policy", [POLICY, ROOMY], ids=["default", "roomy"])
@pytest.mark.parametrize("id", named("frames", costs="time_ratio"))
def test_time_of_frames(id, policy):
    case = CASES[id]

    def work(data):
        feed(inspector(case, policy), [data[at : at + READ] for at in range(0, len(data), READ)])

    assert ratio(case, work) <= case.cost.time_ratio


def test_the_measurement_of_time_notices_a_quadratic_parser():
    case = CASES["quadratic-large"]

    def work(data):
        kept = b""
        for at in range(0, len(data), 4096):
            kept += bytes(data[at : at + 4096])
            kept.count(b"\xff")  # bytes += is quadratic, but for a trick of CPython's

    assert ratio(case, work) > case.cost.time_ratio


# --- The opening handshake --------------------------------------------------------------------------------------------


def answer(case, pieces, *, authenticate=None):
    """The verdict on a request: (rule, status), and what was agreed upon."""
    parser = HandshakeParser(Limits())
    verdict = None
    for piece in pieces:
        verdict = parser.feed(piece)
    assert verdict is not None, "the request is not complete"
    if not isinstance(verdict, Refusal):
        verdict = Admission(POLICY, ("127.0.0.1", 8765), authenticate=authenticate).admit(verdict)
    if isinstance(verdict, Refusal):
        return verdict.rule, verdict.status, None
    return None, 101, verdict.deflate


@pytest.mark.parametrize("id", named("handshake", "server"))
def test_requests(id):
    case = CASES[id]
    authenticate = Members().authenticate if "credentials" in case.needs else None
    for pieces in cuttings(case, case.stream()):
        rule, status, deflate = answer(case, pieces, authenticate=authenticate)
        assert (rule, status) == (case.rule, case.status)
        assert (deflate is not None) == case.deflate


@pytest.mark.parametrize("id", named("handshake", "server", costs="memory"))
def test_memory_of_requests(id):
    case = CASES[id]
    stream = case.stream()
    tracemalloc.start()
    try:
        before = tracemalloc.get_traced_memory()[0]
        answer(case, [stream])
        grown = tracemalloc.get_traced_memory()[1] - before
    finally:
        tracemalloc.stop()
    assert grown <= 256 * KIB


@pytest.mark.parametrize("id", named("handshake", "server", costs="time_ratio"))
def test_time_of_requests(id):
    case = CASES[id]

    def work(data):
        for _ in range(20):
            HandshakeParser(Limits(max_header_bytes=2**20, max_head_bytes=2**20)).feed(data)

    assert ratio(case, work) <= case.cost.time_ratio


@pytest.mark.parametrize("id", named("handshake", "client"))
def test_responses(id):
    case = CASES[id]
    for pieces in cuttings(case, case.stream()):
        parser = ResponseParser(Limits(), Offer(key="dGhlIHNhbXBsZSBub25jZQ==", deflate=Deflate()))
        verdicts = [parser.feed(piece) for piece in pieces]
        assert isinstance(verdicts[-1], Rejected) == (case.expect == "reject")


# --- What a message holds ---------------------------------------------------------------------------------------------

WITH_SCHEMA = {
    "decoder-json-depth": "decode-nodes",
    "decoder-json-number": "schema-number",
    "decoder-json-surrogate": "schema-surrogate",
    "decoder-json-prototype": "schema-mismatch",
    "decoder-socketio-attachments": "schema-mismatch",
    "decoder-socketio-event": "schema-mismatch",
    "decoder-msgpack-size": "schema-mismatch",
    "decoder-msgpack-depth": "decode-nodes",
    "decoder-pickle": "schema-mismatch",
    "decoder-stomp": "schema-malformed",
    "decoder-redos": "schema-mismatch",
}
"""The rule that each message breaks where a schema decodes it: a list of short strings, as JSON or MessagePack."""


@pytest.mark.parametrize("id", [case.id for case in CASES.values() if case.id.startswith("decoder-")])
def test_decoders(id):
    case = CASES[id]
    schema = Schema(text=list[str], binary=list[str])
    judged = inspector(case, Policy(schema=schema))
    feed(judged, [case.stream()])
    assert judged.violation.rule == WITH_SCHEMA.get(id, case.rule)


# --- Drivers: what no bytes of one connection say ---------------------------------------------------------------------


class Closes(Handler):
    """Closes inside the callback, and goes on all the same."""

    def __init__(self):
        self.closed = []

    def on_message(self, session, message):
        session.send(message)
        session.close(1000, "enough")
        session.close(1001)
        session.context = message * 2

    def on_close(self, session, code, reason):
        self.closed.append((code, session.context))


@run
async def lifetime_callback():
    handler = Closes()
    async with serving(handler) as server:
        for _ in range(50):
            async with upgraded(server) as client:
                client.send(text("a") * 20)
                # What one read has brought is handled to its end, and the Close goes last.
                for _ in range(20):
                    assert await client.read_text() == "a"
                assert await client.read_close() == (1000, "enough")
                client.send(close(1000), text("b"))
                assert await client.read_eof() == b""
    assert handler.closed == [(1000, "aa")] * 50


class Notes(Handler):
    """Keeps what a session says, and says what it has kept."""

    def on_message(self, session, message):
        kept = session.context or ""
        session.context = kept + message
        session.send(session.context)


@run
async def session_state():
    async with serving(Notes()) as server:
        async with upgraded(server) as one, upgraded(server) as two:
            for client, words, kept in ((one, "a", "a"), (two, "b", "b"), (one, "c", "ac"), (two, "d", "bd")):
                client.send(text(words))
                assert await client.read_text() == kept
        async with upgraded(server) as later:
            later.send(text("e"))
            assert await later.read_text() == "e"


def predictable_ids():
    ids = [new_session_id() for _ in range(4096)]
    assert len(set(ids)) == len(ids)
    octets = [base64.urlsafe_b64decode(id + "==") for id in ids]
    assert {len(each) for each in octets} == {16}
    assert even(octets)


def even(values):
    """Whether each bit of random values of one size is set in about a half of them: within 6 standard deviations."""
    values = list(values)
    width = 8 * len(values[0])
    counts = Counter()
    for value in values:
        bits = int.from_bytes(value, "big")
        counts.update(place for place in range(width) if bits >> place & 1)
    bound = 6 * (len(values) / 4) ** 0.5
    return all(abs(counts[place] - len(values) / 2) < bound for place in range(width))


def client_smuggling():
    uri = parse_uri("ws://127.0.0.1/")
    offer = Offer(key="dGhlIHNhbXBsZSBub25jZQ==")
    evil = "a\r\nX-Evil: b"
    for options in ({"origin": evil}, {"headers": [("X-A", evil)]}, {"headers": [(evil, "a")]}):
        with pytest.raises(ArgumentError):
            request_head(uri, offer, **options)
    with pytest.raises(ArgumentError):
        request_head(uri, Offer(key=offer.key, subprotocols=(evil,)))
    with pytest.raises(ArgumentError):
        parse_uri(f"ws://127.0.0.1/{evil}")
    assert request_head(uri, offer, headers=[("X-A", "b")]).count(b"\r\n") == 8


def server_tls(authority, *names):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert(*names).configure_cert(context)
    return context


@run
async def tls_authority():
    async with serving(ssl=server_tls(trustme.CA(), "127.0.0.1")) as server:
        with pytest.raises(ssl.SSLCertVerificationError):
            await connect(server.url).__aenter__()


@run
async def tls_name():
    authority = trustme.CA()
    trusting = ssl.create_default_context()
    authority.configure_trust(trusting)
    async with serving(ssl=server_tls(authority, "example.org")) as server:
        with pytest.raises(ssl.SSLCertVerificationError):
            await connect(server.url, ssl=trusting).__aenter__()
    async with serving(ssl=server_tls(authority, "127.0.0.1")) as server, connect(server.url, ssl=trusting):
        await asyncio.sleep(0)


DRIVERS = {
    "lifetime-callback": lifetime_callback,
    "session-state": session_state,
    "auth-predictable-ids": predictable_ids,
    "smuggling-client": client_smuggling,
    "tls-client-authority": tls_authority,
    "tls-client-name": tls_name,
}


@pytest.mark.parametrize("id", DRIVERS)
def test_drivers(id):
    DRIVERS[id]()


def test_each_answer_of_a_client_has_a_mask_of_its_own():
    case = CASES["client-masks"]
    keys = []
    for _ in range(40):
        judged = inspector(case)
        feed(judged, [case.stream()])
        sent = judged.data_to_send()
        assert len(sent) == 60 * 14
        keys += [sent[at + 2 : at + 6] for at in range(0, len(sent), 14)]
    assert len(set(keys)) > len(keys) - 3
    assert even(keys)
    fixed = inspector(case, key_source=lambda size: b"\x37\xfa\x21\x3d"[:size])
    feed(fixed, [case.stream()])
    assert not even([fixed.data_to_send()[2:6]] * 40)


PONG_AND_CLOSE = frame(10, b"x" * 125) + close(1000)


def test_the_client_ends_with_a_server_that_loops():
    case = CASES["client-loop"]

    @run
    async def talk():
        async def loop(reader, writer):
            head = await reader.readuntil(b"\r\n\r\n")
            writer.write(switching(head))
            for octet in case.stream():
                writer.write(bytes([octet]))
            await reader.readexactly(len(PONG_AND_CLOSE))
            writer.close()

        server = await asyncio.start_server(loop, "127.0.0.1", 0)
        async with server, connect(f"ws://127.0.0.1:{server.sockets[0].getsockname()[1]}/") as connection:
            assert [message async for message in connection] == [""]

    talk()


def test_what_is_not_built_is_said_to_be_missing():
    """The day that there are rates, this fails, and the case becomes one that is played."""
    assert not [rule for rule in RULES.values() if rule.close_code == 4429]
    assert NOT_YET.keys() == {id for id in CASES if "does not have yet" in CASES[id].needs}


# --- The pack itself --------------------------------------------------------------------------------------------------


def test_every_case_is_played_here_or_has_its_reason():
    drivers = set(named("driver")) - NOT_YET.keys()
    assert drivers == DRIVERS.keys()
    assert OF_THE_SERVER.keys() <= CASES.keys()
    assert WITH_SCHEMA.keys() == {id for id in CASES if id.startswith("decoder-") and CASES[id].rule is None}


def test_every_class_has_a_case_and_every_case_a_class():
    assert {case.flaw_class for case in CASES.values()} == {each.id for each in flaw_classes()}


def test_ids_occur_once():
    names = [json.loads(file.read_text())["id"] for file in FOLDER.iterdir() if file.name != "classes.json"]
    assert len(names) == len(set(names)) == len(CASES)
    classes = [each.id for each in flaw_classes()]
    assert len(classes) == len(set(classes))
    flaws = [flaw for each in flaw_classes() for flaw in each.flaws]
    assert len(flaws) == len(set(flaws)) == 120
    assert all(re.fullmatch(r"(CVE|PYSEC)-20\d\d-\d{4,7}", flaw) for flaw in flaws)


def test_cases_name_flaws_of_their_class():
    flaws = {each.id: set(each.flaws) for each in flaw_classes()}
    assert [case.id for case in CASES.values() if not set(case.flaws) <= flaws[case.flaw_class]] == []
    named_by_a_case = {flaw for case in CASES.values() for flaw in case.flaws}
    unnamed = {flaw for each in flaw_classes() for flaw in each.flaws} - named_by_a_case
    # It is about 2 GiB that a server sends; `does` says that it is not played.
    assert unnamed == {"CVE-2026-102560"}
    assert "CVE-2026-102560" in next(each.does for each in flaw_classes() if each.id == "deflate-memory")


def published(table):
    """Every id in the second column of the rows; "CVE-2018-1270/1275" and "CVE-2022-2421, -2023-32695" are several."""
    found = set()
    for row in (line for line in table.splitlines() if line.startswith("|")):
        year = None
        for match in re.finditer(r"(?:CVE-(\d{4})-|(?<=/)|(?<=[ /])-(?:(\d{4})-)?)(\d{4,7})\b", row.split("|")[2]):
            year = match[1] or match[2] or year
            found.add(f"CVE-{year}-{match[3]}")
    return found


def test_how_the_published_ids_are_read():
    row = "| a | CVE-2018-1270/1275 x; CVE-2022-2421, -2023-32695 [T] (a); CVE-2026-5 (PR 2391) / -54490 2026 | b |"
    assert published(row) == {*("CVE-2018-1270", "CVE-2018-1275", "CVE-2022-2421", "CVE-2023-32695", "CVE-2023-54490")}


@pytest.mark.skipif(not CVES.is_file(), reason="the list that the pack was made from is not part of the checkout")
def test_every_published_flaw_of_the_list_is_in_the_pack():
    ours = {flaw for each in flaw_classes() for flaw in each.flaws if flaw.startswith("CVE")}
    assert published(CVES.read_text()) == ours


def test_a_case_that_is_wrong_is_noticed():
    wrong = Case(
        id="a", flaw_class="b", comment="c", parts=(frame(1, b"a").hex(),), expect="reject", rule="reserved-bits",
        close_code=1002,
    )  # fmt: skip
    judged = inspector(wrong)
    feed(judged, [wrong.stream()])
    assert judged.violation is None
