"""Fixtures of the tests over real sockets."""

import pytest

from tests.e2e.harness import carried_by


@pytest.fixture(params=["picows", "lean"])
def both_carriers(request):
    """Whoever uses this runs on both carriers."""
    carried_by["carrier"] = request.param
    yield
    carried_by["carrier"] = "picows"
