"""人社 (human resources and social security): a PostgreSQL database, columns named as the ministry's standard does."""

from __future__ import annotations

import secrets
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psycopg

from examples.city.records import INSURED, PENSION, Record
from examples.postgres import Postgres, write_secret

READER, PUBLICATION = "onewindow_reader", "onewindow_hrss"
TABLES = {INSURED: "ac01", PENSION: "ac60"}
COLUMNS = {
    INSURED: ("aac001", "aac002", "aac003", "aac004", "aac005", "aac006", "aae005", "aab301", "aac060", "aae036"),
    PENSION: ("aaz257", "aac001", "aac002", "aae140", "aae041", "aae042", "aae019", "aae116", "aae036"),
}
_SCHEMA = """
drop table if exists ac01, ac60;
create table ac01(
  aac001 varchar(20) not null, aac002 varchar(20), aac003 varchar(50), aac004 varchar(5), aac005 varchar(2),
  aac006 varchar(20), aae005 varchar(20), aab301 varchar(12), aac060 varchar(3), aae036 varchar(14),
  updated_at timestamptz not null default clock_timestamp());
comment on table ac01 is '参保人员';
create table ac60(
  aaz257 varchar(20) not null, aac001 varchar(20) not null, aac002 varchar(20), aae140 varchar(3), aae041 varchar(6),
  aae042 varchar(6), aae019 bigint, aae116 varchar(3), aae036 varchar(14),
  updated_at timestamptz not null default clock_timestamp());
comment on table ac60 is '养老待遇';
"""
_COMMENTS = {
    "ac01": {
        "aac001": "个人编号", "aac002": "公民身份号码", "aac003": "姓名", "aac004": "性别", "aac005": "民族",
        "aac006": "出生日期", "aae005": "联系电话", "aab301": "社区", "aac060": "生存状态", "aae036": "经办时间",
        "updated_at": "更新时间",
    },
    "ac60": {
        "aaz257": "待遇编号", "aac001": "个人编号", "aac002": "公民身份号码", "aae140": "险种类型", "aae041": "起始年月",
        "aae042": "终止年月", "aae019": "月金额(分)", "aae116": "发放状态", "aae036": "经办时间", "updated_at": "更新时间",
    },
}  # fmt: skip
_INDEXES = f"""
alter table ac01 add primary key (aac001);
alter table ac60 add primary key (aaz257);
create index ac01_cursor on ac01(updated_at, aac001);
create index ac60_cursor on ac60(updated_at, aaz257);
grant select on ac01, ac60 to {READER};
drop publication if exists {PUBLICATION};
create publication {PUBLICATION} for table ac01, ac60;
analyze ac01, ac60;
"""


class Hrss:
    """The department's system. ``owner`` is its own program's connection; the pipeline gets a reader's login.

    wal_level is logical, so that a pipeline may read the log as well as poll; what is durable is left as it is.
    """

    def __init__(self, directory: Path) -> None:
        self.server = Postgres(directory / "hrss-pg", "-c wal_level=logical -c max_wal_size=4GB")
        self.password_file = directory / "hrss-password"
        self._connection: psycopg.Connection[Any] | None = None

    def start(self) -> None:
        """Bring the server up, with database and reader; or join the one that another process has up."""
        self.server.start()
        if self.server.owned:
            self.server.create_database("hrss")
            self._make_reader()

    def _make_reader(self) -> None:
        password = secrets.token_urlsafe(18)
        with psycopg.connect(self.server.socket_dsn("hrss"), autocommit=True) as connection:
            known = connection.execute("select 1 from pg_roles where rolname = %s", (READER,)).fetchone()
            if known and self.password_file.exists():
                return
            if not known:
                connection.execute(f"create role {READER} login replication")
            connection.execute(f"alter role {READER} password '{password}'")
            connection.execute(f"alter role {READER} set default_transaction_read_only = on")
            connection.execute("revoke temporary on database hrss from public")
        write_secret(self.password_file, password)

    @property
    def reader_url(self) -> str:
        """Where the pipeline reads; the password is in ``password_file``."""
        return f"postgresql+psycopg://{READER}@127.0.0.1:{self.server.port}/hrss"

    @property
    def owner(self) -> psycopg.Connection[Any]:
        """The department's own connection."""
        if self._connection is None or self._connection.closed:
            self._connection = self.connect()
        return self._connection

    def connect(self) -> psycopg.Connection[Any]:
        """Another connection of the department's own."""
        return psycopg.connect(self.server.socket_dsn("hrss"))

    @contextmanager
    def filling(self) -> Iterator[None]:
        """Both tables anew, filled with ``load`` in here: one transaction, all or nothing."""
        with self.owner.transaction():
            self.owner.execute(_SCHEMA)
            for table, columns in _COMMENTS.items():
                for column, meaning in columns.items():
                    self.owner.execute(f"comment on column {table}.{column} is '{meaning}'")
            yield
            self.owner.execute(_INDEXES)

    def load(self, dataset: str, records: Iterable[Record]) -> None:
        """Add rows with COPY. Records of one dataset; their rows hold the columns in the order of ``COLUMNS``. They were
        last updated when the department dealt with them, long ago, and not all in the moment that the city was built."""
        copied = f"copy {TABLES[dataset]}({','.join(COLUMNS[dataset])},updated_at) from stdin"
        with self.owner.cursor().copy(copied) as copy:
            copy.write("".join([_copy_line(record.row) for record in records]))

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
        """Stop the server, or leave it to the process that owns it."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None
        self.server.stop()


def _copy_line(row: dict[str, Any]) -> str:
    """A row in COPY's text format. No value of ours holds a backslash, a tab or a line's end."""
    at = row["aae036"]
    cells = [r"\N" if value is None else str(value) for value in row.values()]
    return "\t".join([*cells, f"{at[:8]} {at[8:10]}:{at[10:12]}:{at[12:]}+08"]) + "\n"
