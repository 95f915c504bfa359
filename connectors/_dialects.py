"""What differs between databases: connections that can't do harm, the source's clock, row estimates, error messages.

Values that stand for points in time are read as the text that the database writes, so that they can be given back to it
unchanged; ``iso`` makes ISO 8601 of them.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import quote

import sqlalchemy as sa
from sqlalchemy import event
from sqlalchemy.engine import URL, Engine
from sqlalchemy.exc import ArgumentError, DBAPIError, ProgrammingError, SQLAlchemyError

from contracts.errors import (
    ColumnMissing,
    OneWindowError,
    PrivilegeMissing,
    SettingInvalid,
    SourceRefused,
    SourceUnreachable,
    TableMissing,
)

_POSTGRES_SETUP = (
    "SET default_transaction_read_only = on",
    "SET TimeZone = 'UTC'",
    "SET DateStyle = 'ISO'",
    "SET IntervalStyle = 'iso_8601'",
    "SET statement_timeout = '300s'",
    "SET lock_timeout = '5s'",
    "SET idle_in_transaction_session_timeout = '60s'",
)
MYSQL = ("mysql", "mariadb")
_MYSQL_SETUP = ("SET SESSION TRANSACTION READ ONLY", "SET SESSION lock_wait_timeout = 5")
# What MySQL and MariaDB number, in PostgreSQL's words: no privilege, no table, no column, no login, no database.
_MYSQL_STATES = {
    1142: "42501",
    1143: "42501",
    1146: "42P01",
    1054: "42703",
    1045: "28000",
    1698: "28000",
    1044: "3D000",
}
_TEMPORAL = ("date", "time", "timetz", "timestamp", "timestamptz", "interval")
# The server answered, but only for the moment not: it starts, stops, recovers, or has no connection left. libpq gives no
# SQLSTATE for a refused connection, and the server may speak Chinese.
_FOR_NOW = re.compile(
    r"starting up|shutting down|recovery|too many|remaining connection slots|正在启动|正在关闭|恢复|太多|保留的连接",
    re.IGNORECASE,
)
_REFUSED = re.compile(r"FATAL|致命错误|file is not a database|Access denied|Unknown database", re.IGNORECASE)


def database_url(text: str, *, system: str) -> URL:
    """The URL of a source file. Raises SettingInvalid where it is none, or its password was taken apart."""
    try:
        url = sa.make_url(text)
    except (ArgumentError, ValueError) as error:
        raise SettingInvalid(
            f"{system}: connector.url is not the URL of a database ({type(error).__name__})",
            fix="write it as postgresql+psycopg://USER@HOST/DATABASE",
        ) from None  # the error of a port shows what stands in its place
    if "@" in (url.host or ""):
        raise SettingInvalid(
            f"{system}: the host in connector.url has an @ in it, so it begins within user or password",
            fix="write %40 for each @ in user and password, or put the password into connector.password_file",
        )
    return url


_Prepare = Callable[[Any, Any], None]
"""Makes a new connection of a driver ready."""


def engine(url: URL, *, connections: int) -> Engine:
    """An engine whose connections only read, commit nothing and wait for nobody long."""
    prepared = {"sqlite": _prepare_sqlite, "pymysql": _prepare_mysql, "psycopg": prepare_postgres}
    return _made(url, connections, prepared, isolation_level="AUTOCOMMIT")


def writing_engine(url: URL, *, connections: int) -> Engine:
    """An engine whose transactions may write and wait for nobody long; values come as with ``engine``."""
    made = _made(url, connections, {
        "sqlite": _prepare_sqlite_to_write, "pymysql": _prepare_mysql_to_write, "psycopg": _prepare_postgres_to_write,
    })  # fmt: skip
    if url.get_backend_name() == "sqlite":
        event.listen(made, "begin", _begin_immediate)
    return made


def _made(url: URL, connections: int, prepared: Mapping[str, _Prepare], **options: Any) -> Engine:
    """``prepared``: what makes a connection ready, by driver."""
    is_sqlite = url.get_backend_name() == "sqlite"
    if is_sqlite:  # opened for each statement: the file may be replaced by another
        made = sa.create_engine(_existing(url), poolclass=sa.NullPool, hide_parameters=True, **options)
    else:
        made = _server_engine(url, connections, {"hide_parameters": True, **options})
    prepare = prepared.get("sqlite" if is_sqlite else url.get_driver_name())
    if prepare is not None and (url.get_driver_name() != "psycopg" or url.get_backend_name() == "postgresql"):
        event.listen(made, "connect", prepare)
    return made


def _server_engine(url: URL, connections: int, options: dict[str, Any]) -> Engine:
    options |= {
        "pool_pre_ping": True,
        "pool_size": connections,
        "max_overflow": 1,
        "pool_recycle": 600,
        "pool_timeout": 30,
    }
    if url.get_backend_name() == "postgresql":
        options["connect_args"] = {"connect_timeout": 10, "keepalives_idle": 30, "application_name": "onewindow"}
    if url.get_driver_name() == "pymysql":
        options["connect_args"] = _mysql_arguments()
    return sa.create_engine(url, **options)


def _existing(url: URL) -> URL:
    """SQLite would make a file that is not there, and an empty database of it."""
    if url.database in (None, "", ":memory:") or url.database.startswith("file:"):
        return url
    path = quote(str(Path(url.database).absolute()))
    return url.set(database=f"file:{path}", query={**url.query, "mode": "rw", "uri": "true"})


def _prepare_sqlite(connection: Any, _record: Any) -> None:
    connection.execute("PRAGMA query_only = ON")
    connection.execute("PRAGMA busy_timeout = 5000")
    connection.text_factory = lambda data: data.decode("utf-8", "replace")  # a damaged text must not stop the page


def _prepare_sqlite_to_write(connection: Any, _record: Any) -> None:
    connection.isolation_level = None  # the driver begins none of its own: ``_begin_immediate`` does
    connection.execute("PRAGMA busy_timeout = 5000")
    connection.text_factory = lambda data: data.decode("utf-8", "replace")


def _begin_immediate(connection: sa.Connection) -> None:
    """One that began by reading would fail when it writes, where another has written meanwhile."""
    connection.exec_driver_sql("BEGIN IMMEDIATE")


def prepare_postgres(connection: Any, _record: Any) -> None:
    """Let a session of psycopg only read, and give points in time as text."""
    from psycopg.types.string import TextLoader

    for name in _TEMPORAL:
        connection.adapters.register_loader(name, TextLoader)  # also infinity and years that Python lacks
    autocommit, connection.autocommit = connection.autocommit, True
    for statement in _POSTGRES_SETUP:
        connection.execute(statement)
    connection.autocommit = autocommit


def _prepare_postgres_to_write(connection: Any, record: Any) -> None:
    prepare_postgres(connection, record)
    autocommit, connection.autocommit = connection.autocommit, True
    connection.execute("SET default_transaction_read_only = off")
    connection.autocommit = autocommit


def _mysql_arguments() -> dict[str, Any]:
    from pymysql.constants import FIELD_TYPE
    from pymysql.converters import conversions

    temporal = (FIELD_TYPE.DATE, FIELD_TYPE.NEWDATE, FIELD_TYPE.TIME, FIELD_TYPE.DATETIME, FIELD_TYPE.TIMESTAMP)
    as_text = {kind: decode for kind, decode in conversions.items() if kind not in temporal}  # also 0000-00-00
    return {"connect_timeout": 10, "read_timeout": 300, "conv": as_text}


def _prepare_mysql(connection: Any, _record: Any) -> None:
    with connection.cursor() as cursor:
        for statement in _MYSQL_SETUP:
            cursor.execute(statement)


def _prepare_mysql_to_write(connection: Any, _record: Any) -> None:
    with connection.cursor() as cursor:
        cursor.execute("SET SESSION innodb_lock_wait_timeout = 5")
        cursor.execute("SET SESSION lock_wait_timeout = 5")


def raw_temporal(dialect: str, column: sa.Column[Any]) -> bool:
    """Whether the column's type must be set aside for its values to come as the text that is stored."""
    return dialect in ("sqlite", *MYSQL) and isinstance(column.type, (sa.DateTime, sa.Date, sa.Time))


