"""Invariant: negotiation never raises, agrees on no more than both sides allow, and both sides agree on the same.

What parses is what was written: written again, it parses to the same. With what is agreed, each side reads the other.
"""

from collections.abc import Iterable, Sequence

from framewarden.codec.extensions import (
    MAX_EXTENSIONS,
    MAX_PARAMETERS,
    DeflateParameters,
    Extension,
    InvalidResponse,
    accept_deflate,
    check_deflate,
    negotiate_deflate,
    offer_deflate,
    parse_extensions,
)
from framewarden.codec.grammar import TOKEN
from framewarden.engine import Inspector
from framewarden.policy import Deflate, Policy
from fuzz.draw import Draw

ALLOWED: tuple[type[Exception], ...] = ()
BITS = range(9, 16)
VALUES = (None, "8", "9", "10", "11", "12", "13", "14", "15")
NAMES = (
    "server_no_context_takeover",
    "client_no_context_takeover",
    "server_max_window_bits",
    "client_max_window_bits",
)
TOKENS = (
    b"permessage-deflate",
    *(name.encode() for name in NAMES),
    *[
        b"=8",
        b"=9",
        b"=15",
        b"=16",
        b"=08",
        b'="10"',
        b'="1\\0"',
        b"; ",
        b", ",
        b"=",
        b'"',
        b"\\",
        b"\n",
        b"\t",
        b"\xff",
    ],
)


def one(data: bytes) -> None:
    draw = Draw(data)
    client, server = draw_deflate(draw), draw_deflate(draw)
    values = draw.rest().decode("latin-1").split("\n")
    extensions = parse_extensions(values)
    if extensions is not None:
        check_parsed(extensions)
        for offer in extensions:
            check_answer(offer, server)
    check_as_response(values, client)
    check_between(client, server)


def draw_deflate(draw: Draw) -> Deflate:
    flags = draw.byte()
    return Deflate(
        client_context_takeover=bool(flags & 1),
        server_context_takeover=bool(flags & 2),
        client_max_window_bits=draw.choice(BITS),
        server_max_window_bits=draw.choice(BITS),
        min_bytes=0,
    )


def check_parsed(extensions: tuple[Extension, ...]) -> None:
    assert len(extensions) <= MAX_EXTENSIONS
    for extension in extensions:
        assert len(extension.parameters) <= MAX_PARAMETERS
        names = [extension.name, *(name for name, _ in extension.parameters)]
        assert all(map(TOKEN.fullmatch, names))
        # RFC 6455 9.1: "the value after quoted-string unescaping MUST conform to the 'token' ABNF"
        assert all(value is None or TOKEN.fullmatch(value) for _, value in extension.parameters)
    if extensions:
        assert parse_extensions([", ".join(map(written, extensions))]) == extensions


def written(extension: Extension) -> str:
    parameters = (name if value is None else f"{name}={value}" for name, value in extension.parameters)
    return "; ".join([extension.name, *parameters])


def check_answer(offer: Extension, policy: Deflate) -> None:
    """What a server agrees to was offered, and its policy allows it (RFC 7692 7.1)."""
    accepted = accept_deflate(offer, policy)
    assert negotiate_deflate([offer], policy) == (accepted if offer.name == "permessage-deflate" else None)
    if accepted is None:
        return
    agreed, answer = accepted
    check_parameters(offer)
    asked = dict(offer.parameters)
    assert 9 <= agreed.server_max_window_bits <= policy.server_max_window_bits
    assert agreed.server_max_window_bits <= int(asked.get("server_max_window_bits") or 15)
    assert agreed.client_max_window_bits <= int(asked.get("client_max_window_bits") or 15)
    assert policy.server_context_takeover >= agreed.server_context_takeover
    assert policy.client_context_takeover >= agreed.client_context_takeover
    assert not (agreed.server_context_takeover and "server_no_context_takeover" in asked)
    [read] = parse_extensions([answer]) or [None]
    assert read is not None
    assert ("client_max_window_bits" in dict(read.parameters)) == ("client_max_window_bits" in asked)
    Inspector(Policy(deflate=policy), "server", deflate=agreed).send_text("")


def check_parameters(extension: Extension) -> None:
    """What was taken is of RFC 7692 7.1: known names, each once, with a value where it has one."""
    values = dict(extension.parameters)
    assert len(values) == len(extension.parameters)
    assert set(values) <= set(NAMES)
    for name, value in values.items():
        assert value in VALUES if name.endswith("_bits") else value is None


def check_as_response(values: Sequence[str], policy: Deflate) -> None:
    """The same text as a server's answer: what a client takes is no more than it offered."""
    if any(value.strip(" \t") for value in values):
        assert isinstance(check_deflate(values, None), InvalidResponse)
    taken = check_deflate(values, policy)
    if isinstance(taken, DeflateParameters):
        [answer] = parse_extensions(values) or [Extension("")]
        check_parameters(answer)
        assert None not in (value for name, value in answer.parameters if name.endswith("_bits"))
        assert 9 <= taken.client_max_window_bits <= policy.client_max_window_bits
        assert 8 <= taken.server_max_window_bits <= policy.server_max_window_bits
        assert policy.server_context_takeover >= taken.server_context_takeover
        assert policy.client_context_takeover >= taken.client_context_takeover
        Inspector(Policy(deflate=policy), "client", deflate=taken).send_text("")
    elif taken is not None:
        assert taken.detail.isascii()


def check_between(client: Deflate, server: Deflate) -> None:
    """A client and a server of ours, each with its own policy."""
    offers = parse_extensions([offer_deflate(client)])
    assert offers is not None
    accepted = negotiate_deflate(offers, server)
    assert accepted is not None, "our server declines our client"
    agreed, answer = accepted
    taken = check_deflate([answer], client)
    assert isinstance(taken, DeflateParameters), taken
    assert taken.server_max_window_bits == agreed.server_max_window_bits
    assert taken.client_max_window_bits <= agreed.client_max_window_bits
    assert taken.server_context_takeover == agreed.server_context_takeover
    # A client may keep less than it was allowed to.
    assert taken.client_context_takeover <= agreed.client_context_takeover


def seeds() -> Iterable[bytes]:
    texts = [
        "permessage-deflate",
        "permessage-deflate; client_max_window_bits",
        "permessage-deflate; client_max_window_bits=8; server_max_window_bits=8",
        "permessage-deflate; server_no_context_takeover; client_no_context_takeover; server_max_window_bits=10",
        'permessage-deflate; server_max_window_bits="1\\5", permessage-deflate;client_max_window_bits="9"',
        "foo; bar=baz ; qux,permessage-deflate ;server_no_context_takeover\nx-webkit-deflate-frame",
        "permessage-deflate; server_max_window_bits=10; server_max_window_bits=10",
        "permessage-deflate; server_no_context_takeover=1; unknown",
        ", ".join(["x"] * (MAX_EXTENSIONS + 1)),
        "x" + "; y" * (MAX_PARAMETERS + 1),
        'a; b="', 'a; b=""', "a;", ",a", "a,", "", " \t", "a b", "a; b = c",
    ]  # fmt: skip
    for index, text in enumerate(texts):
        yield bytes([index, index, 6, index + 1, 6, 0]) + text.encode("latin-1")
