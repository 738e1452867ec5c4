"""What an operator decides: limits, schema, compression, who may connect. A leaf: every room may import it.

Everything here is an immutable msgspec Struct, and the same from Python and from TOML (``policy_file``). Every default
is the safe one: ``Policy()`` is the hardened policy. Each room compiles its own section; nothing is checked
against the outside world here, but a value that no room could use is refused when the Struct is made.
"""

from collections.abc import Callable, Iterable
from typing import Any, Literal

import msgspec

from framewarden.errors import PolicyError

__all__ = ["Access", "Deflate", "Limits", "Policy", "Schema", "SecurityEvent"]

KIB = 1024
MIB = 1024 * 1024
LARGEST_MESSAGE = 2**31 - 1
LARGEST_MEMORY = 2**62


class SecurityEvent(msgspec.Struct, frozen=True, kw_only=True):
    """One refusal, by any room. ``policy.on_event`` is called with it.

    Attributes:
        rule: id of the rule (:data:`framewarden.RULES`).
        action: "fail" (the connection was failed), "refuse" (it was never accepted), "report" (the message was
            delivered all the same, because the policy's mode is "report").
        session_id: which connection, "" where nobody gave it a name.
        subject: who, "" as long as the peer is not authenticated.
        address: where from, "" when unknown.
        offset: position in the inbound stream in bytes, as in :class:`framewarden.Violation`; -1 before the upgrade.
        time: seconds since the epoch.
    """

    rule: str
    action: Literal["fail", "refuse", "report"]
    session_id: str
    subject: str
    address: str
    offset: int
    time: float


def _check_flags(where: str, struct: msgspec.Struct, names: Iterable[str]) -> None:
    """A string like "no" would be true."""
    for name in names:
        if type(getattr(struct, name)) is not bool:
            raise PolicyError(f"{where}.{name} must be True or False, not {getattr(struct, name)!r}")


