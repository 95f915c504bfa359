"""人社 (human resources and social security): a PostgreSQL database, columns named as the ministry's standard does."""

from __future__ import annotations

import secrets
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import psycopg

from examples.city.records import INSURED, PENSION, Record
from examples.postgres import Postgres

_READER = "onewindow_reader"
TABLES = {INSURED: "ac01", PENSION: "ac60"}
COLUMNS = {
    INSURED: ("aac001", "aac002", "aac003", "aac004", "aac005", "aac006", "aae005", "aab301", "aac060", "aae036"),
    PENSION: ("aaz257", "aac001", "aac002", "aae140", "aae041", "aae042", "aae019", "aae116", "aae036"),
}
_SCHEMA = """
create table if not exists ac01(
  aac001 varchar(20) primary key, aac002 varchar(40), aac003 varchar(60), aac004 varchar(5), aac005 varchar(2),
  aac006 varchar(20), aae005 varchar(30), aab301 varchar(12), aac060 varchar(3), aae036 varchar(14),
  updated_at timestamptz not null default clock_timestamp());
comment on table ac01 is '参保人员';
create table if not exists ac60(
  aaz257 varchar(20) primary key, aac001 varchar(20) not null, aac002 varchar(40), aae140 varchar(3), aae041 varchar(6),
  aae042 varchar(6), aae019 bigint, aae116 varchar(3), aae036 varchar(14),
  updated_at timestamptz not null default clock_timestamp());
comment on table ac60 is '养老待遇';
"""
_INDEXES = """
create index if not exists ac01_cursor on ac01(updated_at, aac001);
create index if not exists ac60_cursor on ac60(updated_at, aaz257);
"""


class Hrss:
    """The department's system. ``owner`` is its own program's connection; the pipeline gets a reader's login."""

    def __init__(self, directory: Path) -> None:
        self.server = Postgres(directory / "hrss-pg")
        self.password_file = directory / "hrss-reader.password"
        self._connection: psycopg.Connection[Any] | None = None

    def start(self) -> None:
        """Bring the server up, with schema and reader."""
        self.server.start()
        self.server.create_database("hrss")
        if not self.password_file.exists():
            self._make_reader()

    def _make_reader(self) -> None:
        password = secrets.token_urlsafe(18)
        with psycopg.connect(self.server.socket_dsn("hrss"), autocommit=True) as connection:
            connection.execute(_SCHEMA)
            if not connection.execute("select 1 from pg_roles where rolname = %s", (_READER,)).fetchone():
                connection.execute(f"create role {_READER} login")
            connection.execute(f"alter role {_READER} password '{password}'")
            connection.execute(f"grant select on ac01, ac60 to {_READER}")
        self.password_file.write_text(password)
        self.password_file.chmod(0o600)

    @property
    def reader_url(self) -> str:
        """Where the pipeline reads; the password is in ``password_file``."""
        return f"postgresql+psycopg://{_READER}@127.0.0.1:{self.server.port}/hrss"

    @property
    def owner(self) -> psycopg.Connection[Any]:
        """The department's own connection."""
        if self._connection is None or self._connection.closed:
            self._connection = psycopg.connect(self.server.socket_dsn("hrss"))
        return self._connection

    def load(self, records: Iterable[Record]) -> None:
        """Fill both tables, in one transaction: all or nothing."""
        by_dataset: dict[str, list[Record]] = {INSURED: [], PENSION: []}
        for record in records:
            by_dataset[record.dataset].append(record)
        with self.owner.transaction():
            for dataset, rows in by_dataset.items():
                columns = COLUMNS[dataset]
                with self.owner.cursor().copy(f"copy {TABLES[dataset]}({','.join(columns)}) from stdin") as copy:
                    for record in rows:
                        copy.write_row([record.row[column] for column in columns])

    def clear(self) -> None:
        """Empty both tables: a build that was interrupted starts over."""
        with self.owner.transaction():
            self.owner.execute("truncate ac01, ac60")

    def index(self) -> None:
        """What the polls need, made once the tables are full."""
        with self.owner.transaction():
            self.owner.execute(_INDEXES)
            self.owner.execute("analyze ac01, ac60")

    def write(self, records: Iterable[Record], connection: psycopg.Connection[Any] | None = None) -> None:
        """Insert or update rows, in the caller's transaction. The cursor column takes the time of the statement."""
        for record in records:
            columns = COLUMNS[record.dataset]
            sets = ", ".join(f"{c} = excluded.{c}" for c in columns[1:])
            marks = ", ".join(["%s"] * len(columns))
            (connection or self.owner).execute(
                f"insert into {TABLES[record.dataset]}({', '.join(columns)}, updated_at)"  # noqa: S608 - fixed names
                f" values ({marks}, clock_timestamp())"
                f" on conflict ({columns[0]}) do update set {sets}, updated_at = excluded.updated_at",
                [record.row[column] for column in columns],
            )

    def stop(self) -> None:
        """Stop the server."""
        if self._connection is not None:
            self._connection.close()
        self.server.stop()
