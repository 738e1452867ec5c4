"""Every judgement that framewarden can make, as data. A leaf: every room may import it.

A rule's ``id`` is stable for ever. ``close_code`` is what a connected peer is told (RFC 6455 7.4), ``status`` is what a
peer that is not connected yet is told (RFC 9110 15); a rule has exactly one of the two, or neither where nothing can be
said: the connection is closed without a word. ``source`` is the RFC section
that says so, or "policy" where the operator's limits do.
"""

from typing import Literal

import msgspec

__all__ = ["RULES", "Rule", "Violation"]


class Rule(msgspec.Struct, frozen=True, kw_only=True):
    """One judgement."""

    id: str
    source: str
    close_code: int | None = None
    status: int | None = None
    severity: Literal["attack", "error", "limit"]
    """attack: no honest client sends this. error: a broken client does. limit: an honest client may run into it."""
    text: str


class Violation(msgspec.Struct, frozen=True):
    """A rule that a peer broke.

    Attributes:
        rule: id in :data:`RULES`.
        close_code: the code of the Close frame that is sent for it.
        offset: position in bytes in the inbound stream of this connection (the byte after the opening handshake is 0).
            For a frame header it is the byte that broke the rule, for UTF-8 the first byte that cannot stand where it
            stands (or the position behind the message, when it ends inside a character), for a message that was judged
            as a whole (deflate, schema, decode nodes) the first header byte of its first frame.
        detail: what was wrong, without any byte of the payload.
    """

    rule: str
    close_code: int
    offset: int
    detail: str


def _frame(id: str, source: str, code: int, severity: Literal["attack", "error", "limit"], text: str) -> Rule:
    return Rule(id=id, source=source, close_code=code, severity=severity, text=text)


def _request(id: str, source: str, status: int, severity: Literal["attack", "error", "limit"], text: str) -> Rule:
    return Rule(id=id, source=source, status=status, severity=severity, text=text)


def _silent(id: str, source: str, severity: Literal["attack", "error", "limit"], text: str) -> Rule:
    return Rule(id=id, source=source, severity=severity, text=text)


