"""Makes the next version of a view beside the live one, and puts it in its place in one transaction (guarantee 5).

Readers keep the old view until then, and events go on into it if its version still can take them. The next one lies in
a file beside it (SQLite) or in a schema of its own (PostgreSQL), with its own offsets, so that a rebuild that was broken
off goes on where it stood. At the end the live view is held still for the last few events: both then stand at the same
offsets, and no reader sees the view go back.
"""

from __future__ import annotations

import fcntl
import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import sqlalchemy as sa

from contracts.errors import AnotherLog, DatabaseUnreachable, ViewOutdated
from projections import bulk
from projections.bulk import Collision
from projections.databases import open_view, reading, writing
from projections.engine import LogIdentity, ViewEngine, read_positions
from projections.tables import log as log_table
from projections.tables import metadata
from projections.verify import LogReader, Positions, follow
from projections.winners import Authority

NEXT = "onewindow_next"
"""The schema in which the next version grows; on SQLite the ending of its file."""

_NEAR = 2_000  # events behind, below which the live view may be held still for the rest
_LOCK = 0x0E_1D_0002
"""Key of PostgreSQL's advisory lock that a rebuild holds."""
_ATTEMPTS = 60  # a second apart, while the database or another writer is in the way

Progress = Callable[[int, int], None]
"""Gets (events folded, events in all)."""


class Rebuilt(NamedTuple):
    """What was done: events folded now, events that an earlier try had folded, seconds, and those of the swap."""

    events: int
    resumed: int
    seconds: float
    swap_s: float


def rebuild(
    url: str | sa.URL, authority: Authority, identity: LogIdentity, log: LogReader, progress: Progress
) -> Rebuilt:
    """Fold the log anew into the next version of the view at ``url``, and swap. The view may be written meanwhile. Waits for
    another rebuild that is at work.

    Raises DatabaseUnreachable when the database stays busy or away; run it again then, it goes on where it stood. What
    the log reader raises passes unchanged.
    """
    with _alone(url):
        return _rebuild(url, authority, identity, log, progress)


def renew(
    url: str | sa.URL, authority: Authority, identity: LogIdentity, log: LogReader, progress: Progress
) -> Rebuilt | None:
    """The same for a view that is outdated or empty, if it still is once no other rebuild is at work; None if it is not."""
    with _alone(url):
        live = open_view(url)
        try:
            view = ViewEngine(live, authority)
            view.prepare(identity)
            if view.positions():
                return None
        except ViewOutdated:
            pass  # that is what it is for
        finally:
            live.dispose()
        return _rebuild(url, authority, identity, log, progress)


@contextmanager
def _alone(url: str | sa.URL) -> Iterator[None]:
    """Keep other rebuilds of the same view waiting. The system, or the server, lets go of it when this process ends."""
    place, schema = next_url(sa.make_url(url))
    if schema is None:
        with Path(f"{place.database}.lock").open("a") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield
        return
    engine = open_view(url)
    try:
        with engine.connect() as connection:
            connection.execute(sa.select(sa.func.pg_advisory_lock(_LOCK)))
            connection.rollback()  # the lock is the session's
            yield
    finally:
        engine.dispose()


def _rebuild(
    url: str | sa.URL, authority: Authority, identity: LogIdentity, log: LogReader, progress: Progress
) -> Rebuilt:
    began = time.monotonic()
    live = open_view(url)
    growing = _prepared(live.url, authority, identity)
    try:
        resumed = sum(growing.positions().values())
        while True:
            ends = log.ends()
            behind = sum(ends.values()) - sum(growing.positions().values())
            if behind <= _NEAR:
                break
            follow(growing, log, ends, progress)
        swapping = time.monotonic()
        _swap(live, growing, identity, log, progress)
        ended = time.monotonic()
        return Rebuilt(sum(_positions(live).values()) - resumed, resumed, ended - began, ended - swapping)
    finally:
        growing.engine.dispose()
        live.dispose()


def _positions(engine: sa.Engine) -> Positions:
    with reading(engine) as view:
        return read_positions(view)


def next_url(url: sa.URL) -> tuple[sa.URL, str | None]:
    """Where the next version of a view grows: its URL, and on PostgreSQL the schema there."""
    if url.get_backend_name() == "sqlite":
        return url.set(database=f"{url.database}.{NEXT}"), None
    return url, NEXT


