"""Connections to MySQL and MariaDB that only read, what their errors mean, and what the server says of itself and its log."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple

import pymysql
from sqlalchemy.exc import DBAPIError

from connectors._dialects import MYSQL, database_url, known_error
from contracts.errors import LogCaptureImpossible, OneWindowError, PositionLost, SettingInvalid, TableMissing
from contracts.sources import DatasetSource, Source

_SETUP = "SET SESSION time_zone = '+00:00', SESSION lock_wait_timeout = 5, SESSION TRANSACTION READ ONLY"
_NO_LOG = 1236  # the server can't give the log from there on
_WANTED = {
    "log_bin": ("ON", "set log-bin in the server's configuration, and restart it"),
    "binlog_format": ("ROW", "run: SET GLOBAL binlog_format = 'ROW'; and let the department's programs connect anew"),
    "binlog_row_image": ("FULL", "run: SET GLOBAL binlog_row_image = 'FULL';"),
    "binlog_row_metadata": ("FULL", "run: SET GLOBAL binlog_row_metadata = 'FULL';"),
}


class LogPlace(NamedTuple):
    """A place in the server's log between two transactions; the file names of one server only grow."""

    file: str
    position: int


class Sessions:
    """How to reach one server. Raises SettingInvalid for a URL that it can't work with."""

    def __init__(self, source: Source, password: str | None) -> None:
        self.system = source.system
        url = database_url(source.connector.url or "", system=source.system)
        if url.get_backend_name() not in MYSQL or not url.database:
            raise SettingInvalid(
                f"{source.system}: kind mysql reads MySQL and MariaDB",
                fix="write connector.url as mysql+pymysql://USER@HOST/DATABASE",
            )
        self.url = url.set(password=password) if password is not None else url
        self.database = url.database

    @property
    def settings(self) -> dict[str, Any]:
        """For pymysql and for the reader of the log."""
        return {
            "host": self.url.host or "127.0.0.1", "port": self.url.port or 3306, "user": self.url.username,
            "password": self.url.password or "", "charset": "utf8mb4", "connect_timeout": 10, "read_timeout": 60,
        }  # fmt: skip

    def open(self, **more: Any) -> pymysql.connections.Connection[Any]:
        """A session that only reads, in UTC."""
        connection = pymysql.connect(**self.settings, database=self.database, autocommit=True, **more)
        with connection.cursor() as cursor:
            for part in _SETUP.split(", SESSION TRANSACTION"):
                cursor.execute(part if part.startswith("SET") else f"SET SESSION TRANSACTION{part}")
        return connection

    @contextmanager
    def known(self, table: str = "") -> Iterator[None]:
        """Raises what pymysql raises as an error of ours."""
        try:
            yield
        except (pymysql.Error, OSError) as error:
            raise self.error(error, table) from error

    def error(self, error: Exception, table: str = "") -> OneWindowError:
        """The error of ours that one of pymysql amounts to."""
        if error.args and error.args[0] == _NO_LOG:
            return self.lost(table, "the server does not have its binary log from there on any more")
        shown = DBAPIError(None, None, error)
        return known_error(
            shown, system=self.system, table=table or self.database, user=self.url.username, url=self.url
        )

    def lost(self, dataset: str, why: str) -> PositionLost:
        """The error that has a dataset read again."""
        where = f"{self.system}.{dataset}" if dataset else self.system
        return PositionLost(
            f"{where}: {why}; what happened since can't be told, so it is read again from the beginning",
            fix="nothing to do: what differs is reconciled when it has been read",
        )


def is_mariadb(connection: pymysql.connections.Connection[Any]) -> bool:
    """Which of the two answers."""
    return "mariadb" in str(connection.get_server_info()).lower()


def identity(connection: pymysql.connections.Connection[Any]) -> str:
    """Which server it is: MySQL says so; MariaDB gives no more than its number."""
    names = ["server_id"] if is_mariadb(connection) else ["server_uuid"]
    return "/".join(variables(connection, names).values())


def variables(connection: pymysql.connections.Connection[Any], names: Sequence[str]) -> dict[str, str]:
    """The server's settings by name, as far as it has them."""
    with connection.cursor() as cursor:
        marks = ", ".join(["%s"] * len(names))
        cursor.execute(f"SHOW GLOBAL VARIABLES WHERE Variable_name IN ({marks})", names)
        return dict(cursor.fetchall())


