"""Havoc: one input made of others, by a few blind steps. What is used where there is no coverage feedback."""

import random
from collections.abc import Callable, Sequence

__all__ = ["LONGEST", "Mutator"]

LONGEST = 4096
"""Bytes of an input that was mutated; a seed may be longer."""
MOST_STEPS = 6
NUMBERS = tuple(
    number.to_bytes(size, order)
    for size, numbers in (
        (1, (0, 1, 125, 126, 127, 128, 254, 255)),
        (2, (0, 125, 126, 127, 128, 255, 256, 32767, 32768, 65535)),
        (4, (0, 65535, 65536, 2**31 - 1, 2**31, 2**32 - 1)),
        (8, (0, 65535, 65536, 2**31, 2**32 + 5, 2**63 - 1, 2**63, 2**64 - 1)),
    )
    for number in numbers
    for order in ("big", "little")
)


class Mutator:
    """Makes inputs of a corpus; the same seed makes the same inputs."""

    def __init__(self, corpus: Sequence[bytes], tokens: Sequence[bytes], seed: int) -> None:
        self.corpus = [data for data in corpus if len(data) <= LONGEST] or [b""]
        self.tokens = tokens or (b"\0",)
        self.random = random.Random(seed)
        self.steps: tuple[Callable[[bytearray], None], ...] = (
            self.flip, self.flip, self.octet, self.number, self.number, self.token, self.token,
            self.cut, self.drop, self.repeat, self.splice, self.insert,
        )  # fmt: skip

    def next(self) -> bytes:
        data = bytearray(self.random.choice(self.corpus))
        for _ in range(self.random.randint(1, MOST_STEPS)):
            self.random.choice(self.steps)(data)
        return bytes(data[:LONGEST])

    def where(self, data: bytearray) -> int:
        return self.random.randint(0, max(0, len(data) - 1))

    def flip(self, data: bytearray) -> None:
        if data:
            data[self.where(data)] ^= 1 << self.random.randrange(8)

    def octet(self, data: bytearray) -> None:
        if data:
            data[self.where(data)] = self.random.randrange(256)

    def number(self, data: bytearray) -> None:
        number, at = self.random.choice(NUMBERS), self.where(data)
        data[at : at + len(number)] = number

    def token(self, data: bytearray) -> None:
        token, at = self.random.choice(self.tokens), self.where(data)
        data[at : at + self.random.choice((0, len(token)))] = token

    def cut(self, data: bytearray) -> None:
        del data[self.where(data) :]

    def drop(self, data: bytearray) -> None:
        at = self.where(data)
        del data[at : at + self.random.randint(1, 16)]

    def repeat(self, data: bytearray) -> None:
        at = self.where(data)
        piece = data[at : at + self.random.randint(1, 32)]
        data[at:at] = piece * self.random.choice((1, 1, 2, 5, 20, 70))

    def insert(self, data: bytearray) -> None:
        at = self.where(data)
        data[at:at] = self.random.randbytes(self.random.randint(1, 8))

    def splice(self, data: bytearray) -> None:
        other = self.random.choice(self.corpus)
        data[self.where(data) :] = other[self.random.randint(0, len(other)) :]
