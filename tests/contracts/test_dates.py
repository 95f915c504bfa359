"""Days, months and instants in the forms that sources use."""

from datetime import UTC, date, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st
from strategies import TODAY, full_width, spaces

from contracts import dates
from contracts.reasons import Mend, Reason
from contracts.texts import Refused

days = st.dates(date(1900, 1, 1), date(2100, 1, 1))
WRITTEN = [
    "{0:%Y%m%d}",
    "{0:%Y-%m-%d}",
    "{0:%Y/%m/%d}",
    "{0.year}/{0.month}/{0.day}",
    "{0.year}.{0.month}.{0.day}",
    "{0.year}-{0.month}-{0.day}",
    "{0.year}年{0.month}月{0.day}日",
    "{0:%Y年%m月%d日} 08:30",
    "{0:%Y%m%d}083000",
    "{0:%Y-%m-%d}T08:30:00",
    "{0:%Y-%m-%d} 08:30:00.123",
    "{0:%Y-%m-%d}T08:30:00+08:00",
    "{0.year}/{0.month}/{0.day} 8:30:00",
    "{0:%Y%m%d}.0",
]


def reason(parse, *args, **kwargs):
    with pytest.raises(Refused) as refused:
        parse(*args, **kwargs)
    return refused.value.reason


@given(days, st.sampled_from(WRITTEN), spaces, spaces)
def test_a_day_in_any_known_form_is_that_day(value, form, before, after):
    assert dates.day(before + form.format(value) + after)[0] == value
    assert dates.day(full_width(form.format(value)))[0] == value


@given(days)
def test_iso_and_compact_need_no_mend(value):
    assert dates.day(value.isoformat()) == dates.day(f"{value:%Y%m%d}") == dates.day(value) == (value, None)
    assert dates.day(f"{value:%Y/%m/%d}") == (value, Mend.DATE_FORM)


@given(
    days.filter(lambda value: value.year > 1900), st.sampled_from(["%Y%m%d", "%Y-%m-%d", "%Y/%m/%d", None]), st.data()
)
def test_the_short_way_of_a_day_leads_where_the_long_one_does(value, form, data):
    text = value.strftime(form or "%Y-%m-%d")
    at = data.draw(st.integers(0, len(text) - 1))
    broken = text[:at] + data.draw(st.sampled_from(["", "0", "9", "-", "/", "３", " "])) + text[at + 1 :]
    for raw in (text, broken):
        short = dates._plain_day(raw, form)
        assert short is None or short == dates._day(raw, form)
    assert dates._plain_day(text, form) == (value, None)


@given(days)
def test_the_declared_form_and_iso_need_no_mend(value):
    assert dates.day(f"{value:%d/%m/%Y}", form="%d/%m/%Y") == (value, None)
    assert dates.day(value.isoformat(), form="%d/%m/%Y") == (value, None)
    assert dates.day(f"{value:%Y%m%d}", form="%d/%m/%Y") == (value, Mend.DATE_FORM)


@given(st.dates(date(1927, 5, 18), date(2064, 4, 8)))
def test_serial_numbers_of_spreadsheets(value):
    serial = (value - date(1899, 12, 30)).days
    assert dates.day(serial) == dates.day(str(serial)) == dates.day(float(serial)) == (value, Mend.EXCEL_SERIAL)
    assert dates.day(f"{serial}.75") == (value, Mend.EXCEL_SERIAL)


def test_known_serial_numbers():
    """As Excel shows them: the leap day of 1900 that never was is counted."""
    assert dates.day(18264)[0] == date(1950, 1, 1)
    assert dates.day("43831")[0] == date(2020, 1, 1)
    assert dates.day(10227)[0] == date(1927, 12, 31)


@pytest.mark.parametrize(
    "raw",
    [None, "", "NULL", "无", "00000000", "0000-00-00", "0000/0/0", "1900-01-00", "1900/1/0 0:00:00", "19000100", "0", 0,
     "00000000000000", "0000-00-00 00:00:00", "0001-01-01T00:00:00", "1899-12-30", datetime(1899, 12, 30, tzinfo=dates.CHINA)],
)  # fmt: skip
def test_nothing_said(raw):
    assert dates.day(raw) == (None, None)
    assert dates.day(raw, form="%Y%m%d") == (None, None)
    assert dates.instant(raw) == (None, None)


@pytest.mark.parametrize(
    "raw",
    [
        "19500230",
        "1950-13-01",
        "1950/2/30",
        "1900-02-29",
        "19500000",
        "20200101250000",
        "2020-01-01 12:61",
        "0000-01-01",
    ],
)
def test_impossible(raw):
    assert reason(dates.day, raw) == Reason.DATE_IMPOSSIBLE
    assert reason(dates.day, raw, form="%Y%m%d") == Reason.DATE_IMPOSSIBLE


@pytest.mark.parametrize("raw", ["yesterday", "01/02/1950", "1950-1/1", "195001", "1950", "500101", "1950-1-1108", "٢٠٢٠0101", True, ["20200101"], "2999", "99999"])  # fmt: skip
def test_unreadable(raw):
    assert reason(dates.day, raw) == Reason.DATE_UNREADABLE


