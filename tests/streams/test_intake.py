"""Intake: what becomes of each change of a record, in the store and in the outbox."""

from __future__ import annotations

import json
from datetime import UTC, date, datetime
from itertools import pairwise

import msgspec
import pytest
import sqlalchemy as sa
from hypothesis import given
from hypothesis import strategies as st

from contracts.changes import FastChange, FastSource, Unreadable, decode, encode
from contracts.errors import AnotherLog, LogTooShort, LogTrimmed, OutOfStep, SourceSick, StoreOutdated
from contracts.identity import Hasher
from contracts.sources import DatasetSource
from projections.databases import open_view
from streams import store as tables
from streams.intake import Fetched, Incoming, Intake, Outgoing, fingerprints
from streams.mapping import Mapped, RecordMap
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

    def __init__(self, url="sqlite://", partitions=4):
        self.store = Store(open_view(url))
        self.store.prepare("cluster", {"department.hrss.person": "topic"})
        self.intake = Intake(
            self.store, "hrss", "person", DECLARED, owner_on=lambda _: "人社", hasher=HASHER, partitions=partitions,
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
            row = connection.execute(sa.select(tables.books)).mappings().one_or_none()
        return {name: row[name] for name in tables.BOOKS if row[name]} if row else {}


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


def test_what_lies_in_the_future_is_told_by_the_day_in_china(desk):
    """Who is born and reported before eight in the morning there is born today, not tomorrow."""
    desk.intake._now = lambda: datetime(2026, 11, 27, 20, tzinfo=UTC)
    desk.intake._owner_on = lambda day: f"owner of {day}"
    desk.take(desk.change("1"))
    assert (desk.intake.map.today, desk.intake.owner) == (date(2026, 11, 28), "owner of 2026-11-28")


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
    with desk.store.engine.connect() as connection:
        (kept,) = connection.execute(sa.select(tables.quarantine)).mappings()
    assert (kept["reason"], kept["column"], kept["mended"]) == ("id_check_digit", "id", False)
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


def test_an_older_version_does_not_bring_a_deleted_record_back(desk):
    desk.take(desk.change("1"), desk.change("1", position=3, op="delete"))
    desk.take(desk.change("1", position=2, name="李四"))
    assert [kind for kind, _ in desk.events()] == ["RecordAsserted", "RecordRetracted"]
    assert desk.books() == {"accepted": 2, "stale": 1}


def test_what_the_dataset_is_not_to_hold_is_filtered_and_taken_back(desk):
    desk.take(desk.change("1", district="370103001"), desk.change("2"), desk.change("2", position=2, district="37"))
    assert [kind for kind, _ in desk.events()] == ["RecordAsserted", "RecordRetracted"]
    assert desk.books() == {"accepted": 1, "filtered": 2}


def test_a_key_used_again_for_someone_else_moves_the_record(desk):
    desk.take(desk.change("1"), desk.change("1", position=2, op="delete"), desk.change("1", position=3, id=BELA))
    assert [kind for kind, _ in desk.events()] == ["RecordAsserted", "RecordRetracted", "RecordAsserted"]


@pytest.mark.parametrize("value", [b"", b"null", b"{", b"{},{}", b"\xff"])
def test_whatever_stands_in_the_topic_stops_nothing(desk, value):
    first, second, good = (desk.change(key) for key in "123")
    desk.take(first._replace(value=value))
    desk.take(second._replace(value=good.value + b"," + good.value))
    desk.take(good)
    assert desk.books() == {"accepted": 1, "quarantined": 2}


def test_what_is_no_event_goes_to_quarantine(desk):
    desk.take(desk.change("1")._replace(value=b"{"), desk.change("2", id=BELA))
    assert desk.books() == {"accepted": 1, "quarantined": 1}


def unreadable(desk, key, **version):
    """An event as the producer writes it of a record that no event can hold."""
    item = desk.change(key, **version)
    (change,) = decode([item.value])
    return item._replace(value=encode(Unreadable(msgspec.structs.replace(change.source, place="f.csv:7"), "too large")))


@pytest.mark.parametrize("broken", [unreadable, lambda desk, key, **_: desk.change(key)._replace(value=b"{")])
def test_an_unreadable_version_holds_what_was_accepted_until_a_readable_one_comes(desk, broken):
    desk.take(desk.change("1"), broken(desk, "1", position=2))
    assert [kind for kind, _ in desk.events()] == ["RecordAsserted", "RecordHeld", "RecordQuarantined"]
    assert desk.events()[1][1]["resident_id"] == HASHER.resident(ANNA)
    desk.take(desk.change("1", position=3))  # the same content as before: what was said stands again
    assert [(kind, body["revision"]) for kind, body in desk.events() if kind != "RecordQuarantined"] == [
        ("RecordAsserted", 1), ("RecordHeld", 2), ("RecordAsserted", 3),
    ]  # fmt: skip
    assert mended(desk) == [True]


def test_an_unreadable_record_leaves_quarantine_with_its_first_readable_version(desk):
    desk.take(desk.change("1")._replace(value=b"{"))
    assert mended(desk) == [False]
    desk.take(desk.change("1"))
    assert mended(desk) == [True]
    assert desk.books() == {"accepted": 1, "quarantined": 1}


def test_what_the_producer_says_of_an_unreadable_record_is_kept(desk):
    desk.take(unreadable(desk, "1", position=2), desk.change("1", position=1))
    assert desk.books() == {"quarantined": 1, "stale": 1}
    ((_, body),) = desk.events()
    assert (body["reason"], body["detail"], body["place"]) == ("record_unreadable", "too large", "f.csv:7")


def test_a_record_that_is_mended_and_refused_again_in_one_batch_stands_refused(desk):
    desk.take(desk.change("1", id="379901194910010133"))
    desk.take(desk.change("1", position=2), desk.change("1", position=3, id="379901194910010133"))
    assert mended(desk) == [False]
    desk.take(desk.change("1", position=4, sex="x"), desk.change("1", position=5))
    assert mended(desk) == [True]


def mended(desk):
    with desk.store.engine.connect() as connection:
        return list(connection.execute(sa.select(tables.quarantine.c.mended)).scalars())


def test_a_batch_given_twice_is_taken_once(desk):
    items = [desk.change("1"), desk.change("2", id=BELA)]
    desk.take(*items)
    before = desk.sent()
    desk.take(*items)
    assert desk.sent() == before
    assert desk.books() == {"accepted": 2}


@pytest.mark.parametrize("step", ["write", "count", "refuse", "mend", "post"])
def test_a_crash_anywhere_in_a_batch_keeps_nothing_of_it(tmp_path, step):
    class Crash(Exception):
        pass

    def crash(*_):
        raise Crash

    desk = Desk(f"sqlite:///{tmp_path}/streams.sqlite")
    batch = [desk.change("1"), desk.change("2", sex="?!")]
    real, desk.store.__dict__[step] = getattr(desk.store, step), crash
    with pytest.raises(Crash):
        desk.take(*batch)
    assert (desk.sent(), desk.books(), desk.store.positions()) == ([], {}, {})
    desk.store.__dict__[step] = real
    desk.take(*batch)
    assert desk.books() == {"accepted": 1, "quarantined": 1}
    desk.store.engine.dispose()


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


def take_all(desk, batches):
    for batch in batches:
        desk.take(*batch)


@pytest.mark.parametrize("size", [1, 7, 60])
def test_a_sick_source_is_seen_wherever_its_batches_are_cut(desk, size):
    items = [desk.change(str(n), sex="x") for n in range(60)]
    batches = [items[start : start + size] for start in range(0, len(items), size)]
    with pytest.raises(SourceSick, match="40 of the last 40"):
        take_all(desk, batches)
    assert desk.books().get("quarantined", 0) == 39 // size * size


def test_a_source_that_falls_sick_after_a_good_time_is_seen(desk):
    desk.take(*(desk.change(str(n), id="") for n in range(500)))
    with pytest.raises(SourceSick, match="51 of the last 100"):
        take_all(desk, ([desk.change(str(n), sex="x")] for n in range(500, 600)))


def test_a_clump_of_refusals_in_a_good_dataset_is_no_alarm(desk):
    desk.take(*(desk.change(str(n), id="") for n in range(60)))
    desk.take(*(desk.change(str(n), sex="x") for n in range(60, 110)))
    desk.take(*(desk.change(str(n), id="") for n in range(110, 160)))
    assert desk.books() == {"accepted": 110, "quarantined": 50}


@pytest.mark.parametrize(
    ("day", "says"),
    [("2026-03-01", True), (None, False), ("", False), ("00000000", False), ("0000-00-00", False), ("--", False)],
)
def test_only_a_day_that_is_one_says_that_somebody_has_died(day, says):
    declared = DatasetSource(key=["no"], map={"alive": {"value": False, "when": "died"}})
    found = RecordMap(declared, date(2026, 11, 1)).map({"no": "1", "died": day})
    assert isinstance(found, Mapped)
    assert found.fields == ({"alive": False} if says else {})


def test_a_paused_dataset_goes_on_when_a_person_says_so(desk):
    topic = desk.intake.topic
    bad, good = [desk.change(str(n), sex="x") for n in range(60)], [desk.change(str(n), id="") for n in range(60, 160)]
    with pytest.raises(SourceSick) as sick:
        desk.take(*bad)
    assert "onewindow source resume hrss.person" in sick.value.fix
    assert desk.store.resume(topic, {(topic, 0): 160}) is False  # it is not paused: nothing changes
    with pytest.raises(SourceSick):
        desk.take(*bad)
    desk.store.set_pause(topic, desk.intake.mapping, sick.value.finding)
    assert desk.store.resume(topic, {(topic, 0): 160, ("another", 0): 1}) is True
    assert desk.store.pauses() == {}
    desk.take(*bad)
    desk.take(*good)
    assert desk.books() == {"accepted": 100, "quarantined": 60}
    with pytest.raises(SourceSick, match="40 of the last 40"):  # what comes after is judged afresh
        desk.take(*(desk.change(str(n), sex="x") for n in range(160, 220)))


def test_a_lost_batch_of_the_producer_is_seen_until_the_dataset_is_read_from_its_beginning(desk):
    taken = desk.take(desk.change("1", number="1.1.0.0"), desk.change("2", number="1.1.0.3", id=BELA))
    assert taken.missing == 2
    assert desk.take(desk.change("3", epoch=2, number="1.2.4.4", id="")).missing == 2
    assert desk.take(desk.change("3", epoch=3, number="3.3.0.0", id="")).missing == 0


def test_an_id_number_with_a_birthday_of_another_day_is_a_conflict(desk):
    desk.take(desk.change("1", sex="2"))
    ((_, body),) = desk.events()
    assert body["reason"] == "field_conflict"


CARD = DatasetSource(
    key=["no"],
    map={
        "id_number": {"column": "card", "form": "disability_card"},
        "name": "name",
        "disability_category": "category",
        "disability_level": "level",
    },
)


def _card(**record):
    return RecordMap(CARD, date(2026, 11, 1)).map({"no": 1, "name": "张三", "card": BELA + "42", **record})


def test_a_disability_card_says_whose_it_is_by_its_number():
    mapped = _card(category="4", level="2")
    assert mapped.fields == {
        "id_number": BELA, "name": "张三", "disability_category": "physical", "disability_level": "2"
    }  # fmt: skip
    assert (mapped.originals, mapped.mends) == ({}, {})
    old = _card(card=BELA[:6] + BELA[8:17] + "42", category="肢体", level="二级")
    assert old.fields == mapped.fields
    assert old.originals == {
        "id_number": BELA[:6] + BELA[8:17] + "42", "disability_category": "肢体", "disability_level": "二级"
    }  # fmt: skip


@pytest.mark.parametrize(
    ("said", "field"), [({"category": "1", "level": "2"}, "disability_category"), ({"category": "4", "level": "1"}, "disability_level")]
)  # fmt: skip
def test_category_and_level_must_be_those_of_the_number(said, field):
    refused = _card(**said)
    assert (refused.reason, refused.field, refused.column) == ("field_conflict", field, field.partition("_")[2])
    assert BELA[6:14] not in refused.detail


def test_what_a_card_does_not_say_is_not_taken_from_its_number():
    assert _card(category="4").fields == {"id_number": BELA, "name": "张三", "disability_category": "physical"}
    assert _card(card="", category="1", level="3").id_number is None


def test_a_store_of_another_log_is_refused(desk):
    with pytest.raises(AnotherLog):
        desk.store.prepare("another", {"department.hrss.person": "topic"})


def test_a_store_of_another_version_is_left_as_it_is(desk):
    store, engine = desk.store, desk.store.engine
    with engine.begin() as connection:
        connection.execute(sa.text("ALTER TABLE record DROP COLUMN revision"))
        connection.execute(sa.text("DROP TABLE mapping"))
    with pytest.raises(StoreOutdated, match="table record differs in revision"):
        store.prepare("cluster", {})
    assert "mapping" not in sa.inspect(engine).get_table_names()


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


@pytest.fixture
def one():
    """A desk whose dataset lies in one partition."""
    desk = Desk(partitions=1)
    yield desk
    desk.store.engine.dispose()


def mark(desk, op, *, reading, position):
    source = FastSource("hrss", "person", reading, position, 0)
    item = Incoming(desk.offset, HASHER.record("hrss", "person", op), "m", f"{reading}.{reading}.0.9",
                    encode(FastChange(op, {}, source)))  # fmt: skip
    desk.offset += 1
    return item


def retracted(desk):
    return {event["record_key"] for kind, event in desk.events() if kind == "RecordRetracted"}


def record(key):
    return HASHER.record("hrss", "person", key)


def test_what_did_not_come_in_a_complete_reading_is_gone(one):
    keys = [str(number) for number in range(40)]
    one.take(*(one.change(key) for key in keys))
    one.take(*(one.change(key, epoch=2) for key in keys[1:]), mark(one, "complete", reading=2, position=2))
    assert retracted(one) == {record("0")}
    one.take(mark(one, "complete", reading=2, position=3))
    assert len(retracted(one)) == 1
    one.take(one.change("0", epoch=2, position=4))
    assert [kind for kind, event in one.events() if event.get("record_key") == record("0")][-1] == "RecordAsserted"


def test_an_epoch_that_goes_on_belongs_to_the_reading_that_it_goes_on_with(one):
    one.take(*(one.change(str(number), epoch=2) for number in range(40)))
    one.take(one.change("0", epoch=3, position=2, name="李四"))
    source = FastSource("hrss", "person", 3, 3, 0)
    value = encode(FastChange("complete", {}, source))
    one.take(Incoming(one.offset, record("mark"), "m", "2.3.0.9", value))
    assert retracted(one) == set()


def test_more_than_may_disappear_is_asked_about_and_nothing_is_kept(one):
    keys = [str(number) for number in range(40)]
    one.take(*(one.change(key) for key in keys))
    end = mark(one, "complete", reading=2, position=2)
    batch = [*(one.change(key, epoch=2) for key in keys[:30]), end]
    with pytest.raises(SourceSick, match="10 of 40"):
        one.take(*batch, first=end.offset)
    assert retracted(one) == set()
    with one.store.engine.begin() as connection:
        one.store.note_judgements(connection, one.intake.topic, {0: ("", one.offset + 1)})
    one.take(*batch, first=end.offset)
    assert retracted(one) == {record(key) for key in keys[30:]}


def test_a_cleared_dataset_holds_what_comes_after_it(one):
    one.take(*(one.change(str(number)) for number in range(5)))
    one.take(one.change("5", position=2), mark(one, "cleared", reading=1, position=3), one.change("6", position=4))
    assert retracted(one) == {record(str(number)) for number in range(6)}
    assert one.books() == {"accepted": 7, "filtered": 1}


def test_a_mark_speaks_of_its_own_partition(desk):
    """Whatever rule put a record there: the department's topic may be written by any tool."""
    keys = [str(number) for number in range(12)]
    desk.take(*(desk.change(key) for key in keys[:8]))
    desk.offset = 0
    desk.intake.take(1, 0, [desk.change(key) for key in keys[8:]])
    desk.offset = 8
    desk.take(mark(desk, "cleared", reading=1, position=2))
    assert retracted(desk) == {record(key) for key in keys[:8]}


def test_a_partition_that_is_behind_loses_nothing_by_the_mark_of_another(desk):
    here, there = (desk.change(key) for key in ("1", "2"))
    desk.intake.take(0, 0, [here])
    desk.intake.take(1, 0, [there._replace(offset=0)])
    again = desk.change("1", epoch=2)._replace(offset=1)
    desk.intake.take(0, 1, [again, mark(desk, "complete", reading=2, position=2)._replace(offset=2)])
    assert retracted(desk) == set()
    desk.intake.take(1, 1, [desk.change("2", epoch=2, name="李四")._replace(offset=1)])
    assert [event["fields"]["name"] for kind, event in desk.events() if event["record_key"] == record("2")][
        -1
    ] == "李四"


def test_a_mark_is_taken_on_postgresql_too(postgres):
    """Reading what is there in parts must not make server-side cursors of the statements after it."""
    desk = Desk(postgres.url(postgres.new_database()), partitions=1)
    keys = [str(number) for number in range(40)]
    desk.take(*(desk.change(key) for key in keys))
    desk.take(*(desk.change(key, epoch=2) for key in keys[1:]), mark(desk, "complete", reading=2, position=2))
    assert retracted(desk) == {record("0")}
    assert desk.books() == {"accepted": 40, "duplicate": 39, "filtered": 1}
    desk.store.engine.dispose()


@given(moves)
def test_partitions_together_are_decided_as_one_after_the_other(history):
    """A key lies in one partition here, as it does where one producer writes a topic."""
    batches = [
        [(k, i, op, n) for n, (k, i, op) in enumerate(history) if int(k) % 2 == partition] for partition in (0, 1)
    ]

    def play(take):
        desk = Desk()
        try:
            fetched = []
            for partition, batch in enumerate(batches):
                desk.offset = 0
                items = [desk.change(k, position=n, op=op, id=i) for k, i, op, n in batch]
                if items:
                    fetched.append(Fetched(partition, 0, items))
            posted = take(desk.intake, fetched)
            with desk.store.engine.connect() as connection:
                known = [connection.execute(sa.select(table)).all() for table in (tables.record, tables.books)]
                refused = connection.execute(sa.select(tables.quarantine)).all()
            return desk.sent(), known, sorted(refused), [event for _, events in posted for event in events]
        finally:
            desk.store.engine.dispose()

    apart = play(lambda intake, fetched: [row for each in fetched for row in intake.take_together([each]).posted])
    together = play(lambda intake, fetched: intake.take_together(fetched).posted)
    assert together == apart
    assert together[0] == together[3]


def test_a_record_that_changes_its_partition_belongs_to_the_last_one(desk):
    here, there = desk.change("1"), desk.change("1", position=2, name="李四")
    desk.intake.take_together([Fetched(0, 0, [here]), Fetched(1, 0, [there._replace(offset=0)])])
    desk.offset = 1
    desk.take(mark(desk, "cleared", reading=1, position=3))
    assert retracted(desk) == set()


def test_what_is_not_said_of_a_field_leaves_the_fingerprints_as_they_were():
    """A new key of a source file may not make every mapping another one."""
    assert '"form"' not in DECLARED.model_dump_json()
    assert fingerprints(DECLARED) == ("8942feb4e67c401e", "74ddaaf5a38cf9d2")
