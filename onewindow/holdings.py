"""What the pipeline holds of a dataset's records: as streams decided, and as the view says, each record once."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import sqlalchemy as sa

from onewindow.source_copy import said
from projections.databases import reading
from projections.tables import assertion
from projections.verify import paired
from streams.store import record

_ROWS = 2_000


class Decided(NamedTuple):
    """What streams knows of a record."""

    version: str
    print: str
    state: str


class Shown(NamedTuple):
    """What the view shows of a record: ``says`` is empty where it shows nothing, ``held``: its newest version is refused."""

    revision: int
    says: str
    held: bool


class Held(NamedTuple):
    """Both. ``mark`` is another one after each decision about the record and each step that the view makes with it."""

    decided: Decided
    shown: Shown

    @property
    def mark(self) -> str:
        return f"{self.decided.version} {self.shown.revision}"


_UNKNOWN, _NOT_SHOWN = Decided("", "", "gone"), Shown(0, "", held=False)
NOTHING = Held(_UNKNOWN, _NOT_SHOWN)


class Holdings:
    """Those of one dataset, in the store of streams and in the view."""

    def __init__(self, store: sa.Engine, view: sa.Engine, system: str, dataset: str) -> None:
        self._store, self._view, self._system, self._dataset = store, view, system, dataset

    def rows(self, keys: Sequence[str] | None = None) -> Iterator[tuple[str, Held]]:
        """In the order of record keys: all, or those of these keys; as of one moment of each database, streams first."""
        with reading(self._store) as store:
            _need_little(store)
            decided = self._decided(store, keys)
            first = next(decided, None)  # its moment is before that of the view
            with reading(self._view) as view:
                _need_little(view)
                for key, known, shown in paired(_again(first, decided), self._shown(view, keys)):
                    yield key, Held(known or _UNKNOWN, shown or _NOT_SHOWN)

    def _decided(self, store: sa.Connection, keys: Sequence[str] | None) -> Iterator[tuple[str, Decided]]:
        query = sa.select(record.c.record_key, record.c.version, record.c.fingerprint, record.c.state)
        query = query.where(record.c.dataset == f"{self._system}.{self._dataset}")
        for row in store.execute(_ordered(query, record, keys)):
            yield row.record_key, Decided(row.version, row.fingerprint, row.state)

    def _shown(self, view: sa.Connection, keys: Sequence[str] | None) -> Iterator[tuple[str, Shown]]:
        query = sa.select(assertion).where(assertion.c.system == self._system, assertion.c.dataset == self._dataset)
        for row in view.execute(_ordered(query, assertion, keys)):
            yield row.record_key, Shown(max(row.revision, row.held_revision or 0), _says(row), bool(row.held_reason))


def _need_little(connection: sa.Connection) -> None:
    """Each row is read once, so what SQLite would remember of the file, 64 MB of it, serves nothing here."""
    if connection.dialect.name == "sqlite":
        connection.exec_driver_sql("PRAGMA cache_size = -4096")


def _ordered(query: sa.Select[Any], table: sa.Table, keys: Sequence[str] | None) -> sa.Select[Any]:
    if keys is not None:
        query = query.where(table.c.record_key.in_(keys))
    return query.order_by(table.c.record_key).execution_options(yield_per=_ROWS)


def _says(row: Any) -> str:
    if not row.live:
        return ""
    return said(row.resident_id, row.fields, row.originals, row.mends, row.as_of, row.provisional)


def _again(first: tuple[str, Decided] | None, rest: Iterator[tuple[str, Decided]]) -> Iterator[tuple[str, Decided]]:
    if first is not None:
        yield first
        yield from rest
