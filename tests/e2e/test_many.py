"""Eight thousand connections at a time, on each carrier: opened, held, an echo each, closed without an error."""

import subprocess
import sys
from pathlib import Path

import pytest

from framewarden.apps.bench import Generator
from framewarden.apps.bench.generator import sources

ROOT = Path(__file__).resolve().parents[2]
CONNECTIONS = 8000
CARRIERS = ["picows", "lean"]


@pytest.mark.requires("open-files")
@pytest.mark.parametrize("carrier", CARRIERS)
def test_many_connections(carrier):
    command = [sys.executable, "-m", "tests.e2e.many_server", carrier]
    pipes = dict.fromkeys(("stdin", "stdout", "stderr"), subprocess.PIPE)
    with subprocess.Popen(command, cwd=ROOT, text=True, **pipes) as server:
        try:
            port = int(server.stdout.readline())
            addresses = sources(4)
            with Generator("127.0.0.1", port, connections=CONNECTIONS, sources=addresses, timeout=20.0) as load:
                assert load.open(at_once=512).faultless().connections == CONNECTIONS
                assert load.hold(seconds=0.5).faultless().connections == CONNECTIONS
                assert load.exchange(size=32, messages=1).faultless().messages == CONNECTIONS
                assert load.close().faultless().messages == CONNECTIONS
            events, complaints = server.communicate(timeout=20)
        finally:
            server.kill()
    assert (events.strip(), complaints, server.returncode) == ("0", "", 0)
