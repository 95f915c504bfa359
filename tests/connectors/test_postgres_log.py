"""Log capture of a real PostgreSQL: copy and log join exactly, nothing is lost in silence, nothing is held for long."""

from __future__ import annotations

import random
import shutil
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Self

import psycopg
import pytest
from logsource import Department, Fold, kill, pull

from connectors import _log_channels, open_connector
from connectors._transactions import lsn_number
from connectors.base import Delete, Page, Upsert
from connectors.postgres import PostgresConnector
from connectors.sql import SqlConnector
from contracts.errors import (
    ColumnMissing,
    LogCaptureImpossible,
    OneWindowError,
    PositionLost,
    PrivilegeMissing,
    SourceBusy,
    SourceRefused,
    SourceUnreachable,
    TableMissing,
)
from examples.postgres import Postgres

PERSON = "CREATE TABLE person (id int PRIMARY KEY, name text, note text)"
ROWS = "INSERT INTO person SELECT i, 'n' || i, NULL FROM generate_series(1, {}) i"
OPTIONS = "-c wal_level=logical -c fsync=off -c max_replication_slots=40 -c max_wal_senders=40 -c deadlock_timeout=10ms"


@pytest.fixture(scope="module")
def server() -> Iterator[Postgres]:
    directory = Path(tempfile.mkdtemp(prefix="onewindow-log-"))  # not pytest's: run by root, the server is another user
    running = Postgres(directory / "pg", OPTIONS)
    running.start()
    yield running
    running.stop("immediate")
    shutil.rmtree(directory)


@pytest.fixture
def department(server: Postgres) -> Iterator[Department]:
    made = Department(server, PERSON)
    yield made
    made.close()


def until(holds: Callable[[], object], seconds: float = 20.0) -> None:
    """Look again and again until it holds; fail when it does not in time."""
    end = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < end, "it did not come about"
        time.sleep(0.01)


def lost(connector: PostgresConnector, fold: Fold, dataset: str = "person") -> PositionLost:
    """Pull until the position is lost; errors of a broken connection come before it, changes do not."""
    for _ in range(100):
        try:
            assert not any(page.changes for page in pull(connector, fold, dataset)), "changes were handed over"
        except PositionLost as error:
            return error
        except (SourceUnreachable, SourceBusy):
            continue
    pytest.fail("nothing was noticed")


def test_a_copy_and_then_what_is_committed(department):
    department.run(ROWS.format(250))
    connector, fold = department.connector(), Fold()
    copied = pull(connector, fold)
    assert [(len(page.changes), page.snapshot, page.mark) for page in copied] == [
        (100, True, None), (100, True, None), (50, True, "complete"),
    ]  # fmt: skip
    assert copied[-1].done == copied[-1].total == 250
    assert [change.record["id"] for change in fold.changes] == list(range(1, 251))
    with department.connection.transaction():
        department.run("UPDATE person SET name = 'changed' WHERE id = 7")
        department.run("DELETE FROM person WHERE id = 8")
        department.run("UPDATE person SET id = 1009 WHERE id = 9")
    department.run("INSERT INTO person VALUES (2000, 'new', E'a\\nb')")
    live = pull(connector, fold)
    changes = [change for page in live for change in page.changes]
    assert [type(change) for change in changes] == [Upsert, Delete, Delete, Upsert, Upsert]
    assert [change.key for change in changes] == ["7", "8", "9", "1009", "2000"]
    assert len({change.at for change in changes}) == 5
    assert len({change.committed_at for change in changes}) == 2
    assert not any(page.snapshot for page in live)
    assert fold.rows == department.table()
    assert pull(connector, fold) == []


def test_a_transaction_spans_pages_and_a_restart_in_it_goes_on(department):
    connector, fold = department.connector(), Fold()
    pull(connector, fold)
    department.run(ROWS.format(250))
    pages = connector.pull("person", fold.position)
    fold.take(next(pages))
    pages.close()
    assert fold.position["index"] == len(fold.changes) < 250
    connector.close()
    pull(department.connector(), fold)
    assert [change.record["id"] for change in fold.changes] == list(range(1, 251))


