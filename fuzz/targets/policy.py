"""Invariant: the text of a policy is a Policy or a PolicyError that names a line of it, whatever it is.

And where it is TOML, the walk that finds lines sees exactly the paths that tomllib makes.

Names in the text are imported, so a guard stands in front: only what is imported already can be had, and no input runs
a module. Everything else that importing does is real.
"""

import contextlib
import importlib
import re
import sys
import tomllib
from collections.abc import Iterable, Iterator
from types import SimpleNamespace
from typing import Any

import framewarden.policy_file
from framewarden import policy_lines
from framewarden.errors import PolicyError
from framewarden.policy import LARGEST_MEMORY, LARGEST_MESSAGE, Policy
from framewarden.policy_file import parse_policy

ALLOWED: tuple[type[Exception], ...] = (PolicyError,)

USUAL = b"""\
mode = "report"
close_codes = "rfc"
on_event = "builtins:print"

[limits]
max_frame_bytes = 1_000
max_connections = 0x10
max_inflated_bytes = "64KiB"
idle_seconds = 1e3
ping_seconds = "500ms"

[deflate]
client_context_takeover = true
server_max_window_bits = 10
level = 9

[access]
origins = ["https://example.org"]
hosts = []
subprotocols = ["chat", "superchat"]
paths = ["/"]
dangerous_allow_origin = false

[schema]
text = "builtins:int"
duplicate_keys = "refuse"
dec_hook = "builtins:print"

[schema.routes."/chat"]
binary = "builtins:dict"

[schema.routes."/chat".subprotocols.v1]
text = "typing:Any"
"""
TOKENS = (
    *[line + b"\n" for line in USUAL.split(b"\n") if line],
    *[
        b"inf",
        b"nan",
        b"-1",
        b"0",
        b"true",
        b"[",
        b"]",
        b"{",
        b"}",
        b'"',
        b"'",
        b'"""',
        b"=",
        b".",
        b"\n",
        b"# ",
        b"\\u0000",
    ],
    *[
        b"1979-05-27T07:32:00Z",
        b"9223372036854775808",
        b"1e999",
        b'":x"',
        b'"x:"',
        b'".:x"',
        b'"..:x"',
        b'"os.path:join"',
    ],
    *[
        b"[[schema]]\n",
        b"schema = 1\n",
        b"on_event = []\n",
        b'"os:\\u0000"',
        b'"builtins:int.__class__"',
        b"[[a.b]]\n",
        b"a.b = [{c = 1}, [2]]\n",
        b"'''",
        b"\r\n",
        b"KiB",
        b"0b1",
        b"1_0",
    ],
)


class _Guard:
    """Stands first in sys.meta_path: a module that is not there yet cannot be found."""

    @staticmethod
    def find_spec(name: str, path: Any = None, target: Any = None) -> None:
        raise ModuleNotFoundError(f"No module named {name!r}", name=name)


def _import_module(name: str, package: str | None = None) -> Any:
    sys.meta_path.insert(0, _Guard)
    try:
        return importlib.import_module(name, package)
    finally:
        sys.meta_path.remove(_Guard)


@contextlib.contextmanager
def guarded() -> Iterator[None]:
    module: Any = framewarden.policy_file
    real = module.importlib
    module.importlib = SimpleNamespace(import_module=_import_module)
    try:
        yield
    finally:
        module.importlib = real


ERROR = re.compile(r"fuzz:(\d+): \S.*")


def one(data: bytes) -> None:
    check_lines(data)
    with guarded():
        try:
            policy = parse_policy(data, "fuzz")
        except ALLOWED as error:
            said = ERROR.fullmatch(str(error))
            assert said is not None, "not one line with a number"
            assert 1 <= int(said[1]) <= data.count(b"\n") + 1
            return
    check(policy)


def check_lines(data: bytes) -> None:
    """The walk over a text against tomllib."""
    try:
        text = data.decode()
        found = list(policy_lines.paths(text))
        table = tomllib.loads(text)
    except (ValueError, PolicyError):
        return
    assert {path for path, _ in found} == set(flatten(table, ()))
    lines = [line for _, line in found]
    assert lines == sorted(lines)
    assert not lines or lines[-1] <= text.count("\n") + 1


def flatten(value: Any, path: policy_lines.Path) -> Iterator[policy_lines.Path]:
    """Every path in what tomllib made."""
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for name, inner in items:
        yield (*path, name)
        yield from flatten(inner, (*path, name))


def check(policy: Policy) -> None:
    """What every room may rely on."""
    limits = policy.limits
    for name in limits.__struct_fields__:
        value = getattr(limits, name)
        assert value is None or 0 < value <= (LARGEST_MEMORY if name == "max_memory_bytes" else LARGEST_MESSAGE), name
        assert value is not None or name in ("max_connections", "max_memory_bytes")
    assert policy.mode in ("enforce", "report")
    assert policy.close_codes in ("framewarden", "rfc")
    assert policy.on_event is None or callable(policy.on_event)
    assert policy.schema is None or policy.schema.dec_hook is None or callable(policy.schema.dec_hook)
    if policy.deflate is not None:
        assert 9 <= policy.deflate.client_max_window_bits <= 15
        assert 9 <= policy.deflate.server_max_window_bits <= 15
        assert 1 <= policy.deflate.level <= 9
        assert policy.deflate.min_bytes >= 0


def seeds() -> Iterable[bytes]:
    yield USUAL
    yield b""
    tables = USUAL.replace(b"\n[", b"\0[").split(b"\0")
    yield from tables
    for name in (b"", b"x", b":", b"x:", b":x", b"builtins:", b"builtins:int.real", b"no_such:x", b"sys:x", b"a.b.c:d"):
        yield b'on_event = "' + name + b'"\n[schema]\ntext = "' + name + b'"\n'
    yield b"[limits]\n" + b"".join(b"%s = 1\n" % name.encode() for name in Policy().limits.__struct_fields__)
    yield b"a = " + b"[" * 200 + b"]" * 200
    yield b"a" + b".a" * 100 + b" = 1"
    yield b"[limits]\nmax_headers = nan\nidle_seconds = inf\n"
    yield b"\xff\xfe"
    yield b'a = [\n  1, # ]\n  {b = \'x]\', c.d = ["""\n]"""]},\n]\n'
    yield b"[[t]]\n[t.u]\n[[t.v]]\n[[t]]\nw = 1979-05-27 07:32:00\n"
    yield b'[limits]\r\n\r\nmax_frame_bytes = "1 MB"\r\nidle_seconds = "1.5 x"\r\n'
