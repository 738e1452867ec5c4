"""The decision about one request, compiled once from the policy."""

import asyncio
import logging
from collections.abc import Awaitable, Callable

import msgspec

from framewarden.admission.names import (
    DEFAULT_PORTS,
    HostPort,
    Origin,
    default_hosts,
    parse_host,
    parse_origin,
    usual_text,
)
from framewarden.admission.reporting import describe_error
from framewarden.codec.extensions import DeflateParameters, negotiate_deflate
from framewarden.codec.grammar import TOKEN
from framewarden.codec.handshake import Refusal, Request, checked_value, refuse
from framewarden.errors import ArgumentError, PolicyError
from framewarden.identity import Identity
from framewarden.policy import Policy

__all__ = ["Accepted", "Admission", "Authenticate"]

Authenticate = Callable[[Request], Identity | Awaitable[Identity | None] | None]
"""Who sent this request: an Identity; None: refused with 401. PermissionError: refused with 403. May be async."""

_log = logging.getLogger("framewarden.admission")

_HOST_NOT_ALLOWED = refuse("host-not-allowed")
_FOREIGN_ORIGIN = refuse("origin")
_NOT_FOUND = refuse("not-found")


class Accepted(msgspec.Struct, frozen=True, kw_only=True):
    """A request that may be upgraded.

    Attributes:
        identity: whom the handler recognised; None: it does not authenticate.
        subprotocol: value of the response's Sec-WebSocket-Protocol; None: the header is left out.
        deflate: what was agreed about compression; None: messages are not compressed.
        extensions: value of the response's Sec-WebSocket-Extensions; None: the header is left out.
    """

    identity: Identity | None
    subprotocol: str | None
    deflate: DeflateParameters | None
    extensions: str | None


