"""How values of people look to somebody who only has to see whether a mapping is right."""

from __future__ import annotations

import re

from contracts.fields import FIELDS
from contracts.texts import EDGES, clean, shape

_INNER = re.compile(f"[-‐‑‒–—―−{EDGES}]+")
_NUMBER = re.compile(r"\d{15,}", re.ASCII)
_FIRST, _LAST = 6, 1  # of an ID number: the region that it was first registered in, and the check character
_OPEN = {"code", "flag", "money", "month", "division", "number", "as_of"}
"""Kinds of fields that tell nothing of one person by themselves."""


def id_number(text: str) -> str:
    """An ID number, or what stands in its place: at most its first six characters and its last."""
    if len(text) < 15:
        return shape(text)
    return text[:_FIRST] + "*" * (len(text) - _FIRST - _LAST) + text[-_LAST:]


def shown(field: str, value: object, *, openly: bool) -> str:
    """A value of a canonical field, or of the column it comes from. ID numbers are masked always, wherever they stand;
    what else is a person's, unless ``openly``."""
    if value is None or value == "":
        return ""
    text = clean(value)[0]
    kind = FIELDS[field].kind if field in FIELDS else "text"
    if kind == "id_number" or _NUMBER.search(_INNER.sub("", text)):
        return id_number(text)
    if openly or kind in _OPEN:
        return str(value)
    return _masked(kind, text)


def _masked(kind: str, text: str) -> str:
    if kind == "name":
        return text[:1] + "*" * min(3, len(text) - 1)
    if kind == "phone":
        return text[:3] + "*" * max(0, len(text) - 5) + text[-2:] if len(text) >= 7 else shape(text)
    if kind == "day":
        return re.sub(r"\d", "*", text[4:]).join((text[:4], "")) if len(text) > 4 else text
    return text[:4] + "…" if len(text) > 4 else shape(text)