def unfit(connection: pymysql.connections.Connection[Any], system: str) -> list[LogCaptureImpossible]:
    """What of the server's settings does not allow its log to be read."""
    found = variables(connection, list(_WANTED))
    return [
        LogCaptureImpossible(
            f"{system}: {name} is {found.get(name, 'not known to the server')}, not {wanted}",
            fix=f"let the department's DBA {fix}",
        )
        for name, (wanted, fix) in _WANTED.items()
        if found.get(name, "").upper() != wanted
    ]


def log_files(connection: pymysql.connections.Connection[Any]) -> dict[str, int]:
    """The files of the binary log and their sizes."""
    with connection.cursor() as cursor:
        cursor.execute("SHOW BINARY LOGS")
        return {row[0]: int(row[1]) for row in cursor.fetchall()}


def log_end(connection: pymysql.connections.Connection[Any]) -> LogPlace:
    """Where the binary log ends now."""
    with connection.cursor() as cursor:
        try:
            cursor.execute("SHOW BINARY LOG STATUS" if not is_mariadb(connection) else "SHOW MASTER STATUS")
        except pymysql.ProgrammingError:  # MySQL before 8.2
            cursor.execute("SHOW MASTER STATUS")
        row = cursor.fetchone()
        assert row is not None
        return LogPlace(row[0], int(row[1]))


def gtid_at(connection: pymysql.connections.Connection[Any], place: LogPlace) -> str | None:
    """What of the history lies before a place; only MariaDB can tell."""
    if not is_mariadb(connection):
        return None
    with connection.cursor() as cursor:
        cursor.execute("SELECT BINLOG_GTID_POS(%s, %s)", place)
        row = cursor.fetchone()
        return row[0] if row else None


def columns_of(
    connection: pymysql.connections.Connection[Any], database: str, declared: DatasetSource, system: str
) -> dict[str, str]:
    """The columns of a table with their types. Raises TableMissing."""
    schema, table = declared.schema_name or database, declared.table or ""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT column_name, data_type FROM information_schema.columns"
            " WHERE table_schema = %s AND table_name = %s ORDER BY ordinal_position",
            (schema, table),
        )
        found = {str(name): str(kind).lower() for name, kind in cursor.fetchall()}
    if not found:
        raise TableMissing(
            f"{system}: there is no table {schema}.{table}, or the login can't see it",
            fix="correct table and schema_name in the source file, or let the department's DBA grant the login SELECT",
        )
    return found


_NAME = r"([\w$\u0080-\uffff]+(?:\s*\.\s*[\w$\u0080-\uffff]+)?)"
_WHOLE = {
    "truncate": rf"truncate\s+(?:table\s+)?{_NAME}",
    "drop": r"drop\s+table\s+(?:if\s+exists\s+)?(.+?)(?:\s+(?:restrict|cascade))?$",
    "rename": r"rename\s+tables?\s+(?:if\s+exists\s+)?(.+)$",
    "create": rf"create\s+(?:or\s+replace\s+)?table\s+(?!if\s)({_NAME})",
    "move": rf"alter\s+table\s+{_NAME}\s.*\brename\s+(?:to\s+|as\s+)?(?!column\b|index\b|key\b){_NAME}\s*$",
}


def about_table(statement: str, schema: str, database: str, table: str) -> str | None:
    """The verb of a statement that changes the table as a whole: ``truncate``, ``drop``, ``rename``, ``create`` or ``move``.

    ``schema`` is the one that the statement was given in.
    """
    text = " ".join(re.sub(r"/\*.*?\*/|--[^\n]*\n|`|;\s*$", " ", statement, flags=re.DOTALL).split()).lower()
    for verb, form in _WHOLE.items():
        found = re.match(form, text)
        if found is None:
            continue
        named = re.sub(r"\s*\.\s*", ".", " ".join(filter(None, found.groups())))
        names = {name if "." in name else f"{schema.lower()}.{name}" for name in re.findall(r"[^\s,()]+", named)}
        if f"{database}.{table}".lower() in names:
            return verb
    return None
