"""Invariant: every implementation of the kernels does what ``framewarden.kernels.reference`` does.

At any alignment, from any phase of the masking-key, and cut anywhere.
"""

from collections.abc import Iterable, Iterator

from framewarden import kernels
from framewarden.kernels import Utf8Error, Utf8Validator, reference
from fuzz.draw import Draw, chunks_at, hexes
from tests.vectors.loader import VECTORS

ALLOWED: tuple[type[Exception], ...] = (Utf8Error,)
LONGEST = 700
"""The reference goes byte by byte; vector kernels have their edges within a few hundred."""
TOKENS = hexes(
    "00 7f 80 bf c0 c1 c280 dfbf e0a080 e08080 ed9fbf eda080 efbfbf f0908080 f0808080 f48fbfbf f4908080 f5 ff c3a9"
    " e282ac f09f9880 6161616161616161 c3a9c3a9c3a9c3a9c3a9c3a9c3a9c3a9 e282ace282ace282ace282ace282ace282ac"
)


def one(data: bytes) -> None:
    draw = Draw(data)
    key, phase, lead, times = draw.take(4), draw.byte(), draw.byte() % 64, draw.byte() % 16
    chunking = draw.chunking()
    content = draw.rest()
    content = (content * (times + 1))[:LONGEST]
    wanted = reference.unmask(content, key, phase)
    wrong = reference.find_invalid_utf8(content)
    text = reference.decode_utf8(content) if wrong is None else None
    shifted = memoryview(bytes(lead) + content)[lead:]
    check_arguments()
    active = kernels.active()
    try:
        for name in kernels.available():
            kernels.use(name)
            assert kernels.unmask(shifted, key, phase) == wanted, f"{name}: unmask"
            assert kernels.find_invalid_utf8(shifted) == wrong, f"{name}: find_invalid_utf8 is not {wrong}"
            assert decoded(shifted) == (text, wrong), f"{name}: decode_utf8"
            check_validator(name, content, key, chunking.cut(content), wrong)
    finally:
        kernels.use(active)


def decoded(data: memoryview) -> tuple[str | None, int | None]:
    """The text, or where it is wrong."""
    try:
        return kernels.decode_utf8(data), None
    except Utf8Error as error:
        return None, error.offset


def check_validator(name: str, content: bytes, key: bytes, chunks: list[bytes], wrong: int | None) -> None:
    """In pieces, plain and masked: the error comes with the piece that holds the wrong byte, and stays."""
    masked = reference.unmask(content, key)
    for plain in (True, False):
        validator = Utf8Validator()
        position = 0
        for chunk in chunks:
            piece = masked[position : position + len(chunk)]
            breaks = wrong is not None and wrong < position + len(chunk)
            try:
                if plain:
                    validator.feed(chunk)
                else:
                    assert validator.feed_masked(piece, key) == chunk, f"{name}: feed_masked"
            except Utf8Error as error:
                assert breaks, f"{name}: an error at {error.offset} in valid text"
                assert error.offset == wrong, f"{name}: {error.offset} is not {wrong}"
                check_stays(validator, error.offset)
                break
            assert not breaks, f"{name}: nothing is wrong at {wrong}"
            position += len(chunk)
            assert validator.bytes_seen == position
            assert validator.ascii == content[:position].isascii()
        else:
            assert validator.complete == (wrong is None), f"{name}: complete"


def check_stays(validator: Utf8Validator, wrong: int) -> None:
    """What is wrong stays wrong, whatever follows."""
    for again in (lambda: validator.feed(b"a"), lambda: validator.feed_masked(b"a", bytes(4))):
        try:
            again()
        except Utf8Error as error:
            assert error.offset == wrong
        else:
            raise AssertionError("an error was forgotten")


def check_arguments() -> None:
    for wrong in (
        lambda: kernels.use("no such kernel"),
        lambda: kernels.unmask(b"a", b"abc"),
        lambda: kernels.unmask(b"a", bytes(4), -1),
    ):
        try:
            wrong()
        except ValueError:
            continue
        raise AssertionError("a wrong argument passed")


def payloads() -> Iterator[bytes]:
    for vector in VECTORS:
        if vector.file == "utf8.json" and vector.role == "client":
            yield vector.stream[2:]
    yield from (text.encode() for text in ("\0 ~", "é" * 33, "世界" * 20, "😀" * 17, "a" * 63 + "é", "aé世😀" * 9))


def seeds() -> Iterable[bytes]:
    for index, payload in enumerate(payloads()):
        cuts = chunks_at(*[1 + index % 64] * (index % 5))
        for times in (0, 15):
            yield b"\x37\xfa\x21\x3d" + bytes([index % 5, index % 64, times]) + cuts + payload
