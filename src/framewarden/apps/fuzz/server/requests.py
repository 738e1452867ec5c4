"""Requests to send: the opening handshake of an honest client and the cases of the flaw pack, changed in a few places.

What only a policy forbids (a foreign Origin, a Host that the server does not answer for, another path) is not among the
changes: there is nothing to compare.
"""

import random
from collections.abc import Callable, Sequence

from framewarden.apps.cases.wire import ADDRESS, HEADERS
from framewarden.apps.fuzz.server.strict import TARGET

__all__ = ["CHANGES", "make_request"]

Lines = list[bytes]

LINE = f"GET {TARGET} HTTP/1.1".encode()
OFFER = b"Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits"
MOST_CHANGES = 3

VALUES = {
    b"Host": (b"", b"a b", b"a/b", b"user@host", b"[::1", b"host:99999999", b"host:x", b"a,b"),
    b"Upgrade": (b"", b"h2c", b"WebSocket", b"websocket, h2c", b"web socket", b"websocket/13", b"xwebsocket"),
    b"Connection": (b"", b"close", b"keep-alive", b"keep-alive, Upgrade", b"upgrade", b"Upgraded", b"close, Upgrade"),
    b"Sec-WebSocket-Version": (
        b"", b"8", b"12", b"13, 8", b"8, 13", b"013", b"+13", b"13 13", b"14", b"255", b"9" * 64,
    ),
    b"Sec-WebSocket-Key": (
        b"", b"AAAA", b"dGhlIHNhbXBsZSBub25jZQ", b"dGhlIHNhbXBsZSBub25jZR==", b"dGhlIHNhbXBsZSBub25jZQ==, x",
        b"dGhlIHNhbXBsZSBub25jZTE=", b"AAAAAAAAAAAAAAAAAAAAAA==", b"********************==", b"A" * 4000,
    ),
    b"Sec-WebSocket-Protocol": (b"", b"chat", b"chat, chat", b"a b", b"chat,,x", b"\x22chat\x22", b"a;b"),
    b"Sec-WebSocket-Extensions": (
        b"", b";", b"permessage-deflate", b"permessage-deflate; client_max_window_bits=99", b"permessage-deflate;",
        b"permessage-deflate; x", b"permessage-deflate; server_max_window_bits=8", b"a b", b"permessage-deflate,,x",
        b"permessage-deflate; server_no_context_takeover=1", b"x; y=\x22\x22", b"x; y=\x22unclosed", b"foo, bar; baz=1",
    ),
}  # fmt: skip
REQUEST_LINES = (
    b"POST %s HTTP/1.1", b"HEAD %s HTTP/1.1", b"get %s HTTP/1.1", b"OPTIONS * HTTP/1.1", b"GET %s HTTP/1.0",
    b"GET %s HTTP/1.2", b"GET %s HTTP/2.0", b"GET %s HTTP/0.9", b"GET %s http/1.1", b"GET %s", b"GET", b"",
    b"GET  %s HTTP/1.1", b"GET\t%s\tHTTP/1.1", b" GET %s HTTP/1.1", b"GET %s HTTP/1.1 ", b"GET %s#f HTTP/1.1",
    b"GET %s\x00 HTTP/1.1", b"GET %s\xff HTTP/1.1", b"GET * HTTP/1.1", b"GET %s HTTP/11", b"GET %s HTTP/1.1.1",
    b"G\xc9T %s HTTP/1.1", b"CONNECT a:80 HTTP/1.1",
)  # fmt: skip
BODIES = (
    (b"Content-Length: 5", b"hello"), (b"Content-Length: 0", b""), (b"Content-Length: +5", b""),
    (b"Content-Length: 18446744073709551616", b""), (b"Content-Length: -1", b""), (b"Content-Length: 5, 6", b"hello"),
    (b"Transfer-Encoding: chunked", b"5\r\nhello\r\n0\r\n\r\n"), (b"Transfer-Encoding: chunked", b"f" * 18 + b"\r\n"),
    (b"Transfer-Encoding: identity, chunked", b""), (b"Transfer-Encoding: \x0bchunked", b""),
)  # fmt: skip
ODD_LINES = (
    b"no colon", b": no name", b"Space : before", b" folded: line", b"\tfolded", b"Na me: x", b"N\x00l: x",
    b"Nul: \x00", b"Bell: \x07", b"Del: \x7f", b"Bare: a\rb", b"Bare: a\nb: c", b"\xc3\xa9: x", b"High: \xff\xfe",
    b"X:", b"X: ", b"X:x", b"X: \x0b", b"(comment): x", b"\xef\xbb\xbfBom: x", b"", b"X: a\x85b",
    b"Upgrade-Insecure-Requests: 1", b"Sec-WebSocket-Accept: x", b"Keep-Alive: timeout=0", b"Trailer: Host",
)  # fmt: skip


