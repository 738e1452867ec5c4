"""What a file of ours imports, cimports and includes, and which room it stands in."""

import ast
import re
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = ROOT / "src" / "framewarden"

LAYERS = [
    [name.strip().removeprefix("framewarden.") for name in layer.strip("()").split(":")]
    for contract in tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]
    if contract["type"] == "layers"
    for layer in contract["layers"]
]
"""The contract of pyproject.toml, highest first; the last entry has the leaves."""

LEAVES = LAYERS[-1]
ROOMS = [layer[0] for layer in LAYERS[:-1]]


@dataclass(frozen=True)
class Import:
    """One name that a file asks for: ``framewarden.codec._payload``, ``msgspec``, ``libc.stdint``."""

    line: int
    module: str
    cimport: bool = False

    @property
    def top(self) -> str:
        return self.module.partition(".")[0]


def room_of(path: Path) -> str:
    """Name the room: codec for src/framewarden/codec/_frames.pyx, errors for errors.py, nothing for the front door."""
    inside = path.relative_to(PACKAGE)
    name = inside.parts[0] if len(inside.parts) > 1 else inside.stem
    return "" if name in ("__init__", "__main__") else name


def target_room(module: str) -> str:
    """Name the room of a module: codec for framewarden.codec._frames, nothing for framewarden itself."""
    parts = module.split(".")
    return parts[1] if len(parts) > 1 else ""


def python_imports(text: str) -> Iterator[Import]:
    """Of a .py or .pyi file, wherever they stand."""
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield Import(node.lineno, alias.name)
        elif isinstance(node, ast.ImportFrom):
            yield from _from(node.lineno, "." * node.level + (node.module or ""), [alias.name for alias in node.names])


_BLANK = re.compile(r'("""|\'\'\')(?:\\.|(?!\1).)*\1|#[^\n]*', re.DOTALL)
_FROM = re.compile(r"^[ \t]*from\s+([\w.]+)\s+(c?import)\s+(\([^)]*\)|[^\n]+)", re.MULTILINE)
_PLAIN = re.compile(r"^[ \t]*(c?import)\s+([\w., \t]+)", re.MULTILINE)
_EXTERN = re.compile(r"\bextern\s+from\s+[<\"']([^>\"'\n]+)[>\"']")
_INCLUDE = re.compile(r"^[ \t]*#[ \t]*include[ \t]*([<\"][^>\"\n]+[>\"])", re.MULTILINE)


def cython_imports(text: str) -> Iterator[Import]:
    """Of a .pyx or .pxd file; docstrings and comments do not count."""
    text = _without_prose(text)
    for match in _FROM.finditer(text):
        names = [name.split(" as ")[0].strip() for name in match[3].strip("()").split(",")]
        for found in _from(_line(text, match), match[1], [name for name in names if name]):
            yield Import(found.line, found.module, cimport=match[2] == "cimport")
    for match in _PLAIN.finditer(text):
        for name in match[2].split(","):
            yield Import(_line(text, match), name.split(" as ")[0].strip(), cimport=match[1] == "cimport")


def externs(text: str) -> list[str]:
    """The headers that a .pyx or .pxd declares functions of."""
    return _EXTERN.findall(_without_prose(text))


def includes(text: str) -> list[str]:
    """The headers that a C file includes, with their brackets or quotes."""
    return _INCLUDE.findall(re.sub(r"/\*.*?\*/", "", text, flags=re.DOTALL))


def _without_prose(text: str) -> str:
    return _BLANK.sub(lambda match: re.sub(r"[^\n]", " ", match[0]), text)


def _line(text: str, match: re.Match[str]) -> int:
    return text.count("\n", 0, match.start()) + 1


def _from(line: int, module: str, names: list[str]) -> Iterator[Import]:
    """``from framewarden import errors`` asks for framewarden.errors."""
    if module != "framewarden":
        yield Import(line, module)
        return
    for name in names:
        yield Import(line, f"framewarden.{name}" if name in (*ROOMS, *LEAVES) else "framewarden")
