"""The command line. Errors are one line on standard error and exit code 2."""

import importlib.metadata
import logging
import sys
from pathlib import Path
from typing import Annotated, cast

import typer
from rich.console import Console
from rich.table import Table

from framewarden import kernels
from framewarden.apps.fuzz.cli import fuzz_app
from framewarden.apps.probe.command import probe_command
from framewarden.apps.server import Files, run
from framewarden.errors import FramewardenError
from framewarden.rules import RULES, Rule
from framewarden.transports.server import Carrier

__all__ = ["app", "main"]

USAGE_ERROR = 2
INTERRUPTED = 130

# What typer raises for a wrong command line. It has had several homes, click and then typer's copy of it, but one name.
WrongUsage: type[Exception] = next(kind for kind in typer.BadParameter.__mro__ if kind.__name__ == "ClickException")
assert issubclass(WrongUsage, Exception)

app = typer.Typer(
    name="framewarden",
    help="Inspects every WebSocket frame before an application sees it.",
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)


app.add_typer(fuzz_app, name="fuzz")


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"framewarden {importlib.metadata.version('framewarden')}")
        raise typer.Exit


@app.callback(invoke_without_command=True)
def options(
    context: typer.Context,
    version: Annotated[
        bool, typer.Option("--version", help="Print the version.", callback=_print_version, is_eager=True)
    ] = False,
) -> None:
    """Inspects every WebSocket frame before an application sees it."""
    if context.invoked_subcommand is None:
        typer.echo(context.get_help())


@app.command("serve")
def serve_command(
    handler: Annotated[
        str | None,
        typer.Argument(metavar="[MODULE:HANDLER]", help="A framewarden.Handler, class or object; without it: echo."),
    ] = None,
    host: Annotated[str, typer.Option(help="Name or IP address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="TCP port; 0: a free one.")] = 8765,
    policy: Annotated[Path | None, typer.Option(metavar="FILE", help="Policy in TOML.")] = None,
    tls_cert: Annotated[Path | None, typer.Option(metavar="FILE", help="Certificate chain in PEM: TLS.")] = None,
    tls_key: Annotated[Path | None, typer.Option(metavar="FILE", help="Its key, if not in the same file.")] = None,
    tls_client_ca: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Clients must show a certificate of these authorities (PEM).")
    ] = None,
    workers: Annotated[int, typer.Option(min=1, max=1024, help="Processes that serve the port.")] = 1,
    carrier: Annotated[str, typer.Option(help="picows, or lean: less memory a connection.")] = "picows",
) -> None:
    """Serve until interrupted. SIGTERM and SIGINT drain, SIGHUP reads policy and certificates again."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s [%(process)d] %(name)s: %(message)s")

    def tell(url: str) -> None:
        print(f"framewarden listens on {url}", flush=True)

    files = Files(policy=policy, certificate=tls_cert, key=tls_key, client_ca=tls_client_ca)
    run(handler, files, host, port, workers=workers, carrier=cast(Carrier, carrier), on_start=tell)


app.command("probe")(probe_command)


@app.command("rules")
def rules_command() -> None:
    """Print every rule: what breaks it, and what the peer is told."""
    table = Table("rule", "answer", "source", "severity", "what breaks it")
    for rule in RULES.values():
        table.add_row(rule.id, _answer(rule), rule.source, rule.severity, rule.text)
    _console().print(table)


def _answer(rule: Rule) -> str:
    """What a peer that breaks ``rule`` is told."""
    if rule.close_code is not None:
        return f"close {rule.close_code}"
    return "nothing" if rule.status is None else f"HTTP {rule.status}"


@app.command("kernels")
def kernels_command() -> None:
    """Print the kernels that this machine can run; FRAMEWARDEN_KERNEL=name forces one."""
    active = kernels.active()
    for name in kernels.available():
        typer.echo(f"{name}{'  (active)' if name == active else ''}")


def _console() -> Console:
    """A terminal has its own width; in a file or a pipe no line is folded."""
    console = Console()
    return console if console.is_terminal else Console(width=200)


def main() -> int:
    """Run the command line. Returns the exit code."""
    try:
        code = app(standalone_mode=False)
    except (typer.Abort, KeyboardInterrupt):
        return INTERRUPTED
    except (WrongUsage, FramewardenError, OSError) as error:
        message = error.format_message() if isinstance(error, typer.BadParameter) else str(error)
        return _fail(message)
    return code if isinstance(code, int) else 0


def _fail(message: str) -> int:
    line = " ".join(message.split())
    print(f"framewarden: {line}", file=sys.stderr)
    return USAGE_ERROR
