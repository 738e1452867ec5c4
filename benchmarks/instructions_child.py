"""What runs under callgrind: every case in forks of one process, so that start-up is paid once.

``instructions.py`` starts it. Each fork prints nothing itself: the line says case, calls, frames a call and process id,
and callgrind's log of that process says how many instructions it had collected in its life, its parents' included.
"""

import os
import sys
from collections.abc import Callable
from typing import Any

import msgspec

from benchmarks import schemas, traffic
from framewarden.engine import Inspector
from framewarden.policy import Policy, Schema

FRAMES = 256  # a call: a read holds more than one frame, as on a busy server

Case = Callable[[], Callable[[], object]]


def _stream(payloads: list[bytes], opcode: int = traffic.TEXT) -> bytes:
    return b"".join(traffic.frame(payloads[i % len(payloads)], opcode) for i in range(FRAMES))


def _engine(stream: bytes, schema: Any = None, *, deliver: bool = True) -> Callable[[], object]:
    receive_data = Inspector(Policy(schema=schema), deliver=deliver).receive_data
    return lambda: receive_data(stream)


def _text(size: int) -> bytes:
    return _stream([traffic.ascii_text(size).encode()])


def _typed(messages: list[bytes], types: Any) -> Callable[[], object]:
    return _engine(_stream(messages), Schema(text=types))


def _alone(messages: list[bytes], types: Any) -> Callable[[], object]:
    decode = msgspec.json.Decoder(types).decode
    payloads = [messages[i % len(messages)] for i in range(FRAMES)]
    return lambda: list(map(decode, payloads))


CASES: dict[str, Case] = {
    "text_125_to_str": lambda: _engine(_text(125)),
    "text_125_validated": lambda: _engine(_text(125), deliver=False),
    "text_16_to_str": lambda: _engine(_text(16)),
    "binary_125_to_bytes": lambda: _engine(_stream([traffic.binary(125)], traffic.BINARY)),
    "order_107_typed": lambda: _typed(schemas.orders(), schemas.Trade),
    "order_107_msgspec_alone": lambda: _alone(schemas.orders(), schemas.Trade),
    "chat_107_typed": lambda: _typed(schemas.chat(), schemas.Chat),
    "chat_107_msgspec_alone": lambda: _alone(schemas.chat(), schemas.Chat),
}


def main(names: list[str], call_counts: list[int]) -> None:
    for name in names or CASES:
        work = CASES[name]()
        work()
        for calls in call_counts:
            process = os.fork()
            if process == 0:
                for _ in range(calls):
                    work()
                os._exit(0)
            os.waitpid(process, 0)
            print(name, calls, FRAMES, process, flush=True)


if __name__ == "__main__":
    main(sys.argv[2:], [int(calls) for calls in sys.argv[1].split(",")])
