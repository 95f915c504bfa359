"""The SQL connector on SQLite and on PostgreSQL: every row once, nothing lost between two looks."""

from __future__ import annotations

import threading
import traceback
from contextlib import ExitStack
from itertools import islice
from pathlib import Path

import psycopg
import pytest
import sqlalchemy as sa
from hypothesis import given
from hypothesis import strategies as st

from connectors._tables import spelled_out
from connectors.base import Page
from connectors.sql import SqlConnector
from contracts.errors import (
    ColumnMissing,
    OneWindowError,
    PositionLost,
    PrivilegeMissing,
    SettingInvalid,
    SourceRefused,
    SourceUnreachable,
    TableMissing,
)
from contracts.sources import Source


def source(url: str, *, table: str = "person", page_rows: int = 3, overlap_s: float = 10.0, **dataset) -> Source:
    return Source.model_validate(
        {
            "system": "hrss",
            "title": "人社",
            "owner": "信息中心",
            "connector": {"kind": "sql", "url": url, "page_rows": page_rows, "overlap_s": overlap_s},
            "datasets": {
                "person": {"table": table, "key": ["id"], "cursor": "updated_at", "map": {"name": "name"}} | dataset
            },
        }
    )


def pages(connector: SqlConnector, after=None) -> list[Page]:
    found = list(islice(connector.pull("person", after), 1_000))  # a broken loop fails and does not hang
    assert len(found) < 1_000
    return found


def rows(found: list[Page]) -> list[dict]:
    return [change.record for page in found for change in page.changes]


@pytest.fixture
def opened():
    """What a test opens and does not close itself: tables and connectors."""
    with ExitStack() as stack:

        def opened(item):
            stack.callback(item.close)
            return item

        yield opened


class OnSqlite:
    """A table in a file of its own."""

    def __init__(self, path: Path) -> None:
        path.unlink(missing_ok=True)
        self.url = f"sqlite:///{path}"
        self.engine = sa.create_engine(self.url)
        with self.engine.begin() as tx:
            tx.execute(
                sa.text(
                    "CREATE TABLE person (id VARCHAR NOT NULL PRIMARY KEY, name VARCHAR, updated_at DATETIME NOT NULL)"
                )
            )

    def put(self, items) -> None:
        with self.engine.begin() as tx:
            for key, stamp in items:
                tx.execute(
                    sa.text("INSERT OR REPLACE INTO person VALUES (:id, :name, :at)"),
                    {"id": key, "name": f"n{key}{stamp}", "at": f"2026-01-01 00:00:{stamp:02d}"},
                )

    def close(self) -> None:
        self.engine.dispose()


KEYS = st.text("aAbB|é李\\ ", min_size=1, max_size=3)
ROWS = st.lists(st.tuples(KEYS, st.integers(0, 3)), max_size=25, unique_by=lambda item: item[0])


@given(items=ROWS, page_rows=st.integers(1, 7), later=ROWS)
def test_every_row_comes_exactly_once_and_in_order_whatever_ties(tmp_path_factory, items, page_rows, later):
    table = OnSqlite(tmp_path_factory.getbasetemp() / "ties.db")
    table.put(items)
    connector = SqlConnector(source(table.url, page_rows=page_rows))
    found = pages(connector)
    assert sorted((row["id"], row["updated_at"]) for row in rows(found)) == sorted(
        (key, f"2026-01-01T00:00:{stamp:02d}") for key, stamp in items
    )
    order = [(row["updated_at"], row["id"].encode()) for row in rows(found)]
    assert order == sorted(order)
    assert all(page.snapshot for page in found)
    assert found[-1].done == found[-1].total == len(items)
    assert len({change.key for page in found for change in page.changes}) == len(items)
    # what is written later comes once too, even with cursor values below those already read
    new = [(key, stamp) for key, stamp in later if (key, stamp) not in items]
    table.put(new)
    more = pages(connector, found[-1].position)
    assert sorted((row["id"], row["updated_at"]) for row in rows(more)) == sorted(
        (key, f"2026-01-01T00:00:{stamp:02d}") for key, stamp in new
    )
    assert not any(page.snapshot for page in more)
    assert pages(connector, more[-1].position if more else found[-1].position) == []
    connector.close()
    table.close()


