"""``framewarden fuzz`` in a checkout of its own, in which faults are planted: in Python, in C, and one that hangs."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

import framewarden
from framewarden.apps.fuzz.building import COPIED, LEFT_OUT

ROOT = Path(__file__).parents[2]
pytestmark = [pytest.mark.long, pytest.mark.requires("clang", "atheris"), pytest.mark.timeout(400)]

PLANTED = '''
"""Invariant: there are three faults in here."""
import ctypes
ALLOWED = ()
TOKENS = (b"FW!", b"SEGV", b"BIG")

def one(data):
    if b"FW!" in data:
        raise KeyError("planted")
    if b"SEGV" in data:
        ctypes.memset(8, 0, 1)
    if b"BIG" in data:
        len(bytes(300 << 20))

def seeds():
    yield b"a harmless seed"
'''
OVERFLOW = "    dst[n] = 0; /* planted */\n"


@pytest.fixture(scope="module")
def checkout(tmp_path_factory):
    """A copy of the tree, with a target of its own and a kernel that writes one byte too many."""
    place = tmp_path_factory.mktemp("checkout")
    for name in COPIED:
        if (ROOT / name).is_dir():
            shutil.copytree(ROOT / name, place / name, ignore=LEFT_OUT)
        else:
            shutil.copy2(ROOT / name, place / name)
    (place / "fuzz" / "targets" / "planted.py").write_text(PLANTED)
    kernel = place / "ext" / "kernels" / "scalar.c"
    begin = "static void unmask("
    text = kernel.read_text()
    at = text.index("{\n", text.index(begin)) + 2
    kernel.write_text(text[:at] + OVERFLOW + text[at:])
    return place


def run(checkout, *arguments, timeout=300):
    environment = os.environ | {"PYTHONPATH": str(Path(framewarden.__file__).parents[1])}
    return subprocess.run(
        [sys.executable, "-m", "framewarden", "fuzz", *arguments],
        cwd=checkout, env=environment, capture_output=True, text=True, timeout=timeout, check=False,
    )  # fmt: skip


@pytest.fixture(scope="module")
def campaign(checkout):
    targets = [word for name in ("planted", "kernels_c", "uri") for word in ("--target", name)]
    return run(checkout, "run", *targets, "--minutes", "0.3")


def findings(checkout):
    return {
        path: json.loads(path.read_text()) for path in (checkout / "tests" / "regressions" / "findings").glob("*.json")
    }


def test_planted_faults_are_found_once_each_and_made_small(checkout, campaign):
    assert campaign.returncode == 1, campaign.stdout + campaign.stderr
    found = {(each["target"], each["kind"]): each for each in findings(checkout).values()}
    kinds = {"KeyError", "SEGV", "allocation-size-too-big"}
    assert found.keys() == {*[("planted", kind) for kind in kinds], ("kernels_c", "heap-buffer-overflow")}
    assert bytes.fromhex(found["planted", "allocation-size-too-big"]["hex"]) == b"BIG"
    assert bytes.fromhex(found["planted", "KeyError"]["hex"]) == b"FW!"
    assert bytes.fromhex(found["planted", "SEGV"]["hex"]) == b"SEGV"
    assert found["kernels_c", "heap-buffer-overflow"]["stack"][0].startswith("unmask scalar.c:")


def test_the_report_says_what_was_done_and_how_to_see_it_again(checkout, campaign):
    report = json.loads((checkout / "fuzz" / "reports" / "report.json").read_text())
    done = {each["target"]: each for each in report["targets"]}
    assert done["planted"]["findings"] == 3
    assert done["planted"]["executions"] > 10
    assert not report["interrupted"]
    reached = {file["file"]: file["lines"] - len(file["missed"]) for file in report["coverage"]}
    assert reached["src/framewarden/codec/_head.pyx"] > 0
    assert reached["src/framewarden/codec/uri.py"] > 0
    page = (checkout / "fuzz" / "reports" / "report.md").read_text()
    for path in findings(checkout):
        assert f"framewarden fuzz reproduce tests/regressions/findings/{path.name}" in page
    assert campaign.stdout.count("FOUND in ") == 4


def test_a_finding_is_reproduced_until_it_is_mended(checkout, campaign):
    [path] = [path for path, each in findings(checkout).items() if each["kind"] == "KeyError"]
    again = run(checkout, "reproduce", str(path))
    assert again.returncode == 1
    assert "KeyError: 'planted'" in again.stdout
    target = checkout / "fuzz" / "targets" / "planted.py"
    target.write_text(PLANTED.replace('raise KeyError("planted")', "return"))
    mended = run(checkout, "reproduce", str(path))
    assert mended.returncode == 0, mended.stdout + mended.stderr
    target.write_text(PLANTED)


def test_an_input_that_hangs_is_a_finding(checkout, campaign):
    target = checkout / "fuzz" / "targets" / "planted.py"
    target.write_text(PLANTED.replace('raise KeyError("planted")', "sum(range(80_000_000))"))
    (checkout / "slow").write_bytes(b"xFW!x")
    again = run(checkout, "reproduce", "--target", "planted", "slow")
    target.write_text(PLANTED)
    assert again.returncode == 1
    assert "are allowed" in again.stdout or "SIGALRM" in again.stdout  # the latter on a busy machine


def test_ctrl_c_stops_it_and_writes_the_report(checkout, campaign):
    environment = os.environ | {"PYTHONPATH": str(Path(framewarden.__file__).parents[1])}
    process = subprocess.Popen(
        [sys.executable, "-m", "framewarden", "fuzz", "run", "--target", "uri", "--minutes", "5", "--out", "stopped"],
        cwd=checkout, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
    )  # fmt: skip
    assert process.stdout is not None
    assert process.stdout.readline() == "uri: begins, for 300 s\n"
    time.sleep(10)
    process.send_signal(signal.SIGINT)
    said, _ = process.communicate(timeout=60)
    assert process.returncode == 130, said
    report = json.loads((checkout / "stopped" / "report.json").read_text())
    assert report["interrupted"]
    assert report["targets"][0]["executions"] > 0
    running = subprocess.run(["ps", "-eo", "args"], capture_output=True, text=True, check=True).stdout
    assert "fuzz.worker fuzz uri" not in running


RESUMED = '''
"""Invariant: nobody guesses this."""
ALLOWED = ()
TOKENS = (b"a",)

def one(data):
    if data == b"it was in the corpus already":
        raise LookupError("read")

def seeds():
    yield b"a harmless seed"
'''


def test_a_campaign_goes_on_from_its_corpus(checkout, campaign):
    target = checkout / "fuzz" / "targets" / "resumed.py"
    target.write_text(RESUMED)
    corpus = checkout / "fuzz" / "corpus" / "resumed"
    corpus.mkdir(parents=True)
    (corpus / "mine").write_bytes(b"it was in the corpus already")
    again = run(checkout, "run", "--target", "resumed", "--minutes", "0.05", "--out", "again")
    target.unlink()
    assert again.returncode == 1, again.stdout + again.stderr
    [finding] = json.loads((checkout / "again" / "report.json").read_text())["findings"]
    assert finding["kind"] == "LookupError"


def test_targets_have_names(checkout):
    listed = run(checkout, "list")
    assert "planted" in listed.stdout.split()
    wrong = run(checkout, "run", "--target", "nothing")
    assert wrong.returncode == 2
    assert "there is no target 'nothing'; there are kernels_c, calls" in wrong.stderr


def test_a_file_that_is_no_finding(checkout):
    (checkout / "nothing.json").write_text("{}")
    said = run(checkout, "reproduce", "nothing.json")
    assert said.returncode == 2
    assert "nothing.json is no finding" in said.stderr
    assert run(checkout, "reproduce", "not-there.json").returncode == 2
