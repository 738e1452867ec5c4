"""Policies: immutable, and refused where no room could use them."""

import msgspec
import pytest

from framewarden.errors import PolicyError
from framewarden.policy import LARGEST_MEMORY, LARGEST_MESSAGE, Access, Deflate, Limits, Policy, Schema


def test_nothing_said_is_the_hardened_policy():
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
    most = LARGEST_MEMORY if name == "max_memory_bytes" else LARGEST_MESSAGE
    for wrong in (0, -1, most + 1, True, "1", [1], float("nan"), float("inf")):
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
        (Access, {"dangerous_allow_per_worker_quotas": 1}, "True or False"),
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


def test_structs_refuse_names_that_they_do_not_have():
    for struct in (Policy, Limits, Deflate, Schema, Access):
        with pytest.raises(TypeError):
            struct(no_such_field=1)
        with pytest.raises(msgspec.ValidationError, match="unknown field"):
            msgspec.convert({"no_such_field": 1}, struct)
