"""What a database holds, looked at gently: names and columns of its tables, and a few rows of one; nothing is counted.

Rows come as reading would give them, so that what is found out from a sample holds for all that follows.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Engine

from connectors._dialects import iso, raw_temporal
from connectors.base import Dataset
from connectors.values import json_value


def temporal_as_text(dialect: str, table: sa.Table) -> frozenset[str]:
    """The columns of a table that hold points in time. Those that must come as the text that is stored are set to it."""
    temporal = frozenset(c.name for c in table.c if isinstance(c.type, (sa.DateTime, sa.Date, sa.Time, sa.Interval)))
    for column in table.c:
        if raw_temporal(dialect, column):
            column.type = sa.String()
    return temporal


def as_record(names: Sequence[str], values: Sequence[Any], temporal: frozenset[str]) -> dict[str, Any]:
    """A row as JSON values under its column names."""
    return {
        name: iso(value) if name in temporal else json_value(value) for name, value in zip(names, values, strict=True)
    }


def outline(engine: Engine, schemas: Iterable[str | None]) -> Iterator[Dataset]:
    """Tables and views of these schemas (None: the default one), without a number of rows."""
    inspector = sa.inspect(engine)
    for schema in dict.fromkeys(schemas):
        names = [*inspector.get_table_names(schema=schema), *inspector.get_view_names(schema=schema)]
        for name in sorted(names):
            columns = {column["name"]: str(column["type"]) for column in inspector.get_columns(name, schema=schema)}
            key = inspector.get_pk_constraint(name, schema=schema)["constrained_columns"]
            yield Dataset(f"{schema}.{name}" if schema else name, columns, tuple(key))


def sample(engine: Engine, name: str, rows: int) -> list[dict[str, Any]]:
    """Up to so many rows of a table, whichever the database gives first."""
    schema, _, bare = name.rpartition(".")
    table = sa.Table(bare, sa.MetaData(), schema=schema or None, autoload_with=engine, resolve_fks=False)
    temporal = temporal_as_text(engine.dialect.name, table)
    with engine.connect() as connection:
        found = connection.execute(sa.select(table).limit(rows)).all()
    names = [column.name for column in table.columns]
    return [as_record(names, values, temporal) for values in found]
