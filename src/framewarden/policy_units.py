"""Sizes and durations as people write them: "64KiB", "1.5s". A leaf.

Which fields they may stand in follows from the field's name (:data:`UNITS_OF`), so a new field needs no entry anywhere.
"""

import re
from fractions import Fraction

import msgspec

__all__ = ["DURATION", "SIZE", "UNITS_OF", "Units", "units_of"]

_NUMBER_AND_UNIT = re.compile(r"(\d{1,18})(?:\.(\d{1,9}))? ?([A-Za-z]{1,8})", re.ASCII)
LONGEST_SHOWN = 40


class Units(msgspec.Struct, frozen=True):
    """One kind of quantity.

    Attributes:
        what: its name, with an article.
        base: what a number without a unit counts.
        factors: units, and how many of the base each is.
        whole: whether there are only whole numbers of the base.
    """

    what: str
    base: str
    factors: dict[str, Fraction]
    whole: bool

    @property
    def allowed(self) -> str:
        """What may be written, for messages."""
        number = f"a whole number of {self.base}" if self.whole else f"a number of {self.base}"
        *others, last = self.factors
        return f"{self.what}: {number}, or a string of a number and one of {', '.join(others)} or {last}"

    def parse(self, text: str) -> int | float:
        """The number of bytes or seconds that ``text`` stands for; at most one space before the unit.

        Raises:
            ValueError: it is not a number and a unit, or no whole number where only those make sense.
        """
        found = _NUMBER_AND_UNIT.fullmatch(text)
        factor = self.factors.get(found[3]) if found else None
        if found is None or factor is None:
            unit = f": {found[3]} is none of them" if found else ""
            raise ValueError(f"{text[:LONGEST_SHOWN]!r}{unit}")
        digits, decimals = found[1], found[2] or ""
        exact = Fraction(int(digits + decimals), 10 ** len(decimals)) * factor
        if not self.whole:
            return float(exact)
        if exact.denominator != 1:
            raise ValueError(f"{text!r}: that is not a whole number of {self.base}")
        return int(exact)


SIZE = Units(
    "a size",
    "bytes",
    # No KB: it means 1,000 to some and 1,024 to others.
    {
        name: Fraction(factor)
        for name, factor in (
            ("B", 1),
            ("kB", 10**3),
            ("MB", 10**6),
            ("GB", 10**9),
            ("KiB", 2**10),
            ("MiB", 2**20),
            ("GiB", 2**30),
        )
    },
    whole=True,
)
DURATION = Units(
    "a duration",
    "seconds",
    {"ms": Fraction(1, 1000), "s": Fraction(1), "m": Fraction(60), "h": Fraction(3600), "d": Fraction(86400)},
    whole=False,
)
UNITS_OF = {"_bytes": SIZE, "_seconds": DURATION}
"""By what the name of a field ends with."""


def units_of(field: str) -> Units | None:
    """The kind of quantity that a field of this name holds; None: a plain value."""
    return next((units for suffix, units in UNITS_OF.items() if field.endswith(suffix)), None)
