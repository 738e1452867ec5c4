"""Fuzzing a server by its URI: nothing is found at ours, what is known at others, and every planted flaw."""

import contextlib
import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import typer

from framewarden.apps.cases.case import load_cases
from framewarden.apps.cases.target import Target
from framewarden.apps.fuzz.server import Campaign, Settings, make_report, reproduce_on_server
from framewarden.apps.fuzz.server_command import server_command, tell_reproduction
from framewarden.errors import ArgumentError, FramewardenError
from framewarden.policy import Deflate, Limits, Policy

HERE = Path(__file__).parent
SERVER_SECONDS = 50
"""After which a server ends by itself, whatever became of the test."""


@contextlib.contextmanager
def running(kind):
    """One of the servers of ``fuzzed_server``: its URI, and its process."""
    command = [sys.executable, HERE / "fuzzed_server.py", kind, str(SERVER_SECONDS)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        yield f"ws://127.0.0.1:{int(process.stdout.readline())}/", process
    finally:
        process.kill()
        process.wait()
        process.stdout.close()


@contextlib.contextmanager
def running_ours(*arguments):
    command = [sys.executable, "-m", "framewarden", "serve", "--port", "0", *arguments]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    try:
        yield process.stdout.readline().split()[-1], process
    finally:
        process.kill()
        process.wait()
        process.stdout.close()


def fuzz(uri, out, *, seconds=3.0, pid=None, patience=5.0, **settings):
    """Run a campaign and report."""
    campaign = Campaign(Target.of(uri, pid=pid, patience=patience), Settings(seconds=seconds, **settings))
    campaign.run()
    return make_report(campaign, uri, out)


def found(report, kind):
    return [finding for finding in report.findings if finding.kind == kind]


def seen(report):
    return {(finding.kind, finding.expected, finding.seen) for finding in report.findings}


# Our own server


@pytest.mark.parametrize("carrier", ["picows", "lean"])
@pytest.mark.parametrize("seed", [1, 2])
def test_nothing_is_found_at_our_own_server(tmp_path, carrier, seed):
    policy = tmp_path / "policy.toml"
    policy.write_text("[deflate]\nclient_context_takeover = true\n")
    with running_ours("--carrier", carrier, "--policy", str(policy)) as (uri, process):
        report = fuzz(uri, tmp_path / "out", seed=seed, pid=process.pid, policy=Policy(deflate=Deflate()))
    assert report.findings == report.limits == ()
    assert report.deflate
    assert report.trials > 200
    assert report.compared > 0.9 * report.trials
    assert report.ended == "the time was up"
    assert not (tmp_path / "out").exists()


@pytest.mark.long
def test_limits_are_those_of_the_policy(tmp_path):
    policy = tmp_path / "policy.toml"
    policy.write_text("[limits]\nmax_frame_bytes = 100\nmax_control_run = 3\n")
    with running_ours("--policy", str(policy)) as (uri, _):
        differs = fuzz(uri, tmp_path / "out", seed=3)
        same = fuzz(uri, tmp_path / "out", seed=3, policy=Policy(limits=Limits(max_frame_bytes=100, max_control_run=3)))
    assert same.findings == same.limits == ()
    assert {finding.kind for finding in differs.limits} == {"limit differs"}


# Others


@pytest.mark.long
def test_what_is_known_about_websockets(tmp_path):
    with running("websockets") as (uri, _):
        report = fuzz(uri, tmp_path / "out", seed=1)
        assert report.deflate
        assert {
            ("accepted", "close 1002 [length-not-minimal]", "accepted"),
            ("wrong code", "close 1007 [deflate-data]", "close 1002"),
            ("dropped", "HTTP 400 [header-syntax]", "dropped"),
        } <= seen(report)
        assert {finding.expected for finding in report.limits} >= {"close 4413 [control-flood]"}
        assert not any("unmasked" in finding.expected for finding in report.findings)
        check_that_all_come_again(report, uri)


@pytest.mark.long
def test_what_is_known_about_aiohttp(tmp_path):
    with running("aiohttp") as (uri, _):
        report = fuzz(uri, tmp_path / "out", seed=1, jobs=8, seconds=5)
        assert {
            ("accepted", "close 1002 [unmasked-frame]", "accepted"),
            ("accepted", "close 1002 [length-not-minimal]", "accepted"),
        } <= seen(report)
        (unmasked,) = [each for each in report.findings if each.seen == "accepted" and "unmasked" in each.expected]
        assert unmasked.bytes <= 20
        check_that_all_come_again(report, uri)


def check_that_all_come_again(report, uri):
    """Every finding that was confirmed has a case; those about frames are played again (and do not take a second)."""
    confirmed = [finding for finding in report.findings if finding.confirmed]
    assert len(confirmed) >= 0.7 * len(report.findings)
    for finding in confirmed:
        (case,) = load_cases([Path(finding.file)])
        assert f"{finding.kind}: " in case.comment
        if case.stage == "frames":
            assert reproduce_on_server(Path(finding.file), uri, patience=2).reproduced, finding


# Planted flaws


def test_a_server_that_dies(tmp_path):
    with running("dies") as (uri, process):
        report = fuzz(uri, tmp_path, seed=1, jobs=1, return_seconds=1)
        assert process.wait(5) == 3
        (crash,) = found(report, "crash")
        with pytest.raises(FramewardenError, match="not played: it refuses connections"):
            reproduce_on_server(Path(crash.file), uri)
    assert "did not come back" in report.ended
    assert reproduced(crash, "dies") == [True]


def test_a_server_that_dies_of_one_of_many(tmp_path):
    with running("dies") as (uri, _):
        report = fuzz(uri, tmp_path, seed=1, jobs=8, return_seconds=1)
    (crash,) = found(report, "crash")
    assert True in reproduced(crash, "dies")


@pytest.mark.long
def test_a_server_that_hangs(tmp_path):
    with running("hangs") as (uri, _):
        report = fuzz(uri, tmp_path, seed=1, jobs=1, patience=1.0, return_seconds=1)
    (hang,) = [each for each in found(report, "hang") if each.expected == "an honest client is served"]
    assert reproduced(hang, "hangs") == [True]


def reproduced(finding, kind):
    """Play the case and those of the other suspects, each on a new server."""
    verdicts = []
    for file in (finding.file, *finding.suspects):
        with running(kind) as (uri, _):
            verdicts.append(reproduce_on_server(Path(file), uri, patience=1.0).reproduced)
    return verdicts


@pytest.mark.long
@pytest.mark.timeout(120)
def test_a_server_that_comes_back_is_fuzzed_on(tmp_path):
    """And the input that did it is found among those that were sent at the same time."""
    with running("hangs for a while") as (uri, _):
        report = fuzz(uri, tmp_path, seed=1, jobs=4, patience=0.5, seconds=11)
    (hang,) = [each for each in found(report, "hang") if each.expected == "an honest client is served"]
    assert hang.confirmed
    assert hang.suspects == ()
    assert reproduced(hang, "hangs for a while") == [True]
    assert report.ended == "the time was up"
    assert report.trials > hang.number + 1


@pytest.mark.long
def test_a_server_that_leaks(tmp_path):
    with running("leaks") as (uri, process):
        report = fuzz(uri, tmp_path, seed=1, pid=process.pid, max_growth=32 << 20, seconds=20)
        (memory,) = found(report, "memory")
        assert memory.confirmed
        assert report.ended == "the server grew by more than it may"
        assert report.grown > 32 << 20
        assert reproduce_on_server(Path(memory.file), uri, pid=process.pid).reproduced
        assert reproduce_on_server(Path(memory.file), uri).reproduced is None  # nothing can be said without a pid
        assert f"--pid {process.pid}" in memory.command
    with running("websockets") as (uri, process):
        assert reproduce_on_server(Path(memory.file), uri, pid=process.pid).reproduced is False


@pytest.mark.parametrize(("kind", "name"), [("talks garbage", "garbage"), ("raises", "internal error")])
def test_a_server_that_answers_wrongly(tmp_path, kind, name):
    with running(kind) as (uri, _):
        report = fuzz(uri, tmp_path, seed=1)
        findings = found(report, name)
        assert findings
        assert all(reproduce_on_server(Path(each.file), uri, patience=1).reproduced for each in findings)
    with running("websockets") as (uri, _):
        valid = [each for each in findings if "no rule is broken" in each.expected]
        assert valid
        assert not any(reproduce_on_server(Path(each.file), uri).reproduced for each in valid)


# The command

application = typer.Typer()
application.command()(server_command)


def command(*arguments):
    return application([str(each) for each in arguments], standalone_mode=False)


def test_the_command_finds_nothing(tmp_path, capsys):
    with running_ours() as (uri, process):
        arguments = ["--minutes", 0.02, "--pid", process.pid, "--max-growth", "100MiB", "--out", tmp_path / "out"]
        assert command(uri, *arguments) == 0
    assert "Nothing found." in capsys.readouterr().out
    assert not (tmp_path / "out").exists()


def test_the_command_reports(tmp_path, capsys):
    file = tmp_path / "report.json"
    with running("websockets") as (uri, _):
        assert command(uri, "--minutes", 0.05, "--seed", 1, "--out", tmp_path / "out", "--json", file) == 1
        out = capsys.readouterr().out
        report = json.loads(file.read_bytes())
        (minimal,) = [
            each
            for each in report["findings"]
            if each["expected"] == "close 1002 [length-not-minimal]" and each["seen"] == "accepted"
        ]
        assert tell_reproduction(reproduce_on_server(Path(minimal["file"]), uri)) == 1
    told = capsys.readouterr().out
    assert "expected close 1002, seen: accepted" in told
    assert told.endswith("\nreproduced\n")
    with running_ours() as (ours, _):
        assert tell_reproduction(reproduce_on_server(Path(minimal["file"]), ours)) == 0
    assert capsys.readouterr().out.endswith("\nnot reproduced\n")
    assert "length-not-minimal" in out
    assert "framewarden fuzz reproduce" in out
    assert (report["server"], report["seed"], report["policy"]) == (uri, 1, "")
    assert report["findings"]
    for finding in report["findings"]:
        assert Path(finding["file"]).is_file()
        assert finding["command"].endswith(f"--server {uri}")


@pytest.mark.long
def test_the_same_seed_sends_the_same(tmp_path):
    with running_ours() as (uri, _):
        target = Target.of(uri)
        one, other = (Campaign(target, Settings(seed=5)).maker for _ in range(2))
        assert [one.make(number) for number in range(50)] == [other.make(number) for number in range(50)]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["ws://192.0.2.1/"], "--i-own-this-host"),
        (["ws://192.0.2.1/", "--i-own-this-host", "192.0.2.2"], "--i-own-this-host"),
        (["http://127.0.0.1/"], "URI"),
        (["ws://127.0.0.1:9/", "--max-growth", "much"], "--max-growth"),
    ],
)
def test_what_cannot_be_fuzzed(arguments, message):
    with pytest.raises(ArgumentError, match=message):
        command(*arguments)


def test_a_server_that_is_not_there_is_not_fuzzed():
    with pytest.raises(FramewardenError, match="not fuzzed: it refuses connections"):
        command("ws://127.0.0.1:9/")


def test_ctrl_c_ends_it_and_the_report_is_written(tmp_path):
    code = (
        "import sys, typer\n"
        "from framewarden.apps.fuzz.server_command import server_command\n"
        "application = typer.Typer()\n"
        "application.command()(server_command)\n"
        "sys.exit(application(standalone_mode=False))\n"
    )
    file = tmp_path / "report.json"
    with running("websockets") as (uri, _):
        arguments = [uri, "--seed", "1", "--out", str(tmp_path / "out"), "--json", str(file)]
        process = subprocess.Popen([sys.executable, "-c", code, *arguments], stdout=subprocess.PIPE, text=True)
        time.sleep(4)
        begun = time.monotonic()
        process.send_signal(signal.SIGINT)
        out, _ = process.communicate(timeout=20)
    assert process.returncode == 130
    assert time.monotonic() - begun < 10
    assert "it was interrupted" in out
    report = json.loads(file.read_bytes())
    assert report["trials"] > 100
    assert report["findings"]
    assert all(Path(finding["file"]).is_file() for finding in report["findings"])
