"""How each department writes a resident down: the row as its system holds it, and what the row means.

The meaning is written from the resident, never by parsing the row: it is the truth that the pipeline is judged by.
"""

from __future__ import annotations

import random
from datetime import date, datetime, timedelta
from typing import Any, NamedTuple

from examples.city.people import Person, communities

INSURED, PENSION, ELDER = "hrss.insured_person", "hrss.pension", "ageing.elder"
START = datetime(2026, 9, 1, 8, 0, 0)  # noqa: DTZ001 - the departments write local time without a zone
CARE = {"independent": "自理", "partial": "半失能", "full": "失能"}
_OLD_AGE, _ELDER_AGE = date(1966, 10, 1), date(2010, 10, 1)


class Record(NamedTuple):
    """``row``: source columns. ``fields``: canonical values that should come of it. ``fault``: what was done to it."""

    dataset: str
    key: str
    person: int
    row: dict[str, Any]
    fields: dict[str, Any]
    fault: str | None = None
    reason: str | None = None


def business_time(step: int) -> datetime:
    """When a department dealt with something: a fixed calendar, never the clock of the machine."""
    return START + timedelta(seconds=step)


def key_of(dataset: str, index: int) -> str:
    """Keys do not follow the order of residents, as in reality."""
    shuffled = (index * 7_368_787) % 9_999_991
    if dataset == INSURED:
        return f"3701{shuffled:010d}"
    if dataset == PENSION:
        return f"YL{shuffled:012d}"
    return f"LL370102{shuffled:08d}"


def records_of(seed: int, who: Person) -> list[Record]:
    """All that the departments hold about one resident."""
    found = [insured(who)] if who.birth_on < _ELDER_AGE else []
    if who.pension_fen:
        found.append(pension(who))
    if who.birth_on < _OLD_AGE:
        found.append(elder(seed, who))
    return found


def insured(who: Person) -> Record:
    """人社 ac01: an insured person."""
    dealt = business_time(who.number % 864_000)
    row = {
        "aac001": key_of(INSURED, who.number),
        "aac002": who.id_number,
        "aac003": who.name,
        "aac004": "1" if who.sex == "male" else "2",
        "aac005": who.ethnic_group,
        "aac006": f"{who.birth_on:%Y%m%d}",
        "aae005": who.phone,
        "aab301": who.community_code,
        "aac060": "1" if who.alive else "0",
        "aae036": f"{dealt:%Y%m%d%H%M%S}",
    }
    fields = {
        "id_number": who.id_number,
        "name": who.name,
        "sex": who.sex,
        "birth_on": who.birth_on.isoformat(),
        "ethnic_group": who.ethnic_group,
        "phone": who.phone,
        "community_code": who.community_code,
        "alive": who.alive,
    }
    return Record(INSURED, row["aac001"], who.number, row, fields)


def pension(who: Person) -> Record:
    """人社 ac60: a pension."""
    start = f"{who.birth_on.year + 60}{who.birth_on.month:02d}"
    row: dict[str, Any] = {
        "aaz257": key_of(PENSION, who.number),
        "aac001": key_of(INSURED, who.number),
        "aac002": who.id_number,
        "aae140": who.scheme,
        "aae041": start,
        "aae042": None,
        "aae019": who.pension_fen,
        "aae116": "1" if who.alive else "3",
        "aae036": f"{business_time(who.number % 864_000):%Y%m%d%H%M%S}",
    }
    fields = {
        "id_number": who.id_number,
        "benefit_kind": "pension",
        "benefit_scheme": who.scheme,
        "benefit_amount_fen": who.pension_fen,
        "benefit_from": f"{start[:4]}-{start[4:]}",
        "benefit_state": "paying" if who.alive else "stopped",
    }
    return Record(PENSION, row["aaz257"], who.number, row, fields)


def elder(seed: int, who: Person) -> Record:
    """老龄: a row of the elders' register. One in fifty has moved, or changed her number, without 人社 knowing."""
    rng = random.Random((seed << 33) ^ who.number)  # noqa: S311
    phone = f"1000{rng.randrange(10**7):07d}" if rng.random() < 0.02 else who.phone
    code = rng.choice(communities())[0] if rng.random() < 0.02 else who.community_code
    has = who.allowance_fen > 0
    start = f"{who.birth_on.year + 80}{who.birth_on.month:02d}"
    row = {
        "档案编号": key_of(ELDER, who.number),
        "身份证号": who.id_number,
        "姓名": who.name,
        "性别": "男" if who.sex == "male" else "女",
        "出生日期": f"{who.birth_on.year}/{who.birth_on.month}/{who.birth_on.day}",
        "社区代码": code,
        "居住地址": who.address,
        "联系电话": phone,
        "独居": "是" if who.living_alone else "否",
        "护理等级": CARE[who.care_level],
        "高龄津贴金额": f"{who.allowance_fen / 100:.2f}" if has else "",
        "津贴起始月": start if has else "",
        "津贴状态": ("发放" if who.alive else "停发") if has else "",
        "更新日期": f"{business_time(who.number % 864_000):%Y-%m-%d}",
    }
    fields: dict[str, Any] = {
        "id_number": who.id_number,
        "name": who.name,
        "sex": who.sex,
        "birth_on": who.birth_on.isoformat(),
        "phone": phone,
        "community_code": code,
        "address": who.address,
        "living_alone": who.living_alone,
        "care_level": who.care_level,
    }
    if has:
        fields |= {
            "benefit_kind": "old_age_allowance",
            "benefit_amount_fen": who.allowance_fen,
            "benefit_from": f"{start[:4]}-{start[4:]}",
            "benefit_state": "paying" if who.alive else "stopped",
        }
    return Record(ELDER, row["档案编号"], who.number, row, fields)
