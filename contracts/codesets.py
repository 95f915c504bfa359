"""Code sets: national ones (``data/codesets``, each with its standard in ``index.json``) and the few of our own.

``coded`` brings a source's code into canonical form: by the table that the source file declares, else by the code, the
name or an alias of the set. Canonical are the codes of the standard, except for sex, marital status and the category of a
disability, where words say it better.
"""

from __future__ import annotations

import csv
import json
from collections import Counter
from collections.abc import Mapping
from functools import cache
from importlib.resources import files
from io import StringIO
from typing import NamedTuple, TypeAlias

from contracts.reasons import Mend, Reason
from contracts.texts import Parsed, Refused, clean, last, says_nothing, shape, without_point_zero

Codes: TypeAlias = Mapping[str, str | bool]
"""A source's own table, as its source file declares it: code -> canonical value."""


class CodeSet(NamedTuple):
    """One code set. ``codes``: canonical value -> name. ``forms``: everything that is understood, in small letters,
    with the canonical value and the mend. ``national``: the codes of the standard -> canonical value."""

    name: str
    standard: str
    title: str
    codes: Mapping[str, str]
    national: Mapping[str, str]
    forms: Mapping[str, tuple[str, Mend | None]]


def _build(
    name: str, about: tuple[str, str], codes: dict[str, str], national: dict[str, str], aliases: Codes
) -> CodeSet:
    """Canonical values and national codes come unmended; names, if only one code has them, and aliases don't."""
    counted = Counter(codes.values())
    forms: dict[str, tuple[str, Mend | None]] = {
        title.lower(): (code, Mend.CODE_ALIAS) for code, title in codes.items() if counted[title] == 1
    }
    forms |= {alias.lower(): (str(code), Mend.CODE_ALIAS) for alias, code in aliases.items()}
    exact = dict(national) | {code: code for code in codes}
    forms |= {code.lower(): (canonical, Mend.CODE_ALIAS) for code, canonical in exact.items()}
    forms |= {code: (canonical, None) for code, canonical in exact.items()}
    return CodeSet(name, *about, codes, national, forms)


# name -> (standard, title), canonical values with their names, codes of the standard, other ways to write them
_OWN: dict[str, tuple[tuple[str, str], dict[str, str], dict[str, str], dict[str, str]]] = {
    "sex": (
        ("GB/T 2261.1-2003", "人的性别代码"),
        {"male": "男性", "female": "女性", "unknown": "未知的性别", "unspecified": "未说明的性别"},
        {"1": "male", "2": "female", "0": "unknown", "9": "unspecified"},
        {
            **dict.fromkeys(("男", "M", "01", "30005"), "male"),
            **dict.fromkeys(("女", "F", "02", "30006"), "female"),
            **dict.fromkeys(("未知", "未知性别", "不详", "00"), "unknown"),
            **dict.fromkeys(("未说明", "未说明性别", "保密", "09"), "unspecified"),
        },
    ),
    "marital_status": (
        ("GB/T 2261.2-2003", "婚姻状况代码"),
        {"unmarried": "未婚", "married": "已婚", "widowed": "丧偶", "divorced": "离婚", "unspecified": "未说明的婚姻状况"},
        {
            "10": "unmarried", "20": "married", "21": "married", "22": "married", "23": "married", "30": "widowed",
            "40": "divorced", "90": "unspecified",
        },
        {  # 21 to 23 by their names: the first marriage, another one, and one with the same person again
            **dict.fromkeys(("初婚", "再婚", "复婚"), "married"),
            "丧偶未婚": "widowed", "离异": "divorced", "未说明": "unspecified",
        },
    ),
    "disability_category": (
        ("GB/T 26341-2010", "残疾类别"),
        {
            "visual": "视力残疾", "hearing": "听力残疾", "speech": "言语残疾", "physical": "肢体残疾",
            "intellectual": "智力残疾", "mental": "精神残疾", "multiple": "多重残疾",
        },
        {  # place 19 of a disability card's number; some pages swap 1 and 2, which is wrong
            "1": "visual", "2": "hearing", "3": "speech", "4": "physical", "5": "intellectual", "6": "mental",
            "7": "multiple",
        },
        {
            "视力": "visual", "听力": "hearing", "言语": "speech", "肢体": "physical", "智力": "intellectual",
            "精神": "mental", "多重": "multiple",
        },
    ),
    "care_level": (
        ("OneWindow", "护理等级"),
        {"independent": "自理", "partial": "半失能", "full": "失能"},
        {"自理": "independent", "半失能": "partial", "失能": "full"},
        {"能力完好": "independent", "半自理": "partial", "不能自理": "full"},
    ),
    "benefit_kind": (
        ("OneWindow", "待遇种类"),
        {"pension": "养老待遇", "old_age_allowance": "高龄津贴", "low_income": "最低生活保障"},
        {},
        {},
    ),
    "benefit_state": (
        ("OneWindow", "待遇状态"),
        {"paying": "发放", "suspended": "暂停", "stopped": "停发"},
        {"1": "paying", "2": "suspended", "3": "stopped"},
        {},
    ),
}  # fmt: skip