@given(items=ROWS, page_rows=st.integers(1, 7))
def test_reading_resumes_after_every_page(tmp_path_factory, items, page_rows):
    table = OnSqlite(tmp_path_factory.getbasetemp() / "resume.db")
    table.put(items)
    position, found = None, []
    for _ in range(100):
        connector = SqlConnector(source(table.url, page_rows=page_rows))  # as after a crash: nothing is remembered
        page = next(connector.pull("person", position))
        connector.close()
        found.append(page)
        position = page.position
        if position["phase"] == "live":
            break
    assert sorted(row["id"] for row in rows(found)) == sorted(key for key, _ in items)
    table.close()


@pytest.mark.parametrize("page_rows", [1, 2, 100])
def test_a_restart_reads_the_overlap_again_with_the_same_identity(tmp_path, page_rows, opened):
    table = opened(OnSqlite(tmp_path / "a.db"))
    table.put([("a", 0), ("b", 20), ("c", 25)])
    connector = opened(SqlConnector(source(table.url, page_rows=page_rows)))
    before = pages(connector)
    again = pages(opened(SqlConnector(source(table.url, page_rows=page_rows))), before[-1].position)
    known = {(change.key, change.at) for page in before for change in page.changes}
    repeated = [(change.key, change.at) for page in again for change in page.changes]
    assert repeated == [(key, at) for key, at in sorted(known) if key in "bc"]


def test_a_page_that_was_given_but_not_kept_is_given_again(tmp_path, opened):
    table = opened(OnSqlite(tmp_path / "a.db"))
    table.put([("a", 0), ("b", 20)])
    connector = opened(SqlConnector(source(table.url)))
    saved = pages(connector)[-1].position
    table.put([("late", 15)])
    lost = pages(connector, saved)
    assert [row["id"] for row in rows(lost)] == ["late"]
    assert "late" in [row["id"] for row in rows(pages(connector, saved))]


class Reader:
    """What a connector's pages add up to; a lost position is followed by reading from the beginning."""

    def __init__(self, connector: SqlConnector) -> None:
        self.connector, self.position = connector, None
        self.records: dict[str, dict] = {}
        self.read: set[str] = set()
        self.notes: list[str] = []
        self.lost = 0

    def look(self) -> None:
        try:
            found = pages(self.connector, self.position)
        except PositionLost:
            self.lost, self.position, self.read = self.lost + 1, None, set()
            self.look()
            found = pages(self.connector, self.position)
        for page in found:
            self.position = page.position
            self.notes += page.notes
            for change in page.changes:
                self.records[change.key] = change.record
                self.read.add(change.key)
            if page.mark == "complete":
                self.records = {key: record for key, record in self.records.items() if key in self.read}


@pytest.mark.parametrize("page_rows", [1, 3, 100])
def test_a_source_that_was_restored_to_an_older_state_is_read_again(tmp_path, page_rows, opened):
    table = opened(OnSqlite(tmp_path / "a.db"))
    table.put([(f"k{number}", number % 20) for number in range(20)])
    older = (tmp_path / "a.db").read_bytes()
    reader = Reader(opened(SqlConnector(source(table.url, page_rows=page_rows))))
    reader.look()
    table.put([("k1", 50), ("new", 55)])
    reader.look()
    assert reader.lost == 0
    assert {"k1", "new"} <= reader.records.keys()
    (tmp_path / "older.db").write_bytes(older)
    (tmp_path / "older.db").replace(tmp_path / "a.db")
    for _ in range(3):
        reader.look()
    assert reader.lost == 1
    assert "new" not in reader.records
    assert reader.records["k1"]["updated_at"] == "2026-01-01T00:00:01"
    assert len(reader.records) == 20


def test_a_restored_table_that_lacks_too_many_deletes_nobody(tmp_path, opened):
    table = opened(OnSqlite(tmp_path / "a.db"))
    table.put([(f"k{number}", 1) for number in range(10)])
    few = opened(OnSqlite(tmp_path / "few.db"))
    few.put([("k1", 2)])
    reader = Reader(opened(SqlConnector(source(table.url))))
    reader.look()
    table.put([("k2", 50)])
    reader.look()
    (tmp_path / "few.db").replace(tmp_path / "a.db")
    reader.look()
    assert reader.lost == 1
    assert len(reader.records) == 10
    assert ["person has 1 rows, 9 fewer than" in note for note in reader.notes] == [True]


