"""Policies in TOML: what they mean, and one line with file, line and key for what cannot be meant."""

import contextlib
import time

import msgspec
import pytest

from framewarden import policy_file
from framewarden.errors import PolicyError
from framewarden.policy import Access, Deflate, Limits, Policy, Schema
from framewarden.policy_file import LARGEST_POLICY_FILE, load_policy, parse_policy

TOML = b"""
mode = "report"
close_codes = "rfc"
on_event = "builtins:print"

[limits]
max_message_bytes = "64KiB"
max_frame_bytes = 1_000
max_memory_bytes = "3 GiB"
idle_seconds = "1500ms"
ping_seconds = 1.5
handshake_seconds = 3

[schema]
text = "builtins:int"
duplicate_keys = "refuse"

[schema.routes."/files"]
binary = "builtins:bytes"
dec_hook = "builtins:isinstance"

[schema.routes."/files".subprotocols.v2]
text = "builtins:str"

[deflate]
level = 9
min_bytes = "1kB"

[access]
origins = ["https://example.org"]
paths = ["/files"]
dangerous_allow_anonymous = true
"""

PYTHON = Policy(
    mode="report",
    close_codes="rfc",
    on_event=print,
    limits=Limits(
        max_message_bytes=65536,
        max_frame_bytes=1000,
        max_memory_bytes=3 * 2**30,
        idle_seconds=1.5,
        ping_seconds=1.5,
        handshake_seconds=3,
    ),
    schema=Schema(
        text=int,
        duplicate_keys="refuse",
        routes={"/files": Schema(binary=bytes, dec_hook=isinstance, subprotocols={"v2": Schema(text=str)})},
    ),
    deflate=Deflate(level=9, min_bytes=1000),
    access=Access(origins=("https://example.org",), paths=("/files",), dangerous_allow_anonymous=True),
)


def test_toml_and_python_say_the_same(tmp_path):
    assert parse_policy(TOML) == PYTHON
    path = tmp_path / "policy.toml"
    path.write_bytes(TOML)
    assert load_policy(path) == load_policy(str(path)) == PYTHON


def test_nothing_said_is_the_hardened_policy():
    assert parse_policy(b"") == Policy()
    assert parse_policy(b"[limits]\n[access]\n") == Policy()
    assert parse_policy(b"[deflate]\n[schema]\n") == Policy(deflate=Deflate(), schema=Schema())


SIZE = "a size: a whole number of bytes, or a string of a number and one of B, kB, MB, GB, KiB, MiB or GiB, not"
TIME = "a duration: a number of seconds, or a string of a number and one of ms, s, m, h or d, not"
RANGE = "must be above 0 and at most 2147483647, not"

