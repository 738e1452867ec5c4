"""Sec-WebSocket-Extensions: its grammar, and the negotiation of permessage-deflate (RFC 7692 7).

Both sides of the negotiation are here. What a peer wrote never raises: a malformed header is ``None`` from
:func:`parse_extensions`, an offer that we cannot take is passed over, a response that we must not take is an
:class:`InvalidResponse`.
"""

import functools
import re
from collections.abc import Iterable

import msgspec

from framewarden.codec.grammar import QUOTED_STRING, TOKEN
from framewarden.policy import Deflate

__all__ = [
    "MAX_EXTENSIONS",
    "MAX_PARAMETERS",
    "DeflateParameters",
    "Extension",
    "InvalidResponse",
    "accept_deflate",
    "check_deflate",
    "negotiate_deflate",
    "offer_deflate",
    "parse_extensions",
]

MAX_EXTENSIONS = 16
"""Offers in one handshake. Browsers send one, the most talkative library three."""
MAX_PARAMETERS = 8
"""Parameters of one offer. permessage-deflate has four."""

LONGEST_REMEMBERED = 256
"""Characters of an offer whose parsing is remembered."""

PERMESSAGE_DEFLATE = "permessage-deflate"
LARGEST_WINDOW_BITS = 15
SMALLEST_WINDOW_BITS = 8

# RFC 7692 7.1.2.1: "a decimal integer value without leading zeroes between 8 to 15, inclusive"
WINDOW_BITS = re.compile(r"[89]|1[0-5]")
_SEPARATOR = re.compile(r"[ \t]*([;,=]?)[ \t]*")


class Extension(msgspec.Struct, frozen=True):
    """One element of Sec-WebSocket-Extensions (RFC 6455 9.1).

    Attributes:
        name: extension-token as it was sent.
        parameters: pairs of name and value in the order in which they were sent; ``None``: no value.
    """

    name: str
    parameters: tuple[tuple[str, str | None], ...] = ()


class DeflateParameters(msgspec.Struct, frozen=True):
    """What two peers agreed upon for permessage-deflate (RFC 7692 7.1). The defaults are the RFC's.

    Attributes:
        client_context_takeover: whether the client's messages may refer to its earlier ones.
        server_context_takeover: the same for the server's messages.
        client_max_window_bits: base-2 logarithm of the client's largest LZ77 window in bytes, 8 to 15.
        server_max_window_bits: the same for the server.
    """

    client_context_takeover: bool = True
    server_context_takeover: bool = True
    client_max_window_bits: int = LARGEST_WINDOW_BITS
    server_max_window_bits: int = LARGEST_WINDOW_BITS


class InvalidResponse(msgspec.Struct, frozen=True):
    """A server's answer that a client MUST refuse: "_Fail the WebSocket Connection_" (RFC 6455 4.1, RFC 7692 7.1)."""

    detail: str


# RFC 6455 9.1
#   Sec-WebSocket-Extensions = extension-list
#   extension-list = 1#extension
#   extension = extension-token *( ";" extension-param )
#   extension-token = registered-token
#   registered-token = token
#   extension-param = token [ "=" (token | quoted-string) ]
#       ;When using the quoted-string syntax variant, the value after quoted-string unescaping MUST conform to the
#       ;'token' ABNF.


def parse_extensions(values: Iterable[str]) -> tuple[Extension, ...] | None:
    """Parse all values of Sec-WebSocket-Extensions of one handshake; several lines are one list (RFC 6455 11.3.2).

    Linear in the length of the values.

    Returns:
        The extensions in order, or None if one value is not of the grammar, an element is empty, there are more than
        ``MAX_EXTENSIONS`` of them or one has more than ``MAX_PARAMETERS`` parameters.
    """
    lines = tuple(values)
    if not lines:
        return ()
    if sum(map(len, lines)) > LONGEST_REMEMBERED:
        return _parse_lines(lines)
    return _remembered(lines)


def _parse_lines(lines: tuple[str, ...]) -> tuple[Extension, ...] | None:
    extensions: list[Extension] = []
    for line in lines:
        value = line.strip(" \t")
        position: int | None = 0
        while position is not None:
            if len(extensions) == MAX_EXTENSIONS:
                return None
            parsed = _parse_extension(value, position)
            if parsed is None:
                return None
            extension, position = parsed
            extensions.append(extension)
    return tuple(extensions)


