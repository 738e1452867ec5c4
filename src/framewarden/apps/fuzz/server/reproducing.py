"""Play a finding again."""

from pathlib import Path

import msgspec

from framewarden.apps.cases.case import Case, parse_case, read_bounded
from framewarden.apps.cases.play import NOT_APPLICABLE
from framewarden.apps.cases.runner import Result, run, still_alive
from framewarden.apps.cases.target import Target
from framewarden.apps.cases.verdict import Verdict
from framewarden.errors import FramewardenError

__all__ = ["Reproduction", "reproduce_on_server"]


class Reproduction(msgspec.Struct, frozen=True):
    """What came of playing a case again.

    Attributes:
        case: what was played.
        expected: the right answer.
        seen: what the server did.
        reproduced: that is not what is expected; None: nothing can be said.
    """

    case: Case
    expected: str
    seen: str
    reproduced: bool | None


def reproduce_on_server(
    file: Path, uri: str, *, pid: int | None = None, own_host: str | None = None, patience: float = 5.0
) -> Reproduction:
    """Play a case file of ``framewarden fuzz server`` again.

    Args:
        file: the case.
        uri: of the server.
        pid: of its process; cases about memory need it.
        own_host: what ``--i-own-this-host`` says.
        patience: seconds that an answer may take.

    Raises:
        CaseError: the file is no case.
        ArgumentError: the server is one that nothing is sent to.
        FramewardenError: the server does not serve an honest client before it is sent anything.
        OSError: the file cannot be read.
    """
    case = parse_case(read_bounded(file), file.name)
    target = Target.of(uri, pid=pid, own_host=own_host, patience=patience)
    trouble = still_alive(target)
    if trouble is not None:
        raise FramewardenError(f"the case is not played: {trouble.text}")
    (result,) = run([case], target)
    return Reproduction(case, case.right, result.judgement.seen, _reproduced(result))


def _reproduced(result: Result) -> bool | None:
    """Whether the answer is another one than the case expects, the server died of it, or grew."""
    case, outcome = result.case, result.outcome
    if outcome is None or outcome.answer == NOT_APPLICABLE:
        return None
    if result.verdict in (Verdict.CRASH, Verdict.HANG, Verdict.GREW):
        return True
    if case.cost is not None:
        return None if outcome.grown is None else False
    return outcome.answer != case.right and outcome.answer not in case.also
