"""One case: the bytes that one end sends, where they are cut, and what a strict other end answers.

A case is a JSON file, read strictly: an unknown key, a rule that does not exist, a repetition that would expand to more
than ``MAX_STREAM`` bytes are a CaseError. docs/probe.md has the fields for who writes one.
"""

import functools
import json
import re
import zlib
from collections.abc import Iterable, Iterator
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Literal

import msgspec

from framewarden.apps.cases.wire import ADDRESS, head
from framewarden.codec import encode_frame
from framewarden.errors import FramewardenError
from framewarden.rules import RULES

__all__ = [
    "MAX_FILE",
    "MAX_STREAM",
    "Case",
    "CaseError",
    "Cost",
    "Head",
    "Part",
    "load_cases",
    "parse_case",
    "read_bounded",
]

NAME = re.compile(r"[A-Za-z0-9_-]{1,200}")
MAX_FILE = 64 * 1024
"""Bytes of a case file."""
MAX_STREAM = 32 * 1024 * 1024
"""Bytes that the parts of a case may expand to."""
MAX_BOMB = 256 * 1024 * 1024
"""Bytes that all compressed messages of a case may inflate to."""
LONGEST_WORDS = 300
"""Characters of a message about a file."""
MAX_CONNECTIONS = 10_000
MAX_CUTS = 10_000
TARGET = "<target>"
"""Stands in a text for the path and query of the URI that is probed."""
MIB = 1024 * 1024


class CaseError(FramewardenError, ValueError):
    """A file that is not a case."""


