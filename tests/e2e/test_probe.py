"""``framewarden probe`` against our server, against those of others, and against servers whose flaw was put there."""

import contextlib
import json
import subprocess
import sys
import time
from pathlib import Path

import msgspec
import pytest
import trustme

from framewarden.apps.cases import Case, Cost, Part, Target, Verdict, play, run
from framewarden.apps.cases.wire import Wire
from framewarden.apps.probe.pack import flaw_cases, flaw_classes
from framewarden.errors import ArgumentError
from tests.e2e import planted
from tests.e2e.probed import OURS, probed
from tests.tiny_server import TinyServer, read_head, switching, upgraded

ROOT = Path(__file__).parents[2]
PACK = {case.id: case for case in flaw_cases()}
HOSTILE = Case(
    id="hostile",
    flaw_class="control-frames",
    comment="RSV2",
    parts=("a18000000000",),
    expect="reject",
    rule="reserved-bits",
    close_code=1002,
)
HONEST = Case(
    id="honest", flaw_class="control-frames", comment="a message", parts=("818100000000" + "61",), expect="accept"
)


def probe(*arguments):
    """The command, in a process of its own."""
    command = [sys.executable, "-m", "framewarden", "probe", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=110, check=False)


def told(tmp_path, server, *arguments):
    """Exit code, verdicts by id, and the whole report."""
    file = tmp_path / "probe.json"
    done = probe(server.uri, "--pid", server.pid, "--json", file, *arguments)
    assert done.stderr == ""
    report = json.loads(file.read_text())
    verdicts = {case["id"]: case["verdict"] for each in report["classes"] for case in each["cases"]}
    for each in flaw_classes():
        assert each.flaws[0] in done.stdout or not any(each.id == PACK[id].flaw_class for id in verdicts)
    return done.returncode, verdicts, report


@pytest.mark.timeout(120)
@pytest.mark.parametrize("name", OURS)
def test_our_server(tmp_path, name):
    with probed(name) as server:
        code, verdicts, report = told(tmp_path, server)
    assert {id: verdict for id, verdict in verdicts.items() if verdict not in ("strict", "n/a")} == {}
    assert verdicts.keys() == PACK.keys()
    assert {id for id in verdicts if verdicts[id] == "n/a"} == {
        id for id, case in PACK.items() if case.needs or case.role == "client"
    }
    assert code == 0
    assert report["seconds"] < 60
    assert all(len(each["seen"]) > 5 for each in report["classes"])


@pytest.mark.long
@pytest.mark.parametrize("id", ["leak-connects", "leak-resets"])
def test_nothing_is_left_of_5000_connections(id):
    many = msgspec.structs.replace(PACK[id], connections=5_000, cost=Cost(memory=4 << 20))
    with probed("framewarden") as server:
        target = Target.of(server.uri, pid=server.pid)
        warm = play(msgspec.structs.replace(many, connections=500), target)
        (result,) = run([many], target)
    assert warm.answer == "accepted"
    assert result.verdict is Verdict.STRICT, result


# What STRICTNESS says of them, and is easily seen on the wire. A new version may be stricter: then this is the place.
KNOWN = {
    "websockets": {
        "cross-site-foreign": "ACCEPTED",
        "crash-host-missing": "safe",
        "smuggling-length": "dropped",
        "length-top-bit": "safe",
        "mask-missing": "strict",
        "decoder-utf8": "strict",
    },
    "aiohttp": {
        "mask-missing": "ACCEPTED",
        "deflate-rsv1-on-ping": "ACCEPTED",
        "control-close-5000": "ACCEPTED",
        "smuggling-key-twice": "ACCEPTED",
        "smuggling-length": "ACCEPTED",
        "crash-host-missing": "strict",
    },
    "ws": {
        "inflate-bomb": "ACCEPTED",
        "smuggling-length": "ACCEPTED",
        "draft-version-8": "ACCEPTED",
        "cross-site-null": "ACCEPTED",
        "mask-missing": "strict",
        "fragment-overhead-empty": "safe",
    },
}


