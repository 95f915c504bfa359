"""What the view holds after events, on both databases."""

from __future__ import annotations

from typing import Any

import pytest
import sqlalchemy as sa
from histories import City, cities, cuts, loose_events
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from viewcases import TOPIC, Views, asserted, feed, fingerprint, held, retracted, rows

from projections import bulk
from projections.databases import reading, writing
from projections.engine import ViewEngine
from projections.reading import field_origins
from projections.tables import assertion, benefit, community, household, household_member, resident

HERE, THERE = "370102001001", "370102001002"
PENSION = {"benefit_kind": "pension", "benefit_state": "paying", "benefit_amount_fen": 5}
FEW = settings(max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])


def owners(view: ViewEngine) -> list[tuple[Any, ...]]:
    return rows(view, assertion, "record_key", "resident_id", "live")


def residents(view: ViewEngine) -> list[tuple[Any, ...]]:
    return rows(view, resident, "resident_id", "name", "records", "held")


# known answers --------------------------------------------------------------------------------------------------------


def test_a_record_becomes_a_resident_with_a_benefit_in_a_community(views: Views):
    view = views.new()
    feed(
        view,
        asserted(
            "7", 1, "x", id_number="00000019300101001X", name="王芳", sex="female", community_code=HERE, alive=True,
            marital_status="widowed",
            disability_category="physical", disability_level="2", living_alone=True, care_level="full", benefit_scheme="110", benefit_from="2012-05", benefit_until=None,
            as_of="2026-01-02", originals={"name": "王 芳"}, mends={"name": "spaces"}, committed_at="2026-01-02T00:00:00Z",
            **PENSION,
        ),
    )  # fmt: skip
    found = rows(view, resident, *resident.c.keys())
    assert found == [
        (
            "x", "00000019300101001X", "王芳", "female", None, None, None, HERE, None, True, "widowed", "physical", "2", True,
            "full", False, 1, 0,
            [
                {
                    "system": "hrss", "dataset": "person", "record_key": "7", "as_of": "2026-01-02",
                    "wins": {
                        "only source": [
                            "id_number", "name", "sex", "community_code", "alive", "marital_status", "disability_category",
                            "disability_level", "living_alone", "care_level",
                        ]
                    },
                }
            ],
        )
    ]  # fmt: skip
    assert rows(view, assertion, *assertion.c.keys()) == [
        (
            "hrss", "person", "7", "x", 1, True,
            {
                "id_number": "00000019300101001X", "name": "王芳", "sex": "female", "community_code": HERE, "alive": True,
                "marital_status": "widowed", "disability_category": "physical", "disability_level": "2", "living_alone": True, "care_level": "full", "benefit_scheme": "110",
                "benefit_from": "2012-05", "benefit_until": None, **PENSION,
            },
            {"name": "王 芳"}, {"name": "spaces"}, "2026-01-02", False, None, None, "e1", "2026-01-02T00:00:00Z",
        )
    ]  # fmt: skip
    assert rows(view, benefit, *benefit.c.keys()) == [
        ("hrss", "person", "7", "x", "pension", "110", 5, "2012-05", None, "paying")
    ]
    assert rows(view, community, *community.c.keys()) == [(HERE, 1, 0, 1, 0, 0, 1, 0, 1, 1, 1, 0, 0, 5, 0)]


def test_two_records_of_one_resident_are_one_row(views: Views):
    view = views.new()
    feed(view, asserted("7", 1, "x", name="甲", phone="1"), asserted("civil.elder/7", 1, "x", name="乙", phone="2"))
    assert rows(view, resident, "resident_id", "name", "phone", "records") == [("x", "乙", "1", 2)]
    ((provenance,),) = rows(view, resident, "provenance")
    origins = field_origins(provenance)
    assert origins["name"] == {
        "system": "civil", "dataset": "elder", "record_key": "7", "rule": "authority", "as_of": None,
    }  # fmt: skip
    assert origins["phone"]["system"] == "hrss"


def test_a_resident_is_derived_the_same_whether_its_records_come_together_or_apart(views: Views):
    one = [
        asserted("7", 1, "x", name="甲", sex="male", **PENSION),
        asserted("civil.elder/7", 1, "x", name="乙", alive=True),
    ]
    view = views.new()
    feed(view, *one)
    together = fingerprint(view)
    view = views.new()
    for event in reversed(one):
        feed(view, event)
    assert fingerprint(view) == together


