"""What goes wrong with records in real systems, done to about 3 % of them on purpose, and what should come of it.

A fault changes the row, and says what it should mean now: the same as before (it must be mended), less (a value is
gone), or nothing (``reason``: it must be refused, for that reason).
"""

from __future__ import annotations

import random
from collections.abc import Callable
from datetime import date
from typing import Any, NamedTuple

from examples.city.records import ELDER, INSURED, PENSION, Record

SHARE = 0.03
_FULL_WIDTH = {code: code + 0xFEE0 for code in range(0x30, 0x5B)}
_ID = {INSURED: "aac002", PENSION: "aac002", ELDER: "身份证号"}
_BIRTH = {INSURED: "aac006", ELDER: "出生日期"}
_NAME = {INSURED: "aac003", ELDER: "姓名"}
_SEX = {INSURED: "aac004", ELDER: "性别"}


class Fault(NamedTuple):
    """``change`` gives the new raw value, or None where the fault does not fit this record."""

    name: str
    columns: dict[str, str]
    change: Callable[[str, Record], str | None]
    reason: str | None = None
    loses: str | None = None


def _birth(record: Record) -> date:
    return date.fromisoformat(record.fields["birth_on"])


def _wrong_check(raw: str, _: Record) -> str:
    return raw[:17] + ("1" if raw[17] != "1" else "2")


def _rounded(raw: str, _: Record) -> str | None:
    # about 1 in 11 rounded numbers passes the check digit by chance: those would be somebody else's
    rounded = raw[:15] + "000"
    weights = (7, 9, 10, 5, 8, 4, 2, 1, 6, 3, 7, 9, 10, 5, 8, 4, 2)
    check = "10X98765432"[sum(int(d) * w for d, w in zip(rounded[:17], weights, strict=True)) % 11]
    return None if check == "0" else rounded


def _serial(_: str, record: Record) -> str:
    return str((_birth(record) - date(1899, 12, 30)).days)


def _dot(raw: str, _: Record) -> str | None:
    return raw.replace("·", "•" if len(raw) % 2 else ".") if "·" in raw else None


def _dot_gbk(raw: str, record: Record) -> str | None:
    changed = _dot(raw, record)
    return changed.replace("•", "．") if changed and record.dataset == ELDER else changed


def _old_number(raw: str, _: Record) -> str | None:
    return raw[:6] + raw[8:17] if raw[6:8] == "19" else None


def _amount_dress(raw: str, _: Record) -> str | None:
    return f"¥{float(raw):,.2f}".replace("¥", "￥") if raw else None


FAULTS: tuple[Fault, ...] = (
    Fault("id_lowercase_x", _ID, lambda raw, _: raw[:17] + "x" if raw.endswith("X") else None),
    Fault("id_full_width", _ID, lambda raw, _: raw.translate(_FULL_WIDTH)),
    Fault("id_spaces", _ID, lambda raw, _: f"{raw[:6]} {raw[6:14]} {raw[14:]}"),
    Fault("id_quote_prefix", _ID, lambda raw, _: "'" + raw),
    Fault("id_old_15_digit", _ID, _old_number),
    Fault("id_missing", _ID, lambda *_: "", loses="id_number"),
    Fault("id_scientific", _ID, lambda raw, _: f"{int(raw[:17]) * 10:.14E}", "id_scientific_notation"),
    Fault("id_rounded", _ID, _rounded, "id_precision_loss"),
    Fault("id_check_digit", _ID, _wrong_check, "id_check_digit"),
    Fault("id_masked", _ID, lambda raw, _: raw[:6] + "********" + raw[14:], "id_masked"),
    Fault("id_letter", _ID, lambda raw, _: raw[:10] + "O" + raw[11:], "id_character"),
    Fault("id_short", _ID, lambda raw, _: raw[:16], "id_length"),
    Fault("birth_other_form", {INSURED: "aac006"}, lambda _, r: f"{_birth(r).year}.{_birth(r).month}.{_birth(r).day}"),
    Fault("birth_serial", _BIRTH, _serial),
    Fault("birth_zero", _BIRTH, lambda *_: "00000000", loses="birth_on"),
    Fault("birth_impossible", _BIRTH, lambda *_: "19500230", "date_impossible"),
    Fault(
        "birth_conflict",
        _BIRTH,
        lambda _, r: f"{_birth(r).replace(year=_birth(r).year - 1, day=1):%Y%m%d}",
        "field_conflict",
    ),
    Fault("sex_name", {INSURED: "aac004"}, lambda raw, _: {"1": "男", "2": "女"}[raw]),
    Fault("sex_other_code", _SEX, lambda raw, _: "30005" if raw in ("1", "男") else "30006"),
    Fault("sex_letter", _SEX, lambda raw, _: "M" if raw in ("1", "男") else "F"),
    Fault("sex_unknown", _SEX, lambda *_: "7", "code_unknown"),
    Fault("sex_conflict", {INSURED: "aac004"}, lambda raw, _: "2" if raw == "1" else "1", "field_conflict"),
    Fault("name_dot", _NAME, _dot_gbk),
    Fault("name_spaces", _NAME, lambda raw, _: f" {raw[0]}　{raw[1:]}"),
    Fault("name_blank", _NAME, lambda *_: "", "field_missing"),
    Fault("name_broken", _NAME, lambda raw, _: "?" * len(raw), "name_unreadable"),
    Fault("community_unknown", {INSURED: "aab301"}, lambda *_: "370102999999", "division_code"),
    Fault("phone_dashes", {INSURED: "aae005"}, lambda raw, _: f"{raw[:3]}-{raw[3:7]}-{raw[7:]}"),
    Fault("phone_words", {ELDER: "联系电话"}, lambda *_: "见附表", "phone_unreadable"),
    Fault("amount_dress", {ELDER: "高龄津贴金额"}, _amount_dress),
    Fault("amount_words", {ELDER: "高龄津贴金额"}, lambda raw, _: "二百元" if raw else None, "money_unreadable"),
    Fault("care_unknown", {ELDER: "护理等级"}, lambda *_: "9级", "code_unknown"),
)


def maybe_broken(seed: int, record: Record) -> Record:
    """The record, with a fault in about 3 of 100."""
    rng = random.Random(f"{seed}/{record.dataset}/{record.key}")  # noqa: S311
    if rng.random() >= SHARE:
        return record
    fitting = [fault for fault in FAULTS if record.dataset in fault.columns]
    while fitting:
        fault = fitting.pop(rng.randrange(len(fitting)))
        column = fault.columns[record.dataset]
        raw = fault.change(str(record.row[column]), record)
        if raw is not None and raw != record.row[column]:
            return _apply(record, fault, column, raw)
    return record


def _apply(record: Record, fault: Fault, column: str, raw: str) -> Record:
    fields: dict[str, Any] = {} if fault.reason else dict(record.fields)
    if fault.loses:
        fields.pop(fault.loses, None)
    return record._replace(row={**record.row, column: raw}, fields=fields, fault=fault.name, reason=fault.reason)
