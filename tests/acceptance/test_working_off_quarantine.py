"""An exchange table and its refusals from outside: read and marked, refused, mended, decided again, the rest discarded."""

from __future__ import annotations

import json
import shutil
import sqlite3
from contextlib import closing

import pytest
from product import document, new_deployment, onewindow, until, up

pytestmark = pytest.mark.deployment

SOURCE = """system: qzk
title: 人社前置库
owner: 市人社局信息中心
connector: {{kind: exchange, url: "sqlite:///{path}", every_s: 0.2}}
datasets:
  person:
    table: t_grjc
    key: [grbh]
    exchange: {{order: [xh], flag: dqbz, read_at: dqsj}}
    deleted: {{column: czlx, values: [D]}}
    refuse_limit: 1.0
    map: {{name: {{column: xm, required: true}}, care_level: {{column: hl, codes: {{"1": independent}}}}}}
"""
GOOD, STRANGE, NAMELESS, GONE = 60, 5, 2, 3


class City:
    """A deployment with one exchange table."""

    def __init__(self) -> None:
        self.directory = new_deployment()
        self.path = self.directory.parent / "qzk.db"
        with closing(sqlite3.connect(self.path)) as connection:
            connection.execute(
                "CREATE TABLE t_grjc (xh INTEGER PRIMARY KEY, grbh TEXT, xm TEXT, hl TEXT, czlx TEXT NOT NULL,"
                " dqbz TEXT NOT NULL DEFAULT '0', dqsj TIMESTAMP)"
            )
        self.source = self.directory / "sources" / "qzk.yaml"
        self.source.write_text(SOURCE.format(path=self.path), encoding="utf-8")

    def put(self, *rows: tuple[str, str, str, str]) -> None:
        with closing(sqlite3.connect(self.path, timeout=10)) as connection, connection:
            connection.executemany("INSERT INTO t_grjc (grbh, xm, hl, czlx) VALUES (?,?,?,?)", rows)

    def unread(self) -> int:
        with closing(sqlite3.connect(self.path, timeout=10)) as connection:
            return connection.execute("SELECT count(*) FROM t_grjc WHERE dqbz <> '1' OR dqsj IS NULL").fetchone()[0]

    def ask(self, *words: str):
        return document("-C", self.directory, *words)

    def told(self, *words: str) -> tuple[int, object]:
        done = onewindow("-C", self.directory, *words, "--json")
        assert done.stdout, done.stderr
        return done.returncode, json.loads(done.stdout)

    def settled(self, read: int) -> dict:
        """The books, once so many rows are through."""

        def books():
            (found,) = self.ask("status")["sources"]
            return found if found["read"] == read and found["pending"] == 0 and found["balanced"] else None

        return until(books)


@pytest.fixture
def city():
    made = City()
    yield made
    shutil.rmtree(made.directory.parent)


def test_an_exchange_table_is_read_marked_and_its_refusals_are_worked_off(city):
    city.put(*((f"p{number}", "王" + chr(0x4E00 + number), "1", "I") for number in range(GOOD)))
    city.put(*((f"q{number}", "李" + chr(0x4E00 + number), "2", "I") for number in range(STRANGE)))
    city.put(*((f"n{number}", "", "1", "I") for number in range(NAMELESS)))
    city.put(*((f"p{number}", "", "", "D") for number in range(GONE)))
    assert onewindow("-C", city.directory, "source", "check", "qzk").returncode == 0
    assert len(city.ask("source", "preview", "qzk")) == 1
    assert city.unread() == GOOD + STRANGE + NAMELESS + GONE, "neither a check nor a preview marks anything"
    with up(city.directory):
        read = GOOD + STRANGE + NAMELESS + GONE
        before = city.settled(read)
        assert (before["accepted"], before["quarantined"]) == (GOOD + GONE, STRANGE + NAMELESS)
        until(lambda: city.unread() == 0)

        code, found = city.told("quarantine", "retry")
        assert (code, found["refused"], found["released"]) == (1, STRANGE + NAMELESS, 0)

        text = city.source.read_text(encoding="utf-8").replace('"1": independent', '"1": independent, "2": full')
        city.source.write_text(text, encoding="utf-8")
        (listed, *_) = city.ask("quarantine", "list", "--reason", "code_unknown")
        code, found = city.told("quarantine", "retry", "--key", listed["record_key"])
        assert (code, found["records"], found["released"]) == (0, 1, 1)
        assert found["datasets"][0]["remap_wanted"] is True
        code, found = city.told("quarantine", "retry", "--reason", "code_unknown", "--dataset", "qzk.person")
        assert (code, found["records"], found["released"]) == (0, STRANGE - 1, STRANGE - 1)
        code, found = city.told("quarantine", "retry")
        assert (code, found["refused"]) == (1, NAMELESS)
        assert onewindow("-C", city.directory, "quarantine", "retry", "--key", listed["record_key"]).returncode != 0
        assert onewindow("-C", city.directory, "quarantine", "retry", "--reason", "nonsense").returncode == 2

        after = city.settled(read)
        assert (after["accepted"], after["quarantined"]) == (GOOD + GONE + STRANGE, NAMELESS)
        until(lambda: city.ask("verify")["tables"]["assertion"]["rows"] == GOOD + STRANGE)

        chosen = ("quarantine", "discard", "qzk.person", "--reason", "field_missing", "--why", "已核实,无此人")
        code, found = city.told(*chosen)
        assert (code, found["records"], found["done"]) == (1, NAMELESS, False)
        assert city.told(*chosen, "--yes")[0] == 0
        assert city.ask("quarantine", "list") == []
        assert [each["because"] for each in city.ask("quarantine", "list", "--discarded")] == [
            "已核实,无此人"
        ] * NAMELESS
        assert city.settled(read)["quarantined"] == NAMELESS, "what is discarded stays in the books"
        assert city.told("quarantine", "retry")[1]["records"] == 0

        assert city.ask("remap", "qzk.person")["superseded"] == 0
        assert city.ask("verify", "--from", "department")["equal"] is True
        done = onewindow("-C", city.directory, "source", "reconcile", "qzk")
        assert "OW-1214" in done.stdout + done.stderr
