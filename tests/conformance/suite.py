"""The Autobahn|Testsuite as a process: started on a specification, watched, ended, its report read.

``wstest`` exits with 0 whatever happened, waits for ever where no case is selected, and its server has a web page on a
fixed port: so cases are given by their numbers, the report is what counts, and the page is off.
"""

import asyncio
import contextlib
import json
import os
import signal
import socket
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

from tests.conformance.ledger import Verdict

__all__ = ["AGENT", "Suite", "SuiteError"]

AGENT = "framewarden"
"""What we are called in the reports."""
STARTING_SECONDS = 20.0
ENDING_SECONDS = 5.0
TRIES = 3
"""How often a port is chosen: the one that was free may be taken by the time that the suite listens on it."""


class SuiteError(Exception):
    """The run itself went wrong: what was found says nothing."""


class Suite:
    """One run of ``wstest``.

    Args:
        wstest: the program.
        folder: where specification, log and report are written.
        cases: numbers of the cases to run, at least one; "*" stands for all that the suite has.
    """

    def __init__(self, wstest: Path, folder: Path, cases: Sequence[str]) -> None:
        if not cases:
            raise SuiteError("no case is selected")
        self._wstest = wstest
        self._folder = folder
        self._cases = list(cases)
        folder.mkdir(parents=True, exist_ok=True)
        self._index.unlink(missing_ok=True)

    @property
    def log(self) -> Path:
        """What ``wstest`` prints."""
        return self._folder / "wstest.log"

    @property
    def _index(self) -> Path:
        return self._folder / "report" / "index.json"

    async def judge_server(self, url: str) -> None:
        """Run the fuzzing client against the server at ``url``, until it has ended."""
        spec = {"servers": [{"agent": AGENT, "url": url}]}
        async with self._process("fuzzingclient", spec) as process:
            await process.wait()

    @contextlib.asynccontextmanager
    async def fuzzing_server(self) -> AsyncIterator[str]:
        """Run the fuzzing server on a free port of the loopback; gives its URL. It is stopped in the end."""
        for _ in range(TRIES):
            url = f"ws://127.0.0.1:{free_port()}"
            async with self._process("fuzzingserver", {"url": url}) as process:
                if await self._answers(url, process):
                    yield url
                    return
        raise SuiteError(f"the fuzzing server does not listen; see {self.log}")

    async def _answers(self, url: str, process: asyncio.subprocess.Process) -> bool:
        host, _, port = url.removeprefix("ws://").partition(":")
        async with asyncio.timeout(STARTING_SECONDS):
            while process.returncode is None:
                with contextlib.suppress(OSError):
                    _, writer = await asyncio.open_connection(host, int(port))
                    writer.close()
                    return "Fuzzing Server" in self.log.read_text(errors="replace")
                await asyncio.sleep(0.05)
        return False

    @contextlib.asynccontextmanager
    async def _process(self, mode: str, spec: dict[str, object]) -> AsyncIterator[asyncio.subprocess.Process]:
        path = self._folder / "spec.json"
        outdir = str(self._folder / "report")
        path.write_text(json.dumps({"outdir": outdir, "options": {}, **spec, "cases": self._cases}, indent=1))
        with self.log.open("wb") as log:
            # A session of its own, so that its end takes with it whatever it has started.
            process = await asyncio.create_subprocess_exec(
                *(str(self._wstest), "-m", mode, "-s", str(path), "-u", "0"),
                stdin=asyncio.subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        try:
            yield process
        finally:
            await end(process)

    def found(self) -> dict[str, Verdict]:
        """What the report says: behaviour and close behaviour of each case."""
        try:
            agents = json.loads(self._index.read_text())
        except (OSError, ValueError):
            raise SuiteError(f"no report was written; see {self.log}") from None
        return {
            case: Verdict(result["behavior"], result["behaviorClose"]) for case, result in agents.get(AGENT, {}).items()
        }


async def end(process: asyncio.subprocess.Process) -> None:
    """Stop what we started, and its children; by force if it does not."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        if process.returncode is not None:
            return
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, number)
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(process.wait(), ENDING_SECONDS)


def free_port() -> int:
    """A TCP port of the loopback that nobody has just now."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])
