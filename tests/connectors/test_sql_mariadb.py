"""The SQL connector on MariaDB: the same promises as on SQLite and PostgreSQL."""

from __future__ import annotations

import json
import threading

import pymysql
import pytest
import sqlalchemy as sa

from connectors.sql import SqlConnector
from contracts.errors import ColumnMissing, PrivilegeMissing, SourceRefused, SourceUnreachable, TableMissing
from contracts.sources import Source

pytestmark = pytest.mark.services

DDL = """
CREATE TABLE person (
  id bigint PRIMARY KEY, name varchar(50), birth date, wage decimal(12,2), photo varbinary(20), note text, code char(4),
  seen datetime(6), updated_at timestamp(6) NOT NULL DEFAULT current_timestamp(6) ON UPDATE current_timestamp(6),
  KEY (updated_at, id)
) CHARACTER SET utf8mb4
"""


def source(url, *, table="person", page_rows=3, overlap_s=10.0, **dataset):
    person = {"table": table, "key": ["id"], "cursor": "updated_at", "map": {"name": "name"}}
    return Source.model_validate(
        {
            "system": "civil",
            "title": "民政",
            "owner": "信息中心",
            "connector": {"kind": "sql", "url": url, "page_rows": page_rows, "overlap_s": overlap_s},
            "datasets": {"person": person | dataset},
        }
    )


def pages(connector, after=None):
    return list(connector.pull("person", after))


def rows(found):
    return [change.record for page in found for change in page.changes]


@pytest.fixture
def database(mariadb):
    name = mariadb.new_database()
    with mariadb.connect(name) as connection, connection.cursor() as cursor:
        cursor.execute(DDL)
    return name


@pytest.fixture
def run(mariadb, database):
    """Runs statements of the department, each committed at once."""
    connection = mariadb.connect(database)

    def statements(*texts):
        with connection.cursor() as cursor:
            for text in texts:
                cursor.execute(text)

    yield statements
    connection.close()


@pytest.fixture
def made(mariadb, database):
    connectors = []

    def make(user=None, **options):
        connectors.append(SqlConnector(source(mariadb.url(database, user), **options)))
        return connectors[-1]

    yield make
    for connector in connectors:
        connector.close()


def test_values_are_json_and_unchanged_in_meaning(run, made):
    run(
        "INSERT INTO person VALUES (1, '李|明𠮷', '1950-01-01', 1234.50, x'ff00', 'a\\nb', 'ab', '1950-01-01 08:00',"
        " '2026-01-01 08:00:00.123456'), (2, NULL, NULL, NULL, NULL, NULL, NULL, NULL, '2026-01-01 08:00:01')"
    )
    first, second = rows(pages(made()))
    assert json.loads(json.dumps(first)) == first
    assert {name: first[name] for name in ("id", "name", "birth", "wage", "photo", "note", "code")} == {
        "id": 1, "name": "李|明𠮷", "birth": "1950-01-01", "wage": "1234.50", "photo": "ff00", "note": "a\nb", "code": "ab",
    }  # fmt: skip
    assert first["seen"].startswith("1950-01-01T08:00:00")
    assert first["updated_at"] == "2026-01-01T08:00:00.123456"
    assert all(second[name] is None for name in ("name", "birth", "wage", "photo", "note", "code", "seen"))


@pytest.mark.parametrize("page_rows", [1, 2, 50])
def test_every_row_comes_once_and_later_changes_follow(run, made, page_rows):
    run("INSERT INTO person (id, updated_at) SELECT seq, '2026-01-01 00:00:00' FROM seq_1_to_9")
    connector = made(page_rows=page_rows)
    found = pages(connector)
    assert sorted(row["id"] for row in rows(found)) == list(range(1, 10))
    run("UPDATE person SET name = 'x' WHERE id = 3", "INSERT INTO person (id) VALUES (10)")
    found = pages(connector, found[-1].position)
    assert sorted(row["id"] for row in rows(found)) == [3, 10]
    assert pages(connector, found[-1].position) == []


@pytest.mark.parametrize("page_rows", [1, 50])
def test_a_transaction_that_commits_late_is_not_lost(mariadb, database, run, made, page_rows):
    early = pymysql.connect(
        host=mariadb.host, port=mariadb.port, user=mariadb.owner, password=mariadb.password, database=database
    )
    connector = made(page_rows=page_rows)
    run("INSERT INTO person (id) SELECT seq FROM seq_1_to_5")
    with early.cursor() as cursor:
        cursor.execute("INSERT INTO person (id) VALUES (100)")  # takes its cursor value now, commits below
    run("INSERT INTO person (id) SELECT seq FROM seq_6_to_9")
    found = pages(connector)
    assert sorted(row["id"] for row in rows(found)) == list(range(1, 10))
    early.commit()
    early.close()
    assert [row["id"] for row in rows(pages(connector, found[-1].position))] == [100]


