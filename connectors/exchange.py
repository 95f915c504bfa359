"""Reads exchange tables 前置库: a department puts its changes there, a row each with a flag, and the reader sets the flag when it
has the row. The one case in which OneWindow writes to a source.

A look reads what is not flagged, in the declared order, in short read-only statements of a page each. The flag is set only when
the producer confirms the position of a page: Kafka has its changes then, and the position that says so is saved. The rows of
a page are marked in one short transaction: each is locked, compared with what was given, and marked by its own order columns if
it is the same and still not flagged. One that the department has changed meanwhile stays unread, and comes again.

What was given and is not marked yet is remembered, so that the next look leaves it out. A process that ends between
acknowledgement and flag has forgotten it: these rows are read once more, in their order, and streams drops them as duplicates.

What can't be marked when it is confirmed is marked at the beginning of the next ``pull``, before anything is read; that raises
what stands in the way. So no more is ever unmarked than what one look has given.

Position: ``given``, how many pages were. It says nothing of the table; the flags do.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from hashlib import blake2b
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects.mysql import BIT
from sqlalchemy.exc import DBAPIError, SQLAlchemyError

from connectors._dialects import MYSQL, clock_query, database_url, engine, known_error, writing_engine
from connectors._samples import as_record, temporal_as_text
from connectors._tables import bound, checked, declared_table, is_unique, later_than, leads_an_index, place, table_name
from connectors.base import Dataset, Delete, Finding, Page, Position, Upsert
from connectors.sql import SqlConnector
from connectors.values import joined_key, storable
from contracts.errors import (
    ColumnMissing,
    FlagNotWritable,
    FullReadImpossible,
    OneWindowError,
    PositionLost,
    PrivilegeMissing,
    SettingInvalid,
    SourceBusy,
)
from contracts.sources import DatasetSource, Exchange, Source

REFLECT_S = 60.0  # how soon a new column, or a flag that may not be set any more, is seen
_TOGETHER = 200  # rows that one statement names: SQLite takes no deeper expression than 1,000, Oracle no longer list
_READ_ONLY = ("25006", 1290, 1036, 1792)  # of PostgreSQL; of MySQL and MariaDB
_IN_THE_WAY = ("55P03", "40P01", "40001", 1205, 1213)  # a lock that was not given in time, a deadlock


@dataclass(frozen=True, slots=True)
class _Row:
    """A row of the exchange. ``mark``: a fingerprint of all that it says, but for what OneWindow writes."""

    order: tuple[Any, ...]
    mark: int
    change: Upsert | Delete


@dataclass(frozen=True)
class _Table:
    """A declared exchange table as it is in the source. ``as_read``: what marking writes, by column."""

    dialect: str
    table: sa.Table
    declared: DatasetSource
    exchange: Exchange
    temporal: frozenset[str]
    unread: sa.ColumnElement[bool]
    as_read: dict[str, sa.ColumnElement[Any]]
    looked_at: float

    @cached_property
    def order(self) -> list[sa.Column[Any]]:
        return [self.table.c[name] for name in self.exchange.order]

    def page(self, connection: sa.Connection, last: Sequence[Any] | None, rows: int) -> list[_Row]:
        """Up to so many rows that are not flagged, after the last one."""
        query = sa.select(self.table).where(self.unread).order_by(*self.order).limit(rows)
        if last is not None:
            query = query.where(later_than(self.dialect, self.order, last))
        return self.rows(connection.execute(query).all())

    def named(self, orders: Sequence[Sequence[Any]]) -> sa.ColumnElement[bool]:
        """These rows, those that are not flagged."""
        (first, *others), plain = self.order, (sa.Integer, sa.String)
        if others:
            these: sa.ColumnElement[bool] = sa.or_(*map(self._is, orders))
        elif isinstance(first.type, plain):  # as values: an expression for each takes most of the time of marking
            these = first.in_([each for (each,) in orders])
        else:
            these = first.in_([bound(self.dialect, first, each) for (each,) in orders])
        return sa.and_(these, self.unread)

    def _is(self, order: Sequence[Any]) -> sa.ColumnElement[bool]:
        columns = zip(self.order, order, strict=True)
        return sa.and_(*(column == bound(self.dialect, column, value) for column, value in columns))

    def rows(self, found: Iterable[sa.Row[Any]]) -> list[_Row]:
        """What rows say."""
        return [self._row(values, *self._marked(values)) for values in found]

    def marks(self, found: Iterable[sa.Row[Any]]) -> list[tuple[tuple[Any, ...], int]]:
        """The order columns and the mark of rows."""
        return [(order, int.from_bytes(digest, "big")) for order, digest in map(self._marked, found)]

    def _marked(self, values: sa.Row[Any]) -> tuple[tuple[Any, ...], bytes]:
        said = [values[at] for at in self._said]
        digest = blake2b(repr(said).encode("utf-8", "replace"), digest_size=8).digest()
        return tuple(storable(values[at]) for at in self._order_at), digest

    def _row(self, values: sa.Row[Any], order: tuple[Any, ...], digest: bytes) -> _Row:
        record = as_record(self._names, values, self.temporal)
        where = place(self.table, self.order, order)
        key = [storable(values[at]) for at in self._key_at]
        named = where if any(part in (None, "") for part in key) else joined_key(key)
        at = f"{joined_key(order)}~{digest.hex()}"
        if self.declared.deleted is not None and self.declared.deleted.says(record):
            change: Upsert | Delete = Delete(named, at, None, where)
        else:
            kept = {name: said for name, said in record.items() if name not in self._leave_out}
            change = Upsert(named, kept, at, None, where)
        return _Row(order, int.from_bytes(digest, "big"), change)

    @cached_property
    def _names(self) -> list[str]:
        return [column.name for column in self.table.columns]

    @cached_property
    def _said(self) -> list[int]:
        return [at for at, name in enumerate(self._names) if name not in self.exchange.written]

    @cached_property
    def _order_at(self) -> list[int]:
        return [self._names.index(name) for name in self.exchange.order]

    @cached_property
    def _key_at(self) -> list[int]:
        return [self._names.index(name) for name in self.declared.key]

    @cached_property
    def _leave_out(self) -> set[str]:
        """What belongs to the exchange and not to the record: with it, the same content would never be a duplicate."""
        mapped = {name for item in self.declared.map.values() for name in (item.column, item.when)}
        operation = [self.declared.deleted.column] if self.declared.deleted is not None else []
        return {*self.exchange.columns, *operation} - {*self.declared.key, *self.declared.where, *mapped}


@dataclass(frozen=True, slots=True)
class _Given:
    """A page that was given: its number, and its rows by their order columns and marks."""

    number: int
    orders: list[tuple[Any, ...]]
    marks: frozenset[int]


@dataclass(slots=True)
class _Memory:
    """Pages that were given and are not marked yet, oldest first; up to which number they may be."""

    number: int = 0
    confirmed: int = 0
    pages: deque[_Given] = field(default_factory=deque)

    def __contains__(self, row: _Row) -> bool:
        return any(row.mark in page.marks for page in self.pages)

    def give(self, rows: Sequence[_Row]) -> int:
        self.number += 1
        self.pages.append(_Given(self.number, [row.order for row in rows], frozenset(row.mark for row in rows)))
        return self.number

    def back_to(self, number: int) -> None:
        """Forget the pages behind this one: they were not kept, or not given by this process."""
        while self.pages and (self.pages[-1].number > number or number > self.number):
            self.pages.pop()
        self.number = number


class ExchangeConnector:
    """Exchange tables in any database that SQLAlchemy reaches; tested on PostgreSQL (psycopg), MariaDB (pymysql) and SQLite.

    ``password`` stays beside the URL and shows in no message. One thread at a time may pull and confirm a dataset; different
    datasets may be pulled by different threads. Nobody else may set the flags. Raises SettingInvalid for a URL that it can't
    work with.
    """

    def __init__(
        self, source: Source, password: str | None = None, *, monotonic: Callable[[], float] = time.monotonic
    ) -> None:
        self._source, self._monotonic, self._page_rows = source, monotonic, source.connector.page_rows
        polled = source.connector.model_copy(update={"kind": "sql"})
        self._looking = SqlConnector(source.model_copy(update={"connector": polled}), password)
        url = database_url(source.connector.url or "", system=source.system)
        self._url = url.set(password=password) if password is not None else url
        connections = max(1, len(source.datasets))
        self._reader = engine(self._url, connections=connections)
        self._writer = writing_engine(self._url, connections=connections)
        self._tables: dict[str, _Table] = {}
        self._memory = {name: _Memory() for name in source.datasets}

    def close(self) -> None:
        """Let go of connections."""
        for each in (self._reader, self._writer):
            each.dispose()
        self._looking.close()

    # reading ---------------------------------------------------------------------------------------------------------

    def pull(self, dataset: str, after: Position | None) -> Iterator[Page]:
        """First the flags that are still to be set; then all that is not flagged, in its order.

        Holds one page, and keys and fingerprints of what is not marked yet. Raises FlagNotWritable, SourceBusy, TableMissing,
        ColumnMissing, PrivilegeMissing, SourceRefused, SourceUnreachable; PositionLost for one of another connector.
        """
        if after is None:
            self._memory[dataset] = _Memory()
        elif isinstance(after.get("given"), int):
            self._memory[dataset].back_to(after["given"])
        else:
            raise PositionLost(
                f"{self._source.system}.{dataset}: it was not read as an exchange table before",
                fix="nothing to do: what is not flagged is read",
            )
        try:
            table = self._table(dataset)
            self._mark_confirmed(dataset, table)
            yield from self._unread(table, self._memory[dataset])
        except SQLAlchemyError as error:
            self._tables.pop(dataset, None)
            raise self._known(dataset, error) from error

    def _unread(self, table: _Table, memory: _Memory) -> Iterator[Page]:
        last: Sequence[Any] | None = None
        while True:
            with self._reader.connect() as connection:
                rows = table.page(connection, last, self._page_rows)
            fresh = [row for row in rows if row not in memory]
            if fresh:
                yield Page([row.change for row in fresh], {"given": memory.give(fresh)})
            if len(rows) < self._page_rows:
                return
            last = rows[-1].order

    def copy(self, dataset: str) -> Iterator[Page]:
        """An exchange table holds changes, and never all records. Raises FullReadImpossible."""
        raise FullReadImpossible(
            f"{self._source.system}.{dataset}: an exchange table holds what has changed, and never all records",
            fix="compare with a dump or a view of the department's own table, declared as a source of its own",
        )

    # marking ---------------------------------------------------------------------------------------------------------

    def confirm(self, dataset: str, position: Position) -> None:
        """The pages up to this position are durable: mark their rows. What stands in the way is raised by the next ``pull``."""
        memory, number = self._memory[dataset], position.get("given")
        if isinstance(number, int):
            memory.confirmed = max(memory.confirmed, number)
        try:
            if memory.pages:
                self._mark_confirmed(dataset, self._table(dataset))
        except (OneWindowError, SQLAlchemyError):
            self._tables.pop(dataset, None)

    def _mark_confirmed(self, dataset: str, table: _Table) -> None:
        """Mark the rows of all pages that were confirmed. Raises FlagNotWritable, SourceBusy and the like."""
        memory = self._memory[dataset]
        while memory.pages and memory.pages[0].number <= memory.confirmed:
            try:
                with self._writer.begin() as transaction:
                    _mark(transaction, table, memory.pages[0])
            except SQLAlchemyError as error:
                raise self._unwritable(dataset, error) from error
            memory.pages.popleft()

    def _raise_if_unwritable(self, dataset: str, table: _Table) -> None:
        """The marking of no row, which is allowed or refused as that of any. It is rolled back all the same."""
        nothing = sa.update(table.table).where(sa.false()).values(table.as_read)
        try:
            with self._writer.connect() as connection:
                connection.execute(nothing)
                connection.rollback()
        except SQLAlchemyError as error:
            raise self._unwritable(dataset, error) from error

    def _unwritable(self, dataset: str, error: SQLAlchemyError) -> OneWindowError:
        """What an error of marking amounts to."""
        cause = getattr(error, "orig", None) if isinstance(error, DBAPIError) else None
        state, number = getattr(cause, "sqlstate", None), next(iter(getattr(cause, "args", ())), None)
        name, known = (
            f"{self._source.system}: {table_name(self._source.datasets[dataset])}",
            self._known(dataset, error),
        )
        if state in _READ_ONLY or number in _READ_ONLY or "readonly" in str(cause):
            return FlagNotWritable(
                f"{name} can only be read here, so what is read can't be marked as read",
                fix="give connector.url the database that takes writes; a SQLite file and its directory must be writable",
            )
        if isinstance(known, PrivilegeMissing):
            columns = self._exchange(dataset).written
            return FlagNotWritable(
                f"{name}: the login {self._url.username} may not set {', '.join(columns)}, so what is read can't be marked",
                fix=f"let the department's DBA run: {self._grant(dataset, columns)}",
            )
        if state in _IN_THE_WAY or number in _IN_THE_WAY or "database is locked" in str(cause):
            return SourceBusy(
                f"{name}: rows that are read can't be marked now, another transaction holds them",
                fix="nothing to do: it is tried again; if it stays, look for a transaction in the source that is never ended",
            )
        return known

    def _grant(self, dataset: str, columns: Sequence[str]) -> str:
        """The statement that lets this login set these columns, and nothing else."""
        declared, quoted = self._source.datasets[dataset], self._writer.dialect.identifier_preparer.quote
        schema, login = declared.schema_name, quoted(self._url.username or "")
        if self._writer.dialect.name in MYSQL:
            schema = schema or self._url.database
            with self._reader.connect() as connection:
                user, _, host = str(connection.scalar(sa.text("SELECT current_user()"))).rpartition("@")
            login = f"'{user}'@'{host}'"
        table = ".".join(quoted(part) for part in (schema, declared.table) if part)
        return f"GRANT UPDATE ({', '.join(map(quoted, columns))}) ON {table} TO {login};"

    # the table -------------------------------------------------------------------------------------------------------

    def _table(self, dataset: str) -> _Table:
        """The declared table, looked up again once a minute, and whether its flag may be set."""
        known = self._tables.get(dataset)
        if known is None or self._monotonic() - known.looked_at > REFLECT_S:
            known = self._reflected(dataset)
            self._raise_if_unwritable(dataset, known)
            self._tables[dataset] = known
        return known

    def _reflected(self, dataset: str) -> _Table:
        exchange, dialect = self._exchange(dataset), self._reader.dialect.name
        table = declared_table(self._reader, self._source, dataset, exchange.columns)
        self._no_null(dataset, [table.c[name] for name in exchange.order])
        flag = table.c[exchange.flag]
        as_read = {exchange.flag: self._flag(dataset, flag, exchange.read)}
        if exchange.read_at is not None:
            as_read[exchange.read_at] = _now(dialect, table.c[exchange.read_at])
        unread = flag == self._flag(dataset, flag, exchange.unread)
        temporal = temporal_as_text(dialect, table)
        declared = self._source.datasets[dataset]
        return _Table(dialect, table, declared, exchange, temporal, unread, as_read, self._monotonic())

    def _exchange(self, dataset: str) -> Exchange:
        exchange = self._source.datasets[dataset].exchange
        assert exchange is not None  # the source file was checked
        return exchange

    def _flag(self, dataset: str, column: sa.Column[Any], text: str) -> sa.ColumnElement[Any]:
        """A value of the flag, as its column holds it. Raises SettingInvalid."""
        if isinstance(column.type, BIT):
            column.type = sa.Integer()  # as which MySQL compares it; SQLAlchemy 2.1 warns where a BIT is compared
        if isinstance(column.type, sa.Integer):
            try:
                return sa.literal(int(text), sa.Integer)
            except ValueError:
                raise SettingInvalid(
                    f"{self._source.system}.{dataset}: {column.name} holds numbers, and {text!r} is none",
                    fix=f"correct datasets.{dataset}.exchange: unread and read",
                ) from None
        return bound(self._reader.dialect.name, column, text)

    def _no_null(self, dataset: str, order: Sequence[sa.Column[Any]]) -> None:
        """A row without a place in the order would never be read, nor marked."""
        empty = [column for column in order if column.nullable]
        if not empty:
            return
        query = sa.select(sa.literal(1)).select_from(order[0].table).where(sa.or_(*(each.is_(None) for each in empty)))
        with self._reader.connect() as connection:
            if connection.execute(query.limit(1)).first() is None:
                return
        raise ColumnMissing(
            f"{self._source.system}: {', '.join(each.name for each in empty)} of {table_name(self._source.datasets[dataset])}"
            " is empty in some rows; they would never be read",
            fix=f"set datasets.{dataset}.exchange.order to columns that are NOT NULL and together unique",
        )

    def _known(self, dataset: str | None, error: SQLAlchemyError) -> OneWindowError:
        table = table_name(self._source.datasets[dataset]) if dataset else ""
        return known_error(error, system=self._source.system, table=table, user=self._url.username, url=self._url)

    # looking around --------------------------------------------------------------------------------------------------

    def check(self) -> Iterable[Finding]:
        """Reach the database, then for each dataset: table, columns, reading, setting the flag, and what makes that cheap and
        sure. No row is changed."""
        return checked(self._reader, self._url, self._source, self._check, self._known)

    def _check(self, subject: str, dataset: str) -> Iterator[Finding]:
        table, name = self._reflected(dataset), table_name(self._source.datasets[dataset])
        yield Finding("ok", subject, f"{name} has the declared columns")
        with self._reader.connect() as connection:
            rows = table.page(connection, None, self._page_rows)
        yield Finding("ok", subject, "reading is allowed" + ("" if rows else "; there is no row that is not read"))
        self._raise_if_unwritable(dataset, table)
        written = ", ".join(table.exchange.written)
        yield Finding("ok", subject, f"setting {written} is allowed: OneWindow marks the rows that it has, and writes nothing else")  # fmt: skip
        yield from self._check_order(subject, name, table)

    def _check_order(self, subject: str, name: str, table: _Table) -> Iterator[Finding]:
        exchange = table.exchange
        if not is_unique(self._reader, table.table, exchange.order):
            yield Finding(
                "warn", subject,
                f"nothing makes {', '.join(exchange.order)} unique in the source: of rows that share it some may not be read",
            )  # fmt: skip
        if not leads_an_index(self._reader, table.table, exchange.flag):
            yield Finding(
                "warn", subject,
                f"no index begins with {exchange.flag}: each look goes through all that was ever read;"
                f" ask for CREATE INDEX ON {name} ({', '.join([exchange.flag, *exchange.order])})",
            )  # fmt: skip
        if table.declared.deleted is None:
            yield Finding("warn", subject, "deleted is not declared: no row of the exchange says that a record is gone")

    def discover(self) -> Iterable[Dataset]:
        """Tables and views of the default schema and of the declared ones. Raises SourceUnreachable and the like."""
        return self._looking.discover()

    def outline(self, schemas: Iterable[str] = ()) -> Iterable[Dataset]:
        """As ``discover``, of the default schema and of these, and nothing is counted."""
        return self._looking.outline(schemas)

    def sample(self, name: str, rows: int) -> list[dict[str, Any]]:
        """Up to so many rows of a table, flagged or not."""
        return self._looking.sample(name, rows)


def _mark(transaction: sa.Connection, table: _Table, page: _Given) -> None:
    """Flag the rows of a page that are as they were given. They are locked before they are compared: what the department has
    changed before is seen, and what it wants to change now waits, and makes the row an unread one again."""
    for start in range(0, len(page.orders), _TOGETHER):
        together = page.orders[start : start + _TOGETHER]
        query = sa.select(table.table).where(table.named(together)).with_for_update()
        same = [order for order, mark in table.marks(transaction.execute(query).all()) if mark in page.marks]
        if same:
            transaction.execute(sa.update(table.table).where(table.named(same)).values(table.as_read))


def _now(dialect: str, column: sa.Column[Any]) -> sa.ColumnElement[Any]:
    """The source's clock, as this column holds it; in a column of text to the second."""
    zoned = isinstance(column.type, sa.DateTime) and column.type.timezone
    clock = clock_query(dialect, "instant" if zoned else "naive").scalar_subquery()
    return sa.func.substr(sa.cast(clock, sa.Text), 1, 19) if isinstance(column.type, sa.String) else clock
