"""What columns are usually called in department systems: pinyin initials (GMSFHM, XM), the 人社 codes (AAC002), Chinese
headers and English, each with what it means; and whose a column is, where it is not the resident's own.

The table is ``data/column_names.csv``: a meaning (a canonical field, or a word for what is none), why it is sensitive, and
its names in small letters without marks. A name is a hint and no proof: what the values say counts for more.
"""

from __future__ import annotations

import csv
import re
import unicodedata
from collections.abc import Mapping
from functools import cache
from importlib.resources import files
from io import StringIO
from typing import NamedTuple

SENSITIVE: Mapping[str, str] = {
    "id_number": "ID number 身份号码",
    "health": "health or disability 健康、残疾信息",
    "financial": "financial account 金融账户、收入信息",
    "religion": "religious belief 宗教信仰",
    "biometric": "biometric 生物识别信息",
    "whereabouts": "whereabouts 行踪轨迹",
    "identity": "specific identity 特定身份",
    "minor": "children under 14 不满十四周岁未成年人的信息",
}
"""Why personal information is sensitive (个人信息保护法 PIPL, article 28; the ID number by GB/T 35273-2020, annex B)."""

_OTHERS = (
    "监护人", "配偶", "父亲", "母亲", "户主", "联系人", "家属", "亲属", "法人", "法定代表人", "代理人", "经办人", "审核人",
    "代领人", "受理人", "操作员", "录入人", "登记人", "负责人", "子女", "护理员", "填表人", "创建人", "修改人",
)  # fmt: skip
_OTHERS_IN_LATIN = (
    "jhr", "peiou", "po", "fq", "mq", "hz", "lxr", "jjlxr", "fddbr", "dlr", "jbr", "shr", "slr", "czy", "czr", "lrr", "djr",
    "fzr", "zn", "tbr", "xgr",
    "guardian", "spouse", "father", "mother", "householder", "head", "contact", "relative", "agent", "operator", "creator",
    "child",
)  # fmt: skip
_BRACKETS = re.compile(r"[(\[【〔].*?[)\]】〕]")
_MARKS = re.compile(r"[^0-9a-z\u3007\u3400-\u9fff]")
_HAN = re.compile(r"[\u3400-\u9fff]")
_PREFIX = re.compile(r"^[a-z]{1,2}_")
_LONG_ENOUGH = 5  # letters of a Latin name that may be the end of a longer one


class NameHint(NamedTuple):
    """What a column's name says. ``means``: a canonical field, or a word of the table. ``sensitive``: a key of SENSITIVE,
    or empty. ``confidence``: of 1. ``whose``: whom it speaks of, where that is somebody else than the resident."""

    means: str
    sensitive: str
    confidence: float
    whose: str = ""


@cache
def _table() -> dict[str, tuple[str, str]]:
    """Plain name -> (meaning, why sensitive)."""
    text = (files("contracts.data") / "column_names.csv").read_text(encoding="utf-8")
    return {
        name: (row["means"], row["sensitive"])
        for row in csv.DictReader(StringIO(text))
        for name in row["names"].split()
    }


def plain(name: str) -> str:
    """A column's name in small letters, without marks, and without what stands in brackets."""
    return _MARKS.sub("", _BRACKETS.sub("", unicodedata.normalize("NFKC", name).lower()))


def name_hint(column: str) -> NameHint | None:
    """What a column's name says of what is in it, None where it says nothing."""
    bare = plain(column)
    known = _table()
    if bare in known:
        return NameHint(*known[bare], 0.9)
    if whose := _somebody_else(column, bare):
        return NameHint("", "", 0.9, whose)
    without = plain(_PREFIX.sub("", column.lower()))
    if without in known and without != bare:
        return NameHint(*known[without], 0.8)
    inside = [name for name in known if _stands_in(name, bare)]
    return NameHint(*known[max(inside, key=len)], 0.7) if inside else None


def _stands_in(name: str, bare: str) -> bool:
    """Whether a known name is a part of this one: a Chinese word anywhere, a long Latin one at its end."""
    if _HAN.search(name):
        return len(name) >= 2 and name in bare
    return len(name) >= _LONG_ENOUGH and bare.endswith(name)


def _somebody_else(column: str, bare: str) -> str:
    """Whom a column speaks of, if not the resident: 监护人身份证号, jhrxm, guardian_phone."""
    for word in _OTHERS:
        if word in bare:
            return word
    first = re.split(r"[_\W]", column.lower(), maxsplit=1)[0]
    for word in _OTHERS_IN_LATIN:
        rest = bare.removeprefix(word)
        if rest == bare:
            continue
        if (rest == "" and len(word) > 2) or (rest in _table() and len(word) > 1) or (first == word and len(word) > 2):
            return word
    return ""


def unit_in(column: str) -> str | None:
    """The unit that a header names: ``fen`` for 金额(分), ``yuan`` for 金额(元) and 金额_元, None where it names none."""
    text = unicodedata.normalize("NFKC", column).lower()
    if re.search(r"[(_]\s*分\s*\)?$|_fen$|分\)$", text):
        return "fen"
    return "yuan" if re.search(r"[(_]\s*元|_yuan$|元\)$|元$", text) else None