def test_a_page_that_was_not_kept_is_read_again(department):
    connector, fold = department.connector(), Fold()
    pull(connector, fold)
    department.run(ROWS.format(250))
    first = list(connector.pull("person", fold.position))
    again = pull(connector, fold)
    assert [c for page in again for c in page.changes] == [c for page in first for c in page.changes] != []


def test_many_small_transactions_share_a_page(department):
    connector, fold = department.connector(), Fold()
    pull(connector, fold)
    for number in range(50):
        department.run("INSERT INTO person VALUES (%s, 'n')", number)
    until(lambda: len(connector._stream.channels.look("person", 1_000).entries) > 100)  # each with its commit
    assert len(pull(connector, fold)) == 1
    assert fold.rows == department.table()


class Writers:
    """Connections that write at random until they are told to stop, in transactions of several statements."""

    def __init__(self, department: Department, count: int, seed: int) -> None:
        self._department, self._stop = department, threading.Event()
        self.commits = [0] * count
        self.errors: list[Exception] = []
        self._threads = [threading.Thread(target=self._write, args=(n, random.Random(seed + n))) for n in range(count)]

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join()
        assert self.errors == []
        assert min(self.commits) > 0

    def _write(self, number: int, chance: random.Random) -> None:
        try:
            with self._department.connect(autocommit=False) as connection:
                while not self._stop.is_set():
                    self._transaction(connection, chance)
                    self.commits[number] += 1
        except psycopg.Error as error:
            self.errors.append(error)

    def _transaction(self, connection: psycopg.Connection, chance: random.Random) -> None:
        try:
            for _ in range(chance.randint(1, 5)):
                key, other = chance.randint(1, 300), chance.randint(1, 300)
                kind = chance.random()
                if kind < 0.4:
                    connection.execute(
                        "INSERT INTO person VALUES (%s, %s, pg_current_xact_id()::text) ON CONFLICT (id) DO UPDATE"
                        " SET name = excluded.name, note = excluded.note",
                        (key, f"w{chance.random()}"),
                    )
                elif kind < 0.6:
                    connection.execute("DELETE FROM person WHERE id = %s", (key,))
                elif kind < 0.8:
                    connection.execute(
                        "UPDATE person SET id = %s, note = pg_current_xact_id()::text WHERE id = %s", (other, key)
                    )
                else:
                    with connection.transaction(force_rollback=chance.random() < 0.5):
                        connection.execute(
                            "UPDATE person SET note = pg_current_xact_id()::text WHERE id < %s", (key % 20,)
                        )
        except (psycopg.errors.UniqueViolation, psycopg.errors.DeadlockDetected):
            connection.rollback()
        else:
            connection.commit() if chance.random() < 0.9 else connection.rollback()


class Overlapless(Fold):
    """Each row says in ``note`` which transaction wrote it; what a copy has of one must not come from the log again."""

    copied: set[str]

    def again(self) -> None:
        super().again()
        self.copied = set()

    def take(self, page: Page) -> None:
        notes = {change.record["note"] for change in page.changes if isinstance(change, Upsert)} - {None}
        if page.snapshot:
            self.copied |= notes
        else:
            assert not notes & self.copied
        super().take(page)


@pytest.mark.parametrize("seed", [1, 2])
def test_copy_and_log_join_exactly_while_others_write(department, seed):
    department.run(ROWS.format(200))
    source = department.source(page_rows=20)
    connector, fold, chance = department.connector(source), Overlapless(), random.Random(seed)
    fold.again()
    pull(connector, fold)  # from now on no open transaction must be waited for
    with Writers(department, 4, seed) as writers:
        for number in range(8):
            long = department.connect(autocommit=False)  # open before, during and after the copy
            long.execute("INSERT INTO person VALUES (%s, 'long, before')", (1000 + number,))
            fold.again()
            pages = connector.pull("person", None)
            fold.take(next(pages))
            long.execute("UPDATE person SET name = 'long, during' WHERE id = %s", (1000 + number,))
            if number % 2:
                for page in pages:
                    fold.take(page)
                    if page.mark:
                        break
            pages.close()
            long.execute("INSERT INTO person VALUES (%s, 'long, after')", (2000 + number,))
            if chance.random() < 0.5:  # a restart, in the middle of the copy or after it
                connector.close()
                long.commit()
                connector = department.connector(source)
                pull(connector, Fold(), confirm=False)  # from now on no open transaction must be waited for
            else:
                if number % 2:
                    pull(connector, fold)
                long.commit()
            long.close()
            if fold.position["phase"] == "snapshot":
                with pytest.raises(PositionLost, match="broke off"):
                    pull(connector, fold)
                fold.again()
            before = sum(writers.commits)
            until(lambda at=before: sum(writers.commits) > at + 20)
            pull(connector, fold)
    fold.pages.clear()
    pull(connector, fold)
    assert fold.rows == department.table()
    pull(connector, fold)
    assert fold.rows == department.table()


