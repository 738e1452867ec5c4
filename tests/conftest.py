"""What all rooms share: components that a machine may lack, Hypothesis profiles, the kernel named in the header."""

import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import hypothesis
import pytest

from framewarden import kernels

ROOT = Path(__file__).parents[1]


@dataclass(frozen=True)
class Component:
    """Something outside Python that a test needs."""

    command: tuple[str, ...]
    """Exits with 0 where the component works; finding its name is not enough, a shim may stand there."""
    install: str
    """How it is had on Debian, in one line."""


COMPONENTS = {
    "aarch64": Component(
        ("sh", "-c", "qemu-aarch64 --version && aarch64-linux-gnu-gcc --version"),
        "apt-get install gcc-aarch64-linux-gnu libc6-dev-arm64-cross qemu-user",
    ),
    "atheris": Component((sys.executable, "-c", "import atheris"), "make .venv/.group-fuzz"),
    "chromium": Component(("chromium", "--version"), "apt-get install chromium"),
    "clang": Component(
        ("sh", "-c", "echo 'int main(void) { return 0; }' | clang -fsanitize=address -x c - -o /dev/null"),
        "apt-get install clang libclang-rt-14-dev llvm",
    ),
    "gcc": Component(("gcc", "--version"), "apt-get install gcc libc6-dev"),
    "node": Component(("node", "--version"), "apt-get install nodejs"),
    "open-files": Component(
        ("sh", "-c", 'files=$(ulimit -Hn); [ "$files" = unlimited ] || [ "$files" -ge 8512 ]'),
        "ulimit -Hn 8512 (limits.conf, LimitNOFILE=)",
    ),
    "npm": Component(("npm", "--version"), "apt-get install npm"),
    "openssl": Component(("openssl", "version"), "apt-get install openssl"),
    "python2.7": Component(("python2.7", "--version"), "apt-get install python2.7 (Debian 11 and older)"),
    "redis": Component(("redis-server", "--version"), "apt-get install redis-server"),
    "valgrind": Component(("valgrind", "--version"), "apt-get install valgrind"),
}

SYSTEM_AUTHORITIES = "/etc/ssl/certs/ca-certificates.crt"
"""Node has a list of its own; a machine may reach its registry through an authority that only this list has."""

_found: dict[str, bool] = {}


def present(name: str) -> bool:
    """Whether the component is on this machine and runs."""
    if name not in _found:
        command = COMPONENTS[name].command
        _found[name] = (
            shutil.which(command[0]) is not None
            and subprocess.run(command, capture_output=True, timeout=30, check=False).returncode == 0
        )
    return _found[name]


def require(name: str) -> None:
    """Skip the test by the component's name where it is missing; fail it under FRAMEWARDEN_REQUIRE_ALL=1."""
    if not present(name):
        missing(f"{name} is missing: {COMPONENTS[name].install}")


def missing(reason: str) -> None:
    """Skip the test; fail it under FRAMEWARDEN_REQUIRE_ALL=1."""
    if os.environ.get("FRAMEWARDEN_REQUIRE_ALL", "0") not in ("", "0"):
        pytest.fail(reason, pytrace=False)
    pytest.skip(reason)


@pytest.fixture(scope="session")
def requires():
    """Give a test the function that skips it by the name of a missing component."""
    return require


@pytest.fixture(scope="session")
def node_modules():
    """Give a test the function that installs a package of npm, once, and returns the folder that it is in."""

    def install(package: str) -> Path:
        require("node")
        require("npm")
        place = ROOT / "build" / "node" / package.replace("/", "-")
        done = place / "installed"
        if not done.exists():
            place.mkdir(parents=True, exist_ok=True)
            command = ("npm", "install", "--no-audit", "--no-fund", "--loglevel=error", "--prefix", place, package)
            environment = {"NODE_EXTRA_CA_CERTS": SYSTEM_AUTHORITIES} | os.environ
            try:
                subprocess.run(command, env=environment, capture_output=True, text=True, timeout=100, check=True)
            except subprocess.SubprocessError as error:
                missing(f"{package} is missing: npm cannot install it: {getattr(error, 'stderr', None) or error}")
            done.touch()
        return place / "node_modules"

    return install


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--long", action="store_true", help="run the tests that take long, too; CI does")


def pytest_runtest_setup(item):
    for mark in item.iter_markers("requires"):
        for name in mark.args:
            require(name)


# `--hypothesis-profile=long` for a night; the default keeps a whole run of the suite short. In CI the examples are the
# same in every run: what a change must pass does not depend on luck.
hypothesis.settings.register_profile("short", max_examples=100, deadline=None)
hypothesis.settings.register_profile("ci", max_examples=200, deadline=None, derandomize=True)
hypothesis.settings.register_profile("long", max_examples=20_000, deadline=None)
hypothesis.settings.load_profile("ci" if os.environ.get("CI") else "short")


def pytest_report_header():
    names = ", ".join(kernels.available())
    return f"framewarden: {Path(kernels.__file__).parent.parent}, kernel {kernels.active()} of {names}"


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Without ``--long`` tests marked ``long`` are not run. A long run of a property takes what it takes."""
    if not config.getoption("--long"):
        left_out = [item for item in items if item.get_closest_marker("long")]
        items[:] = [item for item in items if not item.get_closest_marker("long")]
        config.hook.pytest_deselected(items=left_out)
    if config.getoption("--hypothesis-profile") == "long":
        for item in items:
            item.add_marker(pytest.mark.timeout(0))