def test_a_greater_revision_replaces_and_an_equal_or_lower_one_is_ignored(views: Views):
    view = views.new()
    feed(view, asserted("7", 2, "x", name="second"))
    feed(view, asserted("7", 2, "x", name="equal"))
    feed(view, asserted("7", 1, "x", name="lower"))
    assert residents(view) == [("x", "second", 1, 0)]
    feed(view, asserted("7", 3, "x", name="third"))
    assert residents(view) == [("x", "third", 1, 0)]


def test_the_same_holds_within_one_batch(views: Views):
    view = views.new()
    feed(view, *(asserted("7", revision, "x", name=str(revision)) for revision in (2, 1, 3, 3)))
    assert residents(view) == [("x", "3", 1, 0)]


def test_a_retraction_takes_the_resident_away_and_keeps_a_tombstone(views: Views):
    view = views.new()
    feed(view, asserted("7", 1, "x", name="甲", community_code=HERE, as_of="2026", mends={"name": "m"}, **PENSION))
    feed(view, retracted("7", 2, "x"))
    assert residents(view) == rows(view, benefit, "kind") == rows(view, community, "residents") == []
    assert rows(view, assertion, "resident_id", "live", "fields", "mends", "as_of", "revision") == [
        ("x", False, {}, {}, None, 2)
    ]
    feed(view, asserted("7", 1, "x", name="old"), asserted("7", 2, "x", name="equal"))
    assert residents(view) == []
    feed(view, asserted("7", 3, "x", name="again"))
    assert residents(view) == [("x", "again", 1, 0)]


def test_a_retraction_that_is_not_newer_takes_nothing_away(views: Views):
    view = views.new()
    feed(view, asserted("7", 2, "x", name="甲"))
    feed(view, retracted("7", 2, "x"), retracted("7", 1, "x"))
    assert residents(view) == [("x", "甲", 1, 0)]


def test_a_retraction_that_comes_before_the_assertion_it_follows_wins_all_the_same(views: Views):
    view = views.new()
    feed(view, retracted("7", 2, "x"))
    feed(view, asserted("7", 1, "x", name="甲"), partition=1)
    assert residents(view) == []
    assert owners(view) == [("7", "x", False)]


@pytest.mark.parametrize("assertion_first", [True, False])
def test_a_record_that_moves_is_never_found_with_neither_resident(views: Views, assertion_first: bool):
    view = views.new()
    feed(view, asserted("7", 1, "x", name="甲", community_code=HERE, **PENSION))
    steps = [(asserted("7", 2, "y", name="乙", community_code=THERE, **PENSION), 1), (retracted("7", 2, "x", "y"), 0)]
    for event, partition in steps if assertion_first else reversed(steps):
        feed(view, event, partition=partition)
        assert len(residents(view)) == len(rows(view, benefit, "kind")) == len(rows(view, community, "residents")) == 1
    assert owners(view) == [("7", "y", True)]
    assert residents(view) == [("y", "乙", 1, 0)]
    assert rows(view, benefit, "resident_id") == [("y",)]
    assert rows(view, community, "community_code", "residents", "benefit_fen_paying") == [(THERE, 1, 5)]


def test_the_old_resident_of_a_moved_record_keeps_its_other_records(views: Views):
    view = views.new()
    feed(view, asserted("7", 1, "x", name="甲", phone="1"), asserted("civil.elder/8", 1, "x", name="乙"))
    feed(view, asserted("7", 2, "y", name="丙"), partition=1)
    assert rows(view, resident, "resident_id", "name", "phone", "records") == [
        ("x", "乙", None, 1),
        ("y", "丙", None, 1),
    ]


def test_a_record_that_moves_to_and_fro_in_one_batch_stays(views: Views):
    view = views.new()
    feed(view, asserted("7", 1, "x"))
    feed(view, asserted("7", 2, "y"), retracted("7", 3, "x", "y"), asserted("7", 3, "x", name="甲"))
    assert residents(view) == [("x", "甲", 1, 0)]


