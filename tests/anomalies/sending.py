"""What an Inspector and a Session send: all of it, or a failed connection that says why; never half a frame."""

import random
from collections.abc import Callable
from typing import Any

from framewarden.codec._writer import prepare
from framewarden.codec.extensions import DeflateParameters
from framewarden.engine import Inspector
from framewarden.errors import FramewardenError
from framewarden.policy import Policy, Schema
from framewarden.rfc6455 import State
from framewarden.session import Link, Session, broadcast
from tests.anomalies.attempts import Attempt, Calls, Outcome, Scenario, Scenarios, memory_error
from tests.playback import plain
from tests.vectors.schemas import Say

__all__ = ["refusals", "sends", "sessions"]

Steps = Callable[[Inspector], Calls]
HARDENED = Policy()
NOISE = random.Random(6455).randbytes(70_000)
"""Larger than what is copied, and not to be compressed beyond what a peer accepts."""


def read_back(peer: Inspector, sent: bytes) -> list[Any]:
    """What a peer makes of it: whole frames, and nothing that it has to refuse."""
    events = [plain(event) for event in peer.receive_data(sent)]
    assert peer.violation is None, peer.violation
    assert peer.unfinished_frame is None, "a frame is half written"
    return events


def sending(
    role: str,
    steps: Steps,
    *,
    deflate: DeflateParameters | None = None,
    policy: Policy = HARDENED,
    take: str = "data_to_send",
) -> Scenario:
    """Steps, and what then waits is taken."""

    def ends() -> tuple[Inspector, Inspector]:
        other = "client" if role == "server" else "server"
        return (
            Inspector(policy, role, deflate=deflate, key_source=bytes),
            Inspector(role=other, deflate=deflate, key_source=bytes),
        )

    inspector, peer = ends()
    for function, arguments in steps(inspector):
        function(*arguments)
    wanted = read_back(peer, inspector.data_to_send())

    def attempt() -> Attempt:
        inspector, peer = ends()
        calls = [*steps(inspector), (getattr(inspector, take), ())]
        return Attempt(calls, lambda outcome: check_sent(outcome, inspector, peer, calls, wanted))

    return attempt


def check_sent(outcome: Outcome, inspector: Inspector, peer: Inspector, calls: Calls, wanted: list[Any]) -> None:
    if not memory_error(outcome):
        taken = outcome.results[-1]
        assert read_back(peer, taken if type(taken) is bytes else b"".join(taken)) == wanted
        return
    if inspector.state is State.FAILED:
        check_lost(inspector, peer, wanted)
        return
    # Nothing is lost, and what there was no memory for can be done again. A Session may have sent and then not been
    # able to ask for a flush: then it is sent twice.
    for function, arguments in calls[len(outcome.results) : -1]:
        function(*arguments)
    events = read_back(peer, inspector.data_to_send())
    repeated = [event for index, event in enumerate(events) if index == 0 or event != events[index - 1]]
    assert wanted in (events, repeated)
    if events[-1][0] != "close":
        inspector.send_text("after")
        assert [event[2] for event in read_back(peer, inspector.data_to_send())] == ["after"]


def check_lost(inspector: Inspector, peer: Inspector, wanted: list[Any]) -> None:
    """The peer gets whole frames of what came first, and a Close that says why; what is sent now, too."""
    assert inspector.violation.rule == "out-of-memory"
    *events, last = read_back(peer, inspector.data_to_send())
    assert last == ("close", 1011, "out-of-memory")
    assert events == wanted[: len(events)]


# ---- Inspectors


