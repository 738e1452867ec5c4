"""Run single inputs of a target again, each in a process of its own, and say what came of them."""

import struct
import subprocess
import sys
import tempfile
from pathlib import Path
from types import TracebackType
from typing import IO, Self

from framewarden.apps.fuzz.building import environment
from framewarden.apps.fuzz.checkout import NATIVE, FuzzError
from framewarden.apps.fuzz.faults import Fault, read_fault

__all__ = ["Judge"]

SIZE = struct.Struct("=I")
ANSWER = struct.Struct("=iI")
SECONDS_AN_INPUT = 60


class Judge:
    """Judges inputs of one target; a context manager.

    Args:
        place: a tree that was built for fuzzing.
        target: its name.
    """

    def __init__(self, place: Path, target: str) -> None:
        self.place = place
        self.target = target
        self._server: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        """Nothing to do: the process is started when it is first needed."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End the process."""
        if self._server is not None:
            self._server.kill()
            self._server.communicate()

    def judge(self, data: bytes) -> Fault | None:
        """Run one input. None: nothing is wrong."""
        code, said = self._run_program(data) if self.target in NATIVE else self._ask(data)
        return read_fault(said.decode(errors="replace"), code) if code else None

    def _run_program(self, data: bytes) -> tuple[int, bytes]:
        with tempfile.NamedTemporaryFile() as file:
            file.write(data)
            file.flush()
            done = subprocess.run(  # noqa: S603 - the program is ours
                [str(self.place / self.target), f"-timeout={SECONDS_AN_INPUT // 2}", file.name],
                cwd=self.place,
                env=environment(self.place, sanitized=False),
                stdin=subprocess.DEVNULL,
                capture_output=True,
                timeout=SECONDS_AN_INPUT,
                check=False,
            )
        return done.returncode, done.stderr

    def _ask(self, data: bytes) -> tuple[int, bytes]:
        server = self._started()
        questions, answers = _pipe(server.stdin), _pipe(server.stdout)
        try:
            questions.write(SIZE.pack(len(data)) + data)
            questions.flush()
            head = answers.read(ANSWER.size)
        except BrokenPipeError:
            head = b""
        if len(head) < ANSWER.size:
            said = _pipe(server.stderr).read().decode(errors="replace").strip()
            raise FuzzError(f"target {self.target!r} cannot be run: {said.rpartition(chr(10))[2]}")
        code, size = ANSWER.unpack(head)
        return code, answers.read(size)

    def _started(self) -> "subprocess.Popen[bytes]":
        if self._server is None:
            self._server = subprocess.Popen(  # noqa: S603 - the program is ours
                [sys.executable, "-m", "fuzz.worker", "judge", self.target],
                cwd=self.place,
                env=environment(self.place, sanitized=True),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                start_new_session=True,
            )
        return self._server


def _pipe(stream: IO[bytes] | None) -> IO[bytes]:
    assert stream is not None
    return stream