@contextmanager
def not_yet_visible(department: Department, statement: str) -> Iterator[None]:
    """Within, a transaction is committed in the log, and does not show to others: it waits for a standby there is none of."""
    first, writer, waits = department.connect(), department.connect(), threading.Event()

    def try_until_commits_wait() -> None:
        while not waits.is_set():
            first.execute("SELECT pg_logical_emit_message(true, 'nothing', 'nothing')")

    def waiting(connection: psycopg.Connection) -> list:
        return department.run(
            "SELECT pid FROM pg_stat_activity WHERE wait_event = 'SyncRep' AND pid = %s", connection.info.backend_pid
        )

    threads = [
        threading.Thread(target=try_until_commits_wait),
        threading.Thread(target=writer.execute, args=(statement,)),
    ]
    department.run("SET synchronous_commit = local")
    department.run("ALTER SYSTEM SET synchronous_standby_names = 'nobody'")
    department.run("SELECT pg_reload_conf()")
    try:
        threads[0].start()
        until(lambda: waiting(first))
        threads[1].start()
        until(lambda: waiting(writer))
        yield
    finally:
        waits.set()
        department.run("ALTER SYSTEM RESET synchronous_standby_names")
        department.run("SELECT pg_reload_conf()")
        for thread in threads:
            if thread.ident:
                thread.join()
        first.close()
        writer.close()


def test_what_is_in_the_log_before_it_shows_comes_from_the_log(department):
    department.run(ROWS.format(2))
    connector, fold = department.connector(), Fold()
    pull(connector, fold)
    with not_yet_visible(department, "UPDATE person SET name = 'late' WHERE id = 1"):
        until(lambda: connector._stream.channels.look("person", 9).entries)
        fold.again()
        pages = pull(connector, fold)
        assert {change.record["name"] for change in pages[0].changes} == {"n1", "n2"}
    assert fold.rows["1"]["name"] == "late"


def test_what_was_taken_from_the_log_before_it_shows_is_waited_for_by_a_copy(department, monkeypatch):
    monkeypatch.setattr("connectors.postgres.SETTLE_S", 0.05)
    department.run(ROWS.format(2))
    connector, fold = department.connector(), Fold()
    pull(connector, fold)
    with not_yet_visible(department, "UPDATE person SET name = 'late' WHERE id = 1"):
        until(lambda: pull(connector, fold))
        fold.again()
        with pytest.raises(SourceBusy):
            pull(connector, fold)
    pull(connector, fold)
    assert fold.rows["1"]["name"] == "late"


def test_a_first_copy_waits_for_transactions_that_were_open_when_the_slot_was_made(department, monkeypatch):
    monkeypatch.setattr("connectors.postgres.SETTLE_S", 0.05)
    department.run(ROWS.format(3))
    connector, fold = department.connector(), Fold()
    connector._stream.ensure("person")
    with department.connect(autocommit=False) as early:
        early.execute("UPDATE person SET name = 'early' WHERE id = 2")
        with pytest.raises(SourceBusy, match="open since"):
            pull(connector, fold)
        early.commit()
    pull(connector, fold)
    assert fold.rows["2"]["name"] == "early"