class Head(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """A request head that every server accepts, but for what is said here.

    Attributes:
        line: the request line.
        change: headers to change; null: to leave out.
        more: lines to add behind them.
    """

    line: str = f"GET {TARGET} HTTP/1.1"
    change: dict[str, str | None] = {}
    more: tuple[str, ...] = ()


class Part(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """A part of the bytes: exactly one of ``hex``, ``text``, ``head`` and ``bomb``.

    Attributes:
        hex: octets in hexadecimal.
        text: characters of Latin-1, one octet each. ``<address>`` stands for the server's host and port, ``<target>``
            for path and query.
        head: a request head.
        bomb: one compressed frame (FIN, RSV1) whose message is so many zeros.
        times: how often ``hex`` or ``text`` is repeated.
        opcode: of the bomb.
        key: masking-key of the bomb in hexadecimal; null: it is not masked.
    """

    hex: str | None = None
    text: str | None = None
    head: Head | None = None
    bomb: int | None = None
    times: int = 1
    opcode: int = 1
    key: str | None = "00000000"

    def __post_init__(self) -> None:
        if sum(each is not None for each in (self.hex, self.text, self.head, self.bomb)) != 1:
            raise ValueError("a part has one of hex, text, head and bomb")
        if not 1 <= self.times <= MAX_STREAM or (self.times > 1 and self.hex is None and self.text is None):
            raise ValueError(f"times is 1 to {MAX_STREAM}, and only for hex and text")
        if self.bomb is not None and not 0 <= self.bomb <= MAX_BOMB:
            raise ValueError(f"bomb is 0 to {MAX_BOMB}")
        if self.text is not None and self.times > 1 and (ADDRESS in self.text or TARGET in self.text):
            raise ValueError(f"a text with {ADDRESS} or {TARGET} is not repeated")
        if self.opcode not in (0, 1, 2):
            raise ValueError("opcode is 0, 1 or 2")
        if self.key is not None and len(bytes.fromhex(self.key)) != 4:
            raise ValueError("key has 4 octets")
        if self.bomb is None:
            self.octets(0)  # what is no hexadecimal, or no Latin-1, raises ValueError

    def octets(self, times: int = 1) -> bytes:
        """The bytes, with ``times`` times as many repetitions (or zeros, in the message of a bomb)."""
        if self.hex is not None:
            return bytes.fromhex(self.hex) * (self.times * times)
        if self.text is not None:
            return self.text.encode("latin-1") * (self.times * times)
        if self.head is not None:
            return head(*self.head.more, line=self.head.line, change=self.head.change)
        assert self.bomb is not None
        key = None if self.key is None else bytes.fromhex(self.key)
        return encode_frame(self.opcode, zeros(self.bomb * times), rsv=4, key=key)

    def size(self) -> int:
        """Bytes that it expands to, a little more where that is not known yet."""
        if self.bomb is not None:
            return self.bomb // 512 + 1024
        if self.head is not None:
            return MAX_FILE
        octets = len(self.text or "") if self.hex is None else len(self.hex) // 2
        return octets * self.times


@functools.lru_cache(maxsize=4)
def zeros(size: int) -> bytes:
    """A compressed message of so many zeros (RFC 7692 7.2.1)."""
    stream = zlib.compressobj(9, zlib.DEFLATED, -15)
    pieces = [stream.compress(bytes(min(MIB, size - start))) for start in range(0, size, MIB)]
    return (b"".join(pieces) + stream.flush(zlib.Z_SYNC_FLUSH))[:-4]


class Cost(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a case may cost the other end.

    Attributes:
        part: position in ``parts`` of the one whose ``times`` (or ``bomb``) is doubled.
        time_ratio: how many times longer twice as much may take; null: time is not looked at.
        memory: bytes that the process may grow by; null: memory is not looked at.
    """

    part: int = 0
    time_ratio: float | None = None
    memory: int | None = None


class Case(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """One case.

    Attributes:
        id: never reused; the name of its file.
        flaw_class: id of the class of flaws that it belongs to.
        flaws: CVE ids that it was made for, those of its class that this very input is about.
        comment: what it shows.
        stage: "handshake": the parts are a request head; "frames": they follow the 101; "driver": no bytes of one
            connection say it, a test of framewarden's own does what ``comment`` says.
        role: which end is judged: "server", or "client": the parts are what a server sends.
        deflate: permessage-deflate is agreed upon (in the stage "handshake": a right answer agrees upon it).
        parts: what is sent.
        cuts: lengths of the first writes, what is left is one more; or "every byte".
        manner: what is done when everything is written. "ask": a Ping, whose Pong says that all before it was taken;
            "half-close": our direction is closed; "do-not-read": what the server sends is left unread.
        connections: that many connections send the same one after the other, and only the last one waits for an answer.
        reset: those that do not wait leave with RST.
        crowd: that many connections that say nothing are open meanwhile.
        expect: "reject" by ``rule``; "accept"; "survive": whatever the answer is, the server lives and the costs are
            kept to.
        rule: id of the rule of framewarden that it breaks.
        close_code: of the right answer behind the 101; with "accept": the answer is a Close.
        status: HTTP status code of the right answer to a request; 101: it is accepted.
        also: other answers that are as safe, as ``Outcome.answer`` has them.
        pongs: payloads in hexadecimal, in order, that the server's Pongs may have; null: they are not looked at. (RFC
            6455 5.5.3 lets a server answer the last of several Pings only.)
        cost: bounds; null: there are none.
        needs: what a server must have or do for this case to say anything, and no server says that it has; the case is
            played by framewarden's own tests only.
    """

    id: str
    flaw_class: str
    flaws: tuple[str, ...] = ()
    comment: str
    stage: Literal["handshake", "frames", "driver"] = "frames"
    role: Literal["server", "client"] = "server"
    deflate: bool = False
    parts: tuple[str | Part, ...] = ()
    cuts: tuple[int, ...] | Literal["every byte"] = ()
    manner: Literal["ask", "half-close", "do-not-read"] = "ask"
    connections: int = 1
    reset: bool = False
    crowd: int = 0
    expect: Literal["reject", "accept", "survive"]
    rule: str | None = None
    close_code: int | None = None
    status: int | None = None
    also: tuple[str, ...] = ()
    pongs: tuple[str, ...] | None = None
    cost: Cost | None = None
    needs: str = ""

    def __post_init__(self) -> None:
        if not NAME.fullmatch(self.id) or not NAME.fullmatch(self.flaw_class):
            raise ValueError("id and flaw_class are 1 to 200 letters, digits and hyphens")
        if not (self.comment + (self.needs or "")).isprintable():
            raise ValueError("comment and needs are printable")
        if self.rule is not None and self.rule not in RULES:
            raise ValueError(f"rule {self.rule!r} does not exist")
        self._check_expectation()
        if not 1 <= self.connections <= MAX_CONNECTIONS or not 0 <= self.crowd <= MAX_CONNECTIONS:
            raise ValueError(f"connections and crowd are at most {MAX_CONNECTIONS}")
        if isinstance(self.cuts, tuple) and (len(self.cuts) > MAX_CUTS or not all(cut > 0 for cut in self.cuts)):
            raise ValueError(f"cuts are at most {MAX_CUTS} numbers above 0")
        self._check_size()
        for payload in self.pongs or ():
            bytes.fromhex(payload)

    def _check_expectation(self) -> None:
        if self.stage == "driver" and not self.needs and self.role == "server":
            raise ValueError("a case that a driver plays says what it needs")
        if self.expect != "reject" or self.stage == "driver":
            return
        if self.role == "client" and self.stage == "handshake":
            return  # a client that does not like a response has no rule, and nobody to tell it to
        if self.rule is None or (self.close_code if self.stage == "frames" else self.status) is None:
            raise ValueError("what is rejected has a rule, and a close_code or a status")

    def _check_size(self) -> None:
        sizes = [len(part) if isinstance(part, str) else part.size() for part in self.parts]
        if self.cost is not None:
            if not 0 <= self.cost.part < max(1, len(self.parts)):
                raise ValueError("cost.part is the position of a part")
            if self.cost.time_ratio is not None:
                self._check_doubled(self.cost.part)
                sizes.append(sizes[self.cost.part])
        if sum(sizes) > MAX_STREAM:
            raise ValueError(f"the parts expand to more than {MAX_STREAM} bytes")
        bombs = [part.bomb or 0 for part in self.parts if isinstance(part, Part)]
        if sum(bombs) > MAX_BOMB:
            raise ValueError(f"the bombs inflate to more than {MAX_BOMB} bytes")
        for part in self.parts:
            if isinstance(part, str):
                bytes.fromhex(part)

    def _check_doubled(self, position: int) -> None:
        part = self.parts[position] if self.parts else ""
        if isinstance(part, str) or part.head is not None or (part.bomb or 0) * 2 > MAX_BOMB:
            raise ValueError("cost.part is one that can be doubled")

    def stream(self, authority: str = "127.0.0.1:8765", target: str = "/", *, doubled: bool = False) -> bytes:
        """Everything that is sent to the server ``authority``; ``doubled``: with the marked part of ``cost`` twice."""
        marked = self.cost.part if doubled and self.cost is not None else None
        pieces = []
        for index, part in enumerate(self.parts):
            if isinstance(part, str):
                pieces.append(bytes.fromhex(part))
                continue
            octets = part.octets(1 + (index == marked))
            if part.hex is None and part.bomb is None and part.times == 1:
                octets = octets.replace(ADDRESS.encode(), authority.encode()).replace(TARGET.encode(), target.encode())
            pieces.append(octets)
        return b"".join(pieces)

    def pieces(self, stream: bytes) -> Iterator[bytes]:
        """The stream at its cuts."""
        if self.cuts == "every byte":
            for octet in range(len(stream)):
                yield stream[octet : octet + 1]
            return
        start = 0
        for size in self.cuts:
            yield stream[start : start + size]
            start += size
        yield stream[start:]

    @property
    def right(self) -> str:
        """The right answer, in the words of ``Outcome.answer``."""
        if self.stage == "handshake":
            return "HTTP 101 with permessage-deflate" if self.deflate else f"HTTP {self.status or 101}"
        return "accepted" if self.close_code is None else f"close {self.close_code}"


_decode = msgspec.json.Decoder(Case).decode


def parse_case(data: bytes, name: str = "case") -> Case:
    """Read one case. Linear in what its parts expand to.

    Args:
        data: the file.
        name: what a message calls it.

    Raises:
        CaseError: it is not a case.
    """
    if len(data) > MAX_FILE:
        raise CaseError(f"{name}: a case has at most {MAX_FILE} bytes")
    try:
        return _decode(data)
    except (ValueError, RecursionError) as error:
        # It may quote the file, which may hold what a terminal obeys.
        words = str(error)[:LONGEST_WORDS].encode("unicode_escape").decode()
        raise CaseError(f"{name}: {words}") from None


def read_bounded(file: Path | Traversable) -> bytes:
    """Read a file, and one byte more than a case may have at most: ``parse_case`` refuses that."""
    with file.open("rb") as stream:
        return bytes(stream.read(MAX_FILE + 1))


def load_cases(files: Iterable[Path | Traversable]) -> list[Case]:
    """Read case files, each of which has the name of its case.

    Raises:
        CaseError: one of them is not a case.
        OSError: one of them cannot be read.
    """
    cases = []
    for file in files:
        case = parse_case(read_bounded(file), file.name)
        if f"{case.id}.json" != file.name:
            raise CaseError(f"{file.name}: its id is {json.dumps(case.id)}")
        cases.append(case)
    return cases
