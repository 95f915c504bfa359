"""The parts that need Python alone: the records of each side say the same, and our view of them is that table."""

from __future__ import annotations

import msgspec
import pytest
import sqlalchemy as sa

from benchmarks import people, register
from benchmarks.memory import flatness
from contracts.events import RESIDENT_TOPIC
from contracts.sources import Source
from projections.databases import open_view, reading
from projections.engine import LogIdentity, ViewEngine
from projections.winners import Authority
from streams.records import arrival

PEOPLE = 500


class Fetched:
    """A record as a consumer gives it."""

    def __init__(self, offset, record):
        self.topic, self.partition, self.offset = RESIDENT_TOPIC, record.partition, offset
        self.key, self.value, self.headers = record.key, record.value, record.headers


@pytest.fixture
def partitions():
    numbered, found = register.Numbered("department.bench.register/0"), {}
    for number in range(PEOPLE):
        record = register.event(numbered, number, register.person(number))
        place = found.setdefault(record.partition, [])
        place.append(Fetched(len(place), record))
    return found


def test_the_engine_takes_all_events_and_the_view_holds_the_very_records(partitions, tmp_path):
    view = ViewEngine(open_view(f"sqlite:///{tmp_path}/view.sqlite"), Authority({}), [register.Register()])
    view.prepare(LogIdentity("bench", {RESIDENT_TOPIC: "bench"}))
    for partition, records in partitions.items():
        taken = view.take(
            RESIDENT_TOPIC, partition, first=0, to=len(records), arrivals=[arrival(each) for each in records]
        )
        assert (taken.applied, taken.withheld) == (len(records), 0)
    with reading(view.engine) as connection:
        rows = connection.execute(sa.select(register.register)).mappings().all()
    by_key = {row[register.KEY]: dict(row) for row in rows}
    assert by_key == {record[register.KEY]: record for record in map(register.person, range(PEOPLE))}
    view.engine.dispose()


def test_the_events_carry_what_the_plain_topic_carries(partitions):
    fields = [msgspec.json.decode(each.value)["fields"] for records in partitions.values() for each in records]
    assert len(fields) == PEOPLE
    assert sorted(fields, key=lambda each: each["phone"]) == [register.person(number) for number in range(PEOPLE)]
    assert set(register.person(0)) == set(register.COLUMNS)
    assert len(register.COLUMNS) == 12


def test_changes_meet_no_row_twice():
    statements = list(people.changes(people.TABLE, 1_000, 0, 400))
    keys = [values[2] if sql.startswith("UPDATE") else values[0] for sql, values in statements]
    assert len(set(keys)) == 400
    phones = [values[0] if sql.startswith("UPDATE") else values[6] for sql, values in statements]
    assert phones == [people.marked_phone(serial) for serial in range(400)]


def test_the_source_file_maps_columns_that_the_table_has():
    from yaml import safe_load

    source = Source(**safe_load(people.source_file(people.SYSTEM, people.TABLE, "postgresql://nobody@nowhere/none")))
    columns = {how.column for how in source.datasets[people.DATASETS[people.TABLE]].map.values()}
    assert columns | {people.KEY} == set(people.COLUMNS)
    assert len(people.row(1)) == len(people.COLUMNS) == 12


def test_memory_that_grows_shows():
    assert flatness([50, 100, 100, 100, 100, 100, 100, 100])["growth"] == 1.0
    assert flatness([50, 60, 100, 110, 120, 130, 200, 200])["growth"] == pytest.approx(200 / 105, abs=0.01)
