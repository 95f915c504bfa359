# ruff: noqa: S608 - SQL is made of the names of our own tables and columns; values are always parameters
"""Many rows at once, in the form that is fast on each database; the only place that knows two dialects of SQL.

SQLite takes tuples through ``executemany``. PostgreSQL takes a whole batch as one JSON parameter, which
``json_to_recordset`` takes apart: psycopg would spend more on turning values into text one by one than the server on
writing them (10,000 against 30,000 rows/s, measured once).

Statements go to PostgreSQL through the driver's own cursors, and what need not wait for an answer does not (``together``,
``find_all``): most of the time of a small batch is spent waiting for answers.

A row is a tuple in the order of the named columns. A JSON column holds canonical JSON text, and is read as text.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cache
from typing import Any, NamedTuple, cast

import msgspec
import psycopg
import sqlalchemy as sa

Row = tuple[Any, ...]

_encode = msgspec.json.Encoder().encode
_TYPES: tuple[tuple[type[Any], str], ...] = (
    (sa.JSON, "json"),
    (sa.Boolean, "boolean"),
    (sa.BigInteger, "bigint"),
    (sa.Integer, "integer"),
    (sa.Text, "text"),
)


class Collision(Exception):
    """Another transaction inserted one of these keys meanwhile. Nothing may be kept of this one; try it again."""


def _names(columns: Sequence[sa.Column[Any]]) -> str:
    return ", ".join(f'"{column.name}"' for column in columns)


def _type(column: sa.Column[Any]) -> str:
    return next(name for kind, name in _TYPES if isinstance(column.type, kind))


def _keys(table: sa.Table) -> list[sa.Column[Any]]:
    return list(table.primary_key.columns)


def is_postgresql(connection: sa.Connection) -> bool:
    """Whether rows go in as JSON."""
    return connection.dialect.name == "postgresql"


def _recordset(columns: Sequence[sa.Column[Any]]) -> str:
    typed = ", ".join(f'"{column.name}" {_type(column)}' for column in columns)
    return f"json_to_recordset(%s::json) AS r({typed})"


@cache
def _shape(columns: tuple[sa.Column[Any], ...]) -> tuple[Callable[..., Any], list[int]]:
    """Makes the JSON object of a row, which costs a third of a dict; and where its JSON columns are."""
    fields = [(f"c{index}", Any) for index in range(len(columns))]
    names = {field: str(column.name) for (field, _), column in zip(fields, columns, strict=True)}
    raw = [index for index, column in enumerate(columns) if isinstance(column.type, sa.JSON)]
    return msgspec.defstruct("Row", fields, rename=names, gc=False), raw


def _document(columns: Sequence[sa.Column[Any]], rows: Sequence[Row]) -> str:
    """The rows as one JSON array of objects; JSON columns go in as they are."""
    shape, raw = _shape(tuple(columns))
    if not raw:
        return _encode([shape(*row) for row in rows]).decode()
    objects = []
    for row in rows:
        cells = list(row)
        for index in raw:
            cells[index] = msgspec.Raw(cells[index])
        objects.append(shape(*cells))
    return _encode(objects).decode()


def _send(
    connection: sa.Connection, sql: str, columns: Sequence[sa.Column[Any]], rows: Sequence[Row], *, all_new: str = ""
) -> None:
    """Run a statement of one JSON parameter (PostgreSQL) or one that runs for each row (SQLite).

    ``all_new``: the table where it must have written as many rows as it was given. Raises Collision where it has not.
    """
    if not is_postgresql(connection):
        written = connection.exec_driver_sql(sql, rows if isinstance(rows, list) else list(rows)).rowcount
        if all_new and written != len(rows):
            raise Collision(all_new)
        return
    sent = _Sent(_driver(connection).execute(sql, (_document(columns, rows),)), len(rows), all_new)
    waiting: list[_Sent] | None = connection.info.get(_TOGETHER)
    if waiting is None:
        sent.check()
    else:
        waiting.append(sent)


_TOGETHER = "statements under way"


class _Sent(NamedTuple):
    cursor: psycopg.Cursor[Any]
    rows: int
    all_new: str

    def check(self) -> None:
        if self.all_new and self.cursor.rowcount != self.rows:
            raise Collision(self.all_new)


def _driver(connection: sa.Connection) -> psycopg.Connection[Any]:
    return cast("psycopg.Connection[Any]", connection.connection.driver_connection)


@contextmanager
def together(connection: sa.Connection) -> Iterator[None]:
    """What is written within goes to PostgreSQL without waiting for the answers; they are looked at where this is left.

    Raises there what the statements would have raised.
    """
    if not is_postgresql(connection):
        yield
        return
    waiting = connection.info[_TOGETHER] = []
    try:
        with _driver(connection).pipeline():
            yield
    finally:
        del connection.info[_TOGETHER]
    for sent in waiting:
        sent.check()


@cache
def _insert(table: sa.Table, postgresql: bool) -> str:
    columns = list(table.columns)
    # Sorted, so that two transactions that insert the same keys wait for each other in one order; SQLite has one writer.
    source = (
        f"SELECT {_names(columns)} FROM {_recordset(columns)} ORDER BY {_names(_keys(table))}"
        if postgresql
        else f"VALUES ({', '.join('?' * len(columns))})"
    )
    return f'INSERT INTO "{table.name}" ({_names(columns)}) {source} ON CONFLICT DO NOTHING'


def insert(connection: sa.Connection, table: sa.Table, rows: Sequence[Row]) -> None:
    """Insert rows whose keys were not there when this transaction looked.

    Raises Collision when one is there now.
    """
    if rows:
        sql = _insert(table, is_postgresql(connection))
        _send(connection, sql, list(table.columns), rows, all_new=table.name)


def ensure(connection: sa.Connection, table: sa.Table, rows: Sequence[Row]) -> None:
    """Insert those rows whose keys are not there, in the order of their keys; waits for a transaction that inserts one too."""
    if rows:
        _send(connection, _insert(table, is_postgresql(connection)), list(table.columns), rows)


@cache
def _upsert(table: sa.Table, postgresql: bool, add: bool) -> str:
    columns, keys = list(table.columns), _keys(table)
    rest = [column for column in columns if not column.primary_key]
    form = '"{1}" = "{0}"."{1}" + excluded."{1}"' if add else '"{1}" = excluded."{1}"'
    sets = ", ".join(form.format(table.name, column.name) for column in rest)
    source = (
        f"SELECT {_names(columns)} FROM {_recordset(columns)} ORDER BY {_names(keys)}"
        if postgresql
        else f"VALUES ({', '.join('?' * len(columns))})"
    )
    return f'INSERT INTO "{table.name}" ({_names(columns)}) {source} ON CONFLICT ({_names(keys)}) DO UPDATE SET {sets}'


def upsert(connection: sa.Connection, table: sa.Table, rows: Sequence[Row]) -> None:
    """Insert rows, or replace those with their keys. A key stands once in ``rows``."""
    if rows:
        _send(connection, _upsert(table, is_postgresql(connection), add=False), list(table.columns), rows)


def add(connection: sa.Connection, table: sa.Table, rows: Sequence[Row]) -> None:
    """Add to the numbers of rows, in the order of their keys; a row that is missing counts as zeros."""
    if rows:
        _send(connection, _upsert(table, is_postgresql(connection), add=True), list(table.columns), rows)


@cache
def _update(table: sa.Table, names: tuple[str, ...], postgresql: bool) -> str:
    keys = _keys(table)
    if postgresql:
        columns = [*keys, *(table.c[name] for name in names)]
        sets = ", ".join(f'"{name}" = r."{name}"' for name in names)
        where = " AND ".join(f't."{key.name}" = r."{key.name}"' for key in keys)
        return f'UPDATE "{table.name}" AS t SET {sets} FROM {_recordset(columns)} WHERE {where}'
    sets = ", ".join(f'"{name}" = ?{len(keys) + index}' for index, name in enumerate(names, start=1))
    where = " AND ".join(f'"{key.name}" = ?{index}' for index, key in enumerate(keys, start=1))
    return f'UPDATE "{table.name}" SET {sets} WHERE {where}'


def update(connection: sa.Connection, table: sa.Table, names: tuple[str, ...], rows: Sequence[Row]) -> None:
    """Set the named columns of rows that are there. A row is its key, then the new values."""
    if rows:
        columns = [*_keys(table), *(table.c[name] for name in names)]
        _send(connection, _update(table, names, is_postgresql(connection)), columns, rows)


@cache
def _delete(table: sa.Table, postgresql: bool, condition: str) -> str:
    keys = _keys(table)
    if postgresql:
        where = f"({_names(keys)}) IN (SELECT {_names(keys)} FROM {_recordset(keys)})"
    else:
        where = " AND ".join(f'"{key.name}" = ?' for key in keys)
    return f'DELETE FROM "{table.name}" WHERE {" AND ".join([where, *([condition] if condition else [])])}'


def delete(connection: sa.Connection, table: sa.Table, keys: Sequence[Row], condition: str = "") -> None:
    """Delete the rows with these keys, if they are there and ``condition``, plain SQL, holds for them."""
    if keys:
        _send(connection, _delete(table, is_postgresql(connection), condition), _keys(table), keys)


def replace(connection: sa.Connection, table: sa.Table, source: str) -> None:
    """Make the table's rows those of its namesake in schema ``source``; rows that are the same are not touched."""
    names = [column.name for column in table.columns]
    text = {column.name for column in table.columns if isinstance(column.type, sa.JSON) and is_postgresql(connection)}
    keys = [column.name for column in _keys(table)]
    rest = [name for name in names if name not in keys]
    same = " AND ".join(f't."{name}" = n."{name}"' for name in keys)
    unlike = "IS DISTINCT FROM" if is_postgresql(connection) else "IS NOT"
    differs = " OR ".join(
        f't."{name}"::text {unlike} n."{name}"::text' if name in text else f't."{name}" {unlike} n."{name}"'
        for name in names
    )
    cells = ", ".join(f'n."{name}"' for name in names)
    sets = ", ".join(f'"{name}" = excluded."{name}"' for name in rest)
    connection.exec_driver_sql(
        f'DELETE FROM "{table.name}" AS t WHERE NOT EXISTS (SELECT 1 FROM "{source}"."{table.name}" AS n WHERE {same})'
    )
    connection.exec_driver_sql(
        f'INSERT INTO "{table.name}" ({_names(list(table.columns))}) SELECT {cells} FROM "{source}"."{table.name}" AS n '
        f'LEFT JOIN "{table.name}" AS t ON {same} WHERE {differs} '
        f"ON CONFLICT ({_names(_keys(table))}) DO UPDATE SET {sets}"
    )


