"""Days, months and instants as sources write them (GB/T 7408, ISO 8601, and what is not).

Known forms: 19500101, 1950-01-01, 1950/1/1, 1950.1.1, 1950年1月1日, each also with a time after it (19500101083000), and
the day numbers of spreadsheets: 1900 date system, where 1 is 1900-01-01 and 1900-02-29 is counted though it never was.
A time without a zone is that of China, UTC+8; a day is the day in China.
"""

from __future__ import annotations

import re
from datetime import UTC, date, datetime, timedelta, timezone
from functools import lru_cache
from typing import NamedTuple

from contracts.reasons import Mend, Reason
from contracts.texts import Parsed, Refused, clean, last, says_nothing, shape, without_point_zero

_CHINA_IS_AHEAD = timedelta(hours=8)
CHINA = timezone(_CHINA_IS_AHEAD)

_ZONE = r"\s*(Z|[+-]\d{2}(?::?\d{2})?)?"
_COMPACT = re.compile(r"(\d{4})(\d{2})(\d{2})(?:[T ]?(\d{2}):?(\d{2})(?::?(\d{2})(?:\.(\d{1,9}))?)?" + _ZONE + ")?")
_PARTED = re.compile(
    r"(\d{4})(?:([-/.])(\d{1,2})\2(\d{1,2})|年(\d{1,2})月(\d{1,2})(?:[日号]|(?![\d:])))"
    r"(?:(?:T|\s+|(?<=[日号]))(\d{1,2})[:时](\d{1,2})(?:[:分](?:(\d{1,2})(?:\.(\d{1,9}))?秒?)?)?" + _ZONE + ")?"
)
_FOREIGN_DIGIT = re.compile(r"[^\D0-9]")  # Python reads the digits of every script
_AROUND = re.compile(r"\s*([-/.年月])\s*")
_ISO = re.compile(r"\d{4}-\d{2}-\d{2}(?:[T ]\d{2}:\d{2}(?::\d{2}(?:\.\d+)?)?(?:Z|[+-]\d{2}(?::?\d{2})?)?)?")
_SERIAL = re.compile(r"([1-9]\d{3,4})(?:\.(\d+))?")
_SERIALS = range(3_000, 60_001)  # 1908-03-18 to 2064-04-08; four digits below that may be a year
# As a month, a smaller number may be 9912 for December of 1999, or 19501 for January of 1950: not guessed.
_SERIAL_MONTHS = date(1957, 6, 29)  # 21000
_SERIAL_EPOCH = date(1899, 12, 30)  # past the day that never was (60), serials count from here
_MONTH = re.compile(r"(\d{4})(?:(\d{2})|[-/.](\d{1,2})|年(\d{1,2})月?)")
_PLAIN_MONTH = re.compile(r"\d{6}|\d{4}-\d{2}")
# What databases and spreadsheets write for no date: nought, the first day of .NET, day nought of OLE.
_NO_DAY = {(0, 0, 0), (1900, 0, 0), (1900, 1, 0), (1, 1, 1), (1899, 12, 30)}
_AFTER_NO_DAY = "1901"
_BETWEEN = {"%Y%m%d": "", "%Y-%m-%d": "-", "%Y/%m/%d": "/", None: "-"}  # what a declared form has between its parts
_ISO_IN_CHINA = re.compile(r"\d{4}-\d{2}-\d{2}[ T]\d{2}:\d{2}:\d{2}", re.ASCII)


class _Moment(NamedTuple):
    """``at`` is naive where the source names no zone."""

    at: datetime
    mend: Mend | None


def _calendar(year: int, month: int, day: int, clock: tuple[str | None, ...]) -> datetime:
    """The moment, or DATE_IMPOSSIBLE. ``clock``: hour, minute, second, fraction, zone; 24:00 is the next midnight."""
    hour, minute, second, fraction, zone = clock
    hours = int(hour or 0)
    try:
        at = datetime(year, month, day, hours % 24, int(minute or 0), int(second or 0))  # noqa: DTZ001 - see _Moment
        if hours == 24 and not (at.minute or at.second):
            at += timedelta(days=1)
        elif hours > 23:
            raise ValueError
        at = at.replace(microsecond=int((fraction or "0")[:6].ljust(6, "0")))
        return at if zone is None else at.replace(tzinfo=_zone(zone))
    except (ValueError, OverflowError):
        raise Refused(Reason.DATE_IMPOSSIBLE, "no such day or time") from None