class Limits(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Bounds on what one peer may cost. Sizes in bytes, times in seconds; the rule that each one feeds in brackets.

    Attributes:
        max_frame_bytes: payload that one frame may declare [frame-too-big].
        max_message_bytes: payload that all frames of a message may declare, on the wire [message-too-big].
        max_inflated_bytes: what a compressed message may become [inflated-too-big].
        max_inflate_ratio: how many times its wire size a message may become, judged above 64 KiB [inflate-ratio].
        max_fragments: frames of one message [too-many-fragments].
        max_control_run: control frames in a row, with no data between them and within one second [control-flood].
        max_empty_run: empty non-final data frames in a row [empty-fragments].
        max_decode_nodes: values, and names of objects, in one message that a schema decodes [decode-nodes].
        handshake_seconds: from accept to the 101 [handshake-timeout].
        frame_seconds: from the first byte of a frame to its last [frame-timeout].
        message_seconds: from the first byte of a message to its last [message-timeout].
        min_head_rate: how fast a head must come, on average: what is not there one second after its first byte is
            refused when it comes slower, without waiting for handshake_seconds [handshake-timeout].
        idle_seconds: without any byte from the peer [idle-timeout].
        ping_seconds: without any byte from the peer until we send a Ping.
        pong_seconds: from our Ping to the answer [pong-timeout].
        lifetime_seconds: how long a connection lasts at most; each one is cut up to a tenth earlier, at random, so that
            those which began together do not come back together [lifetime].
        close_seconds: from our Close to the peer's; the socket is closed then. Also how long a handler may go on
            working for a connection that is gone; it is cancelled then.
        drain_seconds: how long a server that is told to stop takes at most. It closes connections with 1001 at random
            moments of the first half, so that not all clients come back at once; at the end it cuts what is left.
        max_head_bytes: the whole head of the opening handshake [head-too-long].
        max_header_bytes: one line of it [header-too-long].
        max_headers: lines of it [too-many-headers].
        max_connections: connections of one server, with those that are gone but whose handler still works; None: the
            limit of open files less 256 [too-many-connections].
        max_pending_per_address: connections of one address (IPv6: of one /64) that are in the opening handshake at the
            same time. Raise it where all clients come through one proxy [too-many-pending].
        max_queued_messages: messages that wait for an asynchronous handler before reading pauses.
        max_queued_bytes: bytes of them.
        max_backpressure_bytes: what waits for a peer that does not read [slow-consumer]; see ``policy.slow_consumer``.
        max_write_stall_seconds: how long a peer may take nothing of what waits for it [write-stall].
        max_memory_bytes: what all connections of the process may hold together; None: a quarter of the machine's memory
            (of its cgroup's) [memory-budget].
    """

    max_frame_bytes: int = MIB
    max_message_bytes: int = MIB
    max_inflated_bytes: int = MIB
    max_inflate_ratio: int = 100
    max_fragments: int = 1024
    max_control_run: int = 64
    max_empty_run: int = 64
    max_decode_nodes: int = 4096
    handshake_seconds: float = 5.0
    frame_seconds: float = 20.0
    message_seconds: float = 20.0
    min_head_rate: int = 256
    idle_seconds: float = 60.0
    ping_seconds: float = 20.0
    pong_seconds: float = 20.0
    lifetime_seconds: float = 86400.0
    close_seconds: float = 5.0
    drain_seconds: float = 10.0
    max_head_bytes: int = 16 * KIB
    max_header_bytes: int = 8 * KIB
    max_headers: int = 100
    max_connections: int | None = None
    max_pending_per_address: int = 256
    max_queued_messages: int = 64
    max_queued_bytes: int = MIB
    max_backpressure_bytes: int = MIB
    max_write_stall_seconds: float = 20.0
    max_memory_bytes: int | None = None

    def __post_init__(self) -> None:
        for name in self.__struct_fields__:
            value = getattr(self, name)
            if value is None and name in ("max_connections", "max_memory_bytes"):
                continue
            if type(value) is bool or not isinstance(value, int | float):
                raise PolicyError(f"limits.{name} must be a number, not {type(value).__name__}")
            if not name.endswith("_seconds") and type(value) is not int:
                raise PolicyError(f"limits.{name} must be a whole number, not {value!r}")
            largest = LARGEST_MEMORY if name == "max_memory_bytes" else LARGEST_MESSAGE
            if not 0 < value <= largest:
                raise PolicyError(f"limits.{name} must be above 0 and at most {largest}, not {value!r}")


class Deflate(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """permessage-deflate (RFC 7692); a policy without it does not negotiate compression.

    Attributes:
        client_context_takeover: whether a client may refer to its earlier messages. False keeps no window a connection
            (about 40 KiB of memory) and finds a message that was cut short; True compresses small messages better.
        server_context_takeover: the same for what we send.
        client_max_window_bits: the largest window (2**n bytes, 9 to 15) that a client may use, where it lets us choose.
        server_max_window_bits: the largest window that we use for sending.
        min_bytes: messages that we send are compressed from this size on.
        level: effort for sending, 1 (fast) to 9 (small).
    """

    client_context_takeover: bool = False
    server_context_takeover: bool = False
    client_max_window_bits: int = 15
    server_max_window_bits: int = 15
    min_bytes: int = 256
    level: int = 1

    def __post_init__(self) -> None:
        _check_flags("deflate", self, ("client_context_takeover", "server_context_takeover"))
        for name, least, most in (
            ("client_max_window_bits", 9, 15),
            ("server_max_window_bits", 9, 15),
            ("level", 1, 9),
            ("min_bytes", 0, LARGEST_MESSAGE),
        ):
            value = getattr(self, name)
            if type(value) is not int or not least <= value <= most:
                raise PolicyError(f"deflate.{name} must be {least} to {most}, not {value!r}")


class Schema(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The types that messages must have. In TOML a type is written as ``"package.module:Name"``.

    Without a schema messages are delivered as ``str`` and ``bytes``. With one, an opcode that has no type is refused
    [schema-opcode].

    Attributes:
        text: type of the JSON in Text messages, anything that msgspec decodes; None: Text is refused.
        binary: type of the MessagePack in Binary messages; None: Binary is refused.
        routes: schemas by request path; one that matches replaces this schema.
        subprotocols: schemas by subprotocol, looked up in the schema that the route chose.
        duplicate_keys: "refuse" finds JSON objects that have the same name twice [schema-duplicate-key]; it costs
            about half of the decoding.
        dec_hook: msgspec's hook for types of your own; it raises ValueError for a value that it refuses.
    """

    text: Any = None
    binary: Any = None
    routes: dict[str, "Schema"] = {}
    subprotocols: dict[str, "Schema"] = {}
    duplicate_keys: Literal["allow", "refuse"] = "allow"
    dec_hook: Callable[[type, Any], Any] | None = None

    def __post_init__(self) -> None:
        if self.duplicate_keys not in ("allow", "refuse"):
            raise PolicyError(f"schema.duplicate_keys must be 'allow' or 'refuse', not {self.duplicate_keys!r}")
        if self.dec_hook is not None and not callable(self.dec_hook):
            raise PolicyError("schema.dec_hook must be callable")
        for name in ("routes", "subprotocols"):
            inner = getattr(self, name)
            if not isinstance(inner, dict) or not all(
                isinstance(key, str) and isinstance(value, Schema) for key, value in inner.items()
            ):
                raise PolicyError(f"schema.{name} must be a dict of names to Schemas")


class Access(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Who may connect to a server.

    Attributes:
        origins: public origins ("https://example.org", with a port where it is not the scheme's) whose pages may
            connect. None: those of the address that the server listens on, and of localhost.
        hosts: names (with a port where it is not 80 or 443) that the Host header may have. None: the address that the
            server listens on, and localhost.
        subprotocols: those that the server speaks, in its order of preference.
        paths: request paths that are served; None: every path.
        dangerous_allow_origin: accept every Origin.
        dangerous_allow_host_not_allowed: accept every Host.
        dangerous_allow_anonymous: serve other addresses than loopback without an authenticator.
        dangerous_allow_plaintext: serve other addresses than loopback without TLS.
        dangerous_allow_per_worker_quotas: serve with several workers although the policy sets limits that every process
            counts for itself (``limits.max_connections``, ``limits.max_memory_bytes``), which multiplies them.
    """

    origins: tuple[str, ...] | None = None
    hosts: tuple[str, ...] | None = None
    subprotocols: tuple[str, ...] = ()
    paths: tuple[str, ...] | None = None
    dangerous_allow_origin: bool = False
    dangerous_allow_host_not_allowed: bool = False
    dangerous_allow_anonymous: bool = False
    dangerous_allow_plaintext: bool = False
    dangerous_allow_per_worker_quotas: bool = False

    def __post_init__(self) -> None:
        _check_flags("access", self, [name for name in self.__struct_fields__ if name.startswith("dangerous_")])
        for name in ("origins", "hosts", "subprotocols", "paths"):
            value = getattr(self, name)
            if value is None and name != "subprotocols":
                continue
            if not isinstance(value, tuple) or not all(isinstance(each, str) for each in value):
                raise PolicyError(f"access.{name} must be a tuple of str, not {value!r}")
        for path in self.paths or ():
            if not path.startswith("/"):
                raise PolicyError(f"access.paths: {path!r} does not begin with /, so no request has it")


class Policy(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, weakref=True):
    """Everything an operator decides, in one immutable value.

    Attributes:
        limits: bounds on what one peer may cost.
        schema: the types that messages must have; None: ``str`` and ``bytes`` are delivered.
        deflate: compression; None: not negotiated.
        access: who may connect.
        slow_consumer: what happens to a message for a peer that does not read, when it would be more than
            ``max_backpressure_bytes`` that wait: "close" ends the connection, "drop-newest" forgets this message,
            "drop-oldest" the oldest ones that wait, "latest" keeps one message for each ``key`` of ``session.send`` as
            soon as one has to wait (one without a key is handled as by "drop-newest").
        mode: "enforce", or "report": a message that fails its schema is delivered as ``str`` or ``bytes`` with
            ``event.would_refuse``. The protocol, sizes and the budget are always enforced.
        close_codes: "framewarden" sends our policy codes (4401 to 4429), "rfc" sends 1008 for each of them.
        on_event: called with a :class:`SecurityEvent` for every refusal. What it raises is reported by
            ``sys.unraisablehook`` and changes nothing.
    """

    limits: Limits = Limits()
    schema: Schema | None = None
    deflate: Deflate | None = None
    access: Access = Access()
    slow_consumer: Literal["close", "drop-newest", "drop-oldest", "latest"] = "close"
    mode: Literal["enforce", "report"] = "enforce"
    close_codes: Literal["framewarden", "rfc"] = "framewarden"
    on_event: Callable[[SecurityEvent], None] | None = None

    def __post_init__(self) -> None:
        for name, kind in (("limits", Limits), ("access", Access)):
            if not isinstance(getattr(self, name), kind):
                raise PolicyError(f"policy.{name} must be a {kind.__name__}")
        if not isinstance(self.schema, Schema | None):
            raise PolicyError("policy.schema must be a Schema or None")
        if not isinstance(self.deflate, Deflate | None):
            raise PolicyError("policy.deflate must be a Deflate or None")
        if self.slow_consumer not in ("close", "drop-newest", "drop-oldest", "latest"):
            choices = "'close', 'drop-newest', 'drop-oldest' or 'latest'"
            raise PolicyError(f"policy.slow_consumer must be {choices}, not {self.slow_consumer!r}")
        if self.mode not in ("enforce", "report"):
            raise PolicyError(f"policy.mode must be 'enforce' or 'report', not {self.mode!r}")
        if self.close_codes not in ("framewarden", "rfc"):
            raise PolicyError(f"policy.close_codes must be 'framewarden' or 'rfc', not {self.close_codes!r}")
        if self.on_event is not None and not callable(self.on_event):
            raise PolicyError("policy.on_event must be callable")
