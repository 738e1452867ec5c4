"""Instructions a frame, counted by callgrind: the same on a busy machine as on an idle one, so CI can hold a budget.

    python benchmarks/instructions.py [CASE ...] [--profile]

Each case runs twice under callgrind, with few calls and with more; the difference divided by the frames between is
what one frame takes, start-up and imports cancelled out. Exits with 1 if a case is above its budget
(instructions.toml), with 2 if it cannot measure. About 20 seconds.
"""

import argparse
import os
import re
import shutil
import subprocess
import sys
import tempfile
import tomllib
from collections.abc import Iterator
from pathlib import Path

HERE = Path(__file__).parent
ROOT = HERE.parent
FEW, MORE = 10, 50  # calls of 256 frames
PROFILED = 400


def _callgrind(folder: str, call_counts: list[int], cases: list[str]) -> Iterator[tuple[str, int, int, int]]:
    """Case, calls, frames a call and process id of each run; the logs and profiles are in ``folder``, by process id."""
    command = ["valgrind", "--tool=callgrind", f"--callgrind-out-file={folder}/%p.out", f"--log-file={folder}/%p.log"]
    child = [sys.executable, "-m", "benchmarks.instructions_child", ",".join(map(str, call_counts)), *cases]
    paths = [str(ROOT / "src"), *filter(None, [os.environ.get("PYTHONPATH")])]
    environment = os.environ | {"PYTHONHASHSEED": "0", "PYTHONPATH": os.pathsep.join(paths)}
    result = subprocess.run(command + child, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    if result.returncode:
        raise RuntimeError(result.stderr[-2000:])
    for line in result.stdout.splitlines():
        name, calls, frames, process = line.split()
        yield name, int(calls), int(frames), int(process)


def _collected(folder: str, process: int) -> int:
    log = Path(folder, f"{process}.log").read_text()
    found = re.search(r"Collected : (\d+)", log)
    if found is None:
        raise RuntimeError(f"callgrind did not say what it collected:\n{log[-2000:]}")
    return int(found[1])


def instructions(cases: list[str]) -> dict[str, float]:
    """Instructions a frame of each case; of all of them if none is named."""
    with tempfile.TemporaryDirectory() as folder:
        totals: dict[str, list[int]] = {}
        frames_between = 0
        for name, _, frames, process in _callgrind(folder, [FEW, MORE], cases):
            totals.setdefault(name, []).append(_collected(folder, process))
            frames_between = (MORE - FEW) * frames
    return {name: (more - few) / frames_between for name, (few, more) in totals.items()}


def _profile(cases: list[str]) -> None:
    """Print where the instructions of each case go, by function; start-up is in it, but is small beside the frames."""
    with tempfile.TemporaryDirectory() as folder:
        for name, calls, frames, process in list(_callgrind(folder, [PROFILED], cases)):
            print(f"{name}, {calls * frames:,} frames:", flush=True)
            annotate = ["callgrind_annotate", "--auto=no", "--threshold=95", f"{folder}/{process}.out"]
            subprocess.run(annotate, check=True)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("case", nargs="*", help="only these; all of them if none is named")
    parser.add_argument("--profile", action="store_true", help="print where the instructions go, by function")
    args = parser.parse_args()
    if shutil.which("valgrind") is None:
        print("valgrind is missing: apt-get install valgrind", file=sys.stderr)
        return 2
    budget = tomllib.loads((HERE / "instructions.toml").read_text())["budget"]
    try:
        if args.profile:
            _profile(args.case)
            return 0
        found = instructions(args.case)
    except RuntimeError as error:
        print(error, file=sys.stderr)
        return 2
    above = 0
    for case, count in found.items():
        wanted = budget.get(case)
        above += wanted is not None and count > wanted
        verdict = "" if wanted is None else f"at most {wanted:>5,}  {'ABOVE' if count > wanted else 'ok'}"
        print(f"{case:26} {count:>8,.0f} instructions a frame   {verdict}".rstrip())
    return 1 if above else 0


if __name__ == "__main__":
    sys.exit(main())