# All clients of a kind offer the same. What a peer can make us remember is bounded: 64 times 256 characters.
_remembered = functools.lru_cache(maxsize=64)(_parse_lines)


def _separator(value: str, position: int) -> tuple[str, int]:
    """The separator at ``position`` ("" if there is none) and the position behind it and the space around it."""
    match = _SEPARATOR.match(value, position)
    assert match is not None  # it matches the empty text
    return match[1], match.end()


def _parse_extension(value: str, position: int) -> tuple[Extension, int | None] | None:
    """Parse one element. Returns it with the position of the next (None: there is none), or None if malformed."""
    name = TOKEN.match(value, position)
    if name is None:
        return None
    parameters: list[tuple[str, str | None]] = []
    separator, position = _separator(value, name.end())
    while separator == ";":
        if len(parameters) == MAX_PARAMETERS:
            return None
        key = TOKEN.match(value, position)
        if key is None:
            return None
        separator, position = _separator(value, key.end())
        text = None
        if separator == "=":
            found = TOKEN.match(value, position) or QUOTED_STRING.match(value, position)
            if found is None:
                return None
            text = found[0] if found.re is TOKEN else found[1].replace("\\", "")
            separator, position = _separator(value, found.end())
        parameters.append((key[0], text))
    if separator == ",":
        return Extension(name[0], tuple(parameters)), position
    if separator == "" and position == len(value):
        return Extension(name[0], tuple(parameters)), None
    return None


class _Parameters(msgspec.Struct, frozen=True):
    """The parameters of one element named permessage-deflate, checked by RFC 7692 7.1."""

    server_no_context_takeover: bool = False
    client_no_context_takeover: bool = False
    server_max_window_bits: int | None = None
    client_max_window_bits: int | None = None
    client_window_hint: bool = False
    """client_max_window_bits is there, with or without a value."""


def _read_parameters(extension: Extension, *, response: bool) -> _Parameters | str:
    """Check one element's parameters. Returns them, or why RFC 7692 forbids them.

    RFC 7692 7.1: "A server MUST decline an extension negotiation offer for this extension if any of the following
    conditions are met: the offer contains an extension parameter not defined for use in an offer; contains an extension
    parameter with an invalid value; contains multiple extension parameters with the same name; the server doesn't
    support the offered configuration." The same list binds a client that reads a response.
    """
    fields: dict[str, bool | int | None] = {}
    for name, value in extension.parameters:
        if name in fields:
            return "a parameter is repeated"
        if name in ("server_no_context_takeover", "client_no_context_takeover"):
            # 7.1.1.1, 7.1.1.2: "has no value"
            if value is not None:
                return "a context takeover parameter has a value"
            fields[name] = True
        elif name in ("server_max_window_bits", "client_max_window_bits"):
            # Only an offer may have client_max_window_bits without a value (7.1.2.2).
            if value is None and (name == "server_max_window_bits" or response):
                return "a window size has no value"
            if value is not None and WINDOW_BITS.fullmatch(value) is None:
                return "a window size is not 8 to 15"
            fields[name] = None if value is None else int(value)
        else:
            return "a parameter is unknown"
    fields["client_window_hint"] = "client_max_window_bits" in fields
    return msgspec.convert(fields, _Parameters)


def negotiate_deflate(offers: Iterable[Extension], policy: Deflate) -> tuple[DeflateParameters, str] | None:
    """Choose the first offer of permessage-deflate that we can take, as a server (RFC 7692 5.1 and 7.1).

    Returns:
        What is agreed and the value of the response's Sec-WebSocket-Extensions; or None: there is no such offer.
    """
    for offer in offers:
        if offer.name == PERMESSAGE_DEFLATE:
            accepted = accept_deflate(offer, policy)
            if accepted is not None:
                return accepted
    return None


