"""A table without a cursor column: read whole, and told apart by fingerprints."""

from __future__ import annotations

import pytest
import sqlalchemy as sa

from connectors.base import Delete, Upsert
from connectors.sql import SqlConnector
from contracts.errors import PositionLost, TooManyDisappeared
from contracts.sources import Source


class Register:
    """A table of households in a database, its connector, and what a reader has of it."""

    def __init__(self, url, state, **declared):
        self.engine, self.state, self.declared = sa.create_engine(url), state, declared
        self.url, self.now = url, 1_000.0
        self.run("DROP TABLE IF EXISTS household")
        self.run(
            "CREATE TABLE household (street VARCHAR(40) NOT NULL, no INTEGER NOT NULL, head VARCHAR(40), gone INTEGER,"
            " PRIMARY KEY (street, no))"
        )
        self.position, self.held, self.pages, self.connector = None, {}, [], None
        self.connect()

    def run(self, statement, **values):
        with self.engine.begin() as tx:
            tx.execute(sa.text(statement), values)

    def put(self, street, no, head, gone=0):
        self.run("DELETE FROM household WHERE street = :street AND no = :no", street=street, no=no)
        self.run(
            "INSERT INTO household VALUES (:street, :no, :head, :gone)", street=street, no=no, head=head, gone=gone
        )

    def connect(self, *, page_rows=3):
        self.close()
        dataset = {"table": "household", "key": ["street", "no"], "map": {"name": "head"}, **self.declared}
        source = {
            "system": "grid", "title": "网格", "owner": "社区", "connector": {"kind": "sql", "page_rows": page_rows},
            "datasets": {"household": dataset},
        }  # fmt: skip
        source["connector"]["url"] = self.url
        self.connector = SqlConnector(Source.model_validate(source), None, self.state, monotonic=lambda: self.now)

    def look(self, pages=None):
        """Take what comes, as a pipeline would; the changes."""
        self.pages, changes = [], []
        for page in self.connector.pull("household", self.position):
            for change in page.changes:
                changes.append(change)
                if isinstance(change, Upsert):
                    self.held[change.key] = change.record["head"]
                else:
                    self.held.pop(change.key, None)
            self.pages.append(page)
            self.position = page.position
            if len(self.pages) == pages:
                break
        return changes

    def close(self):
        if self.connector is not None:
            self.connector.close()


@pytest.fixture(params=["sqlite", "postgresql", pytest.param("mariadb", marks=pytest.mark.services)])
def register(request, tmp_path):
    """Opens a register; ``declared``: more of its dataset."""
    opened = []

    def register(**declared):
        url = f"sqlite:///{tmp_path}/grid.db"
        if request.param == "postgresql":
            postgres = request.getfixturevalue("postgres")
            url = postgres.url(postgres.new_database(), "postgres")
        if request.param == "mariadb":
            mariadb = request.getfixturevalue("mariadb")
            url = mariadb.url(mariadb.new_database())
        opened.append(Register(url, tmp_path / "state", **declared))
        return opened[-1]

    yield register
    for each in opened:
        each.close()
        each.engine.dispose()


def filled(register, count=10, **declared):
    grid = register(**declared)
    for no in range(count):
        grid.put("a|b" if no % 2 else "文化西路", no, f"h{no}")
    return grid


def test_what_changed_and_what_is_gone_comes_and_nothing_else(register):
    grid = filled(register, disappear_limit=0.5)
    assert len(grid.look()) == 10
    assert [page.mark for page in grid.pages][-1] == "complete"
    assert all(page.snapshot for page in grid.pages[:-1])
    assert not grid.look()
    grid.put("文化西路", 2, "王")
    grid.put("b", 1, "李")
    grid.run("DELETE FROM household WHERE no = 7")
    changes = grid.look()
    assert sorted((change.key, isinstance(change, Delete)) for change in changes) == [
        ("a\\|b|7", True), ("b|1", False), ("文化西路|2", False),
    ]  # fmt: skip
    assert (grid.held["文化西路|2"], len(grid.held)) == ("王", 10)
    assert grid.pages[-1].mark is None
    assert not grid.look()  # what is gone is told once


def test_a_content_that_comes_back_is_a_change_of_its_own(register):
    grid = filled(register, 1)
    points = {change.at for change in grid.look()}
    for head in ("王", "h0", "王"):
        grid.put("文化西路", 0, head)
        (change,) = grid.look()
        points.add(change.at)
    assert len(points) == 4


