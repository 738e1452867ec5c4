"""Messages of a schema: those that decode to a type, and those in which one thing is wrong.

The type is anything that msgspec decodes; ``msgspec.inspect`` says what it is made of. ``shapes`` builds values that
fit, ``misfits`` values that do not; here they are written as JSON or MessagePack, and msgspec has the last word.
"""

from collections.abc import Callable, Mapping
from typing import Any

import msgspec
from hypothesis import strategies as st
from msgspec.inspect import type_info

from framewarden.errors import ArgumentError
from framewarden.testing.misfits import Misfits
from framewarden.testing.shapes import Shapes

__all__ = ["almost_shaped", "shaped"]

DecHook = Callable[[type, Any], Any]


def shaped(
    kind: Any,
    *,
    binary: bool = False,
    dec_hook: DecHook | None = None,
    custom: Mapping[Any, st.SearchStrategy[Any]] | None = None,
) -> st.SearchStrategy[bytes]:
    """Draw messages that decode to a type: JSON text in UTF-8, or MessagePack.

    ::

        @given(shaped(Say | Join))
        def test_what_is_shaped_is_accepted(message):
            client.send_text(message.decode())
            assert server.receive_data(client.data_to_send())

    Optional fields come and go, fields that the type does not know are added where it allows them, constraints of
    ``msgspec.Meta`` are kept.

    Args:
        kind: what ``framewarden.Schema`` takes for ``text`` or ``binary``.
        binary: MessagePack, for Binary messages.
        dec_hook: the schema's.
        custom: for types of your own, which only the hook can decode, what they are written as: builtins.

    Raises:
        ArgumentError: the type has one of its own that ``custom`` does not name, or nothing can be of this type.
    """
    shapes = Shapes(custom or {}, binary=binary)
    values = shapes.of(type_info(kind))
    values.validate()  # now, and not when it is drawn from
    if values.is_empty:
        raise ArgumentError("no message can be of this type")
    decode = _decoder(kind, dec_hook, binary=binary)
    return _written(values, binary=binary).filter(lambda message: _refusal(decode, message) is None)


def almost_shaped(
    kind: Any,
    *,
    binary: bool = False,
    dec_hook: DecHook | None = None,
    custom: Mapping[Any, st.SearchStrategy[Any]] | None = None,
) -> st.SearchStrategy[bytes]:
    """Draw messages that would decode to a type, if one thing in them were not wrong: all are well-formed.

    A value has another kind or breaks a constraint, a field is missing or unknown where that is forbidden, a tag, an
    enum's value or a length is none that the type has. Arguments as for :func:`shaped`.

    ::

        @given(almost_shaped(Say | Join))
        def test_what_is_almost_shaped_is_refused(message):
            client.send_text(message.decode())
            assert server.receive_data(client.data_to_send()) == []
            assert server.violation.close_code == 4422

    Raises:
        ArgumentError: as above, or everything is of this type, so that nothing can be wrong.
    """
    shapes = Shapes(custom or {}, binary=binary)
    info = type_info(kind)
    shapes.of(info).validate()  # now, and not when it is drawn from
    values = Misfits(shapes).of(info)
    if values.is_empty:
        raise ArgumentError("every message is of this type: there is no almost")
    decode = _decoder(kind, dec_hook, binary=binary)
    refused = ValueError | TypeError  # a TypeError: a member of a set that cannot be one
    return _written(values, binary=binary).filter(lambda message: isinstance(_refusal(decode, message), refused))


def _decoder(kind: Any, dec_hook: DecHook | None, *, binary: bool) -> Callable[[bytes], Any]:
    if binary:
        return msgspec.msgpack.Decoder(kind, dec_hook=dec_hook).decode
    return msgspec.json.Decoder(kind, dec_hook=dec_hook).decode


def _refusal(decode: Callable[[bytes], Any], message: bytes) -> Exception | None:
    """What decoding raises; a hook of the user's may raise anything."""
    try:
        decode(message)
    except Exception as error:  # noqa: BLE001 - see above: the caller looks at what it was
        return error
    return None


def _written(values: st.SearchStrategy[Any], *, binary: bool) -> st.SearchStrategy[bytes]:
    if binary:
        return values.map(msgspec.msgpack.encode)
    return st.builds(_json, values, st.sampled_from([-1, 0, 2]))


def _json(value: Any, indent: int) -> bytes:
    """JSON without spaces (-1), with spaces on one line (0), or on many."""
    return msgspec.json.format(msgspec.json.encode(value), indent=indent)
