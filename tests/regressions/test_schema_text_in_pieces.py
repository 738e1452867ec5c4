"""With a schema, non-ASCII text that came in pieces was handed on as str where bytes were expected."""

import pytest

from framewarden.policy import Limits, Schema
from tests.playback import bytewise, cut, make, play


def text_frame(text: str) -> bytes:
    octets = text.encode()
    if len(octets) < 126:
        return bytes([0x81, len(octets)]) + octets
    return b"\x81\x7e" + len(octets).to_bytes(2, "big") + octets


@pytest.mark.parametrize("text", ['["é"', '{"é":1}', "é", "[1]"], ids=["cut", "object", "bare", "ascii"])
def test_text_that_came_in_pieces_and_is_not_the_schemas_type(text):
    """receive_data raised TypeError."""
    schema = Schema(text=list[str])
    for chunks in ([text_frame(text)], bytewise(text_frame(text)), cut(text_frame(text), [3])):
        outcome = play(chunks, make(None, "client", schema=schema)).outcome
        assert outcome.violation is not None
        assert outcome.violation[1:] == (4422, 0)


@pytest.mark.parametrize("count", [10, 3000])
@pytest.mark.parametrize("limit", [100, 4096])
def test_values_of_text_that_came_in_pieces_are_counted(count, limit):
    """The str was read as if it were bytes, so that no value was seen."""
    text = "[" + ",".join(["1"] * count) + ',"' + "é" * 2500 + '"]'
    stream = text_frame(text)
    limits = Limits(max_decode_nodes=limit)
    outcomes = [
        play(chunks, make(limits, "client", schema=Schema(text=list))).outcome
        for chunks in ([stream], cut(stream, [10]), cut(stream, [len(stream) - 1]), bytewise(stream))
    ]
    if count > limit:
        assert [outcome.violation for outcome in outcomes] == [("decode-nodes", 4413, 0)] * 4
    else:
        assert [outcome.violation for outcome in outcomes] == [None] * 4
        assert all(outcome.events == outcomes[0].events for outcome in outcomes)


def test_a_repeated_name_in_text_that_came_in_pieces_is_found():
    """The same, where names are compared."""
    text = '{"é":1,"' + "é" * 40 + '":2,"é":3}'
    schema = Schema(text=dict, duplicate_keys="refuse")
    for points in ([], [5], [20, 30], [len(text)]):
        outcome = play(cut(text_frame(text), points), make(None, "client", schema=schema)).outcome
        assert outcome.violation == ("schema-duplicate-key", 4422, 0)