VALUES = [
    ("mode = 1", "1: mode must be 'enforce' or 'report', not 1"),
    ("mode = 'lenient'", "1: mode must be 'enforce' or 'report', not 'lenient'"),
    ("mode = 1979-05-27", "1: mode must be 'enforce' or 'report', not a date or time"),
    ("limits = 5", "1: limits must be a table, not 5"),
    ("\n[[limits]]", "2: limits must be a table, not an array"),
    ("[limits]\nmax_frame_bytes = 0", f"2: limits.max_frame_bytes {RANGE} 0"),
    ("[limits]\nmax_frame_bytes = 1.5", f"2: limits.max_frame_bytes must be {SIZE} 1.5"),
    ("[limits]\nmax_frame_bytes = true", f"2: limits.max_frame_bytes must be {SIZE} true"),
    ("[limits]\nmax_frame_bytes = '1 KB'", f"2: limits.max_frame_bytes must be {SIZE} '1 KB': KB is none of them"),
    ("[limits]\nmax_frame_bytes = '1.3B'", f"2: limits.max_frame_bytes must be {SIZE} '1.3B': that is not a whole"),
    ("[limits]\nmax_headers = '5'", "2: limits.max_headers must be a whole number, not '5'"),
    ("[limits]\nidle_seconds = []", f"2: limits.idle_seconds must be {TIME} an array"),
    ("[limits]\nidle_seconds = '5 y'", f"2: limits.idle_seconds must be {TIME} '5 y': y is none of them"),
    ("[limits]\nidle_seconds = '0s'", f"2: limits.idle_seconds {RANGE} 0.0"),
    ("[limits]\nidle_seconds = nan", f"2: limits.idle_seconds {RANGE} nan"),
    ("access.dangerous_allow_origin = 'no'", "1: access.dangerous_allow_origin must be true or false, not 'no'"),
    ("[access]\norigins = [\n  'a',\n  5,\n]", "4: access.origins[1] must be a string, not 5"),
    ("[access]\norigins = {}", "2: access.origins must be an array, not a table"),
    ("[access]\npaths = ['x']", "2: access.paths: 'x' does not begin with /, so no request has it"),
    ("[deflate]\nlevel = 3\nclient_max_window_bits = 8", "3: deflate.client_max_window_bits must be 9 to 15, not 8"),
]
UNKNOWN = [
    ("[limits]\nmax_headers = 1\nmax_hedaers = 2", "3: limits.max_hedaers is unknown here; did you mean max_headers?"),
    ("# \n\n'max_frame_bytes' = 1", "3: max_frame_bytes is unknown here; it belongs in [limits]"),
    ("speed = 1", "1: speed is unknown here; allowed are limits, schema, "),
    ('"a\\nb" = 1', '1: "a\\nb" is unknown here; allowed are limits, '),
    ("limits.a.b = 1", "1: limits.a is unknown here; allowed are max_frame_bytes, "),
    ("limits = { max_headers = 1, speed = 2 }", "1: limits.speed is unknown here; allowed are "),
    ("[schema.routes.'/a']\n\ntexts = 'a'", '3: schema.routes."/a".texts is unknown here; did you mean text?'),
    ("a" * 1000 + " = 1", f"1: {'a' * 60}... is unknown here".replace("a...", 'a..."').replace("1: a", '1: "a')),
]
NAMED = [
    ("on_event = 3", "1: on_event must be 'package.module:Name', not 3"),
    ("on_event = 'print'", "1: on_event must be 'package.module:Name', not 'print'"),
    ("on_event = '.a:b'", "1: on_event: '.a:b' cannot be imported: TypeError"),
    ("on_event = 'no_such_module:x'", "1: on_event: 'no_such_module:x' cannot be imported: ModuleNotFoundError"),
    ("on_event = 'sys:no_such_name'", "1: on_event: 'sys:no_such_name' cannot be imported: AttributeError"),
    ("on_event = 'sys:path'", "1: on_event: policy.on_event must be callable"),
    ('[schema]\n[schema.routes."/a"]\ntext = 5', "3: schema.routes.\"/a\".text must be 'package.module:Name', not 5"),
    ("[schema]\nroutes = 5", "2: schema.routes must be a table, not 5"),
    ("[schema.subprotocols]\nv1 = 'int'", "2: schema.subprotocols.v1 must be a table, not 'int'"),
    ("schema = 5", "1: schema must be a table, not 5"),
]
NOT_TOML = [
    ("\n[limits", "2: not TOML: "),
    ("mode = 'report'\nmode = 'report'\n", "2: not TOML: "),
    ("a = 1 b\n", "1: not TOML: "),
    ("\n\n\udcff", "3: not UTF-8"),
    ("x = 1\na = " + "[" * 10_000, "2: nested more than 32 deep"),
    ("\na" + ".a" * 500_000 + " = 1", "2: nested more than 32 deep"),
    ("\n[a" + ".a" * 500_000 + "]", "2: nested more than 32 deep"),
    ("\na = " + "9" * 500_000, "2: a value of more than 1000 characters that is not a string"),
]


@pytest.mark.parametrize(("text", "said"), [*VALUES, *UNKNOWN, *NAMED, *NOT_TOML], ids=lambda text: text[:30])
@pytest.mark.parametrize("newline", ["\n", "\r\n"])
def test_an_error_names_file_line_and_key(text, said, newline):
    with pytest.raises(PolicyError) as raised:
        parse_policy(text.replace("\n", newline).encode(errors="surrogateescape"), "chat.toml")
    message = str(raised.value)
    assert message.startswith(f"chat.toml:{said}")
    assert "\n" not in message
    assert len(message) < 800


class Pair(msgspec.Struct, frozen=True):
    """Two values that must differ."""

    one: int = 1
    two: int = 2

    def __post_init__(self):
        if self.one == self.two:
            raise PolicyError("pair: the same")


