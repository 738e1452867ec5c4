"""The campaign: it runs for its time, reports, finds what is planted, remembers it, and stops when it is told to."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from framewarden.testing import campaign, properties

ROOT = Path(__file__).parents[3]
COMMAND = [sys.executable, "-m", "framewarden.testing.campaign"]


@pytest.fixture
def run(tmp_path, capsys):
    """Run a campaign in this process: exit code, report, what was printed."""

    def go(*arguments):
        report = tmp_path / "report.json"
        code = campaign.main([*arguments, "--json", str(report), "--database", str(tmp_path / "database")])
        return code, json.loads(report.read_text()), capsys.readouterr().out

    return go


@pytest.mark.parametrize("name", campaign.TARGETS)
def test_every_target_holds(name, run):
    code, [tally], out = run("--seconds", "0.2", "--target", name)
    assert code == 0
    assert tally["target"] == name
    assert tally["executions"] >= campaign.FIRST_SLICE
    assert tally["seconds"] > 0
    assert tally["findings"] == []
    assert out.splitlines()[1].startswith(name)
    assert out.endswith("  0 findings\n")


def test_it_runs_as_a_program_for_its_time(tmp_path):
    report = tmp_path / "report.json"
    begin = time.monotonic()
    result = subprocess.run(
        [*COMMAND, "--seconds", "1", "--json", str(report)],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(ROOT / "src")},
        capture_output=True,
        text=True,
        timeout=40,
        check=False,
    )
    assert result.returncode == 0, result.stdout + result.stderr
    assert time.monotonic() - begin >= 1  # it starts slowly under a sanitizer: the timeout is its bound
    tallies = json.loads(report.read_text())
    assert [each["target"] for each in tallies] == list(campaign.TARGETS)
    head, *lines = result.stdout.splitlines()
    assert head.startswith(f"{len(campaign.TARGETS)} targets, 1 s; ")
    assert [line.split()[0] for line in lines] == list(campaign.TARGETS)
    assert all(each["executions"] for each in tallies)


def broken_chunked(data):
    """As if a cut inside a stream mattered."""
    if data.draw(properties.st.integers(0, 1000)) > 3:
        raise AssertionError("a planted bug")


def test_a_planted_bug_is_found_made_small_and_remembered(run, monkeypatch):
    monkeypatch.setitem(properties.PROPERTIES, "chunked", broken_chunked)
    code, [chunked, honest], out = run("--seconds", "1", "--target", "chunked", "--target", "honest")
    assert code == 1
    [finding] = chunked["findings"]
    assert finding["error"] == "AssertionError: a planted bug"
    assert "Draw 1: 4" in finding["example"].splitlines()  # the smallest there is
    assert "AssertionError: a planted bug" in out
    assert "    Draw 1: 4\n" in out
    assert honest["findings"] == []
    # Again: what failed comes first.
    tried = []

    def watched(data):
        tried.append(1)
        broken_chunked(data)

    monkeypatch.setitem(properties.PROPERTIES, "chunked", watched)
    code, [again], _ = run("--seconds", "0.1", "--target", "chunked")
    assert code == 1
    assert again["executions"] == len(tried) < chunked["executions"]


def test_a_bug_of_the_machine_is_found(run, monkeypatch):
    """Its steps are told."""
    monkeypatch.setattr("framewarden.testing.endpoint.Endpoint.state", "never")
    code, [tally], _ = run("--seconds", "1", "--target", "machine")
    assert code == 1
    assert "the state" in tally["findings"][0]["error"]
    assert "state = Counted()" in tally["findings"][0]["example"]


def test_two_bugs_are_two_findings(run, monkeypatch):
    def two(data):
        number = data.draw(properties.st.integers(0, 100))
        if number > 50:
            raise ValueError("large")
        if number > 10:
            raise KeyError("medium")

    monkeypatch.setitem(properties.PROPERTIES, "final", two)
    _, [tally], _ = run("--seconds", "1", "--target", "final")
    assert {each["error"] for each in tally["findings"]} == {"ValueError: large", "KeyError: 'medium'"}


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_it_stops_when_it_is_told_to(number, tmp_path):
    report = tmp_path / "report.json"
    process = subprocess.Popen(
        [*COMMAND, "--seconds", "300", "--json", str(report)],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(ROOT / "src"), "PYTHONUNBUFFERED": "1"},
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stdout.readline().startswith("9 targets, 300 s")
        time.sleep(0.3)
        process.send_signal(number)
        out, _ = process.communicate(timeout=20)
    finally:
        process.kill()
        process.wait()
    assert process.returncode == 130
    assert "interrupted; until then:\nchunked " in out
    assert [each["target"] for each in json.loads(report.read_text())] == list(campaign.TARGETS)


def test_a_second_signal_does_not_wait():
    """For a property that never comes back."""
    before = signal.getsignal(signal.SIGUSR1)
    interruption = campaign.Interruption()
    interruption.check()
    try:
        interruption(signal.SIGUSR1, None)
        assert signal.getsignal(signal.SIGUSR1) is signal.default_int_handler
    finally:
        signal.signal(signal.SIGUSR1, before)
    with pytest.raises(KeyboardInterrupt):
        interruption.check()


@pytest.mark.parametrize("arguments", [["--seconds", "0"], ["--target", "nothing"]])
def test_what_makes_no_sense_is_refused(arguments, capsys):
    with pytest.raises(SystemExit) as refused:
        campaign.main(arguments)
    assert refused.value.code == 2
