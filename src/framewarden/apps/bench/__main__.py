"""What a Generator's process does: one JSON command a line in, one JSON answer a line out, until the input ends.

A command is ``[method, arguments, options]``; the first one is ``Load``, which makes the object. While no command is
there, the connections that are open have their Pings answered.
"""

import contextlib
import os
import resource
from typing import Any

import msgspec

from framewarden.apps.bench._loadgen import Load

STDIN, STDOUT = 0, 1
METHODS = ("open", "exchange", "hold", "close", "refused")
IDLE_SECONDS = 3600.0


def raise_file_limit() -> None:
    """As many files as the hard limit allows: each connection is one."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


class Commands:
    """Lines of standard input; between them the connections are held."""

    def __init__(self) -> None:
        self._rest = b""
        self.load: Load | None = None

    def next(self) -> list[Any] | None:
        """The next command; None: the input has ended."""
        while b"\n" not in self._rest:
            if self.load is not None:
                self.load.hold(seconds=IDLE_SECONDS, until=STDIN)
            data = os.read(STDIN, 65536)
            if not data:
                return None
            self._rest += data
        line, _, self._rest = self._rest.partition(b"\n")
        command: list[Any] = msgspec.json.decode(line)
        return command

    def carry_out(self, name: str, arguments: list[Any], options: dict[str, Any]) -> Any:
        """Returns the report, nothing for ``Load``."""
        if name == "Load":
            self.load = Load(*arguments, **options)
            return None
        if name not in METHODS or self.load is None:
            raise ValueError(f"no command {name!r} now")
        return getattr(self.load, name)(*arguments, **options)


def main() -> None:
    """Carry commands out until there are no more."""
    raise_file_limit()
    commands = Commands()
    while (command := commands.next()) is not None:
        try:
            answer = {"report": commands.carry_out(*command)}
        except (ValueError, TypeError, OverflowError, OSError, MemoryError, RuntimeError) as error:
            answer = {"error": f"{type(error).__name__}: {error}"}
        os.write(STDOUT, msgspec.json.encode(answer) + b"\n")


if __name__ == "__main__":
    with contextlib.suppress(KeyboardInterrupt):  # whoever gave the commands has got it, too
        main()
