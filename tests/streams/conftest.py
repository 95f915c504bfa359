"""Patience with roles that stop on a busy machine, and a city whose records are decided more than once."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from remapcases import City


@pytest.fixture(autouse=True)
def patience(monkeypatch: pytest.MonkeyPatch) -> None:
    """A role may take its time to stop; one that never does fails its test by the time limit. One that is given up leaves
    its connections, and another test is told of them."""
    monkeypatch.setattr("streams.runner._STOP_S", 60.0)


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.server)])
def city(request: pytest.FixtureRequest) -> Iterator[City]:
    """One with a store of its own, on each database."""
    url = "sqlite://"
    if request.param == "postgresql":
        postgres = request.getfixturevalue("postgres")
        url = postgres.url(postgres.new_database())
    made = City(url=url)
    yield made
    made.store.engine.dispose()