def test_a_dataset_that_is_added_later_joins_the_same_slot(department):
    department.run("CREATE TABLE pet (id int PRIMARY KEY, name text)")
    department.run("INSERT INTO pet VALUES (1, 'a')")
    both = {name: {"table": name, "key": ["id"], "map": {"name": "name"}} for name in ("person", "pet")}
    connector, people, pets = department.connector(), Fold(), Fold()
    pull(connector, people)
    connector.close()
    department.run(ROWS.format(5))
    connector = department.connector(department.source(both))
    pull(connector, pets, "pet")
    department.run("UPDATE pet SET name = 'b'")
    pull(connector, pets, "pet")
    pull(connector, people)
    assert (pets.rows, people.rows) == (department.table("pet"), department.table())
    assert not any(page.snapshot for page in people.pages[1:])
    assert department.run("SELECT count(*) FROM pg_replication_slots WHERE slot_name = %s", department.slot) == [(1,)]


def test_an_emptied_table_is_said_once(department):
    department.run(ROWS.format(3))
    connector, fold = department.connector(), Fold()
    pull(connector, fold)
    with department.connection.transaction():
        department.run("INSERT INTO person VALUES (4, 'gone too')")
        department.run("TRUNCATE person")
        department.run("INSERT INTO person VALUES (5, 'after')")
    assert [(len(page.changes), page.mark) for page in pull(connector, fold)] == [(1, None), (0, "cleared"), (1, None)]
    assert list(fold.rows) == ["5"]


@pytest.mark.parametrize("identity", ["DEFAULT", "FULL"])
def test_large_values_that_an_update_left_alone_are_there(department, identity):
    department.run("ALTER TABLE person ALTER note SET STORAGE EXTERNAL")
    department.run(f"ALTER TABLE person REPLICA IDENTITY {identity}")
    connector, fold = department.connector(), Fold()
    pull(connector, fold)
    note = "汉字" * 20_000
    department.run("INSERT INTO person VALUES (1, 'a', %s), (2, 'b', %s), (3, 'c', %s)", note, note, note)
    department.run("UPDATE person SET name = name || '!'")
    department.run("UPDATE person SET name = name || '?', id = id + 10 WHERE id = 3")
    department.run("DELETE FROM person WHERE id = 2")
    pull(connector, fold)
    assert fold.rows == department.table()
    assert {len(row["note"]) for row in fold.rows.values()} == {40_000}


def test_values_are_those_of_the_sql_connector(department):
    columns = {
        "small": ("smallint", "-3"), "big": ("bigint", "9223372036854775807"), "money": ("numeric(12,2)", "'-0.10'"),
        "tiny": ("numeric", "0.0000001"), "zero": ("numeric", "0.00000000"), "no_number": ("numeric", "'NaN'"),
        "endless": ("numeric", "'-Infinity'"), "real": ("real", "0.1"), "double": ("double precision", "1e300"),
        "nan": ("double precision", "'NaN'"), "minus": ("double precision", "'-Infinity'"),
        "text": ("text", "E'a\"b''c\\n\\t\\\\李·𠮷'"), "empty": ("text", "''"), "padded": ("char(5)", "'ab'"),
        "nothing": ("text", "NULL"), "yes": ("boolean", "true"), "no": ("boolean", "false"), "day": ("date", "'1950-01-02'"),
        "old": ("date", "'0044-03-15 BC'"), "ever": ("date", "'infinity'"), "at": ("timestamp", "'2026-01-02 03:04:05.6'"),
        "ever_at": ("timestamp", "'-infinity'"), "old_at": ("timestamp", "'0044-03-15 10:00:00 BC'"),
        "far_at": ("timestamptz", "'12026-01-02 03:04:05+08'"), "instant": ("timestamptz", "'2026-01-02 03:04:05.678901+08'"),
        "clock": ("time", "'03:04:05'"), "zoned": ("timetz", "'03:04:05+08'"), "span": ("interval", "'1 year 2 days 3.5 s'"),
        "bytes": ("bytea", "'\\x00ff'"), "ident": ("uuid", "'a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11'"),
        "json": ("json", """'{"a": [1, 2.5, null, "李"], "n": 123456789012345678901}'"""), "jsonb": ("jsonb", "'[true]'"),
        "ints": ("int[]", "'{1,NULL,3}'"), "texts": ("text[]", """'{"a b",NULL,"c\\"d"}'"""), "days": ("date[]", "'{2026-01-02}'"),
        "grid": ("int[]", "'{{1,2},{3,4}}'"), "mood": ("mood", "'sad'"), "moods": ("mood[]", "'{sad,ok}'"), "code": ("code", "'37'"),
        "address": ("inet", "'192.168.0.1/24'"), "net": ("cidr", "'10.0.0.0/8'"),
    }  # fmt: skip
    department.run("CREATE TYPE mood AS ENUM ('sad', 'ok')")
    department.run("CREATE DOMAIN code AS varchar(6)")
    listed = ", ".join(f"{name} {kind}" for name, (kind, _) in columns.items())
    department.run(f"CREATE TABLE wide (id int PRIMARY KEY, updated_at timestamptz NOT NULL DEFAULT now(), {listed})")
    insert = (
        f"INSERT INTO wide (id, {', '.join(columns)}) VALUES (%s, {', '.join(value for _, value in columns.values())})"
    )
    department.run(insert, 1)
    wide = {"wide": {"table": "wide", "key": ["id"], "cursor": "updated_at", "map": {"name": "text"}}}
    connector, fold = department.connector(department.source(wide)), Fold()
    pull(connector, fold, "wide")
    department.run(insert, 2)
    pull(connector, fold, "wide")
    polled = SqlConnector(department.source(wide, capture="poll"))
    (page,) = polled.pull("wide", None)
    polled.close()
    expected = {change.key: change.record for change in page.changes}
    for key in ("1", "2"):  # one from the table, one from the log
        for name in columns:
            assert fold.rows[key][name] == expected[key][name], (key, name)
            assert type(fold.rows[key][name]) is type(expected[key][name]), (key, name)
        assert fold.rows[key].keys() == expected[key].keys()


