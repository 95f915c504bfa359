"""What log capture needs in a department's database, looked at one by one."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from typing import Any

import psycopg

from connectors._postgres_catalog import Catalog, Slot
from connectors._postgres_sessions import Sessions
from connectors.base import Finding
from connectors.values import declared_columns
from contracts.errors import ColumnMissing, LogCaptureImpossible, OneWindowError, PrivilegeMissing, SourceUnreachable
from contracts.sources import Source

_SERVER = """
SELECT current_setting('wal_level'), current_setting('max_replication_slots')::int,
  (SELECT count(*) FROM pg_replication_slots), pg_is_in_recovery(), current_setting('max_slot_wal_keep_size', true),
  (SELECT rolsuper OR rolreplication FROM pg_roles WHERE rolname = current_user)
"""


def findings(source: Source, sessions: Sessions, catalog: Catalog) -> Iterator[Finding]:
    """Each thing that reading needs, in order, with the fix where it is missing. Changes nothing."""
    try:
        with closing(sessions.open()) as connection:
            yield Finding("ok", source.system, f"{sessions.url.render_as_string(hide_password=True)} answers")
            yield from _server(source, sessions, catalog, connection)
            for dataset in source.datasets:
                yield from _table(source, sessions, catalog, connection, dataset)
    except psycopg.Error as error:
        yield _fail(source.system, sessions.known(error))


def _server(
    source: Source, sessions: Sessions, catalog: Catalog, connection: psycopg.Connection[Any]
) -> Iterator[Finding]:
    row = connection.execute(_SERVER).fetchone()
    assert row is not None
    level, allowed, used, standby, keep_size, may_replicate = row
    subject, user = source.system, sessions.user
    if standby:
        yield _fail(
            subject, SourceUnreachable(f"{subject}: the server is a standby", fix="give connector.url its primary")
        )
        return
    if level == "logical":
        yield Finding("ok", subject, "wal_level is logical")
    else:
        yield _fail(
            subject,
            LogCaptureImpossible(
                f"{subject}: wal_level is {level}, not logical",
                fix="let the department's DBA run: ALTER SYSTEM SET wal_level = 'logical'; and restart the server",
            ),
        )
    if may_replicate:
        yield Finding("ok", subject, f"the login {user} may read the log")
    else:
        yield _fail(
            subject,
            PrivilegeMissing(
                f"{subject}: the login {user} may not read the database's log",
                fix=f"let the department's DBA run: ALTER ROLE {user} REPLICATION;",
            ),
        )
    slot = catalog.slot(connection)
    if slot is not None:
        yield _slot(source, catalog.name, slot)
    elif used < allowed:
        yield Finding("ok", subject, f"{allowed - used} of {allowed} replication slots are free")
    else:
        yield _fail(
            subject,
            LogCaptureImpossible(
                f"{subject}: all {allowed} replication slots of the server are in use",
                fix="let the department's DBA raise max_replication_slots, or drop a slot that nobody reads",
            ),
        )
    if keep_size == "-1":
        yield Finding(
            "warn", subject, "the server keeps its log without limit for a slot that is not read: while OneWindow stands"
            " still, its disk fills; ask for max_slot_wal_keep_size, or set wal_limit_mb",
        )  # fmt: skip


def _slot(source: Source, name: str, slot: Slot) -> Finding:
    kept = slot.retained_bytes >> 20
    read = f"read by process {slot.active_pid}" if slot.active_pid else "not read now"
    text = (
        f"the replication slot {name} is {read}, {slot.status or 'of unknown state'}; the server keeps {kept} MB for it"
    )
    if not slot.usable:
        return Finding("warn", source.system, f"{text}; it can't be gone on with: the datasets will be read anew")
    if kept > source.connector.wal_warn_mb:
        return Finding(
            "warn", source.system, f"{text}, more than wal_warn_mb ({source.connector.wal_warn_mb});"
            " let the department's DBA bound it with max_slot_wal_keep_size",
        )  # fmt: skip
    return Finding("ok", source.system, text)


def _table(
    source: Source, sessions: Sessions, catalog: Catalog, connection: psycopg.Connection[Any], dataset: str
) -> Iterator[Finding]:
    subject, declared = f"{source.system}.{dataset}", source.datasets[dataset]
    try:
        table = catalog.table(connection, dataset, declared, add=False)
    except OneWindowError as error:
        yield _fail(subject, error)
        return
    place = "is in the publication" if table.published else "comes, when reading begins, into the publication"
    yield Finding("ok", subject, f"{table} names its changed rows, and {place} {catalog.name}")
    missing = [column for column in declared_columns(declared) if column not in table.columns]
    if missing:
        yield _fail(
            subject,
            ColumnMissing(
                f"{subject}: {table} has no column {', '.join(missing)}; it has {', '.join(table.columns)}",
                fix=f"correct datasets.{dataset}, or let the department add the column",
            ),
        )
    else:
        yield Finding("ok", subject, f"{table} has the declared columns")
    row = connection.execute("SELECT has_table_privilege(%s::oid, 'SELECT')", (table.oid,)).fetchone()
    if row is not None and row[0]:
        yield Finding("ok", subject, "reading is allowed")
        return
    yield _fail(
        subject,
        PrivilegeMissing(
            f"{subject}: the login {sessions.user} may not read {table}",
            fix=f"let the department's DBA run: GRANT SELECT ON {table} TO {sessions.user};",
        ),
    )


def _fail(subject: str, error: OneWindowError) -> Finding:
    return Finding("fail", subject, str(error), error)