def _zone(text: str) -> timezone:
    if text == "Z":
        return UTC
    digits = text[1:].replace(":", "").ljust(4, "0")
    offset = timedelta(hours=int(digits[:2]), minutes=int(digits[2:]))
    return timezone(-offset if text[0] == "-" else offset)


def _declared(value: str, form: str) -> datetime | None:
    """The moment, where the value has the declared form. All digits must fill it: %m would take one digit of two."""
    try:
        at = datetime.strptime(value, form)  # noqa: DTZ007 - see _Moment
    except ValueError:
        return None
    return None if value.isdigit() and at.strftime(form) != value else at


def _plain(value: str, digits: int) -> bool:
    """Whether a value is so many digits, 0 to 9, and nothing else."""
    return len(value) == digits and value.isascii() and value.isdecimal()


def _moment(value: str, form: str | None) -> _Moment | None:
    """A cleaned text as a moment; None where it says nothing."""
    if says_nothing(value) or not value.strip("0-/. :年月日T"):
        return None
    if _FOREIGN_DIGIT.search(value):
        raise Refused(Reason.DATE_UNREADABLE, shape(value))
    if form is not None and (at := _declared(value, form)):
        return None if (at.year, at.month, at.day) in _NO_DAY else _Moment(at, None)
    plain = value
    value = without_point_zero(value.upper())
    if not value.isascii() or " " in value:
        value = _AROUND.sub(r"\1", value)
    mend: Mend | None = Mend.DATE_FORM
    if compact := _COMPACT.fullmatch(value):
        parts, clock = compact.groups()[:3], compact.groups()[3:]
        if form is None and len(plain) == 8:
            mend = None
    elif parted := _PARTED.fullmatch(value):
        parts = (parted[1], parted[3] or parted[5], parted[4] or parted[6])
        clock = parted.groups()[6:]
        if _ISO.fullmatch(plain.upper()):
            mend = None
    elif (serial := _SERIAL.fullmatch(value)) and int(serial[1]) in _SERIALS:
        day_number, share = int(serial[1]), serial[2]
        seconds = round(float(f"0.{share}") * 86_400) if share else 0
        at = datetime.combine(_SERIAL_EPOCH, datetime.min.time()) + timedelta(days=day_number, seconds=seconds)
        return _Moment(at, Mend.EXCEL_SERIAL)
    else:
        raise Refused(Reason.DATE_UNREADABLE, shape(value))
    year, month, day_of_month = map(int, parts)
    if (year, month, day_of_month) in _NO_DAY:
        return None
    return _Moment(_calendar(year, month, day_of_month, clock), mend)


def today() -> date:
    """The day in China now: by it is judged what lies in the future."""
    return day_in_china(datetime.now(UTC))


def day_in_china(at: datetime) -> date:
    """The day in China at this moment; without a zone the moment is China's. Raises Refused outside of the calendar."""
    try:
        return at.date() if at.tzinfo is None else at.astimezone(CHINA).date()
    except OverflowError:
        raise Refused(Reason.DATE_IMPOSSIBLE, "outside of the calendar") from None


@lru_cache(maxsize=65_536)
def _day(raw: str, form: str | None) -> Parsed[date]:
    value, mend = clean(raw)
    moment = _moment(value, form)
    return (None, None) if moment is None else (day_in_china(moment.at), last(moment.mend, mend))


def _plain_day(raw: str, form: str | None) -> Parsed[date] | None:
    """A day that is written out as declared, which strptime takes 20 times as long for; None: look closer."""
    between = _BETWEEN.get(form)
    if between is None or raw < _AFTER_NO_DAY:
        return None
    digits = raw
    if between:
        if len(raw) != 10 or raw[4] != between or raw[7] != between:
            return None
        digits = raw[:4] + raw[5:7] + raw[8:]
    if not _plain(digits, 8):
        return None
    try:
        return date.fromisoformat(digits), None
    except ValueError:
        return None


def is_no_day(text: str) -> bool:
    """Whether a cleaned text is a whole day that says nothing to ``day``: 00000000, 1900-01-00 and the like."""
    if len(text) < 8:
        return False
    try:
        return _day(text, None)[0] is None
    except Refused:
        return False


