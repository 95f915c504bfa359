"""Synthetic residents: number i of seed s is always the same person, and no real one.

ID numbers carry the prefixes 379901 to 379904, which no division ever had, and telephone numbers are eleven digits that
begin with 100, where no subscriber has a number. Communities and streets are the real ones of 历下区, Jinan.

All that is random about a resident comes from one hash of (seed, number), her ``dice``: there is no generator to keep,
and any resident can be made alone. Some of those with near numbers live together: a household's home is in the dice of the
first of them.
"""

from __future__ import annotations

import csv
import re
from bisect import bisect_right
from datetime import date
from functools import cache
from hashlib import blake2b
from importlib.resources import files
from itertools import accumulate
from struct import Struct
from typing import NamedTuple

TODAY = date(2025, 1, 1)
"""The day on which the city begins. Ages are those of this day; the departments' own times follow it."""

_FIRST_YEAR = 1924
_A_DAY = [1] * 11 + [2] * 10 + [5] * 10 + [7] * 10 + [9] * 10 + [8] * 10 + [9] * 10 + [6] * 20 + [5] * 9
"""Places for births a day, for each year from 1924 to 2023: the shape of an urban district's age pyramid."""
_MOST_A_DAY = max(_A_DAY)
_NEW_YEARS = [date(_FIRST_YEAR + year, 1, 1).toordinal() for year in range(len(_A_DAY) + 1)]
_YEAR_ENDS = list(accumulate((_NEW_YEARS[i + 1] - _NEW_YEARS[i]) * places for i, places in enumerate(_A_DAY)))
_PLACES = _YEAR_ENDS[-1]
_STEP = 1_000_003  # a prime that does not divide _PLACES: every place is reached, and neighbours are of different ages
_PREFIXES = ("379901", "379902", "379903", "379904")
_LONE, _WHOLE = 500, 1_000  # sequence numbers below 500 are given at first; a corrected number moves by 500

_SURNAMES = "".join(
    letters * weight
    for letters, weight in (
        ("王李张刘", 14), ("陈杨赵孙", 8), ("周吴徐马朱高胡郭", 4), ("林何罗宋郑韩于冯董吕曹", 3),
        ("许崔孟尹邢毕卢蒋蔡贾丁魏薛叶阎杜戴夏钟汪田任姜范石谭廖邹陆郝孔白康毛邱秦江史侯邵龙万段雷钱汤", 1),
    )
)  # fmt: skip
_COMPOUND = ("欧阳", "司马", "上官", "诸葛", "东方", "尉迟", "公孙", "皇甫", "令狐", "淳于")
_GIVEN = (  # male and female, of those born before 1960, before 1985, and after
    ("建国志文永福德兴海山仁义祥祯树林长庆玉振传明金保", "桂英秀兰玉珍芳淑华凤贞莲翠香云芝爱荣素梅"),
    ("伟强磊军勇杰涛明超刚平辉鹏飞波斌凯健俊峰建东卫国", "芳娜敏静丽艳娟霞燕玲红梅英洁琳萍莉丹颖慧君倩"),
    ("浩宇子轩梓涵博文泽铭睿哲一诺俊熙昊天嘉懿亦辰喆堃", "子涵梓萱欣怡诗雨佳琪思彤可馨语嫣一诺若曦玥晗雅婷昕"),
)
_UNCOMMON = "䶮㛃𬭎𫖯"  # in GB 18030, not in GBK: given to the young only, whom no file in GBK ever names
_UYGUR = (
    ("阿卜杜拉", "买买提", "艾力", "吐尔逊", "阿卜杜热合曼", "库尔班", "玉素甫"),
    ("阿依古丽", "帕提古丽", "热依汗", "古丽娜尔", "阿依努尔", "布合丽其木"),
)
_MONGOL = (("巴特尔", "苏和", "布和", "阿古拉"), ("其其格", "乌云", "萨仁", "娜仁花"))

_MIX, _MASK = 0x9E3779B1, 0xFFFFFFFF  # odd, so that each number below 2**32 becomes another one
_MARRIAGE_AGE = 22  # of men; nobody of this city marries before
_MARITAL = (  # up to which age: of a hundred how many are unmarried, married, divorced; the rest is widowed
    (30, (55, 43, 2)),
    (60, (8, 84, 6)),
    (80, (2, 78, 3)),
    (120, (1, 45, 1)),
)
_DISABLED = ((16, 100), (60, 200), (75, 600), (120, 1_200))  # up to which age: of ten thousand how many hold a card
_CATEGORIES = tuple(accumulate((12, 9, 2, 52, 9, 10, 6)))  # of a hundred cards, in the order of the standard
CATEGORIES = ("visual", "hearing", "speech", "physical", "intellectual", "mental", "multiple")
"""The categories of disability of GB/T 26341-2010, in its order: the digits 1 to 7."""
_LEVELS = tuple(accumulate((15, 30, 30, 25)))

