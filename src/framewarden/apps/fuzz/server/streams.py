"""Streams to send: honest conversations and the cases of the flaw pack, as they are and changed."""

import random
from collections.abc import Sequence

from framewarden.apps.fuzz.mutating import cross, mutate
from framewarden.codec.extensions import DeflateParameters
from framewarden.engine import Inspector
from framewarden.policy import Policy
from framewarden.rfc6455 import Role

__all__ = ["LONGEST", "LONGEST_SELDOM", "conversation", "make_stream"]

LONGEST = 4096
"""Bytes of most streams."""
LONGEST_SELDOM = 160 * 1024
"""Bytes of one in 32, so that payloads of 65,536 bytes are among them."""
MOST_MESSAGES = 5
WORDS = ("", "a", "hello", "{}", "[1,2,3]", "\u00e9\u20ac\U0001f600", '{"type":"ping","id":1}', "a" * 126)
CODES = (None, 1000, 1001, 1003, 1011, 3000, 4999)


def make_stream(rng: random.Random, corpus: Sequence[bytes], deflate: DeflateParameters | None) -> bytes:
    """The next stream; the same ``rng`` gives the same one.

    Args:
        rng: where all chance comes from.
        corpus: streams to begin with, beside the honest conversations.
        deflate: what was agreed about compression, for the honest conversations.
    """
    longest = LONGEST if rng.random() < 31 / 32 else LONGEST_SELDOM
    stream = _begin(rng, corpus, deflate)
    if rng.random() < 0.1:
        return stream[:longest]
    if rng.random() < 0.2:
        stream = cross(stream, _begin(rng, corpus, deflate), rng, longest)
    return mutate(stream, rng, longest)


def _begin(rng: random.Random, corpus: Sequence[bytes], deflate: DeflateParameters | None) -> bytes:
    if corpus and rng.random() < 0.3:
        return rng.choice(corpus)
    return conversation(rng, deflate)


def conversation(rng: random.Random, deflate: DeflateParameters | None) -> bytes:
    """What an honest client of ours sends: messages, whole and in fragments, Pings, perhaps a Close."""
    client = Inspector(Policy(), Role.CLIENT, deflate=deflate, key_source=rng.randbytes)
    for _ in range(rng.randint(1, MOST_MESSAGES)):
        text = rng.choice(WORDS) * rng.choice((1, 1, 1, 3, 40))
        match rng.randrange(5):
            case 0 | 1:
                client.send_text(text)
            case 2:
                client.send_bytes(rng.randbytes(rng.choice((0, 1, 7, 64, 125, 126, 300))))
            case 3:
                _send_fragments(client, rng, text.encode())
            case 4:
                client.send_ping(rng.randbytes(rng.choice((0, 4, 125))))
    if rng.random() < 0.25:
        code = rng.choice(CODES)
        client.send_close(code, "" if code is None else rng.choice(("", "bye", "\u00e9")))
    return client.data_to_send()


def _send_fragments(client: Inspector, rng: random.Random, data: bytes) -> None:
    for _ in range(rng.randint(0, 3)):
        size = rng.randint(0, len(data))
        client.send_fragment(data[:size], final=False)
        data = data[size:]
        if rng.random() < 0.3:
            client.send_ping(b"between")
    client.send_fragment(data, final=True)
