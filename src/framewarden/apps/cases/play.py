"""Play one case against a server, and say what it did. It ends by itself, whatever the server does."""

import contextlib
import socket
import struct
import time
from collections.abc import Iterable, Iterator
from typing import Literal

import msgspec

from framewarden.apps.cases.answers import FrameListener, HeadListener
from framewarden.apps.cases.case import Case
from framewarden.apps.cases.target import Target
from framewarden.apps.cases.wire import HandshakeRefused, Heard, Wire
from framewarden.codec import encode_frame

__all__ = ["NOT_APPLICABLE", "Outcome", "play", "strike"]

KEY = b"\x37\xfa\x21\x3d"
"""A masking-key; RFC 6455 5.7 uses the same."""
QUESTION = b"framewarden asks"
"""Payload of the Ping that is sent behind the bytes of a case."""
FAREWELL = 1.0
"""Seconds that a server may take to close behind its answer."""
SECOND_THOUGHT = 0.05
"""Seconds in which a server may still close behind its Pong."""
STALLED = 1.0
"""Seconds in which a server takes nothing until we say that it has stopped reading."""
REPEATS = 3
"""How often a time is measured; the shortest counts."""
LEAST_SECONDS = 0.05
LEAST_CPU_SECONDS = 0.01
"""Times below them are noise, and are not compared."""
FEW = 64
"""Pieces that have a pause between them, so that the server reads each one on its own."""
PAUSE = 0.001
MANY_SECONDS = 30.0
"""How long the connections of a case that has many are made, and how long one is written to that is not read; a slow
server gets less."""
NOT_APPLICABLE = "not applicable"
DEFLATE = "permessage-deflate"

Manner = Literal["ask", "half-close", "do-not-read"]


class Outcome(msgspec.Struct, frozen=True, kw_only=True):
    """What a server did.

    Attributes:
        answer: "close 1002", "HTTP 400", "HTTP 101 with permessage-deflate", "HTTP 101 with another extension";
            "accepted": it answered the Ping behind the bytes; "dropped": it closed without a word; "hang": it said
            nothing in time; "stopped reading" and "took all": its answers were not read; "garbage": no HTTP response,
            or no frame of a server; "refused to connect"; "no handshake": an honest client was not let in; "not
            applicable": permessage-deflate was asked for and not agreed upon.
        seconds: from the first byte to the answer.
        grown: bytes that the process grew by at most; None: it was not looked at.
        ratio: how many times longer twice as much took; None: it was not measured, or was too short to be.
        end: how the server ended the connection behind its answer; "open": it did not.
        pongs: payloads of Pongs that came before the answer, the first 1,024.
        messages: that the server sent before the answer.
    """

    answer: str
    seconds: float = 0.0
    grown: int | None = None
    ratio: float | None = None
    end: Literal["FIN", "RST", "open"] = "open"
    pongs: tuple[bytes, ...] = ()
    messages: int = 0


def play(case: Case, target: Target) -> Outcome:
    """Play ``case`` against a server: once, and where it bounds the time, more often and twice as long.

    It takes at most a few times ``target.patience`` seconds for each connection. Never raises for what the server does.
    """
    memory = target.memory()
    outcome = _play_once(case, target, doubled=False)
    if memory is not None:
        outcome = msgspec.structs.replace(outcome, grown=memory.growth())
    if case.cost is not None and case.cost.time_ratio is not None and _timed(outcome):
        outcome = msgspec.structs.replace(outcome, ratio=_ratio(case, target))
    return outcome


def _timed(outcome: Outcome) -> bool:
    return outcome.answer not in ("hang", "refused to connect", "no handshake", NOT_APPLICABLE)


def _ratio(case: Case, target: Target) -> float | None:
    """Seconds of the process's CPU are compared, where they are known: who else is busy does not change them."""
    single, twice = (min(_cost(case, target, doubled=doubled) for _ in range(REPEATS)) for doubled in (False, True))
    least = LEAST_SECONDS if target.pid is None else LEAST_CPU_SECONDS
    return twice / single if twice >= least and single > 0 else None


def _cost(case: Case, target: Target, *, doubled: bool) -> float:
    before = target.cpu_seconds()
    outcome = _play_once(case, target, doubled=doubled)
    after = target.cpu_seconds()
    return outcome.seconds if before is None or after is None else after - before


def _play_once(case: Case, target: Target, *, doubled: bool) -> Outcome:
    stream = case.stream(target.uri.authority, target.uri.target, doubled=doubled)
    with contextlib.ExitStack() as stack:
        try:
            for _ in range(case.crowd):
                stack.enter_context(target.connect())
        except OSError:
            return Outcome(answer="refused to connect")
        until = time.monotonic() + MANY_SECONDS
        for _ in range(case.connections - 1):
            if time.monotonic() > until:
                break
            if not _pass_by(case, target, stream):
                return Outcome(answer="no handshake")
        return strike(case.pieces(stream), target, stage=case.stage, deflate=case.deflate, manner=case.manner)


