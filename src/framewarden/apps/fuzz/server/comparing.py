"""What a server's answer is worth, beside the strict verdict.

Only what can be compared is: the limits of another server are unknown, and an application that was sent a message may
close the connection for reasons of its own.
"""

from typing import Literal

import msgspec

from framewarden.apps.cases.play import NOT_APPLICABLE, Outcome
from framewarden.apps.fuzz.server.strict import LIMITS, Verdict
from framewarden.apps.fuzz.server.trial import also

__all__ = ["KINDS", "Comparison", "Kind", "compare"]

Kind = Literal[
    "crash", "hang", "memory", "internal error", "garbage", "accepted", "refused", "wrong code", "wrong status",
    "dropped", "silent", "limit differs",
]  # fmt: skip
KINDS: dict[Kind, str] = {
    "crash": "the server is gone, or serves no honest client any more",
    "hang": "it does not answer a valid stream, or no honest client any more",
    "memory": "its process grew by more than --max-growth",
    "internal error": "it says itself that it failed: Close 1011, or HTTP 500",
    "garbage": "what it answers is no HTTP response, or no frame that a server may send",
    "accepted": "it goes on where a rule is broken, or where the peer has closed",
    "refused": "it fails a connection on which no rule was broken",
    "wrong code": "another close code than the strict one",
    "wrong status": "another HTTP status than the strict one; the request is refused all the same",
    "dropped": "it closes the socket without a Close, or without a response",
    "silent": "it neither answers nor closes where a rule is broken: it may wait for more",
    "limit differs": "a limit that is not ours; nothing is wrong with that by itself",
}
"""Every kind of finding, the worst first."""

PROTOCOL_CODES = frozenset((1002, 1007, 1010))
"""Close codes that say that the peer broke the protocol (RFC 6455 7.4.1): no application says that."""
SAID_BY_APPLICATIONS = frozenset((301, 302, 303, 307, 308, 401, 403, 404, 410, 429, 503))
"""HTTP statuses that say who may connect, and where and when."""
TOO_MUCH = frozenset((1008, 1009, 1013))
"""Close codes that a limit is enforced with; so are all from 3000 on."""


class Comparison(msgspec.Struct, frozen=True):
    """What came of a comparison.

    Attributes:
        kind: of finding; None: there is none.
        skipped: why answer and verdict cannot be compared; "": they were.
    """

    kind: Kind | None = None
    skipped: str = ""


SAME = Comparison()


def compare(verdict: Verdict, outcome: Outcome) -> Comparison:
    """Compare an answer with the verdict. Whether the server still lives is not looked at here."""
    answer = outcome.answer
    if answer in ("refused to connect", "no handshake"):
        return Comparison(skipped="no connection")
    if answer == NOT_APPLICABLE:
        return Comparison(skipped="permessage-deflate was not agreed upon")
    if answer == verdict.answer or answer in also(verdict):
        return SAME
    number = int(answer.split()[1]) if answer.startswith(("close ", "HTTP ")) else 0
    if answer == "garbage":
        return Comparison("garbage")
    if number in (500, 502, 504, 1011):
        return Comparison("internal error")
    if verdict.rule in LIMITS:
        return SAME if _is_enforced(number) else Comparison("limit differs")
    if answer == "dropped":
        return Comparison("dropped")
    if verdict.stage == "handshake":
        return _compare_status(verdict, number)
    return _compare_code(verdict, answer, number)


def _is_enforced(number: int) -> bool:
    """Whether an answer says that it was too much: a close code or an HTTP status; 0: neither."""
    return number in TOO_MUCH or number >= 3000 or 400 <= number < 500


def _compare_status(verdict: Verdict, status: int) -> Comparison:
    """The answer to a request; 0: there was none in time."""
    if status == 0:
        return Comparison("silent" if verdict.rule else "hang")
    if status < 200 and status != 101:
        return Comparison(skipped="an interim response")
    if verdict.rule:
        return Comparison("accepted" if status < 300 else "wrong status")
    if status == 101:
        return SAME  # with another extension: one that was offered
    if status in SAID_BY_APPLICATIONS:
        return Comparison(skipped="HTTP 3xx, 4xx or 503: who may connect is the application's business")
    return Comparison("limit differs" if status in (413, 414, 431) else "refused")


def _compare_code(verdict: Verdict, answer: str, code: int) -> Comparison:
    """The answer to frames; 0: there was no Close."""
    if answer == "accepted":
        return Comparison("accepted")
    if code == 0:
        return Comparison("silent" if verdict.rule else "hang")
    if verdict.messages and code not in PROTOCOL_CODES and code != 1009:
        return Comparison(skipped="a Close behind a whole message: the application may have said it")
    if verdict.rule:
        return Comparison("wrong code")
    return Comparison("limit differs" if code in TOO_MUCH else "refused")
