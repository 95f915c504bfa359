"""The number of a disability card: an ID number, a category, a level."""

from datetime import date

import pytest
from hypothesis import given
from hypothesis import strategies as st
from strategies import TODAY, full_width, id_numbers

from contracts import citizen
from contracts.codesets import codeset
from contracts.disability_cards import card_number
from contracts.reasons import Mend, Reason
from contracts.texts import Refused

GOOD = "379901197005151019"
OLD = GOOD[:6] + GOOD[8:17]


def refusal(raw):
    with pytest.raises(Refused) as refused:
        card_number(raw, on=TODAY)
    return refused.value


@given(id_numbers, st.integers(1, 7), st.integers(1, 4), st.sampled_from(["", "B1", "b2"]))
def test_every_number_is_taken_apart(number, category, level, reissue):
    found, mend = card_number(f"{number}{category}{level}{reissue}", on=TODAY)
    assert found.id_number == number
    assert found.category == codeset("disability_category").national[str(category)]
    assert found.level == str(level)
    assert mend is None


@pytest.mark.parametrize(
    ("raw", "mend"),
    [
        (full_width(GOOD) + "42", Mend.FULL_WIDTH),
        (full_width(GOOD + "42B1"), Mend.FULL_WIDTH),
        (f" {GOOD}42", Mend.SPACES),
        (f"{GOOD[:6]} {GOOD[6:14]} {GOOD[14:]} 42", Mend.SPACES),
        (f"{GOOD}-42", Mend.SEPARATORS),
        (f"'{GOOD}42", Mend.QUOTE_PREFIX),
        (OLD + "42", Mend.OLD_15_DIGIT),
        (f" {OLD}42", Mend.OLD_15_DIGIT),
    ],
)
def test_a_number_is_mended_as_the_id_number_in_it_is(raw, mend):
    assert card_number(raw, on=TODAY) == ((GOOD, "physical", "2"), mend)


def test_a_small_x_in_the_middle_is_mended():
    number = "37990119490101000X"
    assert citizen.id_number(number, on=TODAY) == (number, None)
    assert card_number(number[:17] + "x74", on=TODAY) == ((number, "multiple", "4"), Mend.LOWERCASE_X)


@pytest.mark.parametrize(
    ("raw", "reason"),
    [
        (GOOD[:17] + "042", Reason.ID_CHECK_DIGIT),
        (GOOD[:6] + "********" + GOOD[14:] + "42", Reason.ID_MASKED),
        (GOOD[:10] + "O" + GOOD[11:] + "42", Reason.ID_CHARACTER),
        (GOOD[:16] + "42", Reason.ID_LENGTH),
        (GOOD, Reason.ID_LENGTH),  # an ID number alone is no card
        ("42", Reason.ID_LENGTH),
        ("4", Reason.ID_LENGTH),
        ("3.79901197005152E+19", Reason.ID_SCIENTIFIC_NOTATION),
        (GOOD[:15] + "00000", Reason.ID_PRECISION_LOSS),
        (GOOD + "02", Reason.CODE_UNKNOWN),
        (GOOD + "82", Reason.CODE_UNKNOWN),
        (GOOD + "40", Reason.CODE_UNKNOWN),
        (GOOD + "45", Reason.CODE_UNKNOWN),
        (GOOD + "4B", Reason.CODE_UNKNOWN),
    ],
)
def test_what_is_no_number_is_refused_with_its_reason_and_never_shown(raw, reason):
    refused = refusal(raw)
    assert refused.reason is reason
    assert GOOD[6:14] not in str(refused)


def test_a_birth_date_in_the_future_is_refused():
    with pytest.raises(Refused) as refused:
        card_number(GOOD + "42", on=date(1969, 1, 1))
    assert refused.value.reason is Reason.ID_BIRTH_DATE_FUTURE


@pytest.mark.parametrize("raw", [None, "", "无", "NULL", "--"])
def test_nothing_says_nothing(raw):
    assert card_number(raw, on=TODAY) == (None, None)