def clock_query(dialect: str, kind: str) -> sa.Select[Any]:
    """A query for the source's clock, in the form of a cursor of this kind."""
    if dialect == "postgresql":
        zone = sa.select(sa.text("reset_val")).select_from(sa.text("pg_settings")).where(sa.text("name = 'TimeZone'"))
        now: Any = sa.func.clock_timestamp()
        return sa.select(now if kind == "instant" else sa.func.timezone(zone.scalar_subquery(), now))
    if dialect == "sqlite":
        return sa.select(sa.func.strftime("%Y-%m-%d %H:%M:%f", "now", "localtime"))
    if dialect in MYSQL:
        return sa.select(sa.cast(sa.text("now(6)"), sa.String(40)))
    return sa.select(sa.cast(sa.func.current_timestamp(), sa.String(40)))


def server(connection: sa.Connection) -> str | None:
    """Which server answers, and which of its histories: PostgreSQL's system identifier and timeline; None where it can't be
    told."""
    if connection.dialect.name != "postgresql":
        return None
    query = "SELECT system_identifier || '/' || timeline_id FROM pg_control_system(), pg_control_checkpoint()"
    try:
        return str(connection.scalar(sa.text(query)))
    except ProgrammingError:  # the login may not, or another database that speaks PostgreSQL's protocol
        return None