def _prepared(url: sa.URL, authority: Authority, identity: LogIdentity) -> ViewEngine:
    """The view that grows: as an earlier try left it, or empty if that was made otherwise."""
    place, schema = next_url(url)
    for _ in range(2):
        if schema is not None:
            _run(place, f'CREATE SCHEMA IF NOT EXISTS "{schema}"')
        growing = ViewEngine(open_view(place, schema=schema, synchronous="NORMAL"), authority)
        try:
            growing.prepare(identity)
        except (ViewOutdated, AnotherLog):
            growing.engine.dispose()
            discard(url)
        else:
            return growing
    raise AssertionError("an empty view is always as it should be")


def discard(url: sa.URL) -> None:
    """Throw away what a rebuild has made so far."""
    place, schema = next_url(url)
    if schema is None:
        for ending in ("", "-wal", "-shm"):
            Path(f"{place.database}{ending}").unlink(missing_ok=True)
        return
    _run(place, f'DROP SCHEMA IF EXISTS "{schema}" CASCADE')


def _run(url: sa.URL, statement: str) -> None:
    engine = open_view(url)
    with writing(engine) as view:
        view.exec_driver_sql(statement)
    engine.dispose()


def _swap(live: sa.Engine, growing: ViewEngine, identity: LogIdentity, log: LogReader, progress: Progress) -> None:
    """Hold the live view still, fold the rest, put the next one in its place. Tries again where another was in the way."""

    def catch_up(stands_at: Positions) -> None:
        known = (log.ends(), stands_at, growing.positions())
        places = {place for each in known for place in each}
        follow(growing, log, {place: max(each.get(place, 0) for each in known) for place in places}, progress)

    both = _with_both(live.url, growing.engine)
    try:
        for attempt in range(_ATTEMPTS):
            try:
                with writing(both, at_once=False) as view:  # the attached file still grows
                    _hold_still(view)
                    catch_up(_stands_at(view, identity))
                    _replace_all(view)
                break
            except (Collision, DatabaseUnreachable):
                if attempt + 1 == _ATTEMPTS:
                    raise
                time.sleep(1.0)
    finally:
        both.dispose()
    growing.engine.dispose()
    discard(live.url)


def _with_both(url: sa.URL, growing: sa.Engine) -> sa.Engine:
    """An engine on the live view that knows the next one by the name NEXT as well."""
    both = open_view(url)
    if both.dialect.name == "sqlite":

        @sa.event.listens_for(both, "connect")
        def attach(connection: sqlite3.Connection, _record: object) -> None:
            connection.execute(f"ATTACH DATABASE ? AS {NEXT}", (growing.url.database,))

    return both


def _hold_still(view: sa.Connection) -> None:
    """Whoever writes the live view waits until this transaction ends; readers do not."""
    if view.dialect.name == "sqlite":
        view.exec_driver_sql("CREATE TABLE main.onewindow_swap (held INTEGER)")
        view.exec_driver_sql("DROP TABLE main.onewindow_swap")
    elif "position" in sa.inspect(view).get_table_names():
        view.exec_driver_sql('LOCK TABLE "position" IN EXCLUSIVE MODE')


def _stands_at(view: sa.Connection, identity: LogIdentity) -> Positions:
    """The live view's offsets, if there is one and it follows this very log."""
    if not {"position", "log"} <= set(sa.inspect(view).get_table_names()):
        return {}
    known = {row.topic: (row.cluster_id, row.topic_id) for row in view.execute(sa.select(log_table))}
    ours = {topic: (identity.cluster_id, topic_id) for topic, topic_id in identity.topic_ids.items()}
    return {place: end for place, end in read_positions(view).items() if known.get(place[0]) == ours.get(place[0])}


def _replace_all(view: sa.Connection) -> None:
    """Make the live tables equal to the next ones. Only rows that differ are written, so readers go on undisturbed; a
    table that changed its columns is made anew, which only readers of the new program can read anyway."""
    inspector = sa.inspect(view)
    there = set(inspector.get_table_names())
    for table in metadata.tables.values():
        columns = [column.name for column in table.columns]
        if table.name in there and [column["name"] for column in inspector.get_columns(table.name)] != columns:
            view.exec_driver_sql(f'DROP TABLE "{table.name}"')
    metadata.create_all(view)
    for table in metadata.tables.values():
        bulk.replace(view, table, source=NEXT)
