"""What an Inspector needs of a policy, worked out once for all connections that share it."""

import weakref
from functools import partial
from typing import Any

from framewarden.engine.schema import Decoders, compile_schema
from framewarden.policy import Policy
from framewarden.rules import RULES

__all__ = ["close_code_of", "decoders_of"]

_POLICY_VIOLATION = 1008
_FIRST_POLICY_CODE = 4000

_compiled: dict[int, tuple[weakref.ref[Policy], dict[tuple[str, str | None], Decoders]]] = {}


def decoders_of(policy: Policy, route: str, subprotocol: str | None) -> Decoders | None:
    """The decoders of a connection; None without a schema. Kept as long as the policy lives.

    Only routes and subprotocols that the schema names are kept apart: a peer chooses its path, and must not be able to
    fill memory with it.
    """
    schema = policy.schema
    if schema is None:
        return None
    if route not in schema.routes:
        route = ""
    if subprotocol not in schema.routes.get(route, schema).subprotocols:
        subprotocol = None
    key = id(policy)
    if key not in _compiled:
        # Not a closure: without memory for its cell CPython 3.11 never lets go of our arguments.
        _compiled[key] = (weakref.ref(policy, partial(_forget, key)), {})
    plans: dict[Any, Decoders] = _compiled[key][1]
    if (route, subprotocol) not in plans:
        plans[route, subprotocol] = compile_schema(schema, route, subprotocol)
    return plans[route, subprotocol]


def _forget(key: int, _: object) -> None:
    _compiled.pop(key, None)


def close_code_of(policy: Policy, rule: str) -> int:
    """The close code of a rule under this policy."""
    code = RULES[rule].close_code
    if code is None:
        raise KeyError(rule)
    if policy.close_codes == "rfc" and code >= _FIRST_POLICY_CODE:
        return _POLICY_VIOLATION
    return code
