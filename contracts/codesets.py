"""Code sets: national ones (``data/codesets``, each with its standard in ``index.json``) and the few of our own.

``coded`` brings a source's code into canonical form: by the table that the source file declares, else by the code, the
name or an alias of the set.
"""

from __future__ import annotations

import csv
from collections.abc import Mapping
from functools import cache
from importlib.resources import files
from typing import NamedTuple

from contracts.reasons import Mend, Reason
from contracts.texts import Refused, clean, is_blank, shape

_DATA = files("contracts") / "data" / "codesets"


class CodeSet(NamedTuple):
    """``values``: canonical values and names. ``standard``: codes as the standard writes them. ``aliases``: others."""

    values: Mapping[str, str]
    standard: Mapping[str, str]
    aliases: Mapping[str, str]


_SEX = CodeSet(
    values={"male": "男性", "female": "女性", "unknown": "未知的性别", "unspecified": "未说明的性别"},
    standard={"1": "male", "2": "female", "0": "unknown", "9": "unspecified"},
    aliases={
        "男": "male",
        "男性": "male",
        "m": "male",
        "male": "male",
        "30005": "male",
        "01": "male",
        "女": "female",
        "女性": "female",
        "f": "female",
        "female": "female",
        "30006": "female",
        "02": "female",
        "未知": "unknown",
        "未知的性别": "unknown",
        "未说明": "unspecified",
        "未说明的性别": "unspecified",
    },
)
_CARE_LEVEL = CodeSet(
    values={"independent": "自理", "partial": "半失能", "full": "失能"},
    standard={"自理": "independent", "半失能": "partial", "失能": "full"},
    aliases={"能力完好": "independent", "半自理": "partial", "不能自理": "full"},
)
_BENEFIT_KIND = CodeSet(
    values={"pension": "养老待遇", "old_age_allowance": "高龄津贴"},
    standard={"pension": "pension", "old_age_allowance": "old_age_allowance"},
    aliases={"养老待遇": "pension", "高龄津贴": "old_age_allowance"},
)
_BENEFIT_STATE = CodeSet(
    values={"paying": "发放", "suspended": "暂停", "stopped": "停发"},
    standard={"1": "paying", "2": "suspended", "3": "stopped"},
    aliases={"发放": "paying", "暂停": "suspended", "停发": "stopped", "paying": "paying"},
)
_OWN = {"sex": _SEX, "care_level": _CARE_LEVEL, "benefit_kind": _BENEFIT_KIND, "benefit_state": _BENEFIT_STATE}


@cache
def codeset(name: str) -> CodeSet:
    """A code set by its name: one of our own, or a file of ``data/codesets``."""
    if name in _OWN:
        return _OWN[name]
    with (_DATA / f"{name}.csv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    aliases: dict[str, str] = {}
    for row in rows:
        names = [row["name"], *filter(None, row.get("aliases", "").split(";"))]
        for known in names:
            aliases[known.lower()] = row["code"]
            if name == "ethnic_group" and known.endswith("族"):
                aliases.setdefault(known[:-1], row["code"])
    return CodeSet({row["code"]: row["name"] for row in rows}, {row["code"]: row["code"] for row in rows}, aliases)


def coded(
    raw: object, name: str, table: Mapping[str, str | bool] | None = None
) -> tuple[str | bool | None, Mend | None]:
    """The canonical value of a code. ``table`` is the source's own: code -> canonical value."""
    if table is not None and isinstance(raw, str) and raw in table:
        return table[raw], None
    text, mend = clean(raw)
    if is_blank(text):
        return None, None
    if table is not None and text in table:
        return table[text], mend
    known = codeset(name)
    if text in known.standard:
        return known.standard[text], mend if table is None else Mend.CODE_ALIAS
    alias = known.aliases.get(text.lower())
    if alias is None:
        raise Refused(Reason.CODE_UNKNOWN, shape(text))
    return alias, Mend.CODE_ALIAS
