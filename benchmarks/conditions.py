"""Under which conditions a number was taken: it means nothing without them."""

import platform
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

PACKAGES = ("framewarden", "picows", "aiohttp", "websockets", "wsproto", "msgspec", "zlib-ng", "Cython")


def conditions() -> list[str]:
    """Lines that name the kernel in use, the interpreter, the CPU and the versions of everybody."""
    try:
        from framewarden import kernels

        kernel = f"{kernels.active()} (available: {', '.join(kernels.available())})"
    except ImportError as error:
        kernel = f"not built: {error}"
    return [
        f"kernel: {kernel}",
        f"Python {platform.python_version()} on {platform.machine()}, {_cpu()}",
        ", ".join(f"{package} {_version(package)}" for package in PACKAGES),
    ]


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "(from the source tree)" if package == "framewarden" else "not installed"


def _cpu() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return "unknown CPU"
    return next((line.partition(": ")[2] for line in lines if line.startswith("model name")), "unknown CPU")
