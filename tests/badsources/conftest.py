"""What the tests of bad sources share."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

sys.path.append(str(Path(__file__).parents[1] / "connectors"))


@pytest.fixture
def opened(tmp_path):
    """Makes ways, and closes them."""
    from bad import Way

    ways = []

    def make(source, connector=None):
        ways.append(Way(source, tmp_path / "state", connector))
        return ways[-1]

    yield make
    for way in ways:
        way.close()
