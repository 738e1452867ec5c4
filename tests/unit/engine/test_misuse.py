"""Bad input to our own API: an error of ours at the call, and nothing is half written."""

from array import array

import msgspec
import pytest

from framewarden.codec.extensions import DeflateParameters
from framewarden.engine import Inspector
from framewarden.errors import ArgumentError, ArgumentTypeError, ClosedError, FramewardenError
from framewarden.policy import Policy, Schema
from framewarden.rfc6455 import Role, State
from framewarden.rules import RULES
from tests.playback import frames


@pytest.fixture(params=["plain", "deflate", "client"])
def inspector(request):
    deflate = DeflateParameters(server_context_takeover=False) if request.param == "deflate" else None
    role = "client" if request.param == "client" else "server"
    return Inspector(Policy(), role, deflate=deflate, key_source=bytes)


def untouched(inspector: Inspector) -> bool:
    """Nothing is queued, and the next send is whole."""
    if inspector.data_to_send() != b"" or inspector.state is not State.OPEN:
        return False
    inspector.send_ping(b"x")
    return inspector.data_to_send().endswith(b"x")


@pytest.mark.parametrize("text", [None, 1, b"bytes", bytearray(b"x"), ["a"], object()], ids=repr)
def test_send_text_takes_str_only(inspector, text):
    with pytest.raises(ArgumentTypeError, match="text"):
        inspector.send_text(text)
    assert untouched(inspector)


@pytest.mark.parametrize("text", ["\ud800", "a\udfff", "é\ud83c", "\udf88\ud83c", "x" * 5000 + "\udc00"])
def test_text_that_utf8_cannot_carry_is_refused(inspector, text):
    with pytest.raises(ArgumentError):
        inspector.send_text(text)
    assert untouched(inspector)


@pytest.mark.parametrize("data", [None, 1, "text", ["a"], object()], ids=repr)
def test_send_bytes_takes_buffers_only(inspector, data):
    with pytest.raises(ArgumentTypeError, match="data"):
        inspector.send_bytes(data)
    assert untouched(inspector)


def test_send_bytes_takes_any_contiguous_buffer(inspector):
    sent = []
    for data in (b"abcd", bytearray(b"abcd"), memoryview(b"xabcdx")[1:5], array("H", [0x6261, 0x6463])):
        inspector.send_bytes(data)
        sent += frames(inspector.data_to_send())
    assert len(sent) == 4
    assert len(set(sent)) == 1


@pytest.mark.parametrize("data", [memoryview(b"abcdef")[::2], memoryview(b"abcdef")[::-1]], ids=["step", "reverse"])
def test_send_bytes_refuses_gaps(inspector, data):
    with pytest.raises(ArgumentTypeError):
        inspector.send_bytes(data)
    assert untouched(inspector)


@pytest.mark.parametrize("data", [None, "text", 5, ["a"]], ids=repr)
def test_send_ping_takes_bytes_only(inspector, data):
    with pytest.raises(ArgumentTypeError):
        inspector.send_ping(data)
    assert untouched(inspector)


def test_a_ping_carries_125_bytes_at_most(inspector):
    with pytest.raises(ArgumentError, match="125"):
        inspector.send_ping(bytes(126))
    assert untouched(inspector)
    inspector.send_ping(bytes(125))
    assert len(inspector.data_to_send()) == (131 if inspector.role is Role.CLIENT else 127)


SENDABLE = {*range(1000, 1004), *range(1007, 1015), *range(3000, 5000)}


def test_only_codes_that_may_be_sent_are_taken():
    """RFC 6455 7.4: every code, from below the first to above the last of 16 bits."""
    taken = set()
    for code in range(-1, 65538):
        inspector = Inspector()
        try:
            inspector.send_close(code)
        except ArgumentError:
            assert inspector.data_to_send() == b""
            assert inspector.state is State.OPEN
        else:
            assert inspector.data_to_send() == b"\x88\x02" + code.to_bytes(2, "big")
            taken.add(code)
    assert taken == SENDABLE


@pytest.mark.parametrize("code", [2**31, 2**64, -(2**64)])
def test_huge_close_codes_are_values_too(inspector, code):
    with pytest.raises(ArgumentError):
        inspector.send_close(code)
    assert untouched(inspector)


