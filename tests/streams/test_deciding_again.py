"""Refused records are decided once more, and become what a fold of the whole topic makes of them."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from remapcases import ANNA, HASHER, NEW, NOON, OLD, WRONG, City, mapping, through

from contracts.errors import DatasetPaused
from contracts.identity import partition_of
from streams.mapping import refusal
from streams.records import incoming

WIDER = mapping({"1": "independent", "2": "partial", "3": "full"})
"""As the old one, and one code more."""


def key(no: str) -> str:
    return HASHER.record("hrss", "person", no)


def refuse(city: City) -> None:
    """Two records with a code that nobody knows, one with a wrong number, two good ones."""
    city.change("1", care="1")
    city.change("2", care="3", id="")
    city.change("3", care="3", id="")
    city.change("4", care="2", id="")
    city.change("5", care="1", id=WRONG)
    settled(city)


def settled(city: City) -> None:
    city.decide()
    city.relay()


def again(city: City, declared=WIDER, moment: datetime = NOON) -> dict[str, int]:
    """All that is refused, decided once more under this mapping."""
    intake, counts = city.intake(declared), {}
    intake.adopt()
    refused = city.knows()["quarantine"]
    for partition in city.events:
        mine = [row for row in refused if partition_of(row[0], 2) == partition]
        why = {row[0]: refusal(*row[1:5]) for row in mine}
        items = [incoming(city.events[partition][row[5]]) for row in mine]
        if items:
            for name, count in intake.decide_again(partition, why, items, moment.date()).items():
                counts[name] = counts.get(name, 0) + count
    city.relay()
    return counts


def test_what_the_mended_mapping_takes_is_released_and_the_rest_stays_refused(city, tmp_path):
    refuse(city)
    assert len(city.knows()["quarantine"]) == 3
    assert again(city) == {"released": 2, "refused": 1}
    assert [row[0] for row in city.knows()["quarantine"]] == [key("5")]
    assert city.says()[key("2")][1] == {"name": "张三", "care_level": "full"}
    assert (city.says(), city.knows()) == city.should(tmp_path / "fold", WIDER)


def test_a_second_time_says_nothing(city):
    refuse(city)
    again(city)
    said = {partition: len(events) for partition, events in city.log.items()}
    told, knows = len(city.refused), city.knows()
    assert again(city) == {"refused": 1}
    assert {partition: len(events) for partition, events in city.log.items()} == said
    assert (len(city.refused), city.knows()) == (told, knows)


def test_what_was_decided_since_by_a_newer_event_gives_way(city):
    refuse(city)
    stale = city.knows()["quarantine"]
    city.change("2", care="1", id="")
    city.change("3", care="3", id="", name="李四")
    city.decide()
    intake = city.intake(WIDER)
    intake.adopt()
    counts = {}
    for row in stale:
        partition = partition_of(row[0], 2)
        item = incoming(city.events[partition][row[5]])
        for name, count in intake.decide_again(partition, {row[0]: refusal(*row[1:5])}, [item], NOON.date()).items():
            counts[name] = counts.get(name, 0) + count
    assert counts == {"moved": 2, "refused": 1}
    city.relay()
    assert city.says()[key("2")][1]["care_level"] == "independent"
    assert key("3") not in city.says()


def test_a_record_that_was_held_is_said_anew_with_what_is_newest(city, tmp_path):
    city.change("1", care="1")
    settled(city)
    city.change("1", care="3", name="李四")
    settled(city)
    assert city.says()[key("1")][-1] == "code_unknown"
    assert again(city) == {"released": 1}
    assert city.says()[key("1")][1] == {"id_number": ANNA, "name": "李四", "care_level": "full"}
    assert city.says()[key("1")][-1] is None
    assert city.says() == city.should(tmp_path / "fold", WIDER)[0]


def test_what_the_dataset_is_not_to_hold_any_more_leaves_the_list(city):
    refuse(city)
    assert again(city, mapping(where=("370103*",))) == {"filtered": 3}
    assert city.knows()["quarantine"] == []


def test_another_reason_than_before_is_told(city):
    refuse(city)
    told = len(city.refused)
    assert again(city, mapping({"1": "independent", "3": "full"}, number="care")) == {"refused": 3}
    assert {row[1] for row in city.knows()["quarantine"]} == {"id_length"}
    assert len(city.refused) == told + 3


def test_a_remap_afterwards_finds_nothing_to_do_for_them(city, tmp_path):
    refuse(city)
    again(city, NEW)
    done = through(city.remap(tmp_path / "r", NEW))
    assert "released" not in done
    city.relay()
    assert (city.says(), city.knows()) == city.should(tmp_path / "fold", NEW)


def test_a_paused_dataset_is_left_alone(city):
    refuse(city)
    city.store.set_pause(city.worker.topic, city.worker.mapping, "too many")
    with pytest.raises(DatasetPaused):
        again(city, OLD)


def test_it_is_judged_by_the_day_on_which_it_was_written(city):
    """As a fold of the topic would, or `verify --from department` would find a difference."""
    dated = mapping(birth_on={"column": "born", "date": "%Y-%m-%d"})
    city.worker = city.intake(dated)
    city.worker.adopt()
    city.change("1", care="1", id="", born="2026-11-02")
    settled(city)
    assert [row[1] for row in city.knows()["quarantine"]] == ["date_future"]
    assert again(city, dated) == {"refused": 1}
    assert again(city, dated, datetime(2026, 11, 3, tzinfo=UTC)) == {"released": 1}
