"""``python -m benchmarks``: measure all rows, print the table, and exit with 1 if a bound is not kept."""

import argparse
import json
import sys
from collections.abc import Iterable
from dataclasses import asdict

from benchmarks.conditions import conditions
from benchmarks.harness import ROUNDS
from benchmarks.rows import ROWS, Result


def _bound(result: Result) -> str:
    return "" if result.wanted is None else f"{result.bound} {_number(result.wanted, result)}"


def _number(value: float, result: Result) -> str:
    return f"{value:,.0f}" if result.unit == "bytes" else f"{value:.2f}"


def _line(result: Result) -> list[str]:
    spread = "" if result.spread is None else f"{result.spread[0]:.2f}-{result.spread[1]:.2f}"
    verdict = "" if result.wanted is None else "ok" if result.good else "SHORT"
    measured = f"{_number(result.measured, result)} {result.unit}"
    return [result.row, result.against, result.ours, result.theirs, measured, spread, _bound(result), verdict]


HEADER = ["work", "against", "ours", "theirs", "measured", "quartiles", "wanted", ""]
WIDTHS = [57, 25, 9, 9, 18, 13, 18, 5]


def _print(cells: Iterable[str]) -> None:
    print("  ".join(f"{cell:{width}}" for cell, width in zip(cells, WIDTHS, strict=True)).rstrip(), flush=True)


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--only", default="", metavar="WORDS", help="rows whose name contains these words")
    parser.add_argument("--rounds", type=int, default=ROUNDS, help=f"interleaved rounds a row (default {ROUNDS})")
    parser.add_argument("--json", action="store_true", help="one JSON object a line instead of the table")
    args = parser.parse_args()
    rows = [row for row in ROWS if args.only.lower() in row.name.lower()]
    if not rows:
        parser.error(f"no row has {args.only!r} in its name")
    short = 0
    if not args.json:
        print("\n".join(conditions()), end="\n\n")
        _print(HEADER)
    for row in rows:
        for result in row.measure(args.rounds):
            short += not result.good
            if args.json:
                print(json.dumps(asdict(result) | {"good": result.good}), flush=True)
            else:
                _print(_line(result))
    if short and not args.json:
        print(f"\n{short} of the bounds not kept")
    return 1 if short else 0


if __name__ == "__main__":
    sys.exit(main())