class Find(NamedTuple):
    """Rows to look for: the columns ``names`` of those whose ``key`` is among these and whose ``equal`` columns have these
    values, and for which ``condition``, plain SQL, holds.

    ``lock``: they are locked in the order of ``key`` until the transaction ends. SQLite has one writer, which this is.
    """

    table: sa.Table
    names: tuple[str, ...]
    key: str
    among: Sequence[str | int]
    equal: Mapping[str, str] = {}
    condition: str = ""
    lock: bool = False


@cache
def _find(
    table: sa.Table,
    names: tuple[str, ...],
    key: str,
    equal: tuple[str, ...],
    condition: str,
    lock: bool,
    postgresql: bool,
) -> str:
    if postgresql:
        return _find_each(table, names, key, equal, condition=condition, lock=lock)
    where = " AND ".join(
        [
            *(f'"{name}" = ?' for name in equal),
            f'"{key}" IN (SELECT value FROM json_each(?))',
            *([condition] if condition else []),
        ]
    )
    cells = ", ".join(f'"{name}"' for name in names)
    return f'SELECT {cells} FROM "{table.name}" WHERE {where}'


def _find_each(
    table: sa.Table, names: tuple[str, ...], key: str, equal: tuple[str, ...], *, condition: str, lock: bool
) -> str:
    """PostgreSQL's form: each key is looked up in the index by itself, in the order of the keys.

    With ``= ANY(array)`` a table without statistics, as a new view's is until autovacuum comes, is planned as if ``equal``
    left a handful of rows: they are all read, and each is compared with the whole array. A subquery with OFFSET or a lock
    is planned on its own, so that no statistics can lead away from the index.
    """
    cells = ", ".join(f'"{name}"::text' if isinstance(table.c[name].type, sa.JSON) else f'"{name}"' for name in names)
    where = " AND ".join(
        [*(f'"{name}" = %s' for name in equal), f'"{key}" = wanted."key"', *([condition] if condition else [])]
    )
    value = f"value::{_type(table.c[key])}"
    keys = f'SELECT DISTINCT {value} AS "key" FROM json_array_elements_text(%s::json) ORDER BY 1 OFFSET 0'
    tail = "FOR UPDATE" if lock else "OFFSET 0"
    return (
        f"SELECT found.* FROM ({keys}) AS wanted CROSS JOIN LATERAL "
        f'(SELECT {cells} FROM "{table.name}" WHERE {where} {tail}) AS found'
    )


