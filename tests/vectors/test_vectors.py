"""Every vector, whole, byte by byte and at its chunks: against the Inspector, and against the oracle."""

import pytest

from framewarden.engine import Inspector
from framewarden.policy import Limits, Policy, Schema
from framewarden.rules import RULES
from tests.oracle import CODES, CONTINUATION, Inflate, Outcome, Types, judge, replies
from tests.playback import bytewise, frames, make, negotiated, play
from tests.vectors.loader import VECTORS, Vector, agrees
from tests.vectors.schemas import SCHEMAS

BY_ID = {vector.id: vector for vector in VECTORS}
NO_VECTOR = {
    "out-of-memory": "no bytes break it: it is about what the machine has left",
    "internal-error": "no bytes break it: it is about callbacks of the owner; see tests/unit/engine/test_misuse.py",
    "handler-error": "the server's judgement of its handler, not of the stream",
    "frame-timeout": "the server's clock, not the stream",
    "message-timeout": "the server's clock, not the stream",
    "lifetime": "the server's clock, not the stream",
    "write-stall": "the server's clock, not the stream",
    "slow-consumer": "what is sent, not the stream",
    "memory-budget": "what other connections hold, not the stream",
    "idle-timeout": "the server's clock, not the stream",
    "pong-timeout": "the server's clock, not the stream",
    "overloaded": "the server's queue, not the stream",
}


def check(vector: Vector, outcome: Outcome, *, coarse: bool = False) -> None:
    wanted, got = vector.violation, outcome.violation
    if coarse and wanted is not None and got is not None:
        assert got[1:] == wanted[1:]
    else:
        assert got == wanted
    assert len(outcome.events) == len(vector.events), outcome.events
    for expected, event in zip(vector.events, outcome.events, strict=True):
        assert agrees(expected, event), (expected, event)


def deflate(vector: Vector) -> Inflate | None:
    return None if vector.deflate is None else Inflate(**vector.deflate)


def played(vector: Vector, chunks: list[bytes]) -> None:
    schema = None if vector.schema is None else Schema(**SCHEMAS[vector.schema]._asdict())
    inspector = make(Limits(**vector.limits), vector.role, deflate(vector), schema)
    result = play(chunks, inspector)
    check(vector, result.outcome)
    owed = [(0x80 | opcode, payload) for opcode, payload in replies(result.outcome)]
    assert frames(result.sent) == owed


@pytest.mark.parametrize("id", BY_ID)
def test_whole(id):
    played(BY_ID[id], [BY_ID[id].stream])


@pytest.mark.parametrize("id", BY_ID)
def test_byte_by_byte(id):
    played(BY_ID[id], bytewise(BY_ID[id].stream))


@pytest.mark.parametrize("id", [vector.id for vector in VECTORS if vector.chunks])
def test_at_its_chunks(id):
    played(BY_ID[id], BY_ID[id].cuts())


@pytest.mark.parametrize("id", BY_ID)
def test_oracle(id):
    vector = BY_ID[id]
    types = None if vector.schema is None else Types(**SCHEMAS[vector.schema]._asdict())
    outcome = judge(vector.stream, Limits(**vector.limits), vector.role, deflate(vector), types=types)
    check(vector, outcome, coarse=vector.schema is not None)


def test_ids_are_unique_and_begin_with_their_file():
    assert len(BY_ID) == len(VECTORS)
    assert [vector.id for vector in VECTORS if not vector.id.startswith(vector.file.removesuffix(".json"))] == []


def test_chunks_lie_inside_the_stream():
    assert [vector.id for vector in VECTORS if vector.chunks and sum(vector.chunks) >= len(vector.stream)] == []


def frame_rules() -> list[str]:
    return [rule.id for rule in RULES.values() if rule.close_code is not None and rule.id not in NO_VECTOR]


@pytest.mark.parametrize("rule", frame_rules())
def test_every_rule_has_a_rejecting_vector(rule):
    vectors = [vector for vector in VECTORS if vector.violation is not None and vector.violation[0] == rule]
    assert vectors
    assert {vector.violation[1] for vector in vectors} == {RULES[rule].close_code}


