"""Corpora: the inputs of a target that a campaign begins with, and those that it leaves.

``fuzz/corpus/TARGET/`` is the working one: a campaign goes on from it and adds to it, a file an input, named by its
hash. ``fuzz/corpora/TARGET.zip`` is what is kept with the sources: few inputs that reach everything.
"""

import hashlib
import subprocess
import sys
import tempfile
import zipfile
import zlib
from pathlib import Path

from framewarden.apps.fuzz.building import environment, run_quietly
from framewarden.apps.fuzz.checkout import NATIVE, FuzzError
from framewarden.apps.fuzz.findings import REGRESSIONS, read_finding
from framewarden.apps.fuzz.process import LONGEST, command_of

__all__ = ["archive", "fill", "pack", "packed_in", "working", "write_archive"]

LARGEST_ARCHIVE = 64 << 20
"""Bytes that an archive may unpack to."""
EPOCH = (1980, 1, 1, 0, 0, 0)
"""The time of every file in an archive: the same inputs make the same archive."""


def working(checkout: Path, target: str) -> Path:
    """Name the folder of the inputs that campaigns have collected."""
    return checkout / "fuzz" / "corpus" / target


def archive(checkout: Path, target: str) -> Path:
    """Name the file of the inputs that are kept with the sources."""
    return checkout / "fuzz" / "corpora" / f"{target}.zip"


def packed_in(path: Path) -> list[bytes]:
    """Read an archive; nothing where there is none.

    Raises:
        FuzzError: it would unpack to more than 64 MiB, or is no archive.
    """
    if not path.exists():
        return []
    try:
        with zipfile.ZipFile(path) as file:
            if sum(entry.file_size for entry in file.infolist()) > LARGEST_ARCHIVE:
                raise FuzzError(f"{path} would unpack to more than {LARGEST_ARCHIVE} bytes")
            return [file.read(entry) for entry in file.infolist()]
    except (zipfile.BadZipFile, zlib.error) as error:
        raise FuzzError(f"{path} is no archive of a corpus: {error}") from None


def write(folder: Path, data: bytes) -> None:
    """Write an input as libFuzzer names it."""
    path = folder / hashlib.sha1(data, usedforsecurity=False).hexdigest()
    if not path.exists():
        path.write_bytes(data)


def fill(checkout: Path, place: Path, target: str, folder: Path) -> None:
    """Put into the working corpus what it lacks: seeds, findings, what is kept. The dictionary goes into ``folder``."""
    corpus = working(checkout, target)
    corpus.mkdir(parents=True, exist_ok=True)
    for data in packed_in(archive(checkout, target)):
        write(corpus, data)
    for path in sorted((checkout / REGRESSIONS).glob(f"{target}-*.json")):
        write(corpus, read_finding(path).data)
    if target not in NATIVE:
        command = [sys.executable, "-m", "fuzz.worker", "prepare", target, str(corpus), str(folder / "dictionary")]
        run_quietly(command, place, environment(place, sanitized=True))


def pack(checkout: Path, place: Path, target: str) -> tuple[int, int]:
    """Keep, of the working corpus, the fewest inputs that reach all that it reaches; how many, and their bytes."""
    corpus = working(checkout, target)
    with tempfile.TemporaryDirectory(prefix="corpus-") as folder:
        starter = Path(folder, "target")
        starter.write_text("#!/bin/sh\nexec " + " ".join(f"'{word}'" for word in command_of(place, target)) + ' "$@"\n')
        starter.chmod(0o755)
        fewer = Path(folder, "fewer")
        fewer.mkdir()
        # libFuzzer starts itself again for a merge, by the name that it was started with.
        more = environment(place, sanitized=target not in NATIVE) | {"FRAMEWARDEN_FUZZ_SELF": str(starter)}
        done = subprocess.run(  # noqa: S603 - the program is ours
            [starter, "-merge=1", f"-max_len={LONGEST}", str(fewer), str(corpus)],
            cwd=place, env=more, capture_output=True, text=True, check=False,
        )  # fmt: skip
        if done.returncode != 0:
            raise FuzzError(f"the corpus of {target!r} cannot be merged: {done.stderr.strip().rpartition(chr(10))[2]}")
        inputs = sorted((path.read_bytes() for path in fewer.iterdir()), key=lambda data: (len(data), data))
    write_archive(archive(checkout, target), inputs)
    return len(inputs), sum(map(len, inputs))


def write_archive(path: Path, inputs: list[bytes]) -> None:
    """Write an archive of inputs, each named by its hash; the same inputs in the same order make the same archive."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as file:
        for data in inputs:
            name = hashlib.sha1(data, usedforsecurity=False).hexdigest()[:12]
            file.writestr(zipfile.ZipInfo(name, EPOCH), data, zipfile.ZIP_DEFLATED)