@pytest.mark.parametrize("code", ["1000", 1000.0, b"\x03\xe8"], ids=repr)
def test_a_close_code_is_an_int(inspector, code):
    with pytest.raises(ArgumentTypeError):
        inspector.send_close(code)
    assert untouched(inspector)


def test_a_bool_is_no_close_code(inspector):
    with pytest.raises(FramewardenError):
        inspector.send_close(True)
    assert untouched(inspector)


@pytest.mark.parametrize("reason", [None, b"bye", 1], ids=repr)
def test_a_close_reason_is_a_str(inspector, reason):
    with pytest.raises(ArgumentTypeError):
        inspector.send_close(1000, reason)
    assert untouched(inspector)


@pytest.mark.parametrize("reason", ["r" * 124, "é" * 62, "🎈" * 31, "x\ud800"])
def test_a_close_reason_is_123_bytes_of_utf8_at_most(inspector, reason):
    with pytest.raises(ArgumentError):
        inspector.send_close(1000, reason)
    assert untouched(inspector)


@pytest.mark.parametrize("reason", ["", "r" * 123, "é" * 61, "🎈" * 30])
def test_a_close_reason_that_fits_is_taken(reason):
    inspector = Inspector()
    inspector.send_close(1001, reason)
    octets = reason.encode()
    assert inspector.data_to_send() == bytes([0x88, 2 + len(octets)]) + b"\x03\xe9" + octets


def test_a_close_without_a_code_has_no_reason(inspector):
    with pytest.raises(ArgumentError):
        inspector.send_close(None, "why")
    assert untouched(inspector)
    inspector.send_close(None)
    assert inspector.data_to_send()[:1] == b"\x88"


def test_nothing_is_sent_after_the_close(inspector):
    inspector.send_close(1000)
    inspector.send_text("still goes out before it")
    assert inspector.data_to_send() != b""
    for send in (
        lambda: inspector.send_text("late"),
        lambda: inspector.send_bytes(b"late"),
        lambda: inspector.send_ping(b"late"),
        lambda: inspector.send_close(1000),
    ):
        with pytest.raises(ClosedError):
            send()
        assert inspector.data_to_send() == b""


def test_nothing_is_sent_after_a_failure(inspector):
    inspector.receive_data(b"\xff\xff")
    assert inspector.state is State.FAILED
    assert inspector.data_to_send() != b""
    with pytest.raises(ClosedError):
        inspector.send_text("late")
    assert inspector.data_to_send() == b""


def test_nothing_is_sent_after_the_transport_ended():
    inspector = Inspector()
    inspector.receive_eof()
    assert inspector.state is State.CLOSED
    assert inspector.close_code == 1006
    with pytest.raises(ClosedError):
        inspector.send_text("late")
    assert inspector.data_to_send() == b""


@pytest.mark.parametrize("role", ["SERVER", "peer", "", None, 1, b"server"], ids=repr)
def test_a_role_is_one_of_two(role):
    with pytest.raises(FramewardenError):
        Inspector(Policy(), role)


def test_a_role_is_taken_by_name_and_by_member():
    assert Inspector(Policy(), "client").role is Inspector(Policy(), Role.CLIENT).role is Role.CLIENT
    assert Inspector().role is Inspector(Policy(), "server").role is Role.SERVER


@pytest.mark.parametrize("policy", [None, {}, "policy", Policy], ids=repr)
def test_a_policy_is_a_policy(policy):
    with pytest.raises(ArgumentTypeError, match="policy"):
        Inspector(policy)


@pytest.mark.parametrize("option", ["clock", "key_source"])
def test_what_is_called_must_be_callable(option):
    with pytest.raises(ArgumentTypeError):
        Inspector(**{option: 5})


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("deflate", True),
        ("deflate", {}),
        ("route", b"/"),
        ("route", None),
        ("subprotocol", b"chat"),
        ("session_id", 5),
        ("subject", None),
        ("address", ("127.0.0.1", 80)),
    ],
    ids=repr,
)
def test_options_of_the_wrong_type_are_refused_by_an_error_of_ours(option, value):
    with pytest.raises(ArgumentTypeError):
        Inspector(Policy(), **{option: value})


