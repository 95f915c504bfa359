"""Money in 分 (fen), as whole numbers, exactly: no floating point on the way.

Forms read: 1234.5, 1,234.50, ¥1234, 1234元, 1234元整, RMB 1234; full-width digits too.
"""

from __future__ import annotations

import re
from typing import Literal

from contracts.reasons import Mend, Reason
from contracts.texts import Parsed, Refused, clean, says_nothing, shape

_PLAIN_YUAN = re.compile(r"(\d{1,12})\.(\d\d)", re.ASCII)
_AMOUNT = re.compile(r"([+-]?)(\d{1,3}(?:,\d{3})+|\d*)(?:\.(\d*))?", re.ASCII)
_SIGN = r"¥|￥|RMB|CNY|人民币"
_BEFORE = re.compile(rf"^([+\-−]?)\s*(?:{_SIGN})\s*:?\s*(?=[+\-−.\d])", re.IGNORECASE)
_AFTER = {
    "yuan": re.compile(r"\s*(?:[元圆][整正]?|RMB|CNY)$", re.IGNORECASE),
    "fen": re.compile(r"\s*分$"),
}
_BRACKETS = re.compile(r"\((.+)\)")
_LARGEST = 2**63 - 1  # what a database column holds


def fen(raw: object, *, unit: Literal["fen", "yuan"]) -> Parsed[int]:
    """An amount in fen. ``unit`` is that of the source.

    More than two decimals of a 元, or part of a 分, is refused, unless the rest are zeros: nothing is rounded, so the
    noise of a floating-point column is seen. A 元 behind an amount declared in fen is refused as well. Negative amounts
    are refused with MONEY_NEGATIVE, also in a bookkeeper's brackets.
    """
    if isinstance(raw, int) and not isinstance(raw, bool) and 0 <= raw <= _LARGEST // 100:
        return (raw if unit == "fen" else raw * 100), None
    if unit == "yuan" and isinstance(raw, str) and (plain := _PLAIN_YUAN.fullmatch(raw)):
        return int(plain.group(1)) * 100 + int(plain.group(2)), None
    text, mend = clean(raw)
    if says_nothing(text):
        return None, None
    bare = "-" + brackets.group(1) if (brackets := _BRACKETS.fullmatch(text)) else text
    bare = _AFTER[unit].sub("", _BEFORE.sub(r"\1", bare)).replace("−", "-")
    found = _AMOUNT.fullmatch(bare)
    if not found or not (found.group(2) or found.group(3)):
        raise Refused(Reason.MONEY_UNREADABLE, shape(text))
    sign, whole, part = found.group(1), (found.group(2) or "0").replace(",", ""), (found.group(3) or "").rstrip("0")
    if len(part) > (2 if unit == "yuan" else 0):
        raise Refused(Reason.MONEY_UNREADABLE, "a part of a 分")
    if len(whole.lstrip("0")) > 18:
        raise Refused(Reason.MONEY_UNREADABLE, "beyond 2^63 分")
    amount = int(whole) * 100 + int(part.ljust(2, "0")) if unit == "yuan" else int(whole)
    if sign == "-" and amount:
        raise Refused(Reason.MONEY_NEGATIVE, "negative")
    if amount > _LARGEST:
        raise Refused(Reason.MONEY_UNREADABLE, "beyond 2^63 分")
    changed = bare != text or "," in bare or sign or not found.group(2) or bare.endswith(".")
    return amount, (Mend.MONEY_FORM if changed else mend)
