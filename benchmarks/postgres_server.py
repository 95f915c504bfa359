"""A PostgreSQL server with durable commits, for source and targets; and what is asked of it while something runs."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psycopg
from services.databases import Postgres, postgres_programs
from services.processes import Process, owned_by, server_user, spawn, until_said

from examples.postgres import free_port

SETTINGS = {
    "wal_level": "logical",
    "fsync": "on",
    "synchronous_commit": "on",
    "shared_buffers": "512MB",
    "max_wal_size": "4GB",
    "track_commit_timestamp": "on",  # latency is the commit of the view's row minus that of the source's
    "max_replication_slots": "20",
    "max_wal_senders": "20",
}
_LOOK_S, _QUIET_S = 0.1, 1.0


def start(directory: Path, keep: Callable[[Process], object]) -> tuple[Postgres, Process]:
    """A new cluster in ``directory`` and a server on it."""
    programs, user, port = postgres_programs(), server_user("postgres"), free_port()
    assert programs is not None, "PostgreSQL is not installed; make test-services does that"
    owned_by(user, directory)
    data = directory / "data"
    made = spawn([programs / "initdb", "-D", data, "-U", "postgres", "-A", "trust", "-E", "UTF8", "--locale=C.UTF-8"],
                 log=directory / "initdb.log", user=user)  # fmt: skip
    until_said(made, directory / "initdb.log", "Success")
    options = [part for name, value in SETTINGS.items() for part in ("-c", f"{name}={value}")]
    server = spawn(
        [programs / "postgres", "-D", data, "-h", "127.0.0.1", "-p", str(port), "-k", directory, *options],
        log=directory / "postgres.log", user=user, end_with=2,  # SIGINT: at once, in good order
    )  # fmt: skip
    keep(server)
    until_said(server, directory / "postgres.log", "database system is ready to accept connections")
    return Postgres("127.0.0.1", port), server


def connect(server: Postgres, database: str) -> psycopg.Connection[Any]:
    """A connection that commits each statement."""
    return psycopg.connect(server.conninfo(database), autocommit=True)


def one(connection: psycopg.Connection[Any], query: str, *values: Any) -> Any:
    """The single value that a query gives."""
    row = connection.execute(query, values).fetchone()
    assert row is not None
    return row[0]


def until_filled(
    connection: psycopg.Connection[Any],
    table: str,
    rows: int,
    *,
    alive: Callable[[], None],
    seconds: float = 300.0,
) -> float:
    """Wait until the table holds so many rows, and give the rate at which they came, from the first commit to the last.

    ``alive`` raises when whoever fills it has failed. What is asked meanwhile costs the server nearly nothing, and decides
    nothing: the server's counters, which lag by a second or more; the rate is told by the stamps of the commits afterwards.
    Raises TimeoutError, and AssertionError when there are more rows.
    """
    began = moved_at = time.monotonic()
    before, there = -1, 0
    oid = one(connection, "SELECT %s::regclass::oid", table)
    while there < rows:
        time.sleep(_LOOK_S)
        alive()
        told = one(connection, "SELECT pg_stat_get_tuples_inserted(%s)", oid)
        if told != before:
            moved_at, before = time.monotonic(), told
        if told >= rows or time.monotonic() - moved_at > _QUIET_S:
            there, moved_at = count(connection, table), time.monotonic()
        if time.monotonic() - began > seconds:
            raise TimeoutError(f"{table} holds {there:,} of {rows:,} rows after {seconds:.0f} s")
    assert there == rows, f"{table} holds {there:,} rows, more than the {rows:,} that were sent"
    return commit_rate(connection, table)


def commit_rate(connection: psycopg.Connection[Any], table: str) -> float:
    """Rows a second between the first and the last commit that made rows of a table; those of the first are not counted."""
    commits = connection.execute(
        "SELECT extract(epoch FROM pg_xact_commit_timestamp(xmin))::float AS at, count(*) "  # noqa: S608 - our own name
        f"FROM {table} GROUP BY xmin ORDER BY at"
    ).fetchall()
    assert len(commits) > 1, f"{table} was filled by one commit, which has no rate"
    return float(sum(number for _, number in commits[1:]) / (commits[-1][0] - commits[0][0]))


def count(connection: psycopg.Connection[Any], table: str) -> int:
    """How many rows the table holds."""
    return int(one(connection, f"SELECT count(*) FROM {table}"))  # noqa: S608 - a name of our own