def check_peer(tmp_path, name, node_modules=None):
    with probed(name, node_modules) as server:
        code, verdicts, report = told(tmp_path, server)
    assert verdicts.keys() == PACK.keys(), "it did not come to its end"
    assert KNOWN[name].items() <= verdicts.items()
    assert "CRASH" not in verdicts.values()
    assert code == 1
    assert report["seconds"] < 60


@pytest.mark.long
@pytest.mark.timeout(120)
@pytest.mark.parametrize("name", ["websockets", "aiohttp"])
def test_peers_in_python(tmp_path, name):
    check_peer(tmp_path, name)


@pytest.mark.long
@pytest.mark.timeout(220)
@pytest.mark.requires("node", "npm")
def test_node_ws(tmp_path, node_modules):
    check_peer(tmp_path, "ws", node_modules("ws"))


def test_single_cases(tmp_path):
    with probed("aiohttp") as server:
        ids = ("mask-missing", "control-ping-125")
        code, verdicts, _ = told(tmp_path, server, "--case", ids[0], "--case", ids[1], "--timeout", "1")
        assert (code, verdicts) == (1, {"mask-missing": "ACCEPTED", "control-ping-125": "strict"})
        assert probe(server.uri, "--case", ids[1]).returncode == 0
        done = probe(server.uri, "--case", "nothing-like-it")
        assert (done.returncode, done.stdout) == (2, "")
        assert done.stderr == "framewarden: there is no case 'nothing-like-it'; docs/flaws.md has them all\n"


def test_over_tls(tmp_path):
    certificate = tmp_path / "certificate.pem"
    issued = trustme.CA().issue_cert("127.0.0.1")
    certificate.write_bytes(b"".join(blob.bytes() for blob in (issued.private_key_pem, *issued.cert_chain_pems)))
    command = [sys.executable, "-m", "framewarden", "serve", "--port", "0", "--tls-cert", str(certificate)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as process:
        uri = process.stdout.readline().split()[-1]
        try:
            target = Target.of(uri, pid=process.pid, patience=2)
            ids = ("length-top-bit", "control-pongs", "fragments-total", "smuggling-length", "leak-half-closed")
            results = list(run([PACK[id] for id in ids], target))
        finally:
            process.terminate()
    assert uri.startswith("wss://")
    assert [(result.case.id, result.verdict) for result in results] == [(id, Verdict.STRICT) for id in ids]


# --- What is no server to probe ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("uri", "words"),
    [
        ("http://127.0.0.1:1", "a WebSocket URI is ws://host"),
        ("ws://127.0.0.1:1", "ws://127.0.0.1:1 is no WebSocket server to probe: it refuses connections"),
        ("ws://192.0.2.1:80", "192.0.2.1 is not a loopback address"),
        ("ws://no-such-host.invalid", "no-such-host.invalid has no address"),
    ],
)
def test_wrong_targets(uri, words):
    done = probe(uri)
    assert (done.returncode, done.stdout) == (2, "")
    assert words in done.stderr
    assert done.stderr.count("\n") == 1


def answer(said):
    """What a server does that says the same to everybody."""

    def handle(sock):
        read_head(sock)
        sock.sendall(said)

    return handle


