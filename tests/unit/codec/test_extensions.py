"""Sec-WebSocket-Extensions: grammar and negotiation."""

import pytest

from framewarden.codec.extensions import (
    MAX_EXTENSIONS,
    MAX_PARAMETERS,
    DeflateParameters,
    Extension,
    InvalidResponse,
    check_deflate,
    negotiate_deflate,
    offer_deflate,
    parse_extensions,
)
from framewarden.policy import Deflate

PMD = "permessage-deflate"
TAKEOVER = Deflate(client_context_takeover=True, server_context_takeover=True)


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([], ()),
        (["foo"], (Extension("foo"),)),
        ([" foo\t"], (Extension("foo"),)),
        (["foo; bar"], (Extension("foo", (("bar", None),)),)),
        (["foo;bar=1;bar=2"], (Extension("foo", (("bar", "1"), ("bar", "2"))),)),
        (["foo ; bar = 1 , baz"], (Extension("foo", (("bar", "1"),)), Extension("baz"))),
        (['foo; bar="baz"'], (Extension("foo", (("bar", "baz"),)),)),
        (['foo; bar="b\\a\\z"'], (Extension("foo", (("bar", "baz"),)),)),
        (["foo", "bar, baz"], (Extension("foo"), Extension("bar"), Extension("baz"))),
        ([", ".join(["x"] * MAX_EXTENSIONS)], (Extension("x"),) * MAX_EXTENSIONS),
        (["x" + "; y" * MAX_PARAMETERS], (Extension("x", (("y", None),) * MAX_PARAMETERS),)),
    ],
)
def test_parses(values, expected):
    assert parse_extensions(values) == expected


@pytest.mark.parametrize(
    "value",
    [
        "",
        " ",
        ",",
        "foo,",
        ",foo",
        "foo,,bar",
        "foo;",
        "foo; ",
        "foo;;bar",
        "foo; bar=",
        "foo; =1",
        "foo bar",
        "foo=1",
        "foo; bar=1=2",
        'foo; bar=""',
        'foo; bar="a b"',
        'foo; bar="a',
        'foo; bar="a\\"',
        'foo; bar="a"b',
        'foo; bar="a\\"b"',
        "foo; bar=\xe9",
        "foo; b@r",
        "foo\x00",
        ", ".join(["x"] * (MAX_EXTENSIONS + 1)),
        "x" + "; y" * (MAX_PARAMETERS + 1),
    ],
)
def test_refuses_what_is_not_of_the_grammar(value):
    assert parse_extensions([value]) is None


def negotiate(offers, policy=TAKEOVER):
    extensions = parse_extensions([offers])
    assert extensions is not None
    return negotiate_deflate(extensions, policy)


@pytest.mark.parametrize(
    ("offers", "parameters", "answer"),
    [
        (PMD, DeflateParameters(), PMD),
        (f"{PMD}; server_no_context_takeover", DeflateParameters(server_context_takeover=False), None),
        (f"{PMD}; client_no_context_takeover", DeflateParameters(client_context_takeover=False), None),
        (f"{PMD}; server_max_window_bits=9", DeflateParameters(server_max_window_bits=9), None),
        (f"{PMD}; server_max_window_bits=15", DeflateParameters(), None),
        (f'{PMD}; server_max_window_bits="10"', DeflateParameters(server_max_window_bits=10), None),
        (f"{PMD}; client_max_window_bits=8", DeflateParameters(client_max_window_bits=8), None),
        (f"{PMD}; client_max_window_bits", DeflateParameters(), f"{PMD}; client_max_window_bits=15"),
        (
            f"{PMD}; client_max_window_bits=10; server_max_window_bits=11; server_no_context_takeover",
            DeflateParameters(server_context_takeover=False, client_max_window_bits=10, server_max_window_bits=11),
            f"{PMD}; server_no_context_takeover; server_max_window_bits=11; client_max_window_bits=10",
        ),
        # What cannot be taken is passed over, and the next offer is tried.
        (f"x-webkit-deflate-frame, {PMD}; mystery, {PMD}; server_max_window_bits=8, {PMD}", DeflateParameters(), PMD),
    ],
)
def test_accepts(offers, parameters, answer):
    accepted = negotiate(offers)
    assert accepted is not None
    assert accepted[0] == parameters
    assert accepted[1] == (offers.replace('"', "") if answer is None else answer)