def find_all(connection: sa.Connection, finds: Sequence[Find]) -> list[list[Row]]:
    """What each looks for, in their order; PostgreSQL is asked all at once, and looks one after the other."""
    if not is_postgresql(connection):
        return [_find_here(connection, each) for each in finds]
    driver = _driver(connection)
    cursors: list[psycopg.Cursor[Any] | None] = []
    with driver.pipeline():
        for each in finds:
            sql, wanted = _statement(each, postgresql=True)
            cursors.append(driver.execute(sql, (wanted, *each.equal.values())) if each.among else None)
    return [cursor.fetchall() if cursor else [] for cursor in cursors]


def _statement(find: Find, *, postgresql: bool) -> tuple[str, str]:
    sql = _find(find.table, find.names, find.key, tuple(find.equal), find.condition, find.lock, postgresql)
    return sql, _encode(find.among).decode()


def _find_here(connection: sa.Connection, find: Find) -> list[Row]:
    if not find.among:
        return []
    sql, wanted = _statement(find, postgresql=False)
    result = connection.exec_driver_sql(sql, (*find.equal.values(), wanted))
    assert result.cursor is not None
    rows = cast(list[Row], result.cursor.fetchall())  # SQLAlchemy's rows cost as much as the reading
    result.close()
    return rows


def find(connection: sa.Connection, wanted: Find) -> list[Row]:
    """``find_all`` of one."""
    return find_all(connection, [wanted])[0]
