"""The fragments of an unfinished message were kept for as long as the failed Inspector."""

import pytest

from framewarden.engine import Inspector
from framewarden.policy import Policy


@pytest.mark.parametrize("first", [0x01, 0x02])
@pytest.mark.parametrize("breaks", [b"\xf0", b"\x82\x00", b"\x89\x7e"], ids=bytes.hex)
def test_what_a_failed_connection_had_begun_is_let_go(first, breaks):
    inspector = Inspector(Policy(), "client")
    inspector.receive_data(bytes([first, 100]) + b"a" * 100)
    assert inspector.bytes_held >= 100
    inspector.receive_data(breaks)
    assert inspector.violation is not None
    inspector.data_to_send()
    assert inspector.bytes_held == 0
