"""Administrative divisions (行政区划, GB/T 2260 and its 12-digit extension) of Shandong, from the province to the community.

    3 7   0 1   0 2    0 0 1   0 0 1
    prov. city  county street  community        a code of 6 or 9 digits stands for its county or street

Data: the statistics bureau's list of 2023-06-30 down to the community (``data/divisions.csv.gz``), and the codes of
counties and prefectures retired since 1981 with their successors (``data/divisions_old.csv``). Both are read at the first
question and held in memory (64,000 rows, 0.1 s).
"""

from __future__ import annotations

import csv
import gzip
import re
from collections.abc import Iterator
from datetime import date
from functools import cache, lru_cache
from importlib.resources import files
from io import StringIO
from typing import Literal, NamedTuple, cast

from contracts.reasons import Mend, Reason
from contracts.texts import EDGES, Parsed, Refused, clean, last, says_nothing, shape, without_point_zero

Level = Literal["province", "city", "county", "street", "community"]
LEVELS: tuple[Level, ...] = ("province", "city", "county", "street", "community")

_CODE = re.compile(r"\d{6}(?:\d{3}(?:\d{3})?)?", re.ASCII)
_INNER = re.compile(f"[{EDGES}]+")
_HYPHENS = re.compile("[-‐‑‒–—―−]")
_SAME_PLACE = {"recoded", "renamed", "parent_renamed"}  # one old area is one new area; a merger is not
_COMMITTEE = re.compile("(?:居民委员会|村民委员会|居委会|村委会)$")
_KIND = re.compile("(?:社区|村)$")


class Division(NamedTuple):
    """One division in force; ``parent`` is the code of the one above, empty for the province."""

    code: str
    name: str
    level: Level
    parent: str


class Retired(NamedTuple):
    """A code that is no longer given out.

    ``until``: the day on which it ended, as far as known (the end of the year, where only the year is). ``successor``:
    the code of the same place today; None where it was split or merged, so that the code alone can't say.
    """

    code: str
    name: str
    level: Level
    until: date
    successor: str | None


@cache
def _table() -> dict[str, Division]:
    """Code -> division, in the order of the list: every parent before its children."""
    text = gzip.decompress((files("contracts.data") / "divisions.csv.gz").read_bytes()).decode()
    rows = csv.reader(StringIO(text))
    next(rows)
    return {row[0]: Division(row[0], row[1], cast("Level", row[2]), row[3]) for row in rows}


@cache
def _retired() -> dict[str, Retired]:
    """Code -> what became of it. Of several episodes of one code, the latest ends it and gives the name."""
    text = (files("contracts.data") / "divisions_old.csv").read_text(encoding="utf-8")
    episodes: dict[str, list[dict[str, str]]] = {}
    for row in csv.DictReader(StringIO(text)):
        if row["old_code_still_valid"] != "1":
            episodes.setdefault(row["old_code"], []).append(row)
    return {code: _retirement(code, rows) for code, rows in episodes.items()}


def _retirement(code: str, rows: list[dict[str, str]]) -> Retired:
    def end(row: dict[str, str]) -> date:
        return date.fromisoformat(row["effective_date"] or row["year"] + "-12-31")

    newest = max(rows, key=end)
    moves = [row for row in rows if row["change_type"] != "territory_transfer"]  # a part that went elsewhere
    today = {now for row in moves for now in row["current_codes"].split(";") if now}
    same = {row["change_type"] for row in moves} <= _SAME_PLACE and len(today) == 1
    return Retired(
        code, newest["old_name"], cast("Level", newest["old_level"]), end(newest), min(today) if same else None
    )


@lru_cache(maxsize=131_072)
def _known(code: str) -> Division | Retired | None:
    return _table().get(code) or _retired().get(code)


def division_code(raw: object, *, on: date | None = None) -> Parsed[str]:
    """The 12-digit code; one of 6 or 9 digits is filled up with zeros, which is no mend.

    A retired code that is today's place under another code is translated (Mend.DIVISION_SUCCESSOR), unless ``on``, the
    day of which the record speaks, lies before the change. One that was split or merged stays as it is. Any other code
    raises Refused with DIVISION_CODE: other provinces, and streets and communities of retired counties, which no list
    that we have holds.
    """
    if isinstance(raw, str) and raw in _table():
        return raw, None
    text, mend = clean(raw)
    if says_nothing(text) or not text.strip("0"):
        return None, None
    if (whole := without_point_zero(text)) != text:
        text, mend = whole, last(mend, Mend.NUMBER_FORM)
    if (bare := _INNER.sub("", text)) != text:
        text, mend = bare, last(mend, Mend.SPACES)
    if not text.startswith("-") and (bare := _HYPHENS.sub("", text)) != text:
        text, mend = bare, last(mend, Mend.SEPARATORS)
    if not _CODE.fullmatch(text):
        raise Refused(Reason.DIVISION_CODE, shape(text))
    known = _known(text.ljust(12, "0"))
    if known is None:
        raise Refused(Reason.DIVISION_CODE, "in no list")
    if isinstance(known, Retired) and known.successor and (on is None or on >= known.until):
        return known.successor, last(mend, Mend.DIVISION_SUCCESSOR)
    return known.code, mend


def division(code: str) -> Division | None:
    """The division of a 12-digit code in force."""
    return _table().get(code)


def retired(code: str) -> Retired | None:
    """What became of a 12-digit code that is no longer in force."""
    return _retired().get(code)


def name_of(code: str) -> str | None:
    """The name, in force or the last it had; None for a code in no list."""
    known = _known(code)
    return known.name if known else None


@cache
def _by_name() -> dict[str, list[Division]]:
    """Full name, name without 居民委员会 and the like, and name without 社区 or 村 as well -> divisions."""
    found: dict[str, list[Division]] = {}
    for each in _table().values():
        for key in {each.name, _COMMITTEE.sub("", each.name), _short(each.name)}:
            found.setdefault(key, []).append(each)
    return found


def _short(name: str) -> str:
    return _KIND.sub("", _COMMITTEE.sub("", name)) or name


def find(name: str, *, within: str = "370000000000", level: Level | None = None) -> list[Division]:
    """The divisions of this name at or below ``within`` (6, 9 or 12 digits): none, one, or several that share it.

    Exact names come alone where there are any; else 居委会, 村民委员会, 社区 and 村 behind a name make no difference.
    """
    wanted = _INNER.sub("", clean(name)[0])
    around = within.ljust(12, "0")
    for form in (wanted, _COMMITTEE.sub("", wanted), _short(wanted)):
        here = [
            each
            for each in _by_name().get(form, [])
            if (level is None or each.level == level) and around in _line(each)
        ]
        if here:
            return [each for each in here if each.name == wanted] or here
    return []


def _line(of: Division) -> Iterator[str]:
    """The codes from a division up to the province."""
    at: Division | None = of
    while at is not None:
        yield at.code
        at = _table().get(at.parent)
