"""Codec: bytes to frames to messages and back, resumable at any byte.

Here live the frame header, fragmentation, UTF-8 across fragments, close payloads (RFC 6455 5 to 8), permessage-deflate
(RFC 7692) and the opening handshake (RFC 6455 4, RFC 9112). No clock of its own, no randomness, no I/O, no policy
beyond the RFCs' MUSTs and the caps in bytes and frames that it is given. Imports: kernels, the leaves, the inflate
library.
"""

from framewarden.codec._messages import is_close_code
from framewarden.codec._writer import encode_frame

__all__ = ["encode_frame", "is_close_code"]
