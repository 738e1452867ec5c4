"""``framewarden serve`` as a process: it listens, answers, drains, and reads its files again."""

import asyncio
import contextlib
import os
import re
import signal
import ssl
import subprocess
import sys
import time
from pathlib import Path

import pytest
import trustme
import websockets.asyncio.client
from websockets.exceptions import ConnectionClosed, InvalidMessage
from websockets.sync.client import connect

HANDLERS = """
import os

from framewarden import Handler


class Shout(Handler):
    def on_message(self, session, message):
        session.send(message.upper())


class Pid(Handler):
    def on_message(self, session, message):
        session.send(str(os.getpid()))


class Busy(Handler):
    def on_message(self, session, message):
        while True:
            pass


class Unmakeable(Handler):
    def __init__(self):
        raise ValueError("no database")


class Deadly(Handler):
    def __init__(self):
        os._exit(3)
"""
PATIENCE = 20


class Serving:
    """A server process, the lines that it has said, and where it listens."""

    def __init__(self, process):
        self.process = process
        self.pid = process.pid
        self.said = []

    def wait_for(self, pattern):
        """The next line that matches."""
        for line in self.process.stdout:
            self.said.append(line)
            found = re.search(pattern, line)
            if found:
                return found
        raise AssertionError("".join(self.said))

    def end(self):
        """Everything that was said. Standard output ends when no process has it open any more: workers are gone too."""
        out, _ = self.process.communicate(timeout=PATIENCE)
        self.said.append(out)
        return "".join(self.said)


@contextlib.contextmanager
def serving(folder, *arguments, policy="", port=0):
    (folder / "handlers.py").write_text(HANDLERS)
    (folder / "policy.toml").write_text(policy)
    with subprocess.Popen(
        [sys.executable, "-m", "framewarden", "serve", *arguments, "--port", str(port), "--policy", "policy.toml"],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        cwd=folder,
    ) as process:
        try:
            yield Serving(process)
        finally:
            process.terminate()
            try:
                process.wait(PATIENCE)
            finally:
                process.kill()


@contextlib.contextmanager
def ready(folder, *arguments, **options):
    with serving(folder, *arguments, **options) as server:
        server.url = server.wait_for(r"^framewarden listens on (wss?://\S+)$")[1]
        yield server


def ask(url):
    with connect(url) as client:
        client.send("who")
        return client.recv(timeout=PATIENCE)


def closing_code(client):
    with pytest.raises(ConnectionClosed) as closed:
        client.recv(timeout=PATIENCE)
    return closed.value.rcvd.code if closed.value.rcvd else None


@pytest.mark.parametrize(("number", "carrier"), [(signal.SIGINT, "picows"), (signal.SIGTERM, "lean")])
def test_it_serves_until_a_signal_and_says_going_away(tmp_path, number, carrier):
    policy = "[limits]\nmax_message_bytes = '100B'\ndrain_seconds = '200ms'\n"
    options = ("handlers:Shout", "--carrier", carrier)
    with ready(tmp_path, *options, policy=policy) as server, connect(server.url) as client:
        client.send("hello")
        assert client.recv(timeout=5) == "HELLO"
        server.process.send_signal(number)
        assert closing_code(client) == 1001
        assert "Traceback" not in server.end()
        assert server.process.returncode == 0


# Draining


def test_clients_are_told_at_different_moments(tmp_path):
    async def converse(url):
        async with contextlib.AsyncExitStack() as stack:
            clients = [await stack.enter_async_context(websockets.asyncio.client.connect(url)) for _ in range(20)]
            os.kill(server.pid, signal.SIGTERM)
            begun = time.monotonic()

            async def end(client):
                await client.wait_closed()
                return client.close_code, time.monotonic() - begun

            return await asyncio.wait_for(asyncio.gather(*map(end, clients)), PATIENCE)

    with ready(tmp_path, policy="limits.drain_seconds = '4s'") as server:
        ends = asyncio.run(converse(server.url))
        out = server.end()
        assert server.process.returncode == 0
    assert {code for code, _ in ends} == {1001}
    moments = [moment for _, moment in ends]
    assert max(moments) - min(moments) > 0.5  # 20 moments of 2 s are closer together once in 10^11 runs
    assert max(moments) < 4
    assert "draining: 20 connections, at most 4 s" in out


def test_nothing_is_accepted_while_it_drains(tmp_path):
    with ready(tmp_path, policy="limits.drain_seconds = 30") as server, connect(server.url):
        os.kill(server.pid, signal.SIGTERM)
        server.wait_for("draining: 1 connections")
        with pytest.raises(ConnectionRefusedError):
            connect(server.url, open_timeout=5).__enter__()
        server.process.kill()


