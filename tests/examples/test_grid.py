"""社区网格: who lives with whom, and what a month does to its register."""

from __future__ import annotations

import random
import tracemalloc
from collections import Counter

import pytest

from contracts.codesets import codeset
from examples.city.grid import HEADER, register_name, registering
from examples.city.happenings import changed_to
from examples.city.households import relation_of
from examples.city.months import Month, grid_later
from examples.city.people import communities, household_of, person
from examples.city.records import GRID, INSURED, RELATIONS, Record, has_grid, household_number
from examples.city.registers import at_first

SIZE = 12_000
MONTH = Month(seed=1, size=SIZE, dump=3)


class Chance(random.Random):
    """The first number is this one, the others are the generator's."""

    def __init__(self, first: float) -> None:
        super().__init__(1)
        self._first: list[float] = [first]

    def random(self) -> float:
        return self._first.pop() if self._first else super().random()


@pytest.fixture(scope="module")
def found() -> list[dict[str, Record]]:
    """The records of residents without a fault who stand in the register, by dataset."""
    everyone = ({record.dataset: record for record in at_first(1, number)} for number in range(SIZE))
    return [each for each in everyone if GRID in each and not any(record.fault for record in each.values())]


def insured(found):
    return next(each for each in found if INSURED in each)


def told(each, **fields):
    """The records, with 人社 saying this."""
    return each | {INSURED: changed_to(each[INSURED], {}, **fields)}


def test_everybody_lives_in_one_household_and_all_of_it_at_one_place():
    for number in range(120):
        household = household_of(number)
        assert number in household
        assert {household_of(other) for other in household} == {household}
        people = [person(3, other) for other in household]
        assert len({(who.community_code, who.address, who.building, who.unit, who.room) for who in people}) == 1
    assert Counter(len(household_of(number)) for number in range(12)) == {4: 4, 3: 3, 2: 4, 1: 1}


def test_a_household_has_one_head_and_relations_that_ages_and_sexes_allow():
    seen = set()
    for first in range(0, 1_200, 12):
        for household in {household_of(number) for number in range(first, first + 12)}:
            said = {number: relation_of(1, number) for number in household}
            (head,) = (person(1, number) for number, relation in said.items() if relation == "02")
            for number, relation in said.items():
                who, gap = person(1, number), head.age - person(1, number).age
                seen.add(relation)
                if relation == "10":
                    assert (who.sex != head.sex, who.marital_status, abs(gap) <= 12) == (True, "married", True)
                if relation in ("20", "30", "41", "42"):
                    assert gap >= 15
                    assert (who.sex == "male") == (relation in ("20", "41"))
                if relation in ("51", "52"):
                    assert gap <= -15
    assert seen == set(RELATIONS)


def test_relations_are_written_by_their_names_in_the_standard():
    names = codeset("kinship").codes
    assert {code: names[code] for code in RELATIONS} == RELATIONS


def test_an_elder_who_lives_alone_is_the_only_one_of_her_household():
    for number in range(2_000):
        if person(1, number).living_alone:
            assert len(household_of(number)) == 1


def test_a_third_of_the_communities_keep_a_grid_and_all_who_live_there_stand_in_it():
    kept = {code for code, _ in communities() if has_grid(code)}
    assert len(kept) == 46
    for number in range(2_000):
        who = person(1, number)
        stands = any(record.dataset == GRID for record in at_first(1, number))
        assert stands == (who.community_code in kept and who.alive)


def test_the_register_is_the_same_to_the_byte_and_takes_no_memory_for_its_rows(tmp_path, found):
    written = []
    for name in ("a", "b"):
        with registering(tmp_path / name, 13) as register:
            register.add(each[GRID] for each in found)
        (path,) = (tmp_path / name).iterdir()
        assert path.name == register_name(13) == "grid_202602.xlsx"
        written.append(path.read_bytes())
    assert written[0] == written[1]
    assert [*found[0][GRID].row] == list(HEADER)

    peaks = []
    for times in (1, 4):
        tracemalloc.start()
        with registering(tmp_path / "c", 0) as register:
            for _ in range(times):
                register.add(each[GRID] for each in found[:1_000])
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[1] < 1.5 * peaks[0]


def test_a_register_that_could_not_be_finished_is_not_delivered(tmp_path):
    with pytest.raises(KeyboardInterrupt), registering(tmp_path / "drop", 0):
        raise KeyboardInterrupt
    assert not list((tmp_path / "drop").iterdir())


def test_who_has_died_is_struck_out(found):
    each = told(insured(found), alive=False)
    number = each[GRID].person
    assert grid_later(Chance(0.4), number, each, MONTH) is None
    assert grid_later(Chance(0.9), number, each, MONTH) == each[GRID]


def test_who_has_moved_keeps_the_old_address_until_the_grid_comes_by(found):
    each = insured(found)
    number, here = each[GRID].person, each[GRID].fields["community_code"]
    away = next(code for code, _ in communities() if not has_grid(code))
    there = next(code for code, _ in communities() if has_grid(code) and code != here)
    assert grid_later(Chance(0.5), number, told(each, community_code=away), MONTH) == each[GRID]
    assert grid_later(Chance(0.05), number, told(each, community_code=away), MONTH) is None
    moved = grid_later(Chance(0.05), number, told(each, community_code=there), MONTH)
    assert moved is not None
    assert moved.fields["community_code"] == moved.row["社区代码"] == there
    assert (moved.fields["household_relation"], moved.row["与户主关系"]) == ("02", "户主")
    assert moved.fields["household_number"] == moved.row["户号"] != household_number(number)
    assert moved.fields["household_room"] == moved.row["房号"]


def test_a_corrected_number_is_taken_over(found):
    each = insured(found)
    right = grid_later(Chance(0.9), each[GRID].person, told(each, id_number="379901193507180022"), MONTH)
    assert right is not None
    assert right.row["公民身份号码"] == right.fields["id_number"] == "379901193507180022"


def test_who_has_come_later_is_entered_where_she_lives(found):
    each = insured(found)
    number, late = each[GRID].person, MONTH._replace(size=0)
    arrived = {dataset: record for dataset, record in each.items() if dataset != GRID}
    entered = grid_later(random.Random(1), number, arrived, late)
    assert entered is not None
    assert entered.fields == each[GRID].fields
    assert entered.row["登记日期"].startswith("2025-03-")
    assert grid_later(random.Random(1), number, told(arrived, alive=False), late) is None
    assert grid_later(random.Random(1), number, told(arrived, community_code="370102001002"), late) is None
    assert grid_later(random.Random(1), number, arrived, MONTH) is None