def test_keys_are_those_of_the_sql_connector(department):
    department.run("CREATE TABLE odd (a text, b timestamptz, c numeric, name text, PRIMARY KEY (a, b, c))")
    department.run("INSERT INTO odd VALUES ('x|y', '2026-01-02 03:04:05+08', 1.50, 'n')")
    odd = {"odd": {"table": "odd", "key": ["a", "b", "c"], "cursor": "b", "map": {"name": "name"}}}
    connector, fold = department.connector(department.source(odd)), Fold()
    pull(connector, fold, "odd")
    department.run("UPDATE odd SET name = 'm'")
    pull(connector, fold, "odd")
    polled = SqlConnector(department.source(odd, capture="poll"))
    (page,) = polled.pull("odd", None)
    polled.close()
    assert {change.key for change in fold.changes} == {change.key for change in page.changes}


# what the server keeps -------------------------------------------------------------------------------------------------


def confirmed(department: Department) -> int:
    ((lsn,),) = department.run(
        "SELECT confirmed_flush_lsn FROM pg_replication_slots WHERE slot_name = %s", department.slot
    )
    return lsn_number(lsn)


def test_the_server_forgets_only_what_every_dataset_confirmed(department, monkeypatch):
    monkeypatch.setattr("connectors._log_reader.TELL_S", 0.02)
    department.run("CREATE TABLE pet (id int PRIMARY KEY, name text)")
    both = {name: {"table": name, "key": ["id"], "map": {"name": "name"}} for name in ("person", "pet")}
    connector, people, pets = department.connector(department.source(both), heartbeat_s=0), Fold(), Fold()
    pull(connector, people)
    pull(connector, pets, "pet")
    saved = people.position  # the last that was confirmed: an idle dataset moves on as well
    department.run(ROWS.format(5))
    department.run("INSERT INTO pet VALUES (1, 'a')")
    pull(connector, people, confirm=False)
    pull(connector, pets, "pet")
    connector.close()
    stands = confirmed(department)
    assert stands < lsn_number(people.position["lsn"])
    again = Fold(position=saved)
    connector = department.connector(department.source(both), heartbeat_s=0)
    connector.confirm("pet", pets.position)  # as it was saved
    pull(connector, again)
    assert [change.key for change in again.changes] == ["1", "2", "3", "4", "5"]
    pull(connector, pets, "pet")
    until(lambda: confirmed(department) > stands)


