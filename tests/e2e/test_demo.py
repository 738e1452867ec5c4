"""The demo: every rule has an attack, every verdict is the rule's, and a wrong one is noticed. The examples run."""

import contextlib
import importlib
import json
import random
import re
import socket
import subprocess
import sys
import threading
from collections import Counter
from pathlib import Path

import msgspec
import pytest
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect

from framewarden.apps.cases import wire
from framewarden.apps.demo import attacks, judging, servers, show
from framewarden.apps.demo.judging import Seen, carry_out, judge
from framewarden.policy import Policy
from framewarden.policy_file import load_policy
from framewarden.rules import RULES

ROOT = Path(__file__).parents[2]
COMMAND = Path(sys.executable).with_name("framewarden")
needs_examples = pytest.mark.skipif(not (ROOT / "examples").is_dir(), reason="the examples are not in the wheel")


def attack_on(rule):
    return next(attack for attack in attacks.ATTACKS if attack.rule == rule)


# The tables


def test_every_rule_has_one_attack_or_a_reason():
    counted = Counter(attack.rule for attack in attacks.ATTACKS)
    counted.update(list(attacks.EXEMPT))
    assert counted == Counter(list(RULES))
    assert attacks.not_shown() == []
    assert attacks.EXEMPT.keys() == {"out-of-memory", "internal-error", "tls-handshake"}


def test_every_attack_says_what_it_sends():
    assert {attack.against for attack in attacks.ATTACKS} == {*servers.SERVERS, "client"}
    assert all(attack.sent and len(attack.sent) < 60 for attack in attacks.ATTACKS)


def test_a_rule_without_an_attack_is_noticed(monkeypatch):
    monkeypatch.setattr(attacks, "ATTACKS", attacks.FRAMES[1:])
    missing = attacks.not_shown()
    assert attacks.FRAMES[0].rule in missing
    assert attacks.FRAMES[1].rule not in missing
    assert not show.Shown([], [], missing, 0.0).right


# The whole of it


def test_the_demo(tmp_path):
    command = [sys.executable, "-m", "framewarden.apps.demo", "--json"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=50, check=False)
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert told["right"] is True
    assert told["missing"] == []
    assert [result["rule"] for result in told["results"]] == [rule for rule in RULES if rule not in attacks.EXEMPT]
    for result in told["results"]:
        rule = RULES[result["rule"]]
        code = rule.close_code or rule.status
        assert result["seen"].split() == ["close" if rule.close_code else "HTTP", str(code)]
        assert result["verdict"] == "ok"
        assert result["source"] == rule.source
        assert 0 < result["milliseconds"] < 5_000
    assert all(exchange["right"] for exchange in told["talk"])
    assert len(told["talk"]) > 5
    for rule in RULES:
        assert rule in done.stderr
    assert show.SNIPPET in done.stderr
    assert "framewarden serve" in done.stderr
    assert "WRONG" not in done.stderr
    assert "Traceback" not in done.stderr


def test_a_wrong_expectation_makes_it_fail(monkeypatch, capsys):
    wrong = {
        "reserved-opcode": msgspec.structs.replace(RULES["reserved-opcode"], close_code=1003),
        "origin": msgspec.structs.replace(RULES["origin"], status=401),
    }
    monkeypatch.setattr(judging, "RULES", RULES | wrong)
    assert show.main(["--json"]) == 1
    out, err = capsys.readouterr()
    told = json.loads(out)
    assert told["right"] is False
    assert {result["rule"] for result in told["results"] if result["verdict"] == "WRONG"} == set(wrong)
    assert "WRONG: expected close 1003" in err
    assert "WRONG: expected HTTP 401" in err


def test_a_wrong_answer_in_the_conversation_makes_it_fail(monkeypatch, capsys):
    strict = Policy(schema=servers.SCHEMA, limits=servers.Limits(max_message_bytes=10))
    monkeypatch.setitem(servers.SERVERS, "chat", (servers.Chat, strict))
    monkeypatch.setattr(show, "ATTACKS", attacks.FRAMES[:1])
    monkeypatch.setattr(show, "not_shown", list)
    assert show.main([]) == 1
    assert "message-too-big" in capsys.readouterr().out


def test_without_websockets_it_says_which_command_installs_it():
    program = "import sys, runpy; sys.modules['websockets'] = None; runpy.run_module('framewarden.apps.demo')"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=20, check=False)
    assert done.returncode == 1
    assert done.stdout == ""
    assert re.fullmatch(r"framewarden demo: websockets.* python -m pip install websockets\n", done.stderr)


def test_the_last_words_work(capsys, monkeypatch, tmp_path):
    ours, theirs = socket.socketpair()
    with ours, theirs:
        theirs.sendall(attack_on("control-flood").data[:6] + attack_on("reserved-opcode").data)
        exec(show.SNIPPET, {"sock": ours})  # noqa: S102  # it is printed to be run
        assert theirs.recv(100).startswith(b"\x8a\x00\x88\x11" + (1002).to_bytes(2, "big"))
    assert "reserved-opcode" in capsys.readouterr().out
    assert len(show.SNIPPET.splitlines()) == 6
    monkeypatch.chdir(tmp_path)
    command = show.command_line().split()
    subprocess.run([*command, "--version"], capture_output=True, timeout=20, check=True)


# What the judge looks at

GOOD = Seen("close 1002", "reserved-opcode", ("reserved-opcode",), ended=True, seconds=0.001)


