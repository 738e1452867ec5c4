"""Other implementations' sans-I/O readers, with their verdicts in the words of the oracle.

Each takes a whole stream and our role (so a "server" reads what clients send) and returns the events that it gave,
without sizes, and the close code with which it fails the connection, or None.
"""

from typing import Any

from websockets.exceptions import PayloadTooBig, ProtocolError
from websockets.frames import Opcode as WebsocketsOpcode
from websockets.protocol import Protocol, Side
from wsproto.frame_protocol import FrameProtocol, Opcode, ParseFailed

__all__ = ["READERS", "read_websockets", "read_wsproto"]

Verdict = tuple[list[tuple[Any, ...]], int | None]


def read_wsproto(stream: bytes, role: str) -> Verdict:
    protocol = FrameProtocol(client=role == "client", extensions=[])
    protocol.receive_bytes(stream)
    events: list[tuple[Any, ...]] = []
    message: list[Any] = []
    try:
        for frame in protocol.received_frames():
            if frame.opcode is Opcode.PING:
                events.append(("ping", bytes(frame.payload)))
            elif frame.opcode is Opcode.PONG:
                events.append(("pong", bytes(frame.payload)))
            elif frame.opcode is Opcode.CLOSE:
                code, reason = frame.payload
                events.append(("close", int(code), reason))
            else:
                message.append(frame.payload)
                if frame.message_finished:
                    empty = "" if frame.opcode is Opcode.TEXT else b""
                    events.append(("message", int(frame.opcode), empty.join(message)))
                    message.clear()
    except ParseFailed as failed:
        return events, int(failed.code)
    return events, None


def read_websockets(stream: bytes, role: str) -> Verdict:
    """Text is decoded when a message is complete, as the connections of websockets do above their protocol."""
    protocol = Protocol(Side.SERVER if role == "server" else Side.CLIENT, max_size=None)
    protocol.receive_data(stream)
    events: list[tuple[Any, ...]] = []
    message: list[bytes] = []
    opcode = 0
    for frame in protocol.events_received():
        data = bytes(frame.data)
        if frame.opcode is WebsocketsOpcode.PING:
            events.append(("ping", data))
        elif frame.opcode is WebsocketsOpcode.PONG:
            events.append(("pong", data))
        elif frame.opcode is WebsocketsOpcode.CLOSE:
            code = int.from_bytes(data[:2], "big") if data else 1005
            events.append(("close", code, data[2:].decode()))
        else:
            opcode = int(frame.opcode) or opcode
            message.append(data)
            if frame.fin:
                whole = b"".join(message)
                message.clear()
                try:
                    events.append(("message", opcode, whole.decode() if opcode == 1 else whole))
                except UnicodeDecodeError:
                    return events, 1007
    return events, code_of(protocol.parser_exc)


def code_of(error: Exception | None) -> int | None:
    """The close code that websockets sends for an exception of its parser."""
    match error:
        case None | EOFError():
            return None
        case ProtocolError():
            return 1002
        case PayloadTooBig():
            return 1009
        case UnicodeDecodeError():
            return 1007
    return 1011


READERS = {"wsproto": read_wsproto, "websockets": read_websockets}