def test_an_idle_dataset_holds_nothing_back_while_others_write(department, monkeypatch):
    monkeypatch.setattr("connectors._log_reader.TELL_S", 0.02)
    other = Department(department.server, "CREATE TABLE busy (id int)")
    connector, fold = department.connector(heartbeat_s=0), Fold()
    pull(connector, fold)
    before = confirmed(department)
    other.run("INSERT INTO busy SELECT generate_series(1, 20000)")
    ((end,),) = department.run("SELECT pg_current_wal_flush_lsn()")

    def moves() -> bool:
        pull(connector, fold)
        return confirmed(department) >= lsn_number(end) > before

    until(moves)
    assert fold.changes == []
    other.close()


def test_what_the_server_keeps_is_warned_of_and_bounded(department):
    source = department.source(wal_warn_mb=1, wal_limit_mb=4)
    connector, fold = department.connector(source), Fold()
    pull(connector, fold)
    department.run("INSERT INTO person SELECT i, repeat('x', 200) FROM generate_series(1, 8000) i")
    until(lambda: connector._stream.retained_bytes > 1 << 20)
    pull(connector, fold, confirm=False)
    assert ["max_slot_wal_keep_size" in note for page in fold.pages for note in page.notes] == [True]
    department.run("UPDATE person SET name = repeat('y', 300)")
    until(lambda: not department.run("SELECT FROM pg_replication_slots WHERE slot_name = %s", department.slot))
    with pytest.raises(PositionLost, match="wal_limit_mb"):
        list(connector.pull("person", fold.position))
    fold.again()
    pull(connector, fold)
    assert fold.rows == department.table()


def test_a_dataset_that_is_not_pulled_holds_up_no_other(department, monkeypatch):
    monkeypatch.setattr(_log_channels, "IDLE_S", 0.05)
    department.run("CREATE TABLE pet (id int PRIMARY KEY, name text)")
    both = {name: {"table": name, "key": ["id"], "map": {"name": "name"}} for name in ("person", "pet")}
    connector, people, pets = department.connector(department.source(both), held_bytes=20_000), Fold(), Fold()
    pull(connector, people)
    pull(connector, pets, "pet")
    department.run("INSERT INTO pet SELECT i, 'p' FROM generate_series(1, 2000) i")
    department.run(ROWS.format(2000))
    until(lambda: pull(connector, people) is not None and len(people.rows) == 2000)
    assert connector._stream.channels.look("pet", 1).cut
    until(lambda: pull(connector, pets, "pet") is not None and len(pets.rows) == 2000)
    department.run("UPDATE person SET name = 'more' WHERE id = 1")
    pull(connector, people)
    assert (people.rows, pets.rows) == (department.table(), department.table("pet"))
    assert len(people.changes) == 2001, "what was given is not given again"


def test_what_is_held_is_bounded_and_all_of_it_comes(department):
    connector, fold = department.connector(held_bytes=50_000), Fold()
    pull(connector, fold)
    department.run(ROWS.format(5000))
    until(lambda: pull(connector, fold) is not None and len(fold.rows) == 5000)
    assert len(fold.changes) == 5000


# lost positions --------------------------------------------------------------------------------------------------------


def drop_slot(department: Department) -> None:
    """Behind the connector's back."""
    department.run(
        "SELECT pg_terminate_backend(active_pid) FROM pg_replication_slots WHERE slot_name = %s", department.slot
    )

    def dropped() -> bool:
        try:
            department.run("SELECT pg_drop_replication_slot(%s)", department.slot)
        except psycopg.errors.ObjectInUse:  # the connector was back first: what a DBA would do is done again
            department.run(
                "SELECT pg_terminate_backend(active_pid) FROM pg_replication_slots WHERE slot_name = %s",
                department.slot,
            )
            return False
        return True

    until(dropped)


@pytest.mark.parametrize("recreated", [False, True])
@pytest.mark.parametrize("running", [False, True])
def test_a_slot_that_was_dropped_is_noticed_before_anything_is_given(department, recreated, running):
    department.run(ROWS.format(5))
    connector, fold = department.connector(), Fold()
    pull(connector, fold)
    if not running:
        connector.close()
        connector = department.connector()
    drop_slot(department)
    department.run("DELETE FROM person WHERE id = 1")
    if recreated:
        department.run("SELECT pg_create_logical_replication_slot(%s, 'pgoutput')", department.slot)
    department.run("UPDATE person SET name = 'after' WHERE id = 2")
    error = lost(connector, fold)
    assert department.slot in error.finding
    fold.again()
    pull(connector, fold)
    assert fold.rows == department.table()
    assert pull(connector, fold) == []