_TOGETHER = ((0, 4, 7, 11), (1, 5, 8), (2, 6), (3,), (9, 10))
_HOMES = tuple(next(home for home in _TOGETHER if place in home) for place in range(12))
"""Of twelve residents that follow each other: who lives with whom. By _STEP one's age is near that of the fourth after her, and
seventeen or eighteen years from her neighbours': couples, parents and children."""

_WEIGHTS, _CHECK = (7, 9, 10, 5, 8, 4, 2, 1, 6, 3, 7, 9, 10, 5, 8, 4, 2), "10X98765432"
_DICE = Struct("<16I")
_KEY = Struct("<qQ")


class Person(NamedTuple):
    """One resident as she is, before any department has written her down. Amounts are in 分 a month, 0 for none;
    ``low_income_fen`` is what was granted at first, also where that was revoked before the city begins, and so is the
    disability, "" for none: of which her card speaks or spoke."""

    number: int
    id_number: str
    name: str
    sex: str
    birth_on: str
    ethnic_group: str
    phone: str
    community_code: str
    building: str
    unit: str
    room: str
    address: str
    alive: bool
    living_alone: bool
    care_level: str
    pension_fen: int
    scheme: str
    allowance_fen: int
    age: int
    marital_status: str
    low_income_fen: int
    disability_category: str
    disability_level: str


@cache
def communities() -> tuple[tuple[str, str], ...]:
    """(code, name) of each community of 历下区."""
    text = (files("examples.city") / "data" / "lixia.csv").read_text(encoding="utf-8")
    return tuple((row["code"], row["name"]) for row in csv.DictReader(text.splitlines()) if row["level"] == "community")


@cache
def _addresses() -> tuple[tuple[str, str], ...]:
    """(code, how an address begins) of each community, one to four times: some have four times the residents of others."""
    return tuple(
        (code, re.sub("(社区)?(居民)*委员会$|社区$", "", name))
        for code, name in communities()
        for _ in range(1 + int(code[-2:]) % 4)
    )


def household_of(number: int) -> tuple[int, ...]:
    """The numbers of those who live together with this resident, hers among them, in their order."""
    place = number % len(_HOMES)
    return tuple(number - place + other for other in _HOMES[place])


def dice(seed: int, number: int) -> tuple[int, ...]:
    """Sixteen numbers below 2**32 that belong to this resident."""
    return _DICE.unpack(blake2b(_KEY.pack(seed, number), digest_size=64).digest())


def mixed(die: int) -> int:
    """A die thrown once more: another number below 2**32, whose high bits have nothing to do with the die's low ones."""
    return die * _MIX & _MASK


def full_number(first17: str) -> str:
    """Add the check character of GB 11643. Written here once more, so that the truth owes nothing to what it judges."""
    return first17 + _CHECK[sum(int(d) * w for d, w in zip(first17, _WEIGHTS, strict=True)) % 11]


@cache
def _weighed(digits: str, at: int) -> int:
    return sum(int(digit) * weight for digit, weight in zip(digits, _WEIGHTS[at:], strict=False))


@cache
def _day(ordinal: int) -> tuple[str, str, int]:
    """A day as ISO 8601 and as eight digits, and the age of who was born on it."""
    day = date.fromordinal(ordinal)
    age = TODAY.year - day.year - ((TODAY.month, TODAY.day) < (day.month, day.day))
    return day.isoformat(), f"{day:%Y%m%d}", age


def corrected(id_number: str) -> str:
    """Another number of the same day and sex that nobody has: what a correction turns this one into, and back."""
    return full_number(f"{id_number[:14]}{(int(id_number[14:17]) + _LONE) % _WHOLE:03d}")


def number_of(seed: int, id_number: str) -> int:
    """Whose ID number this is or was: the way back from a number of this city, corrected or not, to its resident."""
    ordinal = date.fromisoformat(f"{id_number[6:10]}-{id_number[10:12]}-{id_number[12:14]}").toordinal()
    year = int(id_number[6:10]) - _FIRST_YEAR
    pair = (int(id_number[14:17]) % _LONE - 1) // 2
    lap = pair // _MOST_A_DAY * len(_PREFIXES) + _PREFIXES.index(id_number[:6])
    before = _YEAR_ENDS[year - 1] if year else 0
    place = before + (ordinal - _NEW_YEARS[year]) * _A_DAY[year] + pair % _MOST_A_DAY
    return lap * _PLACES + (place - seed * 104_729) * pow(_STEP, -1, _PLACES) % _PLACES