def _pass_by(case: Case, target: Target, stream: bytes) -> bool:
    """One of many connections: send, and leave. Whether the server let it in."""
    try:
        with target.connect() as wire:
            if case.stage == "frames":
                wire.upgrade(target.uri.target, deflate=case.deflate)
            if case.reset:  # SO_LINGER with 0 seconds: close() sends RST
                wire.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            with contextlib.suppress(OSError):
                wire.sock.sendall(stream)
    except OSError:
        return False
    return True


def strike(
    pieces: Iterable[bytes],
    target: Target,
    *,
    stage: str = "frames",
    deflate: bool = False,
    manner: Manner = "ask",
) -> Outcome:
    """Send ``pieces`` on one new connection, and say what came back.

    Args:
        pieces: each one is a write.
        target: the server.
        stage: "frames": the pieces follow an honest opening handshake; "handshake": they are the request.
        deflate: the honest handshake asks for permessage-deflate.
        manner: as in Case.
    """
    begun = time.perf_counter()
    try:
        wire = target.connect()
    except OSError:
        return Outcome(answer="refused to connect", seconds=time.perf_counter() - begun)
    with wire:
        if stage == "handshake":
            return _request(wire, pieces)
        try:
            wire.upgrade(target.uri.target, deflate=deflate)
        except HandshakeRefused as refused:
            return Outcome(answer=NOT_APPLICABLE if refused.accepted else "no handshake")
        except OSError:
            return Outcome(answer="no handshake")
        return {"ask": _ask, "half-close": _half_close, "do-not-read": _do_not_read}[manner](wire, pieces)


def _spaced(pieces: Iterable[bytes]) -> Iterator[bytes]:
    for number, piece in enumerate(pieces):
        if 0 < number < FEW:
            time.sleep(PAUSE)
        if piece:
            yield piece


def _request(wire: Wire, pieces: Iterable[bytes]) -> Outcome:
    listener = HeadListener()
    begun = time.perf_counter()
    heard = wire.converse(_spaced(pieces), listener)
    seconds = time.perf_counter() - begun
    if listener.garbage:
        answer = "garbage"
    elif listener.status is None:
        answer = "hang" if heard == "silence" else "dropped"
    else:
        answer = f"HTTP {listener.status}"
        agreed = listener.headers.get("sec-websocket-extensions", "")
        if listener.status == 101 and agreed:
            # What a server says is not printed: it could hold what a terminal obeys.
            known = agreed.partition(";")[0].strip() == DEFLATE
            answer += f" with {DEFLATE if known else 'another extension'}"
    # A good server closes behind a refusal; behind a 101 it is not asked to.
    end = _end(wire, heard) if listener.status != 101 else "open"
    return Outcome(answer=answer, seconds=seconds, end=end)


def _ask(wire: Wire, pieces: Iterable[bytes]) -> Outcome:
    question = encode_frame(0x9, QUESTION, key=KEY)

    def with_question() -> Iterator[bytes]:
        yield from _spaced(pieces)
        yield question

    return _listen(wire, with_question())


def _listen(wire: Wire, pieces: Iterable[bytes]) -> Outcome:
    listener = FrameListener(QUESTION)
    begun = time.perf_counter()
    heard = wire.converse(pieces, listener)
    seconds = time.perf_counter() - begun
    if listener.ponged and not listener.ended:
        # A server may answer a Ping before its application has looked at the message that came before it.
        listener.until_the_end = True
        heard = wire.converse((), listener, SECOND_THOUGHT)
    if listener.garbage:
        answer = "garbage"
    elif listener.close is not None:
        answer = f"close {listener.close}"
    elif listener.ponged:
        answer = "accepted"
    else:
        answer = "hang" if heard == "silence" else "dropped"
    code = listener.close if listener.close not in (None, 1005) else 1000
    assert code is not None
    with contextlib.suppress(OSError):
        wire.sock.settimeout(FAREWELL)
        wire.sock.sendall(encode_frame(0x8, code.to_bytes(2, "big"), key=KEY))
    end = "open" if answer == "hang" else _end(wire, heard)
    return Outcome(answer=answer, seconds=seconds, end=end, pongs=tuple(listener.pongs), messages=listener.messages)


def _end(wire: Wire, heard: Heard) -> Literal["FIN", "RST", "open"]:
    """How the server ends the connection."""
    if heard == "heard":
        heard = wire.converse((), _not_heard, FAREWELL)
    return heard if heard in ("FIN", "RST") else "open"


def _not_heard(data: bytes) -> bool:
    """Listens to nothing."""
    return False


def _half_close(wire: Wire, pieces: Iterable[bytes]) -> Outcome:
    def then_shut() -> Iterator[bytes]:
        yield from _spaced(pieces)
        with contextlib.suppress(OSError):
            wire.half_close()

    return _listen(wire, then_shut())


def _do_not_read(wire: Wire, pieces: Iterable[bytes]) -> Outcome:
    begun = time.perf_counter()
    answer = "took all"
    wire.sock.settimeout(STALLED)
    try:
        for piece in pieces:
            view = memoryview(piece)
            while view:
                view = view[wire.sock.send(view) :]
                if time.perf_counter() - begun > MANY_SECONDS:
                    return Outcome(answer="stopped reading", seconds=MANY_SECONDS)
    except TimeoutError:
        answer = "stopped reading"
    except OSError:
        answer = "dropped"
    return Outcome(answer=answer, seconds=time.perf_counter() - begun)