@pytest.mark.parametrize("workers", ["1", "2"])
def test_who_does_not_answer_is_cut_off_at_the_deadline(tmp_path, workers):
    from framewarden.apps.cases.wire import Wire

    policy = "limits = { drain_seconds = '1s', close_seconds = '60s' }"
    with ready(tmp_path, "--workers", workers, policy=policy) as server:
        host, port = server.url.removeprefix("ws://").split(":")
        with Wire.to((host, int(port))) as stubborn:
            stubborn.upgrade()
            begun = time.monotonic()
            os.kill(server.pid, signal.SIGTERM)
            server.end()
            assert 0.9 < time.monotonic() - begun < 10
            assert server.process.returncode == 0
            assert stubborn.read_close()[0] == 1001
            assert stubborn.ends()


@pytest.mark.parametrize("workers", ["1", "2"])
def test_a_second_signal_ends_it_at_once(tmp_path, workers):
    policy = "limits.drain_seconds = '1h'"
    with ready(tmp_path, "--workers", workers, policy=policy) as server, connect(server.url):
        os.kill(server.pid, signal.SIGTERM)
        server.wait_for("draining: 1 connections")
        os.kill(server.pid, signal.SIGTERM)
        server.end()
        assert server.process.returncode == -signal.SIGTERM


def test_a_second_signal_ends_a_handler_that_never_returns(tmp_path):
    with ready(tmp_path, "handlers:Busy") as server, connect(server.url) as client:
        client.send("work")
        wait_until(lambda: processor_seconds(server.pid) > 1)
        os.kill(server.pid, signal.SIGINT)
        wait_until(lambda: ends_on(server.pid, signal.SIGINT))
        os.kill(server.pid, signal.SIGINT)
        server.end()
        assert server.process.returncode == -signal.SIGINT


def processor_seconds(pid):
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def ends_on(pid, number):
    """Whether a process leaves this signal to the system."""
    caught = int(re.search(r"^SigCgt:\s*(\w+)", Path(f"/proc/{pid}/status").read_text(), re.MULTILINE)[1], 16)
    return not caught >> (number - 1) & 1


def wait_until(condition):
    end = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.01)


# Reloading


@pytest.mark.parametrize("workers", ["1", "2"])
def test_a_new_policy_is_for_new_connections(tmp_path, workers):
    policy = "[limits]\nmax_message_bytes = {}\ndrain_seconds = '200ms'\n"
    options = ("handlers:Shout", "--workers", workers)
    with ready(tmp_path, *options, policy=policy.format("'1kB'")) as server, connect(server.url) as old:
        old.send("x" * 500)
        assert old.recv(timeout=PATIENCE) == "X" * 500
        (tmp_path / "policy.toml").write_text(policy.format("'100B'"))
        os.kill(server.pid, signal.SIGHUP)
        for _ in range(1 if workers == "1" else 3):
            server.wait_for("reloaded: new connections")
        for _ in range(4):
            with connect(server.url) as new:
                new.send("x" * 101)
                assert closing_code(new) == 1009
        old.send("y" * 500)
        assert old.recv(timeout=PATIENCE) == "Y" * 500

        (tmp_path / "policy.toml").write_text(policy.format("'1 mile'"))
        os.kill(server.pid, signal.SIGHUP)
        said = server.wait_for("ERROR .*not reloaded.*")[0]
        assert "policy.toml:2: limits.max_message_bytes must be a size" in said
        with connect(server.url) as new:
            new.send("x" * 101)
            assert closing_code(new) == 1009
        old.send("z" * 500)
        assert old.recv(timeout=PATIENCE) == "Z" * 500


def test_a_worker_that_is_started_later_has_the_policy_that_was_read_last(tmp_path):
    with ready(tmp_path, "handlers:Pid", "--workers", "2", policy="limits.drain_seconds = '200ms'") as server:
        (tmp_path / "policy.toml").write_text("limits.max_message_bytes = '10B'\n")
        os.kill(server.pid, signal.SIGHUP)
        for _ in range(3):
            server.wait_for("reloaded: new connections")
        first = pids(server.url)
        for worker in first:
            os.kill(worker, signal.SIGTERM)  # to one worker: it drains, and another takes its place
        for _ in first:
            server.wait_for(r"worker \d+ ended: exit code 0; starting another")

        def serves():
            with contextlib.suppress(OSError):
                return not pids(server.url) & first
            return False

        wait_until(serves)
        with connect(server.url) as client:
            client.send("x" * 11)
            assert closing_code(client) == 1009


