"""Check digits against vectors made independently of this code (GB 11643, GB 32100)."""

import csv
from datetime import date
from pathlib import Path

import pytest
import stdnum.cn.ric
from hypothesis import given
from hypothesis import strategies as st

from contracts import citizen, credit_codes
from contracts.reasons import Mend, Reason
from contracts.texts import Refused

HERE = Path(__file__).parent / "vectors"
ON = date(2026, 11, 1)


def rows(name):
    with (HERE / name).open(encoding="utf-8") as file:
        return list(csv.DictReader(file))


@pytest.mark.parametrize("row", rows("id_number.csv"), ids=lambda row: row["value"])
def test_id_numbers(row):
    if row["valid"] == "1":
        assert citizen.id_number(row["value"], on=ON) == (row["value"], None)
        assert citizen.sex(row["value"]) == {"1": "male", "2": "female"}[row["sex"]]
    elif row["normalised"]:
        value, mend = citizen.id_number(row["value"], on=ON)
        assert value == row["normalised"]
        assert mend == Mend(row["reason"])
    else:
        with pytest.raises(Refused) as refused:
            citizen.id_number(row["value"], on=ON)
        assert refused.value.reason == Reason("id_" + row["reason"])


@pytest.mark.parametrize("row", rows("credit_code.csv"), ids=lambda row: row["value"])
def test_credit_codes(row):
    if row["valid"] == "1":
        assert credit_codes.credit_code(row["value"]) == (row["value"], None)
    elif row["normalised"]:
        assert credit_codes.credit_code(row["value"])[0] == row["normalised"]
    elif row["reason"] == "empty":
        assert credit_codes.credit_code(row["value"]) == (None, None)
    else:
        with pytest.raises(Refused):
            credit_codes.credit_code(row["value"])


first17 = st.builds(
    lambda region, born, sequence: f"{region:06d}{born:%Y%m%d}{sequence:03d}",
    st.integers(0, 999_999),
    st.dates(date(1800, 1, 1), ON),
    st.integers(0, 999),
)


@given(first17)
def test_the_check_character_agrees_with_another_library(digits):
    assert citizen.check_character(digits) == stdnum.cn.ric.calc_check_digit(digits + "0")


@given(first17, st.integers(0, 16), st.integers(1, 9))
def test_one_wrong_digit_is_always_seen(digits, place, by):
    number = digits + citizen.check_character(digits)
    wrong = number[:place] + str((int(number[place]) + by) % 10) + number[place + 1 :]
    assert citizen.id_number(number, on=ON) == (number, None)
    with pytest.raises(Refused):
        citizen.id_number(wrong, on=ON)


@given(first17)
def test_a_mended_number_needs_no_mending(digits):
    number = digits + citizen.check_character(digits)
    assert citizen.id_number(" " + number.lower(), on=ON)[0] == number
