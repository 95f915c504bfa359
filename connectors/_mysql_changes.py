"""What the binary log says of a table, as changes of records, and the position after them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from connectors._binlog import Change, End, Statement
from connectors.base import Delete, Page, Position, Upsert
from connectors.values import declared_columns, joined_key
from contracts.citizen import masked
from contracts.errors import ColumnMissing, OneWindowError
from contracts.sources import Source

GATHER_S = 0.01  # how long a page gathers whole transactions
HEARTBEAT_S = 5.0  # how often the place moves on while nothing of the table is changed


class Table:
    """A declared table: its names, and the keys and places of its records."""

    def __init__(self, source: Source, dataset: str, database: str) -> None:
        self._system, self._dataset, self._declared = source.system, dataset, source.datasets[dataset]
        self.schema, self.table = self._declared.schema_name or database, self._declared.table or ""
        self.name = f"{self.schema}.{self.table}"
        self.quoted = ".".join("`" + part.replace("`", "``") + "`" for part in (self.schema, self.table))
        self._needed = declared_columns(self._declared)

    def key(self, record: Mapping[str, Any]) -> str:
        """The key of a record."""
        return joined_key(record[name] for name in self._declared.key)

    def place(self, record: Mapping[str, Any]) -> str:
        """Where a person finds it."""
        return f"{self.name} {masked(self.key(record))}"

    def raise_if_missing(self, columns: Iterable[str]) -> None:
        """Raises ColumnMissing where a declared column is not among these."""
        there = columns if isinstance(columns, Mapping) else set(columns)
        for name in self._needed:
            if name not in there:
                raise ColumnMissing(
                    f"{self._system}: {self.name} has no column {name}; it has {', '.join(columns)}",
                    fix=f"correct datasets.{self._dataset}, or let the department add the column",
                )


class Gathered:
    """Changes of a page, and the position after them. ``lost`` makes the error for a table that was made anew."""

    def __init__(self, table: Table, lost: Callable[[str], OneWindowError], position: Position) -> None:
        self._table, self._lost = table, lost
        self._position, self._skip = dict(position), int(position["given"])
        self._count = 0  # changes of the transaction at hand
        self._moved = self._cleared = False
        self.changes: list[Upsert | Delete] = []
        self.between = True
        """No transaction is at hand."""

    def take(self, item: Change | Statement | End) -> None:
        """One item of the log, in its order. Raises PositionLost, ColumnMissing."""
        if isinstance(item, End):
            place, self.between, self._moved = item.place, True, True
            self._position |= {"file": place.file, "at": place.position, "gtid": item.gtid or None, "given": 0}
            self._count = self._skip = 0
            return
        self.between = False
        if isinstance(item, Statement):
            if item.verb != "truncate":
                raise self._lost(f"the table {self._table.name} was made anew ({item.verb})")
            if self._is_new():
                self._cleared = True
            return
        for change in self._made(item):
            if self._is_new():
                self.changes.append(change)

    def _is_new(self) -> bool:
        """Count a change; whether it was not given before."""
        self._count += 1
        if self._count <= self._skip:
            return False
        self._position["given"] = self._count
        return True

    def _made(self, item: Change) -> Sequence[Upsert | Delete]:
        at = f"{self._position['file']}:{self._position['at']}+{self._count}"
        table, before, after = self._table, item.before, item.after
        if after is None:
            return [Delete(table.key(before or {}), at, item.committed_at, table.place(before or {}))]
        table.raise_if_missing(after)
        upsert = Upsert(table.key(after), dict(after), at, item.committed_at, table.place(after))
        if before is None or table.key(before) == upsert.key:
            return [upsert]
        return [Delete(table.key(before), at, item.committed_at, table.place(before)), upsert]

    def is_due(self, rows: int, since_s: float, *, idle: bool) -> bool:
        """Whether it is time for a page: it is full, or whole and the last one some time ago."""
        if self._cleared or len(self.changes) >= rows or (idle and self.changes):
            return True
        return self.between and (
            (bool(self.changes) and since_s >= GATHER_S) or (self._moved and since_s >= HEARTBEAT_S)
        )

    def page(self) -> Page:
        """What was gathered; begins a new page."""
        page = Page(self.changes, dict(self._position), mark="cleared" if self._cleared else None)
        self.changes, self._moved, self._cleared = [], False, False
        return page
