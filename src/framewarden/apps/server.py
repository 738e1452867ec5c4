"""``framewarden serve``: a server made of names on a command line."""

import importlib
import inspect
import ssl
import sys
from collections.abc import Callable
from pathlib import Path

from framewarden.errors import PolicyError
from framewarden.policy import Policy, load_policy
from framewarden.session import Handler
from framewarden.transports import Server, serve

__all__ = ["load_handler", "run", "server_tls"]


def load_handler(name: str) -> type[Handler] | Handler:
    """The handler called ``package.module:Name``; modules are looked up in the current directory too.

    Raises:
        PolicyError: there is no such thing, or it is not a Handler.
    """
    module, _, attribute = name.partition(":")
    if not module or not attribute:
        raise PolicyError(f"--handler must be module:Class, not {name!r}")
    try:
        found = getattr(importlib.import_module(module), attribute)
    except (Exception, SystemExit) as error:  # noqa: BLE001  # importing runs the module, which raises what it likes
        raise _unusable(name, error) from None
    if isinstance(found, Handler) or (isinstance(found, type) and issubclass(found, Handler)):
        return found
    raise PolicyError(f"--handler {name}: not a framewarden.Handler")


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
    return PolicyError(f"--handler {name}: {type(error).__name__}: {error}")


def search_current_directory() -> None:
    """Let modules be found beside the policy and the handler: a command that is installed does not look there."""
    directory = str(Path.cwd())
    if directory not in sys.path:
        sys.path.insert(0, directory)


def server_tls(certificate: Path, key: Path | None) -> ssl.SSLContext:
    """A TLS 1.2+ context for a server with the certificate chain of a PEM file, and its key (None: in the same file).

    Raises:
        PolicyError: a file cannot be read, or the two do not belong together.
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
    return context


def _no_password() -> str:
    """Called for an encrypted key: without this OpenSSL would ask the terminal."""
    raise ValueError("the key is encrypted; decrypt it first")


def run(
    host: str,
    port: int,
    *,
    policy_file: Path | None = None,
    handler: str | None = None,
    certificate: Path | None = None,
    key: Path | None = None,
    on_start: Callable[[Server], None] | None = None,
) -> None:
    """Serve until SIGINT or SIGTERM.

    Raises:
        PolicyError: something that was named cannot be used.
        OSError: the address cannot be listened on.
    """
    if key is not None and certificate is None:
        raise PolicyError("--key needs --certificate")
    search_current_directory()
    policy = Policy() if policy_file is None else load_policy(policy_file)
    made = None if handler is None else make_handler(handler)
    tls = None if certificate is None else server_tls(certificate, key)
    serve(made, policy, host, port, ssl=tls, on_start=on_start)