def day(raw: object, *, form: str | None = None, on: date | None = None) -> Parsed[date]:
    """A day. ``form`` is the declared strptime form. Later than ``on`` is refused with DATE_FUTURE.

    No mend: the declared form, ISO 8601 with hyphens, and 19500101 where no form is declared. Other known forms are
    mended. 00000000, 1900-01-00 and the like say nothing. A day that isn't in the calendar is DATE_IMPOSSIBLE; what is
    in no known form, or in one that leaves the order of day and month open, is DATE_UNREADABLE.
    """
    if isinstance(raw, str):
        value, mend = _plain_day(raw, form) or _day(raw, form)
    elif isinstance(raw, date):
        value, mend = (day_in_china(raw) if isinstance(raw, datetime) else raw), None
        if (value.year, value.month, value.day) in _NO_DAY:
            return None, None
    else:
        value, mend = _day(clean(raw)[0], form)
    if value is None:
        return None, None
    if on is not None and value > on:
        raise Refused(Reason.DATE_FUTURE, "after the day of the record")
    return value, mend


@lru_cache(maxsize=4_096)
def _month(raw: str) -> Parsed[str]:
    value, mend = clean(raw)
    if says_nothing(value) or not value.strip("0-/.年月"):
        return None, None
    found = None if _FOREIGN_DIGIT.search(value) else _MONTH.fullmatch(_AROUND.sub(r"\1", without_point_zero(value)))
    if not found:
        whole, mend = _day(raw, None)
        if mend is Mend.EXCEL_SERIAL and whole is not None and whole < _SERIAL_MONTHS:
            raise Refused(Reason.DATE_UNREADABLE, shape(value))
        return (None, None) if whole is None else (f"{whole.year:04d}-{whole.month:02d}", last(mend, Mend.DATE_FORM))
    year, month_of_year = int(found[1]), int(found[2] or found[3] or found[4])
    if not (1 <= month_of_year <= 12 and year >= 1):
        raise Refused(Reason.DATE_IMPOSSIBLE, "no such month")
    return f"{year:04d}-{month_of_year:02d}", (mend if _PLAIN_MONTH.fullmatch(value) else Mend.DATE_FORM)


def month(raw: object) -> Parsed[str]:
    """A month as ``yyyy-mm``: 195001 and 1950-01 as they are; 1950年1月, 1950/1 and a day of the month mended."""
    if isinstance(raw, date):
        value, _ = day(raw)
        return (None, None) if value is None else (f"{value.year:04d}-{value.month:02d}", Mend.DATE_FORM)
    return _month(raw if isinstance(raw, str) else clean(raw)[0])


@lru_cache(maxsize=65_536)
def _instant(raw: str) -> Parsed[datetime]:
    value, mend = clean(raw)
    moment = _moment(value, None)
    if moment is None:
        return None, None
    return _in_utc(moment.at), last(None if value.isdigit() and len(value) == 14 else moment.mend, mend)


def _in_utc(at: datetime) -> datetime:
    try:
        return (at if at.tzinfo else at.replace(tzinfo=CHINA)).astimezone(UTC)
    except OverflowError:
        raise Refused(Reason.DATE_IMPOSSIBLE, "outside of the calendar") from None


def _written_out(raw: str) -> str | None:
    """A time of day to the second without a zone, in the form that Python reads fast, as if it were UTC."""
    if _plain(raw, 14):
        return f"{raw[:8]}T{raw[8:]}Z"
    return raw + "Z" if len(raw) == 19 and _ISO_IN_CHINA.fullmatch(raw) else None


def instant(raw: object) -> Parsed[datetime]:
    """A point in time, in UTC. Without a zone it is that of China; a day alone is its midnight there.

    No mend: ISO 8601 with hyphens, and the departments' yyyyMMddHHmmss and yyyyMMdd.
    """
    if isinstance(raw, datetime):
        return (None, None) if (raw.year, raw.month, raw.day) in _NO_DAY else (_in_utc(raw), None)
    if isinstance(raw, date):
        return instant(datetime(raw.year, raw.month, raw.day, tzinfo=CHINA))
    if not isinstance(raw, str):
        raw = clean(raw)[0]
    elif raw > _AFTER_NO_DAY and (written := _written_out(raw)):  # as departments write it, and thousands do a second
        try:
            return datetime.fromisoformat(written) - _CHINA_IS_AHEAD, None
        except ValueError:
            pass  # which of several faults it is, is found below
    return _instant(raw)
