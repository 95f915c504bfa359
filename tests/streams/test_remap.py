"""A mended mapping takes effect on what was decided before, once, whatever comes meanwhile."""

from __future__ import annotations

import tempfile
from itertools import count
from pathlib import Path

import pytest
import sqlalchemy as sa
from hypothesis import given, settings
from hypothesis import strategies as st
from remapcases import ANNA, BELA, HASHER, NEW, OLD, TOPIC, WRONG, City, mapping, through

from contracts.errors import MappingReplaced
from contracts.identity import partition_of
from projections.databases import reading, writing
from streams import remap as remapping
from streams import store as tables


def key(no: str) -> str:
    return HASHER.record("hrss", "person", no)


def settled(city: City) -> City:
    city.decide()
    city.relay()
    return city


def is_as_the_topic_says(city: City, folder: Path, declared=NEW) -> bool:
    city.relay()
    says, knows = city.should(folder, declared)
    assert city.knows() == knows
    assert city.says() == says
    return True


def test_a_changed_code_is_said_again_of_those_it_concerns(city, tmp_path):
    for no, care in (("1", "1"), ("2", "2"), ("3", "2"), ("4", "1")):
        city.change(no, care=care, id="")
    settled(city)
    before = {each: len(events) for each, events in city.log.items()}
    assert through(city.remap(tmp_path / "r")) == {"same": 2, "superseded": 2}
    assert is_as_the_topic_says(city, tmp_path / "s")
    assert sum(map(len, city.log.values())) == sum(before.values()) + 2
    assert city.says()[key("2")][1] == {"name": "张三", "care_level": "full"}


def test_a_second_remap_changes_nothing(city, tmp_path):
    for no, care in (("1", "1"), ("2", "2"), ("3", "3")):
        city.change(no, care=care)
    through(settled(city).remap(tmp_path / "r"))
    city.relay()
    knew = city.knows()
    assert through(city.remap(tmp_path / "again")) == {"same": 3}
    assert city.store.unsent(0, 10) == []
    assert city.knows() == knew


def test_what_is_good_now_leaves_quarantine_and_what_is_bad_now_enters_it(city, tmp_path):
    city.change("1", care="3", id="")
    city.change("2", care="2", id="")
    only = mapping({"1": "independent", "3": "partial"})
    settled(city)
    assert list(city.says()) == [key("2")]
    assert through(city.remap(tmp_path / "r", only)) == {"asserted": 1, "retracted": 1, "released": 1, "refused": 1}
    assert is_as_the_topic_says(city, tmp_path / "s", only)
    assert list(city.says()) == [key("1")]
    refused, body = city.refused[-1]
    assert (refused, body["reason"], body["column"], body["owner"]) == (key("2"), "code_unknown", "care", "人社")
    knows = city.knows()
    assert sum(sum(row[2:]) for row in knows["books"]) == 2
    assert [sum(row[i] for row in knows["books"]) for i in (2, 3)] == [1, 1]  # accepted, quarantined


def test_under_another_identity_the_new_resident_is_told_first(city, tmp_path):
    city.change("1", id=ANNA, other=BELA)
    settled(city)
    other = mapping(number="other")
    assert through(city.remap(tmp_path / "r", other)) == {"superseded": 1}
    ((_, events),) = city.store.unsent(0, 10)
    told = [(each.type, each.key) for each in remapping.unpack(events)]
    assert told == [("RecordAsserted", HASHER.resident(BELA)), ("RecordRetracted", HASHER.resident(ANNA))]
    assert is_as_the_topic_says(city, tmp_path / "s", other)


def test_of_a_held_record_the_older_version_is_remapped_too(city, tmp_path):
    city.change("1", care="2", id="")
    city.change("1", care="2", id=WRONG)
    settled(city)
    assert through(city.remap(tmp_path / "r")) == {"superseded": 1}
    assert is_as_the_topic_says(city, tmp_path / "s")
    assert city.says()[key("1")][1]["care_level"] == "full"
    assert city.says()[key("1")][-1] == "id_check_digit"


