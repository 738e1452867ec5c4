"""``framewarden serve`` as a process: it listens, answers, and stops when it is told to."""

import re
import signal
import subprocess
import sys

import pytest
import trustme
import websockets.sync.client

HANDLER = """
from framewarden.session import Handler

class Shout(Handler):
    def on_message(self, session, message):
        session.send(message.upper())
"""


def start(*arguments, cwd):
    """The process and the URL that it listens on."""
    process = subprocess.Popen(
        [sys.executable, "-m", "framewarden", "serve", "--port", "0", *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        cwd=cwd,
    )
    line = process.stdout.readline()
    found = re.search(r"wss?://\S+", line)
    assert found, line + process.stdout.read()
    return process, found[0]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_it_serves_until_a_signal_and_says_going_away(tmp_path, number):
    (tmp_path / "shouting.py").write_text(HANDLER)
    (tmp_path / "policy.toml").write_text("[limits]\nmax_message_bytes = 100\ndrain_seconds = 0.5\n")
    process, url = start("shouting:Shout", "--policy", "policy.toml", cwd=tmp_path)
    with process, websockets.sync.client.connect(url) as client:
        client.send("hello")
        assert client.recv(timeout=5) == "HELLO"
        process.send_signal(number)
        with pytest.raises(websockets.ConnectionClosedOK):
            client.recv(timeout=5)
        assert client.close_code == 1001
        out, _ = process.communicate(timeout=10)
        assert process.returncode == 0
        assert "Traceback" not in out


def test_tls(tmp_path):
    import ssl

    authority = trustme.CA()
    authority.issue_cert("127.0.0.1").private_key_and_cert_chain_pem.write_to_path(tmp_path / "server.pem")
    context = ssl.create_default_context()
    authority.configure_trust(context)
    process, url = start("--tls-cert", "server.pem", cwd=tmp_path)
    with process:
        assert url.startswith("wss://")
        with websockets.sync.client.connect(url, ssl=context) as client:
            client.send("hello")
            assert client.recv(timeout=5) == "hello"
        process.terminate()
        process.communicate(timeout=10)
        assert process.returncode == 0
