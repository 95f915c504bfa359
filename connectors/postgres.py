"""Reads a department's PostgreSQL by its log: each change as it was committed, within milliseconds, deletions included.

First a dataset is copied, in one REPEATABLE READ transaction that locks nothing, while its changes are being collected from
the log. Of these, the transactions that the copy's snapshot saw are left out, which their ids tell exactly; so copy and log
join without gap or overlap. (Transactions that were open when slot or publication was made are waited for: the log need not
have their beginning.)

Position: ``phase`` (snapshot | live), where it holds (``slot``, ``system_identifier``, ``timeline``, ``table``), ``lsn`` and
``index``: all before this place of the log, and so many messages of the transaction that commits there. With ``snapshot``,
the transactions that the copy saw, until ``snapshot_lsn``, where all of them had committed. A copy that breaks off is a
position that is lost: only a copy under one epoch tells what is gone.

Kept in the source: one replication slot and one publication for all datasets. The server keeps its log from the oldest
position on that was confirmed to be durable in Kafka. A dataset in which nothing happens gives an empty page now and then, so
that its position comes along and holds nothing back.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field, replace
from typing import Any

import psycopg

from connectors._log_changes import Changes, Layout, Reading, changes_of, fill_gaps
from connectors._log_channels import Entry, Look
from connectors._pgoutput import Relation
from connectors._postgres_catalog import Table
from connectors._postgres_checks import findings
from connectors._postgres_rows import copied, cursor, described, end_of_log, next_transaction, oldest_open, rows_now
from connectors._postgres_sessions import Sessions
from connectors._postgres_stream import HELD_BYTES, WATCH_S, Stream
from connectors._postgres_values import Values
from connectors._transactions import Snapshot, lsn_number, lsn_text
from connectors.base import Dataset, Delete, Finding, Page, Position, Upsert
from connectors.sql import SqlConnector
from connectors.values import declared_columns
from contracts.errors import ColumnMissing, PositionLost, SourceBusy
from contracts.sources import Source

HEARTBEAT_S = 10.0  # how often a dataset without changes moves its position
LINGER_S = 0.2  # how long a pull waits for a change
LINGER_ON_S = 0.1  # how long for one more; then it ends, so that whoever pulls sees to what it got
GATHER_S = 0.01  # how long after a page that was not full more is gathered for the next
PULL_S = 1.0  # how long a pull goes on while changes keep coming; then it ends, and the next goes on
CATCH_UP_S = 10.0  # how long the log may take to come up to where it stood when a pull began
STILL_S = 3.0  # the log's end may lie in the middle of a record, where reading can't come: it stands still there
SETTLE_S = 2.0  # how long open transactions are waited for before that is said


@dataclass(frozen=True, slots=True)
class _At:
    """A position in the live phase."""

    lsn: int
    index: int
    snapshot: Snapshot | None = None
    snapshot_text: str | None = None
    snapshot_lsn: int = 0

    @classmethod
    def read(cls, position: Position) -> _At:
        text = position.get("snapshot")
        return cls(
            lsn_number(position["lsn"]), position["index"],
            Snapshot.parse(text) if text else None, text, lsn_number(position["snapshot_lsn"]) if text else 0,
        )  # fmt: skip

    def position(self, stamp: Mapping[str, Any]) -> dict[str, Any]:
        said = {"phase": "live", **stamp, "lsn": lsn_text(self.lsn), "index": self.index}
        if self.snapshot_text is not None:
            said |= {"snapshot": self.snapshot_text, "snapshot_lsn": lsn_text(self.snapshot_lsn)}
        return said

    def moved(self, place: tuple[int, int]) -> _At:
        """Further on, never back."""
        if place <= self.place:
            return self
        if place[0] > self.snapshot_lsn:
            return _At(*place)
        return replace(self, lsn=place[0], index=place[1])

    @property
    def place(self) -> tuple[int, int]:
        return self.lsn, self.index


@dataclass(slots=True)
class _Dataset:
    """What is kept of a dataset between two pulls. ``waits_for``: the id of a transaction before which all must have
    ended before it is copied."""

    reading: Reading
    connection: psycopg.Connection[Any] | None = None
    values: Values | None = None
    waits_for: int | None = None
    given_at: float = field(default_factory=time.monotonic)
    warned: bool = False

    def close(self) -> None:
        if self.connection is not None:
            self.connection.close()
        self.connection = self.values = None


class PostgresConnector:
    """PostgreSQL from version 13 on, with wal_level logical.

    ``password`` stays beside the URL and shows in no message. One thread at a time may pull a dataset; different datasets may
    be pulled by different threads. Raises SettingInvalid for a URL that it can't work with.
    """

    def __init__(
        self,
        source: Source,
        password: str | None = None,
        *,
        heartbeat_s: float = HEARTBEAT_S,
        linger_s: float = LINGER_S,
        held_bytes: int = HELD_BYTES,
        watch_s: float = WATCH_S,
    ) -> None:
        self._source, self._page_rows = source, source.connector.page_rows
        self._heartbeat_s, self._linger_s = heartbeat_s, linger_s
        self._sessions = Sessions(source, password)
        self._stream = Stream(source, self._sessions, held_bytes=held_bytes, watch_s=watch_s)
        self._datasets = {name: _Dataset(Reading()) for name in source.datasets}
        polled = source.connector.model_copy(update={"capture": "poll", "url": self._sessions.plain_url})
        self._tables = SqlConnector(source.model_copy(update={"connector": polled}), password)

    def close(self) -> None:
        """Let go of connections; the slot stays, and the server keeps what is not confirmed."""
        self._stream.close()
        for life in self._datasets.values():
            life.close()
        self._tables.close()

    def check(self) -> Iterable[Finding]:
        """Reach the database, then all that log capture needs, then each dataset's table."""
        return findings(self._source, self._sessions, self._stream.catalog)

    def discover(self) -> Iterable[Dataset]:
        """Tables and views of the default schema and of the declared ones. Raises SourceUnreachable and the like."""
        return self._tables.discover()

    def confirm(self, dataset: str, position: Position) -> None:
        """This position is durable: the server may forget what lies before it, once all datasets are past it."""
        stamp = {name: position[name] for name in ("slot", "system_identifier", "timeline", "table")}
        self._stream.confirm(dataset, stamp, lsn_number(position["lsn"]))

    # reading ---------------------------------------------------------------------------------------------------------

    def pull(self, dataset: str, after: Position | None) -> Iterator[Page]:
        """First a copy of the table; then, in each pull, what was committed since.

        Holds one page; the stream holds up to 64 MB for all datasets. Raises PositionLost, TableMissing, ColumnMissing,
        PrivilegeMissing, LogCaptureImpossible, SourceBusy, SourceRefused and SourceUnreachable.
        """
        table, life, linger_s = self._stream.ensure(dataset), self._datasets[dataset], self._linger_s
        try:
            if life.connection is None:
                life.connection = self._sessions.open()
                life.values = Values(life.connection)
            if after is not None and after["phase"] == "snapshot":
                raise PositionLost(
                    f"{self._source.system}: the first copy of {table} broke off",
                    fix="nothing to do: it begins anew, and what is gone meanwhile is reconciled",
                )
            if after is None:
                linger_s = 0.0  # a copy is enough for one pull
                for page in self._copy(dataset, life):
                    after = page.position
                    yield page
            assert after is not None
            yield from self._live(dataset, life, after, linger_s)
        except psycopg.Error as error:
            life.close()
            raise self._sessions.known(error, str(table)) from error

    # the first copy --------------------------------------------------------------------------------------------------

    def _copy(self, dataset: str, life: _Dataset) -> Iterator[Page]:
        table = self._table_now(dataset, life)
        self._need_columns(dataset, str(table), table.columns)
        position = {"phase": "snapshot", **self._stream.stamp(dataset), "lsn": lsn_text(self._stream.hold(dataset)),
                    "index": 0}  # fmt: skip
        self._settle(dataset, life)
        assert life.values is not None
        with closing(self._sessions.open()) as connection:
            connection.execute("SET idle_in_transaction_session_timeout = '600s'")  # while Kafka takes its time
            text, end = self._snapshot(dataset, connection)
            done = 0
            for changes in self._fetched(dataset, table, life.values, connection, end):
                done, last = done + len(changes), len(changes) < self._page_rows
                if last:
                    position |= {"phase": "live", "snapshot": text, "snapshot_lsn": end}
                yield Page(
                    changes, dict(position), snapshot=True, done=done, total=done if last else max(done, table.rows),
                    mark="complete" if last else None,
                )  # fmt: skip

    def _fetched(
        self, dataset: str, table: Table, values: Values, connection: psycopg.Connection[Any], end: str
    ) -> Iterator[list[Upsert]]:
        """The rows of a table in the transaction that this connection is in, a page each; the last one is not full."""
        layout: Layout | None = None
        connection.execute(cursor(table, self._source.datasets[dataset].key))
        while True:
            result = connection.execute(f"FETCH {self._page_rows} FROM copied").pgresult
            assert result is not None
            layout = layout or self._layout(dataset, values, described(table, result))
            changes = [copied(layout, result, row, end) for row in range(result.ntuples)]
            yield changes
            if len(changes) < self._page_rows:
                return

    def copy(self, dataset: str) -> Iterator[Page]:
        """All rows as of one moment, in one transaction that only reads and locks nothing. Slot and log are left alone."""
        try:
            with closing(self._sessions.open()) as connection:
                connection.execute("SET idle_in_transaction_session_timeout = '600s'")
                connection.execute("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")
                declared, done = self._source.datasets[dataset], 0
                table = self._stream.catalog.table(connection, dataset, declared, add=False)
                self._need_columns(dataset, str(table), table.columns)
                for changes in self._fetched(dataset, table, Values(connection), connection, "0/0"):
                    done += len(changes)
                    yield Page(changes, {}, snapshot=True, done=done, total=max(done, table.rows))
        except psycopg.Error as error:
            raise self._sessions.known(error, dataset) from error

    def _settle(self, dataset: str, life: _Dataset) -> None:
        """Transactions have ended that were open when slot and publication were made. Raises SourceBusy if they take long."""
        if not self._stream.unsettled(dataset):
            return
        assert life.connection is not None
        until = time.monotonic() + SETTLE_S
        while True:
            life.waits_for = life.waits_for or next_transaction(life.connection)
            if oldest_open(life.connection) >= life.waits_for:
                life.waits_for = None
                self._stream.settled(dataset)
                return
            if time.monotonic() > until:
                raise self._stream.catalog.busy(life.connection)
            time.sleep(0.02)

    def _snapshot(self, dataset: str, connection: psycopg.Connection[Any]) -> tuple[str, str]:
        """Begin a transaction that sees all that was taken from the log already; what it sees, and where in the log all of
        that had committed."""
        until = time.monotonic() + SETTLE_S
        while True:
            connection.execute("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")
            row = connection.execute("SELECT pg_current_snapshot()::text, pg_current_wal_insert_lsn()::text").fetchone()
            assert row is not None
            if self._stream.channels.saw_taken(dataset, Snapshot.parse(row[0])):
                return row[0], row[1]
            connection.execute("ROLLBACK")
            if time.monotonic() > until:
                raise self._stream.catalog.busy(connection)
            time.sleep(0.02)

    # the log ---------------------------------------------------------------------------------------------------------

    def _live(self, dataset: str, life: _Dataset, after: Position, linger_s: float) -> Iterator[Page]:
        assert life.connection is not None
        stream, channels, at = self._stream, self._stream.channels, _At.read(after)
        run = channels.run
        stream.verify(dataset, after, at.lsn)
        if not channels.continues(dataset, at.place):
            stream.restart(run)
        given, pace = at.lsn, _Pace(end_of_log(life.connection), linger_s)
        while True:
            look = channels.look(dataset, self._page_rows)
            if look.cut or look.ended:
                if look.cut:
                    stream.restart(look.run)
                stream.ensure(dataset)
                continue
            if look.run != run:
                stream.verify(dataset, after, given)
                run = look.run
            if look.entries:
                found = self._decoded(dataset, life, look.entries, at)
                changes = self._filled(life, found)
                channels.took(dataset, look, found.used)
                life.reading, at = found.reading, at.moved(found.place)
            else:
                found, changes, at = None, [], at.moved((look.reached, 0))
            due = at.lsn > given and time.monotonic() - life.given_at >= self._heartbeat_s
            if changes or (found and found.cleared) or due:
                after, given, life.given_at = at.position(stream.stamp(dataset)), at.lsn, time.monotonic()
                channels.gave(dataset, look.run, at.place)
                yield Page(changes, after, notes=self._notes(life), mark="cleared" if found and found.cleared else None)
            if pace.over(look, self._page_rows, self._source.system):
                return
            if not look.entries:
                channels.wait(dataset, look.reached if pace.behind(look) else _FAR, pace.wait_s)
            elif len(look.entries) < self._page_rows:
                time.sleep(GATHER_S)

    def _decoded(self, dataset: str, life: _Dataset, entries: Sequence[Entry], at: _At) -> Changes:
        return changes_of(
            entries,
            life.reading,
            after=at.place,
            seen=(at.snapshot, at.snapshot_lsn) if at.snapshot is not None else None,
            layout_of=lambda relation: self._layout_then(dataset, life, relation),
        )

    def _layout_then(self, dataset: str, life: _Dataset, relation: Relation) -> Layout:
        """The table as it was when a change was made. Raises ColumnMissing; PositionLost where the table lacked a declared
        column only then, for what it held since can be read now."""
        assert life.values is not None
        try:
            self._need_columns(
                dataset, f"{relation.schema}.{relation.table}", [column.name for column in relation.columns]
            )
        except ColumnMissing as missing:
            now = self._table_now(dataset, life)
            self._need_columns(dataset, str(now), now.columns)
            raise self._stream.lost(dataset, f"for a while the table {now} lacked a declared column") from missing
        return self._layout(dataset, life.values, relation)

    def _layout(self, dataset: str, values: Values, relation: Relation) -> Layout:
        names = [column.name for column in relation.columns]
        types = [column.type_oid for column in relation.columns]
        keys = [names.index(name) for name in self._source.datasets[dataset].key]
        return Layout(
            relation, [values.decoder(oid) for oid in types],
            [(index, values.key_part(types[index])) for index in keys], names,
        )  # fmt: skip

    def _table_now(self, dataset: str, life: _Dataset) -> Table:
        assert life.connection is not None
        return self._stream.catalog.table(life.connection, dataset, self._source.datasets[dataset], add=False)

    def _need_columns(self, dataset: str, table: str, columns: Sequence[str]) -> None:
        for name in declared_columns(self._source.datasets[dataset]):
            if name not in columns:
                raise ColumnMissing(
                    f"{self._source.system}: {table} has no column {name}; it has {', '.join(columns)}",
                    fix=f"correct datasets.{dataset}, or let the department add the column",
                )

    def _filled(self, life: _Dataset, found: Changes) -> list[Upsert | Delete]:
        """The changes, with large values that the log did not repeat read from the table: one query a layout."""
        if not found.gaps:
            return found.changes
        assert life.connection is not None
        assert life.values is not None
        rows: dict[str, dict[str, Any]] = {}
        for layout in {id(gap.layout): gap.layout for gap in found.gaps}.values():
            keys = [gap.key for gap in found.gaps if gap.layout is layout]
            rows |= rows_now(life.connection, life.values, layout, keys)
        return fill_gaps(found, rows)

    def retained(self, dataset: str) -> list[str]:
        """How much of its log the server keeps while a dataset is paused, once each time that it becomes too much."""
        try:
            self._stream.weigh()
        except psycopg.Error as error:
            raise self._sessions.known(error) from error
        return self._notes(self._datasets[dataset])

    def _notes(self, life: _Dataset) -> list[str]:
        """Once each time that the server comes to keep too much of its log for us."""
        kept, limit = self._stream.retained_bytes >> 20, self._source.connector.wal_warn_mb
        before, life.warned = life.warned, kept > limit
        if before or not life.warned:
            return []
        note = (
            f"the database keeps {kept} MB of its log for the replication slot {self._stream.name}, more than wal_warn_mb"
            f" ({limit}); let the department's DBA bound it with max_slot_wal_keep_size"
        )
        return [note]


