"""A client and a server that talk to each other in memory, in any order and cut anywhere, beside a plain model."""

import contextlib
import functools
from collections.abc import Mapping
from itertools import pairwise
from typing import Any, ClassVar

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from framewarden.codec._writer import prepare
from framewarden.codec.extensions import DeflateParameters
from framewarden.errors import ArgumentError
from framewarden.policy import Policy, Schema
from framewarden.testing.contents import contents, texts
from framewarden.testing.endpoint import Endpoint, message_of
from framewarden.testing.schemas import almost_shaped, shaped
from framewarden.testing.streams import CLOSE_CODES, chunkings

__all__ = ["InspectorPair"]

SLACK = 64
"""Bytes by which a message that does not compress may grow."""
ROLES = st.sampled_from(["client", "server"])
Messages = st.SearchStrategy[str | bytes]


class InspectorPair(RuleBasedStateMachine):
    """Two Inspectors, one a client, that send each other everything that can be sent.

    Text, bytes, prepared messages, messages in fragments, Pings and Closes, taken and read at any moment and in any
    pieces. A model in plain Python says which events come, which frames leave, which sends are refused and what state
    each end is in. With a schema messages are of its types, and now and then almost of them: then the connection fails,
    or with mode="report" goes on.

    Make it yours by a subclass; ``TestCase`` is what pytest and unittest collect::

        class OurPair(InspectorPair):
            policy = Policy(schema=Schema(text=Say | Join))
            client_policy = Policy(schema=Schema(text=Said))
            deflate = DeflateParameters()

        TestOurPair = OurPair.TestCase

    Types whose values are not equal when they are decoded twice cannot be compared; give them an ``__eq__``.

    Attributes:
        policy: of the server; messages that do not fit into its limits are not sent.
        client_policy: of the client; None: the server's.
        deflate: what was agreed upon for permessage-deflate; None: no compression.
        custom: for types of your own, as :func:`framewarden.testing.shaped` takes it.
    """

    policy: ClassVar[Policy] = Policy()
    client_policy: ClassVar[Policy | None] = None
    deflate: ClassVar[DeflateParameters | None] = None
    custom: ClassVar[Mapping[Any, st.SearchStrategy[Any]]] = {}

    def __init__(self) -> None:
        super().__init__()
        client_policy = self.policy if self.client_policy is None else self.client_policy
        self.ends = {
            "server": Endpoint("server", self.policy, self.deflate),
            "client": Endpoint("client", client_policy, self.deflate),
        }
        self.pings = 0

    def _fits(self, message: str | bytes, receiver: Endpoint) -> bool:
        """Whether the other end's limits have room for it: what is over them is another test's business."""
        limits = receiver.policy.limits
        octets = message.encode() if isinstance(message, str) else message
        sizes = (limits.max_frame_bytes, limits.max_message_bytes, limits.max_inflated_bytes)
        fits = len(octets) + SLACK <= min(sizes)
        return fits and (receiver.policy.schema is None or len(octets) <= limits.max_decode_nodes)

    def _message(self, data: st.DataObject, role: str) -> str | bytes | None:
        """Something for this end to send; None: what was drawn is too large."""
        receiver = self.ends[_other(role)]
        right, wrong = _drawn(type(self))[_other(role)]
        strategy = wrong if not wrong.is_empty and data.draw(st.integers(0, 15)) == 15 else right
        if strategy.is_empty:
            return None
        message = data.draw(strategy)
        return message if self._fits(message, receiver) else None

    # --- What may happen ----------------------------------------------------------------------------------------------

    @rule(role=ROLES, data=st.data())
    def message(self, role: str, data: st.DataObject) -> None:
        """Send a Text or a Binary message."""
        end, message = self.ends[role], self._message(data, role)
        if isinstance(message, str):
            end.send(lambda: end.inspector.send_text(message), message_of(message), whole=True)
        elif message is not None:
            end.send(lambda: end.inspector.send_bytes(message), message_of(message), whole=True)

    @rule(role=ROLES, data=st.data())
    def prepared(self, role: str, data: st.DataObject) -> None:
        """Send a message that was prepared for many."""
        end, message = self.ends[role], self._message(data, role)
        if message is not None:
            end.send(lambda: end.inspector.send_prepared(prepare(message)), message_of(message), whole=True)

    @rule(role=ROLES, data=st.data())
    def first_fragment(self, role: str, data: st.DataObject) -> None:
        """Begin a message in fragments, some of them empty."""
        end, message = self.ends[role], self._message(data, role)
        if message is None:
            return
        limits = self.ends[_other(role)].policy.limits
        most = min(3, limits.max_fragments - 1, limits.max_empty_run)
        points = sorted(data.draw(st.lists(st.integers(0, len(message)), max_size=most)))
        end.begin(message, [message[start:stop] for start, stop in pairwise([0, *points, len(message)])])

    @rule(role=ROLES)
    def next_fragment(self, role: str) -> None:
        """Send the next fragment."""
        self.ends[role].proceed()

    @rule(role=ROLES, payload=st.binary(max_size=125))
    def ping(self, role: str, payload: bytes) -> None:
        """Send a Ping, unless there have been so many that they could be taken for a flood."""
        most = min(end.policy.limits.max_control_run for end in self.ends.values())
        if self.pings + 1 < most:
            end = self.ends[role]
            self.pings += end.send(lambda: end.inspector.send_ping(payload), ("ping", payload))

    @rule(
        role=ROLES, code=st.none() | st.sampled_from(CLOSE_CODES), reason=st.text(max_size=10), often=st.integers(0, 3)
    )
    def close(self, role: str, code: int | None, reason: str, often: int) -> None:
        """Send a Close; a quarter as often as other things, or nothing would come after it."""
        if often == 3:
            self.ends[role].end(code, "" if code is None else reason)

    @rule(role=ROLES)
    def flush(self, role: str) -> None:
        """Put on the wire what waits to be sent."""
        self.ends[role].flush()

    @rule(role=ROLES, data=st.data())
    def deliver(self, role: str, data: st.DataObject) -> None:
        """Let an end read some of what is on its way, in any pieces."""
        sender = self.ends[_other(role)]
        size = data.draw(st.just(len(sender.wire)) | st.integers(0, len(sender.wire)))
        octets, frames = sender.take(size)
        self.ends[role].hear(data.draw(chunkings(octets)), frames)

    # --- What always holds --------------------------------------------------------------------------------------------

    @invariant()
    def ends_are_what_the_model_is(self) -> None:
        """State and violation are what they should be."""
        for end in self.ends.values():
            end.check()

    def teardown(self) -> None:
        """Let both ends hear all that was said, and the answers to it."""
        for _ in range(3):
            for role, end in self.ends.items():
                end.flush()
                octets, frames = end.take(len(end.wire))
                self.ends[_other(role)].hear([octets], frames)


