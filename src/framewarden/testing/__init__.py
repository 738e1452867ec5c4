"""Testing: Hypothesis strategies for what a peer may send, and a machine of two Inspectors, for anybody's tests.

Here live strategies for frames, messages, streams and the ways to cut them, for damaged and hostile streams, opening
handshakes, compressed payloads, messages that fit a schema and messages that almost do; ``InspectorPair``, a stateful
test; and ``python -m framewarden.testing.campaign``, which runs all of it for a time. Nothing of framewarden imports
this room. Imports: the engine and what stands below it, the leaves, msgspec, hypothesis.

    pip install framewarden[testing]
"""

try:
    import hypothesis  # noqa: F401 - asked for first, so that who lacks it is told how to get it
except ModuleNotFoundError as error:
    if error.name != "hypothesis":
        raise
    raise ImportError("framewarden.testing needs Hypothesis: pip install framewarden[testing]") from error

from framewarden.testing.compressed import WAYS, Compressed, Deflater, deflate_payloads, odd_deflate_payloads
from framewarden.testing.contents import contents, texts
from framewarden.testing.frames import (
    BINARY,
    CLOSE,
    CONTINUATION,
    FIN,
    PING,
    PONG,
    RSV1,
    TEXT,
    frame,
    frame_ends,
    masking_keys,
)
from framewarden.testing.handshakes import Opening, Refused, damaged_heads, opening_handshakes, refused_handshakes
from framewarden.testing.machine import InspectorPair
from framewarden.testing.malformed import TIGHT, broken, mutated, odd_frames
from framewarden.testing.peers import Compression, Peer, deflate_parameters, peers
from framewarden.testing.reading import PlainEvent, plain, pump, read
from framewarden.testing.schemas import almost_shaped, shaped
from framewarden.testing.streams import Stream, chunkings, closes, controls, frames, messages, streams

__all__ = [
    "BINARY",
    "CLOSE",
    "CONTINUATION",
    "FIN",
    "PING",
    "PONG",
    "RSV1",
    "TEXT",
    "TIGHT",
    "WAYS",
    "Compressed",
    "Compression",
    "Deflater",
    "InspectorPair",
    "Opening",
    "Peer",
    "PlainEvent",
    "Refused",
    "Stream",
    "almost_shaped",
    "broken",
    "chunkings",
    "closes",
    "contents",
    "controls",
    "damaged_heads",
    "deflate_parameters",
    "deflate_payloads",
    "frame",
    "frame_ends",
    "frames",
    "masking_keys",
    "messages",
    "mutated",
    "odd_deflate_payloads",
    "odd_frames",
    "opening_handshakes",
    "peers",
    "plain",
    "pump",
    "read",
    "refused_handshakes",
    "shaped",
    "streams",
    "texts",
]
