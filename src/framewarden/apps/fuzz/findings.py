"""Findings: an input that breaks something becomes one small file that the tests replay, once a fault."""

from pathlib import Path

import msgspec

from framewarden.apps.fuzz.checkout import FuzzError
from framewarden.apps.fuzz.faults import Fault, read_fault
from framewarden.apps.fuzz.judging import Judge
from framewarden.apps.fuzz.minimising import minimise

__all__ = ["REGRESSIONS", "Finding", "Findings", "read_finding"]

REGRESSIONS = Path("tests", "regressions", "findings")
"""Where the tests look for findings; the one place for them."""
LARGEST_FILE = 4 << 20
SECONDS_TO_MINIMISE = 60.0


class Finding(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What stands in a finding's file.

    Attributes:
        target: that was fuzzed.
        signature: of the fault; the same for the same kind at the same places.
        kind: the exception, or what the sanitizer calls it.
        summary: one line.
        stack: innermost places that are ours.
        hex: the input.
        alone: whether the input shows the fault in a process of its own; False: it took what had been run before.
    """

    target: str
    signature: str
    kind: str
    summary: str
    stack: tuple[str, ...]
    hex: str
    alone: bool

    @property
    def data(self) -> bytes:
        """The input."""
        return bytes.fromhex(self.hex)

    @property
    def name(self) -> str:
        """Of its file."""
        return f"{self.target}-{self.signature}.json"


def read_finding(path: Path) -> Finding:
    """Read a finding's file.

    Raises:
        FuzzError: it is too large, or no finding.
    """
    if path.stat().st_size > LARGEST_FILE:
        raise FuzzError(f"{path}: a finding has at most {LARGEST_FILE} bytes")
    try:
        finding = msgspec.json.decode(path.read_bytes(), type=Finding)
        finding.data  # noqa: B018 - it is hexadecimal, or this raises
    except ValueError as error:
        raise FuzzError(f"{path} is no finding: {error}") from None
    return finding


class Findings:
    """The findings of a campaign, one a fault.

    Args:
        checkout: whose regressions they become.
        place: the tree that is fuzzed.
    """

    def __init__(self, checkout: Path, place: Path) -> None:
        self.folder = checkout / REGRESSIONS
        self.place = place
        self.all: list[Finding] = []
        self.seen = 0

    def add(self, target: str, data: bytes, said: str) -> Finding | None:
        """Take an input that broke something; the finding, if the fault is new.

        Args:
            target: its name.
            data: the input.
            said: what the process said before it ended.
        """
        self.seen += 1
        with Judge(self.place, target) as judge:
            fault = judge.judge(data)
            finding = self._alone(judge, target, data, fault) if fault else self._after_others(target, data, said)
        if any((other.target, other.signature) == (target, finding.signature) for other in self.all):
            return None
        self.all.append(finding)
        self._write(finding)
        return finding

    def _alone(self, judge: Judge, target: str, data: bytes, fault: Fault) -> Finding:
        known = {finding.signature for finding in self.all if finding.target == target}
        if fault.signature not in known:
            data = minimise(data, lambda other: _is(judge.judge(other), fault), SECONDS_TO_MINIMISE)
            fault = judge.judge(data) or fault
        return _finding(target, fault, data, alone=True)

    @staticmethod
    def _after_others(target: str, data: bytes, said: str) -> Finding:
        return _finding(target, read_fault(said, 1), data, alone=False)

    def _write(self, finding: Finding) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        content = msgspec.json.format(msgspec.json.encode(finding), indent=1)
        (self.folder / finding.name).write_bytes(content + b"\n")


def _is(found: Fault | None, fault: Fault) -> bool:
    return found is not None and found.signature == fault.signature


def _finding(target: str, fault: Fault, data: bytes, *, alone: bool) -> Finding:
    return Finding(target, fault.signature, fault.kind, fault.summary, fault.stack, data.hex(), alone)
