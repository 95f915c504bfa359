"""What log capture needs in a department's database: tables that name their rows, a publication, a replication slot.

Nothing that may harm the department is done. Above all: a table without replica identity must not enter a publication, for
PostgreSQL would from then on refuse the department's own updates of it.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import psycopg
from psycopg import errors, sql

from connectors._postgres_sessions import Sessions
from connectors._transactions import lsn_number
from contracts.errors import (
    LogCaptureImpossible,
    OneWindowError,
    PrivilegeMissing,
    SettingInvalid,
    SourceBusy,
    TableMissing,
)
from contracts.sources import DatasetSource

_TABLE = """
SELECT c.oid::bigint, n.nspname, c.relname, c.relkind, c.relreplident,
  pg_has_role(c.relowner, 'USAGE'), greatest(c.reltuples, 0)::bigint,
  ARRAY(SELECT a.attname::text FROM pg_index i JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum = ANY(i.indkey)
    WHERE i.indrelid = c.oid AND CASE c.relreplident WHEN 'd' THEN i.indisprimary ELSE i.indisreplident END),
  ARRAY(SELECT a.attname::text FROM pg_attribute a WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
    AND a.attgenerated = '' ORDER BY a.attnum)
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE c.oid = to_regclass(%s)
"""
_PUBLICATION = """
SELECT p.oid::bigint, pg_has_role(p.pubowner, 'USAGE'), p.pubviaroot,
  p.pubinsert AND p.pubupdate AND p.pubdelete AND p.pubtruncate
FROM pg_publication p WHERE p.pubname = %s
"""
_MEMBER = """
SELECT coalesce((SELECT r.oid FROM pg_publication_rel r WHERE r.prpubid = %(publication)s AND r.prrelid = %(table)s),
  %(publication)s)::bigint, to_jsonb(t) -> 'attnames'
FROM pg_publication_tables t WHERE t.pubname = %(name)s AND t.schemaname = %(schema)s AND t.tablename = %(relname)s
"""
_SLOT = """
SELECT s.plugin, s.database = current_database(), s.active_pid, to_jsonb(s) ->> 'wal_status', s.confirmed_flush_lsn::text,
  (pg_current_wal_lsn() - s.restart_lsn)::bigint
