"""What names a record, and what orders its changes: judged by a sample, and by the primary key where a database has one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import combinations, pairwise
from typing import NamedTuple

from contracts import dates
from contracts.column_names import name_hint
from contracts.texts import clean
from onewindow.onboarding.columns import Column
from onewindow.onboarding.values import tried

_NO_KEY = {"name", "sex", "birth_on", "ethnic_group", "phone", "address", "benefit_amount_fen", "alive", "care_level"}
_NO_KEY_BY_NAME = {
    "updated",
    "remark",
    "age",
    "health",
    "income",
    "photo",
    "biometric",
    "whereabouts",
    "community_name",
}
_ENOUGH_ROWS = 20
_ENOUGH_FOR_PAIRS = 10
_LONGEST = 64
_PAIRED = 12  # columns that are tried in pairs


class Named(NamedTuple):
    """The columns of a key, or the column of a cursor, with how sure that is of 1, and why."""

    columns: tuple[str, ...]
    confidence: float
    reason: str


def key_of(columns: Sequence[Column], primary: Sequence[str], placed: Mapping[str, str]) -> Named | None:
    """The key: the primary key, else a column, else two, that are never empty and never the same in the sample.

    ``placed``: column -> canonical field; what is a person's is no key, but for the ID number where nothing else is.
    """
    rows = max((len(column.values) for column in columns), default=0)
    if primary:
        return Named(tuple(primary), 0.98, "the table's primary key")
    able = [column for column in columns if _able(column, placed)]
    few = 0.0 if rows >= _ENOUGH_ROWS else 0.25
    said = f"unique and never empty in {rows:,} rows that were looked at"
    single = [column for column in able if column.unique]
    steady = [column for column in single if not _counts_rows(column)]
    if steady:
        best = max(steady, key=lambda column: _rank(column, placed))
        if placed.get(best.name) == "id_number":
            return Named((best.name,), 0.55, f"{said}; but a corrected ID number would be another record")
        return Named((best.name,), (0.9 if _rank(best, placed) >= 2 else 0.7) - few, said)
    if single:
        return Named((single[0].name,), 0.3, "it only counts the rows: when one goes, the others get other numbers")
    pairs = sorted(able, key=lambda column: (-_rank(column, placed), -len(column.counted)))[:_PAIRED]
    for one, two in combinations(pairs, 2):
        if rows >= _ENOUGH_FOR_PAIRS and len(set(zip(one.texts, two.texts, strict=True))) == rows:
            return Named((one.name, two.name), 0.5, f"together {said}; ask the department whether that is always so")
    return None


def _able(column: Column, placed: Mapping[str, str]) -> bool:
    hint = name_hint(column.name)
    return (
        column.always_filled
        and placed.get(column.name) not in _NO_KEY
        and (hint is None or hint.means not in _NO_KEY_BY_NAME | _NO_KEY)
        and max(map(len, column.texts)) <= _LONGEST
        and not any(value is True or isinstance(value, float) for value in column.values)
    )


def _counts_rows(column: Column) -> bool:
    """Whether a column, called a sequence, says nothing but where a row stands."""
    hint = name_hint(column.name)
    if hint is None or hint.means != "version" or not column.texts[0].isdecimal():
        return False
    first = int(column.texts[0])
    return column.texts == [str(number) for number in range(first, first + len(column.texts))]


def _rank(column: Column, placed: Mapping[str, str]) -> int:
    """How much a column looks like a key: called so, then unnamed, then an ID number."""
    hint = name_hint(column.name)
    if placed.get(column.name) == "id_number":
        return 0
    return 2 if hint is not None and hint.means in ("key", "version") else 1


def cursor_of(columns: Sequence[Column]) -> Named | None:
    """The column that may rise with each change: an update time, a version, a point in time; the one that is surest.

    What shows new rows alone, a growing key or the time a row was made, is none: changes of old rows would be missed.
    """
    found = [candidate for column in columns if (candidate := _cursor(column)) is not None]
    return max(found, key=lambda candidate: candidate.confidence, default=None)


def _cursor(column: Column) -> Named | None:
    hint = name_hint(column.name)
    means = hint.means if hint is not None else ""
    if not column.always_filled:
        return None
    numbers = all(isinstance(value, int) and not isinstance(value, bool) for value in column.values)
    if numbers:
        if means == "version" and column.unique:
            return Named((column.name,), 0.6, "a growing number, by its name; see that it rises at every change")
        return None
    timed = any(word in column.kind.upper() for word in ("TIME", "DATE"))
    if not _rises_as_written(column, timed=timed):
        return None
    late = "" if timed else "; it is kept as text, so a transaction that commits late is missed"
    if means == "updated":
        return Named((column.name,), 0.92 if timed else 0.75, f"the update time, by its name; never empty{late}")
    if timed and means == "" and len(column.counted) > len(column.values) / 2:
        return Named((column.name,), 0.4, f"a point in time; see that it is set at every change{late}")
    return None


def _rises_as_written(column: Column, *, timed: bool) -> bool:
    """Whether the values are points in time; those kept as text must be ordered as text as they are in time."""
    read = tried(column, dates.instant)
    if read.share < 1.0 or len(read.good) < len(column.values):
        return False
    if timed:
        return True
    written = sorted((clean(column.values[row])[0], at) for row, at in read.good.items())
    return all(earlier[1] <= later[1] for earlier, later in pairwise(written))
