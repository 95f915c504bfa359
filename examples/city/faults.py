"""What goes wrong with records in real systems, done to about 3 % of them on purpose, and what should come of it.

A fault changes the row, and says what it should mean now: the same as before (it must be mended), less (a value is
gone), another value (a retired code has a successor), or nothing (``reason``: it must be refused, for that reason).
"""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import date
from typing import Any

from contracts.reasons import Reason
from examples.city.people import full_number
from examples.city.records import (
    CARD,
    DATASETS,
    DUMPED,
    ELDER,
    GRID,
    INSURED,
    LOW_INCOME,
    PENSION,
    REGISTERED,
    RELATIONS,
    Record,
    household_number,
)

SHARE = 0.03
_LIMIT, _DOT_LIMIT = int(SHARE * 2**32), int(0.15 * 2**32)
_FULL_WIDTH = {code: code + 0xFEE0 for code in range(0x30, 0x5B)}
ID = {
    INSURED: "aac002", PENSION: "aac002", ELDER: "身份证号", REGISTERED: "gmsfhm", LOW_INCOME: "gmsfhm", CARD: "cjzh",
    GRID: "公民身份号码",
}  # fmt: skip
"""The column of the ID number; a card's number begins with it."""
_IN_SHEETS = {dataset: column for dataset, column in ID.items() if dataset != CARD}
_BIRTH = {INSURED: "aac006", ELDER: "出生日期", REGISTERED: "csrq"}
_NAME = {INSURED: "aac003", ELDER: "姓名", REGISTERED: "xm", CARD: "xm", GRID: "姓名"}
_SEX = {INSURED: "aac004", ELDER: "性别", REGISTERED: "xb", CARD: "xb"}
_SEX_CODED = {INSURED: "aac004", REGISTERED: "xb", CARD: "xb"}
_COMMUNITY = {INSURED: "aab301", REGISTERED: "sqdm", CARD: "sqdm", GRID: "社区代码"}
_MARITAL = {REGISTERED: "hyzk"}
_PHONE = {INSURED: "aae005", ELDER: "联系电话", CARD: "lxdh", GRID: "联系电话"}
_RELATION, _HOUSEHOLD = {GRID: "与户主关系"}, {GRID: "户号"}
_CODES = {name: code for code, name in RELATIONS.items()}
_AMOUNT = {ELDER: "高龄津贴金额"}
_MALE = ("1", "男")
_DAY_FORMS = {INSURED: "%Y%m%d", REGISTERED: "%Y-%m-%d"}
_MARITAL_NAMES = {
    "10": "未婚", "20": "已婚", "21": "初婚", "22": "再婚", "23": "复婚", "30": "丧偶", "40": "离异", "90": "未说明",
}  # fmt: skip
_CATEGORY_NAMES = ("视力", "听力", "言语", "肢体", "智力", "精神", "多重")
_LEVEL_NAMES = ("一级", "二级", "三级", "四级")
_OFTEN = {  # faults that fit few records are given to more of those, so that a small city has them too
    ELDER: ("amount_dress", "amount_words") * 6,
    LOW_INCOME: ("month_impossible",) * 6,
    CARD: ("category_name", "level_name", "category_conflict", "level_conflict", "category_unknown", "card_digit") * 3,
    GRID: ("relation_missing", "relation_code", "relation_unknown", "household_missing", "household_twice", "row_twice"),
}  # fmt: skip

Change = Callable[[Any, Record, random.Random], str | None]


@dataclass(frozen=True)
class Fault:
    """``columns``: where it happens, by dataset. ``change`` gives the new raw value, None where it does not fit a record.

    ``loses``: the field that the record no longer says; ``becomes``: fields that it says otherwise than meant;
    ``says``: the field whose value is then the raw one; ``copies``: how often the row then stands in a dump.
    """

    name: str
    columns: Mapping[str, str]
    change: Change
    reason: Reason | None = None
    loses: str | None = None
    becomes: Mapping[str, Any] = field(default_factory=dict)
    says: str | None = None
    copies: int = 1


def _birth(record: Record) -> date:
    return date.fromisoformat(record.fields["birth_on"])


def _as(record: Record, day: date) -> str:
    """A day in the form that this dataset uses."""
    return f"{day.year}/{day.month}/{day.day}" if record.dataset == ELDER else f"{day:{_DAY_FORMS[record.dataset]}}"


def _other_form(_: str, record: Record, rng: random.Random) -> str:
    day = _birth(record)
    forms = [f"{day.year}年{day.month}月{day.day}日", f"{day.year}.{day.month}.{day.day}"]
    forms.append(f"{day.year}/{day.month}/{day.day}" if record.dataset == REGISTERED else f"{day:%Y-%m-%d}")
    return rng.choice([*forms, f"{day:%Y%m%d}" if record.dataset == ELDER else f"{day:%Y%m%d}000000"])


def _other_year(_: str, record: Record, rng: random.Random) -> str:
    day = _birth(record)
    return _as(record, day.replace(year=day.year - rng.choice((1, 10)), day=min(day.day, 28)))