def person(seed: int, number: int) -> Person:
    """Resident ``number``. Her ID number is hers alone by construction: (day, prefix, sequence) is a place for one."""
    return made_of(seed, number, dice(seed, number))


def made_of(seed: int, number: int, d: tuple[int, ...]) -> Person:
    """``person``, for who has thrown her dice already."""
    male = d[0] % 1000 < 487
    lap, at = divmod(number, _PLACES)
    place = (at * _STEP + seed * 104_729) % _PLACES
    year = bisect_right(_YEAR_ENDS, place)
    since, order = divmod(place - (_YEAR_ENDS[year - 1] if year else 0), _A_DAY[year])
    iso, digits, age = _day(_NEW_YEARS[year] + since)
    prefix = _PREFIXES[lap % 4]
    sequence = f"{(lap // 4 * _MOST_A_DAY + order) * 2 + (1 if male else 2):03d}"
    check = _CHECK[(_weighed(prefix, 0) + _weighed(digits, 6) + _weighed(sequence, 14)) % 11]
    ethnic = "01" if d[1] % 1000 >= 25 else _minority(d[1] // 1000 % 20)
    household = household_of(number)
    _, _, at_home, home, *_ = d if household[0] == number else dice(seed, household[0])
    addresses = _addresses()
    code, begins = addresses[at_home % len(addresses)]
    building, unit = f"{home % 59 + 1}号楼", f"{home // 59 % 6 + 1}单元"
    room = f"{home // 354 % 25 + 1}{home // 8850 % 4 + 1:02d}"
    return Person(
        number,
        f"{prefix}{digits}{sequence}{check}",
        _name(d[4], d[5], 0 if male else 1, _FIRST_YEAR + year, ethnic),
        "male" if male else "female",
        iso,
        ethnic,
        f"1000{d[6] % 10_000_000:07d}",
        code,
        building,
        unit,
        room,
        f"{begins}{building}{unit}{room}室",
        d[7] % 1000 >= (12 if age >= 80 else 2),
        age >= 60 and len(household) == 1,
        "independent" if age < 60 or d[9] % 100 < 85 else "partial" if d[9] % 100 < 96 else "full",
        18_000 + d[10] % 600_000 if age >= 60 and d[11] % 100 < 92 else 0,
        "110" if d[10] % 600_000 > 150_000 else "170",
        _allowance_fen(age) if d[12] % 100 < 95 else 0,
        age,
        _marital_status(age, mixed(d[5]) >> 12),
        10_000 + (mixed(d[11]) >> 8) % 100_000 if age >= 18 and (mixed(d[2]) >> 12) % 100 < 3 else 0,
        *_disability(age, mixed(d[8]) >> 8, (mixed(d[10]) >> 12) % 100),
    )


def _minority(dice: int) -> str:
    return "03" if dice < 12 else "11" if dice < 15 else "05" if dice < 18 else "02"


def _allowance_fen(age: int) -> int:
    return 0 if age < 80 else 20_000 if age < 90 else 50_000 if age < 100 else 100_000


def _marital_status(age: int, die: int) -> str:
    """Of one in a hundred adults nobody wrote it down."""
    if age < _MARRIAGE_AGE:
        return "unmarried"
    if die // 100 % 100 == 0:
        return "unspecified"
    unmarried, married, divorced = next(shares for until, shares in _MARITAL if age < until)
    among = die % 100
    if among < unmarried:
        return "unmarried"
    return (
        "married"
        if among < unmarried + married
        else "divorced"
        if among < unmarried + married + divorced
        else "widowed"
    )


def _disability(age: int, die: int, among: int) -> tuple[str, str]:
    """Category and level; those of three years and more have been assessed."""
    share = next(share for until, share in _DISABLED if age < until)
    if age < 3 or die % 10_000 >= share:
        return "", ""
    category = CATEGORIES[bisect_right(_CATEGORIES, die // 10_000 % 100)]
    return category, str(bisect_right(_LEVELS, among) + 1)


def _name(first: int, second: int, sex: int, born: int, ethnic: str) -> str:
    if ethnic == "05":
        own, father = _UYGUR[sex], _UYGUR[0]
        return f"{own[first % len(own)]}·{father[second % len(father)]}"
    if ethnic == "02":
        return _MONGOL[sex][first % 4]
    surname = _SURNAMES[first % len(_SURNAMES)] if first >> 12 & 127 else _COMPOUND[first % len(_COMPOUND)]
    given = _GIVEN[0 if born < 1960 else 1 if born < 1985 else 2][sex]
    one, two = second % len(given), second // 32 % len(given)
    if born >= 1985 and second >> 12 & 511 == 0:
        return surname + given[one] + _UNCOMMON[two % 4]
    return surname + given[one] if second >> 22 & 7 == 0 else surname + given[one] + given[two]