NEARLY = {
    "reserved-bits": "deflate-rfc-one-block-masked",
    "reserved-opcode": "header-opcode-pong",
    "rsv1-on-control": "deflate-ping-inside",
    "rsv1-on-continuation": "deflate-rfc-fragments",
    "fragmented-control": "control-ping-inside",
    "unexpected-continuation": "fragmentation-two-text",
    "interleaved-message": "fragmentation-next-message",
    "control-flood": "limits-control-exactly",
    "too-many-fragments": "limits-fragments-exactly",
    "unmasked-frame": "masking-zero-key",
    "masked-frame": "masking-unmasked-client",
    "oversized-control": "control-ping-125",
    "length-high-bit": "length-2^31-1-widest",
    "length-not-minimal": "length-64-bit-65536",
    "frame-too-big": "limits-frame-exactly",
    "message-too-big": "limits-message-exactly",
    "empty-fragments": "limits-empty-exactly",
    "invalid-utf8": "utf8-valid-last-4",
    "close-length": "close-code-1000",
    "close-code": "close-code-1014",
    "close-reason-utf8": "close-reason-utf8",
    "deflate-data": "deflate-stored-4",
    "inflated-too-big": "bombs-exactly",
    "inflate-ratio": "bombs-zeros-64-kib",
    "inflate-work": "bombs-empty-blocks-allowed",
    "decode-nodes": "schema-nodes-json-few",
    "schema-opcode": "schema-both-text",
    "schema-malformed": "schema-chat-join",
    "schema-mismatch": "schema-chat-say",
    "schema-depth": "schema-depth-100",
    "schema-number": "schema-number-large",
    "schema-surrogate": "schema-surrogate-pair",
    "schema-unicode": "schema-unicode-bin",
    "schema-duplicate-key": "schema-duplicate-elsewhere",
    "schema-hook": "schema-hook",
}
"""The accepting vector that comes nearest to breaking each rule."""


@pytest.mark.parametrize("rule", frame_rules())
def test_every_rule_has_an_accepting_vector(rule):
    assert BY_ID[NEARLY[rule]].violation is None


POLICY_RULES = [rule for rule in frame_rules() if RULES[rule].close_code >= 4000]


@pytest.mark.parametrize("rule", POLICY_RULES)
def test_close_codes_rfc_says_1008_for_each_policy_code(rule):
    """Sent, and told; every other code stays what it is."""
    vector = next(vector for vector in VECTORS if vector.violation is not None and vector.violation[0] == rule)
    schema = None if vector.schema is None else Schema(**SCHEMAS[vector.schema]._asdict())
    policy = Policy(limits=Limits(**vector.limits), schema=schema, close_codes="rfc")
    inspector = Inspector(policy, vector.role, deflate=negotiated(deflate(vector), vector.role), clock=lambda: 0.0)
    result = play([vector.stream], inspector)
    assert result.outcome.violation == (rule, 1008, vector.violation[2])
    assert frames(result.sent)[-1] == (0x88, (1008).to_bytes(2, "big") + rule.encode())


def test_close_codes_rfc_leaves_the_others():
    inspector = Inspector(Policy(close_codes="rfc"))
    inspector.receive_data(b"\xf0")
    assert inspector.violation.close_code == 1002


def test_the_exempt_rules_exist_and_have_no_vector():
    assert set(NO_VECTOR) <= set(RULES)
    assert {vector.violation[0] for vector in VECTORS if vector.violation} & set(NO_VECTOR) == set()


def test_the_oracle_and_the_table_agree_on_close_codes():
    assert {rule: RULES[rule].close_code for rule in CODES if rule != "schema"} == {
        rule: code for rule, code in CODES.items() if rule != "schema"
    }
    others = {rule.id for rule in RULES.values() if rule.close_code is not None} - set(CODES) - set(NO_VECTOR)
    assert {RULES[rule].close_code for rule in others} == {CODES["schema"]}
    assert all(rule.startswith("schema-") for rule in others)


def test_every_close_code_is_judged_alike():
    """All 65,536 of them, unmasked and with a zero masking-key."""
    accepted = []
    limits = Limits()
    for code in range(65536):
        stream = b"\x88\x82\0\0\0\0" + code.to_bytes(2, "big")
        outcome = play([stream], make(limits)).outcome
        assert outcome == judge(stream, limits)
        if outcome.violation is None:
            accepted.append(code)
    assert accepted == [*range(1000, 1004), *range(1007, 1015), *range(3000, 5000)]


def test_every_first_byte_is_judged_alike():
    """All 256 of them, alone, inside a message, with deflate and without, for both roles."""
    seen = set()
    for first in range(256):
        for role, key in (("server", b"\x80\0\0\0\0"), ("client", b"\0")):
            for before in (b"", bytes([0x01]) + key):
                for inflate in (None, Inflate()):
                    stream = before + bytes([first]) + key
                    outcome = play([stream], make(None, role, inflate)).outcome
                    assert outcome == judge(stream, Limits(), role, inflate)
                    seen.add(outcome.violation and outcome.violation[0])
    assert seen == {
        None,
        "reserved-bits",
        "reserved-opcode",
        "rsv1-on-control",
        "rsv1-on-continuation",
        "fragmented-control",
        "unexpected-continuation",
        "interleaved-message",
        "deflate-data",
    }
    assert CONTINUATION == 0