def test_the_judge_accepts_what_the_rule_says():
    result = judge(attack_on("reserved-opcode"), GOOD)
    assert (result.verdict, result.problems, result.milliseconds) == ("ok", (), 1.0)


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({"answer": "close 1003"}, "expected close 1002"),
        ({"answer": "no answer"}, "expected close 1002"),
        ({"reason": "reserved-bits"}, "the reason of the Close is 'reserved-bits'"),
        ({"reason": None}, "the reason of the Close is None"),
        ({"reported": ()}, "reported as nothing"),
        ({"reported": ("reserved-opcode", "idle-timeout")}, "reported as reserved-opcode, idle-timeout"),
        ({"ended": False}, "the socket was not closed"),
    ],
)
def test_the_judge_looks_at_everything(change, problem):
    result = judge(attack_on("reserved-opcode"), msgspec.structs.replace(GOOD, **change))
    assert (result.verdict, result.problems) == ("WRONG", (problem,))


def test_a_lenient_server_is_found_out(monkeypatch):
    lenient = Policy(access=servers.Access(dangerous_allow_origin=True))
    monkeypatch.setitem(servers.SERVERS, "chat", (servers.Chat, lenient))
    monkeypatch.setattr(wire, "PATIENCE", 0.3)
    with servers.Guarded() as guarded:
        results = carry_out([attack_on(rule) for rule in ("origin", "schema-mismatch", "reserved-bits")], guarded)
    assert [(result.rule, result.seen, result.verdict) for result in results] == [
        ("reserved-bits", "close 1002", "ok"),
        ("schema-mismatch", "no answer", "WRONG"),
        ("origin", "HTTP 101", "WRONG"),
    ]


def test_a_server_that_is_not_there(monkeypatch):
    with servers.Guarded() as guarded:
        addresses = dict(guarded.addresses)
    assert "framewarden demo" not in {thread.name for thread in threading.enumerate()}
    guarded.addresses = addresses
    results = carry_out([attack_on("reserved-opcode"), attack_on("method")], guarded)
    assert [result.verdict for result in results] == ["WRONG", "WRONG"]
    assert "refused" in results[0].seen


# The examples


@contextlib.contextmanager
def running(*command):
    """The URL that a server of the examples tells."""
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as process:
        line = process.stdout.readline()
        try:
            assert "ws://" in line, line
            yield re.search(r"ws://[\w.:]+", line)[0]
        finally:
            process.terminate()
            out, _ = process.communicate(timeout=20)
    assert "Traceback" not in out, out


SERVE = ("serve", "examples.chat:Chat", "--port", "0", "--policy", "examples/chat.toml")


@needs_examples
@pytest.mark.parametrize(
    "command",
    [
        (sys.executable, "examples/chat.py", "0"),
        (sys.executable, "-m", "framewarden", *SERVE),
        (str(COMMAND), *SERVE),
    ],
    ids=["script", "python -m framewarden serve", "framewarden serve"],
)
def test_the_chat(command):
    with running(*command) as url, connect(url) as one, connect(url) as two:
        for client in (one, two):
            client.send('{"type":"join","room":"lobby"}')
            client.ping().wait(5)  # answered behind the message
        one.send('{"type":"say","room":"lobby","text":"hello"}')
        for client in (one, two):
            assert json.loads(client.recv(timeout=5)) == {"type": "said", "room": "lobby", "text": "hello"}
        two.send('{"type":"shout"}')
        with pytest.raises(ConnectionClosed) as closed:
            two.recv(timeout=5)
        assert (closed.value.rcvd.code, closed.value.rcvd.reason) == (4422, "schema-mismatch")
        one.send(random.Random(1).randbytes(40_000).hex())
        with pytest.raises(ConnectionClosed) as closed:
            one.recv(timeout=5)
        assert (closed.value.rcvd.code, closed.value.rcvd.reason) == (1009, "inflated-too-big")


@needs_examples
def test_the_two_policies_of_the_chat_are_the_same():
    chat = importlib.import_module("examples.chat")
    assert load_policy(ROOT / "examples" / "chat.toml") == chat.POLICY


@needs_examples
def test_the_engine_in_an_asyncio_server():
    with running(sys.executable, "examples/embed_asyncio.py", "0") as url:
        with connect(url) as client:
            client.ping().wait(5)
            client.send(json.dumps({"type": "add", "numbers": list(range(1_000))}))
            assert json.loads(client.recv(timeout=5)) == {"sum": 499_500}
            client.close()
            assert client.close_code == 1000
        host, port = url.removeprefix("ws://").split(":")
        for attack in attacks.FRAMES + attacks.PAYLOADS:
            if attack.against == "chat":
                with wire.Wire.to((host, int(port))) as raw:
                    raw.upgrade(deflate=attack.deflate)
                    raw.send(attack.data)
                    assert raw.read_close() == (RULES[attack.rule].close_code, attack.rule)
                    assert raw.ends()
        for rule in ("origin", "host-not-allowed", "websocket-key", "early-data", "header-too-long"):
            with wire.Wire.to((host, int(port))) as raw:
                raw.send(attack_on(rule).data)
                assert raw.read_head()[0] == RULES[rule].status
                assert raw.ends()


@needs_examples
def test_the_ticker():
    command = (str(COMMAND), "serve", "examples.ticker:Ticker", "--port", "0", "--policy", "examples/ticker.toml")
    with running(*command) as url, connect(url) as one, connect(url) as two:
        for client in (one, two):
            prices = [json.loads(client.recv(timeout=5)) for _ in range(6)]
            assert {price["type"] for price in prices} == {"price"}
            assert {price["symbol"] for price in prices} == {"GOLD", "IRON", "TIN"}
        one.send('{"type":"history","symbol":"TIN"}')
        answers = (json.loads(one.recv(timeout=5)) for _ in range(100))
        history = next(answer for answer in answers if isinstance(answer, list))
        assert history[0] == 100.0
        assert len(history) > 2