def _wrong_check(raw: str, _: Record, rng: random.Random) -> str:
    return raw[:17] + rng.choice([digit for digit in "0123456789X" if digit != raw[17]])


def _rounded(raw: str, *_: object) -> str | None:
    rounded = raw[:15] + "000"
    # one in eleven passes the check by chance: it would be another resident's
    return None if full_number(rounded[:17]) == rounded else rounded


def _old_number(raw: str, *_: object) -> str | None:
    return raw[:6] + raw[8:17] if raw[6:8] == "19" else None


def _neighbours(_: str, record: Record, rng: random.Random) -> str:
    """The number of another household. In the dump her row stands under her own number too, above this one."""
    return household_number(record.person + 12 * rng.randint(1, 9))


def _dot(raw: str, record: Record, rng: random.Random) -> str | None:
    return raw.replace("·", rng.choice("．." if record.dataset == ELDER else "•.・‧")) if "·" in raw else None


def _amount(raw: str, _: Record, rng: random.Random) -> str | None:
    return rng.choice([f"￥{float(raw):,.2f}", f"{float(raw):,.2f}元", f" {float(raw):,.0f} 元"]) if raw else None


def _in_id(change: Change) -> Change:
    """A fault of an ID number, which may be the beginning of a card's number."""

    def changed(raw: str, record: Record, rng: random.Random) -> str | None:
        number = change(raw[:18], record, rng)
        return number + raw[18:] if number else number

    return changed


def _other(raw: str, digits: str, rng: random.Random) -> str:
    return rng.choice([digit for digit in digits if digit != raw])


FAULTS: tuple[Fault, ...] = (
    # mended: the record means what it meant
    Fault("id_lowercase_x", ID, _in_id(lambda raw, *_: raw[:17] + "x" if raw.endswith("X") else None)),
    Fault("id_full_width", ID, _in_id(lambda raw, *_: raw.translate(_FULL_WIDTH))),
    Fault("id_inner_spaces", ID, _in_id(lambda raw, *_: f"{raw[:6]} {raw[6:14]} {raw[14:]}")),
    Fault("id_leading_space", ID, _in_id(lambda raw, *_: "　" + raw)),
    Fault("id_quote_prefix", ID, _in_id(lambda raw, *_: "'" + raw)),
    Fault("id_15_digit", ID, _in_id(_old_number)),
    Fault("birth_other_form", _BIRTH, _other_form),
    Fault("birth_serial", _BIRTH, lambda _, r, __: str((_birth(r) - date(1899, 12, 30)).days)),
    Fault("sex_name", _SEX_CODED, lambda raw, *_: "男" if raw in _MALE else "女"),
    Fault("sex_other_code", _SEX, lambda raw, *_: "30005" if raw in _MALE else "30006"),
    Fault("sex_letter", _SEX, lambda raw, *_: "M" if raw in _MALE else "F"),
    Fault("name_dot", _NAME, _dot),
    Fault("name_spaces", _NAME, lambda raw, _, rng: f"{rng.choice((' ', ''))}{raw[0]}{rng.choice(' 　')}{raw[1:]}"),
    Fault("phone_dashes", _PHONE, lambda raw, *_: f"{raw[:3]}-{raw[3:7]}-{raw[7:]}"),
    Fault("amount_dress", _AMOUNT, _amount),
    Fault("marital_name", _MARITAL, lambda raw, *_: _MARITAL_NAMES[raw]),
    Fault("death_zero", {REGISTERED: "swrq"}, lambda raw, *_: "00000000" if raw is None else None),
    Fault(
        "category_name", {CARD: "cjlb"}, lambda raw, _, rng: _CATEGORY_NAMES[int(raw) - 1] + rng.choice(("", "残疾"))
    ),
    Fault("level_name", {CARD: "cjdj"}, lambda raw, *_: _LEVEL_NAMES[int(raw) - 1]),
    Fault("relation_code", _RELATION, lambda raw, *_: _CODES[raw]),
    Fault("row_twice", {ELDER: "档案编号", GRID: "登记编号"}, lambda raw, *_: raw, copies=2),
    # accepted, with less or other than was meant
    Fault("id_missing", ID, lambda *_: "", loses="id_number"),
    Fault("relation_missing", _RELATION, lambda *_: "", loses="household_relation"),  # also of heads
    Fault("household_missing", _HOUSEHOLD, lambda *_: "", loses="household_number"),
    Fault("household_twice", _HOUSEHOLD, _neighbours, says="household_number", copies=2),
    Fault("birth_zero", _BIRTH, lambda *_: "00000000", loses="birth_on"),
    Fault(
        "community_retired",  # 莱城区, part of Jinan since 2019 under a new code
        _COMMUNITY,
        lambda *_: "371202000000",
        becomes={"community_code": "370116000000"},
    ),
    # refused
    Fault("id_scientific", _IN_SHEETS, lambda raw, *_: f"{int(raw[:17]) * 10:.14E}", Reason.ID_SCIENTIFIC_NOTATION),
    Fault("id_rounded", _IN_SHEETS, _rounded, Reason.ID_PRECISION_LOSS),
    Fault("id_check_digit", ID, _in_id(_wrong_check), Reason.ID_CHECK_DIGIT),
    Fault("id_masked", ID, _in_id(lambda raw, *_: raw[:6] + "********" + raw[14:]), Reason.ID_MASKED),
    Fault("id_letter", ID, _in_id(lambda raw, *_: raw[:10] + "O" + raw[11:]), Reason.ID_CHARACTER),
    Fault("id_short", ID, _in_id(lambda raw, *_: raw[:16]), Reason.ID_LENGTH),
    Fault(
        "birth_impossible",
        _BIRTH,
        lambda _, r, __: "1950/2/30" if r.dataset == ELDER else "1950-02-30" if r.dataset == REGISTERED else "19500230",
        Reason.DATE_IMPOSSIBLE,
    ),
    Fault("birth_conflict", _BIRTH, _other_year, Reason.FIELD_CONFLICT),
    Fault("sex_unknown", _SEX, lambda *_: "3", Reason.CODE_UNKNOWN),
    Fault("sex_conflict", _SEX_CODED, lambda raw, *_: "2" if raw == "1" else "1", Reason.FIELD_CONFLICT),
    Fault("name_blank", _NAME, lambda *_: "", Reason.FIELD_MISSING),
    Fault("name_broken", _NAME, lambda raw, *_: "?" * len(raw), Reason.NAME_UNREADABLE),
    Fault("marital_unknown", _MARITAL, lambda *_: "5", Reason.CODE_UNKNOWN),
    Fault("month_impossible", {LOW_INCOME: "qsny"}, lambda raw, *_: raw[:5] + "13", Reason.DATE_IMPOSSIBLE),
    Fault("community_unknown", _COMMUNITY, lambda *_: "370102999999", Reason.DIVISION_CODE),
    Fault("phone_words", {ELDER: "联系电话"}, lambda *_: "见附表", Reason.PHONE_UNREADABLE),
    Fault("amount_words", _AMOUNT, lambda raw, *_: "二百元" if raw else None, Reason.MONEY_UNREADABLE),
    Fault("relation_unknown", _RELATION, lambda *_: "寄住", Reason.CODE_UNKNOWN),
    Fault("care_unknown", {ELDER: "护理等级"}, lambda *_: "9级", Reason.CODE_UNKNOWN),
    Fault("category_conflict", {CARD: "cjlb"}, lambda raw, _, rng: _other(raw, "1234567", rng), Reason.FIELD_CONFLICT),
    Fault("level_conflict", {CARD: "cjdj"}, lambda raw, _, rng: _other(raw, "1234", rng), Reason.FIELD_CONFLICT),
    Fault("category_unknown", {CARD: "cjlb"}, lambda *_: "9", Reason.CODE_UNKNOWN),
    Fault("category_blank", {CARD: "cjlb"}, lambda *_: "", Reason.FIELD_MISSING),
    Fault("card_digit", {CARD: "cjzh"}, lambda raw, *_: f"{raw[:18]}0{raw[19:]}", Reason.CODE_UNKNOWN),
)
BY_NAME = {fault.name: fault for fault in FAULTS}
_BY_DATASET = {name: [f for f in FAULTS if name in f.columns] for name in DATASETS}


