"""A trial: what is sent once, with the strict verdict on it; and the Case that plays it."""

import re

import msgspec

from framewarden.apps.cases.case import MAX_FILE, Case, Cost, Part
from framewarden.apps.fuzz.server.strict import Verdict

__all__ = ["Trial", "also", "as_case", "case_file", "growing"]


# A run: at least 16 times the same up to 28 octets, which is what a repeated frame and a masked "aaaa" are.
_RUN = re.compile(rb"(.{1,28}?)\1{15,}", re.DOTALL)


class Trial(msgspec.Struct, frozen=True):
    """One thing that is sent on one connection.

    Attributes:
        verdict: what is sent, and what a strict server answers.
        deflate: the honest opening handshake before it offers permessage-deflate, which the server takes.
        cuts: lengths of the first writes.
    """

    verdict: Verdict
    deflate: bool = False
    cuts: tuple[int, ...] = ()


def as_case(trial: Trial, name: str = "fuzz", comment: str = "", *, short: bool = False) -> Case:
    """The case that plays a trial.

    Args:
        trial: what is played.
        name: id of the case.
        comment: what was seen.
        short: write runs of the same octets as such. It takes longer: it is for cases that are kept.
    """
    verdict = trial.verdict
    code = int(verdict.answer[6:]) if verdict.answer.startswith("close ") else None
    status = int(verdict.answer[5:]) if verdict.stage == "handshake" else None
    return Case(
        id=name,
        flaw_class="fuzz",
        comment=comment,
        stage=verdict.stage,
        deflate=trial.deflate and verdict.stage == "frames",
        parts=_parts(verdict, short=short),
        cuts=trial.cuts,
        expect="reject" if verdict.rule else "accept",
        rule=verdict.rule or None,
        close_code=code,
        status=status,
        also=also(verdict),
    )


def also(verdict: Verdict) -> tuple[str, ...]:
    """Answers that are as right. RFC 6455 5.5.1: a server "typically" answers a Close with its code: it need not."""
    if verdict.close is not None:
        return tuple(f"close {code}" for code in (1000, 1005) if code != verdict.close)
    return ("HTTP 101 with permessage-deflate",) if verdict.answer == "HTTP 101" else ()


def growing(trial: Trial, connections: int, memory: int, name: str = "fuzz", comment: str = "") -> Case:
    """The case that plays a trial on many connections, one after the other, and bounds what the process grows by.

    Args:
        trial: what is sent.
        connections: how many send it.
        memory: bytes that the process may grow by.
        name: id of the case.
        comment: what was seen.
    """
    case = as_case(trial, name, comment, short=True)
    return msgspec.structs.replace(case, connections=connections, cost=Cost(memory=memory))


def case_file(case: Case) -> bytes | None:
    """The file of a case; None: it would be longer than a case may be."""
    data = msgspec.json.format(msgspec.json.encode(case), indent=2) + b"\n"
    return data if len(data) <= MAX_FILE else None


def _parts(verdict: Verdict, *, short: bool) -> tuple[str | Part, ...]:
    if verdict.stage == "handshake" and not short:
        return (Part(text=verdict.data.decode("latin-1")),)
    if not short:
        return (verdict.data.hex(),)
    parts: list[str | Part] = []
    for piece, times in _runs(verdict.data):
        text = verdict.stage == "handshake"
        if text:
            parts.append(Part(text=piece.decode("latin-1"), times=times))
        else:
            parts.append(piece.hex() if times == 1 else Part(hex=piece.hex(), times=times))
    return tuple(parts)


def _runs(data: bytes) -> list[tuple[bytes, int]]:
    """Take repetitions out of bytes: pieces, and how often each one comes."""
    found: list[tuple[bytes, int]] = []
    at = 0
    for run in _RUN.finditer(data):
        if run.start() > at:
            found.append((data[at : run.start()], 1))
        found.append((run[1], len(run[0]) // len(run[1])))
        at = run.end()
    if at < len(data):
        found.append((data[at:], 1))
    return found
