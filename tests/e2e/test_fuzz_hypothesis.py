"""``framewarden fuzz run`` where there is neither clang nor a checkout."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

import framewarden


@pytest.fixture
def start(tmp_path):
    """Give a test the function that starts ``framewarden fuzz`` in an empty folder, with nothing on its path."""
    environment = os.environ | {"PYTHONPATH": str(Path(framewarden.__file__).parents[1]), "PATH": str(tmp_path)}

    def start(*arguments):
        return subprocess.Popen(
            [sys.executable, "-m", "framewarden", "fuzz", *arguments],
            cwd=tmp_path, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )  # fmt: skip

    return start


def test_what_is_missing_is_said_and_what_can_be_had_without_it(start):
    process = start("run")
    _, said = process.communicate(timeout=30)
    assert process.returncode == 2
    assert "clang (apt-get install clang" in said
    assert "framewarden fuzz run --driver hypothesis" in said
    assert len(said.splitlines()) == 1


def test_the_campaign_on_hypothesis_runs_and_reports(start, tmp_path):
    process = start("run", "--driver", "hypothesis", "--minutes", "0.05", "--target", "chunked", "--out", "here")
    out, said = process.communicate(timeout=60)
    assert process.returncode == 0, out + said
    [report] = json.loads((tmp_path / "here" / "hypothesis.json").read_text())
    assert report["target"] == "chunked"
    assert report["executions"] > 0
    assert report["findings"] == []


def test_ctrl_c_reaches_it_once(start, tmp_path):
    process = start("run", "--driver", "hypothesis", "--minutes", "5", "--out", "here")
    assert process.stdout is not None
    assert "targets" in process.stdout.readline()
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=60)
    assert process.returncode == 130
    assert json.loads((tmp_path / "here" / "hypothesis.json").read_text())


@pytest.mark.parametrize("arguments", [("--driver", "luck"), ("--driver", "hypothesis", "--target", "nothing")])
def test_wrong_words(start, arguments):
    process = start("run", *arguments)
    _, said = process.communicate(timeout=60)
    assert process.returncode == 2
    assert arguments[-1] in said