def maybe_broken(record: Record, dice: int) -> Record:
    """The record, with a fault when the dice (a number below 2**32) falls among the lowest 3 of 100."""
    if dice >= _LIMIT:
        if dice < _DOT_LIMIT and "·" in record.fields.get("name", ""):
            return broken_by(BY_NAME["name_dot"], record, random.Random(dice)) or record  # noqa: S311
        return record
    rng = random.Random(dice)  # noqa: S311 - synthetic faults need repetition, not secrecy
    fitting = list(_BY_DATASET[record.dataset])
    if "benefit_kind" in record.fields or record.dataset in (CARD, GRID):
        fitting += [BY_NAME[name] for name in _OFTEN.get(record.dataset, ())]
    if record.fields["id_number"].endswith("X"):
        fitting += [BY_NAME["id_lowercase_x"]] * 6
    while fitting:
        broken = broken_by(fitting.pop(rng.randrange(len(fitting))), record, rng)
        if broken is not None:
            return broken
    return record


def broken_by(fault: Fault, record: Record, rng: random.Random) -> Record | None:
    """The record with this fault, or None where it does not fit."""
    column = fault.columns[record.dataset]
    old = record.row[column]
    raw = fault.change(old, record, rng)
    if raw is None or (raw == old and fault.copies == 1):
        return None
    fields: dict[str, Any] = {} if fault.reason else {**record.fields, **fault.becomes}
    if fault.says:
        fields[fault.says] = raw
    if fault.loses:
        fields.pop(fault.loses, None)
    # a database holds NULL where a file has an empty column
    value = None if raw == "" and record.dataset not in DUMPED else raw
    return record._replace(
        row={**record.row, column: value},
        fields=fields,
        fault=fault.name,
        reason=fault.reason.value if fault.reason else None,
        copies=fault.copies,
    )