def test_more_absent_rows_than_allowed_are_asked_about_and_may_come_back(register):
    grid = filled(register, disappear_limit=0.2)
    grid.look()
    grid.run("DELETE FROM household")  # it is being loaded anew
    assert not grid.look()
    (asked,) = grid.pages[-1].asks
    assert asked.code == TooManyDisappeared.code
    assert "10 of 10 records" in asked.finding
    assert len([note for page in grid.pages for note in page.notes]) == 1
    assert not grid.look()
    assert not [note for page in grid.pages for note in page.notes]  # said once
    for no in range(9):
        grid.put("a|b" if no % 2 else "文化西路", no, f"h{no}")
    assert [type(change) for change in grid.look()] == [Delete]
    assert not grid.pages[-1].asks
    assert len(grid.held) == 9


def test_an_empty_table_is_no_complete_read(register):
    grid = filled(register, 0)
    grid.look()
    assert grid.pages[-1].mark is None
    grid.put("b", 1, "李")
    grid.look()
    assert grid.pages[-1].mark == "complete"


def test_after_a_restart_it_goes_on_behind_the_last_page_that_was_kept(register):
    grid = filled(register, disappear_limit=0.5)
    grid.look(pages=2)
    kept = dict(grid.held)
    unkept = next(page for page in grid.connector.pull("household", grid.position) if page.changes)
    grid.connect()
    changes = grid.look()
    assert not kept.keys() & {change.key for change in changes}
    assert {change.key for change in unkept.changes} <= {change.key for change in changes}
    assert len(grid.held) == 10
    grid.run("DELETE FROM household WHERE no = 0")  # known since before the restart
    assert [type(change) for change in grid.look()] == [Delete]


def test_deletions_that_were_not_kept_are_told_again(register):
    grid = filled(register, disappear_limit=1)
    grid.look()
    grid.run("DELETE FROM household WHERE no >= 4")
    before = grid.position
    told = {change.key for change in grid.look(pages=1)}
    grid.position = before
    grid.connect()
    assert told < {change.key for change in grid.look()}
    assert len(grid.held) == 4


def test_rows_that_are_marked_as_deleted_are_deletes(register):
    grid = filled(register, deleted={"column": "gone", "values": [1]})
    grid.look()
    grid.put("文化西路", 2, "h2", gone=1)
    assert [type(change) for change in grid.look()] == [Delete]
    grid.put("文化西路", 2, "h2")
    assert [type(change) for change in grid.look()] == [Upsert]


def test_what_it_knew_is_lost(register):
    grid = filled(register)
    grid.look()
    grid.close()
    for file in grid.state.iterdir():
        file.unlink()
    grid.connect()
    with pytest.raises(PositionLost, match="no longer known here"):
        grid.look()
    grid.position = None
    assert len(grid.look()) == 10
    assert grid.pages[-1].mark == "complete"


def test_a_cursor_that_is_declared_later_begins_anew(register):
    grid = filled(register)
    grid.look()
    grid.declared["cursor"] = "no"
    grid.connect()
    with pytest.raises(PositionLost, match="without a cursor before"):
        grid.look()
    grid.position = None
    grid.look()
    del grid.declared["cursor"]
    grid.connect()
    with pytest.raises(PositionLost, match="with a cursor before"):
        grid.look()


def test_a_large_table_is_not_read_all_the_time(register):
    grid = filled(register, 0)
    with grid.engine.begin() as tx:
        tx.execute(sa.text("INSERT INTO household VALUES ('r', :no, 'h', 0)"), [{"no": no} for no in range(2_000)])
    grid.connect(page_rows=500)
    assert len(grid.look()) == 2_000
    grid.put("r", 1, "王")
    assert not grid.look()
    assert not grid.pages
    grid.now += 0.41  # 2,000 rows at 5,000 a second
    assert len(grid.look()) == 1


def test_a_column_that_is_added_is_seen_within_the_minute(register):
    grid = filled(register, 2)
    grid.look()
    grid.run("ALTER TABLE household ADD COLUMN phone VARCHAR(20)")
    assert not grid.look()  # the table is not looked up at each look
    grid.now += 61
    assert ["phone" in change.record for change in grid.look()] == [True, True]


def test_the_check_says_what_it_costs(register):
    grid = filled(register)
    said = [(finding.level, finding.text) for finding in grid.connector.check()]
    assert not [text for level, text in said if level == "fail"]
    assert [text for level, text in said if level == "warn" and "no cursor is declared" in text]
