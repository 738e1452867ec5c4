"""What an honest client of somebody else's making (websockets) says, and what it is answered."""

from collections.abc import Iterator
from importlib.metadata import version

import msgspec
import websockets
from websockets.sync.client import connect

from framewarden.apps.demo.chat import Answer, Joined, Left, Reacted, Said

__all__ = ["CLIENT", "Exchange", "talk"]

CLIENT = f"websockets {version('websockets')}"
ANSWER_SECONDS = 5.0
LONG = "framewarden reads what comes in. " * 30

SCRIPT: tuple[tuple[str, Answer], ...] = (
    ('{"type":"join","room":"lobby"}', Joined("lobby", 1)),
    ('{"type":"say","room":"lobby","text":"grüße 🎉"}', Said(1, "lobby", "grüße 🎉")),
    (f'{{"type":"say","room":"lobby","text":"{LONG}"}}', Said(2, "lobby", LONG)),
    ('{"type":"react","number":1,"emoji":"heart"}', Reacted(1, "❤")),
    ('{"type":"leave","room":"lobby"}', Left("lobby")),
)
"""What is sent, and the answer that must come. Longer messages travel compressed, both ways."""


class Exchange(msgspec.Struct, frozen=True):
    """One message and its answer, or what came instead of it."""

    sent: str
    answer: str
    right: bool


def talk(address: tuple[str, int]) -> Iterator[Exchange]:
    """Connect, say everything in ``SCRIPT``, close."""
    decode = msgspec.json.Decoder(Answer).decode
    host, port = address
    try:
        with connect(f"ws://{host}:{port}/chat", proxy=None) as client:
            extensions = client.response.headers.get("Sec-WebSocket-Extensions") if client.response else None
            yield Exchange("GET /chat", f"101, {extensions}", extensions is not None)
            for sent, expected in SCRIPT:
                client.send(sent)
                answer = decode(client.recv(timeout=ANSWER_SECONDS))
                yield Exchange(sent, str(answer), answer == expected)
            client.close()
            yield Exchange("Close 1000", f"Close {client.close_code}", client.close_code == 1000)
    except (OSError, websockets.WebSocketException, msgspec.MsgspecError) as error:
        yield Exchange("", f"{type(error).__name__}: {error}", right=False)
