"""Reads tables of a department's database by looking again and again for rows with a later cursor value. A table that is
declared without one is read whole each time (``_sql_full``); what follows is of the cursor.

A look never holds anything in the source: each page is one short read-only statement in (cursor, key) order, and begins
after the last row of the page before.

A transaction takes its cursor value (``updated_at = now()``) when it writes, but shows only when it commits, when rows with
a higher cursor may long have been read. So a look begins at ``low``, ``overlap_s`` before the moment up to which all is
known, and leaves out what was given before, recognised by cursor, key and content. ``low`` moves only when a look has come
to its end, and only to ``overlap_s`` before the source's clock at the look's *beginning*: whatever commits after that took
its cursor value later than ``low``, if it took at most ``overlap_s`` to commit. (The highest cursor seen would not do: it
rises while the look goes on.) When re-reading costs the source more than ``RESWEEP_ROWS_S``, looks in between read only
beyond the highest row.

A row that its declared ``deleted`` column marks as deleted is given as a delete.

Cursors that are no points in time have no overlap: there, a transaction that commits late is missed (``check`` warns).

A source that was restored to an older state shows in its highest cursor, which is lower than the one that was read, or in
another identity of its server; then the position is lost. An emptied table says nothing: it may be being loaded anew. The
dataset is read from the beginning, and once a look after the snapshot has come to its end all that there is was read: that
is marked complete, so that what did not come is gone, unless the table is much shorter than it was.

Position: ``phase`` (snapshot | live), ``cursor`` and ``key`` of the highest row, ``low``, ``serial`` (counts pages),
``server`` (its identity), ``rows`` (of the snapshot); ``before``: rows of the snapshot before the position was lost, until
that is settled; in a snapshot also ``top`` (where it ends), ``done``, ``total``. Points in time are kept as the text that
the source writes.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from hashlib import blake2b
from pathlib import Path
from typing import Any, Literal

import sqlalchemy as sa
from sqlalchemy.exc import (
    ArgumentError,
    DataError,
    NoSuchTableError,
    OperationalError,
    ProgrammingError,
    SQLAlchemyError,
    StatementError,
)

from connectors import _samples as samples
from connectors._dialects import (
    clock_query,
    database_url,
    engine,
    estimated_rows,
    known_error,
    moment,
    server,
)
from connectors._ledger import Ledgers
from connectors._samples import as_record, temporal_as_text
from connectors._sql_full import FullScan, Scanned
from connectors._tables import bound, checked, declared_table, is_unique, later_than, leads_an_index, place, table_name
from connectors.base import Dataset, Delete, Finding, Page, Position, Sought, Upsert
from connectors.values import joined_key, storable
from contracts.errors import ColumnMissing, OneWindowError, PlaceUnknown, PositionLost, SettingInvalid, TableMissing
from contracts.sources import DeletedFlag, Source

WINDOW_ROWS = 200_000  # rows of the overlap that are remembered (60 bytes each); past that, some are given once more
RESWEEP_ROWS_S = 5_000  # rows a second that re-reading the overlap, or a table without a cursor, may cost the source
FEW_ROWS = 1_000  # an overlap of so few rows is re-read at every look
LAG = timedelta(minutes=5)  # how far the clock of whoever writes a timestamptz cursor may lag behind the database's
REFLECT_S = 60.0  # how soon a new column is seen

Kind = Literal["instant", "naive", "date", "number", "text"]


@dataclass(slots=True)
class _Table:
    """A declared table as it is in the source."""

    table: sa.Table
    cursor: sa.Column[Any]
    keys: list[sa.Column[Any]]
    kind: Kind
    temporal: frozenset[str]
    deleted: DeletedFlag | None
    looked_at: float

    @property
    def timed(self) -> bool:
        return self.kind in ("instant", "naive", "date")


@dataclass(frozen=True, slots=True)
class _Row:
    cursor: Any
    key: list[Any]
    record: dict[str, Any]
    digest: bytes

    @property
    def mark(self) -> int:
        return int.from_bytes(self.digest, "big")


class _Recent:
    """A set that forgets its oldest members past ``limit``: two generations."""

    def __init__(self, limit: int) -> None:
        self._half, self._new, self._old = limit // 2, set[int](), set[int]()

    def __contains__(self, mark: int) -> bool:
        return mark in self._new or mark in self._old

    def __len__(self) -> int:
        return len(self._new) + len(self._old)

    def add(self, mark: int) -> None:
        self._new.add(mark)
        if len(self._new) > self._half:
            self._new, self._old = set(), self._new


def _window() -> _Recent:
    return _Recent(WINDOW_ROWS)


@dataclass(slots=True)
class _Memory:
    """What is remembered between looks: rows given from ``low`` on, and the serial of the last page given."""

    seen: _Recent = field(default_factory=_window)
    serial: int | None = None
    sweep_after: float = 0.0


class SqlConnector:
    """Any database that SQLAlchemy reaches; tested on PostgreSQL (psycopg), MariaDB (pymysql) and SQLite.

    ``password`` stays beside the URL and shows in no message. ``state``: a directory for what full reads have given. One
    thread at a time may pull a dataset; different datasets may be pulled by different threads. Raises SettingInvalid for a URL
    or capture mode that it can't work with.
    """

    def __init__(
        self,
        source: Source,
        password: str | None = None,
        state: Path | None = None,
        *,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._source, self._monotonic, self._page_rows = source, monotonic, source.connector.page_rows
        self._ledgers = Ledgers(state, source.system)
        self._scans, self._scan_after = dict[str, tuple[float, Scanned]](), dict[str, float]()
        self._too_early = set[str]()
        if source.connector.capture != "poll":
            raise SettingInvalid(
                f"{source.system}: capture {source.connector.capture!r} is not available for kind sql",
                fix="set connector.capture: poll; a dataset without a cursor is read whole each time",
            )
        url = database_url(source.connector.url or "", system=source.system)
        self._url = url.set(password=password) if password is not None else url
        try:
            self._engine = engine(self._url, connections=max(1, len(source.datasets)))
        except (ArgumentError, ImportError) as error:
            raise SettingInvalid(
                f"{source.system}: connector.url is not the URL of a database that can be reached from here"
                f" ({type(error).__name__})",
                fix="write it as postgresql+psycopg://USER@HOST/DATABASE",
            ) from error
        self._tables: dict[str, _Table] = {}
        self._memory = {name: _Memory() for name in source.datasets}
        self._before: dict[str, int] = {}  # rows of the snapshot before the position was lost

    def close(self) -> None:
        """Let go of connections and files."""
        self._engine.dispose()
        self._ledgers.close()

    # reading ---------------------------------------------------------------------------------------------------------

    def pull(self, dataset: str, after: Position | None) -> Iterator[Page]:
        """First a snapshot, up to where the table stood when it began; then, in each pull, what has changed.

        Holds one page, and the hashes of the rows in the overlap. Raises PositionLost, TableMissing, ColumnMissing,
        PrivilegeMissing, SourceRefused and SourceUnreachable.
        """
        full = self._source.datasets[dataset].cursor is None
        if after is not None and ("ledger" in after) != full:
            raise PositionLost(
                f"{self._source.system}.{dataset}: it was read {'with' if full else 'without'} a cursor before; all is read anew",
                fix="nothing to do: the dataset is read from the beginning",
            )
        try:
            yield from self._whole(dataset, after) if full else self._polled(dataset, after)
        except SQLAlchemyError as error:
            self._tables.pop(dataset, None)
            self._scans.pop(dataset, None)
            raise self._known(dataset, error) from error

    def _polled(self, dataset: str, after: Position | None) -> Iterator[Page]:
        memory = self._memory[dataset]
        serial = after["serial"] if after else None
        sought = after is not None and "sought" in after
        # Not where the last page ended: what was given since may be lost, or is wanted once more. So forget it.
        if sought or serial != memory.serial:
            self._memory[dataset] = memory = _Memory(serial=serial)
        table = self._table(dataset)
        if after is not None:
            self._raise_if_restored(dataset, table, after)
        if after is None or after["phase"] == "snapshot":
            yield from self._snapshot(table, memory, after or self._beginning(dataset, table))
        else:
            yield from self._live(dataset, table, memory, after)

    def _whole(self, dataset: str, after: Position | None) -> Iterator[Page]:
        """A full read, unless it is too early for the next one."""
        began = self._monotonic()
        at_rest = after is not None and after["phase"] == "rest"
        if at_rest and began < self._scan_after.get(dataset, 0.0):
            self._too_early.add(dataset)
            return
        self._too_early.discard(dataset)
        scan = FullScan(self._scanned(dataset), self._ledgers.of(dataset), after)
        yield from scan.pages()
        self._scan_after[dataset] = began + (scan.rows / RESWEEP_ROWS_S if scan.rows > FEW_ROWS else 0.0)

    def looked(self, dataset: str) -> bool:
        """Whether the last pull of a dataset read anything: whole tables are not read each time."""
        return dataset not in self._too_early

    def copy(self, dataset: str) -> Iterator[Page]:
        """All rows in the order of their keys, in short statements of a page each: a row that is there all the while is
        seen once, whatever is written meanwhile."""
        try:
            yield from self._scanned(dataset).copy()
        except SQLAlchemyError as error:
            self._scans.pop(dataset, None)
            raise self._known(dataset, error) from error

    def sought(self, dataset: str, after: Position, place: str) -> Sought:
        """From where the rows with this cursor value, and all later ones, are given again. Raises PlaceUnknown."""
        name = f"{self._source.system}.{dataset}"
        if self._source.datasets[dataset].cursor is None or after.get("phase") != "live":
            why = (
                "has no cursor" if self._source.datasets[dataset].cursor is None else "is being read for the first time"
            )
            raise PlaceUnknown(f"{name} {why}", fix=f"read all of it again: onewindow source seek {name} --beginning")
        try:
            return self._sought(name, self._table(dataset), after, place)
        except SQLAlchemyError as error:
            if not isinstance(error, (DataError, ProgrammingError, StatementError)) or isinstance(
                error, OperationalError
            ):
                raise self._known(dataset, error) from error
            raise PlaceUnknown(
                f"{name}: the source can't compare its cursor with what --to says ({type(error).__name__})",
                fix="write it as the source does; onewindow source preview shows some",
            ) from None

    def _sought(self, name: str, table: _Table, after: Position, place: str) -> Sought:
        value: Any = int(place) if table.kind == "number" and place.lstrip("-").isdecimal() else place
        if table.timed and moment(place) is None:
            raise PlaceUnknown(f"{name}: {table.cursor.name} holds points in time, and --to is none",
                               fix="write it as 2026-11-01 08:00:00")  # fmt: skip
        dialect, stands = self._engine.dialect.name, after["low"] if table.timed else after["cursor"]
        compared_as_text = dialect == "sqlite" or isinstance(table.cursor.type, sa.String)
        if compared_as_text and isinstance(value, str) and not _shape(str(after["cursor"])).startswith(_shape(value)):
            raise PlaceUnknown(f"{name}: {table.cursor.name} is text, and --to is written otherwise than it is there",
                               fix=f"write it in the form {_shape(str(after['cursor']))}")  # fmt: skip
        at = bound(dialect, table.cursor, value)
        with self._engine.connect() as connection:
            ahead = stands is None or connection.scalar(sa.select(at > bound(dialect, table.cursor, stands)))
            rows = connection.scalar(sa.select(sa.func.count()).select_from(table.table).where(table.cursor >= at))
        if ahead:
            raise PlaceUnknown(f"{name} was read up to {stands}, and --to lies ahead of that",
                               fix="give a value that was read already; what lies ahead is read by itself")  # fmt: skip
        back = {"low": value} if table.timed else {"cursor": value, "key": None}
        return Sought({**after, **back, "sought": True}, str(after["cursor"]), rows or 0)

    def _scanned(self, dataset: str) -> Scanned:
        """The declared table, looked up again once a minute."""
        at, known = self._scans.get(dataset, (0.0, None))
        if known is None or self._monotonic() - at > REFLECT_S:
            declared, table = self._source.datasets[dataset], declared_table(self._engine, self._source, dataset)
            name = f"{self._source.system}.{dataset}"
            known = Scanned(name, self._engine, table, declared, self._page_rows)
            self._scans[dataset] = (self._monotonic(), known)
        return known

    def _raise_if_restored(self, dataset: str, table: _Table, after: Position) -> None:
        """Raises PositionLost when the source is not the one that was read up to here, or an older state of it."""
        with self._engine.connect() as connection:
            known, found = after.get("server"), server(connection)
            lowest = self._lowest(table, after["cursor"]) if after["phase"] == "live" else None
            older = lowest is not None and connection.scalar(
                sa.select(sa.func.max(table.cursor) < bound(self._engine.dialect.name, table.cursor, lowest))
            )
        if known and found and known != found:
            finding = "another server answers than the one that was read, or one that was restored"
        elif older:
            finding = f"the highest {table.cursor.name} in {self._name(dataset)} is lower than it was: an older state was restored"
        else:
            return
        rows = after["before"] if "before" in after else after.get("rows")
        if rows is not None:
            self._before[dataset] = rows
        raise PositionLost(
            f"{self._source.system}.{dataset}: {finding}",
            fix="nothing to do: the dataset is read from the beginning",
        )

    def _lowest(self, table: _Table, cursor: Any) -> Any:
        """Below what the highest cursor must not fall once this one was read; None where that can't be told."""
        if not table.timed or cursor is None:
            return cursor
        at = moment(cursor)
        return self._written(table, at - timedelta(seconds=self._source.connector.overlap_s)) if at else None

    def _completed(self, dataset: str, at: dict[str, Any]) -> tuple[Literal["complete"] | None, list[str]]:
        """How to mark the end of the first look after a snapshot that was read because the position was lost."""
        before = at.pop("before", None)
        if before is None:
            return None, []
        absent = before - at["rows"]
        if absent <= self._source.datasets[dataset].disappear_limit * before:
            return "complete", []
        note = (
            f"{self._name(dataset)} has {at['rows']} rows, {absent} fewer than when it was read before: more than"
            " disappear_limit allows, so nobody is deleted"
        )
        return None, [note]

    def _snapshot(self, table: _Table, memory: _Memory, after: Position) -> Iterator[Page]:
        at = dict(after)
        low = moment(at["low"]) if at["low"] is not None else None
        last = at["top"] is None
        while True:
            rows = [] if last else self._page(table, at["cursor"], at["key"], top=at["top"])
            last = len(rows) < self._page_rows
            done = at["done"] + len(rows)
            at |= {"serial": at["serial"] + 1, "done": done, "total": done if last else max(at["total"], done)}
            if rows:
                at |= {"cursor": rows[-1].cursor, "key": rows[-1].key}
            if last:
                at |= {"phase": "live", "rows": done}
            for row in rows:
                if low is not None and _not_before(row.cursor, low):
                    memory.seen.add(row.mark)
            memory.serial = at["serial"]
            position = {name: at[name] for name in at if not (last and name in ("top", "done", "total"))}
            yield Page(
                [self._change(table, row) for row in rows], position, snapshot=True, done=done, total=at["total"]
            )
            if last:
                return

    def _beginning(self, dataset: str, table: _Table) -> dict[str, Any]:
        clock = self._clock(table)
        before = {"before": self._before[dataset]} if dataset in self._before else {}
        with self._engine.connect() as connection:
            answering = server(connection)
            top = connection.scalar(sa.select(sa.func.max(table.cursor)))
            total = estimated_rows(connection, table.table)
        low = self._low(table, top, clock)
        return {
            "phase": "snapshot", "cursor": None, "key": None, "low": low, "serial": 0,
            "top": storable(top), "done": 0, "total": total, "server": answering, **before,
        }  # fmt: skip

    def _live(self, dataset: str, table: _Table, memory: _Memory, after: Position) -> Iterator[Page]:
        at, clock, began = dict(after), self._clock(table), self._monotonic()
        at.pop("sought", None)
        sweep = table.timed and (began >= memory.sweep_after or _later(at["cursor"], clock))
        cursor, key = (at["low"], None) if sweep else (at["cursor"], at["key"])
        swept, count, changed = _window(), 0, False
        while True:
            rows = self._page(table, cursor, key)
            last = len(rows) < self._page_rows
            count += len(rows)
            fresh = [row for row in rows if row.mark not in memory.seen] if table.timed else rows
            if rows:
                cursor, key = rows[-1].cursor, rows[-1].key
            if key is not None and (last or not sweep):  # a sweep ends at the highest row; until then that is not known
                at |= {"cursor": cursor, "key": key}
            if table.timed:
                for row in fresh:
                    memory.seen.add(row.mark)
            if sweep:
                for row in rows:
                    swept.add(row.mark)
            if last and sweep:
                at["low"] = self._low(table, at["cursor"], clock)
                memory.seen, memory.sweep_after = swept, began + (count / RESWEEP_ROWS_S if count > FEW_ROWS else 0.0)
                changed = changed or (count > RESWEEP_ROWS_S and at["low"] != after["low"])
            mark, notes = self._completed(dataset, at) if last else (None, [])
            if fresh or mark or notes or (last and changed):
                changed = True
                at["serial"] += 1
                memory.serial = at["serial"]
                changes = [self._change(table, row, committed=True) for row in fresh]
                yield Page(changes, dict(at), notes=notes, mark=mark)
            if last:
                return

    def _page(self, table: _Table, cursor: Any, key: Sequence[Any] | None, *, top: Any = None) -> list[_Row]:
        """Up to a page of rows after (cursor, key), or from the cursor on where key is None."""
        query = sa.select(table.table).order_by(table.cursor, *table.keys).limit(self._page_rows)
        if cursor is not None:
            query = query.where(later_than(self._engine.dialect.name, [table.cursor, *table.keys], [cursor, *key]) if key is not None else
                                table.cursor >= bound(self._engine.dialect.name, table.cursor, cursor))  # fmt: skip
        if top is not None:
            query = query.where(table.cursor <= bound(self._engine.dialect.name, table.cursor, top))
        with self._engine.connect() as connection:
            found = connection.execute(query).all()
        names = [column.name for column in table.table.columns]
        cursor_at = names.index(table.cursor.name)
        keys_at = [names.index(column.name) for column in table.keys]
        rows = []
        for values in found:
            raw = values[cursor_at]
            digest = blake2b(repr((raw, tuple(values))).encode("utf-8", "replace"), digest_size=8).digest()
            record = as_record(names, values, table.temporal)
            rows.append(_Row(storable(raw), [storable(values[index]) for index in keys_at], record, digest))
        return rows

    def _change(self, table: _Table, row: _Row, *, committed: bool = False) -> Upsert | Delete:
        when = moment(row.cursor) if committed and table.kind == "instant" else None
        key, where = joined_key(row.key), place(table.table, table.keys, row.key)
        at = f"{row.cursor}~{row.digest.hex()}"  # a cursor as coarse as a day may stay while the content changes
        committed_at = when.isoformat().replace("+00:00", "Z") if when else None
        if table.deleted is not None and table.deleted.says(row.record):
            return Delete(key, at, committed_at, where)
        return Upsert(key, row.record, at, committed_at, where)

    def _low(self, table: _Table, highest: Any, clock: str | None) -> str | None:
        """From where the next look must read, given the highest cursor seen and the clock at this look's beginning."""
        if not table.timed or highest is None or clock is None:
            return None
        now, overlap = moment(clock), timedelta(seconds=self._source.connector.overlap_s)
        if now is None:
            return None
        known = _comparable(moment(highest), now) or now
        low = min(known, now) - overlap
        if table.kind == "instant":  # naive ones may be of another time zone, where this would leave out hours
            low = max(low, now - overlap - LAG)
        return self._written(table, low)

    def _written(self, table: _Table, at: datetime) -> str:
        """A point in time as the source would write it in the cursor column."""
        if table.kind == "date":
            return at.date().isoformat()
        text = at.isoformat(sep=" ", timespec="microseconds")
        return text[:19] if self._engine.dialect.name == "sqlite" else text  # there, texts are compared

    def _clock(self, table: _Table) -> str | None:
        if not table.timed:
            return None
        with self._engine.connect() as connection:
            return str(connection.scalar(clock_query(self._engine.dialect.name, table.kind)))

    # the table -------------------------------------------------------------------------------------------------------

    def _table(self, dataset: str) -> _Table:
        """The declared table, looked up again once a minute. Raises TableMissing, ColumnMissing, SettingInvalid."""
        known = self._tables.get(dataset)
        if known is None or self._monotonic() - known.looked_at > REFLECT_S:
            known = self._tables[dataset] = self._reflected(dataset)
        return known

    def _reflected(self, dataset: str) -> _Table:
        declared = self._source.datasets[dataset]
        assert declared.cursor is not None
        table = declared_table(self._engine, self._source, dataset, [declared.cursor])
        cursor, kind = table.c[declared.cursor], _kind(table.c[declared.cursor])
        self._no_null(dataset, table, cursor)
        temporal = temporal_as_text(self._engine.dialect.name, table)
        return _Table(
            table, cursor, [table.c[name] for name in declared.key], kind, temporal, declared.deleted, self._monotonic()
        )

    def _no_null(self, dataset: str, table: sa.Table, cursor: sa.Column[Any]) -> None:
        """A row without a cursor value would never be read. Where none is declared impossible, the table is asked, and
        again each time that it is looked up: one that comes later is seen within the minute."""
        if not cursor.nullable:
            return
        empty = sa.select(sa.literal(1)).select_from(table).where(cursor.is_(None)).limit(1)
        with self._engine.connect() as connection:
            if connection.execute(empty).first() is None:
                return
        raise ColumnMissing(
            f"{self._source.system}: the cursor column {cursor.name} of {self._name(dataset)} is empty in some rows; a row"
            " without a cursor value would never be read",
            fix=f"set datasets.{dataset}.cursor to a column that is NOT NULL and set at every change",
        )

    def _name(self, dataset: str) -> str:
        return table_name(self._source.datasets[dataset])

    def _known(self, dataset: str | None, error: SQLAlchemyError) -> OneWindowError:
        table = self._name(dataset) if dataset else ""
        return known_error(error, system=self._source.system, table=table, user=self._url.username, url=self._url)

    # looking around --------------------------------------------------------------------------------------------------

    def check(self) -> Iterable[Finding]:
        """Reach the database, then for each dataset: table, columns, privilege, and what makes its cursor trustworthy."""
        return checked(self._engine, self._url, self._source, self._check, self._known)

    def _check(self, subject: str, dataset: str) -> Iterator[Finding]:
        is_scanned = self._source.datasets[dataset].cursor is None
        return self._check_scanned(subject, dataset) if is_scanned else self._check_polled(subject, dataset)

    def _check_scanned(self, subject: str, dataset: str) -> Iterator[Finding]:
        scanned = self._scanned(dataset)
        yield Finding("ok", subject, f"{self._name(dataset)} has the declared columns")
        yield from self._read(subject, scanned.page(None))
        yield from self._unique(subject, scanned.table, scanned.keys)
        rows = scanned.rows()
        yield Finding(
            "warn", subject,
            f"no cursor is declared: all {'rows' if rows is None else f'{rows:,} rows'} are read at each look, at most"
            f" {RESWEEP_ROWS_S:,} a second on average; with a column that is set at every change, declare it as cursor",
        )  # fmt: skip
        empty = [column.name for column in scanned.keys if column.nullable]
        if empty:
            yield Finding("warn", subject, f"{', '.join(empty)} of the key may be empty: such rows may not be read")

    def _check_polled(self, subject: str, dataset: str) -> Iterator[Finding]:
        table = self._reflected(dataset)
        yield Finding("ok", subject, f"{self._name(dataset)} has the declared columns")
        yield from self._read(subject, self._page(table, None, None))
        highest, clock = self._highest(table), self._clock(table)
        if not leads_an_index(self._engine, table.table, table.cursor.name):
            yield Finding(
                "warn", subject,
                f"no index begins with {table.cursor.name}: each look reads the whole table;"
                f" ask for CREATE INDEX ON {self._name(dataset)} ({', '.join([table.cursor.name, *[c.name for c in table.keys]])})",
            )  # fmt: skip
        yield from self._unique(subject, table.table, table.keys)
        if not table.timed:
            yield Finding(
                "warn", subject,
                f"the cursor {table.cursor.name} is no point in time: a transaction that commits late is missed",
            )  # fmt: skip
        elif _later(highest, clock):
            yield Finding(
                "warn", subject,
                f"the highest {table.cursor.name} ({highest}) lies ahead of the source's clock ({clock}): a wrong date,"
                " or another time zone; nothing is lost, but rows since then are re-read at every look",
            )  # fmt: skip

    def _read(self, subject: str, rows: Sequence[object]) -> Iterator[Finding]:
        yield Finding("ok", subject, "reading is allowed" + ("" if rows else "; the table is empty"))

    def _unique(self, subject: str, table: sa.Table, keys: Sequence[sa.Column[Any]]) -> Iterator[Finding]:
        if not is_unique(self._engine, table, [column.name for column in keys]):
            yield Finding(
                "warn", subject, f"nothing makes the key {', '.join(c.name for c in keys)} unique in the source"
            )

    def _highest(self, table: _Table) -> Any:
        with self._engine.connect() as connection:
            return connection.scalar(sa.select(sa.func.max(table.cursor)))

    def discover(self) -> Iterable[Dataset]:
        """Tables and views of the default schema and of the declared ones. Raises SourceUnreachable and the like."""
        try:
            inspector = sa.inspect(self._engine)
            for schema in dict.fromkeys([None, *(item.schema_name for item in self._source.datasets.values())]):
                names = [*inspector.get_table_names(schema=schema), *inspector.get_view_names(schema=schema)]
                for name in sorted(names):
                    yield self._described(inspector, schema, name)
        except SQLAlchemyError as error:
            raise self._known(None, error) from error

    def outline(self, schemas: Iterable[str] = ()) -> Iterable[Dataset]:
        """As ``discover``, of the default schema and of these, and nothing is counted."""
        try:
            yield from samples.outline(self._engine, [None, *schemas])
        except SQLAlchemyError as error:
            raise self._known(None, error) from error

    def sample(self, name: str, rows: int) -> list[dict[str, Any]]:
        """Up to so many rows of a table, named as ``discover`` does, declared or not."""
        try:
            return samples.sample(self._engine, name, rows)
        except NoSuchTableError as error:
            raise TableMissing(
                f"{self._source.system}: there is no table {name}",
                fix="correct table and schema_name, or let the department's DBA grant the login SELECT",
            ) from error
        except SQLAlchemyError as error:
            raise known_error(
                error, system=self._source.system, table=name, user=self._url.username, url=self._url
            ) from error

    def _described(self, inspector: Any, schema: str | None, name: str) -> Dataset:
        columns = {column["name"]: str(column["type"]) for column in inspector.get_columns(name, schema=schema)}
        key = inspector.get_pk_constraint(name, schema=schema)["constrained_columns"]
        try:
            with self._engine.connect() as connection:
                rows = estimated_rows(connection, sa.table(name, schema=schema))  # type: ignore[arg-type]  # a name is enough
        except SQLAlchemyError:
            rows = None  # not allowed to read it: still worth showing
        return Dataset(f"{schema}.{name}" if schema else name, columns, tuple(key), rows)


def _kind(column: sa.Column[Any]) -> Kind:
    if isinstance(column.type, sa.DateTime):
        return "instant" if column.type.timezone else "naive"
    if isinstance(column.type, sa.Date):
        return "date"
    return "number" if isinstance(column.type, (sa.Integer, sa.Numeric)) else "text"


def _comparable(at: datetime | None, with_: datetime) -> datetime | None:
    if at is None or (at.tzinfo is None) == (with_.tzinfo is None):
        return at
    return at.replace(tzinfo=UTC) if at.tzinfo is None else at.replace(tzinfo=None)


def _later(cursor: Any, clock: str | None) -> bool:
    if cursor is None or clock is None or (now := moment(clock)) is None:
        return False
    at = _comparable(moment(cursor), now)
    return at is None or at > now


def _not_before(cursor: Any, low: datetime) -> bool:
    at = _comparable(moment(cursor), low)
    return at is None or at >= low


def _shape(text: str) -> str:
    """How a value is written: its digits as noughts."""
    return re.sub(r"\d", "0", text)
