"""Carry an attack out, and compare what came back with what the rule says."""

import contextlib
import socket
import threading
import time
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor

import msgspec

from framewarden.apps.cases.wire import PATIENCE, Wire
from framewarden.apps.demo.attack import Attack
from framewarden.apps.demo.servers import Guarded
from framewarden.codec.handshake import switching_response
from framewarden.engine import Inspector
from framewarden.policy import Policy, SecurityEvent
from framewarden.rfc6455 import Role
from framewarden.rules import RULES, Rule

__all__ = ["Result", "carry_out"]


class Seen(msgspec.Struct, frozen=True):
    """What an attacker saw.

    Attributes:
        answer: "close 1002" or "HTTP 400"; or how it was that neither came.
        reason: of the Close frame; None: there was none.
        reported: the rules that the security events of the guarded side name for this peer.
        ended: whether the socket was closed behind the answer.
        seconds: from the first hostile byte to the answer.
    """

    answer: str
    reason: str | None
    reported: tuple[str, ...]
    ended: bool
    seconds: float


class Result(msgspec.Struct, frozen=True):
    """One row of the demo's table.

    Attributes:
        rule: id of the rule.
        source: RFC section, or "policy".
        sent: what was sent, in words.
        expected: the answer that the rule demands.
        seen: the answer that came.
        milliseconds: from the first hostile byte to the answer.
        problems: what was not as the rule says; empty: nothing.
    """

    rule: str
    source: str
    sent: str
    expected: str
    seen: str
    milliseconds: float
    problems: tuple[str, ...]

    @property
    def verdict(self) -> str:
        """In one word."""
        return "WRONG" if self.problems else "ok"


def expected_answer(rule: Rule) -> str:
    """What a peer that breaks ``rule`` is told."""
    return f"HTTP {rule.status}" if rule.close_code is None else f"close {rule.close_code}"


def judge(attack: Attack, seen: Seen) -> Result:
    """Compare: the answer, the reason of a Close, the security event, and that it was the last word."""
    rule = RULES[attack.rule]
    expected = expected_answer(rule)
    problems = []
    if seen.answer != expected:
        problems.append(f"expected {expected}")
    if rule.close_code is not None and seen.reason != rule.id:
        problems.append(f"the reason of the Close is {seen.reason!r}")
    if seen.reported != (rule.id,):
        problems.append(f"reported as {', '.join(seen.reported) or 'nothing'}")
    if not seen.ended:
        problems.append("the socket was not closed")
    return Result(rule.id, rule.source, attack.sent, expected, seen.answer, seen.seconds * 1000, tuple(problems))


def carry_out(attacks: Iterable[Attack], guarded: Guarded) -> list[Result]:
    """Carry the attacks out and judge each: the slow ones all at once, meanwhile the others one after the other."""
    attacks = list(attacks)
    slow = [attack for attack in attacks if attack.slow]
    quick = [attack for attack in attacks if not attack.slow]

    def result(attack: Attack) -> Result:
        return judge(attack, play(attack, guarded))

    with ThreadPoolExecutor(len(slow) or 1) as pool:
        waiting = pool.map(result, slow)
        results = [result(attack) for attack in quick]
        results += waiting
    order = list(RULES)
    return sorted(results, key=lambda each: order.index(each.rule))


def play(attack: Attack, guarded: Guarded) -> Seen:
    """Carry ``attack`` out on a socket of its own."""
    try:
        return play_on_client(attack) if attack.against == "client" else play_on_server(attack, guarded)
    except OSError as error:
        return Seen(describe(error), None, (), ended=False, seconds=0)


def play_on_server(attack: Attack, guarded: Guarded) -> Seen:
    """A hostile client connects to a guarded server."""
    address = guarded.addresses[attack.against]
    with contextlib.ExitStack() as stack:
        for _ in range(attack.crowd):
            stack.enter_context(Wire.to(address)).upgrade()
        for _ in range(attack.silent_crowd):
            stack.enter_context(Wire.to(address))
        since = guarded.noted
        wire = stack.enter_context(Wire.to(address))
        if RULES[attack.rule].close_code is not None:
            wire.upgrade(attack.path, deflate=attack.deflate)
        return strike(wire, attack, lambda: guarded.rules_of(attack.against, wire.name, since))


def play_on_client(attack: Attack) -> Seen:
    """A guarded client connects to a hostile server."""
    events: list[SecurityEvent] = []
    policy = Policy(on_event=events.append)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(PATIENCE)
        client = threading.Thread(target=guarded_client, args=(listener.getsockname(), policy), daemon=True)
        client.start()
        with Wire(listener.accept()[0]) as wire:
            headers = dict(line.split(": ", 1) for line in wire.read_lines()[1:])
            wire.send(switching_response(headers["Sec-WebSocket-Key"]))
            seen = strike(wire, attack, lambda: tuple(event.rule for event in events))
        client.join()
    return seen


def guarded_client(address: tuple[str, int], policy: Policy) -> None:
    """A client that reads with an Inspector, until the server breaks a rule."""
    with Wire.to(address) as wire:
        wire.upgrade("/")
        inspector = Inspector(policy, Role.CLIENT)
        while inspector.violation is None:
            inspector.receive_data(wire.receive())
            wire.send(inspector.data_to_send())


def strike(wire: Wire, attack: Attack, reported: Callable[[], tuple[str, ...]]) -> Seen:
    """Send what the attack is made of, and read the answer to it."""
    answer, reason, ended = "", None, False
    begun = answered = time.perf_counter()
    try:
        if isinstance(attack.data, bytes):
            wire.send(attack.data)
        else:
            attack.data(wire)
        if RULES[attack.rule].close_code is None:
            answer = f"HTTP {wire.read_head()[0]}"
        else:
            code, reason = wire.read_close()
            answer = f"close {code}"
        answered = time.perf_counter()
        ended = wire.ends()
    except OSError as error:
        answer = describe(error)
    return Seen(answer, reason, reported(), ended, answered - begun)


def describe(error: OSError) -> str:
    """Why there is no answer."""
    return "no answer" if isinstance(error, TimeoutError) else str(error)
