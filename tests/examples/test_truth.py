import pytest

from examples.city.records import CARD, ELDER, GRID, INSURED, PENSION, REGISTERED
from examples.city.registers import at_first
from examples.city.truth import Truth, _expected


def _clean_elder():
    """A resident with a record of each kind but the low income, and no fault."""
    for number in range(1_000):
        found = {record.dataset: record for record in at_first(1, number)}
        if set(found) == {INSURED, PENSION, ELDER, REGISTERED} and not any(record.fault for record in found.values()):
            return number, found
    raise AssertionError


def test_authority_decides_field_by_field():
    number, found = _clean_elder()
    said = found[ELDER]
    found[ELDER] = said._replace(
        fields={
            **said.fields,
            "phone": "10009999999",
            "community_code": "370102013017",
            "name": "别名",
            "sex": "unknown",
        }
    )
    (expected,) = _expected(number, found.values())
    assert expected.fields["phone"] == "10009999999"
    assert expected.fields["community_code"] == "370102013017"
    assert expected.fields["name"] == found[INSURED].fields["name"]
    assert expected.fields["sex"] == found[INSURED].fields["sex"]
    assert expected.winners["phone"] == (ELDER, said.key)
    assert expected.winners["birth_on"] == (INSURED, found[INSURED].key)
    assert expected.fields["address"] == said.fields["address"]
    assert (PENSION, found[PENSION].key) in expected.benefits


def test_where_the_authority_says_nothing_the_other_is_heard():
    number, found = _clean_elder()
    silent = {name: value for name, value in found[ELDER].fields.items() if name != "phone"}
    found[ELDER] = found[ELDER]._replace(fields=silent)
    (expected,) = _expected(number, found.values())
    assert expected.winners["phone"] == (INSURED, found[INSURED].key)


def test_a_refused_record_says_nothing_and_is_held():
    number, found = _clean_elder()
    found[INSURED] = found[INSURED]._replace(fields={}, fault="id_masked", reason="id_masked")
    (expected,) = _expected(number, found.values())
    assert expected.winners["name"] == (REGISTERED, found[REGISTERED].key)
    assert "alive" not in expected.fields
    assert expected.held == [found[INSURED]]


def test_civil_affairs_is_believed_first_about_marriage_and_death_and_behind_hrss_about_the_rest():
    number, found = _clean_elder()
    (expected,) = _expected(number, found.values())
    register = found[REGISTERED]
    assert expected.winners["marital_status"] == (REGISTERED, register.key)
    assert expected.winners["alive"] == (INSURED, found[INSURED].key)  # 民政 says nothing of the living
    found[REGISTERED] = register._replace(fields={**register.fields, "alive": False, "name": "别名"})
    (expected,) = _expected(number, found.values())
    assert expected.fields["alive"] is False
    assert expected.winners["alive"] == (REGISTERED, register.key)
    assert expected.fields["name"] == found[INSURED].fields["name"]
    del found[INSURED], found[ELDER]
    (expected,) = _expected(number, found.values())
    assert expected.winners["name"] == expected.winners["community_code"] == (REGISTERED, register.key)


def test_disabled_persons_is_believed_about_the_disability_and_behind_all_others_about_the_rest():
    number = next(
        n for n in range(2_000) for found in [{r.dataset: r for r in at_first(1, n)}]
        if {INSURED, ELDER, CARD} <= set(found) and not any(r.fault or r.deleted for r in found.values())
    )  # fmt: skip
    found = {record.dataset: record for record in at_first(1, number)}
    other = {name: f"{value}!" for name, value in found[CARD].fields.items() if name != "id_number"}
    found[CARD] = found[CARD]._replace(fields={**other, "id_number": found[CARD].fields["id_number"]})
    (expected,) = _expected(number, found.values())
    said = {name for name, winner in expected.winners.items() if winner == (CARD, found[CARD].key)}
    assert said == {"disability_category", "disability_level"}
    alone = [found[CARD]]
    (expected,) = _expected(number, alone)
    assert set(expected.winners) == set(other)


def test_the_grid_is_believed_about_where_one_lives_and_behind_all_others_about_the_rest():
    number, found = next(
        (n, found) for n in range(2_000) for found in [{r.dataset: r for r in at_first(1, n)}]
        if set(found) >= {INSURED, REGISTERED, GRID} and not any(record.fault for record in found.values())
    )  # fmt: skip
    row = found[GRID]
    found[GRID] = row._replace(
        fields={**row.fields, "community_code": "370102013017", "name": "别名", "phone": "10009999999"}
    )
    (expected,) = _expected(number, found.values())
    assert expected.fields["community_code"] == "370102013017"
    assert {name for name, winner in expected.winners.items() if winner[0] == GRID} == {"community_code"}
    assert not any(name.startswith("household_") for name in expected.fields)


def test_the_members_of_a_household_are_those_whose_records_name_it(tmp_path):
    truth = Truth(tmp_path / "truth.sqlite")
    truth.begin(600, 1)
    truth.finish()
    found = truth.expected_households()
    assert all(record.fields["household_number"] == number for number, of in found.items() for record in of)
    named = [record.key for of in found.values() for record in of]
    assert len(named) == len(set(named)) > 100
    silent = [r.key for r in truth.records(GRID) if r.reason or r.fault == "household_missing"]
    assert {record.key for record in truth.records(GRID)} == {*named, *silent}
    truth.close()


def test_a_record_without_a_number_is_a_resident_of_its_own():
    number, found = _clean_elder()
    fields = {name: value for name, value in found[ELDER].fields.items() if name != "id_number"}
    found[ELDER] = found[ELDER]._replace(fields=fields, fault="id_missing")
    known, provisional = _expected(number, found.values())
    assert known.id_number == found[INSURED].fields["id_number"]
    assert provisional.id_number is None
    assert provisional.records == [found[ELDER]]


def test_the_departments_differ_honestly_in_a_few():
    differing = {"phone": 0, "community_code": 0, "name": 0}
    both = 0
    for number in range(20_000):
        found = {record.dataset: record for record in at_first(3, number) if record.fault is None}
        if INSURED in found and ELDER in found:
            both += 1
            for name in differing:
                differing[name] += found[INSURED].fields[name] != found[ELDER].fields[name]
    assert all(0.002 < count / both < 0.04 for count in differing.values()), (differing, both)


def test_the_truth_of_no_city_is_not_made_up(tmp_path):
    with pytest.raises(FileNotFoundError, match="build"):
        Truth.open(tmp_path)
    assert not list(tmp_path.iterdir())


def test_a_change_is_kept_with_its_number(tmp_path):
    truth = Truth(tmp_path / "truth.sqlite")
    truth.begin(1_000, 1)
    truth.finish()
    number, found = _clean_elder()
    moved = found[INSURED]._replace(fields={**found[INSURED].fields, "community_code": "370102013017"})
    truth.change(
        [moved], gone=[found[ELDER]], residents={number: {"community_code": "370102013017"}}, state={"changes": "1"}
    )
    truth.close()
    truth = Truth.open(tmp_path)
    assert truth.get("changes", "0") == "1"
    assert truth.resident(number).community_code == "370102013017"
    assert set(truth.records_of(number)) == {INSURED, PENSION, REGISTERED}
    by_number = truth.expected_resident(number)
    assert by_number == truth.expected_resident(moved.fields["id_number"])
    assert by_number[0].fields["community_code"] == "370102013017"
    assert [found for found in truth.expected_residents() if found.number == number] == by_number
    assert sum(1 for _ in truth.residents()) == 1_000
    truth.close()
