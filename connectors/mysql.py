"""MySQL and MariaDB by their binary log: first a copy of the table, then every change that was committed since.

The copy is read in one snapshot, without locks. On MariaDB the snapshot says where in the log it stands; MySQL does not say
so to an ordinary login, so there reading goes on from where the log ended just before: a few changes may come that the copy
has already, and the last of them is as the copy is.

Each dataset has a connection of its own to the log, and the server sends it everything; what is of other tables is left out
here. Names of columns come with each change (``binlog_row_metadata``), so a table may be altered at any time.

Position: ``phase`` (snapshot | live), ``server``, and the place after the last whole transaction, ``file`` and ``at``, with
its ``gtid``; ``given``: changes of the transaction after that place that were given. A place that is gone from the log, or that
another history has now, is lost, and the dataset is read from the beginning. A copy that broke off begins anew.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass
from typing import Any

import pymysql
from pymysql.cursors import SSCursor

from connectors._binlog import Binlog
from connectors._mysql_changes import Gathered, Table
from connectors._mysql_sessions import (
    LogPlace,
    Sessions,
    columns_of,
    gtid_at,
    identity,
    is_mariadb,
    log_end,
    log_files,
    unfit,
)
from connectors._mysql_values import row_of
from connectors.base import Dataset, Finding, Page, Position, Upsert
from connectors.sql import SqlConnector
from contracts.errors import OneWindowError, PrivilegeMissing
from contracts.sources import Source

PULL_S = 1.0  # how long a pull goes on while changes keep coming


@dataclass(slots=True)
class _Reading:
    """A log that is being read, what was gathered of it, and the position of the last page."""

    log: Binlog
    items: Iterator[Any]
    gathered: Gathered
    position: Mapping[str, Any]
    flushed: float = 0.0


class MysqlConnector:
    """MariaDB from 10.5 and MySQL from 8.0 on, with binlog_format ROW and full row metadata.

    ``password`` stays beside the URL and shows in no message. One thread at a time may pull a dataset; different datasets may
    be pulled by different threads. Raises SettingInvalid for a URL that it can't work with.
    """

    def __init__(self, source: Source, password: str | None = None) -> None:
        self._source, self._page_rows = source, source.connector.page_rows
        self._sessions = Sessions(source, password)
        self._readings: dict[str, _Reading] = {}
        self._tables_of = {name: Table(source, name, self._sessions.database) for name in source.datasets}
        polled = source.connector.model_copy(update={"kind": "sql", "capture": "poll"})
        self._tables = SqlConnector(source.model_copy(update={"connector": polled}), password)

    def close(self) -> None:
        """Let go of connections."""
        for dataset in list(self._readings):
            self._end(dataset)
        self._tables.close()

    def discover(self) -> Iterable[Dataset]:
        """Tables and views of the database and of the declared schemas."""
        return self._tables.discover()

    # reading ---------------------------------------------------------------------------------------------------------

    def pull(self, dataset: str, after: Position | None) -> Iterator[Page]:
        """First a copy of the table; then, in each pull, what was committed since. Holds one page.

        Raises PositionLost, TableMissing, ColumnMissing, PrivilegeMissing, LogCaptureImpossible, SourceRefused and
        SourceUnreachable.
        """
        table = self._tables_of[dataset].name
        try:
            with self._sessions.known(table):
                if after is None:
                    yield from self._copy(dataset)
                elif after["phase"] == "snapshot":
                    raise self._sessions.lost(dataset, f"the first copy of {table} broke off")
                else:
                    yield from self._live(dataset, after)
        except Exception:
            self._end(dataset)
            raise

    def _copy(self, dataset: str) -> Iterator[Page]:
        table = self._tables_of[dataset]
        with closing(self._sessions.open()) as control:
            self._raise_if_unfit(control)
            server, kinds = identity(control), self._columns(control, dataset)
            before, rows = log_end(control), self._rows_about(control, dataset)
        with closing(self._sessions.open(cursorclass=SSCursor)) as connection, connection.cursor() as cursor:
            cursor.execute("SET SESSION wait_timeout = 3600, SESSION net_write_timeout = 3600")
            cursor.execute("START TRANSACTION WITH CONSISTENT SNAPSHOT, READ ONLY")
            place = self._place_of_snapshot(connection, cursor) or before
            cursor.execute(f"SELECT * FROM {table.quoted}")  # noqa: S608 - quoted, and of the source file
            names = [column[0] for column in cursor.description]
            position = {
                "phase": "snapshot", "server": server, "file": place.file, "at": place.position, "gtid": None, "given": 0,
            }  # fmt: skip
            done, last = 0, False
            while not last:
                found = cursor.fetchmany(self._page_rows)
                records = [row_of(names, kinds, row) for row in found]
                done, last = done + len(found), len(found) < self._page_rows
                if last:
                    position |= {"phase": "live"}
                at = f"{place.file}:{place.position}"
                yield Page(
                    [Upsert(table.key(record), record, at, None, table.place(record)) for record in records],
                    dict(position), snapshot=True, done=done, total=done if last else max(done, rows),
                    mark="complete" if last else None,
                )  # fmt: skip

    def _place_of_snapshot(self, connection: Any, cursor: Any) -> LogPlace | None:
        """Where in the log the snapshot stands; only MariaDB says so."""
        if not is_mariadb(connection):
            return None
        cursor.execute("SHOW STATUS LIKE 'binlog_snapshot_%'")
        said = {name.lower(): value for name, value in cursor.fetchall()}
        file, at = said.get("binlog_snapshot_file"), said.get("binlog_snapshot_position")
        return LogPlace(file, int(at)) if file and at else None

    def _live(self, dataset: str, after: Position) -> Iterator[Page]:
        reading = self._readings.get(dataset)
        if reading is None or reading.position != after:
            self._end(dataset)
            reading = self._readings[dataset] = self._begun(dataset, after)
        gathered, began = reading.gathered, time.monotonic()
        for item in reading.items:
            now = time.monotonic()
            if item != "idle":
                gathered.take(item)
            if gathered.is_due(self._page_rows, now - reading.flushed, idle=item == "idle"):
                page = gathered.page()
                reading.position, reading.flushed = page.position, now
                yield page
            if item == "idle" or (gathered.between and not gathered.changes and now - began >= PULL_S):
                return
        raise self._sessions.error(
            pymysql.OperationalError(2013, "the server has closed its log"), self._tables_of[dataset].name
        )

    def _begun(self, dataset: str, after: Position) -> _Reading:
        place = LogPlace(after["file"], after["at"])
        table = self._tables_of[dataset]
        with closing(self._sessions.open()) as control:
            self._raise_if_unfit(control)
            self._columns(control, dataset)
            self._raise_if_lost(control, dataset, after, place)
        log = Binlog(self._sessions, table.schema, table.table, place)
        gathered = Gathered(self._tables_of[dataset], lambda why: self._sessions.lost(dataset, why), after)
        return _Reading(log, log.items(), gathered, after)

    def _raise_if_lost(self, control: Any, dataset: str, after: Position, place: LogPlace) -> None:
        sizes = log_files(control)
        if after["server"] != identity(control):
            raise self._sessions.lost(dataset, "another server answers than the one that was read")
        if place.file not in sizes:
            raise self._sessions.lost(dataset, f"the server does not have its log {place.file} any more")
        if place.position > sizes[place.file]:
            raise self._sessions.lost(
                dataset,
                f"the server's log {place.file} ends before {place.position}: it was restored from an older copy",
            )
        known, now = after["gtid"], gtid_at(control, place)
        if known and now is not None and known not in now.split(","):
            raise self._sessions.lost(dataset, "the server's history is another one than the one that was read")

    def _end(self, dataset: str) -> None:
        reading = self._readings.pop(dataset, None)
        if reading is not None:
            reading.log.close()

    # tables ----------------------------------------------------------------------------------------------------------

    def _rows_about(self, control: Any, dataset: str) -> int:
        table = self._tables_of[dataset]
        with control.cursor() as cursor:
            cursor.execute(
                "SELECT table_rows FROM information_schema.tables WHERE table_schema = %s AND table_name = %s",
                (table.schema, table.table),
            )
            row = cursor.fetchone()
            return int(row[0] or 0) if row else 0

    def _columns(self, control: Any, dataset: str) -> dict[str, str]:
        """The table's columns and types. Raises TableMissing, ColumnMissing."""
        kinds = columns_of(control, self._sessions.database, self._source.datasets[dataset], self._source.system)
        self._tables_of[dataset].raise_if_missing(kinds)
        return kinds

    def _raise_if_unfit(self, control: Any) -> None:
        for flaw in unfit(control, self._source.system):
            raise flaw

    # check -----------------------------------------------------------------------------------------------------------

    def check(self) -> Iterable[Finding]:
        """Reach the server, then what reading its log needs, then each dataset's table. Changes nothing."""
        system = self._source.system
        try:
            with self._sessions.known(), closing(self._sessions.open()) as control:
                yield Finding("ok", system, f"{self._sessions.url.render_as_string(hide_password=True)} answers")
                flaws = unfit(control, system)
                yield from (_failed(system, flaw) for flaw in flaws)
                if not flaws:
                    yield Finding("ok", system, "the binary log holds whole rows with their columns")
                    yield self._may_read_log(control)
                for dataset in self._source.datasets:
                    yield self._table(control, dataset)
        except OneWindowError as error:
            yield _failed(system, error)

    def _may_read_log(self, control: Any) -> Finding:
        system, user = self._source.system, self._sessions.url.username
        try:
            log_end(control)
            log_files(control)
        except pymysql.Error:
            grant = (
                "REPLICATION SLAVE, BINLOG MONITOR" if is_mariadb(control) else "REPLICATION SLAVE, REPLICATION CLIENT"
            )
            return _failed(
                system,
                PrivilegeMissing(
                    f"{system}: the login {user} may not read the binary log",
                    fix=f"let the department's DBA run: GRANT {grant} ON *.* TO {user};",
                ),
            )
        return Finding("ok", system, f"the login {user} may see the binary log")

    def _table(self, control: Any, dataset: str) -> Finding:
        subject, table = f"{self._source.system}.{dataset}", self._tables_of[dataset]
        try:
            with self._sessions.known(table.name), control.cursor() as cursor:
                self._columns(control, dataset)
                cursor.execute(f"SELECT 1 FROM {table.quoted} LIMIT 1")  # noqa: S608 - quoted, and of the source file
        except OneWindowError as error:
            return _failed(subject, error)
        return Finding("ok", subject, f"{table.name}: about {self._rows_about(control, dataset):,} rows")


def _failed(subject: str, error: OneWindowError) -> Finding:
    return Finding("fail", subject, str(error), error)
