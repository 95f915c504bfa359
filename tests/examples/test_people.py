from collections import Counter

import pytest
from stdnum.cn import ric

from examples.city.people import CATEGORIES, communities, corrected, full_number, number_of, person

SEEDS = (1, 7)


@pytest.fixture(scope="module", params=SEEDS)
def seed(request):
    return request.param


@pytest.fixture(scope="module")
def people(seed):
    return [person(seed, number) for number in range(20_000)]


def test_a_resident_is_the_same_each_time(seed, people):
    assert [person(seed, number) for number in (19_999, 0, 5)] == [people[19_999], people[0], people[5]]


def test_two_seeds_are_two_cities():
    assert [person(1, n).name for n in range(50)] != [person(2, n).name for n in range(50)]


def test_no_two_residents_share_an_id_number(seed, people):
    later = [person(seed, number) for number in range(205_000, 225_000)]  # past the first lap of all days
    everyone = people + later
    numbers = [who.id_number for who in everyone] + [corrected(who.id_number) for who in everyone]
    assert len(set(numbers)) == len(numbers)
    assert {who.id_number[:6] for who in everyone} == {"379901", "379902"}


def test_id_numbers_are_those_of_the_standard_under_prefixes_that_nobody_has(people):
    for who in people[:2_000]:
        assert who.id_number == full_number(who.id_number[:17])
        assert ric.calc_check_digit(who.id_number) == who.id_number[17]
        assert who.id_number[:6] in {"379901", "379902", "379903", "379904"}
        assert who.birth_on.replace("-", "") == who.id_number[6:14]
        assert int(who.id_number[16]) % 2 == (who.sex == "male")


def test_an_id_number_leads_back_to_its_resident(seed, people):
    for who in [*people[::97], person(seed, 999_999)]:
        assert number_of(seed, who.id_number) == who.number
        assert number_of(seed, corrected(who.id_number)) == who.number
        assert corrected(corrected(who.id_number)) == who.id_number


def test_telephone_numbers_are_in_a_range_that_no_subscriber_has(people):
    assert all(len(who.phone) == 11 and who.phone.startswith("100") for who in people)


def test_a_district_has_its_shape(people):
    share = Counter("old" if who.age >= 60 else "child" if who.age < 16 else "other" for who in people)
    assert 0.22 < share["old"] / len(people) < 0.30
    assert 0.10 < share["child"] / len(people) < 0.20
    assert {who.community_code for who in people} == {code for code, _ in communities()}
    assert len(communities()) == 139
    assert all(code.startswith("370102") for code, _ in communities())


def test_marital_status_follows_age(people):
    assert {who.marital_status for who in people if who.age < 22} == {"unmarried"}
    adults = Counter(who.marital_status for who in people if who.age >= 22)
    assert set(adults) == {"unmarried", "married", "widowed", "divorced", "unspecified"}
    assert 0.6 < adults["married"] / adults.total() < 0.85
    old = Counter(who.marital_status for who in people if who.age >= 80)
    assert 0.4 < old["widowed"] / old.total() < 0.6


def test_three_adults_in_a_hundred_have_a_low_income(people):
    amounts = [who.low_income_fen for who in people if who.age >= 18]
    assert 0.02 < sum(fen > 0 for fen in amounts) / len(amounts) < 0.04
    assert all(fen == 0 or 10_000 <= fen < 110_000 for fen in amounts)
    assert not any(who.low_income_fen for who in people if who.age < 18)


def test_a_few_hold_a_card_and_most_of_them_are_old(people):
    held = [who for who in people if who.disability_category]
    assert 0.025 < len(held) / len(people) < 0.06

    def share(low, high):
        return sum(low <= who.age < high for who in held) / sum(low <= who.age < high for who in people)

    assert 0.002 < share(3, 16) < share(16, 60) < share(60, 75) < share(75, 110) < 0.2
    assert not any(who.age < 3 for who in held)
    assert {who.disability_category for who in held} == set(CATEGORIES)
    assert Counter(who.disability_category for who in held).most_common(1)[0][0] == "physical"
    assert {who.disability_level for who in held} == set("1234")
    assert {bool(who.disability_level) for who in people if not who.disability_category} == {False}


def test_names_have_what_real_ones_have(people):
    names = [who.name for who in people]
    assert any("·" in name for name in names)
    assert any(name.startswith("欧阳") for name in names)
    assert len(set(names)) < len(names)  # homonyms
    uncommon = [who for who in people if not _fits_gbk(who.name)]
    assert uncommon
    assert all(who.age < 60 for who in uncommon)


def _fits_gbk(text):
    try:
        text.encode("gbk")
    except UnicodeEncodeError:
        return False
    return True
