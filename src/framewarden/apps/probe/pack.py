"""The flaw pack: the classes of published flaws, and their cases."""

from importlib.resources import files

import msgspec

from framewarden.apps.cases import Case, load_cases

__all__ = ["FlawClass", "flaw_cases", "flaw_classes"]

FOLDER = files("framewarden.apps.probe") / "flaws"
CLASSES = "classes.json"


class FlawClass(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One class of flaws.

    Attributes:
        id: of the class; its cases name it.
        title: in a few words.
        flaws: ids of the published flaws, CVE or PYSEC.
        does: what its cases do, and what is not played and why.
    """

    id: str
    title: str
    flaws: tuple[str, ...]
    does: str


def flaw_classes() -> list[FlawClass]:
    """Every class, in the order of the table."""
    return msgspec.json.decode((FOLDER / CLASSES).read_bytes(), type=list[FlawClass])


def flaw_cases() -> list[Case]:
    """Every case, in the order of the classes, then of the ids."""
    order = {each.id: number for number, each in enumerate(flaw_classes())}
    names = [file for file in FOLDER.iterdir() if file.name.endswith(".json") and file.name != CLASSES]
    return sorted(load_cases(names), key=lambda case: (order[case.flaw_class], case.id))
