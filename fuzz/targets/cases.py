"""Invariant: a file is a case, or a CaseError of one line.

What is a case expands to no more than it may, is joined again from its pieces, has a right answer, and means the same
when it is written as JSON and read again.
"""

from collections.abc import Iterable

import msgspec

from framewarden.apps.cases.case import MAX_FILE, MAX_STREAM, CaseError, parse_case
from framewarden.apps.probe.pack import FOLDER

ALLOWED: tuple[type[Exception], ...] = (CaseError,)
SMALL = 1 << 20
"""What is larger is not expanded here: the time would go to copying. Its bound has been checked when it was read."""
TOKENS = (
    b'"parts":[',
    b'{"hex":"00","times":9}',
    b'{"bomb":100}',
    b'{"text":"<target>"}',
    b'{"head":{}}',
    b'"cuts":"every byte"',
    b'"cuts":[1,2]',
    b'"cost":{"part":0,"time_ratio":2.0}',
    b'"expect":"survive"',
    b'"stage":"handshake"',
    b'"role":"client"',
    b'"connections":99999',
    b"33554432",
    b"null",
    b"\\u0100",
)
LEAST = (
    '{"id":"a","flaw_class":"b","comment":"c","expect":"survive"}',
    '{"id":"a","flaw_class":"b","comment":"c","expect":"accept","parts":["8180"],"cuts":[1,1]}',
    '{"id":"a","flaw_class":"b","comment":"c","expect":"accept","parts":["8"]}',
    '{"id":"a","flaw_class":"b","comment":"c","expect":"accept","parts":[{"hex":"00","times":33554432}]}',
    '{"id":"a","flaw_class":"b","comment":"c","expect":"accept","parts":[{"hex":"00","times":33554433}]}',
    '{"id":"a","flaw_class":"b","comment":"c","expect":"accept","parts":[{"bomb":1000,"key":null}],"deflate":true}',
    '{"id":"a","flaw_class":"b","comment":"c","expect":"accept","parts":[{"text":"<address>","times":2}]}',
    '{"id":"a","flaw_class":"b","comment":"c","expect":"accept","unknown":1}',
    '{"id":"a","flaw_class":"b","comment":"c","expect":"reject","rule":"no-such-rule","close_code":1002}',
    "[" * 5000,
    "",
)


def one(data: bytes) -> None:
    try:
        case = parse_case(data, "file")
    except CaseError as error:
        assert str(error).startswith("file: ")
        assert len(str(error).splitlines()) == 1
        return
    assert len(data) <= MAX_FILE
    assert case.right
    written = msgspec.json.encode(case)
    if len(written) <= MAX_FILE:  # \u escapes may be longer than what they stand for
        assert parse_case(written) == case
    sizes = [len(part) // 2 if isinstance(part, str) else part.size() for part in case.parts]
    assert sum(sizes) <= MAX_STREAM
    if sum(sizes) > SMALL or any(not isinstance(part, str) and (part.bomb or 0) > SMALL for part in case.parts):
        return
    for doubled in (False, True):
        stream = case.stream(doubled=doubled)
        assert len(stream) <= 2 * SMALL + MAX_FILE
        assert b"".join(case.pieces(stream)) == stream


def seeds() -> Iterable[bytes]:
    for file in sorted(FOLDER.iterdir(), key=lambda file: file.name):
        data = file.read_bytes()
        if len(data) < 2000:
            yield data
    yield from (text.encode() for text in LEAST)
