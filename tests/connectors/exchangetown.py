"""A department that hands its changes over in an exchange table, what must hold of whoever reads it on any database, and a
town of it for the acceptance kit. The files of tests only say which database."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable
from itertools import islice

import pytest
import sqlalchemy as sa

from connectors.base import Delete, Position, Upsert
from connectors.exchange import ExchangeConnector
from connectors.testing import SECRET, Trial
from contracts.errors import ColumnMissing, FullReadImpossible, PositionLost, SettingInvalid, TableMissing
from contracts.sources import Source

_NUMBER = {
    "sqlite": "INTEGER PRIMARY KEY AUTOINCREMENT",
    "postgresql": "bigserial PRIMARY KEY",
    "mysql": "bigint PRIMARY KEY AUTO_INCREMENT",
}
_TIME = {"sqlite": "DATETIME", "postgresql": "timestamp", "mysql": "datetime(6)"}
EXCHANGE = {"order": ["xh"], "flag": "dqbz", "read_at": "dqsj"}


class Department:
    """Its exchange table ``grjc``: a number, the person's number and name, what was done, the flag and the time of reading."""

    def __init__(self, url: str) -> None:
        self.url, self.engine = url, sa.create_engine(url)
        kind = self.engine.dialect.name
        self.run(
            f"CREATE TABLE grjc (xh {_NUMBER[kind]}, grbh varchar(40), xm varchar(200), czlx char(1) NOT NULL,"
            f" dqbz char(1) DEFAULT '0' NOT NULL, dqsj {_TIME[kind]})"
        )
        self.run("CREATE INDEX grjc_wd ON grjc (dqbz, xh)")
        self.opened: list[ExchangeConnector] = []

    def run(self, statement: str, values: dict | list[dict] | None = None) -> None:
        with self.engine.begin() as tx:
            tx.execute(sa.text(statement), values or {})

    def ask(self, statement: str) -> list[tuple]:
        with self.engine.connect() as connection:
            return [tuple(row) for row in connection.execute(sa.text(statement))]

    def put(self, *rows: tuple[str | None, str, str]) -> None:
        """Rows of (number, name, operation), in this order, in one transaction."""
        made = [{"key": key, "name": name, "op": op} for key, name, op in rows]
        self.run("INSERT INTO grjc (grbh, xm, czlx) VALUES (:key, :name, :op)", made)

    def flags(self) -> dict[int, str]:
        return dict(self.ask("SELECT xh, dqbz FROM grjc ORDER BY xh"))

    def source(self, url: str | None = None, page_rows: int = 3, **dataset) -> Source:
        declared = {
            "table": "grjc", "key": ["grbh"], "exchange": EXCHANGE, "deleted": {"column": "czlx", "values": ["D"]},
            "map": {"name": "xm"},
        }  # fmt: skip
        return Source.model_validate(
            {
                "system": "qzk", "title": "前置库", "owner": "信息中心",
                "connector": {"kind": "exchange", "url": url or self.url, "page_rows": page_rows},
                "datasets": {"person": declared | dataset},
            }
        )  # fmt: skip

    def connector(self, url: str | None = None, password: str | None = None, **options) -> ExchangeConnector:
        self.opened.append(ExchangeConnector(self.source(url, **options), password))
        return self.opened[-1]

    def close(self) -> None:
        for connector in self.opened:
            connector.close()
        self.engine.dispose()


class Taker:
    """Takes pages and confirms them, as the producer does once they are durable."""

    def __init__(self, connector: ExchangeConnector, position: Position | None = None) -> None:
        self.connector, self.position = connector, position

    def take(self, pages: int | None = None, *, confirm: bool = True) -> list[Upsert | Delete]:
        found = []
        for page in islice(self.connector.pull("person", self.position), pages):
            found += page.changes
            self.position = page.position
        if confirm:
            self.confirm()
        return found

    def confirm(self) -> None:
        if self.position is not None:
            self.connector.confirm("person", self.position)


