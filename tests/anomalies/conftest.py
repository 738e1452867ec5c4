"""The module that counts allocations and lets them fail, compiled once from ``allocations.c``."""

import importlib.util
import os
import subprocess
import sysconfig
from pathlib import Path

import pytest

from tests.conftest import ROOT, missing, require

SOURCE = Path(__file__).with_name("allocations.c")
FLAGS = ("-std=c11", "-O1", "-g", "-fPIC", "-shared", "-Wall", "-Wextra", "-Werror", "-Wno-unused-parameter")


@pytest.fixture(scope="session")
def allocations_path() -> Path:
    """Where the compiled module is."""
    require("gcc")
    headers = Path(sysconfig.get_path("include"))
    if not (headers / "Python.h").exists():
        missing("Python.h is missing: apt-get install python3-dev")
    target = ROOT / "build" / "anomalies" / f"allocations{sysconfig.get_config_var('EXT_SUFFIX')}"
    target.parent.mkdir(parents=True, exist_ok=True)
    if not target.exists() or target.stat().st_mtime < SOURCE.stat().st_mtime:
        half = target.with_suffix(f".{os.getpid()}")  # another run may compile it, too
        environment = {name: value for name, value in os.environ.items() if name != "LD_PRELOAD"}
        command = ("gcc", *FLAGS, f"-I{headers}", SOURCE, "-o", half)
        subprocess.run(command, env=environment, timeout=60, check=True)
        half.replace(target)
    return target


@pytest.fixture
def allocations(allocations_path):
    """The module, counting."""
    spec = importlib.util.spec_from_file_location("allocations", allocations_path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    module.install()
    yield module
    module.uninstall()
