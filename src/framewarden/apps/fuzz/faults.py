"""What a fault is: read from what a process wrote before it ended, and told from others by where it happened."""

import hashlib
import re
import signal
from collections.abc import Iterable
from pathlib import PurePath

import msgspec

__all__ = ["Fault", "read_fault"]

FRAMES = 3
"""Frames of the stack that tell one fault from another."""
TRACEBACK = re.compile(r'^  File "([^"]+)", line (\d+), in (\S+)$', re.MULTILINE)
RAISED = re.compile(r"^([A-Za-z_][\w.]*)(?:: (.*))?$")
UNDEFINED = re.compile(r"^(\S+?:\d+):\d+: runtime error: (.*)$", re.MULTILINE)
SANITIZER = re.compile(r"ERROR: (AddressSanitizer|LeakSanitizer|libFuzzer): ([\w -]+)")
SUMMARY = re.compile(r"^SUMMARY: \w+Sanitizer: ([\w-]+)", re.MULTILINE)
NATIVE = re.compile(r"^\s+#\d+ 0x[0-9a-f]+ in (\S+)(?: (\S+))?", re.MULTILINE)
NOT_OURS = re.compile(
    r"^(__asan|__interceptor|__sanitizer|__ubsan|fuzzer::|abort$|raise$|gsignal$|__libc|main$|_start|LLVMFuzzer|mem(cpy|"
    r"move|set|cmp)$|malloc$|free$|realloc$|calloc$|operator |_?Py|_PyEval|pthread_kill|__pthread)"
)
LONGEST = 300


class Fault(msgspec.Struct, frozen=True):
    """One way in which something is broken.

    Attributes:
        kind: the exception, or what the sanitizer calls it, or the signal.
        summary: one line.
        stack: the innermost places that are ours, the innermost one first.
    """

    kind: str
    summary: str
    stack: tuple[str, ...]

    @property
    def signature(self) -> str:
        """Twelve hexadecimal digits, the same for the same kind at the same places."""
        return hashlib.sha256("\n".join((self.kind, *self.stack)).encode()).hexdigest()[:12]


def read_fault(said: str, code: int) -> Fault:
    """Read the fault from the standard error of a process that ended with ``code`` (minus the signal)."""
    if undefined := UNDEFINED.search(said):
        places = (_short(undefined[1]), *_native_stack(said))
        return Fault("undefined-behavior", _line(undefined[2]), places[:FRAMES])
    named = SANITIZER.search(said)
    if named and named[1] != "libFuzzer":
        summed = SUMMARY.search(said)
        return Fault(summed[1] if summed else named[2].split(" ")[0], _line(named[2]), _native_stack(said))
    if raised := _raised(said):
        kind, message = raised
        return Fault(kind, _line(f"{kind}: {message}" if message else kind), _python_stack(said))
    if named:
        return Fault(
            named[2].split(" (")[0].partition(" after ")[0].strip(), _line(_before(said, named[0])), _native_stack(said)
        )
    ended = f"exit code {code}" if code >= 0 else signal.Signals(-code).name
    return Fault(ended, _line(f"ended by {ended}: {said.strip().rpartition(chr(10))[2]}"), ())


def _raised(said: str) -> tuple[str, str] | None:
    """The exception of the last traceback."""
    _, found, rest = said.rpartition("Traceback (most recent call last):\n")
    if not found:
        return None
    for line in rest.splitlines():
        if line and not line.startswith(" ") and (match := RAISED.match(line)):
            return match[1], match[2] or ""
    return None


def _python_stack(said: str) -> tuple[str, ...]:
    """Places of the last traceback, with the text of the line: numbers move with every change above them."""
    rest = said.rpartition("Traceback (most recent call last):\n")[2]
    places = [f"{PurePath(file).name}:{function}" for file, _, function in TRACEBACK.findall(rest)]
    lines = _quoted_lines(rest)
    innermost = [f"{place}: {line}" for place, line in zip(places, lines, strict=False)] if lines else places
    return tuple(reversed(innermost[-FRAMES:]))


def _quoted_lines(rest: str) -> list[str]:
    """The line of code that stands below each place; one of a compiled module has none."""
    lines = rest.splitlines()
    quoted = []
    for index, line in enumerate(lines):
        if TRACEBACK.match(line):
            below = lines[index + 1] if index + 1 < len(lines) else ""
            quoted.append(below.strip() if below.startswith("    ") else "")
    return quoted


def _native_stack(said: str) -> tuple[str, ...]:
    return tuple(f"{function} {_short(place)}".rstrip() for function, place in _ours(NATIVE.findall(said)))[:FRAMES]


def _ours(found: Iterable[tuple[str, str]]) -> Iterable[tuple[str, str]]:
    return ((function, place) for function, place in found if not NOT_OURS.match(function))


def _short(place: str) -> str:
    """A file without its folders; with the line, without the column."""
    name, *numbers = place.strip("()").split(":")
    return ":".join([PurePath(name).name, *numbers[:1]])


def _before(said: str, mark: str) -> str:
    """The last line that the program itself wrote before libFuzzer said that it died."""
    lines = [line for line in said.partition(mark)[0].splitlines() if line and not line.startswith(("==", "#", "INFO"))]
    return lines[-1] if lines else mark


def _line(text: str) -> str:
    """One printable line of bounded length."""
    printable = "".join(char if char.isprintable() else " " for char in text)
    return printable if len(printable) <= LONGEST else printable[:LONGEST] + "..."