def test_an_emptied_table_is_not_taken_for_a_restored_one(tmp_path, opened):
    table = opened(OnSqlite(tmp_path / "a.db"))
    table.put([("a", 1)])
    reader = Reader(opened(SqlConnector(source(table.url))))
    reader.look()
    with table.engine.begin() as tx:
        tx.execute(sa.text("DELETE FROM person"))
    reader.look()
    assert (reader.lost, list(reader.records)) == (0, ["a"])


def test_a_deleted_newest_row_within_the_overlap_is_no_restored_state(tmp_path, opened):
    table = opened(OnSqlite(tmp_path / "a.db"))
    table.put([("a", 50), ("b", 55)])
    reader = Reader(opened(SqlConnector(source(table.url))))
    reader.look()
    with table.engine.begin() as tx:
        tx.execute(sa.text("DELETE FROM person WHERE id = 'b'"))
    reader.look()
    assert reader.lost == 0


def test_spelled_out_comparison_means_the_same():
    engine = sa.create_engine("sqlite://")
    table = sa.Table("t", sa.MetaData(), *(sa.Column(name, sa.Integer) for name in "abc"))
    table.metadata.create_all(engine)
    triples = [(a, b, c) for a in range(3) for b in range(3) for c in range(3)]
    with engine.begin() as tx:
        tx.execute(table.insert(), [dict(zip("abc", triple, strict=True)) for triple in triples])
        for triple in triples:
            where = spelled_out(list(table.c), [sa.literal(value) for value in triple])
            found = [tuple(row) for row in tx.execute(sa.select(table).where(where))]
            assert sorted(found) == [other for other in triples if other > triple]
    engine.dispose()


# PostgreSQL ----------------------------------------------------------------------------------------------------------

DDL = """
CREATE TABLE person (
  id bigint PRIMARY KEY, name text, birth date, wage numeric(12,2), photo bytea, note jsonb, code char(4), tags text[],
  seen timestamp, until timestamptz, pause interval,
  updated_at timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX ON person (updated_at, id);
"""


@pytest.fixture
def database(postgres):
    name = postgres.new_database()
    with psycopg.connect(postgres.conninfo(name), autocommit=True) as connection:
        connection.execute(DDL)
    return name


@pytest.fixture
def connect(postgres, database):
    opened = []

    def make(**options) -> psycopg.Connection:
        opened.append(psycopg.connect(postgres.conninfo(database), **options))
        return opened[-1]

    yield make
    for connection in opened:
        connection.close()


@pytest.fixture
def made(postgres, database):
    connectors = []

    def make(user: str = "postgres", **options) -> SqlConnector:
        connectors.append(SqlConnector(source(postgres.url(database, user), **options)))
        return connectors[-1]

    yield make
    for connector in connectors:
        connector.close()


def test_values_are_json_and_unchanged_in_meaning(connect, made):
    connect(autocommit=True).execute(
        "INSERT INTO person VALUES (1, '李|明', '1950-01-01', 1234.50, '\\xff00', '{\"a\": [1, null]}', 'ab', '{x,y}',"
        " '1950-01-01 08:00', '2026-01-01 08:00:00.123456+08', '1 day', '2026-01-01 00:00:00.000001+00'),"
        " (2, NULL, 'infinity', NULL, NULL, NULL, NULL, NULL, '-infinity', '0044-03-15 BC', NULL, '2026-01-01 00:00:00.000002+00')"
    )
    found = pages(made(page_rows=1))
    first, second = rows(found)
    assert first == {
        "id": 1, "name": "李|明", "birth": "1950-01-01", "wage": "1234.50", "photo": "ff00", "note": {"a": [1, None]},
        "code": "ab  ", "tags": ["x", "y"], "seen": "1950-01-01T08:00:00", "until": "2026-01-01T00:00:00.123456+00:00",
        "pause": "P1D", "updated_at": "2026-01-01T00:00:00.000001+00:00",
    }  # fmt: skip
    assert (second["birth"], second["seen"], second["name"]) == ("infinity", "-infinity", None)
    assert [change.key for page in found for change in page.changes] == ["1", "2"]


def test_live_changes_carry_when_they_were_committed(connect, made):
    writer, connector = connect(autocommit=True), made()
    position = pages(connector)[-1].position
    writer.execute("INSERT INTO person (id, updated_at) VALUES (7, '2026-01-01 08:00:00.5+08')")
    (page,) = pages(connector, position)
    assert page.changes[0].committed_at == "2026-01-01T00:00:00.500000Z"
    assert not page.snapshot