def sends(deflate: DeflateParameters | None) -> Scenarios:
    plain_steps: dict[str, list[tuple[Any, ...]]] = {
        "short text": [("send_text", "text")],
        "wide text": [("send_text", "grüße 🎈")],
        "large text": [("send_text", "ü" + NOISE.hex())],
        "large ascii": [("send_text", NOISE.hex()), ("send_text", "b")],
        "bytes": [("send_bytes", b"bytes")],
        "large bytes": [("send_text", "first"), ("send_bytes", NOISE), ("send_text", "last")],
        "buffer": [("send_bytes", bytearray(b"x" * 300))],
        "fragments": [("send_fragment", "grü"), ("send_ping", b"x"), ("send_fragment", "ße", True)],
        "large fragments": [("send_fragment", NOISE), ("send_fragment", NOISE, True)],
        "control": [("send_ping", b"ping"), ("send_text", "text"), ("send_close", 1000, "bye")],
        "many": [("send_text", "text" * 50), ("send_bytes", b"x" * 200), ("send_ping", b"")] * 3,
        "prepared": [("send_text", "first"), ("send_prepared", prepare("grüße " * 500)), ("send_text", "last")],
        "large prepared": [("send_prepared", prepare(NOISE))],
    }
    for role in ("server", "client"):
        for name, steps in plain_steps.items():
            for take in ("data_to_send", "buffers_to_send"):
                yield f"{name}, {role}, {take}", sending(role, named(steps), deflate=deflate, take=take)


def named(steps: list[tuple[Any, ...]]) -> Steps:
    """Methods of the Inspector by their names."""
    return lambda inspector: [(getattr(inspector, name), tuple(arguments)) for name, *arguments in steps]


def refusals() -> Scenarios:
    """What is refused is refused, or there was no memory to say so; nothing is queued."""
    for name, *arguments in (
        ("send_text", "half of a pair: \ud800"),
        ("send_text", b"not text"),
        ("send_bytes", "not bytes"),
        ("send_bytes", memoryview(b"gaps")[::2]),
        ("send_fragment", "\ud800"),
        ("send_ping", bytes(126)),
        ("send_close", 1005),
        ("send_close", 1000, "\ud800"),
        ("send_prepared", "not prepared"),
        ("fail", "no-such-rule"),
        ("receive_data", "not bytes"),
    ):
        yield f"{name}{tuple(arguments)!a:.40}", refused(name, tuple(arguments))


def refused(name: str, arguments: tuple[Any, ...]) -> Scenario:
    def attempt() -> Attempt:
        inspector = Inspector()

        def check(outcome: Outcome) -> None:
            allowed = (FramewardenError, MemoryError) if outcome.refused else FramewardenError
            assert isinstance(outcome.error, allowed), repr(outcome.error)
            if inspector.state is State.FAILED:
                check_lost(inspector, Inspector(role="client"), [])
                return
            inspector.send_text("after")
            assert inspector.data_to_send() == b"\x81\x05after"

        return Attempt([(getattr(inspector, name), arguments)], check)

    return attempt


# ---- Sessions


class Wire(Link):
    """A link that needs no transport."""

    def wake(self) -> None:
        self.flushing = True

    def relieve(self) -> None:
        pass


def of_session(method: str, *arguments: Any) -> Steps:
    """A method of a Session, which asks for a flush, and a Ping, which does not."""

    def steps(inspector: Inspector) -> Calls:
        session = session_of(inspector)
        return [(getattr(session, method), arguments), (session.ping, (b"behind",))]

    return steps


def session_of(inspector: Inspector) -> Session:
    return Session(Wire(), inspector, id="s", identity=None, subprotocol=None, path="/", query="")


def sessions() -> Scenarios:
    objects = Policy(schema=Schema(text=Say))
    yield "str", sending("server", of_session("send", "text"))
    yield "bytes", sending("server", of_session("send", b"bytes"))
    yield "buffer", sending("server", of_session("send", bytearray(b"bytes")))
    yield "object", sending("server", of_session("send", Say("a", "grüße")), policy=objects)
    yield "prepared", sending("server", of_session("send_prepared", prepare("text")))
    yield "ping", sending("server", of_session("ping", b"x"))
    yield "close", sending("server", of_session("close", 1001, "grüße"))
    yield "broadcast", sending("server", lambda inspector: [(broadcast, ([session_of(inspector)], {"a": [1, "ü"]}))])
