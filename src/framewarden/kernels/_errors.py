"""What the kernels' Python functions raise."""


class Utf8Error(ValueError):
    """A text is not UTF-8 (RFC 3629).

    ``offset`` is the index, in bytes from the start of the text, of the first byte that cannot stand where it stands.
    It is the length of the text when that ends inside a character.
    """

    def __init__(self, offset: int) -> None:
        super().__init__(offset)
        self.offset = offset

    def __str__(self) -> str:
        return f"not UTF-8 at byte {self.offset}"
