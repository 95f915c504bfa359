"""Administrative divisions (行政区划) of Shandong: province, city, county, street, community; 12-digit codes.

Data: the statistics bureau's list of 2023 down to the community, and the county-level codes retired since 1981 with
their successors (``data/divisions*.csv``). A code of 6 or 9 digits stands for its county or street.
"""

from __future__ import annotations

import csv
import gzip
import re
from functools import cache, lru_cache
from importlib.resources import files
from io import StringIO
from typing import NamedTuple

from contracts.reasons import Mend, Reason
from contracts.texts import Parsed, Refused, clean, is_blank, shape

_DATA = files("contracts") / "data"
_TRANSLATED = {"recoded", "renamed", "parent_renamed", "merged", "prefecture_replaced"}


class Division(NamedTuple):
    """One division; ``level`` is province, city, county, street or community."""

    code: str
    name: str
    level: str
    parent: str


@cache
def _table() -> dict[str, Division]:
    text = gzip.decompress((_DATA / "divisions.csv.gz").read_bytes()).decode()
    rows = csv.reader(StringIO(text))
    next(rows)
    return {row[0]: Division(row[0], row[1], row[2], row[3]) for row in rows}


@cache
def _retired() -> dict[str, str | None]:
    """Retired six-digit code -> its one successor in force, or None where there are several."""
    with (_DATA / "divisions_old.csv").open(encoding="utf-8") as file:
        rows = [row for row in csv.DictReader(file) if row["old_code_still_valid"] != "1"]
    successors: dict[str, set[str]] = {}
    for row in rows:
        successors.setdefault(row["old_code"][:6], set()).update(filter(None, row["current_codes"].split(";")))
    return {code: next(iter(known))[:6] if len(known) == 1 else None for code, known in successors.items()}


@lru_cache(maxsize=65_536)
def _known(code: str) -> tuple[str, bool] | None:
    """(code in force, whether it was translated); None for a code that never was."""
    if code in _table():
        return code, False
    if code[6:] == "000000" and code[:6] in _retired():
        successor = _retired()[code[:6]]
        return (successor + "000000", True) if successor else (code, False)
    return None


def division_code(raw: object) -> Parsed:
    """The 12-digit code. A retired county code with one successor is translated, with several it stays."""
    text, mend = clean(raw)
    if is_blank(text):
        return None, None
    if not re.fullmatch(r"\d{6}|\d{9}|\d{12}", text, re.ASCII):
        raise Refused(Reason.DIVISION_CODE, shape(text))
    known = _known(text.ljust(12, "0"))
    if known is None:
        raise Refused(Reason.DIVISION_CODE, "in no list")
    return known[0], (Mend.DIVISION_SUCCESSOR if known[1] else mend)


def division(code: str) -> Division | None:
    """The division of a 12-digit code in force."""
    return _table().get(code)


def path_of(code: str) -> list[str]:
    """The names from the province down to this division."""
    names: list[str] = []
    at = _table().get(code)
    while at is not None:
        names.insert(0, at.name)
        at = _table().get(at.parent)
    return names