def test_a_policy_that_the_server_cannot_serve_with_is_not_taken(tmp_path):
    with ready(tmp_path, "--workers", "2") as server:
        (tmp_path / "policy.toml").write_text("limits.max_connections = 5\n")
        os.kill(server.pid, signal.SIGHUP)
        assert "2 workers would allow 2 times as much" in server.wait_for("not reloaded.*")[0]
        assert ask(server.url) == "who"


def test_a_policy_that_is_unsafe_where_it_is_served_never_reaches_a_worker(tmp_path):
    safe = "access = { dangerous_allow_plaintext = true, dangerous_allow_anonymous = true }"
    with ready(tmp_path, "--workers", "2", "--host", "0.0.0.0", policy=safe) as server:
        (tmp_path / "policy.toml").write_text("access = { dangerous_allow_anonymous = true }")
        os.kill(server.pid, signal.SIGHUP)
        server.wait_for(rf"\[{server.pid}\] .*not reloaded.* without TLS")
        os.kill(server.pid, signal.SIGTERM)
        out = server.end()
        assert "] framewarden.server: reloaded" not in out


GUARDED = """
from framewarden import Handler, Identity

class Guarded(Handler):
    def __init__(self):
        self.token = open("token").read()

    def authenticate(self, request):
        return Identity(subject=self.token)

    def on_message(self, session, message):
        session.send(session.identity.subject)
"""


def test_a_class_is_made_by_the_workers_only(tmp_path):
    (tmp_path / "guarded.py").write_text(GUARDED)
    (tmp_path / "token").write_text("first")
    policy = (
        "access = { dangerous_allow_plaintext = true, hosts = ['127.0.0.1'], dangerous_allow_host_not_allowed = true }"
    )
    with ready(tmp_path, "guarded:Guarded", "--workers", "2", "--host", "0.0.0.0", policy=policy) as server:
        assert ask(server.url.replace("0.0.0.0", "127.0.0.1")) == "first"


class Secure:
    """A client over TLS without threads: that of websockets.sync reads in one and writes in another at the same time,
    which OpenSSL forbids for one SSL object; now and then neither goes on.
    """

    def __init__(self, url, context):
        self.runner = asyncio.Runner()
        self.connecting = websockets.asyncio.client.connect(url, ssl=context)

    def __enter__(self):
        with contextlib.ExitStack() as stack:
            stack.callback(self.runner.close)
            self.client = self.wait(self.connecting.__aenter__())
            stack.pop_all()
        return self

    def __exit__(self, *error):
        self.wait(self.client.close())
        self.runner.close()

    def wait(self, what):
        return self.runner.run(asyncio.wait_for(what, PATIENCE))

    def echo(self, text):
        self.wait(self.client.send(text))
        return self.wait(self.client.recv())


def serial(url, context):
    with Secure(url, context) as client:
        assert client.echo("who") == "who"
        return client.client.transport.get_extra_info("peercert")["serialNumber"]


@pytest.mark.parametrize("workers", ["1", "2"])
def test_a_new_certificate_is_for_new_connections(tmp_path, workers):
    authority = trustme.CA()
    context = ssl.create_default_context()
    authority.configure_trust(context)
    files = (tmp_path / "server.pem", tmp_path / "server.key")

    def issue():
        made = authority.issue_cert("127.0.0.1")
        made.cert_chain_pems[0].write_to_path(files[0])
        made.private_key_pem.write_to_path(files[1])

    issue()
    options = ("--tls-cert", "server.pem", "--tls-key", "server.key", "--workers", workers)
    policy = "limits = { drain_seconds = '200ms' }"
    with ready(tmp_path, *options, policy=policy) as server:
        assert server.url.startswith("wss://")
        with Secure(server.url, context) as old:
            first = serial(server.url, context)
            issue()
            os.kill(server.pid, signal.SIGHUP)
            for _ in range(1 if workers == "1" else 3):
                server.wait_for("reloaded: new connections")
            second = {serial(server.url, context) for _ in range(4)}
            assert len(second) == 1
            assert first not in second
            assert old.echo("still here") == "still here"

            files[1].write_text("no key")
            os.kill(server.pid, signal.SIGHUP)
            assert "server.pem, server.key: " in server.wait_for("not reloaded.*")[0]
            assert {serial(server.url, context)} == second


