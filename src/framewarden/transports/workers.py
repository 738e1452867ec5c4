"""Several processes that serve one port, and the one that watches over them.

Each worker listens on the port for itself (SO_REUSEPORT), and the kernel deals the connections out. The supervisor is
forked from before there is any event loop or thread, so a handler that is an object reaches the workers as it is.

A socket pair joins the supervisor with each worker. Orders go through it and not as signals: a terminal or a service
manager sends its signals to every process of the group, and a worker could not tell them from a second, impatient one.
And it ends when the supervisor does, however that dies: no worker stays behind.
"""

import contextlib
import logging
import os
import selectors
import signal
import socket
import sys
import time
from collections.abc import Callable, Iterator
from types import FrameType

from framewarden.admission import HostPort, describe_error
from framewarden.errors import FramewardenError
from framewarden.transports.acceptor import listen

__all__ = ["READY", "RELOAD", "STOP", "Supervisor", "backoff", "reserve"]

_log = logging.getLogger("framewarden.workers")

READY = b"R"
"""A worker says: it accepts connections."""
FAILED = b"F"
"""A worker says: it ends, for the reason that follows."""
STOP = b"S"
"""A worker is told to drain and end."""
RELOAD = b"L"
"""A worker is told to read policy and certificates again."""

STEADY_SECONDS = 10.0
"""A worker that lived so long was a good one: the next is started at once."""
FIRST_WAIT_SECONDS = 0.1
LONGEST_WAIT_SECONDS = 30.0
STARTS = 5
"""So often in a row may every worker die before it accepts connections; then the supervisor gives up."""
GRACE_SECONDS = 5.0
"""How much longer than ``drain_seconds`` a worker may take until it is killed."""
LARGEST_REPORT = 2000


def backoff(failures: int) -> float:
    """Seconds until a worker is started again that died early ``failures`` times in a row."""
    if failures == 0:
        return 0.0
    return min(FIRST_WAIT_SECONDS * 2.0 ** min(failures - 1, 30), LONGEST_WAIT_SECONDS)


@contextlib.contextmanager
def reserve(host: str, port: int) -> Iterator[list[HostPort]]:
    """Keep a port, any free one for 0, for processes that will share it. Gives the addresses and the port.

    Raises:
        OSError: the address cannot be listened on, or somebody does already.
    """
    # A port that is to be shared would be shared with any other server of this user: look first whether it is free.
    alone = listen(host, port, None)
    chosen = alone[0].getsockname()[1]
    for sock in alone:
        sock.close()
    kept = listen(host, chosen, None, shared=True)
    try:
        yield [sock.getsockname()[:2] for sock in kept]
    finally:
        for sock in kept:
            sock.close()


class Worker:
    """One process, as the supervisor sees it."""

    def __init__(self, pid: int, orders: socket.socket) -> None:
        self.pid = pid
        self.orders = orders
        self.started = time.monotonic()
        self.ready = False
        self.report = b""

    def order(self, what: bytes) -> None:
        """Send an order; one that is gone needs none."""
        with contextlib.suppress(OSError):
            self.orders.send(what)

    def hear(self) -> None:
        """Take in what it says."""
        with contextlib.suppress(OSError):
            while said := self.orders.recv(LARGEST_REPORT):
                self.report = (self.report + said)[:LARGEST_REPORT]
        if self.report.startswith(READY):
            self.ready = True
            self.report = self.report[1:]

    @property
    def failure(self) -> str:
        """Why it ended, in its own words; "" where it said none."""
        return self.report[1:].decode(errors="replace") if self.report.startswith(FAILED) else ""


class Place:
    """A worker, or the time at which there is one again."""

    def __init__(self) -> None:
        self.worker: Worker | None = None
        self.due = 0.0
        self.early_deaths = 0
        self.failed_starts = 0
        self.was_ready = False


