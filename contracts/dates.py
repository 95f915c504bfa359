"""Days, months and instants as sources write them.

Known forms: 19500101, 1950-01-01, 1950/1/1, 1950.1.1, 1950年1月1日, each also with a time after it (19500101083000),
and the day numbers of spreadsheets (1900 date system: 1 is 1900-01-01, and 1900-02-29 is counted though it never was).
A time without a zone is that of China, UTC+8.
"""

from __future__ import annotations

import re
from datetime import UTC, date, datetime, timedelta, timezone
from functools import lru_cache

from contracts.reasons import Mend, Reason
from contracts.texts import Refused, clean, is_blank, shape

CHINA = timezone(timedelta(hours=8))
_TIME = r"(?:[T ]?\d{1,2}:?\d{2}(?::?\d{2}(?:\.\d+)?)?(?:Z|[+-]\d{2}:?\d{2})?)?"
_COMPACT = re.compile(r"(\d{4})(\d{2})(\d{2})(?:\d{2}(?:\d{2}(?:\d{2})?)?)?")
_PARTED = re.compile(r"(\d{4})([-/.年])(\d{1,2})([-/.月])(\d{1,2})日?" + _TIME)
_ISO = re.compile(r"\d{4}-\d{2}-\d{2}")
_SERIAL = re.compile(r"([1-9]\d{4})(?:\.0+)?")
_SERIALS = range(10_000, 80_000)
_MONTH = re.compile(r"(\d{4})(?:[-/.年]?)(\d{1,2})月?")
_SERIAL_EPOCH = date(1899, 12, 30)  # past the day that never was, serials count from here


def _calendar(year: str, month: str, day: str) -> date:
    try:
        return date(int(year), int(month), int(day))
    except ValueError as error:
        raise Refused(Reason.DATE_IMPOSSIBLE, "no such day") from error


@lru_cache(maxsize=65_536)
def _parse(value: str, form: str | None) -> tuple[date | None, Mend | None]:
    if is_blank(value) or not value.strip("0-/. :"):
        return None, None
    if form is not None:
        try:
            return datetime.strptime(value, form).date(), None  # noqa: DTZ007 - a day has no zone
        except ValueError:
            pass  # not in the declared form: perhaps in another known one
    plain = None if form else Mend.DATE_FORM
    if found := _COMPACT.fullmatch(value):
        return _calendar(*found.groups()), (plain or Mend.DATE_FORM if len(value) > 8 or form else None)
    if found := _PARTED.fullmatch(value):
        first, second = found.group(2), found.group(4)
        if first == second or (first, second) == ("年", "月"):
            iso = _ISO.fullmatch(value) is not None and form is None
            return _calendar(found.group(1), found.group(3), found.group(5)), (None if iso else Mend.DATE_FORM)
    if (found := _SERIAL.fullmatch(value)) and int(found.group(1)) in _SERIALS:
        return _SERIAL_EPOCH + timedelta(days=int(found.group(1))), Mend.EXCEL_SERIAL
    raise Refused(Reason.DATE_UNREADABLE, shape(value))


def day(raw: object, *, form: str | None = None, on: date | None = None) -> tuple[date | None, Mend | None]:
    """A day. ``form`` is the declared strptime form; other known forms are mended. Later than ``on`` is refused."""
    if isinstance(raw, datetime):
        raw = raw.date()
    if isinstance(raw, date):
        value, mend = raw, None
    else:
        cleaned, first = clean(raw)
        found, mend = _parse(cleaned, form)
        if found is None:
            return None, None
        value, mend = found, mend or first
    if on is not None and value > on:
        raise Refused(Reason.DATE_FUTURE, "after the day of the record")
    return value, mend


@lru_cache(maxsize=4_096)
def _month(value: str) -> str | None:
    if is_blank(value) or not value.strip("0-/."):
        return None
    found = _MONTH.fullmatch(value)
    if not found:
        raise Refused(Reason.DATE_UNREADABLE, shape(value))
    year, month = int(found.group(1)), int(found.group(2))
    if not (1 <= month <= 12 and year >= 1800):
        raise Refused(Reason.DATE_IMPOSSIBLE, "no such month")
    return f"{year:04d}-{month:02d}"


def month(raw: object) -> tuple[str | None, Mend | None]:
    """A month as ``yyyy-mm``: 195001 and 1950-01 as they are, 1950年1月 and others mended."""
    cleaned, mend = clean(raw)
    value = _month(cleaned)
    if value is None:
        return None, None
    return value, (mend if cleaned in (value, value.replace("-", "")) else Mend.DATE_FORM)


@lru_cache(maxsize=65_536)
def _instant(value: str) -> datetime | None:
    if is_blank(value) or not value.strip("0-/. :T"):
        return None
    digits = re.fullmatch(r"(\d{4})(\d{2})(\d{2})(\d{2})(\d{2})(\d{2})", value)
    try:
        if digits:
            found = datetime(*(int(part) for part in digits.groups()), tzinfo=CHINA)  # type: ignore[misc,arg-type]
        else:
            found = datetime.fromisoformat(value)
    except ValueError:
        parsed, _ = _parse(value, None)
        if parsed is None:
            return None
        found = datetime(parsed.year, parsed.month, parsed.day, tzinfo=CHINA)
    return (found if found.tzinfo else found.replace(tzinfo=CHINA)).astimezone(UTC)


def instant(raw: object) -> datetime | None:
    """A point in time, in UTC. A day alone is its midnight in China. Raises Refused for what is none."""
    return _instant(clean(raw)[0])
