"""The process in which a target is run. Started by ``framewarden fuzz``, in the tree that was built for fuzzing.

``python -m fuzz.worker fuzz TARGET [libFuzzer's options and folders]`` lets coverage decide: of the native code, which
clang has built with counters, and of the Python in ``INSTRUMENTED``. ``python -m fuzz.worker judge TARGET`` judges the
inputs that come on standard input, each in a process of its own, and says of each what came of it; it is what makes an
input smaller, and runs one again. ``python -m fuzz.worker count TARGET FOLDER`` runs all files of the folder, for who
counts the lines that they reach, whatever comes of them.
``python -m fuzz.worker prepare TARGET CORPUS DICTIONARY`` writes the seeds, and the tokens as libFuzzer reads them.
"""

import contextlib
import ctypes
import hashlib
import io
import mmap
import os
import random
import signal
import struct
import sys
import time
import traceback
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, NoReturn

INSTRUMENTED = ["framewarden.codec", "framewarden.policy_file", "framewarden.policy_lines", "framewarden.policy_units"]
"""Parsers in Python. What is compiled has counters of its own; the oracle gives no feedback that they do not give."""
SECONDS_AN_INPUT = 2.0
SECONDS_A_BYTE = 250e-6
"""CPU time that one input may take in a build that is ten times slower: it is about hanging, and what is not linear."""
SECONDS_SILENT = 30
"""Wall time after which an input that is judged alone is ended by SIGALRM."""
LONGEST_TOKEN = 64
COUNT = struct.Struct("=Q")
SIZE = struct.Struct("=I")


class BoundError(AssertionError):
    """An input took longer than it may."""


def judge(one: Callable[[bytes], None], data: bytes) -> None:
    """Run a target on one input, within its time."""
    start = time.process_time()
    one(data)
    took = time.process_time() - start
    allowed = SECONDS_AN_INPUT + SECONDS_A_BYTE * len(data)
    if took > allowed:
        raise BoundError(f"{took:.2f} s for {len(data)} bytes, {allowed:.2f} s are allowed")


def leave(code: int) -> NoReturn:
    """End a process that has no other way out: atheris does not return."""
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


# ---- fuzz


def counter() -> Callable[[], None]:
    """Count the executions where the parent sees them: in the file that ``FRAMEWARDEN_FUZZ_COUNT`` names."""
    path = os.environ.get("FRAMEWARDEN_FUZZ_COUNT")
    if path is None:
        return lambda: None
    with Path(path).open("r+b") as file:
        memory = mmap.mmap(file.fileno(), COUNT.size)
    executions = 0

    def count() -> None:
        nonlocal executions
        executions += 1
        COUNT.pack_into(memory, 0, executions)

    return count


OCTETS = ctypes.POINTER(ctypes.c_uint8)
MUTATOR = ctypes.CFUNCTYPE(ctypes.c_size_t, OCTETS, ctypes.c_size_t, ctypes.c_size_t, ctypes.c_uint)
CROSSING = ctypes.CFUNCTYPE(
    ctypes.c_size_t, OCTETS, ctypes.c_size_t, OCTETS, ctypes.c_size_t, OCTETS, ctypes.c_size_t, ctypes.c_uint
)


def with_mutator(target: Any) -> tuple[Any, ...]:
    """Give libFuzzer the target's own mutations, where it has some. What is returned must be kept.

    Half of the mutations stay libFuzzer's: they know the dictionary, and what the code has compared inputs with.
    """
    if not hasattr(target, "mutate"):
        return ()
    library = ctypes.CDLL(None)
    library.LLVMFuzzerMutate.restype = ctypes.c_size_t

    def mutate(data: Any, size: int, longest: int, seed: int) -> int:
        if seed % 2:
            return int(library.LLVMFuzzerMutate(data, ctypes.c_size_t(size), ctypes.c_size_t(longest)))
        return put(data, target.mutate(ctypes.string_at(data, size), random.Random(seed), longest)[:longest])

    def cross(one: Any, size: int, other: Any, other_size: int, out: Any, longest: int, seed: int) -> int:
        pair = ctypes.string_at(one, size), ctypes.string_at(other, other_size)
        return put(out, target.cross(*pair, random.Random(seed), longest)[:longest])

    kept = MUTATOR(mutate), CROSSING(cross)
    library.fw_set_mutator(*kept)
    return kept


