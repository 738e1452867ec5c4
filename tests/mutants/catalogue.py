"""The mutants: ways in which the parser could be wrong, as data. What the fields mean is said in mutants.toml."""

import tomllib
from pathlib import Path
from typing import NamedTuple

__all__ = ["ROOT", "Mutant", "complaints", "load"]

ROOT = Path(__file__).resolve().parents[2]
KERNELS = "ext/kernels/"


class Mutant(NamedTuple):
    """One change of one file that breaks a rule."""

    id: str
    file: str
    old: str
    new: str
    why: str
    source: str

    @property
    def module(self) -> str | None:
        """The compiled module that has to be built again; None: the file is Python."""
        if self.file.startswith(KERNELS):
            return "framewarden.kernels._kernels"
        if self.file.endswith(".pyx"):
            return self.file.removeprefix("src/").removesuffix(".pyx").replace("/", ".")
        return None

    def applied(self, text: str) -> str:
        """The file's text with the change in it.

        Raises:
            ValueError: the old text does not stand there exactly once.
        """
        times = text.count(self.old)
        if times != 1:
            raise ValueError(f"{self.id}: the old text stands {times} times in {self.file}, not once")
        return text.replace(self.old, self.new)


def load() -> list[Mutant]:
    """Every mutant, in the order of the file."""
    rows = tomllib.loads(Path(__file__).with_name("mutants.toml").read_text("utf-8"))["mutant"]
    return [Mutant(**row) for row in rows]


def complaints(mutants: list[Mutant], root: Path = ROOT) -> list[str]:
    """What is wrong with the list itself: an id that comes twice, a text that is not in its file exactly once."""
    said = []
    ids = [mutant.id for mutant in mutants]
    said += [f"{id}: the id comes more than once" for id in sorted(set(ids)) if ids.count(id) > 1]
    for mutant in mutants:
        if mutant.old == mutant.new:
            said.append(f"{mutant.id}: changes nothing")
        try:
            mutant.applied((root / mutant.file).read_text("utf-8"))
        except (OSError, ValueError) as error:
            said.append(str(error))
    return said