def estimated_rows(connection: sa.Connection, table: sa.Table) -> int:
    """How many rows a table has: the planner's estimate where there is one, else a count."""
    if connection.dialect.name == "postgresql":
        name = connection.dialect.identifier_preparer.format_table(table)
        estimate = connection.scalar(
            sa.text("SELECT reltuples FROM pg_class WHERE oid = to_regclass(:name)"), {"name": name}
        )
        if estimate is not None and estimate > 0:
            return int(estimate)
    return int(connection.scalar(sa.select(sa.func.count()).select_from(table)) or 0)


def moment(text: Any) -> datetime | None:
    """The point in time that a database's text stands for, aware in UTC or naive; None for infinity and the like."""
    try:
        at = datetime.fromisoformat(str(text))
    except ValueError:
        return None
    return at.astimezone(UTC) if at.tzinfo else at


_STAMP = re.compile(r"(\d{4,}-\d\d-\d\d) (\d\d:\d\d(?::\d\d(?:\.\d+)?)?)(?:([+-]\d\d)(:?\d\d)?)?")


def iso(text: Any) -> Any:
    """A database's text for a date and time as ISO 8601; anything else unchanged."""
    if not isinstance(text, str) or (found := _STAMP.fullmatch(text)) is None:
        return text
    day, clock, hours, minutes = found.groups()
    return f"{day}T{clock}" + (f"{hours}:{(minutes or '00').lstrip(':')}" if hours else "")


def known_error(
    error: SQLAlchemyError, *, system: str, table: str, user: str | None, url: URL | None = None
) -> OneWindowError:
    """The error of ours that a database error amounts to; the message shows no value, and no secret of ``url``."""
    cause = getattr(error, "orig", None) if isinstance(error, DBAPIError) else None
    number: Any = next(iter(getattr(cause, "args", ())), None)
    state = _MYSQL_STATES.get(number) or getattr(cause, "sqlstate", None) or ""
    text = _without_secrets(_first_line(cause or error), url)[:300]
    if state == "42501" or "permission denied" in text:
        schema = table.rpartition(".")[0]
        usage = f"GRANT USAGE ON SCHEMA {schema} TO {user}; " if schema else ""
        return PrivilegeMissing(
            f"{system}: the login {user} may not read {table} ({text})",
            fix=f"let the department's DBA run: {usage}GRANT SELECT ON {table} TO {user};",
        )
    if state == "42P01" or "no such table" in text:
        return TableMissing(
            f"{system}: there is no table {table}, or the login {user} can't see it",
            fix="correct table and schema_name in the source file, or let the department's DBA grant the login SELECT",
        )
    if state == "42703" or "no such column" in text:
        return ColumnMissing(
            f"{system}: a column of {table} is gone ({text})",
            fix="compare key, cursor and map in the source file with the columns that the table has now",
        )
    if state[:2] in ("28", "3D") or (not _FOR_NOW.search(text) and _REFUSED.search(text)):
        return SourceRefused(
            f"{system}: the database refuses the login {user} ({text})",
            fix="correct user and database in connector.url, and the password in connector.password_file",
        )
    return SourceUnreachable(
        f"{system}: the database does not answer ({text})",
        fix="check that it runs and that host and port in connector.url are right; it is tried again meanwhile",
    )


def _first_line(error: BaseException) -> str:
    text = str(error).strip() or type(error).__name__
    return re.sub(r"password=\S+", "password=***", text.splitlines()[0])


def _without_secrets(text: str, url: URL | None) -> str:
    """A driver's text without the password, also where the driver shows a piece of it as something else."""
    for secret in sorted(_secrets(url) if url is not None else (), key=len, reverse=True):
        pattern = re.escape(secret) if len(secret) > 3 else rf"(?<!\w){re.escape(secret)}(?!\w)"
        text = re.sub(pattern, "***", text)
    return text


def _secrets(url: URL) -> set[str]:
    """The passwords in a URL, their pieces, and all of them as they are written in a URL."""
    given = [url.password, *(value for name, value in url.query.items() if "password" in name)]
    whole = [str(value) for value in given if value]
    pieces = {piece for one in whole for piece in (one, *re.split(r"[@:/?#\s]", one)) if piece}
    return pieces | {quote(piece, safe="") for piece in pieces}