def test_what_only_together_is_wrong_is_said_at_the_table():
    holder = msgspec.defstruct("Holder", [("pair", Pair, Pair())], frozen=True)
    with pytest.raises(policy_file._Wrong, match=r"^pair: the same$") as raised:
        policy_file._build(holder, {"pair": {"one": 3, "two": 3}}, ())
    assert raised.value.path == ("pair",)
    with pytest.raises(policy_file._Wrong) as raised:
        policy_file._build(holder, {"pair": {"one": 2}}, ())
    assert raised.value.path == ("pair", "one")


@pytest.mark.parametrize(
    "text",
    [
        "a = [" + "1," * 65_000 + "]",
        "".join(f"k{number} = 1\n" for number in range(11_000)),
        "[[a]]\n" * 21_000,
        'a = """' + "\n" * 130_000 + '"""',
        'a = """' + '""a' * 43_000,
        "#\n" * 65_000,
        "".join(f"{'a.' * 29}a{number} = 1\n" for number in range(1_900)),
        "".join(f"[t{number}.{'a.' * 28}b]\n" for number in range(1_900)),
    ],
    ids=["items", "keys", "tables", "string", "quotes", "comments", "dots", "headers"],
)
def test_time_grows_with_the_length_only(text):
    start = time.process_time()
    with contextlib.suppress(PolicyError):
        parse_policy(text.encode(), "x")
    seconds = time.process_time() - start
    assert seconds < 5, "an eighth of the largest file; it takes 0.1 to 1 s"


def test_a_module_that_raises_while_it_is_imported(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(tmp_path)
    for name, text in (("one", "1 / 0"), ("two", "raise SystemExit(7)"), ("three", "def")):
        (tmp_path / f"broken_policy_{name}.py").write_text(text + "\n")
        with pytest.raises(PolicyError, match=r"^policy:1: on_event: .* cannot be imported"):
            parse_policy(f'on_event = "broken_policy_{name}:x"'.encode())


def test_files_that_are_not_there_or_too_large(tmp_path):
    with pytest.raises(PolicyError, match="No such file"):
        load_policy(tmp_path / "none.toml")
    with pytest.raises(PolicyError, match="directory"):
        load_policy(tmp_path)
    large = tmp_path / "large.toml"
    large.write_bytes(b"#" * (LARGEST_POLICY_FILE + 1))
    with pytest.raises(PolicyError, match="longer than"):
        load_policy(large)


class Rate(msgspec.Struct, frozen=True):
    """One of several."""

    messages: int = 1
    per_seconds: float = 1.0


class Section(msgspec.Struct, frozen=True):
    """Fields as a later policy may have them."""

    max_new_bytes: int | None = None
    new_seconds: float = 1.0
    rates: tuple[Rate, ...] = ()
    weights: dict[str, int] = {}
    backoff_seconds: list[float] = []
    either: int | str | None = None


class Wide(msgspec.Struct, frozen=True):
    """A policy with it."""

    section: Section = Section()


def test_new_fields_and_sections_need_no_entry():
    table = {
        "max_new_bytes": "2kB",
        "new_seconds": "2m",
        "rates": [{"messages": 5}, {"per_seconds": "1h"}],
        "weights": {"a": 1},
        "backoff_seconds": ["100ms", 1],
        "either": "1kB",
    }
    built = policy_file._build(Wide, {"section": table}, ())
    rates = (Rate(messages=5), Rate(per_seconds=3600.0))
    assert built == Wide(
        section=Section(2000, 120.0, rates, weights={"a": 1}, backoff_seconds=[0.1, 1.0], either="1kB")
    )


@pytest.mark.parametrize(
    ("table", "path", "said"),
    [
        ({"rates": [{}, {"per_seconds": "1 y"}]}, ("rates", 1, "per_seconds"), "y is none of them"),
        ({"rates": [{"message": 1}]}, ("rates", 0, "message"), "did you mean messages"),
        ({"rates": {}}, ("rates",), "section.rates must be an array, not a table"),
        ({"weights": {"a": "1kB"}}, ("weights", "a"), "section.weights.a must be a whole number, not '1kB'"),
        ({"backoff_seconds": [1, "x"]}, ("backoff_seconds", 1), "not 'x'"),
        ({"either": 1.5}, ("either",), "not 1.5"),
    ],
)
def test_and_their_errors_have_a_place(table, path, said):
    with pytest.raises(policy_file._Wrong, match=said) as raised:
        policy_file._build(Wide, {"section": table}, ())
    assert raised.value.path == ("section", *path)