def test_a_hold_marks_the_record_and_a_newer_assertion_clears_it(views: Views):
    view = views.new()
    feed(view, asserted("7", 1, "x", name="甲", **PENSION), asserted("8", 1, "x"))
    feed(view, held("7", 2, "x", "id_number_wrong"))
    assert residents(view) == [("x", "甲", 2, 1)]
    assert rows(view, assertion, "held_reason", "live") == [("id_number_wrong", True), (None, True)]
    assert rows(view, benefit, "kind") == [("pension",)]
    feed(view, held("7", 3, "x", "name_missing"))
    assert rows(view, assertion, "held_reason", "held_revision") == [("name_missing", 3), (None, None)]
    assert residents(view) == [("x", "甲", 2, 1)]
    feed(view, asserted("7", 4, "x", name="乙"))
    assert residents(view) == [("x", "乙", 2, 0)]
    assert rows(view, assertion, "held_reason") == [(None,), (None,)]


def test_a_hold_that_is_not_newer_marks_nothing(views: Views):
    view = views.new()
    feed(view, asserted("7", 2, "x", name="甲"), held("7", 2, "x"), held("7", 1, "x"))
    assert residents(view) == [("x", "甲", 1, 0)]
    feed(view, held("7", 4, "x", "newest"))
    feed(view, held("7", 4, "x", "equal"), held("7", 3, "x", "older"))
    assert rows(view, assertion, "held_reason") == [("newest",)]


def test_a_hold_outlives_an_older_assertion_and_yields_to_one_of_its_own_revision(views: Views):
    view = views.new()
    feed(view, held("7", 3, "x", "late"))
    assert residents(view) == []
    feed(view, asserted("7", 2, "x", name="甲"))
    assert residents(view) == [("x", "甲", 1, 1)]
    feed(view, asserted("7", 3, "x", name="乙"))
    assert residents(view) == [("x", "乙", 1, 0)]


@pytest.mark.parametrize("newest_first", [True, False])
def test_of_a_record_that_was_only_ever_held_the_newest_hold_is_kept(views: Views, newest_first: bool):
    view = views.new()
    both = [held("7", 1, "x", "one"), held("7", 2, "y", "two")]
    for event in reversed(both) if newest_first else both:
        feed(view, event)
    assert rows(view, assertion, "resident_id", "live", "held_reason") == [("y", False, "two")]
    assert residents(view) == []


def test_a_held_record_that_moves_is_no_longer_held(views: Views):
    view = views.new()
    feed(view, asserted("7", 1, "x"), held("7", 2, "x"), asserted("8", 1, "x"))
    feed(view, asserted("7", 3, "y"), partition=1)
    feed(view, retracted("7", 3, "x", "y"))
    assert residents(view) == [("x", None, 1, 0), ("y", None, 1, 0)]


def test_a_hold_and_the_assertion_before_it_in_one_batch(views: Views):
    view = views.new()
    feed(view, asserted("7", 1, "x", name="甲"), held("7", 2, "x", "why"))
    assert residents(view) == [("x", "甲", 1, 1)]
    assert rows(view, assertion, "held_reason", "revision") == [("why", 1)]


def test_a_provisional_resident_is_marked(views: Views):
    view = views.new()
    feed(view, asserted("7", 1, "p", provisional=True, community_code=HERE))
    assert rows(view, resident, "provisional") == [(True,)]
    assert rows(view, community, "residents", "provisional") == [(1, 1)]
    feed(view, asserted("7", 2, "x", community_code=HERE), partition=1)
    assert rows(view, resident, "resident_id", "provisional") == [("x", False)]
    assert rows(view, community, "residents", "provisional") == [(1, 0)]


def test_a_resident_that_another_record_knows_by_number_is_not_provisional(views: Views):
    view = views.new()
    feed(view, asserted("7", 1, "p", provisional=True), asserted("8", 1, "p"))
    assert rows(view, resident, "provisional") == [(False,)]