def accept_deflate(offer: Extension, policy: Deflate) -> tuple[DeflateParameters, str] | None:
    """Answer one offer of permessage-deflate as a server; None: it is declined (RFC 7692 7.1)."""
    asked = _read_parameters(offer, response=False)
    if isinstance(asked, str):
        return None
    # 7.1.2.1 allows 8, but zlib refuses a raw DEFLATE window of 2**8 bytes and its relatives write one of 2**9 instead,
    # so nobody could keep the promise: "the server doesn't support the offered configuration".
    if asked.server_max_window_bits == SMALLEST_WINDOW_BITS:
        return None
    server_takeover = policy.server_context_takeover and not asked.server_no_context_takeover
    client_takeover = policy.client_context_takeover and not asked.client_no_context_takeover
    server_bits = min(policy.server_max_window_bits, asked.server_max_window_bits or LARGEST_WINDOW_BITS)
    # 7.1.2.2: "If a received extension negotiation offer doesn't have the client_max_window_bits extension parameter,
    # the corresponding extension negotiation response to the offer MUST NOT include [it]."
    client_bits = LARGEST_WINDOW_BITS
    if asked.client_window_hint:
        client_bits = min(policy.client_max_window_bits, asked.client_max_window_bits or LARGEST_WINDOW_BITS)

    answer = [PERMESSAGE_DEFLATE]
    if not server_takeover:
        answer.append("server_no_context_takeover")
    if not client_takeover:  # 7.1.1.2: may be answered without having been asked
        answer.append("client_no_context_takeover")
    if asked.server_max_window_bits is not None or server_bits < LARGEST_WINDOW_BITS:
        answer.append(f"server_max_window_bits={server_bits}")
    if asked.client_window_hint:
        answer.append(f"client_max_window_bits={client_bits}")
    return DeflateParameters(client_takeover, server_takeover, client_bits, server_bits), "; ".join(answer)


def offer_deflate(policy: Deflate) -> str:
    """Write a client's offer of permessage-deflate: the value of the request's Sec-WebSocket-Extensions."""
    offer = [PERMESSAGE_DEFLATE]
    if not policy.server_context_takeover:
        offer.append("server_no_context_takeover")
    if not policy.client_context_takeover:
        offer.append("client_no_context_takeover")
    if policy.server_max_window_bits < LARGEST_WINDOW_BITS:
        offer.append(f"server_max_window_bits={policy.server_max_window_bits}")
    offer.append(f"client_max_window_bits={policy.client_max_window_bits}")
    return "; ".join(offer)


def check_deflate(values: Iterable[str], policy: Deflate | None) -> DeflateParameters | InvalidResponse | None:
    """Check a server's Sec-WebSocket-Extensions against the offer that :func:`offer_deflate` made, as a client.

    Args:
        values: all values of the header in the response.
        policy: what was offered; None: nothing.

    Returns:
        What is agreed; None: the server declined; or an InvalidResponse: fail the connection.
    """
    extensions = parse_extensions(values)
    if extensions is None:
        return InvalidResponse("Sec-WebSocket-Extensions is malformed")
    if not extensions:
        return None
    # RFC 6455 4.1: "If the response includes a |Sec-WebSocket-Extensions| header field and this header field indicates
    # the use of an extension that was not present in the client's handshake ..., the client MUST _Fail_".
    if policy is None or len(extensions) > 1 or extensions[0].name != PERMESSAGE_DEFLATE:
        return InvalidResponse("an extension was not offered")
    answer = _read_parameters(extensions[0], response=True)
    if isinstance(answer, str):
        return InvalidResponse(answer)
    # 7.1.1.1: a server accepts this request "by including" it; an answer without it is not an answer to our offer.
    if not policy.server_context_takeover and not answer.server_no_context_takeover:
        return InvalidResponse("the server keeps its context")
    server_bits = answer.server_max_window_bits or LARGEST_WINDOW_BITS
    if server_bits > policy.server_max_window_bits:
        return InvalidResponse("the server's window is larger than was asked for")
    client_bits = answer.client_max_window_bits or policy.client_max_window_bits
    if client_bits > policy.client_max_window_bits:
        return InvalidResponse("our window would be larger than was offered")
    if client_bits == SMALLEST_WINDOW_BITS:
        return InvalidResponse("a window of 8 bits cannot be used for sending")
    return DeflateParameters(
        client_context_takeover=policy.client_context_takeover and not answer.client_no_context_takeover,
        server_context_takeover=not answer.server_no_context_takeover,
        client_max_window_bits=client_bits,
        server_max_window_bits=server_bits,
    )
