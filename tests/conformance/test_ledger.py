"""The ledger is whole, and a run that is not what it says is found out."""

from pathlib import Path

import msgspec
import pytest

from framewarden import Deflate, Limits, Policy, load_policy
from tests.conformance import ledger
from tests.conformance.ledger import LedgerError, Verdict
from tests.conformance.run import POLICY, WAYS, main, parse
from tests.conformance.suite import Suite, SuiteError

OK = Verdict("OK", "OK")
GROUPS = {"1": 16, "2": 11, "3": 7, "4": 10, "5": 20, "6": 145, "7": 37, "9": 54, "10": 1, "12": 90, "13": 126}


def test_every_case_is_there():
    every = ledger.load()
    assert len(every) == 517
    assert {name: sum(ledger.group(case) == name for case in every) for name in GROUPS} == GROUPS


def test_three_cases_are_informational_and_all_others_ok():
    every = ledger.load()
    silent = Verdict("INFORMATIONAL", "INFORMATIONAL")
    for role in ("server", "client"):
        assert {case for case in every if every[case][role] == silent} == {"7.1.6", "7.13.1", "7.13.2"}
        assert {every[case][role] for case in every} == {OK, silent}


def test_the_subset_has_every_group():
    cases = ledger.subset(ledger.load())
    assert set(ledger.SAMPLE) < set(cases)
    assert {ledger.group(case) for case in cases} == GROUPS.keys()
    assert len(cases) == 517 - 54 - 90 - 126 + len(ledger.SAMPLE)


def test_the_policy_of_the_run_raises_four_sizes_and_enables_compression_and_nothing_else():
    policy = load_policy(POLICY)
    size = 16 * 1024 * 1024
    limits = {"max_frame_bytes": size, "max_message_bytes": size, "max_inflated_bytes": size, "max_fragments": 65537}
    assert policy == Policy(limits=Limits(**limits), deflate=Deflate())
    assert all(value > getattr(Limits(), name) for name, value in limits.items())
    assert msgspec.structs.asdict(policy.access) == msgspec.structs.asdict(Policy().access)


@pytest.mark.parametrize(
    "text",
    [
        "1.1.1 OK OK OK NON-STRICT\n",
        "1.1.1 OK UNCLEAN OK OK\n",
        "1.1.1 UNIMPLEMENTED OK OK OK\n",
        "1.1.1 OK OK OK\n",
        "1.1.1 OK OK OK OK\n1.1.1 OK OK OK OK\n",
    ],
)
def test_a_ledger_that_would_accept_too_much(tmp_path, text):
    (tmp_path / "ledger.txt").write_text(text)
    with pytest.raises(LedgerError, match=r"ledger.txt:\d"):
        ledger.load(tmp_path / "ledger.txt")


def test_a_run_that_is_as_the_ledger_says():
    every = ledger.load()
    found = {case: every[case]["client"] for case in every}
    assert ledger.compare(every, "client", every, found) == []


@pytest.mark.parametrize(
    ("case", "verdict", "complaint"),
    [
        ("3.2", Verdict("NON-STRICT", "OK"), "3.2: NON-STRICT, close OK; the ledger has OK, close OK"),
        ("3.2", Verdict("OK", "UNCLEAN"), "3.2: OK, close UNCLEAN; the ledger has OK, close OK"),
        ("12.1.1", Verdict("UNIMPLEMENTED", "OK"), "12.1.1: UNIMPLEMENTED, close OK; the ledger has OK, close OK"),
        ("7.1.6", OK, "7.1.6: OK, close OK; the ledger has INFORMATIONAL, close INFORMATIONAL"),
        ("9.1.1", None, "9.1.1: was not run to its end"),
        ("14.1", OK, "14.1: was not asked for"),
    ],
)
def test_a_run_that_is_not(case, verdict, complaint):
    every = ledger.load()
    found = {name: every[name]["server"] for name in every} | {case: verdict}
    found = {name: value for name, value in found.items() if value is not None}
    assert ledger.compare(every, "server", every, found) == [complaint]


def test_patterns():
    every = ledger.load()
    assert ledger.select(every, ["10.*", "2.1", "1.2.8"]) == ["1.2.8", "2.1", "10.1.1"]
    with pytest.raises(LedgerError):
        ledger.select(every, ["1.1.1", "8.*"])


def test_a_run_of_nothing_is_refused(tmp_path, capsys):
    with pytest.raises(SuiteError):
        Suite(tmp_path / "wstest", tmp_path, [])
    assert main(["--wstest", str(tmp_path / "wstest"), "8.*"]) == 2
    assert "no case matches" in capsys.readouterr().err


@pytest.mark.parametrize("role", WAYS)
@pytest.mark.parametrize("does", ["exit 0", "exit 3"])
def test_a_suite_that_does_nothing_is_no_success(tmp_path, capsys, role, does, monkeypatch):
    """The real one exits with 0 whatever happened: what counts is the report."""
    monkeypatch.setattr("tests.conformance.run.BUILD", tmp_path)
    program = tmp_path / "wstest"
    program.write_text(f"#!/bin/sh\n{does}\n")
    program.chmod(0o755)
    assert main(["--wstest", str(program), "--role", role, "1.1.1"]) == 2
    assert "SuiteError" in capsys.readouterr().err


def test_a_suite_that_hangs_is_stopped(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr("tests.conformance.run.BUILD", tmp_path)
    program = tmp_path / "wstest"
    program.write_text(f"#!/bin/sh\necho $$ >{tmp_path}/pid\nsleep 600 &\necho $! >{tmp_path}/child\nwait\n")
    program.chmod(0o755)
    assert main(["--wstest", str(program), "--role", "server", "--seconds", "0.5", "1.1.1"]) == 2
    assert "TimeoutError" in capsys.readouterr().err
    for name in ("pid", "child"):
        assert not is_running((tmp_path / name).read_text().strip())


def is_running(pid):
    """Whether a process is alive; one that waits to be reaped is not."""
    try:
        return Path("/proc", pid, "stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def test_the_command_line():
    assert parse(["--subset", "--role", "client"]).role == "client"
    with pytest.raises(SystemExit):
        parse(["--subset", "1.1.1"])
