"""On which line of a TOML text a key or an item of an array stands. A leaf.

``tomllib`` reads the text and says nothing about positions. This walks over a text that tomllib accepts (TOML 1.0) and
names every path in it with its line, in one pass, without making a value; where the text is not TOML the walk ends, and
tomllib says why. It also refuses what tomllib would take very long for: its time grows with the square of the parts of
a dotted key, and an error of deep nesting or of a huge number has no position.
"""

import re
import tomllib
from collections.abc import Iterator

from framewarden.errors import PolicyError

__all__ = ["LARGEST_DEPTH", "LARGEST_SCALAR", "Path", "find_line", "paths"]

Path = tuple[str | int, ...]
"""Names of keys, and positions in arrays and arrays of tables."""

LARGEST_DEPTH = 32
"""Keys and positions of one path."""
LARGEST_SCALAR = 1000
"""Characters of a value that is not a string, an array or a table."""

_BLANK = re.compile(r"[ \t]*+")
_GAP = re.compile(r"(?:[ \t\n]++|#[^\n]*+)*+")
_KEY = re.compile(r"[A-Za-z0-9_-]++|" r'"(?:[^"\\\n]|\\.)*+"|' r"'[^'\n]*+'")
_STRING = re.compile(
    r'"""(?:[^"\\]|\\[\s\S]|"{1,2}+(?!"))*+"{3,5}+|'
    r"'''(?:[^']|'{1,2}+(?!'))*+'{3,5}+|"
    r'"(?:[^"\\\n]|\\.)*+"|'
    r"'[^'\n]*+'"
)
_SCALAR = re.compile(r"[^,\]}#\n]++")


class _Lost(Exception):
    """The text is not TOML from here on."""


def find_line(text: str, path: Path) -> int:
    """The line, from 1, on which ``path`` stands first; where it does not stand, that of the longest part of it.

    One pass over ``text``. Raises as :func:`paths`.
    """
    best, depth = 1, 0
    for found, line in paths(text):
        if len(found) > depth and found == path[: len(found)]:
            best, depth = line, len(found)
            if depth == len(path):
                break
    return best


def paths(text: str) -> Iterator[tuple[Path, int]]:
    """Every key and every item of an array, and the line it begins on, in the order of the text.

    A table comes once for every header or dotted key that names it.

    Raises:
        PolicyError: nested more than 32 deep, or a number of more than 1,000 characters; ``"LINE: what"``.
    """
    walk = _Walk(text.replace("\r\n", "\n"))
    try:
        yield from walk.document()
    except _Lost:
        return


class _Walk:
    """One pass over a text."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.at = 0
        self._counted_to = 0
        self._line = 1
        self._tables: dict[Path, int] = {}  # how many tables an array of tables has so far

    def document(self) -> Iterator[tuple[Path, int]]:
        """The statements, one after the other."""
        header: Path = ()
        while True:
            self._skip(_GAP)
            if self.at == len(self.text):
                return
            if self.text[self.at] != "[":
                yield from self._pair(header)
                continue
            many = self.text.startswith("[[", self.at)
            self.at += 2 if many else 1
            line = self.line()
            header = self._resolve(self._key(0), many=many)
            yield from ((header[:size], line) for size in range(1, len(header) + 1))
            self._expect("]]" if many else "]")

    def line(self) -> int:
        """Of the present position. All calls together count each line once."""
        self._line += self.text.count("\n", self._counted_to, self.at)
        self._counted_to = self.at
        return self._line

    def _resolve(self, names: Path, *, many: bool) -> Path:
        """The path of a header: a name of an array of tables stands for its last table."""
        path: Path = ()
        for number, name in enumerate(names):
            path = (*path, name)
            if many and number == len(names) - 1:
                self._tables[path] = self._tables.get(path, 0) + 1
            if path in self._tables:
                path = (*path, self._tables[path] - 1)
        return self._checked(path)

    def _pair(self, above: Path) -> Iterator[tuple[Path, int]]:
        """``key = value``; a dotted key names tables, too."""
        line = self.line()
        path = above + self._key(len(above))
        yield from ((path[:size], line) for size in range(len(above) + 1, len(path) + 1))
        self._expect("=")
        yield from self._value(path)

    def _key(self, depth: int) -> Path:
        names: list[str | int] = []
        while True:
            self._skip(_BLANK)
            name = self._take(_KEY)
            names.append(_unquote(name) if name[0] in "\"'" else name)
            self._check_depth(depth + len(names))
            self._skip(_BLANK)
            if not self.text.startswith(".", self.at):
                return tuple(names)
            self.at += 1

    def _value(self, path: Path) -> Iterator[tuple[Path, int]]:
        self._skip(_BLANK)
        first = self.text[self.at : self.at + 1]
        if first == "[":
            yield from self._array(path)
        elif first == "{":
            yield from self._inline_table(path)
        elif first in ('"', "'"):
            self._take(_STRING)
        elif len(self._take(_SCALAR)) > LARGEST_SCALAR:
            raise PolicyError(f"{self.line()}: a value of more than {LARGEST_SCALAR} characters that is not a string")

    def _array(self, path: Path) -> Iterator[tuple[Path, int]]:
        self.at += 1
        index = 0
        while not self._closes("]"):
            item = self._checked((*path, index))
            yield item, self.line()
            yield from self._value(item)
            index += 1
            if not self._goes_on("]"):
                return

    def _inline_table(self, path: Path) -> Iterator[tuple[Path, int]]:
        self.at += 1
        while not self._closes("}"):
            yield from self._pair(path)
            if not self._goes_on("}"):
                return

    def _closes(self, bracket: str) -> bool:
        self._skip(_GAP)
        if self.text.startswith(bracket, self.at):
            self.at += 1
            return True
        return False

    def _goes_on(self, bracket: str) -> bool:
        """Behind an item: a comma, or the end."""
        if self._closes(bracket):
            return False
        self._expect(",")
        return True

    def _checked(self, path: Path) -> Path:
        self._check_depth(len(path))
        return path

    def _check_depth(self, depth: int) -> None:
        if depth > LARGEST_DEPTH:
            raise PolicyError(f"{self.line()}: nested more than {LARGEST_DEPTH} deep")

    def _skip(self, pattern: re.Pattern[str]) -> None:
        found = pattern.match(self.text, self.at)
        assert found is not None  # they match nothing, too
        self.at = found.end()

    def _take(self, pattern: re.Pattern[str]) -> str:
        found = pattern.match(self.text, self.at)
        if found is None:
            raise _Lost
        self.at = found.end()
        return found[0]

    def _expect(self, mark: str) -> None:
        if not self.text.startswith(mark, self.at):
            raise _Lost
        self.at += len(mark)


def _unquote(name: str) -> str:
    if name[0] == "'" or "\\" not in name:
        return name[1:-1]
    try:  # escapes are tomllib's business: a quoted key is written as a string is
        value: str = tomllib.loads(f"x = {name}")["x"]
    except tomllib.TOMLDecodeError:
        raise _Lost from None
    return value
