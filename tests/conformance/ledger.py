"""What is expected of each case of the Autobahn|Testsuite, in both roles, and how a run is compared with it.

``ledger.txt`` has one line a case: its number, then behaviour and close behaviour as a server, then as a client. Only
OK and INFORMATIONAL may stand there: the suite's own words for "as the RFC says" and for "the RFC does not say". A run
must match it exactly, so a case that becomes better than it was has to be written down as well.
"""

import collections
import fnmatch
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Literal, NamedTuple

__all__ = ["LEDGER", "LedgerError", "Role", "Verdict", "compare", "group", "load", "select", "subset", "table"]

LEDGER = Path(__file__).with_name("ledger.txt")
ACCEPTABLE = ("OK", "INFORMATIONAL")
LONG_GROUPS = ("9", "12", "13")
"""Limits and performance; compression: 270 of the 517 cases, and nearly all of the time."""
SAMPLE = (
    *("9.1.1", "9.1.6", "9.2.6", "9.3.1", "9.4.5", "9.5.6", "9.6.6", "9.7.1", "9.8.6"),
    *("12.1.1", "12.2.3", "12.3.4", "12.4.5", "12.5.11"),
    *("13.1.1", "13.3.1", "13.5.3", "13.7.1"),
)
"""The cases of the long groups that every change must pass."""

ABOUT = {
    "1": "framing",
    "2": "Ping and Pong",
    "3": "reserved bits",
    "4": "opcodes",
    "5": "fragmentation",
    "6": "UTF-8",
    "7": "closing",
    "9": "limits, performance",
    "10": "fragments of any size",
    "12": "compression, by size of message",
    "13": "compression, by parameters",
}

Role = Literal["server", "client"]


class Verdict(NamedTuple):
    """What the suite says of one case: OK, NON-STRICT, INFORMATIONAL, UNIMPLEMENTED, UNCLEAN, WRONG CODE, FAILED."""

    behavior: str
    close: str


class LedgerError(Exception):
    """The ledger cannot be read, or would accept what must not be accepted."""


Ledger = Mapping[str, Mapping[Role, Verdict]]


def load(path: Path = LEDGER) -> dict[str, dict[Role, Verdict]]:
    """Read a ledger.

    Raises:
        LedgerError: a line is malformed, a case stands there twice, or is not expected to be OK or INFORMATIONAL.
    """
    ledger: dict[str, dict[Role, Verdict]] = {}
    for number, line in enumerate(path.read_text().splitlines(), 1):
        words = line.partition("#")[0].split()
        if not words:
            continue
        if len(words) != 5 or words[0] in ledger:
            raise LedgerError(f"{path.name}:{number}: must be a case and four verdicts, each case once")
        case, *said = words
        bad = [word for word in said if word not in ACCEPTABLE]
        if bad:
            raise LedgerError(f"{path.name}:{number}: {case} may be {' or '.join(ACCEPTABLE)}, not {bad[0]}")
        ledger[case] = {"server": Verdict(said[0], said[1]), "client": Verdict(said[2], said[3])}
    return ledger


def _numbers(case: str) -> list[int]:
    return [int(part) for part in case.split(".")]


def group(case: str) -> str:
    """The first number of a case."""
    return case.partition(".")[0]


def select(cases: Iterable[str], patterns: Iterable[str]) -> list[str]:
    """The cases that match one of the patterns ("1.*", "6.4.2"), in order.

    Raises:
        LedgerError: a pattern matches none.
    """
    every = list(cases)
    selected: set[str] = set()
    for pattern in patterns:
        found = fnmatch.filter(every, pattern)
        if not found:
            raise LedgerError(f"no case matches {pattern!r}")
        selected.update(found)
    return sorted(selected, key=_numbers)


def subset(cases: Iterable[str]) -> list[str]:
    """All cases of the short groups, and the sample of the long ones."""
    return sorted((case for case in cases if group(case) not in LONG_GROUPS or case in SAMPLE), key=_numbers)


def compare(ledger: Ledger, role: Role, cases: Iterable[str], found: Mapping[str, Verdict]) -> list[str]:
    """What a run of ``cases`` found that is not what the ledger says, one line each; nothing: it is as it must be."""
    asked = set(cases)
    complaints = []
    for case in sorted(asked | found.keys(), key=_numbers):
        if case not in found:
            complaints.append(f"{case}: was not run to its end")
        elif case not in asked:
            complaints.append(f"{case}: was not asked for")
        elif found[case] != ledger[case][role]:
            (behavior, close), expected = found[case], ledger[case][role]
            complaints.append(
                f"{case}: {behavior}, close {close}; the ledger has {expected.behavior}, close {expected.close}"
            )
    return complaints


def table(ledger: Ledger) -> str:
    """The ledger by groups, for docs/conformance.md."""

    def said(cases: Iterable[str], role: Role) -> str:
        counts = collections.Counter(ledger[case][role].behavior for case in cases)
        return ", ".join(f"{number} {word}" for word, number in counts.most_common())

    def row(number: str, about: str, cases: list[str]) -> str:
        return f"| {number} | {about} | {len(cases)} | {said(cases, 'server')} | {said(cases, 'client')} |"

    rows = [row(name, about, [case for case in ledger if group(case) == name]) for name, about in ABOUT.items()]
    head = ["| group | about | cases | as a server | as a client |", "|---|---|---|---|---|"]
    return "\n".join([*head, *rows, row("", "all", list(ledger))]) + "\n"