def test_the_place_of_a_row_is_its_table_and_key_without_id_numbers(tmp_path):
    table = OnSqlite(tmp_path / "places.db")
    table.put([("10024", 1), ("379901197005151019", 2)])
    connector = SqlConnector(source(table.url))
    places = [change.place for page in pages(connector) for change in page.changes]
    assert places == ["person id=10024", "person id=379*************19"]
    connector.close()
    table.close()


@pytest.mark.parametrize("page_rows", [1, 2, 50])
def test_a_transaction_that_commits_late_is_not_lost(connect, made, page_rows):
    connector = made(page_rows=page_rows)
    early, other = connect(), connect(autocommit=True)
    other.execute("INSERT INTO person (id) SELECT generate_series(1, 5)")
    early.execute("INSERT INTO person (id) VALUES (100)")  # takes its cursor value now, commits below
    other.execute("INSERT INTO person (id) SELECT generate_series(6, 9)")
    found = pages(connector)
    assert sorted(row["id"] for row in rows(found)) == list(range(1, 10))
    other.execute("UPDATE person SET name = 'x', updated_at = now() WHERE id = 3")
    found = pages(connector, found[-1].position)
    assert [row["id"] for row in rows(found)] == [3]
    early.commit()
    found = pages(connector, found[-1].position)
    assert [row["id"] for row in rows(found)] == [100]
    assert pages(connector, found[-1].position) == []