def test_the_dead_are_counted_apart_and_their_benefits_still_show(views: Views):
    view = views.new()
    feed(
        view,
        asserted(
            "7", 1, "x", community_code=HERE, sex="male", living_alone=True, care_level="partial",
            disability_category="visual", **PENSION,
        ),
    )  # fmt: skip
    assert rows(view, community, *community.c.keys()) == [(HERE, 1, 0, 0, 1, 0, 1, 1, 0, 1, 1, 0, 0, 5, 0)]
    feed(view, asserted("civil.elder/1", 1, "x", alive=False))
    assert rows(view, community, *community.c.keys()) == [(HERE, 0, 1, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 5, 0)]
    feed(view, asserted("7", 2, "x", community_code=HERE, **(PENSION | {"benefit_state": "stopped"})))
    assert rows(view, community, *community.c.keys()) == [(HERE, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0)]


def test_each_kind_of_benefit_is_counted_by_itself(views: Views):
    view = views.new()
    for number, kind in enumerate(("pension", "old_age_allowance", "low_income"), 1):
        feed(view, asserted(str(number), 1, "x", community_code=HERE, **(PENSION | {"benefit_kind": kind})))
        paying = rows(view, community, "pensions_paying", "allowances_paying", "low_incomes_paying")
        assert paying == [tuple(int(place < number) for place in range(3))]
    feed(view, retracted("3", 2, "x"))
    assert rows(view, community, "low_incomes_paying", "benefit_fen_paying") == [(0, 10)]


HOME = {
    "community_code": HERE,
    "household_number": "12",
    "household_building": "3",
    "household_unit": "1",
    "household_room": "402",
}
HOMES = ("household_number", "community_code", "building", "unit", "room", "head_resident_id", "members")


def test_a_household_is_what_its_members_records_say(views: Views):
    view = views.new()
    feed(
        view,
        asserted("grid.home/1", 1, "x", household_relation="10", **HOME),
        asserted("grid.home/2", 1, "y", household_relation="02", **HOME),
        asserted("grid.home/3", 1, "z", household_relation="20", household_number="13"),
    )
    assert rows(view, household, *HOMES) == [
        ("12", HERE, "3", "1", "402", "y", 2),
        ("13", None, None, None, None, None, 1),
    ]
    assert rows(view, household_member, *household_member.c.keys())[1] == (
        "grid", "home", "2", "y", "12", "02", HERE, "3", "1", "402",
    )  # fmt: skip
    assert rows(view, community, "community_code", "residents", "households") == [(HERE, 2, 1)]


def test_a_household_lives_where_its_head_does_and_nobody_takes_the_heads_place(views: Views):
    view = views.new()
    feed(view, asserted("grid.home/2", 1, "y", household_relation="02", **(HOME | {"household_room": "501"})))
    feed(view, asserted("grid.home/1", 1, "x", household_relation="10", **HOME))
    assert rows(view, household, "room", "head_resident_id", "members") == [("501", "y", 2)]
    feed(view, retracted("grid.home/2", 2, "y"))
    assert rows(view, household, "room", "head_resident_id", "members") == [("402", None, 1)]


def test_who_moves_leaves_one_household_for_another_and_an_empty_one_is_gone(views: Views):
    view = views.new()
    feed(view, asserted("grid.home/1", 1, "x", household_relation="02", **HOME))
    elsewhere = HOME | {"household_number": "99", "community_code": THERE}
    feed(view, asserted("grid.home/1", 2, "x", household_relation="02", **elsewhere))
    assert rows(view, household, "household_number", "members") == [("99", 1)]
    assert rows(view, community, "community_code", "households") == [(THERE, 1)]
    feed(view, asserted("grid.home/1", 3, "x", name="甲"))
    assert rows(view, household, "members") == rows(view, household_member, "resident_id") == []


def test_a_household_without_a_resident_in_its_community_is_counted_there(views: Views):
    """The resident lives where the authority says; the household stays where its register has it."""
    view = views.new()
    feed(view, asserted("grid.home/1", 1, "x", household_relation="02", **HOME))
    feed(view, asserted("civil.elder/1", 1, "x", community_code=THERE))
    assert rows(view, community, "community_code", "residents", "households") == [(HERE, 0, 1), (THERE, 1, 0)]
    feed(view, retracted("grid.home/1", 2, "x"))
    assert rows(view, community, "community_code") == [(THERE,)]


def test_one_resident_in_two_rows_of_a_household_is_one_member_and_of_two_heads_the_first_counts(views: Views):
    view = views.new()
    feed(
        view,
        asserted("grid.home/2", 1, "y", household_relation="02", **HOME),
        asserted("grid.home/1", 1, "x", household_relation="02", **HOME),
        asserted("grid.home/3", 1, "x", household_relation="02", **HOME),
    )
    assert rows(view, household, "head_resident_id", "members") == [("x", 2)]


