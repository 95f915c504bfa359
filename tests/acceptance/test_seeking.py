"""A dataset is read again from an earlier place, from outside: the effect is said first, then a new epoch reads it."""

from __future__ import annotations

import json
import shutil
import sqlite3
from contextlib import closing

import pytest
from product import document, new_deployment, onewindow, until, up

pytestmark = pytest.mark.deployment

SOURCE = """system: hrss
title: 人社
owner: 信息中心
connector: {{kind: sql, url: "sqlite:///{path}", every_s: 0.2, overlap_s: 0}}
datasets:
  person: {{table: ac01, key: [aac001], cursor: up, map: {{name: aac003}}}}
  town: {{table: ac01, key: [aac001], map: {{name: aac003}}}}
"""
ROWS = 30


@pytest.fixture
def directory():
    made = new_deployment()
    path = made.parent / "hrss.db"
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("CREATE TABLE ac01 (aac001 INTEGER PRIMARY KEY, aac003 TEXT, up TIMESTAMP NOT NULL)")
        rows = [(number, "王" + chr(0x4E00 + number), f"2026-01-{number:02} 08:00:00") for number in range(1, ROWS + 1)]
        connection.executemany("INSERT INTO ac01 VALUES (?,?,?)", rows)
    (made / "sources" / "hrss.yaml").write_text(SOURCE.format(path=path), encoding="utf-8")
    yield made
    shutil.rmtree(made.parent)


def test_a_polled_table_is_read_again_from_a_value_of_its_cursor_on(directory):
    def seek(*words: str) -> tuple[int, dict]:
        done = onewindow("-C", directory, "source", "seek", *words, "--json")
        assert done.stdout, done.stderr
        return done.returncode, json.loads(done.stdout)

    def books(**wanted: int) -> bool:
        found = {each["dataset"]: each for each in document("-C", directory, "status")["sources"]}["person"]
        return all(found[name] == value for name, value in {**wanted, "pending": 0, "balanced": True}.items())

    with up(directory):
        until(lambda: books(read=ROWS, accepted=ROWS))
        code, found = seek("hrss.person", "--to", "2026-01-21")
        assert (code, found["rows"], found["done"]) == (1, 10, False)
        assert found["stands"] == f"2026-01-{ROWS} 08:00:00"
        code, found = seek("hrss.person", "--to", "2026-01-21", "--yes")
        assert (code, found["rows"], found["done"]) == (0, 10, True)
        until(lambda: books(read=ROWS + 10, accepted=ROWS, duplicate=10))
        assert seek("hrss.person", "--beginning")[0] == 1
        assert seek("hrss.person", "--beginning", "--yes")[0] == 0
        until(lambda: document("-C", directory, "status")["healthy"] and books(accepted=ROWS, stale=0, quarantined=0))
        until(lambda: books(duplicate=10 + ROWS))
        assert document("-C", directory, "verify")["equal"] is True

        for place in (["hrss.person", "--to", "2027-01-01"], ["hrss.person", "--to", "x"], ["hrss.town", "--to", "1"]):
            refused = onewindow("-C", directory, "source", "seek", *place, "--yes")
            assert refused.returncode == 2
            assert "OW-1507" in refused.stdout + refused.stderr
        for wrong in ([], ["--to", "1", "--beginning"]):
            assert onewindow("-C", directory, "source", "seek", "hrss.person", *wrong).returncode == 2
