"""What is always true of a client's connection, whatever the server sends and however the client receives."""

import asyncio
import itertools

from hypothesis import example, given
from hypothesis import strategies as st

from framewarden import ClosedError, Inspector, Limits, Message, Policy, State
from framewarden.codec._writer import encode_frame
from framewarden.codec.client_handshake import Accepted
from framewarden.transports.client_connection import ClientConnection

POLICY = Policy(limits=Limits(max_queued_messages=3, max_queued_bytes=200, max_message_bytes=300, max_frame_bytes=300))
ACCEPTED = Accepted((), None, None)


class Transport:
    """What the connection asks of a transport, remembered."""

    def __init__(self):
        self.written = bytearray()
        self.reading = True
        self.closing = False

    def write(self, data):
        assert not self.closing
        self.written += data

    def pause_reading(self):
        self.reading = False

    def resume_reading(self):
        self.reading = True

    def is_closing(self):
        return self.closing

    def abort(self):
        self.closing = True

    def get_write_buffer_size(self):
        return 0


FRAMES = st.one_of(
    st.builds(lambda text: encode_frame(1, text.encode()), st.text(max_size=30)),
    st.builds(lambda data: encode_frame(2, data), st.binary(max_size=150)),
    st.builds(lambda data: encode_frame(9, data), st.binary(max_size=5)),
    st.builds(lambda data: encode_frame(10, data), st.binary(max_size=5)),
    st.builds(lambda data, fin: encode_frame(0, data, fin=fin), st.binary(max_size=5), st.booleans()),
    st.builds(lambda data: encode_frame(2, data, fin=False), st.binary(max_size=5)),
    st.sampled_from([encode_frame(8), encode_frame(8, b"\x03\xe8"), encode_frame(3), encode_frame(1, b"\xff")]),
    st.binary(max_size=3),
)


def expected(stream):
    """What an Inspector alone makes of it: the messages, and how it ended."""
    inspector = Inspector(POLICY, "client")
    events = inspector.receive_data(stream)
    while inspector.has_more:
        events += inspector.receive_data(b"")
    code = inspector.close_code if inspector.violation is None else inspector.violation.close_code
    return [event.data for event in events if type(event) is Message], code


async def play(pieces, appetite):
    """Feed the pieces while the transport reads; receive as many messages between them as ``appetite`` says."""
    loop = asyncio.get_running_loop()
    transport = Transport()
    inspector = Inspector(POLICY, "client")
    connection = ClientConnection(loop, transport, inspector, ACCEPTED, "/")
    received = []

    async def receive(count):
        for _ in range(count):
            if not connection._queue:
                return
            received.append(await connection.receive())
            await asyncio.sleep(0)  # what goes on goes on by call_soon

    for piece, hunger in itertools.zip_longest(pieces, appetite, fillvalue=1):
        if piece == 1:
            break
        while not transport.reading:
            assert connection._queue, "reading is paused for nothing"
            await receive(1)
        connection.received(piece, len(piece))
        await receive(hunger)
    while connection._queue:
        await receive(1)
    end = None
    if connection.state is not State.OPEN:
        try:
            await connection.receive()
        except ClosedError as error:
            end = error.code
    output = bytes(transport.written)
    connection.connection_lost(None)
    return received, end, output, connection


@given(
    st.lists(FRAMES, max_size=20), st.lists(st.integers(0, 600), max_size=8), st.lists(st.integers(0, 4), max_size=8)
)
@example([encode_frame(1, b"a")] * 10, [], [0])
@example([encode_frame(1, b"a"), encode_frame(9, b"?"), encode_frame(8, b"\x03\xe8")], [], [])
@example([encode_frame(2, bytes(150))] * 5 + [encode_frame(3)], [100], [0, 0])
def test_every_message_is_received_once_and_in_order_and_the_close_is_last(frames, cuts, appetite):
    stream = b"".join(frames)
    edges = sorted({0, len(stream), *(cut for cut in cuts if cut < len(stream))})
    pieces = [stream[begin:end] for begin, end in itertools.pairwise(edges)]
    received, end, output, connection = asyncio.run(play(pieces, appetite))
    assert (received, end) == expected(stream)
    peer = Inspector(Policy(limits=Limits(max_control_run=10_000)), "server")
    events = peer.receive_data(output)
    assert peer.violation is None
    if end is None:
        assert peer.state is State.OPEN
        assert connection.close_code == 1006
    else:
        assert type(events[-1]).__name__ == "Close"  # and nothing behind it:
        assert peer.bytes_received == len(output)
