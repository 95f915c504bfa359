"""Cleaning, free text, numbers, telephones, yes and no."""

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from strategies import full_width, spaces

from contracts import texts
from contracts.reasons import Mend, Reason
from contracts.texts import Refused


def reason(parse, raw):
    with pytest.raises(Refused) as refused:
        parse(raw)
    return refused.value.reason


@given(st.text())
def test_what_is_clean_needs_no_cleaning(raw):
    cleaned, _ = texts.clean(raw)
    assert texts.clean(cleaned) == (cleaned, None)


@pytest.mark.parametrize(
    ("raw", "cleaned"),
    [
        (" \u3000a\u00a0", ("a", Mend.SPACES)),
        ("\ufeffa", ("a", Mend.SPACES)),
        ("ａ１－", ("a1-", Mend.FULL_WIDTH)),
        ("￥", ("¥", Mend.FULL_WIDTH)),
        ("'007", ("007", Mend.QUOTE_PREFIX)),
        ("' 007", ("007", Mend.QUOTE_PREFIX)),
        ("＇007", ("007", Mend.QUOTE_PREFIX)),
        ('="007"', ("007", Mend.QUOTE_PREFIX)),
        ("豈", ("豈", None)),  # a compatibility character is not folded: it may be the name
        ("㈠", ("㈠", None)),
        (7, ("7", None)),
        (None, ("", None)),
        (Decimal("1E+3"), ("1000", None)),
        (Decimal("sNaN"), ("", None)),
        (float("nan"), ("", None)),
    ],
)
def test_cleaning(raw, cleaned):
    assert texts.clean(raw) == cleaned


def test_of_several_mends_the_last_in_the_list_is_reported():
    assert texts.last(Mend.FULL_WIDTH, None, Mend.SPACES) == Mend.FULL_WIDTH
    assert texts.last(None) is None


@pytest.mark.parametrize("raw", [None, "", " ", "NULL", "null", "None", "-", "--", "——", "/", "\\N", "N/A", "(null)"])
def test_nothing_said(raw):
    for parse in (texts.text, texts.number, texts.phone, texts.flag):
        assert parse(raw) == (None, None)


def test_none_is_a_word_in_free_text_only():
    assert texts.text("无") == ("无", None)
    assert texts.phone("无") == texts.number("暂无") == (None, None)


@given(st.text())
def test_text_is_a_fixed_point(raw):
    try:
        value, _ = texts.text(raw)
    except Refused:
        return
    assert value is None or texts.text(value) == (value, None)


@pytest.mark.parametrize(
    ("raw", "value", "mend"),
    [
        ("解放路街道１号（东）", "解放路街道１号（东）", None),
        (" 解放路　1号 ", "解放路　1号", Mend.SPACES),
        ("解放路\r\n1号", "解放路 1号", Mend.SPACES),
        ("'解放路", "解放路", Mend.QUOTE_PREFIX),
        ("'解放路'", "'解放路'", None),
        ("䅟茬窑社区", "䅟茬窑社区", None),
        ("3号?单元", "3号?单元", None),
    ],
)
def test_text(raw, value, mend):
    assert texts.text(raw) == (value, mend)


@pytest.mark.parametrize(
    "raw", ["a\x00b", "济\ufffd", "锟斤拷", "????", "\x1f", "\x85\x9f", "\ud800", ["a"], {"a": 1}, b"a"]
)
def test_unreadable_text(raw):
    assert reason(texts.text, raw) == Reason.TEXT_UNREADABLE


@given(st.integers(-(2**63) + 1, 2**63 - 1))
def test_numbers_round_trip(value):
    assert texts.number(value) == (value, None)
    assert texts.number(str(value)) == (value, None)
    assert texts.number(f"{value:,}") == (value, None if -1000 < value < 1000 else Mend.NUMBER_FORM)
    assert texts.number(f"{value}.00") == (value, Mend.NUMBER_FORM)


@pytest.mark.parametrize("raw", ["1.5", "1e3", "12人", "1,23", "--1", True, 2**63, "9" * 5_000, "٣", float("inf")])
def test_unreadable_numbers(raw):
    assert reason(texts.number, raw) == Reason.NUMBER_UNREADABLE


@pytest.mark.parametrize(
    ("raw", "digits"),
    [
        ("138 0013 8000", "13800138000"),
        ("138-0013-8000", "13800138000"),
        ("+86 13800138000", "13800138000"),
        ("（＋８６）13800138000", "13800138000"),
        ("+86-138-0013-8000", "13800138000"),
        ("8613800138000", "13800138000"),
        ("008613800138000", "13800138000"),
        ("013800138000", "13800138000"),
        (13800138000.0, "13800138000"),
        ("0531-86012345", "053186012345"),
        ("(0531)86012345", "053186012345"),
        ("+86 531 86012345", "053186012345"),
        ("+86-10-12345678", "01012345678"),
        ("010-12345678", "01012345678"),
        ("0531-86012345转801", "053186012345"),
        ("400-600-1234", "4006001234"),
    ],
)
def test_telephones_are_digits(raw, digits):
    assert texts.phone(raw) == (digits, Mend.PHONE_FORM)
    assert texts.phone(digits) == (digits, None)


@given(st.from_regex(r"1[02-9][0-9]{9}", fullmatch=True), spaces, spaces)
def test_a_mobile_number_of_any_prefix_is_one(number, before, after):
    assert texts.phone(before + number + after)[0] == number
    assert texts.phone(int(number)) == (number, None)
    assert texts.phone(full_width(number)) == (number, Mend.FULL_WIDTH)


@pytest.mark.parametrize(
    "raw",
    [
        "86012345",
        "138****8000",
        "13800138000/13900139000",
        "1380013800",
        "138001380000",
        "1.38E+10",
        "电话",
        "+14155550100",
    ],
)
def test_no_telephone(raw):
    assert reason(texts.phone, raw) == Reason.PHONE_UNREADABLE


def test_yes_and_no():
    assert [texts.flag(raw)[0] for raw in (True, "是", 1, "Y", "1.0", " true")] == [True] * 6
    assert [texts.flag(raw)[0] for raw in (False, "否", 0, "N", "false", "f")] == [False] * 6
    assert texts.flag("1", {"1": False}) == (False, None)
    assert reason(texts.flag, "2") == Reason.CODE_UNKNOWN