def said(changes: Iterable[Upsert | Delete]) -> list[tuple[str, str | None]]:
    return [(each.key, None if isinstance(each, Delete) else each.record["xm"]) for each in changes]


class ExchangeCase:
    """What must hold on each database. A class of tests gives ``department``, a fresh one."""

    def test_rows_come_in_their_order_and_are_marked_once_they_are_confirmed(self, department):
        department.put(*((f"p{number}", f"n{number}", "I") for number in range(7)))
        taker = Taker(department.connector())
        found = taker.take(confirm=False)
        assert said(found) == [(f"p{number}", f"n{number}") for number in range(7)]
        assert [each.record for each in found[:1]] == [{"grbh": "p0", "xm": "n0"}], (
            "without what belongs to the exchange"
        )
        assert found[0].place == "grjc xh=1"
        assert set(department.flags().values()) == {"0"}
        assert taker.take(confirm=False) == [], "what was given is left out though it is not marked"
        taker.confirm()
        assert set(department.flags().values()) == {"1"}
        assert department.ask("SELECT count(*) FROM grjc WHERE dqsj IS NULL") == [(0,)]
        assert taker.take() == []
        assert Taker(department.connector()).take() == [], "nor is it read by another, from the beginning"

    def test_only_what_is_confirmed_is_marked(self, department):
        department.put(*((f"p{number}", "n", "I") for number in range(9)))
        connector, positions = department.connector(), []
        for page in connector.pull("person", None):
            positions.append(page.position)
            if len(positions) == 2:
                connector.confirm("person", positions[0])
                assert list(department.flags().values()) == ["1"] * 3 + ["0"] * 6
        connector.confirm("person", positions[1])
        assert list(department.flags().values()) == ["1"] * 6 + ["0"] * 3
        connector.confirm("person", positions[0])
        assert list(department.flags().values()) == ["1"] * 6 + ["0"] * 3

    def test_what_was_acknowledged_and_not_marked_is_read_again_and_is_the_same(self, department):
        department.put(*((f"p{number}", "n", "D" if number == 4 else "I") for number in range(8)))
        first = Taker(department.connector())
        found = first.take(confirm=False)  # and here the process ends
        second = Taker(department.connector(), first.position)
        second.confirm()  # the position that was saved: a start confirms it
        assert set(department.flags().values()) == {"0"}, "this process gave nothing, so it marks nothing"
        assert second.take() == found
        assert set(department.flags().values()) == {"1"}

    def test_a_page_that_was_not_published_is_neither_marked_nor_forgotten(self, department):
        department.put(*((f"p{number}", "n", "I") for number in range(9)))
        taker = Taker(department.connector())
        kept = taker.take(pages=1)
        position = taker.position
        lost = taker.take(confirm=False)
        taker.position = position
        assert taker.take(confirm=False) == lost
        assert list(department.flags().values()) == ["1"] * 3 + ["0"] * 6
        taker.confirm()
        assert set(department.flags().values()) == {"1"}
        assert len(kept + lost) == 9

    def test_of_one_key_the_order_counts(self, department):
        department.put(
            ("a", "1", "I"), ("b", "1", "I"), ("a", "2", "U"), ("a", "2", "D"), ("b", "2", "U"), ("a", "3", "I")
        )
        found = Taker(department.connector()).take()
        assert said(found) == [("a", "1"), ("b", "1"), ("a", "2"), ("a", None), ("b", "2"), ("a", "3")]

    def test_a_row_that_was_changed_after_it_was_read_stays_unread(self, department):
        department.put(("a", "1", "I"), ("b", "1", "I"), ("c", "1", "I"))
        taker = Taker(department.connector())
        taker.take(confirm=False)
        department.run("UPDATE grjc SET xm = '2' WHERE grbh = 'b'")
        department.run("UPDATE grjc SET dqbz = '9' WHERE grbh = 'c'")
        taker.confirm()
        assert department.flags() == {1: "1", 2: "0", 3: "9"}
        assert said(taker.take()) == [("b", "2")]
        assert department.flags() == {1: "1", 2: "1", 3: "9"}

    def test_a_row_of_the_department_is_read_again_when_it_takes_the_flag_back(self, department):
        """A table with one row for each person, which is changed in its place."""
        department.put(("a", "1", "I"), ("b", "1", "I"))
        taker = Taker(department.connector(key=["xh"]))
        assert [each.key for each in taker.take()] == ["1", "2"]
        department.run("UPDATE grjc SET xm = '2', dqbz = '0' WHERE grbh = 'a'")
        (again,) = taker.take()
        assert (again.key, again.record) == ("1", {"xh": 1, "grbh": "a", "xm": "2"})
        department.run("UPDATE grjc SET dqbz = '0' WHERE grbh = 'a'")
        assert taker.take() == [again], "the same content is the same change"

    def test_who_writes_meanwhile_loses_nothing_and_gives_nothing_twice(self, department):
        failed = []

        def write(number: int) -> None:
            try:
                for row in range(15):
                    department.put((f"w{number}-{row}", "n", "I"))
            except sa.exc.SQLAlchemyError as error:  # seen by the test, which waits for the thread
                failed.append(error)

        writers = [threading.Thread(target=write, args=(number,)) for number in range(3)]
        for writer in writers:
            writer.start()
        taker, found = Taker(department.connector()), []
        while any(writer.is_alive() for writer in writers):
            found += taker.take()
        found += taker.take()
        assert failed == []
        assert sorted(each.key for each in found) == sorted(
            f"w{number}-{row}" for number in range(3) for row in range(15)
        )
        for number in range(3):  # of each writer in its order
            mine = [each.key for each in found if each.key.startswith(f"w{number}-")]
            assert mine == [f"w{number}-{row}" for row in range(15)]
        assert set(department.flags().values()) == {"1"}

    def test_a_flag_of_numbers_an_order_of_two_columns_and_a_time_as_text(self, department):
        department.run(
            "CREATE TABLE jh (pc varchar(10) NOT NULL, xh integer NOT NULL, bh varchar(10), zt integer, sj varchar(19))"
        )
        rows = [{"pc": f"2026-{day:02}", "xh": n, "bh": f"{day}-{n}"} for day in (1, 2) for n in range(150)]
        department.run("INSERT INTO jh VALUES (:pc, :xh, :bh, 10, NULL)", rows)
        exchange = {"order": ["pc", "xh"], "flag": "zt", "unread": 10, "read": 20, "read_at": "sj"}
        options = {"table": "jh", "key": ["bh"], "deleted": None, "map": {"name": "bh"}, "exchange": exchange}
        taker = Taker(department.connector(page_rows=299, **options))
        assert [each.key for each in taker.take()] == [row["bh"] for row in rows]
        assert department.ask("SELECT DISTINCT zt, length(sj) FROM jh") == [(20, 19)]
        with pytest.raises(SettingInvalid, match="zt holds numbers, and 'N' is none"):
            Taker(department.connector(**options | {"exchange": exchange | {"unread": "N"}})).take()

    def test_what_is_missing_is_named(self, department):
        department.put(("a", "1", "I"))
        with pytest.raises(ColumnMissing, match="grjc has no column yd; it has xh, grbh"):
            Taker(department.connector(exchange=EXCHANGE | {"flag": "yd"})).take()
        with pytest.raises(TableMissing, match="there is no table nirgends"):
            Taker(department.connector(table="nirgends")).take()
        department.run("INSERT INTO grjc (xm, czlx) VALUES ('x', 'I')")
        with pytest.raises(ColumnMissing, match="grbh of grjc is empty in some rows; they would never be read"):
            Taker(department.connector(exchange=EXCHANGE | {"order": ["grbh"]})).take()
        assert set(department.flags().values()) == {"0"}

    def test_a_row_without_a_key_comes_under_its_place(self, department):
        department.put((None, "x", "I"), ("a", "y", "I"))
        assert said(Taker(department.connector()).take()) == [("grjc xh=1", "x"), ("a", "y")]

    def test_a_position_of_another_connector_is_lost_and_what_is_read_stays_read(self, department):
        department.put(("a", "1", "I"))
        taker = Taker(department.connector(), {"phase": "live", "serial": 7})
        with pytest.raises(PositionLost):
            taker.take()
        taker.confirm()
        taker.position = None
        assert said(taker.take()) == [("a", "1")]
        department.put(("b", "1", "I"))
        taker.position = None  # a person wishes that it be read again
        assert said(taker.take()) == [("b", "1")]

    def test_it_never_holds_everything(self, department):
        with pytest.raises(FullReadImpossible):
            department.connector().copy("person")

    def test_a_check_says_what_is_written_and_what_makes_that_dear(self, department):
        said_ = [(finding.level, finding.text) for finding in department.connector().check()]
        assert [level for level, _ in said_] == ["ok"] * 4
        assert (
            said_[-1][1]
            == "setting dqbz, dqsj is allowed: OneWindow marks the rows that it has, and writes nothing else"
        )
        department.run("CREATE TABLE jh (xh integer, bh varchar(10), zt integer)")
        exchange = {"order": ["xh"], "flag": "zt"}
        bare = {"table": "jh", "key": ["bh"], "deleted": None, "map": {"name": "bh"}, "exchange": exchange}
        warned = [finding.text for finding in department.connector(**bare).check() if finding.level == "warn"]
        assert ["unique" in warned[0], "CREATE INDEX ON jh (zt, xh)" in warned[1], "deleted" in warned[2]] == [True] * 3