def put(place: Any, data: bytes) -> int:
    """Write an input where libFuzzer wants it; its length."""
    ctypes.memmove(place, data, len(data))
    return len(data)


def fuzz(name: str, options: list[str]) -> NoReturn:
    """Let libFuzzer run the target; it ends the process."""
    import atheris

    # It tells each module that it instruments.
    with contextlib.redirect_stderr(io.StringIO()), atheris.instrument_imports(include=INSTRUMENTED):
        from fuzz.targets import load

        target = load(name)
    executed = counter()

    def one(data: bytes) -> None:
        executed()
        try:
            judge(target.one, data)
        except KeyboardInterrupt:
            leave(0)

    kept = with_mutator(target)
    atheris.Setup([os.environ.get("FRAMEWARDEN_FUZZ_SELF", sys.argv[0]), *options], one)
    atheris.Fuzz()
    del kept
    leave(0)


# ---- judge


def judge_all(name: str) -> None:
    """Inputs come as their length and themselves; the exit code and what was written go back, the latter likewise."""
    from fuzz.targets import load

    one = load(name).one
    while head := sys.stdin.buffer.read(SIZE.size):
        data = sys.stdin.buffer.read(*SIZE.unpack(head))
        code, said = in_a_process(partial(judge, one, data))
        sys.stdout.buffer.write(struct.pack("=iI", code, len(said)) + said)
        sys.stdout.buffer.flush()


def in_a_process(job: Callable[[], None]) -> tuple[int, bytes]:
    """The exit code (minus the signal) and the standard error of a child that does the job."""
    reader, writer = os.pipe()
    process = os.fork()
    if process == 0:
        os.close(reader)
        os.dup2(writer, 2)
        signal.alarm(SECONDS_SILENT)
        try:
            job()
        except BaseException:  # noqa: BLE001 - whatever leaves a target is a finding
            traceback.print_exc()
            leave(1)
        leave(0)
    os.close(writer)
    with open(reader, "rb") as stream:  # noqa: PTH123 - a descriptor has no path
        said = stream.read()
    _, status = os.waitpid(process, 0)
    return os.waitstatus_to_exitcode(status), said


# ---- count


def count(name: str, folder: str) -> None:
    """Run every file. What breaks an invariant has been found already, and reaches lines all the same."""
    from fuzz.targets import load

    one = load(name).one
    for path in sorted(Path(folder).iterdir()):
        with contextlib.suppress(Exception):
            judge(one, path.read_bytes())


# ---- prepare


def prepare(name: str, corpus: str, dictionary: str) -> None:
    """Seeds are named by their hash, as libFuzzer names inputs, so that none is there twice."""
    from fuzz.targets import load

    target = load(name)
    for data in target.seeds():
        Path(corpus, hashlib.sha1(data).hexdigest()).write_bytes(data)
    tokens = [token for token in target.TOKENS if len(token) <= LONGEST_TOKEN]
    lines = ("".join(f"\\x{octet:02x}" for octet in token) for token in tokens)
    Path(dictionary).write_text("".join(f'"{line}"\n' for line in lines))


def main() -> None:
    command, name, *rest = sys.argv[1:]
    if command == "fuzz":
        fuzz(name, rest)
    elif command == "judge":
        judge_all(name)
    elif command == "count":
        count(name, *rest)
    elif command == "prepare":
        prepare(name, *rest)
    else:
        sys.exit(f"fuzz, judge, count or prepare, not {command}")


if __name__ == "__main__":
    main()
