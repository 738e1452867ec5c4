"""Who a connected peer is. A leaf: every room may import it."""

from typing import Any

import msgspec

__all__ = ["Identity"]


class Identity(msgspec.Struct, frozen=True, kw_only=True):
    """What a handler's ``authenticate`` returns for a peer that it accepts.

    Attributes:
        subject: the stable name of the peer; it appears in security events, so it must not be a secret.
        claims: whatever the handler wants to find again as ``session.identity.claims``.
    """

    subject: str
    claims: dict[str, Any] = {}