@pytest.mark.parametrize(
    "parameters",
    [
        "mystery",
        "server_no_context_takeover=1",
        "client_no_context_takeover=true",
        "server_no_context_takeover; server_no_context_takeover",
        "client_no_context_takeover; client_no_context_takeover",
        "server_max_window_bits",
        "server_max_window_bits=7",
        "server_max_window_bits=8",
        "server_max_window_bits=16",
        "server_max_window_bits=08",
        "server_max_window_bits=09",
        "server_max_window_bits=+9",
        "server_max_window_bits=9; server_max_window_bits=9",
        "client_max_window_bits=7",
        "client_max_window_bits=16",
        "client_max_window_bits=08",
        "client_max_window_bits=09",
        "client_max_window_bits=010",
        "client_max_window_bits=1e1",
        "client_max_window_bits; client_max_window_bits",
        "Server_No_Context_Takeover",
    ],
)
def test_declines(parameters):
    assert negotiate(f"{PMD}; {parameters}") is None


def test_declines_other_extensions():
    assert negotiate("foo, bar; baz=1") is None


@pytest.mark.parametrize(
    ("offer", "policy", "parameters", "answer"),
    [
        # The default policy keeps no context, and says so without having been asked (RFC 7692 7.1.1.2).
        (
            PMD,
            Deflate(),
            DeflateParameters(client_context_takeover=False, server_context_takeover=False),
            f"{PMD}; server_no_context_takeover; client_no_context_takeover",
        ),
        (
            f"{PMD}; client_max_window_bits",
            Deflate(client_context_takeover=True, server_context_takeover=True, client_max_window_bits=11),
            DeflateParameters(client_max_window_bits=11),
            f"{PMD}; client_max_window_bits=11",
        ),
        # RFC 7692 7.1.2.2: never answered where it was not offered, so the client's window stays the largest.
        (
            PMD,
            Deflate(client_context_takeover=True, server_context_takeover=True, client_max_window_bits=11),
            DeflateParameters(),
            PMD,
        ),
        (
            PMD,
            Deflate(client_context_takeover=True, server_context_takeover=True, server_max_window_bits=10),
            DeflateParameters(server_max_window_bits=10),
            f"{PMD}; server_max_window_bits=10",
        ),
    ],
)
def test_answers_by_policy(offer, policy, parameters, answer):
    assert negotiate(offer, policy) == (parameters, answer)


@pytest.mark.parametrize("policy", [Deflate(), TAKEOVER, Deflate(server_max_window_bits=9, client_max_window_bits=10)])
def test_our_two_sides_agree(policy):
    accepted = negotiate(offer_deflate(policy), policy)
    assert accepted is not None
    assert check_deflate([accepted[1]], policy) == accepted[0]


def test_a_client_takes_a_declined_offer():
    assert check_deflate([], Deflate()) is None


@pytest.mark.parametrize(
    ("values", "policy"),
    [
        ([PMD], None),
        (["foo"], TAKEOVER),
        ([PMD, PMD], TAKEOVER),
        ([f"{PMD}; "], TAKEOVER),
        ([f"{PMD}; mystery"], TAKEOVER),
        ([f"{PMD}; client_max_window_bits"], TAKEOVER),
        ([f"{PMD}; client_max_window_bits=8"], TAKEOVER),
        ([f"{PMD}; client_max_window_bits=16"], TAKEOVER),
        ([f"{PMD}; client_max_window_bits=09"], TAKEOVER),
        ([f"{PMD}; server_max_window_bits=09"], TAKEOVER),
        ([f"{PMD}; server_max_window_bits=7"], TAKEOVER),
        ([f"{PMD}; server_no_context_takeover; server_no_context_takeover"], TAKEOVER),
        ([PMD], Deflate()),
        ([PMD], Deflate(server_context_takeover=True, server_max_window_bits=10)),
        ([f"{PMD}; server_max_window_bits=11"], Deflate(server_context_takeover=True, server_max_window_bits=10)),
        ([f"{PMD}; client_max_window_bits=12"], Deflate(server_context_takeover=True, client_max_window_bits=11)),
    ],
)
def test_a_client_fails_on_an_invalid_answer(values, policy):
    assert isinstance(check_deflate(values, policy), InvalidResponse)