def make_request(rng: random.Random, corpus: Sequence[bytes]) -> bytes:
    """The next request; the same ``rng`` gives the same one. ``ADDRESS`` and ``TARGET`` stand for the server's.

    Args:
        rng: where all chance comes from.
        corpus: requests to begin with, beside the honest one.
    """
    lines = [LINE, *(f"{name}: {value}".encode() for name, value in HEADERS.items())]
    if corpus and rng.random() < 0.2:
        lines = rng.choice(corpus).removesuffix(b"\r\n\r\n").split(b"\r\n")
    elif rng.random() < 0.3:
        lines.append(OFFER)
    for _ in range(rng.randint(0, MOST_CHANGES)):
        rng.choice(CHANGES)(lines, rng)
    return b"\r\n".join([*lines, b"", b""])


def _header(lines: Lines, rng: random.Random) -> int:
    """The index of a header, 0 where there is none left."""
    return rng.randrange(1, len(lines)) if len(lines) > 1 else 0


def leave_out(lines: Lines, rng: random.Random) -> None:
    """A header is missing."""
    if index := _header(lines, rng):
        del lines[index]


def repeat(lines: Lines, rng: random.Random) -> None:
    """A header is there twice, perhaps with another value, perhaps in another case."""
    if index := _header(lines, rng):
        name, _, value = lines[index].partition(b":")
        again = rng.choice(
            (lines[index], name + b": " + rng.choice(VALUES.get(name, (b"x",))), name.upper() + b":" + value)
        )
        lines.insert(rng.randrange(1, len(lines) + 1), again)


def change_value(lines: Lines, rng: random.Random) -> None:
    """A header has another value."""
    name = rng.choice(tuple(VALUES))
    line = name + b": " + rng.choice(VALUES[name])
    found = [index for index, each in enumerate(lines) if each.startswith(name + b":")]
    if found:
        lines[found[0]] = line
    else:
        lines.append(line)


def change_request_line(lines: Lines, rng: random.Random) -> None:
    """Another method, target or version, or other space between them."""
    lines[0] = rng.choice(REQUEST_LINES).replace(b"%s", TARGET.encode())


def announce_body(lines: Lines, rng: random.Random) -> None:
    """The request says that it has a body, and perhaps has one."""
    header, body = rng.choice(BODIES)
    lines.append(header)
    if body and rng.random() < 0.5:
        lines += [b"", body]


def add_odd_line(lines: Lines, rng: random.Random) -> None:
    """A line that is no header, or one that not everybody reads in the same way."""
    lines.insert(rng.randrange(1, len(lines) + 1), rng.choice(ODD_LINES))


def change_space(lines: Lines, rng: random.Random) -> None:
    """More, less or other space around a value."""
    if index := _header(lines, rng):
        name, _, value = lines[index].partition(b":")
        before, after = rng.choice((b"", b" ", b"\t", b"  \t ")), rng.choice((b"", b" ", b"\t"))
        lines[index] = name + b":" + before + value.strip() + after


def change_case(lines: Lines, rng: random.Random) -> None:
    """A header's name in another case: that is the same header (RFC 9110 5.1)."""
    if index := _header(lines, rng):
        name, colon, value = lines[index].partition(b":")
        lines[index] = rng.choice((name.lower(), name.upper(), name.swapcase())) + colon + value


def flip_byte(lines: Lines, rng: random.Random) -> None:
    """Any byte is another one."""
    index = rng.randrange(len(lines))
    line = bytearray(lines[index])
    if line and ADDRESS.encode() not in line and TARGET.encode() not in line:
        line[rng.randrange(len(line))] = rng.randrange(256)
        lines[index] = bytes(line)


def make_long(lines: Lines, rng: random.Random) -> None:
    """A long line, or many lines."""
    match rng.randrange(3):
        case 0:
            lines.append(b"X-Long: " + b"a" * rng.choice((1000, 8190, 8193, 20000, 70000)))
        case 1:
            lines += [b"X-Many: 1"] * rng.choice((10, 50, 100, 101, 300, 2000))
        case 2:
            lines[0] = lines[0].replace(b" HTTP/", b"?" + b"q" * rng.choice((1000, 8200, 70000)) + b" HTTP/", 1)


def end_early(lines: Lines, rng: random.Random) -> None:
    """The head ends before its last headers: they come behind it."""
    lines.insert(rng.randrange(1, len(lines) + 1), b"")


CHANGES: tuple[Callable[[Lines, random.Random], None], ...] = (
    leave_out, repeat, change_value, change_value, change_request_line, announce_body, add_odd_line, add_odd_line,
    change_space, change_case, flip_byte, flip_byte, make_long, end_early,
)  # fmt: skip
"""Each takes the lines of a request and changes them in one way."""