_FAR = 1 << 63


class _Pace:
    """When a pull is over: when nothing came for a while and the log was read up to where it stood when the pull began."""

    def __init__(self, target: int, linger_s: float) -> None:
        self._target, self._linger_s = target, linger_s
        self._began = self._fed = self._moved = time.monotonic()
        self._reached = 0
        self.wait_s = min(linger_s or LINGER_ON_S, LINGER_ON_S)

    def behind(self, look: Look) -> bool:
        """Whether the log was not read so far yet; where it stands still its end lies in the middle of a record."""
        return look.reached < self._target and time.monotonic() - self._moved < STILL_S

    def over(self, look: Look, page_rows: int, system: str) -> bool:
        """Whether to end the pull after this look. Raises SourceBusy when the log does not come."""
        now = time.monotonic()
        if look.reached != self._reached:
            self._reached, self._moved = look.reached, now
        if look.entries:
            self._fed, self._linger_s = now, min(self._linger_s, LINGER_ON_S)
            return len(look.entries) < page_rows and now - self._began >= PULL_S and not self.behind(look)
        if not self.behind(look):
            return now - self._fed >= self._linger_s
        if now - max(self._began, self._fed) >= CATCH_UP_S:
            raise SourceBusy(
                f"{system}: the database has not decoded its log up to now yet: it is at {lsn_text(look.reached)} of"
                f" {lsn_text(self._target)}",
                fix="nothing to do: large transactions take the server a while; it goes on by itself",
            )
        return False
