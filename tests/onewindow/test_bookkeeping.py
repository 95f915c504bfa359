"""The books down to the partition and the keys, from a real broker, store and source."""

from __future__ import annotations

import sqlite3

import pytest
import sqlalchemy as sa
from test_status import City

from contracts.changes import FastChange, FastSource, encode
from contracts.identity import Hasher
from onewindow.bookkeeping import books
from onewindow.books import PartitionBook, partition_books
from onewindow.settings import Deployment
from producers.publisher import Publisher, Record
from projections.databases import open_view
from streams import store as tables
from streams.intake import Incoming, Intake
from streams.store import Store

HASHER = Hasher(b"0123456789abcdef")


class Books(City):
    """A city whose streams really decides, with a table behind it."""

    def fill(self, *numbers):
        publisher, store = (
            Publisher(self.bootstrap, "test"),
            Store(open_view(f"sqlite:///{self.directory}/streams.sqlite")),
        )
        store.prepare("cluster", {})
        (source,) = Deployment(self.directory).sources
        intake = Intake(
            store, self.system, "person", source.datasets["person"], owner_on=lambda _: "x", hasher=HASHER, partitions=1
        )
        for offset, number in enumerate(numbers):
            change = FastChange(
                "upsert", {"aac001": number, "aac003": "王小芳"}, FastSource(self.system, "person", 1, offset, 0)
            )
            key, value = self.key(number), encode(change)
            publisher.publish(self.topic, [Record(key.encode(), value, (), 0)])
            intake.take(0, offset, [Incoming(offset, key, f"e{offset}", f"1.1.0.{offset}", value)])
        publisher.flush()
        publisher.close()
        store.engine.dispose()
        self.said |= {"published": len(numbers)}
        with sqlite3.connect(self.directory / "hrss.db") as database:
            database.execute("CREATE TABLE ac01 (aac001 TEXT PRIMARY KEY, aac003 TEXT, updated_at TEXT NOT NULL)")
            database.executemany("INSERT INTO ac01 VALUES (?, 'x', '2026-01-01')", [(each,) for each in {*numbers}])
        database.close()

    def key(self, number):
        return HASHER.record(self.system, "person", number)

    def in_store(self, *statements):
        engine = open_view(f"sqlite:///{self.directory}/streams.sqlite")
        with engine.begin() as connection:
            for each in statements:
                assert connection.execute(each).rowcount == 1
        engine.dispose()

    def books(self):
        found = books(Deployment(self.directory))
        return found, found["datasets"][0]


@pytest.fixture
def city(tmp_path, broker, monkeypatch):
    city = Books(tmp_path, broker.bootstrap)
    file = tmp_path / "sources" / "s.yaml"
    file.write_text(file.read_text(encoding="utf-8").replace("sqlite:///hrss.db", f"sqlite:///{tmp_path}/hrss.db"))
    monkeypatch.setattr("onewindow.status.RESIDENT_TOPIC", city.residents)
    city.topics()
    city.fill("1", "2", "3", "2")
    city.up()
    yield city
    city.stop()


def test_books_that_balance_stand_beside_the_sources_own_count(city):
    found, mine = city.books()
    assert found["balanced"] is True
    assert (mine["read"], mine["accepted"], mine["duplicate"], mine["pending"], mine["balanced"]) == (4, 3, 1, 0, True)
    assert (mine["records"], mine["source_rows"], mine["unbalanced"]) == (3, 3, [])


def test_what_is_not_accounted_for_is_found_by_its_key(city):
    lost = tables.record.c.record_key == city.key("2")
    city.in_store(
        sa.delete(tables.record).where(lost), sa.update(tables.books).values(accepted=tables.books.c.accepted - 1)
    )
    found, mine = city.books()
    assert (found["balanced"], mine["balanced"]) == (False, False)
    (partition,) = mine["unbalanced"]
    assert partition == {
        "partition": 0, "in_topic": 4, "taken": 4, "counted": 3, "missing": 0, "unaccounted": 2, "keys": [city.key("2")],
    }  # fmt: skip


def test_what_never_came_lets_no_books_balance(city):
    """All that came is counted; the numbers tell that something else was sent."""
    city.in_store(sa.update(tables.arrival).values(missing=2))
    found, mine = city.books()
    assert (found["balanced"], mine["balanced"]) == (False, False)
    assert [each["missing"] for each in mine["unbalanced"]] == [2]


def test_a_decision_that_was_taken_back_is_found_too(city):
    lost = tables.record.c.record_key == city.key("3")
    city.in_store(
        sa.update(tables.record).where(lost).values(version="00"),
        sa.update(tables.books).values(accepted=tables.books.c.accepted - 1),
    )
    (partition,) = city.books()[1]["unbalanced"]
    assert (partition["unaccounted"], partition["keys"]) == (1, [city.key("3")])


def test_a_source_that_does_not_answer_has_no_count_and_the_books_are_there(city):
    (city.directory / "hrss.db").unlink()
    (city.directory / "hrss.db").mkdir()
    found, mine = city.books()
    assert (found["balanced"], mine["source_rows"], mine["read"]) == (True, None, 4)


def test_without_a_broker_nothing_is_said_to_balance(city):
    (city.directory / "onewindow.yaml").write_text("kafka: {bootstrap_servers: '127.0.0.1:1', embedded: false}\n")
    found, mine = city.books()
    assert (found["balanced"], mine["balanced"], mine["read"], mine["unbalanced"]) == (False, None, None, [])


@pytest.mark.parametrize(
    ("known", "balanced"),
    [
        ({"in_topic": 5, "taken": 5, "counted": 5}, True),
        ({"in_topic": 9, "taken": 5, "counted": 5}, True),
        ({"in_topic": None, "taken": 5, "counted": 5}, True),
        ({"in_topic": 4, "taken": 5, "counted": 5}, False),
        ({"in_topic": 5, "taken": 5, "counted": 4}, False),
        ({"in_topic": 5, "taken": 5, "counted": 6}, False),
        ({"in_topic": 5, "taken": 5, "counted": 5, "missing": 1}, False),
    ],
)
def test_when_a_partition_balances(known, balanced):
    assert PartitionBook(**{"partition": 0, "missing": 0, **known}).balanced is balanced


def test_partitions_of_other_topics_are_left_out():
    found = partition_books(
        "a", {("a", 1): 3, ("b", 0): 9}, {("a", 1): 3}, {("a", 1): {"accepted": 2, "stale": 1}}, {("c", 0): 1}
    )
    assert found == [PartitionBook(1, 3, 3, 3, 0)]
