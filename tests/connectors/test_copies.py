"""All that a source holds now, read apart from the pipeline: whole, and without a trace in the source."""

from __future__ import annotations

import os
import sqlite3
import tempfile
from pathlib import Path

import pytest
from logsource import Department
from restserver import Department as Api
from test_postgres_log import server  # noqa: F401 - a fixture
from test_rest import source as api_source

from connectors import open_connector
from connectors.base import Delete, copies
from contracts.errors import FullReadImpossible
from contracts.sources import Source

PERSON = {"table": "person", "key": ["id"], "map": {"name": "name"}}


def opened(connector, dataset, state, password=None):
    about = {"system": "hrss", "title": "人社", "owner": "信息中心", "datasets": {"person": dataset}}
    return open_connector(Source.model_validate({**about, "connector": connector}), password=password, state=state)


def copied(connector):
    found = [change for page in copies(connector, "person") for change in page.changes]
    connector.close()
    return found


@pytest.fixture
def database(tmp_path):
    connection = sqlite3.connect(tmp_path / "hrss.db")
    connection.execute("CREATE TABLE person (id INTEGER PRIMARY KEY, name TEXT, state TEXT, updated_at TEXT NOT NULL)")
    rows = [(number, f"n{number}", "9" if number == 3 else "1", f"2026-01-{number:02}") for number in range(1, 12)]
    connection.executemany("INSERT INTO person VALUES (?, ?, ?, ?)", rows)
    connection.commit()
    yield {"kind": "sql", "url": f"sqlite:///{tmp_path}/hrss.db", "page_rows": 4}, connection
    connection.close()


@pytest.mark.parametrize("cursor", [{}, {"cursor": "updated_at"}])
def test_a_polled_table_is_given_as_pulling_gives_it_with_or_without_a_cursor(database, tmp_path, cursor):
    declared = {**PERSON, **cursor, "deleted": {"column": "state", "values": ["9"]}}
    found = copied(opened(database[0], declared, tmp_path / "own"))
    assert [change.key for change in found] == [str(number) for number in range(1, 12)]
    assert [change.key for change in found if isinstance(change, Delete)] == ["3"]
    puller = opened(database[0], declared, tmp_path / "theirs")
    pulled = {change.key: change for page in puller.pull("person", None) for change in page.changes}
    puller.close()
    for change in found:
        assert type(change) is type(pulled[change.key])
        assert getattr(change, "record", None) == getattr(pulled[change.key], "record", None)


def test_a_row_that_is_changed_while_it_is_copied_is_there_once(database, tmp_path):
    connector, keys = opened(database[0], {**PERSON, "cursor": "updated_at"}, tmp_path / "own"), []
    for page in copies(connector, "person"):
        keys += [change.key for change in page.changes]
        if (
            len(keys) == 4
        ):  # its cursor would carry one that was read behind the reader, and one that was not beyond the top
            database[1].execute("UPDATE person SET updated_at = '2027-01-01' WHERE id IN (2, 9)")
            database[1].commit()
    connector.close()
    assert keys == [str(number) for number in range(1, 12)]


def dump(folder, name, rows, at):
    path = folder / name
    path.write_text("id,name\n" + "".join(f"{key},{value}\n" for key, value in rows), encoding="utf-8")
    os.utime(path, (at, at))


def test_of_dumps_the_newest_whole_one_counts_and_older_ones_do_not(tmp_path):
    files = {"kind": "files", "folder": str(tmp_path / "drop"), "settle_s": 0, "page_rows": 2}
    declared = {"pattern": "person_{period}.csv", "key": ["id"], "map": {"name": "name"}}
    (tmp_path / "drop").mkdir()
    with pytest.raises(FullReadImpossible, match="no dump"):
        copied(opened(files, declared, tmp_path / "own"))
    dump(tmp_path / "drop", "person_202601.csv", [(1, "a"), (2, "b"), (3, "c"), (4, "d")], 1_000)
    dump(tmp_path / "drop", "person_202602.csv", [(1, "a"), (2, "B")], 2_000)  # so short that nobody would be deleted
    for _ in range(2):  # also with what an earlier copy left
        found = copied(opened(files, declared, tmp_path / "own"))
        assert [(change.key, change.record["name"]) for change in found] == [("1", "a"), ("2", "B")]
    assert sorted(path.name for path in (tmp_path / "drop").iterdir()) == ["person_202601.csv", "person_202602.csv"]