@pytest.mark.parametrize(
    "change",
    [
        {"system_identifier": "1"},
        {"timeline": 7},
        {"slot": "onewindow_other"},
        {"table": "1/1"},
        {"lsn": "FFFF/0"},  # of a server that has been restored since
        {"lsn": "0/1"},  # of a slot that has moved on
    ],
)
def test_a_position_of_elsewhere_is_lost(department, change):
    connector, fold = department.connector(), Fold()
    pull(connector, fold)
    connector.close()
    department.run(ROWS.format(5))
    fold.position |= change
    connector = department.connector()
    lost(connector, fold)
    lost(connector, fold)


@pytest.mark.parametrize(
    "statements",
    [
        ["DROP TABLE person", PERSON],
        ["ALTER PUBLICATION {} DROP TABLE person", "ALTER PUBLICATION {} ADD TABLE person"],
        ["DROP PUBLICATION {}"],
    ],
)
def test_a_table_or_publication_that_was_made_anew_is_read_again(department, statements):
    department.run(ROWS.format(5))
    connector, fold = department.connector(), Fold()
    pull(connector, fold)
    for statement in statements:
        department.run(statement.format(department.slot))
    department.run("INSERT INTO person VALUES (77, 'after')")
    noticed = False
    for _ in range(200):
        try:
            pull(connector, fold)
        except PositionLost:
            noticed = True
            break
        except (SourceUnreachable, SourceBusy):
            continue
    assert noticed
    fold.again()
    pull(connector, fold)
    assert fold.rows == department.table()


def test_a_slot_whose_log_the_server_gave_up_is_made_anew(department):
    connector, fold = department.connector(), Fold()
    pull(connector, fold)
    connector.close()
    department.run("ALTER SYSTEM SET max_slot_wal_keep_size = '1MB'")
    department.run("SELECT pg_reload_conf()")
    try:
        for number in range(6):
            department.run("INSERT INTO person VALUES (%s, 'n')", number)
            department.run("SELECT pg_switch_wal()")
            department.run("CHECKPOINT")
        assert department.run("SELECT wal_status FROM pg_replication_slots WHERE slot_name = %s", department.slot) == [
            ("lost",)
        ]
        connector = department.connector()
        assert "lost what it should have kept" in lost(connector, fold).finding
    finally:
        department.run("ALTER SYSTEM RESET max_slot_wal_keep_size")
        department.run("SELECT pg_reload_conf()")
    fold.again()
    pull(connector, fold)
    assert fold.rows == department.table()


def test_a_crash_of_the_server_in_mid_transaction_loses_and_invents_nothing(department):
    connector, fold = department.connector(), Fold()
    pull(connector, fold)
    department.run(ROWS.format(500))
    pages = connector.pull("person", fold.position)
    fold.take(next(pages))  # in the middle of a transaction
    pages.close()
    open_one = department.connect(autocommit=False)
    open_one.execute("INSERT INTO person VALUES (9000, 'never committed')")
    kill(department.server)
    open_one.close()
    department.server.start()
    department.reconnect()
    department.run("INSERT INTO person VALUES (501, 'after')")
    until(lambda: tried(connector, fold) and len(fold.rows) == 501)
    assert fold.rows == department.table()


def tried(connector: PostgresConnector, fold: Fold) -> bool:
    try:
        pull(connector, fold)
    except (SourceUnreachable, SourceBusy):
        return False
    return True


# what a department does, and lacks --------------------------------------------------------------------------------------


def test_new_columns_come_along_and_a_lost_one_is_waited_for(department):
    department.run(ROWS.format(2))
    connector, fold = department.connector(), Fold()
    pull(connector, fold)
    department.run("ALTER TABLE person ADD phone text DEFAULT '139'")
    department.run("UPDATE person SET note = 'x' WHERE id = 1")
    pull(connector, fold)
    assert fold.rows["1"] == {"id": 1, "name": "n1", "note": "x", "phone": "139"}
    department.run("ALTER TABLE person RENAME name TO full_name")
    department.run("UPDATE person SET note = 'y' WHERE id = 2")
    for _ in range(2):
        with pytest.raises(ColumnMissing, match="no column name"):
            pull(connector, fold)
    department.run("ALTER TABLE person RENAME full_name TO name")
    with pytest.raises(PositionLost, match="for a while"):
        pull(connector, fold)
    fold.again()
    pull(connector, fold)
    assert fold.rows == department.table()


