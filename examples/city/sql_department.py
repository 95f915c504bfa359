"""A department whose system is an SQL database: a PostgreSQL server of its own, and in it tables that the pipeline reads.

Each table has the cursor column ``updated_at`` beside its own ones, with an index on (cursor, key). ``owner`` is the
connection of the department's own program; the pipeline gets a login that may only read.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import psycopg

from examples.city.records import AS_OF, Record
from examples.postgres import Postgres, write_secret

READER = "onewindow_reader"
_PUNCTUATION = str.maketrans("", "", "-: ")


class Table(NamedTuple):
    """``columns``: name -> (type, meaning), the key first, in the order of a record's row."""

    name: str
    meaning: str
    columns: Mapping[str, tuple[str, str]]

    @property
    def key(self) -> str:
        """The column that names a row."""
        return next(iter(self.columns))


class SqlDepartment:
    """The system of one department. ``tables``: by dataset. ``options``: of the server's command line.

    ``reader_may``: what the reader's login may do beside reading tables. ``finish``: statements that end the filling. What
    is durable is left as PostgreSQL has it.
    """

    def __init__(
        self,
        directory: Path,
        system: str,
        tables: Mapping[str, Table],
        *,
        options: str = "",
        reader_may: str = "",
        finish: str = "",
    ) -> None:
        self.system, self.tables = system, tables
        self.server = Postgres(directory / f"{system}-pg", options)
        self.password_file = directory / f"{system}-password"
        self._reader_may, self._finish = reader_may, finish
        self._connection: psycopg.Connection[Any] | None = None

    def start(self) -> None:
        """Bring the server up, with database and reader; or join the one that another process has up."""
        self.server.start()
        if self.server.owned:
            self.server.create_database(self.system)
            self._make_reader()

    def _make_reader(self) -> None:
        password = secrets.token_urlsafe(18)
        with psycopg.connect(self.server.socket_dsn(self.system), autocommit=True) as connection:
            known = connection.execute("select 1 from pg_roles where rolname = %s", (READER,)).fetchone()
            if known and self.password_file.exists():
                return
            if not known:
                connection.execute(f"create role {READER} login {self._reader_may}")
            connection.execute(f"alter role {READER} password '{password}'")
            connection.execute(f"alter role {READER} set default_transaction_read_only = on")
            connection.execute(f"revoke temporary on database {self.system} from public")
        write_secret(self.password_file, password)

    @property
    def owned(self) -> bool:
        """Whether this process has brought it up."""
        return self.server.owned

    @property
    def reader_url(self) -> str:
        """Where the pipeline reads; the password is in ``password_file``."""
        return f"postgresql+psycopg://{READER}@127.0.0.1:{self.server.port}/{self.system}"

    @property
    def owner(self) -> psycopg.Connection[Any]:
        """The department's own connection."""
        if self._connection is None or self._connection.closed:
            self._connection = self.connect()
        return self._connection

    def connect(self) -> psycopg.Connection[Any]:
        """Another connection of the department's own."""
        return psycopg.connect(self.server.socket_dsn(self.system))

    @contextmanager
    def filling(self) -> Iterator[None]:
        """All tables anew, filled with ``load`` in here: one transaction, all or nothing."""
        with self.owner.transaction():
            for table in self.tables.values():
                self._create(table)
            yield
            for table in self.tables.values():
                self.owner.execute(f"alter table {table.name} add primary key ({table.key})")
                self.owner.execute(f"create index {table.name}_cursor on {table.name}(updated_at, {table.key})")
                self.owner.execute(f"grant select on {table.name} to {READER}")
                self.owner.execute(f"analyze {table.name}")
            if self._finish:
                self.owner.execute(self._finish)

    def _create(self, table: Table) -> None:
        columns = {**table.columns, "updated_at": ("timestamptz not null default clock_timestamp()", "更新时间")}
        said = ", ".join(f"{name} {kind}" for name, (kind, _) in columns.items())
        self.owner.execute(f"drop table if exists {table.name}")
        self.owner.execute(f"create table {table.name}({said})")
        self.owner.execute(f"comment on table {table.name} is '{table.meaning}'")
        for name, (_, meaning) in columns.items():
            self.owner.execute(f"comment on column {table.name}.{name} is '{meaning}'")

    def load(self, dataset: str, records: Iterable[Record]) -> None:
        """Add rows with COPY. Records of one dataset. They were last updated when the department dealt with them, long ago,
        and not all in the moment that the city was built."""
        table, (as_of, _) = self.tables[dataset], AS_OF[dataset]
        copied = f"copy {table.name}({','.join(table.columns)},updated_at) from stdin"
        with self.owner.cursor().copy(copied) as copy:
            copy.write("".join([_copy_line(record.row, record.row[as_of]) for record in records]))

    def commit(self, records: Iterable[Record]) -> None:
        """Insert or update rows in a transaction of their own."""
        with self.owner.transaction():
            self.write(records)

    def write(self, records: Iterable[Record], connection: psycopg.Connection[Any] | None = None) -> None:
        """Insert or update rows, in the caller's transaction. The cursor column takes the time of the statement."""
        for record in records:
            table = self.tables[record.dataset]
            sets = ", ".join(f"{column} = excluded.{column}" for column in table.columns if column != table.key)
            marks = ", ".join(["%s"] * len(table.columns))
            (connection or self.owner).execute(
                f"insert into {table.name}({', '.join(table.columns)}, updated_at)"  # noqa: S608 - fixed names
                f" values ({marks}, clock_timestamp())"
                f" on conflict ({table.key}) do update set {sets}, updated_at = excluded.updated_at",
                [record.row[column] for column in table.columns],
            )

    def stop(self) -> None:
        """Stop the server, or leave it to the process that owns it."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None
        self.server.stop()


def _copy_line(row: Mapping[str, Any], dealt_with: str) -> str:
    """A row in COPY's text format. No value of ours holds a backslash, a tab or a line's end."""
    at = dealt_with.translate(_PUNCTUATION)
    cells = [r"\N" if value is None else str(value) for value in row.values()]
    return "\t".join([*cells, f"{at[:8]} {at[8:10]}:{at[10:12]}:{at[12:]}+08"]) + "\n"
