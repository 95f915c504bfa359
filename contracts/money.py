"""Money in 分 (fen), as whole numbers, exactly."""

from __future__ import annotations

import re
from decimal import Decimal
from typing import Literal

from contracts.reasons import Mend, Reason
from contracts.texts import Refused, clean, is_blank, shape

_AMOUNT = re.compile(r"(-?)(\d{1,3}(?:,\d{3})+|\d+)(?:\.(\d+))?", re.ASCII)
_DRESS = re.compile(r"^[¥￥]\s*|^(?:RMB|CNY)\s*|\s*元$")


def fen(raw: object, *, unit: Literal["fen", "yuan"]) -> tuple[int | None, Mend | None]:
    """An amount in fen. ``unit`` is that of the source. More than two decimals of a 元, or part of a 分, is refused."""
    if unit == "fen" and isinstance(raw, int) and not isinstance(raw, bool):
        if raw < 0:
            raise Refused(Reason.MONEY_NEGATIVE, "negative")
        return raw, None
    text, mend = clean(format(raw, "f") if isinstance(raw, Decimal) else raw)
    if is_blank(text):
        return None, None
    bare = _DRESS.sub("", text)
    found = _AMOUNT.fullmatch(bare)
    if not found:
        raise Refused(Reason.MONEY_UNREADABLE, shape(text))
    sign, whole, part = found.group(1), found.group(2).replace(",", ""), (found.group(3) or "").rstrip("0")
    if len(part) > (2 if unit == "yuan" else 0):
        raise Refused(Reason.MONEY_UNREADABLE, "a part of a 分")
    if sign and (int(whole) or part):
        raise Refused(Reason.MONEY_NEGATIVE, "negative")
    amount = int(whole) * 100 + int(part.ljust(2, "0")) if unit == "yuan" else int(whole)
    return amount, (Mend.MONEY_FORM if bare != text or "," in bare else mend)
