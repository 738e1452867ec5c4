"""Who speaks to an Inspector, and what was negotiated with them."""

from typing import NamedTuple

from hypothesis import strategies as st

from framewarden.codec.extensions import DeflateParameters

__all__ = ["Compression", "Peer", "deflate_parameters", "peers"]

OTHER = {"server": "client", "client": "server"}
"""Who reads what a role writes."""


class Compression(NamedTuple):
    """permessage-deflate in one direction (RFC 7692 7.1).

    Attributes:
        window_bits: base-2 logarithm of the LZ77 window in bytes, 8 to 15.
        context_takeover: whether a message may refer to the ones before it.
    """

    window_bits: int
    context_takeover: bool


class Peer(NamedTuple):
    """The two ends of a connection, seen from the one that reads.

    ::

        peer = Peer("server")                                # a client speaks, so its frames are masked
        inspector = Inspector(Policy(), peer.role, deflate=peer.deflate)
        inspector.receive_data(frame(peer, 0x81, b"hello"))

    Attributes:
        role: of the Inspector that reads, "server" or "client".
        deflate: what was agreed upon for permessage-deflate; None: no compression.
    """

    role: str
    deflate: DeflateParameters | None = None

    @property
    def masked(self) -> bool:
        """Whether the frames that are read are masked (RFC 6455 5.1)."""
        return self.role == "server"

    @property
    def compression(self) -> Compression | None:
        """What the messages that are read are compressed with."""
        deflate = self.deflate
        if deflate is None:
            return None
        if self.role == "server":
            return Compression(deflate.client_max_window_bits, deflate.client_context_takeover)
        return Compression(deflate.server_max_window_bits, deflate.server_context_takeover)

    @property
    def opposite(self) -> "Peer":
        """The same connection, seen from the other end."""
        return Peer(OTHER[self.role], self.deflate)


def deflate_parameters() -> st.SearchStrategy[DeflateParameters]:
    """Draw what two peers may have agreed upon, with windows of 9 to 15 bits: zlib does not write smaller ones."""
    bits = st.sampled_from([9, 12, 15]) | st.integers(9, 15)
    return st.builds(
        DeflateParameters,
        client_context_takeover=st.booleans(),
        server_context_takeover=st.booleans(),
        client_max_window_bits=bits,
        server_max_window_bits=bits,
    )


def peers(*, deflate: bool | None = None) -> st.SearchStrategy[Peer]:
    """Draw a role, and compression: always (True), never (False), or either (None)."""
    agreed = deflate_parameters()
    choices = {None: st.none() | agreed, True: agreed, False: st.none()}
    return st.builds(Peer, role=st.sampled_from(["server", "client"]), deflate=choices[deflate])