_TABLE = (
    # Frame headers, in the order in which they are judged.
    _frame("reserved-bits", "RFC 6455 5.2", 1002, "error", "RSV1, RSV2 or RSV3 is set and no extension defines it"),
    _frame("reserved-opcode", "RFC 6455 5.2", 1002, "error", "opcodes 0x3-0x7 and 0xB-0xF are reserved"),
    _frame("rsv1-on-control", "RFC 7692 6.1", 1002, "error", "RSV1 is set on a control frame"),
    _frame("rsv1-on-continuation", "RFC 7692 6.1", 1002, "error", "RSV1 is set on a continuation"),
    _frame("fragmented-control", "RFC 6455 5.5", 1002, "error", "a control frame is fragmented"),
    _frame("unexpected-continuation", "RFC 6455 5.4", 1002, "error", "a continuation with no message begun"),
    _frame("interleaved-message", "RFC 6455 5.4", 1002, "error", "a new message inside a fragmented one"),
    _frame("control-flood", "policy", 4413, "attack", "too many control frames in a row"),
    _frame("too-many-fragments", "policy", 4413, "attack", "a message has too many fragments"),
    _frame("unmasked-frame", "RFC 6455 5.1", 1002, "error", "a client's frame is not masked"),
    _frame("masked-frame", "RFC 6455 5.1", 1002, "error", "a server's frame is masked"),
    _frame("oversized-control", "RFC 6455 5.5", 1002, "error", "a control frame's payload is longer than 125 bytes"),
    _frame("length-high-bit", "RFC 6455 5.2", 1002, "attack", "the most significant bit of a 64-bit length is set"),
    _frame("length-not-minimal", "RFC 6455 5.2", 1002, "attack", "a length is not encoded in the fewest bytes"),
    _frame("frame-too-big", "policy", 1009, "limit", "a frame declares more payload than max_frame_bytes"),
    _frame("message-too-big", "policy", 1009, "limit", "a message's frames declare more than max_message_bytes"),
    _frame("empty-fragments", "policy", 4413, "attack", "too many empty fragments in a row"),
    # Payloads.
    _frame("invalid-utf8", "RFC 6455 8.1", 1007, "error", "a Text message is not UTF-8"),
    _frame("close-length", "RFC 6455 5.5.1", 1002, "error", "a Close frame's payload has one byte"),
    _frame("close-code", "RFC 6455 7.4", 1002, "error", "a Close frame carries a code that must not be sent"),
    _frame("close-reason-utf8", "RFC 6455 5.5.1", 1007, "error", "the reason of a Close frame is not UTF-8"),
    _frame("deflate-data", "RFC 7692 7.2.2", 1007, "error", "a compressed message is not DEFLATE data"),
    _frame("inflated-too-big", "policy", 1009, "limit", "a message inflates to more than max_inflated_bytes"),
    _frame("inflate-ratio", "policy", 1009, "attack", "a message inflates to max_inflate_ratio times its size"),
    _frame("inflate-work", "policy", 4413, "attack", "a compressed message costs work and yields nothing"),
    _frame("out-of-memory", "RFC 6455 7.4.1", 1011, "limit", "memory for a payload could not be had"),
    _frame("internal-error", "RFC 6455 7.4.1", 1011, "error", "a callback of the Inspector's owner raised"),
    # Messages, judged by the schema.
    _frame("decode-nodes", "policy", 4413, "attack", "a message has more values and names than max_decode_nodes"),
    _frame("schema-opcode", "RFC 6455 7.4.1", 1003, "error", "the schema has no type for this opcode"),
    _frame("schema-malformed", "RFC 8259, MessagePack", 4422, "error", "a message is not JSON, or not MessagePack"),
    _frame("schema-mismatch", "policy", 4422, "error", "a message is not of the schema's type"),
    _frame("schema-depth", "policy", 4422, "attack", "a message is nested too deeply"),
    _frame("schema-number", "RFC 8259 6", 4422, "error", "a number is NaN, infinite or out of range"),
    _frame("schema-surrogate", "RFC 8259 8.2", 4422, "error", "a string holds half of a surrogate pair"),
    _frame("schema-unicode", "RFC 3629", 4422, "error", "a string inside a binary message is not UTF-8"),
    _frame("schema-duplicate-key", "RFC 8259 4", 4422, "error", "an object has the same name twice"),
    _frame("schema-hook", "RFC 6455 7.4.1", 1011, "error", "a hook of the schema failed"),
    # Connected, judged by the server.
    _frame("handler-error", "RFC 6455 7.4.1", 1011, "error", "the handler raised an exception"),
    _frame("idle-timeout", "policy", 4408, "limit", "nothing was received for idle_seconds"),
    _frame("pong-timeout", "policy", 4408, "limit", "a Ping was not answered within pong_seconds"),
    _frame("frame-timeout", "policy", 4408, "attack", "a frame that has begun did not end within frame_seconds"),
    _frame("message-timeout", "policy", 4408, "attack", "a message that has begun did not end within message_seconds"),
    _frame("lifetime", "policy", 4408, "limit", "the connection has lasted for lifetime_seconds"),
    _frame("slow-consumer", "policy", 4413, "limit", "more than max_backpressure_bytes would wait for the peer"),
    _frame("write-stall", "policy", 4408, "attack", "the peer took nothing for max_write_stall_seconds"),
    _frame("memory-budget", "RFC 6455 7.4.1", 1013, "limit", "all connections hold more than max_memory_bytes"),
    _frame("overloaded", "RFC 6455 7.4.1", 1013, "limit", "too many messages wait for the handler"),
    # Before the opening handshake.
    _silent("tls-handshake", "RFC 8446 6.2", "error", "the TLS handshake failed"),
    # The opening handshake.
    _request("request-line", "RFC 9112 3", 400, "attack", "the request line is malformed"),
    _request("http-version", "RFC 6455 4.2.1", 505, "error", "the request is not HTTP/1.1"),
    _request("method", "RFC 6455 4.2.1", 405, "error", "the method is not GET"),
    _request("request-target", "RFC 9112 3.2.1", 400, "attack", "the request target is not in origin form"),
    _request("header-syntax", "RFC 9112 5", 400, "attack", "a header line is malformed"),
    _request("target-too-long", "RFC 9112 3", 414, "limit", "the request line is longer than max_header_bytes"),
    _request("header-too-long", "RFC 6585 5", 431, "limit", "a header line is longer than max_header_bytes"),
    _request("too-many-headers", "RFC 6585 5", 431, "limit", "the request has more than max_headers header lines"),
    _request("head-too-long", "RFC 6585 5", 431, "limit", "the request head is longer than max_head_bytes"),
    _request("host", "RFC 9112 3.2", 400, "attack", "Host is missing, repeated or malformed"),
    _request("host-not-allowed", "policy", 403, "attack", "Host is not one that this server answers for"),
    _request("request-body", "RFC 6455 4.1", 400, "attack", "the request announces a body"),
    _request("upgrade-required", "RFC 6455 4.2.1", 426, "error", "the request does not ask to upgrade to websocket"),
    _request("websocket-version", "RFC 6455 4.4", 426, "error", "Sec-WebSocket-Version is not 13"),
    _request("version-repeated", "RFC 6455 11.3.5", 400, "attack", "Sec-WebSocket-Version is given more than once"),
    _request("websocket-key", "RFC 6455 4.2.1", 400, "error", "Sec-WebSocket-Key is not one base64 value of 16 bytes"),
    _request("subprotocol-syntax", "RFC 6455 4.1", 400, "error", "Sec-WebSocket-Protocol is malformed or repeats"),
    _request("extension-syntax", "RFC 6455 9.1", 400, "error", "Sec-WebSocket-Extensions is malformed"),
    _request("early-data", "RFC 6455 4.1", 400, "attack", "bytes follow the request before it was answered"),
    _request("origin", "RFC 6455 10.2", 403, "attack", "Origin is not one that may connect"),
    _request("handshake-timeout", "policy", 408, "attack", "the request did not arrive within handshake_seconds"),
    _request("not-found", "policy", 404, "error", "no route has this path"),
    _request("unauthenticated", "policy", 401, "error", "the handler's authenticate() did not accept the request"),
    _request("forbidden", "policy", 403, "error", "the handler's authenticate() refused the request"),
    _request("too-many-connections", "policy", 503, "limit", "the server has max_connections connections"),
    _request("too-many-pending", "policy", 503, "attack", "one address has max_pending_per_address handshakes at once"),
    _request("authenticate-error", "policy", 503, "error", "authenticate() failed, or took too long"),
)

RULES: dict[str, Rule] = {rule.id: rule for rule in _TABLE}
"""Every rule by its id."""