@pytest.mark.parametrize(
    "data", [None, "text", 5, [1, 2], memoryview(b"abcdef")[::2]], ids=lambda data: str(type(data))
)
def test_receive_data_takes_buffers_only(inspector, data):
    inspector.receive_data(b"\x89")
    with pytest.raises(ArgumentTypeError):
        inspector.receive_data(data)
    assert inspector.bytes_received == 1
    assert inspector.violation is None


def test_receive_data_takes_any_contiguous_buffer_and_keeps_none_of_it():
    inspector = Inspector(Policy(), "client")
    buffer = bytearray(b"\x82\x04abcd")
    [message] = inspector.receive_data(memoryview(buffer))
    buffer[2:] = b"XXXX!"  # raises BufferError if the buffer is still exported
    assert message.data == b"abcd"


class Interrupted(msgspec.Struct):
    """A type whose hook is interrupted."""

    def __post_init__(self):
        raise KeyboardInterrupt


def feed(inspector, chunks):
    for chunk in chunks:
        inspector.receive_data(chunk)


def broken_clock():
    raise LookupError("no clock")


@pytest.mark.parametrize("cut", [1, 100])
def test_a_callback_that_raises_fails_the_connection(cut):
    """A header of which a byte has been read but not judged must not be gone on with."""
    stream = b"\x89\x80abcd" + b"\x81\x81abcd" + b"a"
    inspector = Inspector(clock=broken_clock)
    with pytest.raises(LookupError):
        feed(inspector, [stream[index : index + cut] for index in range(0, len(stream), cut)])
    assert inspector.violation.rule == "internal-error"
    assert inspector.receive_data(stream) == []
    assert inspector.data_to_send() == b"\x88\x10" + (1011).to_bytes(2, "big") + b"internal-error"


def test_an_interrupted_hook_fails_the_connection():
    inspector = Inspector(Policy(schema=Schema(text=Interrupted)), "client")
    with pytest.raises(KeyboardInterrupt):
        inspector.receive_data(b"\x81\x02{}")
    assert inspector.violation.rule == "internal-error"
    assert inspector.receive_data(b"\x81\x02{}") == []


@pytest.mark.parametrize("data", [b"\x82\x01a", bytearray(b"\x82\x01a"), memoryview(b"\x82\x01a")])
def test_receive_data_reads_as_much_of_a_buffer_as_it_is_told(data):
    inspector = Inspector(Policy(), "client")
    assert inspector.receive_data(data, 0) == []
    assert inspector.receive_data(data, 2) == []
    assert inspector.bytes_received == 2
    for size, error in ((-1, ArgumentError), (4, ArgumentError), (2**70, ArgumentError), ("1", ArgumentTypeError)):
        with pytest.raises(error):
            inspector.receive_data(data, size)
    [message] = inspector.receive_data(data[2:], size=1)
    assert message.data == b"a"


def test_fail_takes_rules_that_close_a_connection():
    inspector = Inspector()
    with pytest.raises(ArgumentTypeError):
        inspector.fail(5)
    with pytest.raises(ArgumentTypeError):
        inspector.fail("handler-error", 5)
    for rule in ("no-such-rule", "", "websocket-key"):
        with pytest.raises(ArgumentError):
            inspector.fail(rule)
    assert RULES["websocket-key"].close_code is None
    assert inspector.violation is None
    assert untouched(inspector)
    with pytest.raises(FramewardenError):
        inspector.fail(None)
    inspector.fail("handler-error", "boom")
    assert inspector.state is State.FAILED
    assert inspector.violation.detail == "boom"
    assert inspector.data_to_send() == b"\x88\x0f" + (1011).to_bytes(2, "big") + b"handler-error"


def test_a_failure_is_not_replaced_by_another():
    inspector = Inspector()
    inspector.receive_data(b"\xf0")
    first = inspector.violation
    inspector.fail("idle-timeout")
    assert inspector.violation is first
    assert inspector.data_to_send().endswith(b"reserved-bits")