class Supervisor:
    """Starts workers, starts those again that die, and tells them what it is told by signals.

    SIGTERM and SIGINT: the workers drain, then ``run`` returns; those that take too long are killed. A second one ends
    all processes at once. SIGHUP: the workers reload.

    Args:
        work: what a worker does. Called in each with a socket: it sends READY, then obeys STOP and RELOAD, and
            returns when the socket ends.
        count: how many workers.
        ready: called once, when all accept connections.
        reload: called at SIGHUP; whether the workers are to do the same. None: SIGHUP does what it does.
        drain_seconds: how long a worker may drain.
    """

    def __init__(
        self,
        work: Callable[[socket.socket], None],
        count: int,
        *,
        ready: Callable[[], None],
        reload: Callable[[], bool] | None,
        drain_seconds: Callable[[], float],
    ) -> None:
        self._work = work
        self._places = [Place() for _ in range(count)]
        self._ready = ready
        self._reload = reload
        self._drain_seconds = drain_seconds
        self._told_ready = False
        self._stops: list[int] = []
        self._reload_wanted = False
        self._kill_at: float | None = None
        self._bell, self._rope = socket.socketpair()
        self._selector = selectors.DefaultSelector()

    @property
    def _workers(self) -> list[Worker]:
        return [place.worker for place in self._places if place.worker is not None]

    def run(self) -> None:
        """Supervise until told to stop.

        Raises:
            FramewardenError: no worker could be started.
        """
        self._selector.register(self._bell, selectors.EVENT_READ)
        try:
            with self._signals():
                while self._kill_at is None or self._workers:
                    self._start_what_is_due()
                    self._wait()
                    self._hear()
                    self._bury()
                    self._obey()
        finally:
            self._kill("")
            self._selector.close()
            self._bell.close()
            self._rope.close()

    # Signals

    @contextlib.contextmanager
    def _signals(self) -> Iterator[None]:
        numbers = [signal.SIGTERM, signal.SIGINT, signal.SIGCHLD, *([] if self._reload is None else [signal.SIGHUP])]
        before = {number: signal.signal(number, self._signalled) for number in numbers}
        self._bell.setblocking(False)
        self._rope.setblocking(False)
        descriptor = signal.set_wakeup_fd(self._rope.fileno(), warn_on_full_buffer=False)
        try:
            yield
        finally:
            signal.set_wakeup_fd(descriptor)
            for number, handler in before.items():
                signal.signal(number, handler)

    def _signalled(self, number: int, frame: FrameType | None) -> None:
        """The rope has rung the bell already; this only says what for."""
        if number == signal.SIGHUP:
            self._reload_wanted = True
        elif number != signal.SIGCHLD:
            self._stops.append(number)

    def _obey(self) -> None:
        if len(self._stops) > 1:
            self._kill("")
            signal.signal(self._stops[1], signal.SIG_DFL)
            os.kill(os.getpid(), self._stops[1])
        if self._stops and self._kill_at is None:
            self._kill_at = time.monotonic() + self._drain_seconds() + GRACE_SECONDS
            for worker in self._workers:
                worker.order(STOP)
        if self._kill_at is not None and time.monotonic() >= self._kill_at:
            self._kill("took too long to drain")
        if self._reload_wanted:
            self._reload_wanted = False
            if self._reload is not None and self._reload():
                for worker in self._workers:
                    worker.order(RELOAD)

    # The life of a worker

    def _start_what_is_due(self) -> None:
        now = time.monotonic()
        for place in self._places:
            if place.worker is None and place.due <= now and not self._stops:
                try:
                    self._start(place)
                except OSError as error:  # no process or no descriptor is left: those that work go on
                    if not self._told_ready:
                        raise
                    place.early_deaths += 1
                    seconds = _postpone(place)
                    _log.error("a worker cannot be started: %s; trying again in %g s", error.strerror, seconds)

    def _start(self, place: Place) -> None:
        ours, theirs = socket.socketpair()
        sys.stdout.flush()
        sys.stderr.flush()
        try:
            pid = os.fork()
        except OSError:
            ours.close()
            theirs.close()
            raise
        if pid == 0:
            ours.close()
            self._become_worker(theirs)
        theirs.close()
        ours.setblocking(False)
        place.worker = Worker(pid, ours)
        self._selector.register(ours, selectors.EVENT_READ)

    def _become_worker(self, orders: socket.socket) -> None:
        """In the new process: let go of what is the supervisor's, work, and never return."""
        code = 1
        try:
            signal.set_wakeup_fd(-1)
            for number in (signal.SIGINT, signal.SIGHUP):  # they go to the whole group of a terminal; orders come
                signal.signal(number, _ignore)
            for number in (signal.SIGTERM, signal.SIGCHLD):
                signal.signal(number, signal.SIG_DFL)
            self._selector.close()
            for sock in (self._bell, self._rope, *(worker.orders for worker in self._workers)):
                sock.close()  # else a worker would keep the others from seeing the end of the supervisor
            self._work(orders)
            code = 0
        except BaseException as error:  # noqa: BLE001  # user code raises what it likes, and nothing may pass the fork
            reason = str(error)
            if not isinstance(error, FramewardenError | OSError):
                _log.debug("the worker failed: %s", describe_error(error))
                reason = f"{type(error).__name__}: {reason}"
            with contextlib.suppress(OSError):
                orders.send(FAILED + reason.encode()[: LARGEST_REPORT - 2])
        finally:
            with contextlib.suppress(Exception):
                logging.shutdown()
                sys.stdout.flush()
                sys.stderr.flush()
            os._exit(code)

    def _wait(self) -> None:
        """Until a signal, a worker that says something, or the next time that something is due."""
        if self._stops:
            times = [] if self._kill_at is None else [self._kill_at]
        else:
            times = [place.due for place in self._places if place.worker is None]
        timeout = max(0.0, min(times) - time.monotonic()) if times else None
        self._selector.select(timeout)
        with contextlib.suppress(BlockingIOError):
            while self._bell.recv(4096):
                pass

    def _hear(self) -> None:
        for place in self._places:
            worker = place.worker
            if worker is None:
                continue
            worker.hear()
            if worker.ready:
                place.was_ready = True
                place.failed_starts = 0
        if not self._told_ready and all(place.was_ready for place in self._places) and not self._stops:
            self._told_ready = True
            self._ready()

    def _bury(self) -> None:
        """Take leave of workers that have ended, and say when there is a new one."""
        for place in self._places:
            worker = place.worker
            if worker is None:
                continue
            pid, status = os.waitpid(worker.pid, os.WNOHANG)
            if pid == 0:
                continue
            worker.hear()
            place.worker = None
            self._selector.unregister(worker.orders)
            worker.orders.close()
            if not self._stops:
                self._replace(place, worker, status)

    def _replace(self, place: Place, worker: Worker, status: int) -> None:
        why = worker.failure or _describe(status)
        if worker.failure and not self._told_ready:
            raise FramewardenError(why)  # it was not killed: the next one would say the same
        lived = time.monotonic() - worker.started
        place.early_deaths = 0 if worker.ready and lived >= STEADY_SECONDS else place.early_deaths + 1
        if not worker.ready:
            place.failed_starts += 1
            if all(each.failed_starts >= STARTS for each in self._places):
                raise FramewardenError(f"no worker lives long enough to accept a connection; the last one: {why}")
        seconds = _postpone(place)
        _log.error("worker %d ended: %s; starting another in %g s", worker.pid, why, seconds)

    def _kill(self, why: str) -> None:
        """End what is left."""
        for place in self._places:
            worker = place.worker
            if worker is None:
                continue
            if why:
                _log.error("worker %d %s: killed", worker.pid, why)
            with contextlib.suppress(ProcessLookupError):
                os.kill(worker.pid, signal.SIGKILL)
            os.waitpid(worker.pid, 0)
            worker.orders.close()
            place.worker = None


def _postpone(place: Place) -> float:
    """Set the time of the next start. Returns the seconds until then."""
    seconds = backoff(place.early_deaths)
    place.due = time.monotonic() + seconds
    return seconds


def _ignore(number: int, frame: FrameType | None) -> None:
    """Not SIG_IGN, which programs that a handler starts would inherit."""


def _describe(status: int) -> str:
    code = os.waitstatus_to_exitcode(status)
    return signal.Signals(-code).name if code < 0 else f"exit code {code}"