def test_registers_that_give_the_same_number_mean_households_of_their_own(views: Views):
    view = views.new()
    feed(view, asserted("grid.home/1", 1, "x", **HOME), asserted("police.home/1", 1, "x", **HOME))
    assert rows(view, household, "system", "household_number", "members") == [("grid", "12", 1), ("police", "12", 1)]


def test_a_member_whose_number_was_corrected_stays_in_the_household(views: Views):
    view = views.new()
    feed(view, asserted("grid.home/1", 1, "x", household_relation="02", **HOME))
    feed(view, asserted("grid.home/1", 2, "y", household_relation="02", **HOME), partition=1)
    feed(view, retracted("grid.home/1", 2, "x", "y"))
    assert rows(view, household, "head_resident_id", "members") == [("y", 1)]


def test_a_batch_takes_as_many_statements_however_many_households_it_touches(sqlite_views: Views):
    taken: list[list[str]] = []

    def note(*given: Any) -> None:
        taken[-1].append(given[2])

    for many in (2, 60):
        view = sqlite_views.new()
        feed(view, *(asserted(f"grid.home/{n}", 1, f"r{n}", household_number=f"old {n}") for n in range(many)))
        taken.append([])
        sa.event.listen(view.engine, "before_cursor_execute", note)
        feed(view, *(asserted(f"grid.home/{n}", 2, f"r{n}", household_number=f"new {n}") for n in range(many)))
        sa.event.remove(view.engine, "before_cursor_execute", note)
    assert taken[0] == taken[1]
    assert len([each for each in taken[0] if "household" in each]) == 6


def test_a_value_of_another_type_does_not_stop_the_view(views: Views):
    view = views.new()
    feed(
        view,
        asserted("7", 1, "x", name=5, alive="yes", community_code=HERE, benefit_kind="pension", benefit_amount_fen="a",
            household_number=7, household_room=True),
    )  # fmt: skip
    assert rows(view, resident, "name", "alive") == [("5", True)]
    assert rows(view, benefit, "amount_fen") == [(None,)]
    assert rows(view, household, "household_number", "room") == [("7", "True")]
    feed(view, asserted("7", 2, "x", name="a\0b\\u0000"))
    assert rows(view, resident, "name") == [("a\ufffdb\\u0000",)]


# what must hold for all histories -------------------------------------------------------------------------------------


def counted(view: ViewEngine) -> list[tuple[Any, ...]]:
    """The communities as counting the residents, benefits and households from scratch would give them."""
    counts: dict[str, list[int]] = {}
    codes: dict[str, str] = {}
    names = (
        "resident_id", "community_code", "alive", "sex", "provisional", "living_alone", "care_level", "disability_category",
    )  # fmt: skip
    for key, code, alive, sex, provisional, alone, care, disability in rows(view, resident, *names):
        if code is None:
            continue
        codes[key] = code
        dead = alive is False
        one = [
            not dead, dead, sex == "female", sex == "male", provisional, alone, care == "partial", care == "full",
            disability is not None,
        ]  # fmt: skip
        one = [bool(each) and (index == 1 or not dead) for index, each in enumerate(one)] + [0] * 5
        counts[code] = [a + b for a, b in zip(counts.get(code, [0] * 14), one, strict=True)]
    for key, kind, state, amount in rows(view, benefit, "resident_id", "kind", "state", "amount_fen"):
        if state == "paying" and key in codes:
            counts[codes[key]][9 + ("pension", "old_age_allowance", "low_income").index(kind)] += 1
            counts[codes[key]][12] += amount or 0
    for (code,) in rows(view, household, "community_code"):
        if code is not None:
            counts.setdefault(code, [0] * 14)[13] += 1
    return [(code, *each) for code, each in sorted(counts.items())]


