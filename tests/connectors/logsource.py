"""A department's PostgreSQL whose log is read: its database, the connector, and what comes out, folded into a table."""

from __future__ import annotations

import os
import signal
import time
import uuid
from dataclasses import dataclass, field
from typing import Any

import psycopg

from connectors.base import Delete, Page
from connectors.postgres import PostgresConnector
from contracts.sources import Source
from examples.postgres import Postgres


def kill(server: Postgres) -> None:
    """A crash of the whole server."""
    pid = int((server.directory / "postmaster.pid").read_text().splitlines()[0])
    os.kill(pid, signal.SIGKILL)
    server.stop("immediate")


@dataclass
class Fold:
    """What a reader of the pages holds. ``position``: after the last page. ``pages``: all of them."""

    rows: dict[str, dict[str, Any]] = field(default_factory=dict)
    position: Any = None
    pages: list[Page] = field(default_factory=list)
    fresh: set[str] = field(default_factory=set)

    def take(self, page: Page) -> None:
        """Apply a page."""
        self.pages.append(page)
        if page.mark == "cleared":
            self.rows.clear()
        for change in page.changes:
            if isinstance(change, Delete):
                self.rows.pop(change.key, None)
            else:
                self.rows[change.key] = change.record
                self.fresh.add(change.key)
        if page.mark == "complete":  # what did not come is gone
            self.rows = {key: row for key, row in self.rows.items() if key in self.fresh}
        self.position = page.position

    def again(self) -> None:
        """Read from the beginning; what is held stays until the copy is complete."""
        self.position, self.fresh = None, set()

    @property
    def changes(self) -> list[Any]:
        """All changes of all pages."""
        return [change for page in self.pages for change in page.changes]


class Department:
    """A database of its own on a server with wal_level logical, and connectors that read it. ``system`` names slot and
    publication."""

    def __init__(self, server: Postgres, *statements: str) -> None:
        self.server, self.system = server, f"s{uuid.uuid4().hex[:10]}"
        self.database, self.slot = f"db_{self.system}", f"onewindow_{self.system}"
        server.create_database(self.database)
        self.connection = self.connect()
        self._connectors: list[PostgresConnector] = []
        for statement in statements:
            self.run(statement)

    def connect(self, **more: Any) -> psycopg.Connection[Any]:
        """Another connection of the department's own; it commits each statement."""
        return psycopg.connect(self.server.socket_dsn(self.database), **{"autocommit": True, **more})

    def reconnect(self) -> None:
        """After a crash."""
        self.connection.close()
        self.connection = self.connect()

    def run(self, statement: str, *values: Any) -> Any:
        """Run one statement; its rows, if any."""
        cursor = self.connection.execute(statement, values or None)  # type: ignore[arg-type]  # our own text
        return cursor.fetchall() if cursor.description else None

    def source(self, datasets: dict[str, dict[str, Any]] | None = None, **connector: Any) -> Source:
        """What the source file would say: the dataset ``person`` with the key ``id``, unless others are given."""
        person = {"person": {"table": "person", "key": ["id"], "map": {"name": "name"}}}
        about = {"kind": "postgres", "capture": "log", "url": self.server.url(self.database), "page_rows": 100}
        return Source.model_validate(
            {"system": self.system, "title": "人社", "owner": "信息中心", "connector": about | connector,
             "datasets": datasets or person}
        )  # fmt: skip

    def connector(self, source: Source | None = None, **options: Any) -> PostgresConnector:
        """A connector, as a process that starts has; it waits only a moment for more changes."""
        made = PostgresConnector(source or self.source(), **{"linger_s": 0.02, "watch_s": 0.05, **options})
        self._connectors.append(made)
        return made

    def table(self, name: str = "person") -> dict[str, dict[str, Any]]:
        """The table as it is, by key."""
        rows = self.run(f"SELECT to_jsonb(t) FROM {name} t")
        return {str(row["id"]): row for (row,) in rows}

    def close(self) -> None:
        """Let go of everything in the server."""
        for connector in self._connectors:
            connector.close()
        self.connection.close()
        with psycopg.connect(self.server.socket_dsn(), autocommit=True) as connection:
            held = "SELECT FROM pg_replication_slots WHERE slot_name = %s AND active"
            end = time.monotonic() + 20
            while connection.execute(held, (self.slot,)).fetchone() is not None and time.monotonic() < end:
                time.sleep(0.01)  # the server sees in its own time that we hung up
            connection.execute(
                "SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots WHERE slot_name = %s",
                (self.slot,),
            )
            connection.execute(f"DROP DATABASE {self.database} WITH (FORCE)")  # type: ignore[call-overload]


def pull(connector: PostgresConnector, fold: Fold, dataset: str = "person", *, confirm: bool = True) -> list[Page]:
    """Pull once, to the end; what it gave is applied, and confirmed as if it were durable."""
    given = []
    for page in connector.pull(dataset, fold.position):
        fold.take(page)
        given.append(page)
        if confirm:
            connector.confirm(dataset, page.position)
    return given