def test_a_table_whose_log_is_read_is_copied_without_slot_or_publication_of_its_own(server):  # noqa: F811
    made = Department(
        server,
        "CREATE TABLE person (id int PRIMARY KEY, name text, twice int GENERATED ALWAYS AS (id * 2) STORED, at timestamptz)",
    )
    try:
        made.run("INSERT INTO person (id, name, at) SELECT i, 'n' || i, now() FROM generate_series(1, 250) i")
        connector = made.connector()
        with tempfile.TemporaryDirectory() as state:
            own = open_connector(made.source(), password=None, state=Path(state))
            found = copied(own)
        assert made.run("SELECT slot_name FROM pg_replication_slots WHERE database = %s", made.database) == []
        assert made.run("SELECT pubname FROM pg_publication") == []
        pulled = [change for page in connector.pull("person", None) for change in page.changes]
        assert [(each.key, each.record) for each in found] == [(each.key, each.record) for each in pulled]
        assert len(found) == 250
        assert "twice" not in found[0].record
    finally:
        made.close()


def test_what_a_server_keeps_of_its_log_is_said_while_nobody_reads_it(server):  # noqa: F811
    made = Department(server, "CREATE TABLE person (id int PRIMARY KEY, name text)")
    try:
        first = made.connector(made.source(wal_warn_mb=1))
        list(first.pull("person", None))
        first.close()
        paused = made.connector(made.source(wal_warn_mb=1, wal_limit_mb=100))
        assert paused.retained("person") == []
        made.run("INSERT INTO person SELECT i, repeat('x', 1000) FROM generate_series(1, 4000) i")
        (said,) = paused.retained("person")
        assert "MB of its log" in said
        assert "wal_warn_mb (1)" in said
        assert paused.retained("person") == []  # once
        strict = made.connector(made.source(wal_warn_mb=1, wal_limit_mb=1))
        with pytest.raises(Exception, match="wal_limit_mb"):
            strict.retained("person")
        assert made.run("SELECT slot_name FROM pg_replication_slots WHERE database = %s", made.database) == []
    finally:
        made.close()


def test_a_table_that_it_is_too_early_to_read_again_was_not_looked_at(database, tmp_path):
    database[1].executemany(
        "INSERT INTO person VALUES (?, 'n', '1', '2026-01-01')", [(number,) for number in range(100, 1_300)]
    )
    database[1].commit()
    connector, position = opened({**database[0], "page_rows": 2_000}, PERSON, tmp_path / "own"), None
    looked = []
    for _ in range(2):
        for page in connector.pull("person", position):
            position = page.position
        looked.append(connector.looked("person"))
    connector.close()
    assert looked == [True, False]


@pytest.mark.parametrize("capture", ["poll", "snapshot"])
def test_an_api_is_read_from_its_first_page_on_and_again_when_it_is_asked_for_again(tmp_path, capture):
    api = Api()
    try:
        api.paging = "offset"
        for number in range(8):
            api.put(f"k{number}", deleted=number == 2)
        connector = open_connector(api_source(api.url, paging="offset", capture=capture), password=None, state=tmp_path)
        for _ in range(2):
            there = dict.fromkeys(f"k{number}" for number in range(8) if number != 2)
            found = [change for page in copies(connector, "people") for change in page.changes]
            assert {change.key for change in found if not isinstance(change, Delete)} == set(there)
        connector.close()
    finally:
        api.close()


def test_of_rows_with_one_key_a_copy_has_the_one_that_is_read(database, tmp_path):
    settings, connection = database
    connection.execute("CREATE TABLE double (id INTEGER, name TEXT)")
    connection.executemany("INSERT INTO double VALUES (?, ?)", [(n % 20, f"n{n * 7 % 40}") for n in range(40)])
    connection.commit()
    declared = {**PERSON, "table": "double", "key": ["id"]}
    settings = {**settings, "page_rows": 100}
    found = {change.key: change.record for change in copied(opened(settings, declared, tmp_path / "own"))}
    puller = opened(settings, declared, tmp_path / "theirs")
    pulled = {change.key: change.record for page in puller.pull("person", None) for change in page.changes}
    puller.close()
    assert found == pulled
    assert len(found) == 20
