"""The grammar of HTTP/1.1 as far as an opening handshake needs it: each rule beside its expression.

The method is h11's ``_abnf.py``. Every expression is linear: no quantifier stands inside another one, and alternatives
begin with different characters, so a match never goes back. Expressions work on ``str`` that was decoded as Latin-1
(one character a byte), because that is what headers are made of.
"""

import re
from collections.abc import Iterable

__all__ = [
    "HEADER_LINE",
    "HOST",
    "KEY",
    "QUOTED_STRING",
    "REQUEST_LINE",
    "TARGET",
    "TOKEN",
    "characters",
    "list_elements",
]

# RFC 9110 5.6.2:  token = 1*tchar
# The same set as RFC 2616 2.2, which RFC 6455 refers to: CHAR without CTLs and separators.
tchar = r"[!#$%&'*+\-.^_`|~0-9A-Za-z]"
token = rf"{tchar}+"
TOKEN = re.compile(token)

# RFC 9110 5.6.4:  quoted-string = DQUOTE *( qdtext / quoted-pair ) DQUOTE
# RFC 6455 9.1: "the value after quoted-string unescaping MUST conform to the 'token' ABNF", so the only text that can
# stand between the quotes is token characters, each of them bare or behind a backslash.
QUOTED_STRING = re.compile(r"\"((?:[!#$%&'*+\-.^_`|~0-9A-Za-z]|\\[!#$%&'*+\-.^_`|~0-9A-Za-z])+)\"")

# RFC 9112 3:    request-line = method SP request-target SP HTTP-version
# RFC 9112 2.3:  HTTP-version = HTTP-name "/" DIGIT "." DIGIT ; HTTP-name is case-sensitive
# RFC 9112 3 lets a recipient split at any whitespace "in favor of robustness"; we do not: two parsers that split
# differently are how requests are smuggled.
REQUEST_LINE = re.compile(rf"(?P<method>{token}) (?P<target>[\x21-\x7e]+) (?P<version>HTTP/[0-9]\.[0-9])")

# RFC 9112 3.2.1:  origin-form = absolute-path [ "?" query ], RFC 3986 3.3 and 3.4 give the characters.
# RFC 3986 forbids "[]^`{|}\" where browsers leave them as they are (WHATWG URL 1.3: the query percent-encode set does
# not have them, the path percent-encode set lacks "[]^|"), so those pass. A fragment never does
# (RFC 6455 3: "Fragment identifiers are meaningless in the context of WebSocket URIs and MUST NOT be used").
# A percent sign without two hexadecimal digits is refused: decoders disagree about it.
path_char = r"[A-Za-z0-9\-._~!$&'()*+,;=:@/\[\]^|]"
query_char = r"[A-Za-z0-9\-._~!$&'()*+,;=:@/?\[\]^|`{}\\]"
TARGET = re.compile(
    rf"(?P<path>/(?:{path_char}|%[0-9A-Fa-f]{{2}})*)(?:\?(?P<query>(?:{query_char}|%[0-9A-Fa-f]{{2}})*))?"
)

# RFC 9112 5:    field-line = field-name ":" OWS field-value OWS
# RFC 9112 5.1:  "No whitespace is allowed between the field name and colon ... A server MUST reject, with a response
#                status code of 400, any received request message that contains whitespace" there.
# RFC 9110 5.5:  field-content has VCHAR, obs-text, SP and HTAB; "field values containing CR, LF, or NUL characters are
#                invalid and dangerous", and other control characters are invalid as well: all of them are refused
#                (VT and FF too, which Python's str.split and strip take for spaces).
# RFC 9112 5.2:  a line that begins with whitespace continues the one before it (obs-fold): "A server that receives an
#                obs-fold in a request message ... MUST either reject the message by sending a 400"; it has no name.
# The value is cut out with strip(" \t"), so that this expression has nothing to go back for.
value_char = r"[\t\x20-\x7e\x80-\xff]"
HEADER_LINE = re.compile(rf"(?P<name>{token}):(?P<value>{value_char}*)")

# RFC 9110 7.2:    Host = uri-host [ ":" port ]
# RFC 3986 3.2.2:  host = IP-literal / IPv4address / reg-name; IPvFuture and zone identifiers have no users here.
# An empty host is allowed by that grammar, but RFC 6455 4.1 demands the host of the URI.
HOST = re.compile(
    r"(?P<name>\[[0-9A-Fa-f:.]+\]|(?:[A-Za-z0-9\-._~!$&'()*+,;=]|%[0-9A-Fa-f]{2})+)(?::(?P<port>[0-9]{0,5}))?"
)

# RFC 6455 4.2.1: "a base64-encoded value that, when decoded, is 16 bytes in length": 22 characters and two of padding.
# RFC 4648 3.5: "these pad bits MUST be set to zero by conforming encoders", so the 22nd character is one of four.
KEY = re.compile(r"[A-Za-z0-9+/]{21}[AQgw]==")


def characters(expression: str) -> frozenset[int]:
    """The bytes that an expression for one character matches, for a parser that looks them up."""
    matches = re.compile(expression).fullmatch
    return frozenset(byte for byte in range(256) if matches(chr(byte)))


def list_elements(values: Iterable[str]) -> list[str]:
    """Split the values of one list-valued header into its elements (RFC 9110 5.6.1), empty ones included.

    Several lines of one header are one list (RFC 9110 5.3). Quoted strings are not looked at: no header that is split
    here may have them. Linear in the length of the values.
    """
    return [element.strip(" \t") for value in values for element in value.split(",")]