@pytest.mark.parametrize("key", [b"", b"abc", b"abcde", None, "abcd", 5], ids=repr)
def test_a_key_source_that_gives_no_key_sends_nothing(key):
    """RFC 6455 10.3: a frame of a client is masked with 4 bytes, or it does not leave."""
    inspector = Inspector(Policy(), "client", key_source=lambda size: key)
    with pytest.raises(FramewardenError):
        inspector.send_text("secret")
    assert inspector.data_to_send() == b""


def test_a_key_source_that_raises_sends_nothing():
    def broken(size):
        raise OSError("no entropy")

    inspector = Inspector(Policy(), "client", key_source=broken)
    with pytest.raises(OSError, match="no entropy"):
        inspector.send_text("secret")
    assert inspector.data_to_send() == b""


def test_an_inspector_is_not_made_again():
    inspector = Inspector()
    inspector.receive_data(b"\xf0")
    violation = inspector.violation
    inspector.__init__()
    assert inspector.violation is violation
    assert inspector.receive_data(b"\x81\x80abcd") == []


def test_an_inspector_that_was_not_initialised_is_the_hardened_one():
    inspector = Inspector.__new__(Inspector)
    assert inspector.policy == Policy()
    assert inspector.role is Role.SERVER
    [message] = inspector.receive_data(b"\x81\x80abcd")
    assert message.data == ""
    assert inspector.bytes_received == 6


@pytest.mark.parametrize(
    "deflate",
    [
        DeflateParameters(client_max_window_bits=7),
        DeflateParameters(server_max_window_bits=16),
        DeflateParameters(server_max_window_bits="15"),
        DeflateParameters(server_max_window_bits=8),
    ],
)
def test_windows_that_cannot_be_are_refused_at_once(deflate):
    with pytest.raises(ArgumentError, match="window"):
        Inspector(deflate=deflate)


def test_a_key_source_that_fails_once_spoils_nothing():
    """The compressor's window must not hold a message that was never sent."""
    answers = [b"abcd", OSError("no entropy"), b"efgh"]

    def key_source(size):
        answer = answers.pop(0)
        if isinstance(answer, OSError):
            raise answer
        return answer

    client = Inspector(role="client", deflate=DeflateParameters(), key_source=key_source)
    server = Inspector(deflate=DeflateParameters())
    received = []
    for text in ("one one one", "lost, lost, lost", "lost, lost, one"):
        try:
            client.send_text(text)
        except OSError:
            continue
        received += [message.data for message in server.receive_data(client.data_to_send())]
    assert received == ["one one one", "lost, lost, one"]
    assert server.violation is None


class Tag(msgspec.Struct):
    """A type whose hook does what a test says."""

    what: str

    def __post_init__(self):
        ACTIONS[self.what]()


ACTIONS = {}


@pytest.mark.parametrize("raised", [None, ValueError, KeyError])
@pytest.mark.parametrize("mode", ["enforce", "report"])
@pytest.mark.parametrize("end", ["fail", "eof"])
def test_a_hook_that_ends_the_connection_has_the_last_word(raised, mode, end):
    events = []
    inspector = Inspector(Policy(schema=Schema(text=Tag), mode=mode, on_event=events.append), "client")

    def action():
        if end == "fail":
            inspector.fail("idle-timeout")
        else:
            inspector.receive_eof()
        if raised is not None:
            raise raised("later")

    ACTIONS["end"] = action
    assert inspector.receive_data(b'\x81\x0e{"what":"end"}' * 2) == []
    assert [event.rule for event in events] == (["idle-timeout"] if end == "fail" else [])
    assert inspector.state is (State.FAILED if end == "fail" else State.CLOSED)


def test_a_callback_that_ends_the_connection_has_the_last_word():
    policy = Policy(schema=Schema(text=int), mode="report", on_event=lambda _: inspector.receive_eof())
    inspector = Inspector(policy, "client")
    assert inspector.receive_data(b"\x81\x01x") == []
    assert inspector.state is State.CLOSED


@pytest.mark.parametrize("name", ["state", "violation", "close_code", "policy", "bytes_held", "has_more"])
def test_what_it_knows_is_not_for_others_to_change(name):
    with pytest.raises(AttributeError):
        setattr(Inspector(), name, None)
