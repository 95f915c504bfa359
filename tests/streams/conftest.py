"""A busy machine makes stopping slow; a role that is given up leaves its connections, and another test is told of them."""

from __future__ import annotations

import pytest


@pytest.fixture(autouse=True)
def patience(monkeypatch: pytest.MonkeyPatch) -> None:
    """A role may take its time to stop; one that never does fails its test by the time limit."""
    monkeypatch.setattr("streams.runner._STOP_S", 60.0)
