"""A policy from a TOML file. A leaf.

What may stand in a file follows from the Structs of ``policy``: a new field or section needs no entry here. Every error
names the file, the line and the key, and what is allowed there, in one line.
"""

import collections.abc
import datetime as dt
import difflib
import importlib
import json
import re
import tomllib
from pathlib import Path
from types import NoneType
from typing import Any, Literal, get_args, get_origin

import msgspec

from framewarden import policy_lines
from framewarden.errors import PolicyError
from framewarden.policy import Policy
from framewarden.policy_units import units_of

__all__ = ["LARGEST_POLICY_FILE", "load_policy", "parse_policy"]

LARGEST_POLICY_FILE = 1024 * 1024
LONGEST_SHOWN = 60

_BARE_KEY = re.compile(r"[A-Za-z0-9_-]+", re.ASCII)
_PLACE = re.compile(r"(?s)(.*) \(at (?:line (\d+), column \d+|end of document)\)")


class _Wrong(Exception):
    """What is wrong at a path."""

    def __init__(self, path: policy_lines.Path, message: str) -> None:
        super().__init__(message)
        self.path = path
        self.message = message


def load_policy(path: str | Path) -> Policy:
    """Read a policy from a TOML file of at most 1 MiB.

    Tables and keys are the fields of :class:`framewarden.Policy`. A size may be a string with a unit ("64KiB", "1MB"),
    and so may a duration ("20s", "500ms", "24h"). Types and callables are named ``"package.module:Name"``.

    Raises:
        PolicyError: the file cannot be read, is not TOML, has an unknown key or a value that no room could use:
            ``policy.toml:7: limits.max_frame_bytes must be ...``.
    """
    try:
        with Path(path).open("rb") as file:
            text = file.read(LARGEST_POLICY_FILE + 1)
    except OSError as error:
        raise PolicyError(f"{path}: {error.strerror}") from None
    if len(text) > LARGEST_POLICY_FILE:
        raise PolicyError(f"{path}: longer than {LARGEST_POLICY_FILE} bytes")
    return parse_policy(text, str(path))


def parse_policy(text: bytes, name: str = "policy") -> Policy:
    """Make a policy of the text of a TOML file; ``name`` begins the error messages. Raises as :func:`load_policy`.

    Takes time in proportion to the length of ``text``, but for what importing the names in it takes.
    """
    try:
        document = text.decode()
    except UnicodeDecodeError as error:
        line = text.count(b"\n", 0, error.start) + 1
        raise PolicyError(f"{name}:{line}: not UTF-8") from None
    try:
        policy: Policy = _build(Policy, _read(document), ())
        return policy
    except _Wrong as wrong:
        line = policy_lines.find_line(document, wrong.path)
        key = _dotted(wrong.path)
        message = wrong.message if wrong.message.startswith(key) else f"{key}: {wrong.message}"
        raise PolicyError(f"{name}:{line}: {' '.join(message.split())}") from None
    except PolicyError as error:
        raise PolicyError(f"{name}:{error}") from None


def _read(document: str) -> dict[str, Any]:
    """The tables. Raises PolicyError with ``"LINE: what"``."""
    for _ in policy_lines.paths(document):
        pass  # refuses what tomllib must not be given
    try:
        return tomllib.loads(document)
    except tomllib.TOMLDecodeError as error:
        found = _PLACE.fullmatch(str(error))
        last = document.count("\n") + 1
        what, line = (found[1], found[2] or last) if found else (str(error), last)
        raise PolicyError(f"{line}: not TOML: {' '.join(what.split())}") from None


def _build(kind: type[msgspec.Struct], table: Any, path: policy_lines.Path) -> Any:
    """The Struct that a table describes."""
    if not isinstance(table, dict):
        raise _Wrong(path, f"{_dotted(path)} must be a table, not {_shown(table)}")
    fields = {field.name: field.type for field in msgspec.structs.fields(kind)}
    values = {}
    for key, value in table.items():
        if key not in fields:
            raise _Wrong((*path, key), f"{_dotted((*path, key))} is unknown here; {_suggest(key, kind)}")
        values[key] = _convert(fields[key], key, value, (*path, key))
    try:
        return kind(**values)
    except ValueError as error:  # PolicyError is one
        for key, value in values.items():
            try:
                kind(**{key: value})
            except ValueError as alone:
                raise _Wrong((*path, key), str(alone)) from None
        raise _Wrong(path, str(error)) from None  # only all of them together are wrong


