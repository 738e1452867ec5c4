from typing import final

@final
class Prepared:
    @property
    def text(self) -> bool: ...
    @property
    def payload(self) -> bytes: ...

def prepare(data: str | bytes) -> Prepared: ...
def encode_frame(
    opcode: int,
    payload: bytes = b"",
    *,
    fin: bool = True,
    rsv: int = 0,
    key: bytes | None = None,
    length_bytes: int | None = None,
) -> bytes: ...