def test_writers_that_commit_in_any_order_lose_nothing(mariadb, database, made):
    stop, connector = threading.Event(), made(page_rows=7, overlap_s=3)

    def write(writer):
        connection = pymysql.connect(
            host=mariadb.host, port=mariadb.port, user=mariadb.owner, password=mariadb.password, database=database
        )
        with connection.cursor() as cursor:
            for number in range(30):
                cursor.execute(
                    "INSERT INTO person (id, name) VALUES (%s, %s) ON DUPLICATE KEY UPDATE name = VALUES(name)",
                    (writer * 1000 + number % 20, f"{writer}.{number}"),
                )
                stop.wait((writer * 7 + number * 3) % 11 / 400)
                connection.commit()
        connection.close()

    threads = [threading.Thread(target=write, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    state, position = {}, None

    def look():
        nonlocal position
        for page in connector.pull("person", position):
            position = page.position
            state.update({change.record["id"]: change.record["name"] for change in page.changes})

    while any(thread.is_alive() for thread in threads):
        look()
    look()
    with mariadb.connect(database) as connection, connection.cursor() as cursor:
        cursor.execute("SELECT id, name FROM person")
        assert state == dict(cursor.fetchall())


def test_a_number_cursor(run, made):
    connector = made(cursor="id", page_rows=2)
    run("INSERT INTO person (id) SELECT seq FROM seq_1_to_5")
    found = pages(connector)
    assert [row["id"] for row in rows(found)] == [1, 2, 3, 4, 5]
    run("INSERT INTO person (id) VALUES (6)")
    assert [row["id"] for row in rows(pages(connector, found[-1].position))] == [6]


def test_what_is_missing_is_named(mariadb, database, run, made):
    run(
        "CREATE OR REPLACE USER reader_without_rights@'%'", "CREATE OR REPLACE USER reader_of_one@'%'",
        "CREATE TABLE other (id int PRIMARY KEY)", f"GRANT SELECT ON {database}.other TO reader_of_one@'%'",
    )  # fmt: skip
    with pytest.raises(TableMissing, match="nowhere"):
        pages(made(table="nowhere"))
    with pytest.raises(ColumnMissing, match="has no column nothing; it has id, name"):
        pages(made(key=["nothing"]))
    run("INSERT INTO person (id) VALUES (1)")
    with pytest.raises(ColumnMissing, match="is empty in some rows"):
        pages(made(cursor="seen"))
    with pytest.raises(SourceRefused):
        pages(made(user="nobody_at_all"))
    with pytest.raises(SourceRefused):
        pages(made(user="reader_without_rights"))
    with pytest.raises(PrivilegeMissing, match="GRANT SELECT ON person TO reader_of_one"):
        pages(made(user="reader_of_one"))
    with pytest.raises(SourceRefused):
        pages(SqlConnector(source(mariadb.url("no_such_database"))))
    with pytest.raises(SourceUnreachable):
        pages(SqlConnector(source("mysql+pymysql://u@127.0.0.1:1/d")))


def test_a_column_that_is_dropped_meanwhile_is_named_and_comes_back(run, made):
    connector = made()
    position = pages(connector)[-1].position
    run("ALTER TABLE person RENAME COLUMN name TO title")
    with pytest.raises(ColumnMissing):
        pages(connector, position)
    run("ALTER TABLE person RENAME COLUMN title TO name", "INSERT INTO person (id) VALUES (1)")
    assert len(rows(pages(connector, position))) == 1


def test_a_server_that_drops_its_connections_is_read_on(mariadb, run, made):
    connector = made(page_rows=2)
    run("INSERT INTO person (id) SELECT seq FROM seq_1_to_5")

    def drop():
        with mariadb.connect() as connection, connection.cursor() as cursor:
            cursor.execute(
                "SELECT id FROM information_schema.processlist WHERE db = %s AND command = 'Sleep'",
                (connector._engine.url.database,),
            )
            for (ident,) in cursor.fetchall():
                cursor.execute(f"KILL {ident}")

    found = []
    for page in connector.pull("person", None):
        found.append(page)
        drop()
    assert sorted(row["id"] for row in rows(found)) == [1, 2, 3, 4, 5]


def test_reading_cannot_write(made):
    with made()._engine.connect() as connection, pytest.raises(sa.exc.DBAPIError, match=r"(?i)read.only"):
        connection.execute(sa.text("DELETE FROM person"))


def test_check_and_discover_say_what_there_is(run, made):
    run("INSERT INTO person (id) VALUES (1)")
    connector = made()
    findings = list(connector.check())
    assert [finding.level for finding in findings] == ["ok", "ok", "ok"], findings
    (dataset,) = [item for item in connector.discover() if item.name == "person"]
    assert (dataset.key, dataset.rows) == (("id",), 1)
