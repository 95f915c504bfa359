"""Reads a whole table each time, and finds out by fingerprints what has changed and what is gone: for tables without a column
that orders changes.

Rows are read in the order of their keys, page by page, so that one that is there all the while is seen once, whatever is
written meanwhile. What differs from what is known is given; then the keys that did not come as deletes, unless more than
``disappear_limit`` have disappeared (guarantee 10): then a person is asked. Of rows with one key one is taken, and it is said.

A read that a restart broke off goes on behind the last page that was given. What it had seen behind that is given once more.

Position: ``ledger`` (id of the file that holds what is known, ``_ledger``), ``read`` (how many reads were completed, as the
ledger numbers them), ``phase`` (reading, deletes, rest), ``serial`` (counts pages), ``anew`` (no read was completed since the
beginning), ``held`` and ``asks`` (absent rows that a person must decide on), ``first`` (the ledger's number of this read at its
beginning, or of the last one); while ``reading`` also ``key`` (the last one), ``came`` and ``known``; in ``deletes`` also ``now``
and ``key``.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from hashlib import blake2b
from typing import Any, NamedTuple

import sqlalchemy as sa
from sqlalchemy.engine import Engine

from connectors._dialects import estimated_rows
from connectors._ledger import Ledger, beginning, disappeared, raise_if_lost
from connectors._samples import as_record, temporal_as_text
from connectors._tables import later_than, place
from connectors.base import Delete, Page, Position, Question, Upsert
from connectors.values import joined_key, storable
from contracts.errors import KeyRepeated
from contracts.sources import DatasetSource

_QUIET_PAGES = 20
"""After so many pages without a change a position is given all the same: so much is seen again after a restart."""


class Row(NamedTuple):
    """A row of the table: its key as values and as one text, the fingerprint of its content, and the content."""

    values: list[Any]
    key: str
    mark: int
    record: dict[str, Any]


@dataclass(frozen=True)
class Scanned:
    """A declared table."""

    name: str
    engine: Engine
    table: sa.Table
    declared: DatasetSource
    page_rows: int

    @cached_property
    def keys(self) -> list[sa.Column[Any]]:
        """The columns that name a row."""
        return [self.table.c[name] for name in self.declared.key]

    @cached_property
    def _temporal(self) -> frozenset[str]:
        return temporal_as_text(self.engine.dialect.name, self.table)

    def rows(self) -> int | None:
        """How many there are, as the database estimates it."""
        with self.engine.connect() as connection:
            return estimated_rows(connection, self.table)

    def page(self, last: Sequence[Any] | None) -> list[Row]:
        """Up to a page of rows behind this key."""
        temporal = self._temporal  # first: it changes how columns are read
        query = sa.select(self.table).order_by(*self.keys).limit(self.page_rows)
        if last is not None:
            query = query.where(later_than(self.engine.dialect.name, self.keys, last))
        with self.engine.connect() as connection:
            found = connection.execute(query).all()
        names = [column.name for column in self.table.columns]
        keys_at = [names.index(column.name) for column in self.keys]
        rows = []
        for values in found:
            key = [storable(values[index]) for index in keys_at]
            digest = blake2b(repr(tuple(values)).encode("utf-8", "replace"), digest_size=8).digest()
            mark = int.from_bytes(digest, "big", signed=True)  # as SQLite holds it
            rows.append(Row(key, joined_key(key), mark, as_record(names, values, temporal)))
        return rows

    def copy(self) -> Iterator[Page]:
        """All rows, page by page."""
        last, done, total = None, 0, self.rows()
        while True:
            rows = self.page(last)
            done += len(rows)
            changes = [self.change(row, "copy") for row in _one_of_each(rows)]
            yield Page(changes, {}, snapshot=True, done=done, total=total)
            if len(rows) < self.page_rows:
                return
            last = rows[-1].values

    def change(self, row: Row, at: str) -> Upsert | Delete:
        """What the row says."""
        where = place(self.table, self.keys, row.values)
        if self.declared.deleted is not None and self.declared.deleted.says(row.record):
            return Delete(row.key, at, None, where)
        return Upsert(row.key, row.record, at, None, where)


def _one_of_each(rows: Sequence[Row]) -> list[Row]:
    """Of rows with one key the same each time, whatever order the database gives them in."""
    found: dict[str, Row] = {}
    for row in rows:
        other = found.get(row.key)
        if other is None or row.mark > other.mark:
            found[row.key] = row
    return list(found.values())


class FullScan:
    """One pull."""

    def __init__(self, table: Scanned, ledger: Ledger, after: Position | None) -> None:
        self._table, self._ledger = table, ledger
        self.rows = 0
        """How many rows this pull has read."""
        self._noted = False
        self._at: dict[str, Any] = dict(after) if after is not None else beginning(ledger) | {"first": 0}
        raise_if_lost(ledger, self._at, table.name)

    def pages(self) -> Iterator[Page]:
        """The pages of one full read, from where it was left off."""
        at, number = self._at, max(self._at["read"], self._ledger.latest) + 1
        if at["phase"] == "deletes":
            yield from self._deleted()
        if at["phase"] == "rest":
            if not at["held"]:
                self._ledger.settle(at["first"])
            at |= {"phase": "reading", "first": number, "key": None, "came": 0, "known": 0}
        total, quiet, last = self._table.rows() if at["anew"] else None, 0, False
        while not last:
            rows = self._table.page(at["key"])
            last, quiet = len(rows) < self._table.page_rows, quiet + 1
            self.rows += len(rows)
            single = _one_of_each(rows)
            changes, notes = self._entered(single, number), self._doubled(len(rows) - len(single))
            if changes or notes or quiet == _QUIET_PAGES:
                quiet, done = 0, at["came"]
                yield self._page(changes, notes=notes, snapshot=at["anew"], done=done, total=max(total or 0, done))
        yield from self._ended(number)

    def _doubled(self, count: int) -> list[str]:
        """What is to be said of rows that share their key with others, once in a pull."""
        if not count or self._noted:
            return []
        self._noted = True
        return [
            str(
                KeyRepeated(
                    f"{self._table.name}: {count} rows of one page have the key of another one; of each key one is taken",
                    fix="set key to columns that together name one row, or let the department remove the double ones",
                )
            )
        ]

    def _entered(self, rows: Sequence[Row], number: int) -> list[Upsert | Delete]:
        """Note a page in ledger and position. Gives its changes."""
        at = self._at
        if not rows:
            return []
        entered = self._ledger.enter([(each.key, each.mark) for each in rows], number, sure=at["read"])
        at |= {"key": rows[-1].values, "came": at["came"] + entered.new, "known": at["known"] + entered.known}
        # a point that is the same each time that this position is read on from, and another when the content comes back later
        return [
            self._table.change(each, f"{at['read'] + 1}~{each.mark:016x}")
            for each in rows
            if each.key in entered.differing
        ]

    def _page(self, changes: Sequence[Upsert | Delete], **fields: Any) -> Page:
        self._at["serial"] += 1
        return Page(changes, dict(self._at), asks=[Question(**each) for each in self._at["asks"]], **fields)

    # the end ---------------------------------------------------------------------------------------------------------

    def _ended(self, number: int) -> Iterator[Page]:
        """Tell what is gone, or ask."""
        at, came = self._at, self._at["came"]
        absent, limit = self._ledger.absent(at["first"]), self._table.declared.disappear_limit
        doubt = disappeared(self._table.name, absent, at["known"], limit)
        notes = [str(doubt)] if doubt is not None and not at["asks"] else []
        at["asks"] = [{"code": doubt.code, "finding": doubt.finding, "fix": doubt.fix}] if doubt is not None else []
        at |= {"held": doubt is not None, "phase": "deletes", "now": number, "key": ""}
        whole = at["anew"] and doubt is None and came > 0  # an empty table says nothing: it may be being loaded
        if notes:
            yield self._page([], notes=notes)
        yield from self._deleted(whole=whole, done=came, total=came)

    def _deleted(self, *, whole: bool = False, **progress: Any) -> Iterator[Page]:
        """The rest of the deletions of a read that has ended, and the position that calls it complete."""
        at, count = self._at, self._table.page_rows
        while not at["held"] and (keys := self._ledger.gone(at["first"], at["key"], count)):
            at["key"] = keys[-1]
            yield self._page(
                [Delete(key, f"{at['read'] + 1}:gone", None, f"{self._table.table.fullname}") for key in keys]
            )
        at |= {"read": at["now"], "phase": "rest", "anew": at["anew"] and not whole}
        for name in ("now", "key", "came", "known"):
            del at[name]
        yield self._page([], mark="complete" if whole else None, **progress)
