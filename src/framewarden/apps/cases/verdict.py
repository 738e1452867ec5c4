"""What an outcome is worth."""

from enum import IntEnum

import msgspec

from framewarden.apps.cases.case import Case
from framewarden.apps.cases.play import NOT_APPLICABLE, Outcome
from framewarden.apps.cases.target import Trouble

__all__ = ["Judgement", "Verdict", "judge"]

CLIENT_SIDE = "it is about clients; framewarden's own client is judged by its tests"
NO_DEFLATE = "permessage-deflate was not agreed upon"
MIB = 1024 * 1024
NOTHING_WRONG = (1000, 1001, 1005)
CLOSE_RULES = ("close-code", "close-length", "close-reason-utf8")
SILENT = ("dropped", "refused to connect")


class Verdict(IntEnum):
    """From the best to the worst; N_A says nothing about the server."""

    N_A = 0
    STRICT = 1
    SAFE = 2
    DROPPED = 3
    SLOW = 4
    GREW = 5
    ACCEPTED = 6
    HANG = 7
    CRASH = 8

    @property
    def label(self) -> str:
        """As it is printed: flaws in capital letters."""
        if self is Verdict.N_A:
            return "n/a"
        return self.name if self.flaw else self.name.lower()

    @property
    def flaw(self) -> bool:
        """Whether it is one."""
        return self >= Verdict.SLOW


class Judgement(msgspec.Struct, frozen=True):
    """A verdict, and what was seen.

    Attributes:
        verdict: the worst that was found.
        seen: in words; no byte of what the server said.
        exceeded: bounds that were exceeded, whatever the answer was: SLOW, GREW.
    """

    verdict: Verdict
    seen: str
    exceeded: tuple[Verdict, ...] = ()


def judge(case: Case, outcome: Outcome, trouble: Trouble | None = None) -> Judgement:
    """Compare an outcome with what the case expects.

    Args:
        case: what was played.
        outcome: what the server did.
        trouble: what was wrong with the server afterwards, as ``Target.alive`` says it.
    """
    if not_judged(case) or outcome.answer == NOT_APPLICABLE:
        return Judgement(Verdict.N_A, not_judged(case) or NO_DEFLATE)
    answer = judge_answer(case, outcome)
    costs = judge_costs(case, outcome)
    verdicts = [answer.verdict, *costs]
    seen = ", and ".join([answer.seen, *costs.values()])
    if trouble is not None:
        verdicts.append(Verdict.HANG if trouble.silent else Verdict.CRASH)
        seen += f"; then {trouble.text}"
    return Judgement(max(verdicts), seen, tuple(costs))


def not_judged(case: Case) -> str:
    """Why a case says nothing about a server that all we know of is its address; "": it does."""
    if case.role == "client":
        return CLIENT_SIDE
    return f"needs {case.needs}" if case.needs else ""


def judge_answer(case: Case, outcome: Outcome) -> Judgement:
    """The answer alone."""
    answer = outcome.answer
    if not honest_pongs(case, outcome):
        answer = "wrong Pong"
    if answer == case.right:
        return Judgement(Verdict.STRICT, answer)
    if answer in case.also:
        return Judgement(Verdict.SAFE, answer)
    if answer == "hang":
        return Judgement(Verdict.HANG, "no answer in time")
    if case.expect == "survive":
        return Judgement(Verdict.ACCEPTED if answer in ("garbage", "no handshake") else Verdict.STRICT, answer)
    if case.expect == "accept":
        return Judgement(Verdict.ACCEPTED, f"{answer}, not {case.right}")
    return Judgement(judge_refusal(case, answer), answer)


def judge_refusal(case: Case, answer: str) -> Verdict:
    """An answer to hostile input that is neither the right one nor one as safe."""
    if answer in SILENT:
        return Verdict.DROPPED
    kind, _, number = answer.partition(" ")
    if kind == "close" and int(number) in NOTHING_WRONG:
        # It closes because it was asked to, or without saying that anything is wrong.
        return Verdict.ACCEPTED if case.rule in CLOSE_RULES else Verdict.DROPPED
    if kind == "close":
        return Verdict.ACCEPTED if case.rule in CLOSE_RULES and echoes(case, int(number)) else Verdict.SAFE
    return Verdict.SAFE if kind == "HTTP" and number[0] in "45" else Verdict.ACCEPTED


def echoes(case: Case, code: int) -> bool:
    """Whether the code is the one of the Close that was sent."""
    return case.stream()[-2:] == code.to_bytes(2, "big")


def honest_pongs(case: Case, outcome: Outcome) -> bool:
    """Whether each Pong has the payload of a Ping that was sent, in order."""
    sent = iter(map(bytes.fromhex, case.pongs or ()))
    return case.pongs is None or all(pong in sent for pong in outcome.pongs)


def judge_costs(case: Case, outcome: Outcome) -> dict[Verdict, str]:
    """What was above its bound, in words."""
    found: dict[Verdict, str] = {}
    cost = case.cost
    if cost is None:
        return found
    if cost.memory is not None and outcome.grown is not None and outcome.grown > cost.memory:
        found[Verdict.GREW] = f"it grew by {outcome.grown / MIB:.0f} MiB"
    if cost.time_ratio is not None and outcome.ratio is not None and outcome.ratio > cost.time_ratio:
        found[Verdict.SLOW] = f"twice as much took {outcome.ratio:.1f} times as long"
    return found
