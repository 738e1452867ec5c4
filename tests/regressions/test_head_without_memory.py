"""A parser of a head that had lost a piece for lack of memory went on, and accepted another request than was sent."""

import pytest

from framewarden.codec.client_handshake import ResponseParser
from framewarden.codec.handshake import HandshakeParser
from framewarden.policy import Limits
from tests.anomalies.conftest import allocations, allocations_path
from tests.anomalies.living import OFFER, REQUEST, RESPONSE

__all__ = ["allocations", "allocations_path"]  # fixtures


@pytest.mark.parametrize(
    ("make", "head"),
    [(lambda: HandshakeParser(Limits()), REQUEST), (lambda: ResponseParser(Limits(), OFFER), RESPONSE)],
    ids=["request", "response"],
)
def test_a_parser_that_has_lost_a_piece_says_nothing_more(make, head, allocations):
    n = 0
    while True:
        n += 1
        parser = make()
        _, error, _, refused, _ = allocations.run([(parser.feed, (head[:170],))], n, n)
        if not refused:
            break
        if error is None:
            continue
        assert isinstance(error, MemoryError)
        with pytest.raises(MemoryError):
            parser.feed(head[170:])
    assert n > 3
