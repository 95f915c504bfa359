"""How the view's database is opened, and what its errors mean.

SQLite: WAL, so that readers see the last commit while one writer works; ``synchronous=FULL``, so that a committed batch
survives a power cut. PostgreSQL: psycopg, ``synchronous_commit`` as the server has it.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Literal

import psycopg
import sqlalchemy as sa

from contracts.errors import DatabaseDamaged, DatabaseUnreachable
from projections.bulk import Collision

WRITES = "onewindow_writes"
"""Execution option: the transaction will write, so SQLite takes the writer's lock at its start."""

Synchronous = Literal["FULL", "NORMAL", "OFF"]

_WAIT_FOR = frozenset(
    {
        sqlite3.SQLITE_BUSY,
        sqlite3.SQLITE_LOCKED,
        sqlite3.SQLITE_READONLY,
        sqlite3.SQLITE_IOERR,
        sqlite3.SQLITE_FULL,
        sqlite3.SQLITE_CANTOPEN,
        sqlite3.SQLITE_PROTOCOL,
    }
)
_DAMAGED = frozenset({sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_CORRUPT})
_READ_ONLY = "25006"  # a primary that was demoted: it answers, and refuses to write
_COLLIDED = ("40001", "40P01")  # serialization failure, deadlock


def open_view(
    url: str | sa.URL, *, synchronous: Synchronous = "FULL", busy_timeout_s: float = 5.0, schema: str | None = None
) -> sa.Engine:
    """An engine for the view at ``url``; opens no connection yet.

    ``synchronous`` is SQLite's: FULL keeps a committed batch through a power cut; NORMAL may lose the last ones, rows
    together with their offsets, so that they are read again; OFF is for a view that can be thrown away.
    ``busy_timeout_s``: how long a SQLite writer waits for another, and a connection to PostgreSQL for the server.
    ``schema``: PostgreSQL's, where it is not the login's own.
    """
    parsed = sa.make_url(url)
    if parsed.get_backend_name() == "sqlite":
        return _sqlite(parsed, synchronous, busy_timeout_s)
    if parsed.get_backend_name() == "postgresql":
        return sa.create_engine(
            parsed.set(drivername="postgresql+psycopg"),
            pool_pre_ping=True,
            pool_use_lifo=True,
            connect_args={
                "connect_timeout": max(1, round(busy_timeout_s)),
                "application_name": "onewindow-view",
                "keepalives_idle": 15,
                "keepalives_interval": 5,
                "keepalives_count": 3,
                **({"options": f"-csearch_path={schema}"} if schema else {}),
            },
        )
    raise ValueError(f"a view lives in SQLite or PostgreSQL, not in {parsed.get_backend_name()}")


def _sqlite(url: sa.URL, synchronous: Synchronous, busy_timeout_s: float) -> sa.Engine:
    in_memory = url.database in {None, "", ":memory:"}
    options: dict[str, Any] = {"poolclass": sa.StaticPool} if in_memory else {}
    engine = sa.create_engine(url, connect_args={"timeout": busy_timeout_s, "check_same_thread": False}, **options)

    @sa.event.listens_for(engine, "connect")
    def connected(connection: Any, _record: Any) -> None:
        # The driver begins nothing by itself; SQLAlchemy's recipe for transactions on sqlite3 that works on 3.11 to 3.13.
        connection.isolation_level = None
        cursor = connection.cursor()
        cursor.execute("PRAGMA page_size=8192")  # rows of 1-2 kB: 6 % faster than 4096 (bench, 2026-11)
        cursor.execute("PRAGMA journal_mode=WAL")
        cursor.execute(f"PRAGMA synchronous={synchronous}")
        cursor.execute("PRAGMA cache_size=-65536")
        cursor.execute("PRAGMA temp_store=MEMORY")
        cursor.execute("PRAGMA wal_autocheckpoint=8000")
        cursor.close()

    @sa.event.listens_for(engine, "begin")
    def begins(connection: sa.Connection) -> None:
        writes = connection.get_execution_options().get(WRITES, False)
        connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")

    return engine


@contextmanager
def writing(engine: sa.Engine, *, at_once: bool = True) -> Iterator[sa.Connection]:
    """One transaction that writes. ``at_once``: SQLite locks its file, and those attached, from the beginning.

    Raises DatabaseUnreachable, with nothing half done, when the database is busy, full, read-only or away; DatabaseDamaged
    when a SQLite file is no database; Collision when it gave way to another transaction.
    """
    with _translated(engine), engine.connect() as connection:
        connection.execution_options(**{WRITES: at_once})
        with connection.begin():
            yield connection


@contextmanager
def reading(engine: sa.Engine) -> Iterator[sa.Connection]:
    """One transaction that reads, and finds everything as of one moment. Raises as ``writing`` does."""
    with _translated(engine), engine.connect() as connection:
        if connection.dialect.name == "postgresql":
            connection.execution_options(isolation_level="REPEATABLE READ", postgresql_readonly=True)
        with connection.begin():
            yield connection


@contextmanager
def _translated(engine: sa.Engine) -> Iterator[None]:
    try:
        yield
    except (sa.exc.DBAPIError, sqlite3.Error, psycopg.Error) as error:
        cause = error.orig if isinstance(error, sa.exc.DBAPIError) else error
        if isinstance(cause, psycopg.Error) and cause.sqlstate in _COLLIDED:
            raise Collision(str(cause)) from error
        if isinstance(cause, sqlite3.Error) and _primary_code(cause) in _DAMAGED:
            raise DatabaseDamaged(
                f"{engine.url.database} can't be used as a database: {cause}",
                fix="end what runs, move the file away with those beside it (-wal, -shm), and start again: "
                "it is made anew from the log",
            ) from error
        if not _is_away(error, cause):
            raise
        if isinstance(cause, psycopg.Error) and cause.sqlstate == _READ_ONLY:
            engine.dispose()  # every pooled connection leads to the same demoted server
        where = engine.url.render_as_string(hide_password=True)
        said = str(cause).strip().splitlines()
        raise DatabaseUnreachable(
            f"the view at {where} can't be used now: {said[0] if said else type(cause).__name__}",
            fix="nothing was lost or half done, and it is tried again; see that the database runs, accepts "
            "connections and has room on its disk",
        ) from error


def _primary_code(error: sqlite3.Error) -> int:
    return int(getattr(error, "sqlite_errorcode", 0)) & 0xFF


def _is_away(error: BaseException, cause: BaseException | None) -> bool:
    """Whether waiting may help. A missing table or a wrong statement is not mended by time."""
    if isinstance(error, sa.exc.DBAPIError) and error.connection_invalidated:
        return True
    if isinstance(cause, sqlite3.Error):
        return _primary_code(cause) in _WAIT_FOR
    if isinstance(cause, psycopg.Error):
        return isinstance(cause, psycopg.OperationalError | psycopg.InterfaceError) or cause.sqlstate == _READ_ONLY
    return False
