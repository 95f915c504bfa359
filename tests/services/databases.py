"""PostgreSQL and MariaDB: servers for a run, from Debian's packages, and how a test gets a database of its own."""

from __future__ import annotations

import shutil
import subprocess
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg
import pymysql
import sqlalchemy as sa
from sqlalchemy.engine import URL, make_url

from examples.postgres import free_port
from services.processes import Process, owned_by, server_user, spawn, until_said

# without fsync: kill -9 of the server loses nothing by it, and after a crash of the machine nobody wants the data
_POSTGRES_OPTIONS = ("wal_level=logical", "max_wal_senders=20", "max_replication_slots=20", "fsync=off")
# a statement a line, as --init-file wants it
_MARIADB_SETUP = "CREATE OR REPLACE USER root@127.0.0.1;\nGRANT ALL ON *.* TO root@127.0.0.1 WITH GRANT OPTION;\n"


@dataclass(frozen=True)
class Postgres:
    """A running PostgreSQL server. ``new_database`` gives an empty database of its own.

    ``port`` is None where ``host`` is the directory of a Unix socket. Our own servers trust every login; ``password`` is
    that of a server that is named in the environment.
    """

    host: str
    port: int | None = None
    owner: str = "postgres"
    password: str | None = None

    @classmethod
    def at(cls, url: str) -> Postgres:
        """The server of an SQLAlchemy or libpq URL."""
        about = make_url(url)
        return cls(about.host or "127.0.0.1", about.port or 5432, about.username or "postgres", about.password)

    def _about(self, database: str, user: str) -> dict[str, Any]:
        about = {"host": self.host, "port": self.port, "dbname": database, "user": user, "password": self.password}
        return {key: value for key, value in about.items() if value is not None}

    def conninfo(self, database: str = "postgres", user: str | None = None) -> str:
        return psycopg.conninfo.make_conninfo("", **self._about(database, user or self.owner))

    def url(self, database: str = "postgres", user: str | None = None) -> str:
        query = {"host": self.host} | ({"port": str(self.port)} if self.port else {})
        made = URL.create("postgresql+psycopg", user or self.owner, self.password, database=database, query=query)
        return made.render_as_string(hide_password=False)

    def new_database(self) -> str:
        name = _name()
        with psycopg.connect(self.conninfo(), autocommit=True) as connection:
            connection.execute(f"CREATE DATABASE {name}")  # type: ignore[call-overload]  # a name of our own
        return name


@dataclass(frozen=True)
class MariaDb:
    """A running MariaDB (or MySQL) server. ``new_database`` gives an empty database of its own."""

    host: str
    port: int
    owner: str = "root"
    password: str = ""

    @classmethod
    def at(cls, url: str) -> MariaDb:
        """The server of an SQLAlchemy URL."""
        about = make_url(url)
        return cls(about.host or "127.0.0.1", about.port or 3306, about.username or "root", about.password or "")

    def url(self, database: str, user: str | None = None) -> str:
        made = URL.create("mysql+pymysql", user or self.owner, self.password, self.host, self.port, database)
        return made.render_as_string(hide_password=False)

    def connect(self, database: str | None = None) -> Any:
        """A connection of the owner that commits each statement."""
        return pymysql.connect(
            host=self.host, port=self.port, user=self.owner, password=self.password, database=database, autocommit=True
        )

    def new_database(self) -> str:
        name = _name()
        with self.connect() as connection, connection.cursor() as cursor:
            cursor.execute(f"CREATE DATABASE {name} CHARACTER SET utf8mb4")
        return name


def _name() -> str:
    return f"t{uuid.uuid4().hex[:12]}"


def postgres_programs() -> Path | None:
    """The directory of the newest PostgreSQL server that Debian's packages installed."""
    versions = sorted(Path("/usr/lib/postgresql").glob("*/bin/postgres"), key=lambda path: int(path.parts[-3]))
    return versions[-1].parent if versions else None


def mariadb_installed() -> bool:
    """Whether the MariaDB server is there."""
    return shutil.which("mariadbd", path="/usr/sbin:/usr/bin") is not None


def start_postgres(directory: Path, keep: Callable[[Process], object]) -> Postgres:
    """A new cluster in ``directory``, able to decode its log, and a server on it. Raises NotReady."""
    programs, user, port = postgres_programs(), server_user("postgres"), free_port()
    assert programs is not None
    owned_by(user, directory)
    data, log = directory / "data", directory / "postgres.log"
    made = spawn([programs / "initdb", "-D", data, "-U", "postgres", "-A", "trust", "-E", "UTF8", "--locale=C.UTF-8"],
                 log=directory / "initdb.log", user=user)  # fmt: skip
    until_said(made, directory / "initdb.log", "Success")
    options = [part for option in _POSTGRES_OPTIONS for part in ("-c", option)]
    server = spawn(
        [programs / "postgres", "-D", data, "-h", "127.0.0.1", "-p", str(port), "-k", directory, *options],
        log=log, user=user, end_with=2,  # SIGINT: at once, in good order
    )  # fmt: skip
    keep(server)
    until_said(server, log, "database system is ready to accept connections")
    return Postgres("127.0.0.1", port)


def start_mariadb(directory: Path, keep: Callable[[Process], object]) -> MariaDb:
    """A new data directory in ``directory`` and a server on it; root may log in over TCP. Raises NotReady."""
    user, port = server_user("mysql"), free_port()
    owned_by(user, directory)
    data, log, setup = directory / "data", directory / "mariadb.log", directory / "setup.sql"
    as_user = [f"--user={user}"] if user else []
    subprocess.run(
        ["mariadb-install-db", "--no-defaults", *as_user, f"--datadir={data}", "--skip-test-db"],
        check=True, capture_output=True,
    )  # fmt: skip
    setup.write_text(_MARIADB_SETUP)
    server = spawn(
        ["/usr/sbin/mariadbd", "--no-defaults", f"--datadir={data}", f"--port={port}", "--bind-address=127.0.0.1",
         f"--socket={directory}/socket", "--skip-name-resolve", f"--init-file={setup}",
         "--innodb-buffer-pool-size=32M", "--innodb-flush-log-at-trx-commit=0", "--default-time-zone=+08:00",
         "--server-id=1", f"--log-bin={data}/binlog", "--binlog-format=ROW", "--binlog-row-metadata=FULL"],
        log=log, user=user,
    )  # fmt: skip
    keep(server)
    until_said(server, log, "ready for connections")
    return MariaDb("127.0.0.1", port)


def server_version(url: str) -> str:
    """What a database says it is."""
    engine = sa.create_engine(url)
    try:
        with engine.connect() as connection:
            return str(connection.scalar(sa.text("select version()")))
    finally:
        engine.dispose()
