"""Policies: the same from Python and from TOML, immutable, and refused where no room could use them."""

import msgspec
import pytest

from framewarden.errors import PolicyError
from framewarden.policy import (
    LARGEST_MESSAGE,
    LARGEST_POLICY_FILE,
    Access,
    Deflate,
    Limits,
    Policy,
    Schema,
    load_policy,
    parse_policy,
)

TOML = b"""
mode = "report"
close_codes = "rfc"
on_event = "builtins:print"

[limits]
max_message_bytes = 65536
idle_seconds = 1.5

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

[access]
origins = ["https://example.org"]
paths = ["/files"]
dangerous_allow_anonymous = true
"""

PYTHON = Policy(
    mode="report",
    close_codes="rfc",
    on_event=print,
    limits=Limits(max_message_bytes=65536, idle_seconds=1.5),
    schema=Schema(
        text=int,
        duplicate_keys="refuse",
        routes={"/files": Schema(binary=bytes, dec_hook=isinstance, subprotocols={"v2": Schema(text=str)})},
    ),
    deflate=Deflate(level=9),
    access=Access(origins=("https://example.org",), paths=("/files",), dangerous_allow_anonymous=True),
)


def test_toml_and_python_say_the_same(tmp_path):
    assert parse_policy(TOML) == PYTHON
    path = tmp_path / "policy.toml"
    path.write_bytes(TOML)
    assert load_policy(path) == load_policy(str(path)) == PYTHON


def test_nothing_said_is_the_hardened_policy():
    assert parse_policy(b"") == Policy()
    policy = Policy()
    assert policy.mode == "enforce"
    assert policy.deflate is None
    assert not [
        name for name in Access.__struct_fields__ if name.startswith("dangerous") and getattr(policy.access, name)
    ]


def test_a_policy_does_not_change():
    with pytest.raises(AttributeError):
        Policy().mode = "report"
    with pytest.raises(AttributeError):
        Policy().limits.max_frame_bytes = 1


@pytest.mark.parametrize("name", Limits.__struct_fields__)
def test_every_limit_is_a_number_above_0(name):
    for wrong in (0, -1, LARGEST_MESSAGE + 1, True, "1", [1], float("nan"), float("inf")):
        with pytest.raises(PolicyError, match=rf"limits\.{name}"):
            Limits(**{name: wrong})
    assert getattr(Limits(**{name: 1}), name) == 1
    if not name.endswith("_seconds"):
        with pytest.raises(PolicyError, match="whole number"):
            Limits(**{name: 1.5})
    else:
        assert getattr(Limits(**{name: 1.5}), name) == 1.5


@pytest.mark.parametrize(
    ("struct", "values", "word"),
    [
        (Deflate, {"client_max_window_bits": 8}, "9 to 15"),
        (Deflate, {"server_max_window_bits": 16}, "9 to 15"),
        (Deflate, {"level": 0}, "1 to 9"),
        (Deflate, {"min_bytes": -1}, "0 to"),
        (Deflate, {"level": True}, "1 to 9"),
        (Deflate, {"client_max_window_bits": 9.5}, "9 to 15"),
        (Deflate, {"client_context_takeover": "no"}, "True or False"),
        (Access, {"dangerous_allow_origin": "no"}, "True or False"),
        (Access, {"origins": "https://a"}, "tuple of str"),
        (Access, {"subprotocols": None}, "tuple of str"),
        (Access, {"paths": ("chat",)}, "does not begin with /"),
        (Schema, {"duplicate_keys": "Refuse"}, "'allow' or 'refuse'"),
        (Schema, {"dec_hook": 5}, "callable"),
        (Schema, {"routes": 5}, "routes must be"),
        (Schema, {"subprotocols": {"v1": int}}, "subprotocols must be"),
        (Policy, {"mode": "lenient"}, "policy.mode"),
        (Policy, {"close_codes": "http"}, "policy.close_codes"),
        (Policy, {"on_event": 3}, "callable"),
        (Policy, {"limits": None}, "policy.limits"),
        (Policy, {"access": {}}, "policy.access"),
        (Policy, {"schema": int}, "policy.schema"),
        (Policy, {"deflate": True}, "policy.deflate"),
    ],
)
def test_values_that_no_room_could_use(struct, values, word):
    with pytest.raises(PolicyError, match=word):
        struct(**values)


@pytest.mark.parametrize(
    ("text", "word"),
    [
        (b"mode = 1", "mode"),
        (b"speed = 1", "unknown field `speed`"),
        (b"[limits]\nmax_frames = 1", "unknown field `max_frames`"),
        (b"[limits]\nmax_frame_bytes = 0", "max_frame_bytes must be above 0"),
        (b"[limits]\nmax_frame_bytes = 1.5", "max_frame_bytes"),
        (b"[limits", "at line 1|end of document"),
        (b"\xff", "utf-8"),
        (b"on_event = 3", "on_event must be 'package.module:Name'"),
        (b'on_event = "print"', "on_event must be 'package.module:Name'"),
        (b'on_event = ".a:b"', "on_event: '.a:b' cannot be imported"),
        (b'on_event = "no_such_module:x"', "cannot be imported"),
        (b'on_event = "sys:no_such_name"', "cannot be imported"),
        (b'on_event = "sys:path"', "callable"),
        (b'[schema.routes."/a"]\ntext = 5', "schema.routes./a.text must be"),
        (b"schema = 5", "schema"),
        (b"a = " + b"[" * 10_000, "nested too deeply|recursion|array"),
    ],
)
def test_files_that_cannot_be_read(text, word):
    with pytest.raises(PolicyError, match=word) as raised:
        parse_policy(text, "chat.toml")
    assert str(raised.value).startswith("chat.toml: ")


def test_a_module_that_raises_while_it_is_imported(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(tmp_path)
    for name, text in (("one", "1 / 0"), ("two", "raise SystemExit(7)"), ("three", "def")):
        (tmp_path / f"broken_policy_{name}.py").write_text(text + "\n")
        with pytest.raises(PolicyError, match="cannot be imported"):
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


def test_structs_refuse_names_that_they_do_not_have():
    for struct in (Policy, Limits, Deflate, Schema, Access):
        with pytest.raises(TypeError):
            struct(no_such_field=1)
        with pytest.raises(msgspec.ValidationError, match="unknown field"):
            msgspec.convert({"no_such_field": 1}, struct)
