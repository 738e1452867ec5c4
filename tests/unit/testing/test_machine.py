"""Two Inspectors beside the model: as they come, compressed, with schemas; and the model notices what is wrong."""

import msgspec
import pytest
from hypothesis import Phase, settings
from hypothesis.stateful import run_state_machine_as_test

from framewarden import DeflateParameters, Limits, Policy, Schema
from framewarden.policy import Deflate
from framewarden.testing import InspectorPair

BRIEF = settings(max_examples=20, stateful_step_count=25)


class Say(msgspec.Struct, tag="say", forbid_unknown_fields=True):
    room: str
    text: str = ""


class Join(msgspec.Struct, tag="join"):
    rooms: list[str]


class Compressed(InspectorPair):
    policy = Policy(deflate=Deflate(min_bytes=0))
    deflate = DeflateParameters(server_max_window_bits=9)


class Tight(InspectorPair):
    policy = Policy(
        limits=Limits(max_frame_bytes=100, max_message_bytes=200, max_control_run=3, max_empty_run=1, max_fragments=2)
    )


class Typed(InspectorPair):
    policy = Policy(schema=Schema(text=Say | Join, binary=list[int]))
    client_policy = Policy(schema=Schema(text=dict[str, int]))


class Reporting(InspectorPair):
    policy = Policy(schema=Schema(text=Say | Join), mode="report")


@pytest.mark.parametrize("machine", [InspectorPair, Compressed, Tight, Typed, Reporting])
def test_the_model_and_the_inspectors_agree(machine):
    run_state_machine_as_test(machine, settings=BRIEF)


class Faulty:
    """An Inspector with one thing wrong."""

    def __init__(self, inspector, name, change):
        self._inspector, self._name, self._change = inspector, name, change

    def __getattr__(self, name):
        right = getattr(self._inspector, name)
        return (lambda *given, **named: self._change(right(*given, **named))) if name == self._name else right


WRONGS = {
    "an event is lost": ("receive_data", lambda events: events[1:]),
    "an event comes twice": ("receive_data", lambda events: events + events[-1:]),
    "the order is lost": ("receive_data", lambda events: events[::-1]),
    "nothing is sent": ("data_to_send", lambda data: b""),
    "a Pong too many is sent": ("data_to_send", lambda data: data + b"\x8a\x00"),
}


@pytest.mark.parametrize("wrong", WRONGS)
def test_the_model_notices(wrong):
    class Wrong(InspectorPair):
        def __init__(self):
            super().__init__()
            for end in self.ends.values():
                end.inspector = Faulty(end.inspector, *WRONGS[wrong])

    with pytest.raises(Exception, match=r"the events|the frames that left|half written|the state|were judged"):
        run_state_machine_as_test(
            Wrong,
            settings=settings(
                max_examples=200, phases=[Phase.generate], database=None, report_multiple_bugs=False, deadline=None
            ),
        )


def test_a_send_that_should_be_refused_is_noticed():
    end = InspectorPair().ends["server"]
    end.handed = True
    with pytest.raises(AssertionError, match="did not raise ClosedError"):
        end.send(lambda: end.inspector.send_text("late"), None)


def test_a_message_that_should_be_refused_is_noticed():
    """The model decodes by itself."""
    pair = Typed()
    client, server = pair.ends["client"], pair.ends["server"]
    server.inspector = type(server)("server", Policy(), None).inspector  # one without a schema
    client.send(lambda: client.inspector.send_text("7"), ("message", 1, "7"))
    client.flush()
    octets, frames = client.take(len(client.wire))
    with pytest.raises(AssertionError, match="not of the schema was accepted"):
        server.hear([octets], frames)
