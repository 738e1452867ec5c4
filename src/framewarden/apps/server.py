"""``framewarden serve``: a server made of names on a command line."""

import importlib
import inspect
import ssl
import sys
from collections.abc import Callable
from pathlib import Path

import msgspec

from framewarden.errors import PolicyError
from framewarden.policy import Policy
from framewarden.policy_file import load_policy
from framewarden.session import Handler
from framewarden.transports import serve
from framewarden.transports.server import HARDENED, Carrier

__all__ = ["Files", "load_handler", "run", "server_tls"]


def load_handler(name: str) -> type[Handler] | Handler:
    """The handler called ``package.module:Name``; modules are looked up in the current directory too.

    Raises:
        PolicyError: there is no such thing, or it is not a Handler.
    """
    module, _, attribute = name.partition(":")
    if not module or not attribute:
        raise PolicyError(f"the handler must be module:Name, not {name!r}")
    try:
        found = getattr(importlib.import_module(module), attribute)
    except (Exception, SystemExit) as error:  # noqa: BLE001  # importing runs the module, which raises what it likes
        raise _unusable(name, error) from None
    if isinstance(found, Handler) or (isinstance(found, type) and issubclass(found, Handler)):
        return found
    raise PolicyError(f"handler {name}: not a framewarden.Handler")


def make_handler(name: str) -> Handler:
    """As ``load_handler``; a class is called without arguments.

    Raises:
        PolicyError: there is no such thing, it is not a Handler, or it cannot be made.
    """
    found = load_handler(name)
    if not inspect.isclass(found):
        return found
    try:
        return found()
    except (Exception, SystemExit) as error:  # noqa: BLE001  # user code raises what it likes
        raise _unusable(name, error) from None


def _unusable(name: str, error: BaseException) -> PolicyError:
    return PolicyError(f"handler {name}: {type(error).__name__}: {error}")


def search_current_directory() -> None:
    """Let modules be found beside the policy and the handler: a command that is installed does not look there."""
    directory = str(Path.cwd())
    if directory not in sys.path:
        sys.path.insert(0, directory)


def server_tls(certificate: Path, key: Path | None = None, client_ca: Path | None = None) -> ssl.SSLContext:
    """A TLS 1.2+ context for a server.

    Args:
        certificate: PEM file with the chain.
        key: PEM file with its key; None: in the same file.
        client_ca: PEM file with the authorities of which a client must show a certificate; None: it need not.

    Raises:
        PolicyError: a file cannot be read, or certificate and key do not belong together.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    # RFC 6455 4.1 upgrades HTTP/1.1; a browser that is offered h2 would take it.
    context.set_alpn_protocols(["http/1.1"])
    try:
        context.load_cert_chain(certificate, key, password=_no_password)
    except (OSError, ValueError) as error:
        files = str(certificate) if key is None else f"{certificate}, {key}"  # OpenSSL does not say which one it is
        raise PolicyError(f"{files}: {error}") from None
    if client_ca is not None:
        context.verify_mode = ssl.CERT_REQUIRED
        try:
            context.load_verify_locations(client_ca)
        except (OSError, ValueError) as error:
            raise PolicyError(f"{client_ca}: {error}") from None
    return context


def _no_password() -> str:
    """Called for an encrypted key: without this OpenSSL would ask the terminal."""
    raise ValueError("the key is encrypted; decrypt it first")


class Files(msgspec.Struct, frozen=True, kw_only=True):
    """The files that a server is made of; all of them may be changed and read again while it runs.

    Attributes:
        policy: TOML; None: the hardened policy.
        certificate: see :func:`server_tls`; None: plain TCP.
        key: see there.
        client_ca: see there.
    """

    policy: Path | None = None
    certificate: Path | None = None
    key: Path | None = None
    client_ca: Path | None = None

    def read(self) -> tuple[Policy | None, ssl.SSLContext | None]:
        """Policy and TLS, None for what there is no file of.

        Raises:
            PolicyError: a file cannot be read, or what it says cannot be used.
        """
        policy = None if self.policy is None else load_policy(self.policy)
        tls = None if self.certificate is None else server_tls(self.certificate, self.key, self.client_ca)
        return policy, tls


def run(
    handler: str | None,
    files: Files,
    host: str,
    port: int,
    *,
    workers: int = 1,
    carrier: Carrier = "picows",
    on_start: Callable[[str], None] | None = None,
) -> None:
    """Serve until SIGINT or SIGTERM; at SIGHUP read the files again.

    Raises:
        PolicyError: something that was named cannot be used.
        FramewardenError: no worker could be started.
        OSError: the address cannot be listened on.
    """
    for option, file in (("--tls-key", files.key), ("--tls-client-ca", files.client_ca)):
        if file is not None and files.certificate is None:
            raise PolicyError(f"{option} needs --tls-cert")
    search_current_directory()
    policy, tls = files.read()
    serve(
        None if handler is None else load_handler(handler) if workers > 1 else make_handler(handler),
        HARDENED if policy is None else policy,
        host,
        port,
        ssl=tls,
        workers=workers,
        carrier=carrier,
        on_start=on_start,
        on_reload=files.read,
    )