def test_a_table_without_identity_is_never_published_for_that_would_stop_its_owner(department):
    department.run("CREATE TABLE bare (id int, name text)")
    department.run("INSERT INTO bare VALUES (1, 'a')")
    both = {name: {"table": name, "key": ["id"], "map": {"name": "name"}} for name in ("person", "bare")}
    connector = department.connector(department.source(both))
    with pytest.raises(LogCaptureImpossible, match="REPLICA IDENTITY FULL"):
        list(connector.pull("bare", None))
    pull(connector, Fold())
    department.run("UPDATE bare SET name = 'b'")  # PostgreSQL would refuse it
    department.run("ALTER TABLE bare REPLICA IDENTITY FULL")
    fold = Fold()
    pull(connector, fold, "bare")
    department.run("UPDATE bare SET id = 2")
    pull(connector, fold, "bare")
    assert fold.rows == department.table("bare")


def reader(department: Department, *grants: str) -> str:
    """A login of least right; its URL."""
    name = f"r_{department.system}"
    department.run(f"CREATE ROLE {name} LOGIN PASSWORD 'secret'")
    for grant in grants:
        department.run(grant.format(name))
    return f"postgresql://{name}@127.0.0.1:{department.server.port}/{department.database}"


def test_a_login_of_least_right_needs_these_grants_and_each_is_named(department):
    department.run(ROWS.format(3))
    url = reader(department, "ALTER ROLE {} SET default_transaction_read_only = on")
    source, name = department.source(url=url), f"r_{department.system}"
    for statement, words in (
        (f"CREATE PUBLICATION {department.slot} FOR TABLE person", "ADD TABLE"),
        (f"ALTER ROLE {name} REPLICATION", "REPLICATION"),
        (f"GRANT SELECT ON person TO {name}", "GRANT SELECT"),
    ):
        connector = department.connector(source, password="secret")
        with pytest.raises(PrivilegeMissing) as error:
            list(connector.pull("person", None))
        assert words in error.value.fix
        failed = [finding for finding in connector.check() if finding.level == "fail"]
        assert any(words in finding.text for finding in failed)
        assert all("secret" not in finding.text for finding in failed)
        connector.close()
        department.run(statement)
    fold = Fold()
    connector = department.connector(source, password="secret")
    pull(connector, fold)
    department.run("DELETE FROM person WHERE id = 1")
    pull(connector, fold)
    assert fold.rows == department.table()
    assert [finding for finding in connector.check() if finding.level == "fail"] == []
    assert any("not read now" not in finding.text and department.slot in finding.text for finding in connector.check())
    connector.close()
    department.run(f"DROP OWNED BY {name}")
    department.run(f"DROP ROLE {name}")


def test_each_wrong_setting_has_its_error(department):
    def error(**connector: str) -> type[OneWindowError]:
        made = department.connector(department.source(**connector), password="wrong")
        with pytest.raises(OneWindowError) as caught:
            list(made.pull("person", None))
        return type(caught.value)

    nobody = f"postgresql://nobody@127.0.0.1:{department.server.port}/{department.database}"
    assert error(url=nobody) is SourceRefused
    assert error(url="postgresql://postgres@127.0.0.1:1/x") is SourceUnreachable
    missing = {"person": {"table": "nowhere", "key": ["id"], "map": {"name": "name"}}}
    with pytest.raises(TableMissing):
        list(department.connector(department.source(missing)).pull("person", None))
    wrong = {"person": {"table": "person", "key": ["id"], "map": {"name": "nombre"}}}
    with pytest.raises(ColumnMissing):
        list(department.connector(department.source(wrong)).pull("person", None))
    polled = open_connector(department.source(capture="poll"), state=department.server.directory)
    assert isinstance(polled, SqlConnector)
    polled.close()