class ServersCase(ExchangeCase):
    """What must hold where several transactions write at a time, too."""

    def test_a_row_whose_transaction_committed_late_comes(self, department):
        with department.engine.connect() as late:
            late.execute(sa.text("INSERT INTO grjc (grbh, xm, czlx) VALUES ('late', 'n', 'I')"))
            department.put(("soon", "n", "I"))
            taker = Taker(department.connector())
            assert said(taker.take()) == [("soon", "n")]
            late.commit()
        assert said(taker.take()) == [("late", "n")]
        assert department.flags() == {1: "1", 2: "1"}


class ExchangeTown:
    """A department as the acceptance kit changes it."""

    def __init__(self, department: Department) -> None:
        self.department = department
        self.rows: dict[int, str] = {}

    def insert(self, numbers: Iterable[int]) -> None:
        numbers = list(numbers)
        self.rows |= {number: f"n{number}" for number in numbers}
        self.department.put(*((f"p{number}", f"n{number}", "I") for number in numbers))

    def update(self, number: int) -> None:
        self.rows[number] += "x"
        self.department.put((f"p{number}", self.rows[number], "U"))

    def delete(self, number: int) -> None:
        self.department.put((f"p{number}", self.rows.pop(number), "D"))

    def rename(self, number: int, to: int) -> None:
        held = self.rows[number]
        self.delete(number)
        self.rows[to] = held
        self.department.put((f"p{to}", held, "I"))

    def holds(self) -> dict[str, dict[str, str]]:
        return {f"p{number}": {"grbh": f"p{number}", "xm": name} for number, name in self.rows.items()}

    def close(self) -> None:
        self.department.close()


def trial_of(department: Department, password: Callable[[], str | None] = lambda: None) -> Trial:
    """For the kit. Nothing is confirmed in it: each of its readers reads from the beginning."""
    nowhere = "postgresql+psycopg://reader@127.0.0.1:1/qzk"
    return Trial(
        ExchangeTown(department), "person",
        lambda page_rows: department.connector(password=password(), page_rows=page_rows),
        lambda: department.connector(nowhere, SECRET),
    )  # fmt: skip
