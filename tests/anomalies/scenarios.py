"""Everything that is done while memory is short, in groups, each of which has a process of its own."""

from functools import partial

from framewarden.codec.extensions import DeflateParameters
from tests.anomalies.living import ending, heads, kernels, making
from tests.anomalies.receiving import hooked, large, vectors
from tests.anomalies.sending import refusals, sends, sessions
from tests.vectors.loader import VECTORS

__all__ = ["DECODE", "GROUPS", "SHORT"]

GROUPS = {
    **{file.removesuffix(".json"): partial(vectors, file) for file in sorted({vector.file for vector in VECTORS})},
    "large": large,
    "hooked": hooked,
    "making": making,
    "ending": ending,
    "kernels": kernels,
    "heads": heads,
    "sends": partial(sends, None),
    "sends-takeover": partial(sends, DeflateParameters()),
    "sends-no-takeover": partial(
        sends, DeflateParameters(server_context_takeover=False, client_context_takeover=False)
    ),
    "refusals": refusals,
    "sessions": sessions,
}
DECODE = ("schema", "hooked", "making", "sessions")
"""Those in which msgspec works, and may crash."""
SHORT = ("close", "control", "ending", "fragmentation", "kernels", "large", "making", "refusals", "sends", "sessions")
"""Those that every run of the tests has time for; the others together take a minute."""