def test_clients_must_show_a_certificate(tmp_path):
    authority, other = trustme.CA(), trustme.CA()
    authority.issue_cert("127.0.0.1").private_key_and_cert_chain_pem.write_to_path(tmp_path / "server.pem")
    authority.cert_pem.write_to_path(tmp_path / "clients.pem")

    def context(issuer):
        made = ssl.create_default_context()
        authority.configure_trust(made)
        if issuer is not None:
            issuer.issue_cert("client.example").configure_cert(made)
        return made

    options = ("handlers:Shout", "--tls-cert", "server.pem", "--tls-client-ca", "clients.pem")
    with ready(tmp_path, *options) as server:
        with Secure(server.url, context(authority)) as client:
            assert client.echo("who") == "WHO"
        for wrong in (None, other):
            # In TLS 1.3 a client is done before the server has seen its certificate: nothing answers it then.
            with pytest.raises((OSError, EOFError, InvalidMessage, ConnectionClosed)) as refused:
                Secure(server.url, context(wrong)).__enter__()
            assert "101" not in str(refused.value)


# Workers


def pids(url):
    return {int(ask(url)) for _ in range(30)}


def test_connections_land_on_every_worker_and_one_that_dies_comes_back(tmp_path):
    with ready(tmp_path, "handlers:Pid", "--workers", "2") as server:
        workers = pids(server.url)
        assert len(workers) == 2
        assert server.pid not in workers
        with contextlib.ExitStack() as stack:
            clients = {}
            while len(clients) < 2:
                client = stack.enter_context(connect(server.url))
                client.send("who")
                clients.setdefault(int(client.recv(timeout=PATIENCE)), client)
            victim, survivor = clients
            os.kill(victim, signal.SIGKILL)
            server.wait_for(rf"ERROR \[{server.pid}\] .* worker {victim} ended: SIGKILL; starting another in 0.1 s")
            assert closing_code(clients[victim]) is None
            clients[survivor].send("who")
            assert int(clients[survivor].recv(timeout=PATIENCE)) == survivor

        def is_back():
            with contextlib.suppress(OSError):
                now = pids(server.url)
                return len(now) == 2 and victim not in now and survivor in now
            return False

        wait_until(is_back)
        os.kill(server.pid, signal.SIGTERM)
        out = server.end()
        assert server.process.returncode == 0
        assert out.count("framewarden listens on") == 1


def test_workers_do_not_outlive_the_supervisor(tmp_path):
    with ready(tmp_path, "handlers:Pid", "--workers", "2", policy="limits.drain_seconds = '200ms'") as server:
        with connect(server.url) as client:
            server.process.kill()
            assert closing_code(client) == 1001
        assert server.end().count("the supervisor is gone") == 2


def test_a_signal_to_the_whole_group_is_one_signal(tmp_path):
    """A terminal and a service manager send theirs to every process."""
    with ready(tmp_path, "handlers:Pid", "--workers", "2", policy="limits.drain_seconds = '400ms'") as server:
        workers = pids(server.url)
        with connect(server.url) as client:
            for number in (signal.SIGHUP, signal.SIGINT, signal.SIGTERM):
                for worker in workers:
                    os.kill(worker, number)
            os.kill(server.pid, signal.SIGTERM)
            assert closing_code(client) == 1001
        out = server.end()
        assert server.process.returncode == 0
        assert "killed" not in out


def test_a_port_is_not_shared_with_another_server(tmp_path):
    with ready(tmp_path, "--workers", "2") as server:
        port = server.url.rpartition(":")[2]
        with serving(tmp_path, "--workers", "2", port=port) as second:
            assert re.match(rf"framewarden: .*127.0.0.1:{port}: .*in use", second.end())
            assert second.process.returncode == 2
        assert ask(server.url) == "who"


@pytest.mark.parametrize(
    ("handler", "policy", "said"),
    [
        ("handlers:Unmakeable", "", r"framewarden: ValueError: no database\n"),
        ("handlers:Missing", "", r"framewarden: handler handlers:Missing: AttributeError: .*\n"),
        ("handlers:Pid", "limits.max_connections = 10", r"framewarden: limits.max_connections is counted by each .*\n"),
        (
            "handlers:Pid",
            "limits.max_memory_bytes = '1GiB'",
            r"framewarden: limits.max_memory_bytes is counted by .*\n",
        ),
        ("--host=0.0.0.0", "", r"framewarden: refusing to serve 0.0.0.0, .* without TLS.*\n"),
        ("handlers:Deadly", "", r"(?s).*framewarden: no worker lives long enough .*; the last one: exit code 3\n"),
    ],
)
def test_what_no_worker_can_do_ends_the_supervisor(tmp_path, handler, policy, said):
    with serving(tmp_path, handler, "--workers", "2", policy=policy) as server:
        assert re.fullmatch(said, server.end())
        assert server.process.returncode == 2


def test_limits_of_each_process_can_be_allowed(tmp_path):
    policy = "limits.max_connections = 10\naccess.dangerous_allow_per_worker_quotas = true\n"
    with ready(tmp_path, "handlers:Pid", "--workers", "2", policy=policy) as server:
        assert len(pids(server.url)) == 2
