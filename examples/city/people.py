"""Synthetic residents: number i of seed s is always the same person, and no real one.

ID numbers carry the prefixes 379901 to 379904, which no division ever had, and telephone numbers begin with 1000, a
range that is not given to subscribers. Communities and streets are the real ones of 历下区, Jinan.
"""

from __future__ import annotations

import csv
import random
from datetime import date, timedelta
from functools import cache
from importlib.resources import files
from typing import NamedTuple

_FIRST_DAY, _DAYS = date(1931, 1, 1), 32_003  # to August 2018; a prime, so that every step reaches every day
_SURNAMES = (
    "王王王王李李李李张张张刘刘刘陈陈杨杨赵赵黄周周吴徐孙孙胡朱高林何郭马罗梁宋郑谢韩唐冯于董萧程曹袁邓许傅沈曾彭吕苏"
    "卢蒋蔡贾丁魏薛叶阎余潘杜戴夏钟汪田任姜范方石姚谭廖邹熊金陆郝孔白崔康毛邱秦江史顾侯邵孟龙万段雷钱汤尹黎易常武乔贺赖龚文"
)
_COMPOUND = ("欧阳", "司马", "上官", "诸葛", "东方", "尉迟")
_GIVEN = {
    "male": "伟强磊军勇杰涛明超刚平辉鹏华飞鑫波斌宇浩凯健俊帆帅旭宁龙林阳建国志文永福德兴海山仁义",
    "female": "芳娜敏静丽艳娟霞秀燕玲桂英梅红兰凤洁琳玉萍春秋雪月慧琴云莲真环翠雅芝香珍贞莉莹",
}
_MINORITY = {
    "male": ("阿卜杜拉", "买买提", "艾力", "吐尔逊", "巴特尔", "扎西"),
    "female": ("阿依古丽", "帕提古丽", "热依汗", "古丽娜尔", "其其格", "卓玛"),
}
_WEIGHTS, _CHECK = (7, 9, 10, 5, 8, 4, 2, 1, 6, 3, 7, 9, 10, 5, 8, 4, 2), "10X98765432"


class Person(NamedTuple):
    """One resident as she is, before any department has written her down."""

    number: int
    id_number: str
    name: str
    sex: str
    birth_on: date
    ethnic_group: str
    phone: str
    community_code: str
    address: str
    alive: bool
    living_alone: bool
    care_level: str
    pension_fen: int
    scheme: str
    allowance_fen: int


@cache
def communities() -> tuple[tuple[str, str], ...]:
    """(code, name) of each community of 历下区."""
    text = (files("examples.city") / "data" / "lixia.csv").read_text(encoding="utf-8")
    return tuple((row["code"], row["name"]) for row in csv.DictReader(text.splitlines()) if row["level"] == "community")


def full_number(first17: str) -> str:
    """Add the check character of GB 11643. Written here once more, so that the truth owes nothing to what it judges."""
    return first17 + _CHECK[sum(int(d) * w for d, w in zip(first17, _WEIGHTS, strict=True)) % 11]


def person(seed: int, index: int) -> Person:
    """Resident number ``index``. The ID number is unique by construction for up to 8 million."""
    rng = random.Random((seed << 32) | index)  # noqa: S311 - synthetic people need repetition, not secrecy
    sex = "male" if rng.random() < 0.487 else "female"
    born = _FIRST_DAY + timedelta(days=(index * 7_919 + seed * 104_729) % _DAYS)
    lap = index // _DAYS
    sequence = (lap // 4) * 2 + (1 if sex == "male" else 2)
    minority = rng.random() < 0.02
    code, name = communities()[int(rng.random() ** 1.3 * len(communities()))]
    over_60, over_80 = born < date(1966, 10, 1), born < date(1946, 10, 1)
    return Person(
        number=index,
        id_number=full_number(f"37990{lap % 4 + 1}{born:%Y%m%d}{sequence:03d}"),
        name=_name(rng, sex, minority=minority),
        sex=sex,
        birth_on=born,
        ethnic_group=rng.choice(("02", "03", "05")) if minority else "01",
        phone=f"1000{rng.randrange(10**7):07d}",
        community_code=code,
        address=f"{name}{rng.randrange(1, 60)}号楼{rng.randrange(1, 7)}单元{rng.randrange(101, 2603)}室",
        alive=rng.random() > (0.01 if over_80 else 0.001),
        living_alone=over_60 and rng.random() < 0.12,
        care_level=rng.choices(("independent", "partial", "full"), (85, 11, 4))[0],
        pension_fen=rng.randrange(18_000, 900_000) if over_60 and rng.random() < 0.9 else 0,
        scheme=rng.choice(("110", "170")),
        allowance_fen=20_000 if over_80 and rng.random() < 0.95 else 0,
    )


def _name(rng: random.Random, sex: str, *, minority: bool) -> str:
    if minority and rng.random() < 0.6:
        return f"{rng.choice(_MINORITY[sex])}·{rng.choice(_MINORITY['male'])}"
    surname = rng.choice(_COMPOUND) if rng.random() < 0.01 else rng.choice(_SURNAMES)
    return surname + "".join(rng.choices(_GIVEN[sex], k=1 if rng.random() < 0.2 else 2))
