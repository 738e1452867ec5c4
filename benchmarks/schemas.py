"""The typed messages that are decoded, with their types: an order of 107 bytes, a chat line of as many, and 1 KiB."""

from random import Random

import msgspec

from benchmarks.traffic import SEED, WORDS


class Order(msgspec.Struct, tag="order", forbid_unknown_fields=True):
    """Five fields of four kinds, and a short list."""

    id: int
    symbol: str
    price: float
    quantity: int
    tags: list[str]


class Cancel(msgspec.Struct, tag="cancel", forbid_unknown_fields=True):
    id: int


class Say(msgspec.Struct, tag="say", forbid_unknown_fields=True):
    """Two strings: about the cheapest message that has a type."""

    room: str
    text: str


class Join(msgspec.Struct, tag="join", forbid_unknown_fields=True):
    room: str


class Digest(msgspec.Struct, tag="digest", forbid_unknown_fields=True):
    """A list of short strings."""

    id: int
    lines: list[str]


Trade = Order | Cancel
Chat = Say | Join
Feed = Digest | Join


def orders(size: int = 107, count: int = 64) -> list[bytes]:
    """``count`` different orders, each of ``size`` bytes of JSON."""
    random = Random(SEED)
    tags = ["limit", "stop", "day", "night", "retail", "hidden"]
    messages = []
    while len(messages) < count:
        order = Order(
            random.randrange(10**4, 10**5),
            "".join(random.choices("ABCDEFGHIJKLMNOPQRSTUVWXYZ", k=4)),
            random.randrange(10**4, 10**5) / 100,
            random.randrange(100, 1000),
            random.choices(tags, k=4),
        )
        message = msgspec.json.encode(order)
        if len(message) == size:
            messages.append(message)
    return messages


def chat(size: int = 107, count: int = 64) -> list[bytes]:
    """``count`` different chat lines, each of ``size`` bytes of JSON."""
    random = Random(SEED)
    messages = []
    for _ in range(count):
        room = random.choice(WORDS)
        empty = len(msgspec.json.encode(Say(room, "")))
        text = " ".join(random.choices(WORDS, k=size))[: size - empty]
        messages.append(msgspec.json.encode(Say(room, text)))
    return messages


def digests(size: int = 1024, count: int = 64) -> list[bytes]:
    """``count`` different lists of strings, each of about ``size`` bytes of JSON."""
    random = Random(SEED)
    messages = []
    for _ in range(count):
        digest = Digest(random.randrange(10**4, 10**5), [])
        while len(msgspec.json.encode(digest)) < size - 20:
            digest.lines.append(" ".join(random.choices(WORDS, k=3)))
        messages.append(msgspec.json.encode(digest))
    return messages
