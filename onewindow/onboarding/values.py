"""What the values of a column say about what it is, whatever it is called: pure functions over a sample.

A recogniser gives a ValueHint, or None where the values say nothing for it. Confidence is of 1, and follows from how often
another column would look the same: 18 digits pass for an ID number in one of several hundred cases, by date and check
character, so that half a column of them is proof; six digits that are a day are not much of one.
"""

from __future__ import annotations

import itertools
import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from datetime import date, datetime
from typing import Any, NamedTuple

from contracts import citizen, codesets, dates, disability_cards, divisions, names, texts
from contracts.reasons import Reason
from contracts.texts import Refused, clean
from onewindow.onboarding.columns import Column

_SURNAMES = frozenset(
    "王李张刘陈杨赵黄周吴徐孙胡朱高林何郭马罗梁宋郑谢韩唐冯于董萧程曹袁邓许傅沈曾彭吕苏卢蒋蔡贾丁魏薛叶阎余潘杜戴夏钟汪田"
    "任姜范方石姚谭廖邹熊金陆郝孔白崔康毛邱秦江史顾侯邵孟龙万段雷钱汤尹黎易常武乔贺赖龚文欧司上诸东尉公皇令淳买艾吐阿"
    "庞樊兰殷施陶洪翟安颜倪严牛温芦季俞章鲁葛伍韦申尤毕聂丛焦向柳邢路岳齐梅莫庄辛管祝左涂谷祁耿牟卜舒"
)
_PLAIN_MOBILE = re.compile(r"1[3-9]\d{9}", re.ASCII)
_ADDRESS = re.compile(r"[省市县区镇乡街路巷村号栋幢楼室户组里弄苑园]|单元|小区")
_FORMS = ("%Y%m%d", "%Y-%m-%d", "%Y/%m/%d", "%Y.%m.%d", "%Y年%m月%d日", "%d/%m/%Y", "%m/%d/%Y", "%d-%m-%Y", "%d.%m.%Y")
_SEX_WORDS = {"男", "女", "男性", "女性"}
_MOST, _HALF = 0.8, 0.5
_PURE = 0.95  # share of rows with one code that must agree before the code is believed
_ROWS_A_CODE = 5
_MOST_CODES = 80
_PROBED = 60  # values, spread over the sample, by which is told whether it is worth while to look at all
_GENERATIONS_DAYS = 365 * 25


class ValueHint(NamedTuple):
    """What values say. ``how``: what of a field's mapping follows from them (``codes``, ``date``)."""

    means: str
    confidence: float
    reason: str
    how: Mapping[str, Any] = {}


class Tried(NamedTuple):
    """A parser tried on a column: its values by row, and why others were refused."""

    good: Mapping[int, Any]
    refused: Counter[Reason]

    @property
    def share(self) -> float:
        """Of all that say something, how much was accepted."""
        tried = len(self.good) + self.refused.total()
        return len(self.good) / tried if tried else 0.0

    @property
    def counts(self) -> str:
        """As a person reads it."""
        return f"{len(self.good):,} of {len(self.good) + self.refused.total():,} values"


def tried(column: Column, parse: Callable[[Any], Any]) -> Tried:
    """Parse each filled value; one that turns out to say nothing counts as neither."""
    good: dict[int, Any] = {}
    refused: Counter[Reason] = Counter()
    for row, value in column.filled:
        try:
            found, _ = parse(value)
        except Refused as error:
            refused[error.reason] += 1
        else:
            if found is not None:
                good[row] = found
    return Tried(good, refused)


def id_numbers(column: Column, today: date) -> Tried:
    """The ID numbers in a column, by row; of one with numbers of disability cards those that they begin with."""
    found = tried(column, lambda raw: citizen.id_number(raw, on=today))
    if found.share < _HALF and found.refused[Reason.ID_LENGTH] >= _HALF * found.refused.total():
        cards = _cards(column, today)
        return cards if cards.share >= _HALF else found
    return found


def _cards(column: Column, today: date) -> Tried:
    def number(raw: Any) -> tuple[str | None, Any]:
        card, mend = disability_cards.card_number(raw, on=today)
        return (card.id_number if card is not None else None), mend

    return tried(column, number)


def value_hints(column: Column, today: date) -> list[ValueHint]:
    """All that the values could be, the likeliest first."""
    if not column.filled:
        return []
    found = [hint for hint in (each(column, today) for each in _RECOGNISERS) if hint is not None]
    return sorted(found, key=lambda hint: -hint.confidence)


