"""A process that is many WebSocket clients, and the commands that it is given."""

import contextlib
import subprocess
import sys
from collections.abc import Sequence
from types import TracebackType
from typing import Any, Self

import msgspec

__all__ = ["Generator", "Latency", "LoadError", "Report"]

END_SECONDS = 10.0
"""How long the process may take to end once its input has ended."""


class LoadError(Exception):
    """A command that cannot be carried out, or connections that went wrong where none should."""


class Latency(msgspec.Struct, frozen=True):
    """From the sending of a message to its answer, or of a whole handshake, in seconds; at most 1/32 too high.

    The next message waits for an answer, so this is the latency of a peer that is patient: not that of an open load.
    """

    p50: float
    p90: float
    p99: float
    max: float


class Report(msgspec.Struct, frozen=True):
    """What one command did.

    Attributes:
        connections: open now.
        messages: answered, and rightly; for ``refused`` responses with the expected status, for ``close`` connections
            that were closed in order.
        bytes_sent: octets, with the frames' headers and the opening handshakes.
        bytes_received: the same.
        pings: Pings of the server that were answered.
        extensions: opening handshakes in which an extension was agreed on.
        seconds: that it took.
        cpu_seconds: of the generator's thread.
        errors: connections that went wrong, by kind ("answer-timeout", "payload", ...); all kinds: ``loadgen.h``.
        details: of the first error of each kind, a number: errno, status, close code, length or position.
        latency: of the answers; of whole opening handshakes, refusals, closing handshakes.
    """

    connections: int
    messages: int
    bytes_sent: int
    bytes_received: int
    pings: int
    extensions: int
    seconds: float
    cpu_seconds: float
    errors: dict[str, int]
    details: dict[str, int]
    latency: Latency

    @property
    def busy(self) -> float:
        """Share of the time in which the generator computed: near 1 it was the bottleneck, and not the server."""
        return self.cpu_seconds / self.seconds if self.seconds else 0.0

    def faultless(self) -> Self:
        """The report itself.

        Raises:
            LoadError: a connection went wrong.
        """
        if self.errors:
            said = ", ".join(f"{count} x {kind} (first: {self.details[kind]})" for kind, count in self.errors.items())
            raise LoadError(f"connections went wrong: {said}")
        return self


class Generator:
    """A ``Load`` (see ``_loadgen``) in a process of its own: same arguments, same methods, its reports as Structs.

    Between two commands it answers the server's Pings.

    Raises:
        LoadError: an argument is out of its range, or the process ended.
    """

    def __init__(self, host: str, port: int, **options: Any) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "framewarden.apps.bench"], stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )
        try:
            self._ask("Load", host, port, **options)
        except BaseException:
            self.end()
            raise

    @property
    def pid(self) -> int:
        """Of its process."""
        return self._process.pid

    def open(self, *, at_once: int = 128) -> Report:
        """Open all connections, at most ``at_once`` in their opening handshake at a time."""
        return self._command("open", at_once=at_once)

    def exchange(
        self,
        *,
        size: int,
        opcode: int = 1,
        in_flight: int = 1,
        refill: int | None = None,
        messages: int | None = None,
        seconds: float | None = None,
    ) -> Report:
        """Send messages of ``size`` octets on every open connection and check their echoes: see ``Load.exchange``."""
        limits = {"messages": messages, "seconds": seconds}
        return self._command("exchange", size=size, opcode=opcode, in_flight=in_flight, refill=refill, **limits)

    def hold(self, *, seconds: float) -> Report:
        """Answer Pings for some seconds, and report them."""
        return self._command("hold", seconds=seconds)

    def close(self, *, at_once: int = 1024) -> Report:
        """Do the closing handshake on every open connection."""
        return self._command("close", at_once=at_once)

    def refused(self, count: int, *, at_once: int = 16, status: int = 401) -> Report:
        """Be refused ``count`` times with ``status``."""
        return self._command("refused", count, at_once=at_once, status=status)

    def end(self) -> None:
        """End the process; its sockets are closed, with no closing handshake."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        with contextlib.suppress(OSError):
            self._process.stdin.close()
        try:
            self._process.wait(END_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._process.stdout.close()

    def __enter__(self) -> Self:
        """Nothing more than the object."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End the process."""
        self.end()

    def _command(self, name: str, *arguments: Any, **options: Any) -> Report:
        return msgspec.convert(self._ask(name, *arguments, **options), Report)

    def _ask(self, name: str, *arguments: Any, **options: Any) -> Any:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        try:
            self._process.stdin.write(msgspec.json.encode([name, arguments, options]) + b"\n")
            self._process.stdin.flush()
            line = self._process.stdout.readline()
        except OSError:
            line = b""
        if not line:
            raise LoadError(f"the load generator has ended with exit code {self._process.wait(END_SECONDS)}")
        answer = msgspec.json.decode(line)
        if "error" in answer:
            raise LoadError(f"{name}: {answer['error']}")
        return answer["report"]


def sources(count: int) -> Sequence[str]:
    """Loopback addresses to connect from, the first ``count`` of 127.0.0.1 to 127.0.0.254."""
    if not 0 < count < 255:
        raise LoadError(f"there are 1 to 254 source addresses, not {count}")
    return [f"127.0.0.{last}" for last in range(1, count + 1)]
