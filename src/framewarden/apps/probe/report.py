"""What a probe came to, class by class."""

from collections.abc import Iterable
from typing import Any

import msgspec

from framewarden.apps.cases import Result, Verdict
from framewarden.apps.probe.pack import FlawClass

__all__ = ["ClassReport", "as_json", "by_class"]

SHOWN = 3
"""Cases of a class that are told of."""
NOT_PLAYED = "not played: the server was gone"


class ClassReport(msgspec.Struct, frozen=True):
    """One class and the results of its cases; none: they were not played."""

    about: FlawClass
    results: tuple[Result, ...]

    @property
    def verdict(self) -> Verdict:
        """The worst of its cases."""
        return max((result.verdict for result in self.results), default=Verdict.N_A)

    @property
    def seen(self) -> str:
        """What was seen in the worst cases; where all was strict, how many there are."""
        if not self.results:
            return NOT_PLAYED
        worst = [result for result in self.results if result.verdict is self.verdict]
        if self.verdict is Verdict.N_A:
            return "; ".join(dict.fromkeys(result.judgement.seen for result in worst))
        if self.verdict is Verdict.STRICT:
            others = len(self.results) - len(worst)
            return f"all {len(worst)} cases" + (f"; {others} n/a" if others else "")
        told = [f"{result.case.id}: {result.judgement.seen}" for result in worst[:SHOWN]]
        if len(worst) > SHOWN:
            told.append(f"and {len(worst) - SHOWN} more")
        return "; ".join(told)


def by_class(classes: Iterable[FlawClass], results: Iterable[Result]) -> list[ClassReport]:
    """Sort results into their classes, which keep their order."""
    results = list(results)
    return [
        ClassReport(about, tuple(result for result in results if result.case.flaw_class == about.id))
        for about in classes
    ]


def as_json(uri: str, reports: Iterable[ClassReport], seconds: float) -> dict[str, Any]:
    """The same for a program to read."""
    return {
        "uri": uri,
        "seconds": seconds,
        "classes": [
            {
                "id": report.about.id,
                "title": report.about.title,
                "flaws": report.about.flaws,
                "verdict": report.verdict.label,
                "seen": report.seen,
                "cases": [_result(result) for result in report.results],
            }
            for report in reports
        ],
    }


def _result(result: Result) -> dict[str, Any]:
    told: dict[str, Any] = {
        "id": result.case.id,
        "verdict": result.verdict.label,
        "seen": result.judgement.seen,
        "expected": result.case.right,
    }
    if result.judgement.exceeded:
        told["exceeded"] = [verdict.label for verdict in result.judgement.exceeded]
    if result.outcome is not None:
        fields = ("answer", "seconds", "grown", "ratio", "end")
        told |= {name: getattr(result.outcome, name) for name in fields}
    return told