def _id_number(column: Column, today: date) -> ValueHint | None:
    found = tried(column, lambda raw: citizen.id_number(raw, on=today))
    said = f"{found.counts} are valid ID numbers (GB 11643)"
    if found.share >= _HALF:
        old = sum(len(clean(column.values[row])[0]) == 15 for row in found.good)
        if old > len(found.good) / 2:  # those have no check character
            return ValueHint("id_number", 0.7, f"{said}, most of them of 15 digits, which nothing proves")
        return ValueHint("id_number", 0.98 if found.share >= _MOST else 0.85, said)
    total = len(found.good) + found.refused.total()
    if found.refused[Reason.ID_MASKED] > total / 2:
        return ValueHint(
            "masked_id", 0.9, "the source masks these ID numbers: they can't be used, and are never guessed"
        )
    spoilt = found.refused[Reason.ID_SCIENTIFIC_NOTATION] + found.refused[Reason.ID_PRECISION_LOSS]
    if spoilt > total / 2:
        return ValueHint("spoilt_id", 0.9, "a spreadsheet cut these ID numbers off: let them be exported as text")
    return None


def _card(column: Column, today: date) -> ValueHint | None:
    """A disability card names its holder, whatever else the record says."""
    found = _cards(column, today)
    if found.share < _HALF:
        return None
    said = f"{found.counts} are numbers of disability cards 残疾人证, which begin with the ID number"
    return ValueHint("id_number", 0.95 if found.share >= _MOST else 0.8, said, {"form": "disability_card"})


def _phone(column: Column, _today: date) -> ValueHint | None:
    found = tried(column, texts.phone)
    mobile = sum(_PLAIN_MOBILE.fullmatch(str(value)) is not None for value in found.good.values())
    if found.share < _MOST or _counts_up(column):
        return None
    if mobile >= _MOST * len(found.good):
        return ValueHint("phone", 0.85, f"{found.counts} are telephone numbers")
    return ValueHint("phone", 0.45, f"{found.counts} could be telephone numbers")


def _counts_up(column: Column) -> bool:
    """Whether each value is but a little higher than the one before, as numbers are that are given out in turn."""
    numbers = [int(text) for text in column.texts if text.isascii() and text.isdigit()]
    steps = [later - earlier for earlier, later in itertools.pairwise(numbers)]
    return len(steps) >= 5 and sum(0 < step <= 1_000 for step in steps) >= _MOST * len(steps)


def _sex(column: Column, _today: date) -> ValueHint | None:
    known = codesets.codeset("sex").forms
    found = {text: known.get(text.lower(), (None, None))[0] for text in column.counted}
    if not {"male", "female"} <= set(found.values()) or None in found.values():
        return None
    words = bool(_SEX_WORDS & set(found))
    said = f"all values are codes of GB/T 2261.1: {', '.join(sorted(found))}"
    return ValueHint("sex", 0.95 if words else 0.45, said, {"codes": found})


def _birth_on(column: Column, today: date) -> ValueHint | None:
    form, share, days = date_form(column, today)
    if share < _MOST or len(days) < 3:
        return None
    span = (max(days.values()) - min(days.values())).days
    if span < _GENERATIONS_DAYS:
        return None
    how = {"date": form} if form else {}
    return ValueHint("birth_on", 0.5, f"days from {min(days.values()).year} to {max(days.values()).year}", how)


