"""The citizen ID number beyond its vectors (test_vectors.py): GB 11643."""

from datetime import date, timedelta

import pytest
import stdnum.cn.ric
from hypothesis import assume, given
from hypothesis import strategies as st
from strategies import TODAY, first17, full_width, id_numbers, spaces

from contracts import citizen
from contracts.reasons import Mend, Reason
from contracts.texts import Refused

GOOD = "379901197005151019"


def refusal(value, on=TODAY):
    with pytest.raises(Refused) as refused:
        citizen.id_number(value, on=on)
    return refused.value


@pytest.mark.parametrize("printed", ["11010519491231002X", "440524188001010014"])
def test_the_numbers_printed_in_the_standard_are_accepted(printed):
    assert citizen.id_number(printed, on=TODAY) == (printed, None)


@given(first17)
def test_the_check_character_is_that_of_another_library(digits):
    assert citizen.check_character(digits) == stdnum.cn.ric.calc_check_digit(digits + "0")
    assert citizen.id_number(digits + citizen.check_character(digits), on=TODAY)[1] is None


@given(id_numbers, st.integers(0, 16), st.integers(1, 9))
def test_one_wrong_digit_is_refused(number, place, by):
    wrong = number[:place] + str((int(number[place]) + by) % 10) + number[place + 1 :]
    assert refusal(wrong).reason in {
        Reason.ID_CHECK_DIGIT,
        Reason.ID_BIRTH_DATE,
        Reason.ID_BIRTH_DATE_FUTURE,
        Reason.ID_PRECISION_LOSS,
    }


@given(id_numbers, st.integers(0, 15))
def test_two_neighbours_swapped_are_refused(number, place):
    assume(number[place] != number[place + 1])
    swapped = number[:place] + number[place + 1] + number[place] + number[place + 2 :]
    refusal(swapped)


@given(id_numbers, st.sampled_from("0123456789X"))
def test_one_final_character_of_eleven_is_right(number, final):
    if final == number[17]:
        assert citizen.id_number(number, on=TODAY) == (number, None)
    else:
        assert refusal(number[:17] + final).reason in {Reason.ID_CHECK_DIGIT, Reason.ID_PRECISION_LOSS}


@given(id_numbers, spaces, spaces, st.sampled_from([str, str.lower, full_width, "'{}".format, '="{}"'.format]))
def test_a_repaired_number_is_the_number_and_needs_no_more_repair(number, before, after, dress):
    value, mend = citizen.id_number(before + dress(number) + after, on=TODAY)
    assert value == number
    assert (mend is None) == (before + dress(number) + after == number)
    assert citizen.id_number(value, on=TODAY) == (number, None)


@given(id_numbers.filter(lambda number: number[6:8] == "19"))
def test_the_15_digits_of_1989_give_the_18_of_1999(number):
    assert citizen.id_number(number[:6] + number[8:17], on=TODAY) == (number, Mend.OLD_15_DIGIT)


@given(id_numbers)
def test_the_sex_is_read(number):
    assert citizen.sex(number) == ("male" if number[16] in "13579" else "female")


@pytest.mark.parametrize(
    ("raw", "mend"),
    [
        (" 379901-19700515-1019", Mend.SEPARATORS),
        ("379901 700515 101", Mend.OLD_15_DIGIT),
        ("379901-700515-101", Mend.SEPARATORS),  # the last in the list of mends
        ("379901700515101.0", Mend.NUMBER_FORM),
        (379901700515101.0, Mend.NUMBER_FORM),
        (379901700515101, Mend.OLD_15_DIGIT),
        (379901197005151019, None),
        ("‘379901197005151019", Mend.QUOTE_PREFIX),
        ("\u202a379901197005151019\u202c", Mend.SPACES),
        ("3799\u200b01197005151019", Mend.SPACES),
    ],
)
def test_repairs(raw, mend):
    assert citizen.id_number(raw, on=TODAY) == (GOOD, mend)


@pytest.mark.parametrize("nothing", [None, "", "  ", "NULL", "none", "无", "不详", "-", "——", "/", "\\N", float("nan")])
def test_nothing_said(nothing):
    assert citizen.id_number(nothing, on=TODAY) == (None, None)


@pytest.mark.parametrize(
    ("raw", "reason"),
    [
        (3.79901197005151e17, Reason.ID_SCIENTIFIC_NOTATION),
        ("3.8E17", Reason.ID_SCIENTIFIC_NOTATION),
        ("３．７９Ｅ＋１７", Reason.ID_SCIENTIFIC_NOTATION),
        ("379901********1019", Reason.ID_MASKED),
        ("379901＊＊＊＊＊＊＊＊1019", Reason.ID_MASKED),
        ("379901XXXXXXXX1019", Reason.ID_MASKED),
        ("3799011970051510*", Reason.ID_MASKED),
        ("37990119700515101", Reason.ID_LENGTH),
        ("1", Reason.ID_LENGTH),
        ("37990170051510X", Reason.ID_CHARACTER),
        ("张三", Reason.ID_CHARACTER),
        ("37990119700515101٩", Reason.ID_CHARACTER),  # an Arabic nine is a digit to Python
        ("37990119700515101²", Reason.ID_CHARACTER),
        ("²79901197005151019", Reason.ID_CHARACTER),
        ("37990119700515²019", Reason.ID_CHARACTER),
        ("3799011970²5151019", Reason.ID_CHARACTER),
        ([GOOD], Reason.ID_CHARACTER),
        ("379901197005151100", Reason.ID_CHECK_DIGIT),
        ("379901197005152000", Reason.ID_PRECISION_LOSS),
        ("000000000000000000", Reason.ID_BIRTH_DATE),
        ("379901701315101", Reason.ID_BIRTH_DATE),
    ],
)
def test_refusals(raw, reason):
    assert refusal(raw).reason == reason


def test_the_day_itself_is_not_the_future():
    born = date(1970, 5, 15)
    assert citizen.id_number(GOOD, on=born) == (GOOD, None)
    assert refusal(GOOD, on=born - timedelta(days=1)).reason == Reason.ID_BIRTH_DATE_FUTURE


@given(id_numbers, st.sampled_from(["{}1", "{}A", "A{}", "{}*", "a {} b"]))
def test_a_refusal_never_shows_the_number(number, form):
    refused = refusal(form.format(number))
    assert number[:17] not in str(refused) + refused.detail
    assert not any(number[i : i + 6] in refused.detail for i in range(12))


def test_a_mask_shows_three_and_two():
    assert citizen.mask(GOOD) == "379*************19"
    assert citizen.mask("3799") == "****"


@pytest.mark.parametrize(
    "text", [GOOD, f"A-{GOOD}", GOOD[:17] + "x", GOOD[:6] + GOOD[8:17], " ".join(GOOD), f"{GOOD}|7", f"{GOOD}42",
             f"{GOOD[:6]}{GOOD[8:17]}42", f"{GOOD[:17]}X42B1",
             f"{GOOD}82", f"{GOOD}49", f"{GOOD}4", f"{GOOD}421", f"{GOOD[:17]}X9", f"{GOOD[:6]}{GOOD[8:17]}89"]
)  # fmt: skip
def test_what_holds_a_number_is_masked(text):
    assert "7005" not in citizen.masked(text).replace(" ", "")


@pytest.mark.parametrize("text", ["10024", "R-2026-0001", "1234567890123456789", "张三", ""])
def test_what_holds_none_is_shown(text):
    assert citizen.masked(text) == text
