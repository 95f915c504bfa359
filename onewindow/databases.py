"""The databases of a deployment as they are, without making what is not there."""

from __future__ import annotations

from pathlib import Path

import sqlalchemy as sa

from contracts.errors import ViewMissing
from onewindow.settings import Deployment
from projections.databases import open_view, reading


def holds(engine: sa.Engine, table: str) -> bool:
    """Whether the database holds this table. A SQLite file that is not there is not made. Raises DatabaseUnreachable."""
    if engine.dialect.name == "sqlite" and not Path(engine.url.database or "").exists():
        return False
    with reading(engine) as connection:
        return sa.inspect(connection).has_table(table)


def existing_view(deployment: Deployment) -> sa.Engine:
    """The view's engine. Raises ViewMissing when there is no view yet."""
    return _existing(deployment, deployment.view_url, "resident", "view")


def existing_store(deployment: Deployment) -> sa.Engine:
    """The engine of the store of streams. Raises ViewMissing when there is none yet."""
    return _existing(deployment, deployment.streams_url, "position", "store of streams")


def _existing(deployment: Deployment, url: str, table: str, what: str) -> sa.Engine:
    engine = open_view(url)
    if not holds(engine, table):
        raise ViewMissing(
            f"there is no {what} at {engine.url.render_as_string(hide_password=True)} yet",
            fix=f"start the deployment: onewindow -C {deployment.directory} up",
        )
    return engine