def grouped(view: ViewEngine) -> list[tuple[Any, ...]]:
    """The households as grouping the live assertions from scratch would give them."""
    named = (
        "system", "dataset", "record_key", "resident_id", "live", "fields",
    )  # fmt: skip
    homes: dict[tuple[str, ...], list[tuple[str, dict[str, Any]]]] = {}
    for system, dataset, _, who, live, said in rows(view, assertion, *named):  # in the order of keys
        if live and said.get("household_number") is not None:
            homes.setdefault((system, dataset, said["household_number"]), []).append((who, said))
    found = []
    for key, members in homes.items():
        heads = [each for each in members if each[1].get("household_relation") in ("01", "02")]
        place = (heads or members)[0][1]
        where = [
            place.get(name) for name in ("community_code", "household_building", "household_unit", "household_room")
        ]
        found.append((*key, *where, heads[0][0] if heads else None, len({who for who, _ in members})))
    return sorted(found)


def in_order(view: ViewEngine, city: City) -> None:
    for partition, entries in sorted(city.log.partitions.items()):
        view.take(TOPIC, partition, first=0, to=len(entries), arrivals=entries)


@given(data=st.data(), city=cities())
@FEW
def test_interleaving_and_cuts_change_nothing(views: Views, data: st.DataObject, city: City):
    if not city.log.partitions:
        return
    view = views.new()
    in_order(view, city)
    wanted = fingerprint(view)
    live = {(f"{s}.{d}/{k}", r) for s, d, k, r, is_live in
            rows(view, assertion, "system", "dataset", "record_key", "resident_id", "live") if is_live}  # fmt: skip
    assert live == set(city.owner.items())
    assert sum(row[3] for row in residents(view)) == len(city.held)
    assert rows(view, community, *community.c.keys()) == counted(view)
    assert rows(view, household, *household.c.keys()) == grouped(view)

    view = views.new()
    at = dict.fromkeys(city.log.partitions, 0)
    ends = {partition: len(entries) for partition, entries in city.log.partitions.items()}
    seen: set[str] = set()
    for partition, size in [*data.draw(cuts(city.log)), *ends.items()]:
        first, to = at[partition], min(at[partition] + size, ends[partition])
        back = data.draw(st.integers(0, first))  # what was fetched before may come again
        entries = city.log.partitions[partition]
        view.take(TOPIC, partition, first=back, to=to, arrivals=entries[back:to])
        at[partition] = to
        now = {f"{row[0]}.{row[1]}/{row[2]}" for row in rows(view, assertion, "system", "dataset", "record_key")}
        assert seen <= now
        seen = now
        assert rows(view, community, *community.c.keys()) == counted(view)
        assert rows(view, household, *household.c.keys()) == grouped(view)
    assert fingerprint(view) == wanted


@given(data=st.data(), events=loose_events())
@FEW
def test_no_order_of_events_changes_the_tables(views: Views, data: st.DataObject, events: list[Any]):
    prints = []
    for order in (events, data.draw(st.permutations(events))):
        view = views.new()
        cut = data.draw(st.integers(0, len(order)))
        for part in (order[:cut], order[cut:]):
            with writing(view.engine) as connection:
                view.projections[0].apply(part, connection)
        prints.append(fingerprint(view))
        assert rows(view, community, *community.c.keys()) == counted(view)
        assert rows(view, household, *household.c.keys()) == grouped(view)
    assert prints[0] == prints[1]


@given(city=cities())
@FEW
def test_the_newest_thing_said_is_what_stands(views: Views, city: City):
    view = views.new()
    in_order(view, city)
    with reading(view.engine) as connection:
        for row in connection.execute(sa.select(assertion).where(assertion.c.live)):
            assert row.fields == city.said[f"{row.system}.{row.dataset}/{row.record_key}"]


def test_members_are_found_by_their_household_in_a_view_without_statistics(views: Views):
    """By the primary key's first columns, the whole register would be read for each batch, or for each household."""
    wanted = bulk.Find(
        household_member, ("record_key",), "household_number", ["1", "2"], {"system": "grid", "dataset": "home"}
    )
    with reading(views.new().engine) as view:
        is_postgresql = bulk.is_postgresql(view)
        sql, among = bulk._statement(wanted, postgresql=is_postgresql)
        values = (among, "grid", "home") if is_postgresql else ("grid", "home", among)
        explain = "EXPLAIN" if is_postgresql else "EXPLAIN QUERY PLAN"
        plan = str(view.exec_driver_sql(f"{explain} {sql}", values).all())
    assert "household_member_household" in plan
