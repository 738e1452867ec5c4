from collections.abc import Sequence
from typing import Any, final

GUID: bytes
MOST_CONNECTIONS: int
LARGEST_MESSAGE: int

def head(host: str, port: int, key: str, path: str = "/", headers: Sequence[str] = ()) -> bytes: ...

@final
class Load:
    def __init__(
        self,
        host: str,
        port: int,
        *,
        connections: int = 1,
        sources: Sequence[str] = (),
        path: str = "/",
        headers: Sequence[str] = (),
        timeout: float = 10.0,
    ) -> None: ...
    def open(self, *, at_once: int = 128) -> dict[str, Any]: ...
    def exchange(
        self,
        *,
        size: int,
        opcode: int = 1,
        in_flight: int = 1,
        refill: int | None = None,
        messages: int | None = None,
        seconds: float | None = None,
    ) -> dict[str, Any]: ...
    def hold(self, *, seconds: float | None = None, until: int = -1) -> dict[str, Any]: ...
    def close(self, *, at_once: int = 1024) -> dict[str, Any]: ...
    def refused(self, count: int, *, at_once: int = 16, status: int = 401) -> dict[str, Any]: ...