def test_what_is_wanted_no_more_is_retracted_and_what_is_wanted_now_is_asserted(city, tmp_path):
    city.change("1", district="370102001")
    city.change("2", district="370103001")
    elsewhere = mapping(where=("370103*",))
    settled(city)
    assert through(city.remap(tmp_path / "r", elsewhere)) == {"asserted": 1, "retracted": 1}
    assert is_as_the_topic_says(city, tmp_path / "s", elsewhere)


def test_a_worker_that_runs_decides_under_the_new_mapping_at_once(city, tmp_path):
    city.change("1", care="2", id="")
    settled(city)
    remap = city.remap(tmp_path / "r")
    remap.begin()
    city.change("2", care="3", id="")
    city.decide()
    assert city.worker.meaning == remap._intake.meaning
    through(remap)
    assert is_as_the_topic_says(city, tmp_path / "s")


def test_a_dataset_that_is_paused_goes_on_under_another_mapping_alone(city, tmp_path):
    city.store.set_pause(TOPIC, city.worker.mapping, "sick")
    assert not city.worker.adopt()
    assert TOPIC in city.store.pauses()
    city.remap(tmp_path / "r").begin()
    assert city.store.pauses() == {}
    city.store.set_pause(TOPIC, city.worker.mapping, "sick")  # by a batch that was under way then
    assert not city.intake(NEW).adopt()
    assert city.store.pauses() == {}


def test_what_a_person_has_let_through_pauses_no_remap(city, tmp_path):
    strict = {"refuse_limit": 0.5, "disappear_limit": 0.0}
    city.worker = city.intake(OLD.model_copy(update=strict))
    city.worker.adopt()
    for number in range(120):
        city.change(str(number), name="")
    with writing(city.store.engine) as connection:
        for partition in (0, 1):
            city.store.note_judgements(connection, TOPIC, {partition: ("", 1_000)})
    settled(city)
    assert through(city.remap(tmp_path / "r", NEW.model_copy(update=strict))) == {"same": 120}


def test_it_ends_where_another_mapping_comes_into_force(city, tmp_path):
    city.change("1", care="2")
    settled(city)
    remap = city.remap(tmp_path / "r")
    remap.begin()
    city.intake(OLD).adopt()
    with pytest.raises(MappingReplaced, match=r"hrss\.person"):
        remap.step()
    assert city.store.unsent(0, 10) == []


def whole(city: City) -> bool:
    with reading(city.store.engine) as connection:
        return city.store.in_force(connection, TOPIC).whole


def test_it_is_known_whether_a_remap_is_due(city, tmp_path):
    assert whole(city)
    city.change("1", care="2")
    settled(city)
    assert whole(city)
    assert city.intake(OLD.model_copy(update={"title": "人员", "fresh_s": 9.0})).adopt()
    assert whole(city)  # what a record becomes does not depend on that
    city.intake(NEW).adopt()
    assert not whole(city)
    through(city.remap(tmp_path / "r"))
    assert whole(city)


def test_a_hold_ends_where_the_refused_version_says_the_same_now(city, tmp_path):
    city.change("1", care="1", id="")
    city.change("1", care="3", id="")
    alike = mapping({"1": "independent", "3": "independent"})
    settled(city)
    assert city.says()[key("1")][-1] == "code_unknown"
    assert through(city.remap(tmp_path / "r", alike)) == {"superseded": 1, "released": 1}
    assert is_as_the_topic_says(city, tmp_path / "s", alike)


def test_a_store_from_before_a_remap_is_mended_by_another_one(city, tmp_path):
    """Its numbers and revisions are older than those of the log: what it says under them is taken for seen."""
    only = mapping({"1": "independent", "3": "partial"})
    one, two, three, four, five, six = [no for no in map(str, range(40)) if partition_of(key(no), 2) == 0][:6]
    for no in (one, two, three):
        city.change(no, care="2")
    settled(city)
    with reading(city.store.engine) as connection:
        backup = {table: connection.execute(sa.select(table)).all() for table in tables.metadata.sorted_tables}
    for no in (four, six):
        city.change(no, care="2")  # accepted as it comes, and refused when it is decided once more
    settled(city)
    through(city.remap(tmp_path / "r", only))
    city.relay()
    with writing(city.store.engine) as connection:
        for table, rows in backup.items():
            connection.execute(sa.delete(table))
            if rows:
                connection.execute(sa.insert(table), [row._asdict() for row in rows])
    city.worker = city.intake(only)
    city.worker.adopt()
    city.change(five, care="1")
    city.decide()
    city.drop_what_was_seen()
    assert key(five) not in city.says()  # the hazard: lost, until
    assert through(city.remap(tmp_path / "again", only)) == {"same": 2, "asserted": 1, "refused": 3}
    assert is_as_the_topic_says(city, tmp_path / "s", only)
    city.change(five, care="3")
    city.decide()
    city.drop_what_was_seen()
    assert is_as_the_topic_says(city, tmp_path / "later", only)


