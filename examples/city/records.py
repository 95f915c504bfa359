"""How each department writes a resident down: the row as its system holds it, and what the row means.

The meaning is written from the resident, never by parsing the row: it is the truth that the pipeline is judged by.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from functools import cache
from typing import Any, NamedTuple

from examples.city.people import CATEGORIES, TODAY, Person, communities, household_of, mixed

INSURED, PENSION, ELDER = "hrss.insured_person", "hrss.pension", "ageing.elder"
REGISTERED, LOW_INCOME = "civil_affairs.resident", "civil_affairs.low_income"
CARD = "disabled_persons.disability_card"
GRID = "grid.resident"
DATASETS = (INSURED, PENSION, ELDER, REGISTERED, LOW_INCOME, CARD, GRID)
DUMPED = (ELDER, GRID)
"""What is delivered as a full dump a month, and changes with that alone."""
CHINA = timezone(timedelta(hours=8))
CARE = {"independent": "自理", "partial": "半失能", "full": "失能"}
DUMPS_JOINED = 6
"""The elders who are not in the first register come into it over so many months."""

_START = datetime(TODAY.year, TODAY.month, TODAY.day, 8, tzinfo=CHINA)
AS_OF = {
    INSURED: ("aae036", "%Y%m%d%H%M%S"),
    PENSION: ("aae036", "%Y%m%d%H%M%S"),
    ELDER: ("更新日期", "%Y-%m-%d"),
    REGISTERED: ("xgsj", "%Y-%m-%d %H:%M:%S"),
    LOW_INCOME: ("xgsj", "%Y-%m-%d %H:%M:%S"),
    CARD: ("jbsj", "%Y-%m-%d %H:%M:%S"),
    GRID: ("登记日期", "%Y-%m-%d"),
}
"""The column that says when the department last dealt with a record, and the form of that time."""

MARITAL_CODES = {
    "unmarried": ("10",),
    "married": ("20", "21", "22", "23"),
    "widowed": ("30",),
    "divorced": ("40",),
    "unspecified": ("90",),
}
"""How 民政 writes a marital status: the codes of GB/T 2261.2-2003, of which 21 to 23 are kinds of 20."""

RELATIONS = {
    "02": "户主", "10": "配偶", "20": "子", "30": "女", "41": "孙子", "42": "孙女", "51": "父亲", "52": "母亲",
    "71": "兄", "73": "弟", "75": "姐姐", "77": "妹妹",
}  # fmt: skip
"""How the grid writes the relations to the head of a household: names of GB/T 4761-2008."""

_DELETED = {LOW_INCOME: "scbz", CARD: "zxbz"}
"""The column that is 1 where the department has marked a record as deleted."""
_FIRST_DAYS = 20  # the rows of the first build were dealt with on the twenty days before the city begins


class Record(NamedTuple):
    """``row``: source columns. ``fields``: canonical values that should come of it, none when it must be refused.

    ``fault``: what was done to it. ``reason``: why it must be refused (``contracts.reasons``). ``copies``: how often it
    stands in a dump. ``deleted``: the department has marked it as deleted, so it says nothing any more.
    """

    dataset: str
    key: str
    person: int
    row: dict[str, Any]
    fields: dict[str, Any]
    fault: str | None = None
    reason: str | None = None
    copies: int = 1
    deleted: bool = False

    @property
    def outcome(self) -> str:
        """``accepted``, ``quarantined`` or ``deleted``."""
        return "deleted" if self.deleted else "quarantined" if self.reason else "accepted"

    @property
    def system(self) -> str:
        """The system that holds it."""
        return self.dataset.partition(".")[0]

    @property
    def as_of(self) -> str:
        """When the department last dealt with it, in UTC, ISO 8601."""
        return self._dealt_with.astimezone(UTC).isoformat()

    @property
    def _dealt_with(self) -> datetime:
        column, form = AS_OF[self.dataset]
        return datetime.strptime(self.row[column], form).replace(tzinfo=CHINA)

    def at(self, moment: datetime) -> Record:
        """The same, dealt with at this moment."""
        column, form = AS_OF[self.dataset]
        return self._replace(row={**self.row, column: f"{moment:{form}}"})

    def earlier(self, *, days: int) -> Record:
        """The same, dealt with some days before the time that it bears."""
        return self.at(self._dealt_with - timedelta(days=days))


def business_time(seconds: int) -> datetime:
    """When a department dealt with something: a fixed calendar from the city's first day, never the machine's clock."""
    return _START + timedelta(seconds=seconds)


@cache
def _first_times() -> list[str]:
    """Times of working hours (08:00 to 15:56) on the days of the first build, as 人社 writes them."""
    return [
        f"{business_time(-86_400 * day + 11 * place):%Y%m%d%H%M%S}"
        for day in range(1, _FIRST_DAYS + 1)
        for place in range(2_600)
    ]


def _compact_time(die: int) -> str:
    """One of them."""
    times = _first_times()
    return times[die % len(times)]


def _first_time(die: int) -> str:
    """One of them as 民政 and 残联 write it."""
    at = _compact_time(die)
    return f"{at[:4]}-{at[4:6]}-{at[6:8]} {at[8:10]}:{at[10:12]}:{at[12:]}"


def key_of(dataset: str, number: int) -> str:
    """Keys do not follow the order of residents, as in reality. One to one for up to ten million residents."""
    shuffled = number // 9_999_991 * 9_999_991 + (number * 7_368_787) % 9_999_991
    if dataset == INSURED:
        return f"3701{shuffled:010d}"
    if dataset == PENSION:
        return f"YL{shuffled:012d}"
    if dataset == REGISTERED:
        return f"RY370102{shuffled:010d}"
    if dataset == LOW_INCOME:
        return f"DB{shuffled:012d}"
    if dataset == CARD:
        return f"CJ370102{shuffled:010d}"
    if dataset == GRID:
        return f"WG370102{shuffled:010d}"
    return f"LL370102{shuffled:08d}"


def records_of(who: Person, d: tuple[int, ...]) -> list[Record]:
    """All that the departments hold about one resident at first, without faults. ``d``: her dice."""
    cards = [card(who, d)] if who.disability_category else []
    if who.age < 16:
        return cards
    found = [insured(who, d)]
    if who.pension_fen:
        found.append(pension(who, d))
    if who.age >= 60 and joins(d) == 0:
        found.append(elder(who, d))
    if who.age >= 18:
        found.append(registered(who, d))
        if who.low_income_fen:
            found.append(low_income(who, d))
    return found + cards


def joins(d: tuple[int, ...]) -> int:
    """In which dump an elder first stands: 0 for 95 of 100, then one of the next six."""
    return 0 if d[12] // 100 % 100 < 95 else 1 + d[12] // 10_000 % DUMPS_JOINED


def insured(who: Person, d: tuple[int, ...]) -> Record:
    """人社 ac01: an insured person."""
    key = key_of(INSURED, who.number)
    row = {
        "aac001": key,
        "aac002": who.id_number,
        "aac003": who.name,
        "aac004": "1" if who.sex == "male" else "2",
        "aac005": who.ethnic_group,
        "aac006": who.id_number[6:14],
        "aae005": who.phone,
        "aab301": who.community_code,
        "aac060": "1" if who.alive else "0",
        "aae036": _compact_time(d[13]),
    }
    fields = {
        "id_number": who.id_number,
        "name": who.name,
        "sex": who.sex,
        "birth_on": who.birth_on,
        "ethnic_group": who.ethnic_group,
        "phone": who.phone,
        "community_code": who.community_code,
        "alive": who.alive,
    }
    return Record(INSURED, key, who.number, row, fields)


def pension(who: Person, d: tuple[int, ...]) -> Record:
    """人社 ac60: a pension. That of a resident who has died was stopped in the month before the city begins."""
    key, year, month = key_of(PENSION, who.number), int(who.birth_on[:4]) + 60, who.birth_on[5:7]
    row: dict[str, Any] = {
        "aaz257": key,
        "aac001": key_of(INSURED, who.number),
        "aac002": who.id_number,
        "aae140": who.scheme,
        "aae041": f"{year}{month}",
        "aae042": None if who.alive else "202412",
        "aae019": who.pension_fen,
        "aae116": "1" if who.alive else "3",
        "aae036": _compact_time(d[14]),
    }
    fields = {
        "id_number": who.id_number,
        "benefit_kind": "pension",
        "benefit_scheme": who.scheme,
        "benefit_amount_fen": who.pension_fen,
        "benefit_from": f"{year}-{month}",
        "benefit_state": "paying" if who.alive else "stopped",
    }
    if not who.alive:
        fields["benefit_until"] = "2024-12"
    return Record(PENSION, key, who.number, row, fields)


def registered(who: Person, d: tuple[int, ...]) -> Record:
    """民政 jmjbxx: an adult of the residents' register. One in fifty has moved without 民政 knowing; who died a while ago
    has a day of death, and of the living nothing is said about life."""
    key = key_of(REGISTERED, who.number)
    code = communities()[d[6] % len(communities())][0] if d[6] >> 16 & 127 < 3 else who.community_code
    marital = MARITAL_CODES[who.marital_status]
    row = {
        "rybh": key,
        "gmsfhm": who.id_number,
        "xm": who.name,
        "xb": "1" if who.sex == "male" else "2",
        "csrq": who.birth_on,
        "mz": who.ethnic_group,
        "hyzk": marital[d[4] % len(marital)],
        "sqdm": code,
        "swrq": None if who.alive else f"{TODAY.year - 1}-{d[4] % 12 + 1:02d}-{d[4] % 28 + 1:02d}",
        "scbz": "0",
        "xgsj": _first_time(d[4]),
    }
    fields: dict[str, Any] = {
        "id_number": who.id_number,
        "name": who.name,
        "sex": who.sex,
        "birth_on": who.birth_on,
        "ethnic_group": who.ethnic_group,
        "community_code": code,
        "marital_status": who.marital_status,
    }
    if not who.alive:
        fields["alive"] = False
    return Record(REGISTERED, key, who.number, row, fields)


def low_income(who: Person, d: tuple[int, ...]) -> Record:
    """民政 zdshbz: a minimum living allowance, of the last five years. One in eight was revoked before the city begins, and
    that of a resident who has died was stopped."""
    since = f"{TODAY.year - 1 - d[1] % 5}-{d[1] // 5 % 12 + 1:02d}"
    record = living_allowance(who.number, who.id_number, who.low_income_fen, since)
    record.row["xgsj"] = _first_time(d[1])
    if not who.alive:
        record = closed(record, "2024-12")
    return revoked(record) if d[11] >> 16 & 7 == 0 else record


def living_allowance(person: int, id_number: str, fen: int, since: str) -> Record:
    """One that is paid since this month. It bears no business time yet."""
    key = key_of(LOW_INCOME, person)
    row = {
        "bzbh": key,
        "rybh": key_of(REGISTERED, person),
        "gmsfhm": id_number,
        "bzje": yuan(fen),
        "qsny": since,
        "zzny": None,
        "xszt": "01",
        "scbz": "0",
        "xgsj": None,
    }
    fields = {
        "id_number": id_number,
        "benefit_kind": "low_income",
        "benefit_amount_fen": fen,
        "benefit_from": since,
        "benefit_state": "paying",
    }
    return Record(LOW_INCOME, key, person, row, fields)


def closed(record: Record, month: str) -> Record:
    """A minimum living allowance that is paid for the last time in this month."""
    row = {**record.row, "zzny": month, "xszt": "03"}
    return record._replace(row=row, fields={**record.fields, "benefit_state": "stopped", "benefit_until": month})


def revoked(record: Record) -> Record:
    """A record of 民政 or 残联 that its program has marked as deleted. It stays in the table."""
    return record._replace(row={**record.row, _DELETED[record.dataset]: "1"}, deleted=True)


def card(who: Person, d: tuple[int, ...]) -> Record:
    """残联: a disability card, of the last fifteen years. One in thirty replaces a lost one, one in thirty speaks of another
    telephone; that of a resident who has died was cancelled before the city begins, and so was one in sixteen else."""
    year = max(TODAY.year - 1 - d[0] % 15, int(who.birth_on[:4]) + 1)
    issued = f"{year}-{d[0] // 15 % 12 + 1:02d}-{d[0] // 180 % 28 + 1:02d}"
    phone = f"1003{d[9] % 10_000_000:07d}" if d[8] >> 16 & 31 == 0 else who.phone
    record = card_of(who._replace(phone=phone), issued, reissue="B1" if d[8] >> 24 & 31 == 0 else "")
    record.row["jbsj"] = _first_time(d[9])
    return revoked(record) if not who.alive or d[1] >> 16 & 15 == 0 else record


def card_of(who: Person, issued: str, *, reissue: str = "") -> Record:
    """The card of somebody as she is now, issued on this day. It bears no business time yet. Its number follows from hers,
    and from what was assessed; the department knows her by a number of its own, which stays."""
    key, category = key_of(CARD, who.number), str(CATEGORIES.index(who.disability_category) + 1)
    row = {
        "cjrbh": key,
        "cjzh": f"{who.id_number}{category}{who.disability_level}{reissue}",
        "xm": who.name,
        "xb": "1" if who.sex == "male" else "2",
        "sqdm": who.community_code,
        "lxdz": who.address,
        "lxdh": who.phone,
        "cjlb": category,
        "cjdj": who.disability_level,
        "fzrq": issued,
        "zxbz": "0",
        "jbsj": None,
    }
    fields = {
        "id_number": who.id_number,
        "name": who.name,
        "sex": who.sex,
        "community_code": who.community_code,
        "address": who.address,
        "phone": who.phone,
        "disability_category": who.disability_category,
        "disability_level": who.disability_level,
    }
    return Record(CARD, key, who.number, row, fields)


def yuan(fen: int) -> str:
    """An amount in 元 with two decimals, as PostgreSQL gives a numeric(10,2)."""
    return f"{fen // 100}.{fen % 100:02d}"


def elder(who: Person, d: tuple[int, ...], dump: int = 0) -> Record:
    """老龄: a row of the elders' register. One in fifty has moved, another has a new number, one in a hundred is written
    with another character in her name, without 人社 knowing."""
    phone = f"1001{d[15] % 10_000_000:07d}" if d[14] >> 16 & 127 < 3 else who.phone
    code = communities()[d[15] % len(communities())][0] if d[13] >> 16 & 127 < 3 else who.community_code
    name = who.name[:-1] + "荣" if d[13] >> 24 & 127 == 0 and "·" not in who.name else who.name
    key, year, month = key_of(ELDER, who.number), int(who.birth_on[:4]) + 80, who.birth_on[5:7]
    has = who.allowance_fen > 0
    row = {
        "档案编号": key,
        "身份证号": who.id_number,
        "姓名": name,
        "性别": "男" if who.sex == "male" else "女",
        "出生日期": f"{who.birth_on[:4]}/{int(month)}/{int(who.birth_on[8:])}",
        "社区代码": code,
        "居住地址": who.address,
        "联系电话": phone,
        "独居": "是" if who.living_alone else "否",
        "护理等级": CARE[who.care_level],
        "高龄津贴金额": f"{who.allowance_fen // 100}.00" if has else "",
        "津贴起始月": f"{year}{month}" if has else "",
        "津贴状态": ("发放" if who.alive else "停发") if has else "",
        "更新日期": dumped_on(dump, d[15] % 28),
    }
    fields: dict[str, Any] = {
        "id_number": who.id_number,
        "name": name,
        "sex": who.sex,
        "birth_on": who.birth_on,
        "phone": phone,
        "community_code": code,
        "address": who.address,
        "living_alone": who.living_alone,
        "care_level": who.care_level,
    }
    if has:
        fields["benefit_kind"] = "old_age_allowance"
        fields["benefit_amount_fen"] = who.allowance_fen
        fields["benefit_from"] = f"{year}-{month}"
        fields["benefit_state"] = "paying" if who.alive else "stopped"
    return Record(ELDER, key, who.number, row, fields)


def has_grid(community_code: str) -> bool:
    """Whether a community keeps a grid register: a third of them do, in which three of ten residents live."""
    return int(community_code[-3:]) % 3 == 1


def household_number(number: int) -> str:
    """The number (户号) under which the grid knows the household of this resident."""
    return f"H{key_of(GRID, household_of(number)[0])[2:]}"


def grid_row(who: Person, d: tuple[int, ...], relation: str, dump: int = 0) -> Record:
    """社区网格: a row of the grid's register. ``relation``: to the head of the household, a code of RELATIONS. One in forty
    stands in it with the building of before, one in thirty with another telephone."""
    die = mixed(d[0]) >> 8
    phone = f"1004{d[9] % 10_000_000:07d}" if die >> 7 & 31 == 0 else who.phone
    building = f"{d[15] % 59 + 1}号楼" if die & 127 < 3 else who.building
    key, number = key_of(GRID, who.number), household_number(who.number)
    row = {
        "登记编号": key,
        "社区代码": who.community_code,
        "楼栋": building,
        "单元": who.unit,
        "房号": who.room,
        "户号": number,
        "与户主关系": RELATIONS[relation],
        "姓名": who.name,
        "公民身份号码": who.id_number,
        "联系电话": phone,
        "登记日期": dumped_on(dump, (die >> 12) % 28),
    }
    fields = {
        "id_number": who.id_number,
        "name": who.name,
        "phone": phone,
        "community_code": who.community_code,
        "household_number": number,
        "household_relation": relation,
        "household_building": building,
        "household_unit": who.unit,
        "household_room": who.room,
    }
    return Record(GRID, key, who.number, row, fields)


def dumped_on(dump: int, day: int) -> str:
    """A day of the month before dump ``dump``, as 老龄 and 社区网格 write it."""
    month = dump - 1
    return f"{TODAY.year + month // 12}-{month % 12 + 1:02d}-{day + 1:02d}"
