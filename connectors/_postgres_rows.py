"""Rows of a table in a department's PostgreSQL, read by query, in the form in which its log gives them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import psycopg
from psycopg import sql

from connectors._log_changes import Layout
from connectors._pgoutput import Column, Relation
from connectors._postgres_catalog import Table
from connectors._postgres_values import Values
from connectors._transactions import Snapshot, lsn_number
from connectors.base import Upsert
from connectors.values import joined_key


def cursor(table: Table, key: Sequence[str]) -> sql.Composed:
    """Declares the cursor ``copied`` over the table's rows, in the order of the key."""
    return sql.SQL("DECLARE copied NO SCROLL CURSOR FOR SELECT {} FROM {} ORDER BY {}").format(
        sql.SQL(", ").join(map(sql.Identifier, table.columns)),
        table.quoted,
        sql.SQL(", ").join(map(sql.Identifier, key)),
    )


def described(table: Table, result: Any) -> Relation:
    """The columns of a query of the table, as the log would describe them."""
    columns = tuple(Column(name, result.ftype(index), False) for index, name in enumerate(table.columns))
    return Relation(table.oid, table.schema, table.name, "", columns)


def _values(layout: Layout, result: Any, row: int) -> list[Any]:
    return [
        None if (data := result.get_value(row, index)) is None else decode(data)
        for index, decode in enumerate(layout.decoders)
    ]


def copied(layout: Layout, result: Any, row: int, end: str) -> Upsert:
    """A row of a first copy; ``end``: where in the log all that the copy saw had committed."""
    values = _values(layout, result, row)
    return Upsert(layout.key(values), dict(zip(layout.names, values, strict=True)), f"{end}/copy")


def rows_now(
    connection: psycopg.Connection[Any], values: Values, layout: Layout, keys: Sequence[Sequence[str]]
) -> dict[str, dict[str, Any]]:
    """The rows with these keys as they are now, by record key."""
    columns = [layout.relation.columns[index] for index, _ in layout.keys]
    types = [connection.execute("SELECT format_type(%s, -1)", (column.type_oid,)).fetchone() for column in columns]
    parts = range(len(columns))
    query = sql.SQL("SELECT t.* FROM unnest({}) AS wanted({}) JOIN {} t ON {}").format(
        sql.SQL(", ").join([sql.SQL("%s::text[]")] * len(columns)),
        sql.SQL(", ").join(sql.Identifier(f"k{part}") for part in parts),
        sql.Identifier(layout.relation.schema, layout.relation.table),
        sql.SQL(" AND ").join(
            sql.SQL("t.{} = wanted.{}::{}").format(
                sql.Identifier(columns[part].name), sql.Identifier(f"k{part}"), sql.SQL((types[part] or ("text",))[0])
            )
            for part in parts
        ),
    )
    result = connection.execute(query, [list(texts) for texts in zip(*keys, strict=True)]).pgresult
    assert result is not None
    names = [(result.fname(index) or b"").decode() for index in range(result.nfields)]
    found = {}
    for row in range(result.ntuples):
        record = {
            name: None if (data := result.get_value(row, index)) is None else values.decoder(result.ftype(index))(data)
            for index, name in enumerate(names)
        }
        found[joined_key([part(record[layout.names[index]]) for index, part in layout.keys])] = record
    return found


def oldest_open(connection: psycopg.Connection[Any]) -> int:
    """All transactions before this one have ended."""
    row = connection.execute("SELECT pg_current_snapshot()::text").fetchone()
    assert row is not None
    return Snapshot.parse(row[0]).xmin


def next_transaction(connection: psycopg.Connection[Any]) -> int:
    """All transactions that are open now are before this one. (A snapshot's xmax is not: it leaves out the newest.)"""
    row = connection.execute("SELECT pg_current_xact_id()::text").fetchone()
    assert row is not None
    return int(row[0])


def end_of_log(connection: psycopg.Connection[Any]) -> int:
    """Up to where the server's log is written down."""
    row = connection.execute("SELECT pg_current_wal_flush_lsn()::text").fetchone()
    assert row is not None
    return lsn_number(row[0])
