"""Which implementation is used: the best, the one asked for, or an error that lists those that there are."""

import os
import subprocess
import sys

import pytest

from framewarden import kernels


@pytest.fixture
def restored():
    before = kernels.active()
    yield
    kernels.use(before)


@pytest.mark.parametrize("name", kernels.available())
def test_use_makes_active(name, restored):
    kernels.use(name)
    assert kernels.active() == name


def test_scalar_is_last_and_always_there():
    assert kernels.available()[-1] == "scalar"


@pytest.mark.parametrize("name", ["", "AVX2", "scalar\0", "sc\u00e4lar", None, 7])
def test_use_refuses_what_is_not_there(name):
    before = kernels.active()
    with pytest.raises(ValueError, match=r"no kernel .* available: .*scalar"):
        kernels.use(name)
    assert kernels.active() == before


def import_with(kernel_name):
    return subprocess.run(
        [sys.executable, "-c", "from framewarden import kernels; print(kernels.active())"],
        env={**os.environ, "FRAMEWARDEN_KERNEL": kernel_name},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


@pytest.mark.parametrize("name", kernels.available())
def test_environment_names_the_kernel(name):
    run = import_with(name)
    assert (run.stdout, run.returncode) == (f"{name}\n", 0)


@pytest.mark.parametrize("name", ["mmx", ""])
def test_environment_names_none_that_is_here(name):
    run = import_with(name)
    assert run.returncode != 0
    assert f"ImportError: FRAMEWARDEN_KERNEL: no kernel '{name}' here; available: " in run.stderr
    assert "scalar" in run.stderr
