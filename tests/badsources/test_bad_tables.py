"""A polled table that is wrong in one way."""

from __future__ import annotations

import pytest
import sqlalchemy as sa
from bad import Way, bad

from connectors.sql import REFLECT_S, SqlConnector
from contracts.sources import Source
from examples.city.people import person

PEOPLE = [person(5, number) for number in range(60)]


class Table:
    """The department's table, and who reads it."""

    def __init__(self, path, opened, *, cursor: bool = True) -> None:
        self.path, self.now = path, 1_000.0
        self.engine = sa.create_engine(f"sqlite:///{path}", poolclass=sa.NullPool)
        self.run("CREATE TABLE ry(nr TEXT, sfzh TEXT, xm TEXT, xb TEXT, gxsj TEXT)")
        for number, who in enumerate(PEOPLE):
            self.put(
                str(number),
                who.id_number,
                who.name,
                {"female": "2", "male": "1"}[who.sex],
                f"2026-01-01 00:00:{number:02d}",
            )
        source = Source.model_validate({
            "system": "minzheng", "title": "民政", "owner": "",
            "connector": {"kind": "sql", "url": f"sqlite:///{path}", "overlap_s": 0},
            "datasets": {"ry": {"table": "ry", "key": ["nr"], "disappear_limit": 0.2, "map": {
                "id_number": "sfzh", "name": "xm", "sex": {"column": "xb", "codes": {"2": "female", "1": "male"}}},
                **({"cursor": "gxsj"} if cursor else {})}},
        })  # fmt: skip
        connector = SqlConnector(source, None, path.parent / "state", monotonic=lambda: self.now)
        self.way: Way = opened(source, connector)

    def run(self, statement: str, *values: object) -> None:
        with self.engine.begin() as tx:
            tx.exec_driver_sql(statement, values)

    def put(self, *row: object) -> None:
        self.run("INSERT INTO ry VALUES (?,?,?,?,?)", *row)

    def look(self, after_s: float = REFLECT_S + 1):
        self.now += after_s
        return self.way.look()

    @property
    def names(self) -> set[str]:
        return set(self.way.people)


ALL = {who.name for who in PEOPLE}
LATER = "2026-02-01 00:00:00"


@pytest.fixture
def table(opened, tmp_path):
    """With a cursor, and read once."""
    made = Table(tmp_path / "register.db", opened)
    assert made.look().counts["accepted"] == 60
    assert made.names == ALL
    return made


@pytest.fixture
def whole(opened, tmp_path):
    """Without a cursor, and read once."""
    made = Table(tmp_path / "register.db", opened, cursor=False)
    assert made.look().counts["accepted"] == 60
    return made


WAITS = "waits ({}); what was read stands, and it goes on by itself when it is mended"


@bad("a table", "dropped, or renamed", WAITS.format("OW-1108"))
def test_dropped(table):
    table.run("ALTER TABLE ry RENAME TO ry_old")
    assert table.look().error == "OW-1108"
    assert table.names == ALL
    table.run("ALTER TABLE ry_old RENAME TO ry")
    table.put("60", "", "新来", "1", LATER)
    assert table.look().error == ""
    assert "新来" in table.names


@bad("a table", "a declared column is renamed", WAITS.format("OW-1107"))
def test_renamed_column(table):
    table.run("ALTER TABLE ry RENAME COLUMN xm TO xingming")
    table.put("60", "", "新来", "1", LATER)
    assert table.look().error == "OW-1107"
    assert table.names == ALL
    table.run("ALTER TABLE ry RENAME COLUMN xingming TO xm")
    assert table.look().error == ""
    assert table.names == ALL | {"新来"}


@bad("a table", "a new column", "read; within a minute it is in the change events too")
def test_new_column(table):
    table.run("ALTER TABLE ry ADD COLUMN bz TEXT DEFAULT 'x'")
    table.run("INSERT INTO ry(nr, xm, gxsj) VALUES ('60', '新来', ?)", LATER)
    assert table.look().error == ""
    assert table.names == ALL | {"新来"}


@bad("a table", "a row without a key", "the row is refused, `key_missing`; those behind it are read")
def test_no_key(table):
    table.put(None, "", "无名", "1", LATER)
    table.put("60", "", "新来", "1", LATER)
    table.look()
    assert table.way.refused == [("key_missing", "nr")]
    assert table.names == ALL | {"新来"}


@bad("a table", "bytes in a column of text", "read as text where they are UTF-8, else the record is refused")
def test_bytes(table):
    table.run("INSERT INTO ry VALUES ('60', '', ?, '1', ?)", b"\xff\xfe\x00\x01", LATER)
    table.put("61", "", "新来", "1", "2026-02-02 00:00:00")
    found = table.look()
    assert (found.error, len(table.way.refused)) == ("", 1)
    assert table.names == ALL | {"新来"}


@bad(
    "a table",
    "most of its codes have changed overnight",
    "the dataset pauses (OW-1209); nothing of the batch is kept",
)
def test_new_codes(table):
    table.run("UPDATE ry SET xb = '甲' || xb, gxsj = ?", LATER)
    assert table.look().error == "OW-1209"
    assert table.names == ALL


@bad(
    "a table",
    "restored from a backup: its highest cursor is lower than it was",
    "read anew (OW-1221); what the backup lacks is gone",
)
def test_restored(table):
    table.run("DELETE FROM ry WHERE nr IN ('58', '59')")
    assert table.look().error == "OW-1221"
    table.look()
    assert table.names == ALL - {PEOPLE[58].name, PEOPLE[59].name}


@bad("a table", "emptied for a moment, to be loaded anew", "nobody is gone")
def test_emptied(table):
    rows = [(str(n), who.id_number, who.name, "", f"2026-01-01 00:00:{n:02d}") for n, who in enumerate(PEOPLE)]
    table.run("DELETE FROM ry")
    table.look()
    assert table.names == ALL
    for row in rows:
        table.put(*row)
    table.look()
    assert table.names == ALL


@bad("a table", "the database is away", WAITS.format("OW-1201"))
def test_away(table):
    away = table.path.rename(table.path.with_suffix(".away"))
    assert table.look().error == "OW-1201"
    assert not table.path.exists()
    assert table.names == ALL
    away.rename(table.path)
    table.put("60", "", "新来", "1", LATER)
    assert table.look().error == ""
    assert table.names == ALL | {"新来"}


@bad(
    "a table without a cursor",
    "more rows are gone than `disappear_limit`",
    "the others are read; nobody is deleted until a person answers (OW-1207)",
)
def test_too_many_gone(whole):
    whole.run("DELETE FROM ry WHERE CAST(nr AS INTEGER) >= 30")
    whole.run("UPDATE ry SET xm = '改名' WHERE nr = '3'")
    found = whole.look(3_600)
    assert (found.asks, found.counts["deleted"]) == (["OW-1207"], 0)
    assert whole.names == ALL - {PEOPLE[3].name} | {"改名"}


@bad(
    "a table without a cursor",
    "two rows with one key",
    "one of them counts, the same each time, and it is said (OW-1259)",
)
def test_one_key_twice(whole):
    whole.put("7", "", "后者", "1", LATER)
    assert "OW-1259" in whole.look(3_600).notes[0]
    assert len(whole.names & {"后者", PEOPLE[7].name}) == 1
    again = whole.look(3_600)
    assert (len(again.notes), again.counts["accepted"] + again.counts["duplicate"]) == (1, 0)
