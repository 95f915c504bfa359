"""An exchange table that is wrong in one way."""

from __future__ import annotations

import pytest
import sqlalchemy as sa
from bad import Way, bad

from connectors.exchange import REFLECT_S, ExchangeConnector
from contracts.sources import Source
from examples.city.people import person

PEOPLE = [person(6, number) for number in range(12)]
ALL = {who.name for who in PEOPLE}
WAITS = "waits ({}); no row is marked as read, and it goes on by itself when it is mended"


class Table:
    """The department's exchange table, and who reads it."""

    def __init__(self, url: str, opened, reader: str = "") -> None:
        self.now = 1_000.0
        self.engine = sa.create_engine(url, poolclass=sa.NullPool)
        number = "bigserial PRIMARY KEY" if url.startswith("postgresql") else "INTEGER PRIMARY KEY AUTOINCREMENT"
        self.run(f"CREATE TABLE jh (xh {number}, nr TEXT, sfzh TEXT, xm TEXT, cz TEXT, bz TEXT NOT NULL DEFAULT '0')")
        for at, who in enumerate(PEOPLE):
            self.put(str(at), who.id_number, who.name)
        source = Source.model_validate({
            "system": "qzk", "title": "前置库", "owner": "",
            "connector": {"kind": "exchange", "url": reader or url},
            "datasets": {"ry": {
                "table": "jh", "key": ["nr"], "exchange": {"order": ["xh"], "flag": "bz"},
                "deleted": {"column": "cz", "values": ["D"]}, "map": {"id_number": "sfzh", "name": "xm"}}},
        })  # fmt: skip
        self.way: Way = opened(source, ExchangeConnector(source, monotonic=lambda: self.now))

    def run(self, statement: str, values: dict | None = None) -> None:
        with self.engine.begin() as tx:
            tx.execute(sa.text(statement), values or {})

    def put(self, number: str | None, id_number: str, name: str, operation: str = "I") -> None:
        values = {"nr": number, "sfzh": id_number, "xm": name, "cz": operation}
        self.run("INSERT INTO jh (nr, sfzh, xm, cz) VALUES (:nr, :sfzh, :xm, :cz)", values)

    def look(self, after_s: float = REFLECT_S + 1):
        self.now += after_s
        return self.way.look()

    @property
    def names(self) -> set[str]:
        return set(self.way.people)

    @property
    def unread(self) -> int:
        with self.engine.connect() as connection:
            return connection.scalar(sa.text("SELECT count(*) FROM jh WHERE bz = '0'"))


@pytest.fixture
def table(opened, tmp_path):
    made = Table(f"sqlite:///{tmp_path}/qzk.db", opened)
    assert made.look().counts["accepted"] == 12
    assert (made.names, made.unread) == (ALL, 0)
    return made


@bad("an exchange table", "the login may not set the flag", WAITS.format("OW-1231"))
def test_flag_refused(opened, postgres):
    database = postgres.new_database()
    table = Table(postgres.url(database), opened, postgres.url(database, "ry_reader"))
    table.run("DO $$ BEGIN CREATE ROLE ry_reader LOGIN; EXCEPTION WHEN duplicate_object THEN NULL; END $$")
    table.run("GRANT SELECT ON jh TO ry_reader")
    assert table.look().error == "OW-1231"
    assert (table.names, table.unread) == (set(), 12)
    table.run("GRANT UPDATE (bz) ON jh TO ry_reader")
    assert table.look().error == ""
    assert (table.names, table.unread) == (ALL, 0)


@bad("an exchange table", "its flag or order has another name", WAITS.format("OW-1107"))
def test_renamed_flag(table):
    table.run("ALTER TABLE jh RENAME COLUMN bz TO zt")
    table.put("60", "", "新来")
    assert table.look().error == "OW-1107"
    assert table.names == ALL
    table.run("ALTER TABLE jh RENAME COLUMN zt TO bz")
    assert table.look().error == ""
    assert (table.names, table.unread) == (ALL | {"新来"}, 0)


@bad(
    "an exchange table",
    "a row without a key",
    "the row is refused, `key_missing`, and marked as read; those behind it are read",
)
def test_no_key(table):
    table.put(None, "", "无键")
    table.put(None, "", "又无键")
    table.put("60", "", "新来")
    table.look()
    assert table.way.refused == [("key_missing", "nr")] * 2
    assert (table.names, table.unread) == (ALL | {"新来"}, 0)


@bad("an exchange table", "the same key several times", "the last row counts, in the declared order")
def test_one_key_often(table):
    table.put("60", "", "先来")
    table.put("60", "", "", "D")
    table.put("60", "", "又来")
    table.put("0", "", "", "D")
    assert table.look().counts["deleted"] == 2
    assert table.names == (ALL - {PEOPLE[0].name}) | {"又来"}


@bad(
    "an exchange table",
    "a row is changed after it was read and before it is marked",
    "it stays unread, and is read again",
)
def test_changed_amid(table):
    table.put("60", "", "先来")
    table.way.before_confirming = lambda: table.run("UPDATE jh SET xm = '后来' WHERE nr = '60'")
    table.look()
    assert table.unread == 1
    table.way.before_confirming = lambda: None
    table.look()
    assert (table.names, table.unread) == (ALL | {"后来"}, 0)


@bad("an exchange table", "a row that says the same as the one before", "counted as a duplicate, and marked as read")
def test_repeated(table):
    table.put("0", PEOPLE[0].id_number, PEOPLE[0].name, "U")
    assert +table.look().counts == {"duplicate": 1}
    assert table.unread == 0


@bad("an exchange table", "a flag that is neither of the two values", "the row is left alone; those behind it are read")
def test_other_flag(table):
    table.put("60", "", "不要")
    table.run("UPDATE jh SET bz = '9' WHERE nr = '60'")
    table.put("61", "", "新来")
    table.look()
    assert (table.names, table.unread) == (ALL | {"新来"}, 0)


@bad("an exchange table", "emptied, also with its sequence begun anew", "nobody is gone; what comes then is read")
def test_emptied(table):
    table.run("DELETE FROM jh")
    table.run("DELETE FROM sqlite_sequence")
    assert table.look().error == ""
    table.put("60", "", "新来")
    table.look()
    assert table.names == ALL | {"新来"}