# Other ways to write the codes of the files, beside what their column ``aliases`` holds.
_ALIASES: dict[str, dict[str, str]] = {
    "kinship": {
        "丈夫": "11", "妻子": "12", "爱人": "10", "儿子": "20", "女儿": "30", "长男": "22", "次男": "23",
        "媳妇": "38", "孙": "41", "外孙": "43", "外孙女儿": "44", "父": "51", "母": "52", "爷爷": "61", "奶奶": "62",
        "外公": "63", "姥爷": "63", "外婆": "64", "姥姥": "64", "哥哥": "71", "哥": "71", "嫂子": "72", "弟弟": "73",
        "姐": "75", "妹": "77",
    },
    "education": {
        "研究生": "10", "大学本科": "20", "本科": "20", "大学专科": "30", "大专": "30", "专科": "30",
        "中等职业": "40", "中专": "40", "职高": "40", "技校": "40", "普通高中": "60", "高中": "60", "初中": "70",
        "小学": "80",
    },
    "disability_level": {
        "1级": "1", "2级": "2", "3级": "3", "4级": "4", "Ⅰ级": "1", "Ⅱ级": "2", "Ⅲ级": "3", "Ⅳ级": "4",
        "一": "1", "二": "2", "三": "3", "四": "4",
    },
}  # fmt: skip
_UNPADDED = {"ethnic_group"}  # 1 for 01, as spreadsheets leave it; kinship 1 may also be the one-digit code of a spouse


@cache
def names() -> tuple[str, ...]:
    """The names of all code sets."""
    return (*_OWN, *(name for name in (entry["file"].removesuffix(".csv") for entry in _index()) if name not in _OWN))


@cache
def _index() -> list[dict[str, str]]:
    entries: list[dict[str, str]] = json.loads(_read("index.json"))
    return entries


def _read(file: str) -> str:
    return (files("contracts.data") / "codesets" / file).read_text(encoding="utf-8")


@cache
def codeset(name: str) -> CodeSet:
    """A code set by its name: one of our own, or a file of ``data/codesets``. Raises LookupError for another name."""
    if name in _OWN:
        about, codes, national, aliases = _OWN[name]
        return _build(name, about, codes, national, aliases)
    about = {entry["file"]: (entry["standard"], entry["title"]) for entry in _index()}.get(f"{name}.csv", ("", ""))
    if about == ("", ""):
        raise LookupError(f"no code set {name!r}; known: {', '.join(names())}")
    codes, aliases = {}, dict(_ALIASES.get(name, {}))
    for row in csv.DictReader(StringIO(_read(f"{name}.csv"))):
        code = row.get("department", "") + row["code"]  # the kind of a body has a meaning only within its department
        codes[code] = row["name"]
        aliases |= dict.fromkeys(_others(name, row), code)
        if name in _UNPADDED and code.startswith("0"):
            aliases[code[1:]] = code
    return _build(name, about, codes, {code: code for code in codes}, aliases)


def _others(name: str, row: dict[str, str]) -> list[str]:
    """Other ways to write one row: older names, GB/T 3304 letters, and the name without the word all names end in."""
    written = [*filter(None, row.get("aliases", "").split(";")), *filter(None, (row.get("alpha"), row.get("roman")))]
    if name == "ethnic_group":
        written += [known.removesuffix("族") for known in (row["name"], *written) if known.endswith("族")]
    return written


def coded(raw: object, table: Codes | None, name: str) -> Parsed[str | bool]:
    """The canonical value of a code. ``table`` is the source's own, None if it declares none; ``name`` the code set's.

    First the table. Then the set: a code, a name or an alias, any of which is a mend (Mend.CODE_ALIAS) where a table is
    declared; without one, the codes of the standard are no mend. A bare national code outside of the table counts only if
    the table does not use other codes for the same things: a source that says 0 for men does not mean women by 2. Where
    ``name`` is no code set (a yes or no), the table alone counts. Raises Refused with CODE_UNKNOWN for the rest.
    """
    if table is not None and isinstance(raw, str) and raw in table:
        return table[raw], None
    forms = _forms(name)
    if table is None and isinstance(raw, str) and raw in forms:
        return forms[raw]
    text, mend = clean(raw)
    bare = without_point_zero(text)
    if table is not None and (listed := text if text in table else bare) in table:
        return table[listed], mend
    form = forms.get(bare.lower())
    if form is not None and not (table and _redefines(table, bare, codeset(name).national)):
        canonical, how = form
        return canonical, (Mend.CODE_ALIAS if table is not None or text not in forms else last(how, mend))
    if says_nothing(text):
        return None, None
    raise Refused(Reason.CODE_UNKNOWN, shape(text))


@cache
def _forms(name: str) -> Mapping[str, tuple[str, Mend | None]]:
    return codeset(name).forms if name in names() else {}


def _redefines(table: Codes, code: str, national: Mapping[str, str]) -> bool:
    """Whether a national code can't be believed, because the source's table gives some of them another meaning."""
    return code in national and any(table[other] != value for other, value in national.items() if other in table)