class Admission:
    """Decides about valid opening handshakes.

    Args:
        policy: its ``server`` and ``deflate`` sections are used.
        address: name or IP address, and port, that the server listens on; the default origins and hosts come from it.
        secure: whether connections are TLS, which decides what port a Host without one means.
        authenticate: the handler's hook; None: everybody is anonymous.
        challenge: value of WWW-Authenticate in a 401.

    Raises:
        PolicyError: an origin or a host of the policy cannot be read, or ``challenge`` cannot be sent.
    """

    def __init__(
        self,
        policy: Policy,
        address: HostPort,
        *,
        secure: bool = False,
        authenticate: Authenticate | None = None,
        challenge: str = "Bearer",
    ) -> None:
        access = policy.access
        self._default_port = DEFAULT_PORTS["https" if secure else "http"]
        self._hosts = default_hosts(address) if access.hosts is None else self._compile_hosts(access.hosts)
        self._origins = self._compile_origins(access.origins, default_hosts(address))
        self._host_texts = frozenset(usual_text(*host, self._default_port) for host in self._hosts)
        self._origin_texts = frozenset(
            f"{scheme}://{usual_text(name, port, DEFAULT_PORTS.get(scheme, 0))}" for scheme, name, port in self._origins
        )
        self._any_host = access.dangerous_allow_host_not_allowed
        self._any_origin = access.dangerous_allow_origin
        self._paths = None if access.paths is None else frozenset(access.paths)
        self._subprotocols = _checked_subprotocols(access.subprotocols)
        self._deflate = policy.deflate
        self._authenticate = authenticate
        self._unauthenticated = refuse(
            "unauthenticated", headers=(("WWW-Authenticate", _checked_challenge(challenge)),)
        )

    def _compile_hosts(self, hosts: tuple[str, ...]) -> frozenset[HostPort]:
        parsed = {value: parse_host(value, self._default_port) for value in hosts}
        for value, host in parsed.items():
            if host is None:
                raise PolicyError(f"access.hosts: {value!r} is not a host name with an optional port")
        return frozenset(host for host in parsed.values() if host is not None)

    def _compile_origins(self, origins: tuple[str, ...] | None, hosts: frozenset[HostPort]) -> frozenset[Origin]:
        if origins is None:
            return frozenset((scheme, *host) for scheme in DEFAULT_PORTS for host in hosts)
        parsed = {value: parse_origin(value) for value in origins}
        for value, origin in parsed.items():
            if origin is None:
                raise PolicyError(f"access.origins: {value!r} is not scheme://host[:port]")
        return frozenset(origin for origin in parsed.values() if origin is not None)

    def admit(self, request: Request) -> Accepted | Refusal | Awaitable[Accepted | Refusal]:
        """Decide about ``request``. The result is an awaitable only where the handler's hook returned one."""
        refusal = self._check(request)
        if refusal is not None:
            return refusal
        if self._authenticate is None:
            return self._accept(request, None)
        try:
            identity = self._authenticate(request)
        except (Exception, asyncio.CancelledError) as error:  # noqa: BLE001  # user code raises what it likes
            return self._failed(error)
        if identity is not None and isinstance(identity, Awaitable):
            return self._admit_later(request, identity)
        return self._conclude(request, identity)

    async def _admit_later(self, request: Request, identity: Awaitable[Identity | None]) -> Accepted | Refusal:
        try:
            known = await identity
        except asyncio.CancelledError as error:
            task = asyncio.current_task()
            if task is None or task.cancelling():
                raise
            return self._failed(error)  # nobody cancelled us: the hook raised it, or what it awaited was cancelled
        except Exception as error:  # noqa: BLE001  # user code raises what it likes
            return self._failed(error)
        return self._conclude(request, known)

    def _check(self, request: Request) -> Refusal | None:
        """What can be said without knowing who it is; cheapest first."""
        # The allowlist is what stops DNS rebinding: a page of evil.example whose name now leads here still says so in
        # Host, and its Origin would equal it.
        if not (
            self._any_host
            or request.host in self._host_texts
            or parse_host(request.host, self._default_port) in self._hosts
        ):
            return _HOST_NOT_ALLOWED
        # RFC 6455 10.2: "If the origin indicated is unacceptable to the server, then it SHOULD respond to the WebSocket
        # handshake with a reply containing HTTP 403 Forbidden status code." Never compared with the Host that came in.
        # "null" (a sandboxed page, a file) says nothing about who asks, so it is never acceptable. A request without
        # Origin does not come from a page; it passes, since no cookie is taken for authentication here.
        if not (
            request.origin is None
            or self._any_origin
            or request.origin in self._origin_texts
            or parse_origin(request.origin) in self._origins
        ):
            return _FOREIGN_ORIGIN
        if self._paths is not None and request.path not in self._paths:
            return _NOT_FOUND
        return None

    def _conclude(self, request: Request, identity: object) -> Accepted | Refusal:
        if identity is None:
            return self._unauthenticated
        if not isinstance(identity, Identity):
            return self._failed(TypeError(f"authenticate() returned {type(identity).__name__}, not Identity or None"))
        return self._accept(request, identity)

    def _failed(self, error: BaseException) -> Refusal:
        if isinstance(error, PermissionError):
            return refuse("forbidden")
        _log.error("authenticate() failed: %s", describe_error(error))
        return refuse("authenticate-error")

    def _accept(self, request: Request, identity: Identity | None) -> Accepted:
        # RFC 6455 4.2.2: the subprotocol is "a value derived from the client's handshake"; ours decides the preference.
        # Without a common one the header is left out, and the client decides whether it goes on.
        subprotocol = next((name for name in self._subprotocols if name in request.subprotocols), None)
        agreed = None if self._deflate is None else negotiate_deflate(request.extensions, self._deflate)
        deflate, extensions = (None, None) if agreed is None else agreed
        return Accepted(identity=identity, subprotocol=subprotocol, deflate=deflate, extensions=extensions)


def _checked_subprotocols(names: tuple[str, ...]) -> tuple[str, ...]:
    for name in names:
        if not TOKEN.fullmatch(name):
            raise PolicyError(f"access.subprotocols: {name!r} is not a token (RFC 6455 4.1), so no client can offer it")
    return names


def _checked_challenge(challenge: str) -> str:
    """Found out now, and not when the first 401 cannot be written."""
    try:
        return checked_value(challenge)
    except (ArgumentError, TypeError):
        raise PolicyError(f"Handler.challenge: {challenge!r} is not one line of printable ASCII") from None
