"""Servers in processes of their own, and what they cost: CPU time and memory."""

import shutil
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Self

import psutil

from benchmarks.servers import SERVERS, has_carriers

ROOT = Path(__file__).parent.parent
NODE = ROOT / "build" / "node"
WS = "ws@8"
START_SECONDS = 30.0


def installed_ws() -> bool:
    """Whether node's ``ws`` is there, in the untracked ``build/node``; installs it where npm can."""
    if shutil.which("node") is None or shutil.which("npm") is None:
        return False
    if not (NODE / "node_modules" / "ws").exists():
        NODE.mkdir(parents=True, exist_ok=True)
        command = ["npm", "install", "--no-audit", "--no-fund", "--silent", "--prefix", str(NODE), WS]
        with suppress(subprocess.CalledProcessError):
            subprocess.run(command, check=True)
    return (NODE / "node_modules" / "ws").exists()


def available(names: list[str]) -> list[str]:
    """Those that can be started here; why the others cannot is printed."""
    kept = []
    for name in names:
        if name == "node ws" and not installed_ws():
            print("node ws is left out: node or npm is missing, or ws cannot be installed (apt-get install nodejs npm)")
        elif name == "framewarden lean" and not has_carriers():
            print("framewarden lean is left out: this framewarden has one carrier only")
        else:
            kept.append(name)
    return kept


class ServerProcess:
    """One of the echo servers, started."""

    def __init__(self, name: str, *words: str) -> None:
        self.name = name
        if name == "node ws":
            command = ["node", "--expose-gc", str(ROOT / "benchmarks" / "node" / "echo.js"), *words]
            environment = {"NODE_PATH": str(NODE / "node_modules")}
        else:
            assert name in SERVERS, name
            command = [sys.executable, "-m", "benchmarks.servers", name, *words]
            environment = {}
        self._process = subprocess.Popen(
            ["env", *(f"{key}={value}" for key, value in environment.items()), *command],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._input, self._output = self._process.stdin, self._process.stdout
        line = self._output.readline()
        if not line.strip():
            self.end()
            raise RuntimeError(f"the server {name!r} did not start")
        self.port = int(line)

    @property
    def pid(self) -> int:
        return self._process.pid

    def cpu_seconds(self) -> float:
        """CPU time of all its threads so far, user and kernel, to the nanosecond."""
        # The clock of another process, as clock_getcpuclockid(3) makes its name.
        return time.clock_gettime(~self.pid << 3 | 2)

    def tidy(self) -> None:
        """Let it collect garbage and give free memory back."""
        self._input.write("collect\n")
        self._input.flush()
        if self._output.readline() != "\n":
            raise RuntimeError(f"the server {self.name!r} has ended")

    def memory(self) -> int:
        """Bytes of memory that it has for itself alone (USS): what its end would set free."""
        return int(psutil.Process(self.pid).memory_full_info().uss)

    def end(self) -> None:
        self._input.close()
        try:
            self._process.wait(START_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._output.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.end()
