"""A server as a program: it runs until a signal, drains, and reads its policy again when it is told to."""

import asyncio
import contextlib
import inspect
import logging
import signal
import socket
import ssl as ssl_module
from collections.abc import Callable, Coroutine, Iterator
from types import FrameType

import uvloop

from framewarden.admission import format_host
from framewarden.errors import FramewardenError
from framewarden.policy import Policy
from framewarden.session import Handler
from framewarden.transports.server import BACKLOG, HARDENED, Carrier, Server
from framewarden.transports.workers import READY, RELOAD, STOP, Supervisor, reserve

__all__ = ["Reload", "serve"]

_log = logging.getLogger("framewarden.server")

STOPPING = (signal.SIGINT, signal.SIGTERM)

Reload = Callable[[], tuple[Policy | None, ssl_module.SSLContext | None]]
"""Reads policy and certificates again, at SIGHUP. None in place of one: the one in force stays. Raises FramewardenError
or OSError: everything stays."""


def serve(
    handler: Handler | type[Handler] | None = None,
    policy: Policy = HARDENED,
    host: str = "127.0.0.1",
    port: int = 8765,
    *,
    ssl: ssl_module.SSLContext | None = None,
    backlog: int = BACKLOG,
    carrier: Carrier = "picows",
    workers: int = 1,
    on_start: Callable[[str], None] | None = None,
    on_reload: Reload | None = None,
) -> None:
    """Serve on uvloop until SIGINT or SIGTERM. Call it in the main thread.

    The first signal drains (:meth:`Server.drain`), a second one ends the process at once. SIGHUP calls ``on_reload``.

    Args:
        handler: as in :class:`Server`, like the arguments that follow. With several workers each makes its own object
            of a class; an object is copied into each.
        policy: see there.
        host: see there.
        port: see there.
        ssl: see there.
        backlog: see there.
        carrier: see there.
        workers: processes that serve the port. Above 1 this process only watches over them (:class:`Supervisor`): it
            starts one again that died, and what it is told by signals it tells them.
        on_start: called once, with the URL, when connections are accepted, with several workers: by all of them.
        on_reload: what SIGHUP does; None: what it does to any process.

    Raises:
        PolicyError: the policy contradicts itself or is unsafe for this address.
        OSError: the address cannot be listened on.
        FramewardenError: no worker could be started.
    """
    settings = _Settings(policy, ssl, on_reload)
    tell = on_start or (lambda url: None)

    def make(handler: Handler | type[Handler] | None, port: int) -> Server:
        now = settings
        return Server(handler, now.policy, host, port, ssl=now.ssl, backlog=backlog, carrier=carrier, workers=workers)

    if workers == 1:
        with _handlers_restored():
            _run(_serve_alone(make(handler, port), settings, tell))
        return
    judge = make(_unmade(handler), port)  # what is wrong with the policy is said here, and not by every worker
    with reserve(host, port) as addresses:
        names, chosen = [name for name, _ in addresses], addresses[0][1]
        judge.check_exposure(policy, names)

        def adopt(policy: Policy | None, ssl: ssl_module.SSLContext | None) -> None:
            if policy is not None:
                judge.check_exposure(policy, names)
            judge.reload(policy, ssl)

        Supervisor(
            lambda orders: _run(_serve_as_worker(make(handler, chosen), settings, orders)),
            workers,
            ready=lambda: tell(f"{'ws' if ssl is None else 'wss'}://{format_host(*addresses[0])}"),
            reload=None if on_reload is None else lambda: settings.reload(adopt),
            drain_seconds=lambda: settings.policy.limits.drain_seconds,
        ).run()


def _unmade(handler: Handler | type[Handler] | None) -> Handler | type[Handler] | None:
    """What a class says of itself, as whether it authenticates, without an object of it: making one is the workers'."""
    if not (inspect.isclass(handler) and issubclass(handler, Handler)):
        return handler
    said = {"authenticate": handler.authenticate, "challenge": handler.challenge}
    unmade: Handler = type("Unmade", (Handler,), said)()
    return unmade


class _Settings:
    """What is in force, and what reads it again."""

    def __init__(self, policy: Policy, ssl: ssl_module.SSLContext | None, on_reload: Reload | None) -> None:
        self.policy = policy
        self.ssl = ssl
        self.on_reload = on_reload

    def reload(self, apply: Callable[[Policy | None, ssl_module.SSLContext | None], None]) -> bool:
        """Read again and ``apply`` that; whether it is in force now. Where it is not, the log has one line."""
        if self.on_reload is None:
            return False
        try:
            policy, ssl = self.on_reload()
            apply(policy, ssl)
        except (FramewardenError, OSError) as error:
            _log.error("not reloaded, everything stays as it was: %s", error)
            return False
        self.policy = self.policy if policy is None else policy
        self.ssl = self.ssl if ssl is None else ssl
        _log.info("reloaded: new connections are judged by what was read")
        return True


async def _serve_alone(server: Server, settings: _Settings, tell: Callable[[str], None]) -> None:
    loop = asyncio.get_running_loop()
    stop = asyncio.Event()

    def told_to_stop(number: int, frame: FrameType | None) -> None:
        # A handler of Python's own and not of the loop, and what is default for the next signal: it ends the process
        # even if the application keeps the loop busy for ever.
        for each in STOPPING:
            signal.signal(each, signal.SIG_DFL)
        loop.call_soon_threadsafe(stop.set)

    def told_to_reload(number: int, frame: FrameType | None) -> None:
        loop.call_soon_threadsafe(settings.reload, server.reload)

    for number in STOPPING:
        signal.signal(number, told_to_stop)
    if settings.on_reload is not None:
        signal.signal(signal.SIGHUP, told_to_reload)
    async with server:
        tell(server.url)
        await stop.wait()
        await server.drain()


async def _serve_as_worker(server: Server, settings: _Settings, orders: socket.socket) -> None:
    loop = asyncio.get_running_loop()
    stop = asyncio.Event()

    def told_to_stop(number: int, frame: FrameType | None) -> None:
        loop.call_soon_threadsafe(stop.set)

    def hear() -> None:
        said = orders.recv(64)
        if RELOAD in said:
            settings.reload(server.reload)
        if STOP in said or not said:
            loop.remove_reader(orders)
            stop.set()
        if not said:
            _log.error("the supervisor is gone: draining")

    signal.signal(signal.SIGTERM, told_to_stop)
    orders.setblocking(False)
    async with server:
        orders.send(READY)
        loop.add_reader(orders, hear)
        await stop.wait()
        await server.drain()
        loop.remove_reader(orders)


def _run(main: Coroutine[None, None, None]) -> None:
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(main)


@contextlib.contextmanager
def _handlers_restored() -> Iterator[None]:
    """Whoever called ``serve`` gets the handlers of signals back."""
    before = {number: signal.getsignal(number) for number in (*STOPPING, signal.SIGHUP)}
    try:
        yield
    finally:
        for number, handler in before.items():
            if handler is not None:  # else it was not Python that installed it
                signal.signal(number, handler)
