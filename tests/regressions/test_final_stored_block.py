"""A message without the data of its last DEFLATE block was accepted: the tail was taken for it."""

import pytest

from tests.oracle import Inflate
from tests.playback import make, play


@pytest.mark.parametrize("size", range(5, 12))
def test_a_final_stored_block_that_lacks_its_data(size):
    """The tail (RFC 7692 7.2.2) and the probe behind it were taken for the data of a block of 6 bytes."""
    payload = b"\x01" + size.to_bytes(2, "little") + (size ^ 0xFFFF).to_bytes(2, "little")
    outcome = play([bytes([0xC2, len(payload)]) + payload], make(None, "client", Inflate())).outcome
    assert outcome == ([], ("deflate-data", 1007, 0))
