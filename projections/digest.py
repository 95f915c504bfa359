"""A digest of tables that is the same wherever the same rows lie, and another as soon as one cell differs.

Each row becomes one line of JSON: an array of its declared columns, flags as 0 and 1, JSON columns as their text. The
lines, in the order of the primary key, go through SHA-256.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from typing import Any, TypedDict, cast

import msgspec
import sqlalchemy as sa

from projections import bulk
from projections.tables import VIEW, declared

_CHUNK_ROWS = 2_000
_encoder = msgspec.json.Encoder(order="deterministic")


class TableDigest(TypedDict):
    """The digest of a table, as hexadecimal, and its rows."""

    rows: int
    digest: str


def chunks(view: sa.Connection, table: sa.Table) -> Iterator[list[bulk.Row]]:
    """The declared columns of all rows in the order of the primary key, a bounded number at a time.

    Flags come as 0 and 1, JSON as text. The transaction is the caller's.
    """
    postgresql = bulk.is_postgresql(view)

    def cell(column: sa.Column[Any]) -> str:
        if postgresql and isinstance(column.type, sa.Boolean):
            return f'"{column.name}"::int'
        if postgresql and isinstance(column.type, sa.JSON):
            return f'"{column.name}"::text'
        return f'"{column.name}"'

    cells = ", ".join(cell(column) for column in declared(table))
    order = ", ".join(f'"{column.name}"' for column in table.primary_key.columns)
    # The driver's own cursor: SQLAlchemy's result would take the first rows of a server-side one into a buffer of its own.
    connection = view.connection.driver_connection
    assert connection is not None
    cursor = connection.cursor(name=f"rows_of_{table.name}") if postgresql else connection.cursor()
    try:
        cursor.execute(f'SELECT {cells} FROM "{table.name}" ORDER BY {order}')  # noqa: S608 - names of our own
        while rows := cursor.fetchmany(_CHUNK_ROWS):
            yield cast(list[bulk.Row], rows)
    finally:
        cursor.close()


def digest(view: sa.Connection, tables: Sequence[sa.Table] = VIEW) -> dict[str, TableDigest]:
    """The digest of each table, within one transaction of the caller's."""
    found: dict[str, TableDigest] = {}
    for table in tables:
        hashed = hashlib.sha256()
        count = 0
        for rows in chunks(view, table):
            count += len(rows)
            hashed.update(_encoder.encode_lines(rows))
        found[table.name] = {"rows": count, "digest": hashed.hexdigest()}
    return found


def overall(digests: dict[str, TableDigest]) -> str:
    """One digest for all of them."""
    return hashlib.sha256(_encoder.encode(digests)).hexdigest()