FROM pg_replication_slots s WHERE s.slot_name = %s
"""


@dataclass(frozen=True, slots=True)
class Table:
    """A declared table as it is now. ``columns`` are those that the log gives, ``rows`` the planner's estimate. ``identity``
    changes when it, or its place in the publication, is made anew; ``published``: it has one."""

    oid: int
    schema: str
    name: str
    columns: tuple[str, ...]
    rows: int
    identity: str
    published: bool

    @property
    def quoted(self) -> sql.Identifier:
        return sql.Identifier(self.schema, self.name)

    def __str__(self) -> str:
        return f"{self.schema}.{self.name}"


@dataclass(frozen=True, slots=True)
class Slot:
    """A replication slot. ``confirmed``: up to where its log was confirmed; ``retained_bytes``: what the server keeps."""

    usable: bool
    active_pid: int | None
    status: str | None
    confirmed: int
    retained_bytes: int


@dataclass(frozen=True, slots=True)
class Publication:
    """A publication, which lists the tables whose changes a slot gives."""

    oid: int
    ours: bool
    by_root: bool
    whole: bool


class Catalog:
    """Looks at and makes these. ``name``: of slot and publication. A connection is given to each call; it must be in
    autocommit. psycopg's errors pass unchanged where nothing else is said."""

    def __init__(self, sessions: Sessions, name: str) -> None:
        self._sessions, self.name = sessions, name

    # tables ----------------------------------------------------------------------------------------------------------

    def table(self, connection: psycopg.Connection[Any], dataset: str, declared: DatasetSource, *, add: bool) -> Table:
        """The dataset's table, fit for log capture and published; with ``add`` it is published where it may be.

        Raises SettingInvalid, TableMissing, PrivilegeMissing, LogCaptureImpossible.
        """
        where = f"{self._sessions.system}.{dataset}"
        name = _declared_name(where, dataset, declared)
        quoted = name.as_string(connection)
        row = connection.execute(_TABLE, (quoted,)).fetchone()
        if row is None:
            raise TableMissing(
                f"{where}: there is no table {quoted}, or the login {self._sessions.user} can't see it",
                fix="correct table and schema_name in the source file, or let the department's DBA grant the login SELECT",
            )
        oid, schema, relname, kind, replica, owned, rows, identity, columns = row
        shown = f"{schema}.{relname}"
        if kind not in ("r", "p"):
            raise LogCaptureImpossible(
                f"{where}: {shown} is no table, and only tables are in the log",
                fix="declare the table behind it, or set connector.capture: poll",
            )
        if replica != "f" and not (identity and set(declared.key) <= set(identity)):
            raise LogCaptureImpossible(
                f"{where}: the log would not name the key {', '.join(declared.key)} of a changed or deleted row of {shown}:"
                f" its replica identity is {', '.join(identity) or 'nothing'}",
                fix=f"declare that key, or let the department's DBA run: ALTER TABLE {shown} REPLICA IDENTITY FULL;",
            )
        member, published = self._member(connection, where, oid, schema, relname, owned=owned, add=add, kind=kind)
        given = tuple(column for column in columns if published is None or column in published)
        return Table(int(oid), schema, relname, given, int(rows), f"{oid}/{member}", member > 0)

    def _member(
        self, connection: psycopg.Connection[Any], where: str, oid: int, schema: str, relname: str, *,
        owned: bool, add: bool, kind: str,
    ) -> tuple[int, list[str] | None]:  # fmt: skip
        """What names the table's place in the publication, and the columns that it gives; 0 while it has no place yet."""
        found = self.publication(connection)
        about = {"name": self.name, "table": oid, "schema": schema, "relname": relname}
        entry = found and connection.execute(_MEMBER, {**about, "publication": found.oid}).fetchone()
        statement = sql.SQL("ALTER PUBLICATION {} ADD TABLE {}").format(
            sql.Identifier(self.name), sql.Identifier(schema, relname)
        )
        may_add = owned and (found.ours if found else self._may_create(connection))
        if not entry and not may_add:
            made = "" if found else f"{self._creation().as_string(connection)}; "
            raise PrivilegeMissing(
                f"{where}: {schema}.{relname} is not in the publication {self.name}, and the login {self._sessions.user}"
                " may not put it there",
                fix=f"let the department's DBA run: {made}{statement.as_string(connection)};",
            )
        if not entry and add and found:
            _write(connection, statement)
            entry = connection.execute(_MEMBER, {**about, "publication": found.oid}).fetchone()
        if not found or not entry:
            return 0, None
        if not found.whole or (kind == "p" and not found.by_root):
            raise LogCaptureImpossible(
                f"{where}: the publication {self.name} leaves out some operations, or gives a partitioned table in pieces",
                fix=f"let the department's DBA run: ALTER PUBLICATION {self.name} SET (publish = 'insert, update, delete,"
                " truncate', publish_via_partition_root = true);",
            )
        return int(entry[0]), entry[1]

    # the publication -------------------------------------------------------------------------------------------------

    def publication(self, connection: psycopg.Connection[Any]) -> Publication | None:
        """The publication, if there is one."""
        row = connection.execute(_PUBLICATION, (self.name,)).fetchone()
        return Publication(int(row[0]), *row[1:]) if row else None

    def ensure_publication(self, connection: psycopg.Connection[Any]) -> bool:
        """Make it, empty, unless it is there or may not be made; whether it was made."""
        if self.publication(connection) is not None:
            return False
        with suppress(errors.InsufficientPrivilege):  # said of each table, with what to run
            _write(connection, self._creation())
            return True
        return False

    def _may_create(self, connection: psycopg.Connection[Any]) -> bool:
        row = connection.execute("SELECT has_database_privilege(current_database(), 'CREATE')").fetchone()
        return row is not None and bool(row[0])

    def _creation(self) -> sql.Composed:
        return sql.SQL("CREATE PUBLICATION {} WITH (publish_via_partition_root = true)").format(
            sql.Identifier(self.name)
        )

    # the slot --------------------------------------------------------------------------------------------------------

    def slot(self, connection: psycopg.Connection[Any]) -> Slot | None:
        """The slot, if there is one."""
        row = connection.execute(_SLOT, (self.name,)).fetchone()
        if row is None:
            return None
        plugin, here, pid, status, confirmed, retained = row
        usable = plugin == "pgoutput" and bool(here) and status != "lost" and confirmed is not None
        return Slot(usable, pid, status, lsn_number(confirmed) if confirmed else 0, int(retained or 0))

    def make_slot(self, connection: psycopg.Connection[Any]) -> None:
        """Make the slot; that waits for transactions which are open now.

        Raises SourceBusy when they take long, LogCaptureImpossible, PrivilegeMissing.
        """
        system, user = self._sessions.system, self._sessions.user
        try:
            connection.execute("SELECT pg_create_logical_replication_slot(%s, 'pgoutput')", (self.name,))
        except errors.LockNotAvailable as error:
            raise self.busy(connection) from error
        except errors.InsufficientPrivilege as error:
            raise PrivilegeMissing(
                f"{system}: the login {user} may not read the database's log",
                fix=f"let the department's DBA run: ALTER ROLE {user} REPLICATION;",
            ) from error
        except errors.ObjectNotInPrerequisiteState as error:
            raise LogCaptureImpossible(
                f"{system}: wal_level of the database is not logical",
                fix="let the department's DBA run: ALTER SYSTEM SET wal_level = 'logical'; and restart the server",
            ) from error
        except errors.ConfigurationLimitExceeded as error:
            raise LogCaptureImpossible(
                f"{system}: all replication slots of the server are in use",
                fix="let the department's DBA raise max_replication_slots, or drop a slot that nobody reads",
            ) from error

    def drop_slot(self, connection: psycopg.Connection[Any]) -> None:
        """Drop the slot, if it is there."""
        with suppress(errors.UndefinedObject):
            connection.execute("SELECT pg_drop_replication_slot(%s)", (self.name,))

    # transactions ----------------------------------------------------------------------------------------------------

    def busy(self, connection: psycopg.Connection[Any]) -> OneWindowError:
        """What to say while open transactions are waited for."""
        oldest = connection.execute(
            "SELECT pid, to_char(xact_start, 'YYYY-MM-DD HH24:MI:SS') FROM pg_stat_activity"
            " WHERE backend_xid IS NOT NULL AND pid <> pg_backend_pid() ORDER BY xact_start LIMIT 1"
        ).fetchone()
        which = f"; the oldest is that of process {oldest[0]}, open since {oldest[1]} UTC" if oldest else ""
        return SourceBusy(
            f"{self._sessions.system}: transactions that were open when reading began are waited for{which}",
            fix="nothing to do if they end soon; else let the department's DBA look at that process",
        )


def _write(connection: psycopg.Connection[Any], statement: sql.Composed) -> None:
    """In a session that else only reads."""
    connection.execute("SET default_transaction_read_only = off")
    try:
        connection.execute(statement)
    finally:
        if not connection.closed:
            connection.execute("SET default_transaction_read_only = on")


def _declared_name(where: str, dataset: str, declared: DatasetSource) -> sql.Identifier:
    if declared.table is None:
        raise SettingInvalid(
            f"{where}: table is missing, and capture log needs it",
            fix=f"add datasets.{dataset}.table to the source file",
        )
    return sql.Identifier(*([declared.schema_name] if declared.schema_name else []), declared.table)