def _suggest(key: str, kind: type[msgspec.Struct]) -> str:
    """What may have been meant."""
    for field in msgspec.structs.fields(Policy):
        sections = [each for each in (field.type, *get_args(field.type)) if each is not kind]
        if any(key in getattr(each, "__struct_fields__", ()) for each in sections):
            return f"it belongs in [{field.name}]"
    near = difflib.get_close_matches(key[:LONGEST_SHOWN], kind.__struct_fields__, n=1)
    return f"did you mean {near[0]}?" if near else f"allowed are {', '.join(kind.__struct_fields__)}"


def _convert(kind: Any, name: str, value: Any, path: policy_lines.Path) -> Any:
    """The value of a field of this type and name, or of a member of it."""
    choices = [each for each in get_args(kind) if each is not NoneType] if NoneType in get_args(kind) else [kind]
    if len(choices) == 1:
        kind = choices[0]
    origin = get_origin(kind)
    if kind is Any or origin is collections.abc.Callable:
        return _import(value, path)
    if isinstance(kind, type) and issubclass(kind, msgspec.Struct):
        return _build(kind, value, path)
    if origin is dict:
        if not isinstance(value, dict):
            raise _Wrong(path, f"{_dotted(path)} must be a table, not {_shown(value)}")
        return {key: _convert(get_args(kind)[1], name, inner, (*path, key)) for key, inner in value.items()}
    if origin in (tuple, list):
        if not isinstance(value, list):
            raise _Wrong(path, f"{_dotted(path)} must be an array, not {_shown(value)}")
        item = get_args(kind)[0]
        return origin(_convert(item, name, each, (*path, index)) for index, each in enumerate(value))
    return _convert_scalar(kind, name, value, path)


def _convert_scalar(kind: Any, name: str, value: Any, path: policy_lines.Path) -> Any:
    units = units_of(name) if kind in (int, float) else None
    allowed = _describe(kind) if units is None else units.allowed
    if units is not None and isinstance(value, str):
        try:
            return units.parse(value)
        except ValueError as error:
            raise _Wrong(path, f"{_dotted(path)} must be {allowed}, not {error}") from None
    try:
        return msgspec.convert(value, kind)
    except msgspec.ValidationError:
        raise _Wrong(path, f"{_dotted(path)} must be {allowed}, not {_shown(value)}") from None


def _import(name: Any, path: policy_lines.Path) -> Any:
    """What ``"package.module:Name"`` names."""
    module, _, attribute = name.partition(":") if isinstance(name, str) else ("", "", "")
    if not module or not attribute:
        raise _Wrong(path, f"{_dotted(path)} must be 'package.module:Name', not {_shown(name)}")
    try:
        value: Any = importlib.import_module(module)
        for part in attribute.split("."):
            value = getattr(value, part)
    except (Exception, SystemExit) as error:  # noqa: BLE001 - importing runs a module, which raises what it likes
        why = f"{type(error).__name__}: {error}"
        raise _Wrong(path, f"{_dotted(path)}: {_shown(name)} cannot be imported: {why}") from None
    return value


# Words


def _describe(kind: Any) -> str:
    """What values a type has, for who writes TOML."""
    if get_origin(kind) is Literal:
        return " or ".join(repr(each) for each in get_args(kind))
    return {bool: "true or false", int: "a whole number", float: "a number", str: "a string"}.get(kind, str(kind))


def _shown(value: Any) -> str:
    """A value, short, for a message."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, dict):
        return "a table"
    if isinstance(value, list):
        return "an array"
    if isinstance(value, dt.date | dt.time):
        return "a date or time"
    if isinstance(value, str):
        return repr(value if len(value) <= LONGEST_SHOWN else f"{value[:LONGEST_SHOWN]}...")
    return "a number that large" if isinstance(value, int) and abs(value) > 10**LONGEST_SHOWN else str(value)


def _dotted(path: policy_lines.Path) -> str:
    """A path as TOML writes it: ``schema.routes."/chat".text``."""
    said = ""
    for part in path:
        if isinstance(part, int):
            said += f"[{part}]"
            continue
        short = part if len(part) <= LONGEST_SHOWN else f"{part[:LONGEST_SHOWN]}..."
        said += f"{'.' if said else ''}{short if _BARE_KEY.fullmatch(short) else json.dumps(short)}"
    return said
