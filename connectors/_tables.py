"""Tables that a source file declares: found in the database, read behind a row, and how a person finds a row in them."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import URL, Engine
from sqlalchemy.exc import NoSuchTableError, SQLAlchemyError

from connectors._dialects import MYSQL
from connectors.base import Finding
from connectors.values import declared_columns
from contracts.citizen import masked
from contracts.errors import ColumnMissing, OneWindowError, SettingInvalid, TableMissing
from contracts.sources import DatasetSource, Source


def table_name(declared: DatasetSource) -> str:
    """The name of a dataset's table, with its schema where one is declared."""
    return f"{declared.schema_name}.{declared.table}" if declared.schema_name else str(declared.table)


def declared_table(engine: Engine, source: Source, dataset: str, columns: Sequence[str] = ()) -> sa.Table:
    """The table of a dataset as it is now, which has these columns and all that are declared.

    Raises SettingInvalid, TableMissing, ColumnMissing; SQLAlchemy's errors pass unchanged.
    """
    declared, user = source.datasets[dataset], engine.url.username
    if declared.table is None:
        raise SettingInvalid(
            f"{source.system}.{dataset}: table is missing, and kind {source.connector.kind} needs it",
            fix=f"add datasets.{dataset}.table to the source file",
        )
    try:
        table = sa.Table(declared.table, sa.MetaData(), schema=declared.schema_name, autoload_with=engine,
                         resolve_fks=False)  # fmt: skip
    except NoSuchTableError as error:
        unseen = f", or the login {user} can't see it" if user else ""
        raise TableMissing(
            f"{source.system}: there is no table {table_name(declared)}{unseen}",
            fix=f"correct table and schema_name of datasets.{dataset}, or let the department's DBA grant the login SELECT",
        ) from error
    for name in [*columns, *declared_columns(declared)]:
        if name not in table.c:
            raise ColumnMissing(
                f"{source.system}: {table_name(declared)} has no column {name}; it has {', '.join(table.c.keys())}",
                fix=f"correct datasets.{dataset}, or let the department add the column",
            )
    return table


def checked(
    engine: Engine,
    url: URL,
    source: Source,
    check: Callable[[str, str], Iterator[Finding]],
    known: Callable[[str | None, SQLAlchemyError], OneWindowError],
) -> Iterator[Finding]:
    """Reach the database, then ``check`` each dataset by its subject and name; what that raises is a finding. ``known``: what an
    error of the driver means, of this dataset or of none."""
    try:
        with engine.connect() as connection:
            connection.execute(sa.select(sa.literal(1)))
    except SQLAlchemyError as error:
        meant = known(None, error)
        yield Finding("fail", source.system, str(meant), meant)
        return
    yield Finding("ok", source.system, f"{url.set(query={}).render_as_string(hide_password=True)} answers")
    for dataset in source.datasets:
        subject = f"{source.system}.{dataset}"
        try:
            yield from check(subject, dataset)
        except SQLAlchemyError as error:
            meant = known(dataset, error)
            yield Finding("fail", subject, str(meant), meant)
        except OneWindowError as error:
            yield Finding("fail", subject, str(error), error)


def is_unique(engine: Engine, table: sa.Table, names: Collection[str]) -> bool:
    """Whether a primary key or unique index makes these columns together unique."""
    inspector = sa.inspect(engine)
    primary = inspector.get_pk_constraint(table.name, schema=table.schema)["constrained_columns"]
    indexes = inspector.get_indexes(table.name, schema=table.schema)
    unique: list[list[Any]] = [primary, *(index["column_names"] for index in indexes if index["unique"])]
    return any(columns and set(columns) <= {*names} for columns in unique)


def leads_an_index(engine: Engine, table: sa.Table, name: str) -> bool:
    """Whether an index begins with this column."""
    indexes = sa.inspect(engine).get_indexes(table.name, schema=table.schema)
    return any(index["column_names"][:1] == [name] for index in indexes)


def place(table: sa.Table, keys: Sequence[sa.Column[Any]], key: Sequence[Any]) -> str:
    """Where the department finds the row: table and key, ID numbers in it masked."""
    named = " ".join(f"{column.name}={masked(str(value))}" for column, value in zip(keys, key, strict=True))
    return f"{table.fullname} {named}".encode(errors="replace").decode()


def later_than(dialect: str, columns: Sequence[sa.Column[Any]], last: Sequence[Any]) -> sa.ColumnElement[bool]:
    """(columns) > (last): as a row comparison where the database uses its index for it, else spelled out."""
    values = [bound(dialect, column, value) for column, value in zip(columns, last, strict=True)]
    if dialect in ("postgresql", "sqlite"):
        return sa.tuple_(*columns) > sa.tuple_(*values)
    return spelled_out(columns, values)


def bound(dialect: str, column: sa.Column[Any], value: Any) -> sa.ColumnElement[Any]:
    """A stored value for comparison with its column: given as text, and made the column's type by the database."""
    if dialect == "sqlite" or isinstance(column.type, sa.types.NullType):
        return sa.literal(value)
    if dialect in MYSQL and isinstance(column.type, sa.String):
        return sa.literal(value)  # compared as what the column is; a cast would cut off fractions of a second
    if isinstance(value, str):
        return sa.cast(sa.literal(value, sa.Text), column.type)
    return sa.literal(value, column.type)


def spelled_out(columns: Sequence[Any], values: Sequence[Any]) -> sa.ColumnElement[bool]:
    """``(a, b, c) > (x, y, z)`` for databases without row comparison: a > x or (a = x and (b > y or ...)).

    ``a >= x`` stands before it, so that an index on ``a`` is used.
    """
    later: sa.ColumnElement[bool] = columns[-1] > values[-1]
    for column, value in zip(reversed(columns[:-1]), reversed(values[:-1]), strict=True):
        later = sa.or_(column > value, sa.and_(column == value, later))
    return sa.and_(columns[0] >= values[0], later)
