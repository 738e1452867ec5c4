"""Every finding of a campaign, and the corpora that are kept: each keeps its target's invariant.

``framewarden fuzz run`` writes a file into ``findings/`` when it finds something: this fails then, until it is mended.
"""

import subprocess
from pathlib import Path

import pytest

from framewarden.apps.fuzz.checkout import NATIVE
from framewarden.apps.fuzz.corpora import archive, packed_in
from framewarden.apps.fuzz.findings import read_finding
from fuzz.targets import NAMES, load

ROOT = Path(__file__).parents[2]
FINDINGS = sorted((Path(__file__).parent / "findings").glob("*.json"))


@pytest.fixture(scope="session")
def native(tmp_path_factory, requires):
    """Give a test the function that runs inputs of a C target: built by gcc, with a main that only reads files."""
    requires("gcc")
    folder = tmp_path_factory.mktemp("native")

    def run(name: str, inputs: list[bytes]) -> None:
        program = folder / name
        if not program.exists():
            sources = [ROOT / "fuzz" / "native" / file for file in (f"{name.removesuffix('_c')}.c", "standalone.c")]
            includes = [f"-I{ROOT / 'ext' / 'kernels'}", f"-I{ROOT / 'tests' / 'kernels_c'}"]
            sources += sorted((ROOT / "ext" / "kernels").glob("*.c"))
            flags = ["-std=c11", "-g", "-O1", "-fsanitize=address,undefined", "-fno-sanitize-recover=all"]
            subprocess.run(["gcc", *flags, *includes, *sources, "-o", program], check=True, timeout=50)
        stream = b"".join(len(data).to_bytes(4, "little") + data for data in inputs)
        done = subprocess.run([program], input=stream, capture_output=True, timeout=50, check=False)
        assert done.returncode == 0, done.stderr.decode(errors="replace")
        assert done.stdout == b"%d inputs\n" % len(inputs)

    return run


def replay(target: str, inputs: list[bytes], native) -> None:
    if target in NATIVE:
        native(target, inputs)
        return
    one = load(target).one
    for number, data in enumerate(inputs):
        try:
            one(data)
        except Exception as error:
            raise AssertionError(f"input {number}: {data.hex()}") from error


@pytest.mark.parametrize("path", FINDINGS, ids=lambda path: path.stem)
def test_finding(path, native):
    finding = read_finding(path)
    replay(finding.target, [finding.data], native)


@pytest.mark.parametrize("target", [*NATIVE, *NAMES])
def test_corpus(target, native):
    inputs = packed_in(archive(ROOT, target))
    assert inputs, "make corpora"
    replay(target, inputs, native)


def test_a_c_target_that_does_not_come_to_its_end_is_seen(native, monkeypatch):
    monkeypatch.setattr("subprocess.run", lambda *_, **__: subprocess.CompletedProcess([], -6, b"", b"planted"))
    with pytest.raises(AssertionError, match="planted"):
        native("kernels_c", [b"x"])