MAPPINGS = [
    OLD,
    NEW,
    mapping({"1": "full", "3": "partial"}),
    mapping(number="other"),
    mapping(where=("370103*",)),
    mapping(phone={"column": "phone", "required": True}),
]
CHANGES = st.fixed_dictionaries(
    {},
    optional={
        "care": st.sampled_from(["1", "2", "3"]),
        "id": st.sampled_from(["", ANNA, BELA, WRONG]),
        "other": st.sampled_from(["", ANNA, BELA]),
        "district": st.sampled_from(["370102001", "370103001"]),
        "name": st.sampled_from(["张三", "李四", ""]),
        "phone": st.sampled_from(["", "13800138000"]),
    },
)
NUMBERS = st.sampled_from("12345")
STEPS = st.one_of(
    st.tuples(st.just("change"), NUMBERS, CHANGES),
    st.tuples(st.just("delete"), NUMBERS),
    st.tuples(st.just("cleared"), st.integers(0, 1)),
    st.tuples(st.just("decide"), st.integers(1, 3)),
    st.tuples(st.just("relay"), st.integers(1, 2)),
    st.tuples(st.just("remap"), st.sampled_from(["ends", "ends", "dies before the commit", "dies after the commit"])),
)


class Killed(Exception):
    """The remap's process ended here."""


def act(city: City, step, folders, declared, patch) -> None:
    what, *more = step
    if what == "change":
        city.change(more[0], **more[1])
    elif what == "delete":
        city.change(more[0], op="delete")
    elif what == "cleared":
        city.cleared(more[0])
    elif what == "decide":
        city.decide(more[0])
    elif what == "relay":
        city.relay(more[0])
    else:
        remap = city.remap(next(folders), declared)
        remap.begin()
        if more[0] == "dies before the commit":
            patch.setattr(remap._store, "note_remap", killed)
        elif more[0] == "dies after the commit":
            patch.setattr(remap._standing, "say", killed)
        try:
            remap.step()
        except Killed:
            pass
        finally:
            patch.undo()
            remap._refold.close()
            remap._standing.engine.dispose()


def killed(*_arguments, **_named):
    raise Killed


@settings(max_examples=40)
@given(
    before=st.lists(STEPS.filter(lambda step: step[0] != "remap"), max_size=12),
    during=st.lists(STEPS, max_size=12),
    after=st.lists(STEPS.filter(lambda step: step[0] != "remap"), max_size=4),
    declared=st.sampled_from(MAPPINGS[1:]),
    same_folder=st.booleans(),
    size=st.integers(1, 3),
)
def test_whatever_comes_meanwhile_every_record_is_as_the_mapping_makes_it(
    before, during, after, declared, same_folder, size
):
    """Changes, workers, the relay and kills in any order; a remap that goes on in its folder, or begins in another."""
    city = City()
    with tempfile.TemporaryDirectory() as above, pytest.MonkeyPatch.context() as patch:
        patch.setattr(remapping, "STEP", size)
        fresh = (Path(above) / f"r{number}" for number in count())
        one = next(fresh)
        folders = iter(lambda: one, None) if same_folder else fresh
        inner = pytest.MonkeyPatch()
        for step in before:
            act(city, step, folders, declared, inner)
        for step in during:
            act(city, step, folders, declared, inner)
        through(city.remap(next(folders), declared))
        for step in after:
            act(city, step, folders, declared, inner)
        city.decide()
        assert is_as_the_topic_says(city, Path(above) / "should", declared)
        knew = city.knows()
        counts = through(city.remap(next(fresh), declared))
        assert set(counts) <= {"same"}
        assert (city.knows(), city.store.unsent(0, 9)) == (knew, [])
    city.store.engine.dispose()
