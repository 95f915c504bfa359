"""Cursor values of an API: what point they stand for, and how to ask for an earlier one in the same form."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

CHINA = timezone(timedelta(hours=8))
Point = datetime | int
_ISO = re.compile(r"\d{4}-\d\d-\d\d")


def point(value: Any, form: str) -> Point | None:
    """The point that a cursor value stands for: a time in UTC, or a number; None where it can't be read."""
    if value is None or isinstance(value, bool):
        return None
    try:
        if form == "number":
            return int(value)
        at = _moment(str(value).strip(), form)
        return (at if at.tzinfo else at.replace(tzinfo=CHINA)).astimezone(UTC)
    except (ValueError, OverflowError, OSError, TypeError):
        return None


def _moment(text: str, form: str) -> datetime:
    if form in ("epoch_s", "epoch_ms"):
        return datetime.fromtimestamp(float(text) / (1_000 if form == "epoch_ms" else 1), UTC)
    if form == "iso":
        if not _ISO.match(text):
            raise ValueError(text)
        return datetime.fromisoformat(text)
    return datetime.strptime(text, form)  # noqa: DTZ007 - the zone is China's where the form has none


def written(at: Point, form: str, like: str) -> str:
    """A point as the API would write it; ``like`` is a value of its own. Never later than the point."""
    if isinstance(at, int):
        return str(at)
    if form in ("epoch_s", "epoch_ms"):
        return str(int(at.timestamp() * (1_000 if form == "epoch_ms" else 1)))
    example = _moment(like.strip(), form)
    local = at.astimezone(example.tzinfo or CHINA)
    return local.strftime(form) if form != "iso" else _iso(local, example, like.strip())


def _iso(local: datetime, example: datetime, like: str) -> str:
    if len(like) == 10:
        return local.date().isoformat()
    digits = re.search(r"[.,](\d+)", like)
    fraction = "seconds" if digits is None else "milliseconds" if len(digits[1]) <= 3 else "microseconds"
    text = local.replace(tzinfo=example.tzinfo).isoformat(sep=like[10], timespec=fraction)
    if like.endswith("Z"):
        return text.replace("+00:00", "Z")
    return re.sub(r"([+-]\d\d):(\d\d)$", r"\1\2", text) if re.search(r"[+-]\d{4}$", like) else text


def reaching_back(top: str, form: str, *, by_s: float, clock: datetime) -> Point | None:
    """From where the next look must ask, given the highest cursor value, how far it must reach back, and the API's clock.

    A number is asked for again, as some APIs mean "later than" and others "not before".
    """
    at = point(top, form)
    if at is None or isinstance(at, int):
        return at - 1 if at is not None else None
    return min(at, clock) - timedelta(seconds=by_s)