def date_form(column: Column, today: date) -> tuple[str | None, float, dict[int, date]]:
    """The form most days have that must be declared for them to be read as they are, the share of values that are then
    read, and the days by row. A form that puts the day before the month counts only where nothing else fits."""
    probe = column.filled[:: max(1, len(column.filled) // _PROBED)]
    forms = [form for form in _FORMS if sum(_exactly(value, form) is not None for _, value in probe) > len(probe) / 2]
    as_it_is = tried(
        Column(column.name, column.kind, [value for _, value in probe]), lambda raw: dates.day(raw, on=today)
    )
    if not forms and as_it_is.share < _HALF:
        return None, as_it_is.share, {}
    read = tried(column, lambda raw: dates.day(raw, on=today))
    best: tuple[str | None, float, dict[int, date]] = (None, read.share, dict(read.good))
    for form in forms:
        found = tried(column, lambda raw, form=form: dates.day(raw, form=form, on=today))  # type: ignore[misc]
        if found.share > best[1] or (found.share == best[1] and best[0] is None):
            best = (form, found.share, dict(found.good))
    return best


def _exactly(value: Any, form: str) -> date | None:
    text = clean(value)[0]
    try:
        return datetime.strptime(text, form).date() if len(text) <= 11 else None  # noqa: DTZ007 - a day alone
    except ValueError:
        return None


def _community(column: Column, _today: date) -> ValueHint | None:
    found = tried(column, divisions.division_code)
    if found.share < _HALF or len(found.good) < 2:
        return None
    levels = Counter(_level(code) for code in found.good.values())
    level, rows = levels.most_common(1)[0]
    if level == "community" and rows >= _HALF * len(found.good):
        return ValueHint("community_code", 0.95, f"{found.counts} are codes of communities (12 digits)")
    return ValueHint("division", 0.6, f"{found.counts} are division codes, but of a {level}, not of a community")


def _level(code: str) -> str:
    known = divisions.division(code)
    return known.level if known else "retired division"


def _ethnic_group(column: Column, _today: date) -> ValueHint | None:
    return _in_words(column, "ethnic_group", "names of ethnic groups (GB/T 3304)")


def _care_level(column: Column, _today: date) -> ValueHint | None:
    return _in_words(column, "care_level", "care levels")


def _in_words(column: Column, field: str, meaning: str) -> ValueHint | None:
    """A code set whose forms are words: bare numbers could be any code."""
    words = any(not text.isascii() for text in column.counted)
    if not words or len(column.counted) > _MOST_CODES:
        return None
    found = tried(column, lambda raw: codesets.coded(raw, None, field))
    return ValueHint(field, 0.9, f"{found.counts} are {meaning}") if found.share >= _MOST else None


def _name(column: Column, _today: date) -> ValueHint | None:
    found = tried(column, names.name)
    people = sum(_could_be_called(value) for value in found.good.values())
    if found.share < 0.9 or people < _MOST * len(found.good) or len(column.counted) < len(column.texts) / 4:
        return None
    return ValueHint("name", 0.75, f"{people:,} of {len(column.texts):,} values look like people's names")


def _could_be_called(value: str) -> bool:
    return ("·" in value and len(value) <= 25) or (2 <= len(value) <= 4 and value[0] in _SURNAMES)


def _address(column: Column, _today: date) -> ValueHint | None:
    marked = sum(len(text) >= 6 and len(_ADDRESS.findall(text)) >= 2 for text in column.texts)
    if marked < 0.6 * len(column.texts) or len(column.counted) < len(column.texts) / 4:
        return None
    return ValueHint("address", 0.75, f"{marked:,} of {len(column.texts):,} values look like addresses")


_RECOGNISERS: tuple[Callable[[Column, date], ValueHint | None], ...] = (
    _id_number, _card, _phone, _sex, _birth_on, _community, _ethnic_group, _care_level, _name, _address,
)  # fmt: skip


def beside_id_numbers(column: Column, numbers: Mapping[int, str], today: date) -> Iterator[ValueHint]:
    """What a column is because it agrees, row by row, with the birth date or the sex inside the ID numbers."""
    form, _, days = date_form(column, today)
    both = [row for row in days if row in numbers]
    agreeing = sum(days[row].strftime("%Y%m%d") == numbers[row][6:14] for row in both)
    if len(both) >= 3 and agreeing >= _MOST * len(both):
        said = f"in {agreeing:,} of {len(both):,} rows it is the birth date inside the ID number"
        yield ValueHint("birth_on", 0.97, said, {"date": form} if form else {})
    table = _sex_table(column, numbers)
    if table:
        said = f"goes with the sex inside the ID number: {', '.join(f'{k} is {v}' for k, v in table.items())}"
        yield ValueHint("sex", 0.97, said, {"codes": table})


def _sex_table(column: Column, numbers: Mapping[int, str]) -> dict[str, str] | None:
    """Code -> sex, where nearly all rows with a code have an ID number of one sex, and both come up."""
    if not 2 <= len(column.counted) <= 6:
        return None
    sexes: dict[str, Counter[str]] = {}
    for (row, _), text in zip(column.filled, column.texts, strict=True):
        if row in numbers:
            sexes.setdefault(text, Counter())[citizen.sex(numbers[row])] += 1
    table = {}
    for code, counted in sorted(sexes.items()):
        sex, rows = counted.most_common(1)[0]
        if counted.total() >= _ROWS_A_CODE and rows >= _PURE * counted.total():
            table[code] = sex
    told = sum(sexes[code].total() for code in table)
    enough = told >= 0.9 * sum(counted.total() for counted in sexes.values())
    return table if enough and set(table.values()) == {"male", "female"} else None
