"""What is always true of policies in TOML: the lines of keys, and the units."""

import json
import re
import tomllib
from fractions import Fraction

from hypothesis import assume, example, given
from hypothesis import strategies as st

from framewarden.policy_file import parse_policy
from framewarden.policy_lines import find_line, paths
from framewarden.policy_units import DURATION, SIZE

NAMES = st.sampled_from(["a", "b-1", "limits", "é", "x.y", "]", "=", '"', "#", "'''"]) | st.text(max_size=3)
STRINGS = st.sampled_from(["]", "}", '"""', "'''", "# no comment", "a\nb", "\\", ""]) | st.text(max_size=6)
SCALARS = st.integers(-5, 5) | st.booleans() | st.floats(allow_nan=False) | STRINGS
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=3),
    max_leaves=8,
)
GAPS = st.sampled_from(["", " ", "\n", "\n\n", " # ] }\n", "\t"])


class Writer:
    """Writes TOML and keeps the line on which each path begins."""

    def __init__(self, draw):
        self.draw = draw
        self.text = ""
        self.lines = {}

    def note(self, path):
        for size in range(1, len(path) + 1):
            self.lines.setdefault(path[:size], self.text.count("\n") + 1)

    def key(self, names):
        self.text += (
            " . ".join(self.name(name) for name in names)
            if self.draw(st.booleans())
            else ".".join(self.name(name) for name in names)
        )

    def name(self, name):
        if re.fullmatch(r"[A-Za-z0-9_-]+", name) and self.draw(st.booleans()):
            return name
        if self.draw(st.booleans()) and re.fullmatch(r"[\x20-\x26\x28-\x7e]*", name):
            return f"'{name}'"
        return basic(name)

    def value(self, value, path):
        if isinstance(value, list):
            self.text += "["
            for index, item in enumerate(value):
                self.text += self.draw(GAPS)
                self.note((*path, index))
                self.value(item, (*path, index))
                self.text += self.draw(GAPS) + ","
            self.text += self.draw(GAPS) + "]"
        elif isinstance(value, dict):
            self.text += "{"
            for number, (name, item) in enumerate(value.items()):
                self.text += ", " if number else " "
                self.note((*path, name))
                self.key([name])
                self.text += " = "
                self.value(item, (*path, name))
            self.text += " }"
        elif isinstance(value, str):
            self.text += self.string(value)
        else:
            self.text += json.dumps(value).replace("Infinity", "inf")

    def string(self, value):
        if self.draw(st.booleans()) and re.fullmatch(r"[\x20-\x26\x28-\x7e\n]*", value):
            return f"'''\n{value}'''"
        if self.draw(st.booleans()):
            return f'"""{basic(value)[1:-1]}\\\n  """'
        return basic(value)


def basic(text):
    """A basic string; JSON escapes what TOML wants escaped, but for DEL."""
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")


@st.composite
def documents(draw):
    """The text of a document, and the line of every path in it."""
    writer = Writer(draw)
    counts = {}
    header = ()
    for _ in range(draw(st.integers(0, 5))):
        writer.text += draw(st.sampled_from(["", "\n", "# [x]\n", " \n"]))
        kind = draw(st.sampled_from(["pair", "pair", "table", "tables"]))
        names = draw(st.lists(NAMES, min_size=1, max_size=3))
        if kind == "pair":
            path = (*header, *names)
            writer.note(path)
            writer.key(names)
            writer.text += " = "
            writer.value(draw(VALUES), path)
            writer.text += draw(st.sampled_from(["\n", " # = 1\n"]))
            continue
        path = ()
        for number, name in enumerate(names):
            path = (*path, name)
            if kind == "tables" and number == len(names) - 1:
                counts[path] = counts.get(path, -1) + 1
            if path in counts:
                path = (*path, counts[path])
        writer.note(path)
        header = path
        writer.text += "[[ " if kind == "tables" else "["
        writer.key(names)
        writer.text += " ]]\n" if kind == "tables" else "]\n"
    return writer.text, writer.lines


@given(documents(), st.booleans())
def test_every_path_is_found_on_its_line(document, windows):
    text, lines = document
    try:
        tomllib.loads(text)
    except tomllib.TOMLDecodeError:
        assume(False)  # a key twice, or a table where a value stands
    if windows:
        text = text.replace("\n", "\r\n")
    assert {path for path, _ in paths(text)} == set(lines)
    for path, line in lines.items():
        assert find_line(text, path) == line
        assert find_line(text, (*path, "none")) == line


LINES = st.sampled_from(
    ["a = 1", "a.b = 2", "'b'.c = 3", "[a]", "[t]", "[t.u]", "[[l]]", "[l.m]", "x = [{a = 1}]", "", "#"]
)


@given(st.lists(LINES, max_size=8))
@example(["[[l]]", "x = 1", "[[l]]", "x = 1"])
@example(["a.b = 2", "", "[t]", "a.b = 2"])
def test_a_line_is_that_of_the_smallest_beginning_which_has_the_path(lines):
    """The obvious way to find a line, where a statement is a line."""
    text = "\n".join(lines)
    try:
        tomllib.loads(text)
    except tomllib.TOMLDecodeError:
        assume(False)
    for path, _ in paths(text):
        smallest = next(n for n in range(1, len(lines) + 1) if has(tomllib.loads("\n".join(lines[:n])), path))
        assert find_line(text, path) == smallest


def has(value, path):
    for part in path:
        try:
            value = value[part]
        except (KeyError, IndexError):
            return False
    return True


@given(st.lists(st.sampled_from("ab=\"'[]{},.#\\\n 1") | st.just('"""'), max_size=40).map("".join))
def test_the_walk_sees_what_tomllib_makes_of_anything(text):
    found = [path for path, _ in paths(text)]
    try:
        table = tomllib.loads(text)
    except tomllib.TOMLDecodeError:
        return
    assert set(found) == set(flatten(table, ()))


def flatten(value, path):
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for name, inner in items:
        yield (*path, name)
        yield from flatten(inner, (*path, name))


@given(st.integers(0, 10**9), st.integers(0, 999), st.sampled_from(list(SIZE.factors)), st.sampled_from(["", " "]))
def test_sizes(whole, thousandths, unit, space):
    exact = (whole + Fraction(thousandths, 1000)) * SIZE.factors[unit]
    text = f"{whole}.{thousandths:03}{space}{unit}"
    try:
        assert SIZE.parse(text) == exact
    except ValueError:
        assert exact.denominator != 1
    assert SIZE.parse(f"{whole}{space}{unit}") == whole * SIZE.factors[unit]


@given(st.integers(0, 10**9), st.integers(0, 999), st.sampled_from(list(DURATION.factors)))
def test_durations(whole, thousandths, unit):
    assert DURATION.parse(f"{whole}.{thousandths:03}{unit}") == float(
        (whole + Fraction(thousandths, 1000)) * DURATION.factors[unit]
    )


@given(st.integers(1, 2**21 - 1))
def test_a_unit_is_only_another_spelling(kibibytes):
    with_unit = parse_policy(f"[limits]\nmax_message_bytes = '{kibibytes}KiB'\nidle_seconds = '{kibibytes}s'".encode())
    plain = parse_policy(f"[limits]\nmax_message_bytes = {kibibytes * 1024}\nidle_seconds = {kibibytes}".encode())
    assert with_unit == plain
