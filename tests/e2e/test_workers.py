"""The supervisor alone, in a process, over workers that do not serve anything."""

import os
import signal
import subprocess
import sys

PRELUDE = """
import logging, os, sys, time
from framewarden.transports import workers
from framewarden.transports.workers import READY, Supervisor

logging.basicConfig(format="%(message)s", stream=sys.stdout)
workers.GRACE_SECONDS = 0.2

def supervise(work, count=2, reload=None):
    ready = lambda: print("ready", flush=True)
    Supervisor(work, count, ready=ready, reload=reload, drain_seconds=lambda: 0.1).run()
    print("over", flush=True)
"""


def running(source):
    return subprocess.Popen([sys.executable, "-c", PRELUDE + source], stdout=subprocess.PIPE, text=True)


def test_a_worker_that_does_not_obey_is_killed():
    source = "def work(orders):\n  orders.send(READY)\n  time.sleep(1000)\nsupervise(work)"
    with running(source) as process:
        assert process.stdout.readline() == "ready\n"
        os.kill(process.pid, signal.SIGTERM)
        out, _ = process.communicate(timeout=20)
    assert process.returncode == 0
    assert out.count("took too long to drain: killed") == 2
    assert out.endswith("over\n")


def test_workers_obey_and_get_what_is_told_in_order():
    source = """
def work(orders):
    orders.send(READY)
    said = b""
    while not said.endswith(b"S"):
        said += orders.recv(1)
    os.write(1, said + b"\\n")
supervise(work, 1, reload=lambda: True)
"""
    with running(source) as process:
        assert process.stdout.readline() == "ready\n"
        os.kill(process.pid, signal.SIGHUP)
        os.kill(process.pid, signal.SIGTERM)
        out, _ = process.communicate(timeout=20)
    assert process.returncode == 0
    assert out in ("LS\nover\n", "S\nover\n")  # stopping comes first where both were told at once


def test_a_worker_is_told_nothing_that_could_not_be_read_again():
    source = """
def work(orders):
    orders.send(READY)
    while (said := orders.recv(1)) != b"S":
        os.write(1, b"told " + said + b"\\n")
supervise(work, 1, reload=lambda: print("no", flush=True) or False)
"""
    with running(source) as process:
        assert process.stdout.readline() == "ready\n"
        os.kill(process.pid, signal.SIGHUP)
        assert process.stdout.readline() == "no\n"
        os.kill(process.pid, signal.SIGTERM)
        assert process.communicate(timeout=20)[0] == "over\n"


def test_one_that_dies_again_and_again_does_not_end_those_that_live(tmp_path):
    """Every second worker dies before it is ready; its place is tried again and again, with more time between."""
    source = f"""
def work(orders):
    try:
        os.mkdir({str(tmp_path / "first")!r})
    except FileExistsError:
        os._exit(4)
    orders.send(READY)
    while orders.recv(1) != b"S":
        pass
supervise(work)
"""
    with running(source) as process:
        for seconds in ("0.1", "0.2", "0.4", "0.8", "1.6"):
            line = process.stdout.readline()
            assert line.endswith(f"ended: exit code 4; starting another in {seconds} s\n"), line
        os.kill(process.pid, signal.SIGTERM)
        assert process.communicate(timeout=20)[0] == "over\n"
    assert process.returncode == 0


def test_a_system_without_room_for_a_worker_does_not_end_those_that_live():
    source = """
fork, forks = os.fork, []

def fail_the_third():
    forks.append(0)
    if len(forks) == 3:
        raise BlockingIOError(11, "no room")
    return fork()

def work(orders):
    os.write(1, b"%d\\n" % os.getpid())
    orders.send(READY)
    while orders.recv(1) != b"S":
        pass
    os.write(1, b"obeys\\n")

os.fork = fail_the_third
supervise(work)
"""
    with running(source) as process:
        first, _ = sorted(process.stdout.readline() for _ in range(3))[:2]
        os.kill(int(first), signal.SIGKILL)
        assert process.stdout.readline().endswith("ended: SIGKILL; starting another in 0.1 s\n")
        assert process.stdout.readline() == "a worker cannot be started: no room; trying again in 0.2 s\n"
        int(process.stdout.readline())
        os.kill(process.pid, signal.SIGTERM)
        out, _ = process.communicate(timeout=20)
    assert out == "obeys\nobeys\nover\n"
    assert process.returncode == 0