def test_writers_that_commit_in_any_order_lose_nothing(postgres, database, made):
    """Eight writers with transactions of different lengths, while the connector looks all the time."""
    stop, connector = threading.Event(), made(page_rows=7, overlap_s=3)

    def write(writer: int) -> None:
        with psycopg.connect(postgres.conninfo(database)) as connection:
            for number in range(40):
                connection.execute(
                    "INSERT INTO person (id, name) VALUES (%s, %s) ON CONFLICT (id)"
                    " DO UPDATE SET name = excluded.name, updated_at = now()",
                    (writer * 1000 + number % 25, f"{writer}.{number}"),
                )
                stop.wait((writer * 7 + number * 3) % 11 / 400)
                connection.commit()

    threads = [threading.Thread(target=write, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    state, position, given_rows = {}, None, 0

    def look() -> None:
        nonlocal position, given_rows
        for page in connector.pull("person", position):
            position = page.position
            for change in page.changes:
                state[change.record["id"]] = change.record["name"]
                given_rows += 1

    while any(thread.is_alive() for thread in threads):
        look()
    look()
    with psycopg.connect(postgres.conninfo(database)) as connection:
        truth = dict(connection.execute("SELECT id, name FROM person").fetchall())
    assert state == truth
    assert given_rows <= 8 * 40  # and nothing was given twice


@pytest.mark.parametrize("future", ["9999-12-31", "infinity"])
def test_a_cursor_in_the_future_hides_nothing(connect, made, future):
    writer, connector = connect(autocommit=True), made(overlap_s=1)
    writer.execute("INSERT INTO person (id, updated_at) VALUES (1, %s)", (future,))
    position = pages(connector)[-1].position
    for number in (3, 4):
        writer.execute("INSERT INTO person (id) VALUES (%s)", (number,))
        found = pages(connector, position)
        assert [row["id"] for row in rows(found)] == [number]
        position = found[-1].position


@pytest.mark.parametrize("kind", ["date", "timestamp(0)", "timestamp"])
def test_coarse_cursors_show_every_change(connect, made, kind):
    writer, connector = connect(autocommit=True), made()
    writer.execute(f"ALTER TABLE person ALTER updated_at TYPE {kind}")
    writer.execute("INSERT INTO person (id, name) VALUES (1, 'a'), (2, 'a')")
    position = pages(connector)[-1].position
    writer.execute("UPDATE person SET name = 'b' WHERE id = 1")  # the cursor stays as it is
    found = pages(connector, position)
    assert [(row["id"], row["name"]) for row in rows(found)] == [(1, "b")]
    writer.execute("UPDATE person SET name = 'a' WHERE id = 1")
    assert [(row["id"], row["name"]) for row in rows(pages(connector, found[-1].position))] == [(1, "a")]


def test_another_server_or_history_is_noticed(connect, made):
    connect(autocommit=True).execute("INSERT INTO person (id) VALUES (1)")
    connector = made()
    position = pages(connector)[-1].position
    identifier, timeline = position["server"].split("/")
    assert pages(connector, position) == []
    for other in (f"{identifier}/{int(timeline) + 1}", f"1{identifier}/{timeline}"):
        with pytest.raises(PositionLost, match="another server"):
            pages(connector, dict(position, server=other))
    assert pages(connector, dict(position, server=None)) == []


@pytest.mark.parametrize("kind", ["timestamptz", "timestamp", "date", "bigint"])
def test_an_older_state_in_postgresql_is_noticed_whatever_the_cursor(connect, made, kind):
    writer, connector = connect(autocommit=True), made()
    older, newer = ("1", "2") if kind == "bigint" else ("2026-01-01", "2026-01-03")
    writer.execute(f"ALTER TABLE person DROP updated_at, ADD updated_at {kind} NOT NULL")
    writer.execute("INSERT INTO person (id, updated_at) VALUES (1, %s), (2, %s)", (older, newer))
    position = pages(connector)[-1].position
    assert pages(connector, position) == []
    writer.execute("DELETE FROM person WHERE id = 2")
    with pytest.raises(PositionLost, match="the highest updated_at in person is lower than it was"):
        pages(connector, position)


def test_number_cursor_is_read_without_overlap(connect, made):
    writer, connector = connect(autocommit=True), made(cursor="wage", page_rows=2)
    writer.execute("ALTER TABLE person ALTER wage SET NOT NULL")
    writer.execute("INSERT INTO person (id, wage) SELECT n, n / 3 FROM generate_series(1, 9) n")
    found = pages(connector)
    assert sorted(row["id"] for row in rows(found)) == list(range(1, 10))
    writer.execute("INSERT INTO person (id, wage) VALUES (10, 3.5)")
    assert [row["id"] for row in rows(pages(connector, found[-1].position))] == [10]
    assert any("commits late" in finding.text for finding in connector.check())


def test_what_is_missing_is_named(connect, made, postgres, database, opened):
    admin = connect(autocommit=True)
    admin.execute("DO $$ BEGIN CREATE ROLE reader LOGIN; EXCEPTION WHEN duplicate_object THEN NULL; END $$")
    with pytest.raises(PrivilegeMissing, match="GRANT SELECT ON person TO reader"):
        pages(made(user="reader"))
    with pytest.raises(TableMissing, match="nowhere"):
        pages(made(table="nowhere"))
    with pytest.raises(ColumnMissing, match="has no column nothing; it has id, name"):
        pages(made(key=["nothing"]))
    assert pages(made(cursor="until"))[-1].position["rows"] == 0  # no row, so none without a value
    admin.execute("INSERT INTO person (id) VALUES (9)")
    with pytest.raises(ColumnMissing, match="until of person is empty in some rows"):
        pages(made(cursor="until"))
    admin.execute("DELETE FROM person")
    with pytest.raises(SourceRefused):
        pages(made(user="nobody_at_all"))
    with pytest.raises(SourceRefused):
        pages(opened(SqlConnector(source(postgres.url("no_such_database")))))
    with pytest.raises(SourceUnreachable):
        pages(opened(SqlConnector(source("postgresql+psycopg://u@127.0.0.1:1/d"), "hunter2")))
    with pytest.raises(SettingInvalid):
        SqlConnector(source("not a url"))


def test_a_column_that_is_dropped_meanwhile_is_named_and_comes_back(connect, made):
    admin, connector = connect(autocommit=True), made()
    position = pages(connector)[-1].position
    admin.execute("ALTER TABLE person RENAME name TO title")
    with pytest.raises(ColumnMissing):
        pages(connector, position)
    with pytest.raises(ColumnMissing, match="has no column name"):
        pages(connector, position)
    admin.execute("ALTER TABLE person RENAME title TO name")
    admin.execute("INSERT INTO person (id) VALUES (1)")
    assert len(rows(pages(connector, position))) == 1


def test_a_database_that_drops_its_connections_is_read_on(connect, made):
    admin, connector = connect(autocommit=True), made(page_rows=2)
    admin.execute("INSERT INTO person (id) SELECT generate_series(1, 5)")
    drop = (
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
        " WHERE datname = current_database() AND pid <> pg_backend_pid()"
    )
    found = []
    for page in connector.pull("person", None):
        found.append(page)
        admin.execute(drop)
    assert sorted(row["id"] for row in rows(found)) == [1, 2, 3, 4, 5]
    admin.execute("INSERT INTO person (id) VALUES (6)")
    assert [row["id"] for row in rows(pages(connector, found[-1].position))] == [6]


def test_a_view_can_be_read(connect, made):
    admin = connect(autocommit=True)
    admin.execute("CREATE VIEW front AS SELECT id, name, updated_at FROM person")
    admin.execute("INSERT INTO person (id, name) VALUES (1, 'a')")
    assert [row["name"] for row in rows(pages(made(table="front")))] == ["a"]
    admin.execute("ALTER TABLE person ALTER updated_at DROP NOT NULL")
    admin.execute("INSERT INTO person (id, updated_at) VALUES (2, NULL)")
    with pytest.raises(ColumnMissing, match="is empty in some rows"):
        pages(made(table="front"))


def test_reading_cannot_write(made):
    connector = made()
    with connector._engine.connect() as connection, pytest.raises(sa.exc.DBAPIError, match="read-only"):
        connection.execute(sa.text("DELETE FROM person"))


def test_a_sample_is_what_reading_would_give(connect, made):
    admin = connect(autocommit=True)
    admin.execute("CREATE SCHEMA other; CREATE TABLE other.t (id int)")
    admin.execute("INSERT INTO person (id, name) VALUES (1, 'a'), (2, 'b')")
    connector = made()
    assert connector.sample("person", 10) == rows(pages(connector))
    assert len(connector.sample("person", 1)) == 1
    found = {each.name: each for each in connector.outline(["other"])}
    assert (found["person"].key, found["person"].rows, list(found["other.t"].columns)) == (("id",), None, ["id"])
    with pytest.raises(TableMissing, match="nowhere"):
        connector.sample("nowhere", 1)


def test_check_and_discover_say_what_there_is(connect, made):
    connect(autocommit=True).execute("INSERT INTO person (id) VALUES (1)")
    connector = made()
    assert [finding.level for finding in connector.check()] == ["ok", "ok", "ok"]
    (dataset,) = [item for item in connector.discover() if item.name == "person"]
    assert dataset.key == ("id",)
    assert dataset.rows == 1
    assert dataset.columns["updated_at"].startswith("TIMESTAMP")
    findings = list(made(table="nowhere").check())
    assert findings[-1].level == "fail"
    assert isinstance(findings[-1].error, TableMissing)


def test_a_password_shows_nowhere(opened):
    connector = opened(SqlConnector(source("postgresql+psycopg://u@127.0.0.1:1/d"), "hunter2"))
    (finding,) = connector.check()
    assert finding.level == "fail"
    assert "hunter2" not in finding.text + str(finding.error) + repr(finding)


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("postgresql+psycopg://u:geheim@wort9@127.0.0.1:1/x", "write %40 for each @"),
        ("postgresql+psycopg://u:geheim@127.0.0.1:wort9/x", "not the URL of a database"),
        ("postgresql+psycopg://u:geheim@127.0.0.1:xx/x", "not the URL of a database"),
    ],
)
def test_a_url_that_cannot_work_is_refused_without_showing_it(url, words):
    with pytest.raises(SettingInvalid) as caught:
        SqlConnector(source(url))
    assert words in str(caught.value)
    shown = "".join(traceback.format_exception(caught.value))
    assert "geheim" not in str(caught.value)
    assert "wort9" not in shown


@pytest.mark.parametrize(
    "url",
    [
        "postgresql+psycopg://u:geheim%40wort9@127.0.0.1:1/x",
        "postgresql+psycopg://u@127.0.0.1:1/x?password=geheim%40wort9",
        "postgresql+psycopg://u:geheim%40wort9@geheim.invalid/x",  # the driver says which host
    ],
)
def test_no_piece_of_a_password_shows(url, opened):
    connector = opened(SqlConnector(source(url)))
    (finding,) = connector.check()
    with pytest.raises(OneWindowError) as caught:
        pages(connector)
    for shown in (finding.text, str(finding.error), str(caught.value)):
        assert "geheim" not in shown
        assert "wort9" not in shown


def test_a_password_in_the_query_of_a_url_that_works_does_not_show(postgres, database):
    url = sa.make_url(postgres.url(database)).update_query_dict({"password": "geheim"})
    connector = SqlConnector(source(url.render_as_string(hide_password=False)))
    findings = list(connector.check())
    assert findings[0].level == "ok"
    assert "geheim" not in "".join(finding.text for finding in findings)
    connector.close()
