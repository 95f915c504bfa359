"""How a column becomes a canonical field: the part of a FieldMap that its values call for - codes, form, unit - and what
speaks against it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import date
from statistics import median
from typing import Any, NamedTuple

from contracts import codesets, texts
from contracts.column_names import unit_in
from contracts.fields import FIELDS, CanonicalField
from contracts.texts import Refused, clean
from onewindow.onboarding.columns import Column
from onewindow.onboarding.values import date_form

_UNKNOWN_SHARE = 0.2
_MOST_CODES = 80
_SHOWN = 6
_LARGE_FEN = 20_000  # 200 元: what a benefit a month hardly falls below, and hardly an amount in 元 reaches
_FRACTION = re.compile(r"\.\d\d?$|元|圆")
_FRACTIONAL = ("DECIMAL", "NUMERIC", "REAL", "FLOAT", "DOUBLE", "MONEY")
_OWN_SETS = ("benefit_state", "benefit_kind", "care_level")
_NATIONAL = ("ethnic_group", "disability_category", "disability_level", "kinship")
"""Sets whose codes are the same in every department, and are read by code and by name."""


class Way(NamedTuple):
    """``how``: what stands beside ``column`` in the mapping. ``at_most``: how sure that can be. ``notes``: why.
    ``against``: why the column can't be taken as this field, None where it can."""

    how: dict[str, Any]
    at_most: float = 1.0
    notes: tuple[str, ...] = ()
    against: str | None = None


def way(field: str, column: Column, hinted: Mapping[str, Any], today: date, *, inverted: bool = False) -> Way:
    """How this column becomes this field. ``hinted``: what its values already told; ``inverted``: yes there is no here."""
    about = FIELDS[field]
    if about.kind == "code":
        return _coded(about, column, hinted.get("codes"))
    if about.kind == "flag":
        return _flag(column, inverted=inverted)
    if about.kind == "day":
        form = hinted["date"] if "date" in hinted else date_form(column, today)[0]
        return Way({"date": form} if form and form != "%Y-%m-%d" else {})
    if about.kind == "money":
        return _money(column)
    return Way({"form": hinted["form"]} if "form" in hinted else {})


def _coded(about: CanonicalField, column: Column, told: Mapping[str, str] | None) -> Way:
    name = about.codeset or about.name
    if len(column.counted) > _MOST_CODES:
        return Way({}, against=f"{len(column.counted)} different values are too many for a code")
    table, unknown = dict(told or {}), []
    for text in sorted(column.counted):
        if text in table:
            continue
        try:
            found, _ = codesets.coded(text, None, name)
        except Refused:
            unknown.append(text)
        else:
            if found is not None:
                table[text] = str(found)
    lost = sum(column.counted[text] for text in unknown)
    if unknown and (not table or lost > _UNKNOWN_SHARE * len(column.texts)):
        return Way({}, against=f"its codes are not known here ({_some(column, unknown)}): declare them in codes")
    notes = [f"refused until it stands in codes: {_some(column, unknown)}"] if unknown else []
    if name in _OWN_SETS and any(text.isascii() for text in table):
        notes.append("compare these codes with the department's own table")
        return Way({"codes": table}, 0.6, tuple(notes))
    if name in _NATIONAL:  # read without a table
        return Way({}, 0.7 if unknown else 1.0, tuple(notes))
    return Way({"codes": table}, 0.7 if unknown else 1.0, tuple(notes))


def _some(column: Column, values: list[str]) -> str:
    """Codes with how often they come up; what is longer than a code stays unsaid."""
    return ", ".join(f"{value if len(value) <= 12 else texts.shape(value)} ({column.counted[value]:,} rows)"
                     for value in values[:_SHOWN])  # fmt: skip


def _flag(column: Column, *, inverted: bool) -> Way:
    table, unknown = {}, []
    for text in sorted(column.counted):
        try:
            found, _ = texts.flag(text)
        except Refused:
            unknown.append(text)
        else:
            if found is not None:
                table[text] = found is not inverted
    if unknown or not table:
        return Way({}, against=f"which of its values means yes is not known ({_some(column, unknown)}): declare codes")
    if inverted:
        return Way(
            {"codes": table}, 0.65, ("it tells who is dead, so yes and no are turned round; see that this is right",)
        )
    return Way({"codes": table})


def _money(column: Column) -> Way:
    written = [clean(value)[0] for _, value in column.filled]
    zeros = sum(not text.strip("0.") for text in written)
    notes = [f"{zeros:,} rows hold 0, each of which would be a benefit of 0 元"] if zeros else []
    at_most = 0.7 if zeros else 1.0
    if unit := unit_in(column.name):
        return Way({"unit": unit}, at_most, (f"its name says {'元' if unit == 'yuan' else '分'}", *notes))
    if any(_FRACTION.search(text) for text in written):
        return Way({"unit": "yuan"}, min(0.9, at_most), ("written with a fraction, so it is 元", *notes))
    if any(word in column.kind.upper() for word in _FRACTIONAL):
        return Way(
            {"unit": "yuan"}, min(0.75, at_most), (f"its type {column.kind} has a fraction, so it is 元", *notes)
        )
    numbers = [int(digits) for text in column.texts
               if (digits := text.replace(",", "")).isascii() and digits.isdigit() and int(digits)]  # fmt: skip
    if not numbers:
        return Way({"unit": "yuan"}, 0.55, ("元 or 分? No amount tells", *notes))
    middle = median(numbers)
    unit, said = ("fen", "分") if middle >= _LARGE_FEN else ("yuan", "元")
    return Way({"unit": unit}, 0.6, (f"元 or 分? Whole numbers of about {middle:,.0f} are taken for {said}", *notes))