@pytest.mark.parametrize(
    ("handle", "words"),
    [
        (answer(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi"), "an honest client is not served: HTTP 200"),
        (answer(b"HTTP/1.1 101 x\r\nSec-WebSocket-Accept: no\r\n\r\n"), "HTTP 101 where a good 101 was expected"),
        (answer(b"SSH-2.0-x\r\n\r\n"), "no HTTP response"),
        (answer(b"HTTP/1.1 200 OK\r\nContent-Length: 9999999999\r\n\r\n"), "a response body of more than"),
        (answer(b"HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n"), "a response body of more than"),
        (answer(b"HTTP/1.1 200 OK\r\n" + b"a: b\r\n" * 20_000), "a response head of more than 65536 bytes"),
        (answer(b""), "closed without a word"),
        (upgraded(lambda sock: sock.sendall(b"\x82\x7f" + b"\x7f" * 8)), "an honest client is not served: no Pong"),
        (upgraded(lambda sock: sock.sendall(b"\x83\x00")), "an honest client is not served: no Pong"),
        (upgraded(lambda sock: sock.recv(100)), "an honest client is not served: no Pong"),
        (upgraded(lambda sock: planted.wait_for_ever(sock, 0, b"")), "it does not answer an honest client"),
        (lambda sock: planted.wait_for_ever(sock, 0, b""), "it does not answer an honest client"),
    ],
)
def test_what_is_no_server(handle, words):
    with TinyServer(handle) as server:
        done = probe(f"ws://127.0.0.1:{server.port}", "--timeout", "0.3")
    assert (done.returncode, done.stdout) == (2, "")
    assert words in done.stderr
    assert done.stderr.count("\n") == 1


def test_a_host_that_is_said_to_be_ours():
    with pytest.raises(ArgumentError, match=r"--i-own-this-host 192\.0\.2\.1"):
        Target.of("ws://192.0.2.1:80", own_host="192.0.2.2")
    assert Target.of("ws://192.0.2.1:80", own_host="192.0.2.1").address == ("192.0.2.1", 80)
    assert Target.of("ws://[::1]:80/").address == ("::1", 80)
    with pytest.raises(ArgumentError, match="there is no process"):
        Target.of("ws://127.0.0.1:80", pid=2**22 + 1)


def drip(first, octet):
    """Say something, and then a byte every 50 ms, for ever."""

    def handle(sock):
        first(sock)
        while True:
            sock.sendall(octet)
            time.sleep(0.05)

    return handle


def answered(sock):
    sock.sendall(switching(read_head(sock)))


def quick(server):
    """Somebody without patience."""
    return Target.of(f"ws://127.0.0.1:{server.port}", patience=0.3)


def test_a_deadline_holds_however_slowly_the_answer_drips():
    for first, octet, read in (
        (read_head, b"a", Wire.read_head),
        (read_head, b"a", Wire.read_lines),
        (read_head, b"\x7e", Wire.read_frame),
        (read_head, b"\x89\x00", Wire.read_close),
    ):
        with TinyServer(drip(first, octet)) as server, quick(server).connect() as wire:
            wire.send(b"GET / HTTP/1.1\r\n\r\n")
            begun = time.monotonic()
            with pytest.raises(TimeoutError):
                read(wire)
            assert 0.2 < time.monotonic() - begun < 2


@pytest.mark.parametrize("octet", [b"\x81\x00", b"\x89\x00", b"\x00"])
def test_a_case_ends_although_something_always_comes(octet):
    with TinyServer(drip(answered, octet)) as server:
        outcome = play(HONEST, quick(server))
        trouble = quick(server).alive()
    assert outcome.answer == "hang"
    assert 4 * 0.3 <= outcome.seconds < 4
    assert trouble.silent


def test_localhost_is_wherever_somebody_listens():
    with TinyServer(planted.conversation(planted.take)) as server:
        target = Target.of(f"ws://localhost:{server.port}")
        assert target.address == ("127.0.0.1", server.port)
        assert target.alive() is None


# --- Flaws that were put there ----------------------------------------------------------------------------------------


def judged(handle, *cases, patience=0.3):
    """Verdicts and what was seen."""
    with TinyServer(handle) as server:
        target = Target.of(f"ws://127.0.0.1:{server.port}", patience=patience)
        return [(result.verdict, result.judgement.seen) for result in run(cases or (HOSTILE,), target)]


def test_a_server_without_a_flaw():
    def refuse(sock, first, payload):
        if first & 0x70:
            sock.sendall(planted.frame(0x88, b"\x03\xea"))
            return True
        return False

    assert judged(planted.conversation(refuse), HOSTILE, HONEST) == [
        (Verdict.STRICT, "close 1002"),
        (Verdict.STRICT, "accepted"),
    ]


@pytest.mark.parametrize(
    ("react", "verdict", "seen"),
    [
        (planted.wait_for_ever, Verdict.HANG, "no answer in time"),
        (planted.drop, Verdict.DROPPED, "dropped"),
        (planted.close_politely, Verdict.DROPPED, "close 1000"),
        (planted.take, Verdict.ACCEPTED, "accepted"),
        (planted.babble, Verdict.ACCEPTED, "garbage"),
    ],
)
def test_answers(react, verdict, seen):
    assert judged(planted.conversation(react)) == [(verdict, seen)]


def test_an_honest_client_that_is_refused():
    assert judged(planted.conversation(planted.drop), HONEST) == [(Verdict.ACCEPTED, "dropped, not accepted")]


def test_a_code_that_must_not_be_sent_is_echoed():
    echo = planted.conversation(planted.take)
    assert judged(echo, PACK["control-close-1006"]) == [(Verdict.ACCEPTED, "close 1006")]


def test_a_pong_that_leaks_memory():
    leaking = planted.conversation(planted.take, pong=lambda payload: payload + b"\0" * (len(payload) == 0))
    assert judged(leaking, PACK["control-ping-empty"], PACK["control-ping-125"]) == [
        (Verdict.ACCEPTED, "wrong Pong, not accepted"),
        (Verdict.STRICT, "accepted"),
    ]
    always = planted.conversation(planted.take, pong=lambda payload: payload + b"\0")
    ((verdict, seen),) = judged(always, PACK["control-ping-empty"])
    assert (verdict, seen) == (Verdict.ACCEPTED, "wrong Pong, not accepted")


def test_a_server_that_gets_stuck_is_the_end():
    seen = judged(planted.Once(), HONEST, HOSTILE)
    assert seen == [(Verdict.HANG, "no answer in time; then it does not answer an honest client")]


def test_a_server_that_takes_longer_and_longer():
    case = PACK["quadratic-large"]
    ((verdict, seen),) = judged(planted.conversation(planted.Quadratic()), case, patience=5)
    assert verdict is Verdict.SLOW
    assert "twice as much took" in seen


@contextlib.contextmanager
def process(name):
    command = [sys.executable, "-m", "tests.e2e.planted", name]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, cwd=ROOT, stdin=pipe, stdout=pipe, text=True) as child:
        yield Target.of(f"ws://127.0.0.1:{int(child.stdout.readline())}", pid=child.pid, patience=2)
        child.stdin.close()


def test_a_server_that_dies():
    with process("dies") as target:
        results = list(run((HOSTILE, HONEST), target))
    assert [result.verdict for result in results] == [Verdict.CRASH]
    assert results[0].judgement.seen == f"dropped; then process {target.pid} is gone"


def test_a_server_that_dies_ends_the_command(tmp_path):
    with process("dies") as target:
        done = probe(f"ws://127.0.0.1:{target.address[1]}", "--case", "rsv2-unagreed", "--case", "control-ping-125")
    assert done.returncode == 1
    assert "CRASH" in done.stdout
    assert "not played: the server was gone" in done.stdout


@pytest.mark.parametrize("name", ["grows", "grows for a moment"])
def test_a_server_that_grows(name):
    bounded = Case(
        id="a", flaw_class="b", comment="c", parts=("818100000000" + "61",), expect="accept", cost=Cost(memory=8 << 20)
    )
    with process(name) as target:
        outcome = play(bounded, target)
        (result,) = run([bounded], target)
    assert 60 << 20 < outcome.grown < 80 << 20
    assert result.verdict is Verdict.GREW
    assert "it grew by 6" in result.judgement.seen


def test_compression_that_is_not_agreed_upon():
    seen = judged(planted.conversation(planted.take), PACK["inflate-bomb"])
    assert seen == [(Verdict.N_A, "permessage-deflate was not agreed upon")]


def test_a_server_that_neither_reads_nor_answers():
    """Neither end waits for the other: what is written is more than the sockets hold."""
    large = Case(id="a", flaw_class="b", comment="c", parts=(Part(hex="61", times=1 << 24),), expect="survive")

    def deaf(sock, first, payload):
        sock.settimeout(5)
        with contextlib.suppress(OSError):
            while True:
                sock.sendall(bytes(1 << 16))
        return True

    with TinyServer(planted.conversation(deaf)) as server:
        outcome = play(large, quick(server))
    assert outcome.answer in ("hang", "garbage")
    assert outcome.seconds < 4 * 0.3 + 1
