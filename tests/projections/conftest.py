"""The databases that the rules of the view are tested on."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import viewcases
from services import Postgres


@pytest.fixture(scope="session")
def sqlite_views(tmp_path_factory: pytest.TempPathFactory) -> Iterator[viewcases.Views]:
    """Views in one SQLite file."""
    views = viewcases.Views(f"sqlite:///{tmp_path_factory.mktemp('view') / 'view.sqlite'}")
    yield views
    views.engine.dispose()


@pytest.fixture(scope="session")
def postgres_views(postgres: Postgres) -> Iterator[viewcases.Views]:
    """Views in one PostgreSQL database."""
    views = viewcases.Views(postgres.url(postgres.new_database()))
    yield views
    views.engine.dispose()


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.server)])
def views(request: pytest.FixtureRequest) -> viewcases.Views:
    """Each test that asks for this runs on both databases."""
    name = {"sqlite": "sqlite_views", "postgresql": "postgres_views"}[request.param]
    found: viewcases.Views = request.getfixturevalue(name)
    return found
