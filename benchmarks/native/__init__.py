"""Small compiled helpers of the benchmarks, built when they are first needed, into the untracked ``build/`` folder.

They are no part of the product: a peer that is used from Cython (picows) must be measured from Cython, and an event
loop does not hand bytes over in Python. ``load(name)`` builds ``<name>.pyx`` again when its source, Cython, picows or
the interpreter has changed.
"""

import hashlib
import importlib.util
import subprocess
import sys
import sysconfig
from importlib.metadata import version
from pathlib import Path
from types import ModuleType

HERE = Path(__file__).parent
ROOT = HERE.parent.parent
SOURCES = (ROOT / "src", ROOT / "ext" / "kernels")


def load(name: str) -> ModuleType:
    """Import the compiled module of ``<name>.pyx``, building it first if need be (about 10 seconds each)."""
    full_name = f"benchmarks.native.{name}"
    if full_name in sys.modules:
        return sys.modules[full_name]
    library = _library(name)
    if not library.exists():
        _build(name, library)
    spec = importlib.util.spec_from_file_location(full_name, library)
    if spec is None or spec.loader is None:
        raise ImportError(f"{library} cannot be loaded")
    module = importlib.util.module_from_spec(spec)
    sys.modules[full_name] = module
    spec.loader.exec_module(module)
    return module


def _library(name: str) -> Path:
    headers = sorted((ROOT / "ext" / "kernels").glob("*.h")) + sorted((ROOT / "src").rglob("kernels/*.pxd"))
    digest = hashlib.sha256((HERE / f"{name}.pyx").read_bytes())
    for header in headers:
        digest.update(header.read_bytes())
    digest.update(f"{version('cython')} {version('picows')} {sys.version}".encode())
    folder = ROOT / "build" / "benchmarks" / digest.hexdigest()[:16]
    return folder / (name + sysconfig.get_config_var("EXT_SUFFIX"))


def _build(name: str, library: Path) -> None:
    """In a process of its own: setuptools and Cython change much of the one that they run in."""
    library.parent.mkdir(parents=True, exist_ok=True)
    print(f"building benchmarks/native/{name}.pyx ...", file=sys.stderr)
    result = subprocess.run(
        [sys.executable, __file__, name, str(library.parent)], capture_output=True, text=True, check=False
    )
    if result.returncode:
        raise ImportError(f"benchmarks/native/{name}.pyx does not build:\n{result.stdout}{result.stderr}")


def _main(name: str, folder: str) -> None:
    from Cython.Build import cythonize
    from setuptools import Distribution, Extension

    source = Path(folder) / f"{name}.pyx"
    source.write_bytes((HERE / f"{name}.pyx").read_bytes())
    extension = Extension(name, [str(source)], include_dirs=[str(SOURCES[1])], extra_compile_args=["-O3", "-g"])
    modules = cythonize([extension], include_path=[str(SOURCES[0])], quiet=True, build_dir=folder)
    distribution = Distribution({"ext_modules": modules})
    command = distribution.get_command_obj("build_ext")
    command.build_lib, command.build_temp = folder, folder
    command.ensure_finalized()
    command.run()


if __name__ == "__main__":
    _main(sys.argv[1], sys.argv[2])