def test_spaces_inside_are_no_iso():
    assert dates.day("2020 - 01 - 01") == (date(2020, 1, 1), Mend.DATE_FORM)


def test_a_declared_form_takes_all_digits():
    """strptime reads 1950111 as %Y%m%d, and nobody can say whether it means January or November."""
    assert reason(dates.day, "1950111", form="%Y%m%d") == Reason.DATE_UNREADABLE


def test_the_day_itself_is_not_the_future():
    assert dates.day(TODAY, on=TODAY) == (TODAY, None)
    assert reason(dates.day, TODAY + timedelta(days=1), on=TODAY) == Reason.DATE_FUTURE
    assert reason(dates.day, "20991231", on=TODAY) == Reason.DATE_FUTURE


def test_a_day_is_the_day_in_china():
    assert dates.day("1949-12-31T16:00:00Z")[0] == date(1950, 1, 1)
    assert dates.day(datetime(1949, 12, 31, 16, tzinfo=UTC))[0] == date(1950, 1, 1)
    assert dates.day(datetime.fromisoformat("1950-01-01T23:59"))[0] == date(1950, 1, 1)


@pytest.mark.parametrize(
    ("raw", "value", "mend"),
    [
        ("195001", "1950-01", None),
        (195001, "1950-01", None),
        ("1950-01", "1950-01", None),
        ("1950/1", "1950-01", Mend.DATE_FORM),
        ("1950年1月", "1950-01", Mend.DATE_FORM),
        ("1950 年 1 月", "1950-01", Mend.DATE_FORM),
        ("19500115", "1950-01", Mend.DATE_FORM),
        ("195001.0", "1950-01", Mend.DATE_FORM),
        (date(1950, 1, 15), "1950-01", Mend.DATE_FORM),
        ("999912", "9999-12", None),
        (21000, "1957-06", Mend.EXCEL_SERIAL),
        ("43831", "2020-01", Mend.EXCEL_SERIAL),
        ("000000", None, None),
        ("无", None, None),
    ],
)
def test_months(raw, value, mend):
    assert dates.month(raw) == (value, mend)


def test_no_months():
    assert reason(dates.month, "195013") == reason(dates.month, "1950-00") == Reason.DATE_IMPOSSIBLE
    assert (
        reason(dates.month, "9912")
        == reason(dates.month, 19501)
        == reason(dates.month, 20999)
        == Reason.DATE_UNREADABLE
    )
    assert reason(dates.month, "soon") == reason(dates.month, "1950") == Reason.DATE_UNREADABLE


@given(st.datetimes().map(lambda at: at.replace(year=1900 + at.year % 200, day=min(at.day, 28), microsecond=0)))
def test_an_instant_without_a_zone_is_chinas(at):
    there = at.replace(tzinfo=timezone(timedelta(hours=8)))
    for raw in (
        at,
        there,
        at.isoformat(),
        f"{at:%Y-%m-%d %H:%M:%S}",
        f"{at:%Y%m%d%H%M%S}",
        there.isoformat(),
        there.astimezone(UTC).isoformat(),
    ):
        assert dates.instant(raw) == (there, None)
    assert dates.instant(at)[0].tzinfo is UTC


def test_instants():
    assert dates.instant("20200101")[0] == datetime(2019, 12, 31, 16, tzinfo=UTC)
    assert dates.instant("2020/1/1 8:00") == (datetime(2020, 1, 1, tzinfo=UTC), Mend.DATE_FORM)
    assert dates.instant("2020-01-01T00:00:00Z") == (datetime(2020, 1, 1, tzinfo=UTC), None)
    assert dates.instant("2020-01-01 24:00:00")[0] == datetime(2020, 1, 1, 16, tzinfo=UTC)
    assert dates.instant("2020-01-01T08:00:00.25+08:00") == (datetime(2020, 1, 1, 0, 0, 0, 250_000, tzinfo=UTC), None)
    assert dates.instant("43831.5") == (datetime(2020, 1, 1, 4, tzinfo=UTC), Mend.EXCEL_SERIAL)
    assert reason(dates.instant, "9999-12-31T23:59:59-12:00") == Reason.DATE_IMPOSSIBLE
    assert reason(dates.day, "9999-12-31T23:59:59-12:00") == Reason.DATE_IMPOSSIBLE


@pytest.mark.parametrize("text", ["00000000", "00000000000000", "0000-00-00", "0000-00-00 00:00:00", "1900-01-00"])
def test_a_day_that_says_nothing(text):
    assert dates.is_no_day(text)


@pytest.mark.parametrize(
    "text", ["20250102", "2025年1月2日", "19500230", "0", "0.00", "000000", "已故，日期不详，见档案", "2000.00元"]
)
def test_what_says_something(text):
    """A sum of zero and what can't be read are no day of zeros."""
    assert not dates.is_no_day(text)
