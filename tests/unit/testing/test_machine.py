"""Two Inspectors beside the model: as they come, compressed, with schemas; and the model notices what is wrong."""

from typing import ClassVar

import msgspec
import pytest
from hypothesis import settings
from hypothesis.stateful import run_state_machine_as_test

from framewarden import DeflateParameters, Limits, Policy, Schema
from framewarden.policy import Deflate
from framewarden.testing import InspectorPair
from framewarden.testing.endpoint import Endpoint

BRIEF = settings(max_examples=25, stateful_step_count=30)


class Say(msgspec.Struct, tag="say", forbid_unknown_fields=True):
    room: str
    text: str = ""


class Join(msgspec.Struct, tag="join"):
    rooms: list[str]


class Compressed(InspectorPair):
    policy = Policy(deflate=Deflate(min_bytes=0))
    deflate = DeflateParameters(server_max_window_bits=9)


class Tight(InspectorPair):
    policy = Policy(limits=Limits(max_frame_bytes=100, max_message_bytes=200, max_control_run=3, max_empty_run=1, max_fragments=2))


class Typed(InspectorPair):
    policy = Policy(schema=Schema(text=Say | Join, binary=list[int]))
    client_policy = Policy(schema=Schema(text=dict[str, int]))


class Reporting(InspectorPair):
    policy = Policy(schema=Schema(text=Say | Join), mode="report")


@pytest.mark.parametrize("machine", [InspectorPair, Compressed, Tight, Typed, Reporting])
def test_the_model_and_the_inspectors_agree(machine):
    run_state_machine_as_test(machine, settings=BRIEF)
