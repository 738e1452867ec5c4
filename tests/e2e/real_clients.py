"""Node's ``ws`` and Chromium, driven from a test; and a server in a thread of its own, for tests that are not async."""

import asyncio
import base64
import contextlib
import itertools
import json
import os
import queue
import shutil
import subprocess
import threading
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import uvloop

from tests.e2e.harness import serving

HERE = Path(__file__).parent
PATIENCE = 15.0
"""Seconds for one answer of a client."""
NAME_THAT_IS_REBOUND = "rebound.example"
"""Chromium finds it at 127.0.0.1, as after an attacker's DNS has changed its answer."""


class Loop:
    """An event loop in a thread, for servers."""

    def __init__(self):
        self._loop = uvloop.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="servers")
        self._thread.start()

    def run(self, coroutine):
        """Its result."""
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop).result(PATIENCE)

    def call(self, function, *arguments):
        """Call it in the loop, as what belongs to a server must be."""

        async def inside():
            return function(*arguments)

        return self.run(inside())

    @contextlib.contextmanager
    def serving(self, *arguments, **options):
        """As the harness's, for a test that is not async."""
        manager = serving(*arguments, **options)
        server = self.run(manager.__aenter__())
        try:
            yield server
        finally:
            self.run(manager.__aexit__(None, None, None))

    def close(self):
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(PATIENCE)
        self._loop.close()


class Socket:
    """One WebSocket of a real client."""

    def __init__(self, client, number):
        self._call = partial(client.call, id=number)
        self.opened = None

    def send(self, *messages):
        """Text for ``str``, Binary for ``bytes``."""
        self._call("send", messages=[_to_json(message) for message in messages])

    def receive(self, count=1):
        """The next messages; None for those that do not come, because it has closed."""
        return [_from_json(message) for message in self._call("receive", count=count)]

    def close(self, code, reason=""):
        self._call("close", code=code, reason=reason)

    def closed(self):
        """Code, reason and whether it was clean, when it has closed."""
        end = self._call("closed")
        return end["code"], end["reason"], end["clean"]


def _to_json(message):
    return {"text": message} if isinstance(message, str) else {"binary": base64.b64encode(message).decode()}


def _from_json(message):
    if message is None:
        return None
    return message["text"] if "text" in message else base64.b64decode(message["binary"])


class Client:
    """What both have in common. ``call`` carries out a function of real_client.js."""

    def __init__(self):
        self._numbers = itertools.count()

    def open(self, url, protocols=(), **how):
        """A Socket; its ``opened`` is None where the server refused it, else what the client says was agreed."""
        number = next(self._numbers)
        socket = Socket(self, number)
        socket.opened = self.call("open", id=number, url=url, protocols=list(protocols), options=self.options(**how))
        return socket


class Node(Client):
    """Node with ``ws``.

    Args:
        modules: the folder that ``ws`` is in.
        authority: certificate that it trusts, a file.
    """

    def __init__(self, modules, authority):
        super().__init__()
        self._authority = authority
        self._process = subprocess.Popen(
            ("node", HERE / "real_client_node.js"),
            env={**os.environ, "NODE_PATH": str(modules)},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            encoding="utf-8",
        )
        self._answers = queue.Queue()
        self._reader = threading.Thread(target=self._read)
        self._reader.start()

    def _read(self):
        for line in self._process.stdout:
            self._answers.put(json.loads(line))

    def options(self, *, origin=None, compression=True):
        return {"ca": Path(self._authority).read_text(), "perMessageDeflate": compression} | (
            {"origin": origin} if origin else {}
        )

    def call(self, name, **argument):
        self._process.stdin.write(json.dumps({"number": 0, "name": name, "argument": argument}) + "\n")
        self._process.stdin.flush()
        return self._answers.get(timeout=PATIENCE)["result"]

    def close(self):
        self._process.stdin.close()
        try:
            self._process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            self._process.kill()
            raise
        finally:
            self._reader.join(PATIENCE)
            self._process.stdout.close()


class Page(BaseHTTPRequestHandler):
    """A page with nothing on it."""

    def do_GET(self):
        self.send_response(200)
        self.send_header("Content-Type", "text/html")
        self.end_headers()
        self.wfile.write(b"<!doctype html><title>page</title>")

    def log_message(self, *arguments):
        pass


class Chromium(Client):
    """Headless Chromium with a page of ``http://127.0.0.1``; ``go`` takes it to another origin."""

    def __init__(self):
        from playwright.sync_api import sync_playwright

        super().__init__()
        self._pages = ThreadingHTTPServer(("127.0.0.1", 0), Page)
        self._thread = threading.Thread(target=self._pages.serve_forever, kwargs={"poll_interval": 0.05})
        self._thread.start()
        self.port = self._pages.server_address[1]
        self._playwright = sync_playwright().start()
        self._browser = self._playwright.chromium.launch(
            executable_path=shutil.which("chromium"),
            args=[
                "--ignore-certificate-errors",  # the CA is the test's
                f"--host-resolver-rules=MAP {NAME_THAT_IS_REBOUND} 127.0.0.1",
                # Else a browser asks its user before a page of one address talks to another; here the server decides.
                "--disable-features=LocalNetworkAccessChecks",
            ],
            chromium_sandbox=os.geteuid() != 0,
        )
        self._page = self._browser.new_page()
        self._page.set_default_timeout(PATIENCE * 1000)
        self.go("127.0.0.1")

    def go(self, host):
        """Load the page from ``host``, which leads here; returns its origin."""
        self._page.goto(f"http://{host}:{self.port}/")
        self._page.evaluate((HERE / "real_client.js").read_text())
        return f"http://{host}:{self.port}"

    def options(self, *, origin=None, compression=True):
        """A page can choose neither: its origin is where it is from, and what is offered is the browser's matter."""
        assert origin is None or origin == self._page.evaluate("location.origin")

    def call(self, name, **argument):
        return self._page.evaluate(f"(argument) => client.{name}(argument)", argument)

    def close(self):
        self._browser.close()
        self._playwright.stop()
        self._pages.shutdown()
        self._thread.join(PATIENCE)
        self._pages.server_close()
