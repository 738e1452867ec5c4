"""A ticker: the same prices to everybody, and to slow readers only the latest of each.

framewarden serve examples.ticker:Ticker --policy examples/ticker.toml
"""

import asyncio
import random
from collections.abc import AsyncIterator
from typing import Any

import msgspec

import framewarden

SYMBOLS = ("GOLD", "IRON", "TIN")
SECONDS = 0.1


class Price(msgspec.Struct, tag="price"):
    """What everybody is told."""

    symbol: str
    price: float


class History(msgspec.Struct, tag="history", forbid_unknown_fields=True):
    """What a client may ask: all prices so far, in one message."""

    symbol: str


async def history_of(prices: list[float]) -> AsyncIterator[str]:
    """A JSON array, a thousand prices at a time."""
    yield "["
    for begin in range(0, len(prices), 1000):
        yield ("," if begin else "") + ",".join(map(str, prices[begin : begin + 1000]))
    yield "]"


class Ticker(framewarden.Handler):
    """Sends prices as long as somebody is there."""

    def __init__(self) -> None:
        self.sessions: set[framewarden.Session] = set()
        self.prices: dict[str, list[float]] = {symbol: [100.0] for symbol in SYMBOLS}
        self.task: asyncio.Task[None] | None = None

    def on_open(self, session: framewarden.Session) -> None:
        """One more reader."""
        self.sessions.add(session)
        if self.task is None:
            self.task = asyncio.get_running_loop().create_task(self.tick())

    async def on_message(self, session: framewarden.Session, message: Any) -> None:
        """A History: sent in fragments, as fast as the client reads."""
        await session.stream(history_of(self.prices.get(message.symbol, [])))

    def on_close(self, session: framewarden.Session, code: int, reason: str) -> None:
        """One reader less."""
        self.sessions.discard(session)

    async def tick(self) -> None:
        """New prices, to everybody. With ``slow_consumer = "latest"`` the key says which message replaces which."""
        while self.sessions:
            for symbol, prices in self.prices.items():
                prices.append(round(prices[-1] * random.uniform(0.99, 1.01), 2))  # noqa: S311 - prices, not secrets
                framewarden.broadcast(self.sessions, Price(symbol, prices[-1]), key=symbol)
            await asyncio.sleep(SECONDS)
        self.task = None


if __name__ == "__main__":
    framewarden.serve(Ticker, framewarden.Policy(slow_consumer="latest", schema=framewarden.Schema(text=History)))