def _other(role: str) -> str:
    return "client" if role == "server" else "server"


@functools.cache  # it is the same for every run of a machine
def _drawn(machine: type[InspectorPair]) -> dict[str, tuple[Messages, Messages]]:
    """What each end may be sent, and what it will refuse."""
    client_policy = machine.policy if machine.client_policy is None else machine.client_policy
    return {
        "server": _strategies(machine.policy.schema, machine.custom),
        "client": _strategies(client_policy.schema, machine.custom),
    }


def _strategies(schema: Schema | None, custom: Mapping[Any, st.SearchStrategy[Any]]) -> tuple[Messages, Messages]:
    if schema is None:
        return texts() | contents(), st.nothing()
    right: Messages = st.nothing()
    wrong: Messages = st.nothing()
    for kind, binary in ((schema.text, False), (schema.binary, True)):
        if kind is None:
            continue
        right |= _typed(shaped(kind, binary=binary, dec_hook=schema.dec_hook, custom=custom), binary=binary)
        with contextlib.suppress(ArgumentError):  # everything is of this type: nothing will be refused
            wrong |= _typed(almost_shaped(kind, binary=binary, dec_hook=schema.dec_hook, custom=custom), binary=binary)
    return right, wrong


def _typed(messages: st.SearchStrategy[bytes], *, binary: bool) -> Messages:
    """As Binary or as Text messages."""
    return messages if binary else messages.map(bytes.decode)
