"""Intake: what becomes of each change of a record, in the store and in the outbox."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from itertools import pairwise

import msgspec
import pytest
import sqlalchemy as sa
from hypothesis import given
from hypothesis import strategies as st

from contracts.changes import FastChange, FastSource, encode
from contracts.errors import AnotherLog, LogTooShort, LogTrimmed, OutOfStep, SourceSick
from contracts.identity import Hasher
from contracts.sources import DatasetSource
from projections.databases import open_view
from streams import store as tables
from streams.intake import Incoming, Intake, Outgoing
from streams.store import Store

HASHER = Hasher(b"0123456789abcdef")
ANNA, BELA = "379901194910010132", "379901197005151019"
DECLARED = DatasetSource(
    key=["no"],
    where={"district": ["370102*"]},
    map={
        "id_number": {"column": "id"},
        "name": {"column": "name", "required": True},
        "sex": {"column": "sex", "codes": {"1": "male", "2": "female"}},
    },
)


class Desk:
    """An intake with a store of its own, fed by hand."""

    def __init__(self, url="sqlite://"):
        self.store = Store(open_view(url))
        self.store.prepare("cluster", {"department.hrss.person": "topic"})
        self.intake = Intake(
            self.store, "hrss", "person", DECLARED, owner="人社", hasher=HASHER, partitions=4,
            now=lambda: datetime(2026, 11, 1, tzinfo=UTC),
        )  # fmt: skip
        self.offset = 0

    def change(self, key, epoch=1, position=1, op="upsert", number=None, **record):
        record = {"no": key, "district": "370102001", "name": "张三", "sex": "1", "id": ANNA, **record}
        source = FastSource("hrss", "person", epoch, position, 0)
        value = encode(FastChange(op, {} if op == "delete" else record, source))
        item = Incoming(self.offset, HASHER.record("hrss", "person", key), f"e{self.offset}", number or "", value)
        self.offset += 1
        return item

    def take(self, *items, first=None):
        return self.intake.take(0, items[0].offset if first is None else first, list(items))

    def sent(self):
        rows = self.store.unsent(0, 1_000)
        return [event for _, blob in rows for event in msgspec.msgpack.decode(blob, type=list[Outgoing])]

    def events(self):
        return [(e.type, json.loads(e.value)) for e in self.sent()]

    def books(self):
        with self.store.engine.connect() as connection:
            row = connection.execute(sa.select(tables.books)).mappings().one()
        return {name: row[name] for name in tables.BOOKS if row[name]}


@pytest.fixture
def desk():
    desk = Desk()
    yield desk
    desk.store.engine.dispose()


def test_a_new_record_is_asserted_of_its_resident(desk):
    desk.take(desk.change("1"))
    ((kind, body),) = desk.events()
    assert kind == "RecordAsserted"
    assert body["resident_id"] == HASHER.resident(ANNA)
    assert body["fields"] == {"id_number": ANNA, "name": "张三", "sex": "male"}
    assert desk.books() == {"accepted": 1}


def test_the_same_content_again_is_a_duplicate(desk):
    desk.take(desk.change("1"), desk.change("1", position=2), desk.change("1", epoch=2, position=0))
    assert len(desk.events()) == 1
    assert desk.books() == {"accepted": 1, "duplicate": 2}


def test_an_older_version_is_stale_and_changes_nothing(desk):
    desk.take(desk.change("1", position=5, name="王五"))
    desk.take(desk.change("1", position=4, name="李四"))
    assert [body["fields"]["name"] for _, body in desk.events()] == ["王五"]
    assert desk.books() == {"accepted": 1, "stale": 1}


def test_the_same_version_again_is_a_duplicate(desk):
    desk.take(desk.change("1"))
    desk.take(desk.change("1"))
    assert desk.books() == {"accepted": 1, "duplicate": 1}


def test_a_corrected_number_tells_the_new_resident_first(desk):
    desk.take(desk.change("1"), desk.change("1", position=2, id=BELA))
    kinds = [(kind, body["resident_id"], body.get("moved_to"), body["revision"]) for kind, body in desk.events()]
    assert kinds == [
        ("RecordAsserted", HASHER.resident(ANNA), None, 1),
        ("RecordAsserted", HASHER.resident(BELA), None, 2),
        ("RecordRetracted", HASHER.resident(ANNA), HASHER.resident(BELA), 2),
    ]


def test_a_record_without_a_number_is_a_resident_of_its_own(desk):
    desk.take(desk.change("1", id=""), desk.change("2", id=None))
    residents = {body["resident_id"] for _, body in desk.events()}
    assert len(residents) == 2
    assert all(body["provisional"] for _, body in desk.events())


def test_a_refused_record_stops_nothing_and_says_where(desk):
    desk.take(desk.change("1", id="379901195001010245"), desk.change("2", id=BELA))
    kinds = dict(desk.events())
    assert kinds["RecordQuarantined"]["reason"] == "id_check_digit"
    assert kinds["RecordQuarantined"]["column"] == "id"
    assert kinds["RecordQuarantined"]["owner"] == "人社"
    assert "379901195001010245" not in json.dumps(kinds["RecordQuarantined"])
    assert desk.books() == {"accepted": 1, "quarantined": 1}


def test_a_refused_newer_version_holds_what_was_accepted_until_it_is_mended(desk):
    desk.take(desk.change("1"), desk.change("1", position=2, name="???"))
    desk.take(desk.change("1", position=3, name="王五"))
    assert [kind for kind, _ in desk.events()] == [
        "RecordAsserted",
        "RecordHeld",
        "RecordQuarantined",
        "RecordAsserted",
    ]
    assert [body["revision"] for kind, body in desk.events() if kind != "RecordQuarantined"] == [1, 2, 3]
    with desk.store.engine.connect() as connection:
        assert connection.execute(sa.select(tables.quarantine.c.mended)).scalar_one()


def test_a_deleted_record_is_retracted_once(desk):
    desk.take(desk.change("1"), desk.change("1", position=2, op="delete"), desk.change("1", position=3, op="delete"))
    assert [kind for kind, _ in desk.events()] == ["RecordAsserted", "RecordRetracted"]
    assert desk.books() == {"accepted": 2, "duplicate": 1}


def test_what_the_dataset_is_not_to_hold_is_filtered_and_taken_back(desk):
    desk.take(desk.change("1", district="370103001"), desk.change("2"), desk.change("2", position=2, district="37"))
    assert [kind for kind, _ in desk.events()] == ["RecordAsserted", "RecordRetracted"]
    assert desk.books() == {"accepted": 1, "filtered": 2}


def test_a_key_used_again_for_someone_else_moves_the_record(desk):
    desk.take(desk.change("1"), desk.change("1", position=2, op="delete"), desk.change("1", position=3, id=BELA))
    assert [kind for kind, _ in desk.events()] == ["RecordAsserted", "RecordRetracted", "RecordAsserted"]


def test_what_is_no_event_goes_to_quarantine(desk):
    desk.take(desk.change("1")._replace(value=b"{"), desk.change("2", id=BELA))
    assert desk.books() == {"accepted": 1, "quarantined": 1}


def test_a_batch_given_twice_is_taken_once(desk):
    items = [desk.change("1"), desk.change("2", id=BELA)]
    desk.take(*items)
    before = desk.sent()
    desk.take(*items)
    assert desk.sent() == before
    assert desk.books() == {"accepted": 2}


def test_a_hole_before_the_batch_is_out_of_step(desk):
    item = desk.change("1")._replace(offset=5)
    with pytest.raises(OutOfStep):
        desk.take(item, first=5)
    assert desk.store.positions() == {}


def test_events_are_numbered_without_gaps_for_each_output_partition(desk):
    desk.take(*(desk.change(str(n), id="") for n in range(40)))
    desk.take(*(desk.change(str(n), id="") for n in range(40, 80)))
    numbers: dict[tuple[str, int], list[int]] = {}
    for event in desk.sent():
        numbers.setdefault((event.topic, event.partition), []).append(event.number)
    assert len(numbers) == 4
    assert all(found == list(range(len(found))) for found in numbers.values())


def test_too_many_refusals_keep_nothing_and_name_the_source(desk):
    with pytest.raises(SourceSick, match=r"hrss\.person"):
        desk.take(*(desk.change(str(n), sex="x") for n in range(60)))
    assert desk.store.positions() == {}
    assert desk.sent() == []


def test_a_few_refusals_say_nothing_about_the_source(desk):
    desk.take(*(desk.change(str(n), sex="x") for n in range(30)))
    assert desk.books() == {"quarantined": 30}


def test_a_lost_batch_of_the_producer_is_seen_and_closed_by_the_next_epoch(desk):
    taken = desk.take(desk.change("1", number="1.0"), desk.change("2", number="1.3", id=BELA))
    assert taken.missing == 2
    again = desk.take(desk.change("3", epoch=2, number="2.0", id=""))
    assert again.missing == 0


def test_an_id_number_with_a_birthday_of_another_day_is_a_conflict(desk):
    desk.take(desk.change("1", sex="2"))
    ((_, body),) = desk.events()
    assert body["reason"] == "field_conflict"


def test_a_store_of_another_log_is_refused(desk):
    with pytest.raises(AnotherLog):
        desk.store.prepare("another", {"department.hrss.person": "topic"})


def test_a_stored_offset_must_lie_in_the_log(desk):
    desk.take(desk.change("1"), desk.change("2", id=BELA))
    assert desk.store.check("department.hrss.person", 0, 0, 2) == 2
    with pytest.raises(LogTooShort):
        desk.store.check("department.hrss.person", 0, 0, 1)
    with pytest.raises(LogTrimmed):
        desk.store.check("department.hrss.person", 0, 3, 9)


moves = st.lists(
    st.tuples(st.sampled_from("123"), st.sampled_from([ANNA, BELA, "", "bad"]), st.sampled_from(["upsert", "delete"])),
    min_size=1,
    max_size=12,
)


@given(moves, st.data())
def test_where_a_batch_is_cut_changes_nothing_and_the_books_balance(history, data):
    def play(cuts):
        desk = Desk()
        try:
            items = [desk.change(k, position=n, op=op, id=i) for n, (k, i, op) in enumerate(history)]
            edges = [0, *sorted(cuts), len(items)]
            for start, end in pairwise(edges):
                if start < end:
                    desk.take(*items[start:end])
            return desk.sent(), desk.books()
        finally:
            desk.store.engine.dispose()

    cuts = (
        data.draw(st.sets(st.integers(1, max(len(history) - 1, 1)).filter(lambda n: n < len(history)), max_size=4))
        if len(history) > 1
        else set()
    )
    whole, books = play(set())
    assert play(cuts) == (whole, books)
    assert sum(books.values()) == len(history)
