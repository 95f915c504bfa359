"""How refused records are found again in the log, to be decided once more."""

from __future__ import annotations

import sys
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

sys.path.append(str(Path(__file__).parents[1] / "streams"))

from remapcases import HASHER, PARTITIONS, City, mapping

from contracts.errors import TopicWrong
from contracts.identity import partition_of
from onewindow import retrying

WIDER = mapping({"1": "independent", "2": "partial", "3": "full"})


@pytest.fixture
def city():
    made = City()
    yield made
    made.store.engine.dispose()


class Dropped:
    """The log of a city, the beginning of which retention has dropped."""

    def __init__(self, city: City, start: int) -> None:
        self.city, self.start = city, start

    def records(self, topic, partition, at, end):
        if at < self.start:
            raise TopicWrong("gives nothing", fix="")
        return self.city.records(topic, partition, at, end)


def again(city: City, history) -> dict[str, int]:
    intake, counts = city.intake(WIDER), {}
    intake.adopt()
    names = ("record_key", "reason", "field", "column", "detail", "offset")
    rows = [dict(zip(names, row, strict=True)) for row in city.knows()["quarantine"]]
    for partition in range(PARTITIONS):
        mine = [row for row in rows if partition_of(row["record_key"], PARTITIONS) == partition]
        mine.sort(key=lambda row: row["offset"])
        for name, count in retrying._of_partition(intake, history, partition, mine).items():
            counts[name] = counts.get(name, 0) + count
    return counts


def test_each_is_found_among_the_others(city):
    for number in range(60):
        city.change(str(number), care="3" if number % 3 == 0 else "1", id="")
    city.decide()
    assert again(city, city) == {"released": 20}


@pytest.mark.parametrize("near", [0, 2_000], ids=["each by itself", "all read together"])
def test_what_retention_has_dropped_stays_refused_and_holds_up_nobody(city, monkeypatch, near):
    monkeypatch.setattr(retrying, "_NEAR", near)
    for number in range(20):
        city.change(str(number), care="3", id="")
    city.decide()
    counts = again(city, Dropped(city, 4))
    assert counts == {"dropped": 8, "released": 12}
    assert len(city.knows()["quarantine"]) == 8
    assert {row[5] for row in city.knows()["quarantine"]} == set(range(4))
    assert HASHER.record("hrss", "person", "19") not in {row[0] for row in city.knows()["quarantine"]}


@given(offsets=st.sets(st.integers(0, 10_000), max_size=60), near=st.integers(0, 3_000), together=st.integers(1, 9))
def test_runs_hold_each_offset_once_and_are_short(offsets, near, together):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(retrying, "_NEAR", near)
        patch.setattr(retrying, "_TOGETHER", together)
        runs = list(retrying._runs(sorted(offsets)))
    assert [offset for run in runs for offset in run] == sorted(offsets)
    assert all(len(run) <= together for run in runs)
    assert all(right - left <= near for run in runs for left, right in pairwise(run))
