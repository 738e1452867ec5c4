"""A long run of a property takes what it takes."""

from pathlib import Path

import pytest

HERE = Path(__file__).parent


def pytest_collection_modifyitems(config, items):
    if config.getoption("--hypothesis-profile") == "long":
        for item in items:
            if HERE in item.path.parents:
                item.add_marker(pytest.mark.timeout(0))
