"""The program: run the servers, talk to them, attack them, print what was seen."""

import argparse
import logging
import shutil
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec
from rich import box
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from framewarden.apps.demo.attacks import ATTACKS, EXEMPT, not_shown
from framewarden.apps.demo.conversation import CLIENT, Exchange, talk
from framewarden.apps.demo.judging import Result, carry_out
from framewarden.apps.demo.servers import Guarded
from framewarden.rules import RULES

__all__ = ["SNIPPET", "main"]

SHORT = 60
"""Characters of a message that are printed at most."""
FILE_WIDTH = 160
"""Characters of a line where the output is not a terminal."""

SNIPPET = """\
from framewarden import Inspector
inspector = Inspector()                                  # one a connection, from the byte behind the 101 on
for event in inspector.receive_data(sock.recv(65536)):   # whenever bytes have come in
    print(event)                                         # Message, Ping, Pong, Close: checked by every rule above
sock.sendall(inspector.data_to_send())                   # answers to Ping and Close, and what you sent
print(inspector.violation)                               # the rule that was broken, and at which byte; or None
"""


class Shown(msgspec.Struct, frozen=True):
    """Everything that the demo found out."""

    talk: list[Exchange]
    results: list[Result]
    missing: list[str]
    seconds: float

    @property
    def right(self) -> bool:
        """Whether every answer and every verdict was the one that must come, and every rule was shown."""
        answers = all(exchange.right for exchange in self.talk)
        return answers and not self.missing and all(result.verdict == "ok" for result in self.results)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the demo. Returns the exit code: 0 where everything was as it must be."""
    parser = argparse.ArgumentParser(
        prog="python -m framewarden.apps.demo",
        description="Show a guarded server: an honest client, and one hostile input for every rule.",
    )
    parser.add_argument("--json", action="store_true", help="results as JSON on standard output, the rest on the other")
    as_json = parser.parse_args(arguments).json
    # That a handler fails is a part of the show; the line about it in the log is not.
    logging.getLogger("framewarden").addHandler(logging.NullHandler())
    console = Console(stderr=as_json)
    if not console.is_terminal:
        console = Console(stderr=as_json, width=FILE_WIDTH)
    shown = show(console)
    if as_json:
        print(msgspec.json.encode(as_table(shown)).decode())
    return 0 if shown.right else 1


def show(console: Console) -> Shown:
    """Do everything, and print it."""
    begun = time.perf_counter()
    with Guarded() as guarded:
        host, port = guarded.addresses["chat"]
        console.print(
            f"[bold]A guarded chat on ws://{host}:{port}/chat, {CLIENT} as its client[/bold]", highlight=False
        )
        exchanges = []
        for exchange in talk(guarded.addresses["chat"]):
            exchanges.append(exchange)
            print_exchange(console, exchange)
        console.print(
            f"\n[bold]{len(ATTACKS)} hostile inputs over raw sockets, one for every rule[/bold]", highlight=False
        )
        results = carry_out(ATTACKS, guarded)
    shown = Shown(exchanges, results, not_shown(), time.perf_counter() - begun)
    print_results(console, shown)
    print_next_steps(console)
    return shown


def print_exchange(console: Console, exchange: Exchange) -> None:
    """One message and its answer in a line."""
    room = min(SHORT, (console.width - len("    ->    ok")) // 2)
    sent = escape(shorten(exchange.sent, room))
    if exchange.right:
        console.print(f"  {sent}  ->  {escape(shorten(exchange.answer, room))}  [green]ok[/green]", highlight=False)
    else:
        console.print(f"  {sent}  ->  {escape(exchange.answer)}  [bold red]WRONG[/bold red]", highlight=False)


def shorten(message: str, room: int) -> str:
    """So that it fits on a line with another one."""
    return message if len(message) <= room else f"{message[: room - 3]}..."


def print_results(console: Console, shown: Shown) -> None:
    """The table, and what it comes to."""
    table = Table(box=box.SIMPLE_HEAD, show_edge=False, padding=0)
    table.add_column("rule", no_wrap=True)
    table.add_column("source", min_width=len("RFC 6455 4.2.1"))
    table.add_column("sent")
    table.add_column("seen", no_wrap=True)
    table.add_column("ms", justify="right")
    table.add_column("verdict", min_width=len("verdict"))
    for result in shown.results:
        verdict = "[green]ok[/green]"
        if result.problems:
            verdict = f"[bold red]WRONG[/bold red]: {escape('; '.join(result.problems))}"
        row = (result.rule, result.source, result.sent, result.seen)
        table.add_row(*map(escape, row), f"{result.milliseconds:.1f}", verdict)
    console.print(table)
    for rule, reason in EXEMPT.items():
        console.print(f"Not shown: {rule}: {reason}.", highlight=False)
    for rule in shown.missing:
        console.print(f"[bold red]WRONG[/bold red]: {rule} has no attack.", highlight=False)
    good = sum(result.verdict == "ok" for result in shown.results)
    console.print(
        f"[bold]{good} of {len(shown.results)} verdicts as expected[/bold], {len(RULES)} rules, {shown.seconds:.1f} s",
        highlight=False,
    )


def print_next_steps(console: Console) -> None:
    """How to go on."""
    command = command_line()
    console.print("\n[bold]Next: read what comes in with the engine, in your own server[/bold]\n")
    console.print(SNIPPET, highlight=False, markup=False)
    console.print("[bold]or let framewarden be the server[/bold]\n")
    console.print(f"{command} serve                # an echo server, guarded by the hardened policy", markup=False)
    if Path("examples/chat.toml").is_file():
        console.print(f"{command} serve examples.chat:Chat --policy examples/chat.toml", markup=False)
    else:
        console.print(f"{command} serve your.module:YourHandler --policy your.toml", markup=False)


def command_line() -> str:
    """How the framewarden command is started from here."""
    if shutil.which("framewarden"):
        return "framewarden"
    program = Path(sys.executable).with_name("framewarden")
    if not program.is_file():
        return "python -m framewarden"
    return str(program.relative_to(Path.cwd()) if program.is_relative_to(Path.cwd()) else program)


def as_table(shown: Shown) -> dict[str, Any]:
    """The same for a program to read."""
    return {
        "right": shown.right,
        "seconds": shown.seconds,
        "talk": shown.talk,
        "results": [msgspec.to_builtins(result) | {"verdict": result.verdict} for result in shown.results],
        "exempt": EXEMPT,
        "missing": shown.missing,
    }
