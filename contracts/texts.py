"""Plain values of a source: text, whole numbers, telephone numbers, yes and no; and the cleaning that all others share.

Every parser of ``contracts`` has one shape: it takes what the source holds and returns (value, mend). A value of None
means that the source says nothing. ``mend`` names what had to be done to bring it into form; where several things
were, the last one. What can't be a value raises Refused.
"""

from __future__ import annotations

import re

from contracts.reasons import Mend, Reason

Parsed = tuple[str | None, Mend | None]

_BLANK = {"", "null", "none", "nan", "-", "--", "/", "\\n", "n/a", "(null)"}
_SPACES = "\u0009\u000a\u000b\u000c\u000d\u0020\u00a0\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200a"
_UNSEEN = "\u200b\u200c\u200d\u2060\ufeff\u202f\u3000"
EDGES = _SPACES + _UNSEEN
_FULL_WIDTH = {code: code - 0xFEE0 for code in range(0xFF01, 0xFF5F)}
_HAS_FULL_WIDTH = re.compile("[\uff01-\uff5e]")
_BROKEN = re.compile("[\u0000-\u0008\u000e-\u001f\u007f-\u009f\ufffd\ue000-\uf8ff]")
_MOBILE = re.compile(r"1\d{10}")
_LANDLINE = re.compile(r"0\d{2,3}\d{7,8}")
_NOT_DIGITS = re.compile(r"[^0-9]")
_PHONE_MARKS = re.compile(r"[\s\-()+.]+")


class Refused(ValueError):
    """A value that can't be accepted. ``detail`` describes it without holding it."""

    def __init__(self, reason: Reason, detail: str = "") -> None:
        super().__init__(reason.value)
        self.reason, self.detail = reason, detail


def clean(raw: object) -> tuple[str, Mend | None]:
    """The text of a value without spaces around it, invisible characters, a spreadsheet's apostrophe, or full width."""
    text = raw if isinstance(raw, str) else "" if raw is None else str(raw)
    mend = None
    stripped = text.strip(EDGES)
    if stripped != text:
        text, mend = stripped, Mend.SPACES
    if text.startswith("'"):
        text, mend = text[1:].strip(EDGES), Mend.QUOTE_PREFIX
    if not text.isascii() and _HAS_FULL_WIDTH.search(text):
        text, mend = text.translate(_FULL_WIDTH).strip(EDGES), Mend.FULL_WIDTH
    return text, mend


def is_blank(text: str) -> bool:
    """Whether a cleaned text is one of the ways to say nothing."""
    return text.lower() in _BLANK


def shape(text: str) -> str:
    """What a value looks like, without showing it: digits as 9, letters as A, others as they are, at most 24."""
    return re.sub(r"[A-Za-z]", "A", re.sub(r"\d", "9", "".join(c if c.isascii() else "字" for c in text[:24])))


def text(raw: object) -> Parsed:
    """Free text, such as an address. Full-width characters in it are left alone."""
    value = raw if isinstance(raw, str) else "" if raw is None else str(raw)
    stripped = value.strip(EDGES)
    if is_blank(stripped):
        return None, None
    if _BROKEN.search(stripped):
        raise Refused(Reason.TEXT_UNREADABLE, "control or replacement characters")
    return stripped, (Mend.SPACES if stripped != value else None)


def number(raw: object) -> tuple[int | None, Mend | None]:
    """A whole number; ``1,234`` and ``12.0`` are mended."""
    if isinstance(raw, int) and not isinstance(raw, bool):
        return raw, None
    value, mend = clean(raw)
    if is_blank(value):
        return None, None
    if not re.fullmatch(r"-?\d{1,3}(,\d{3})+(\.0+)?|-?\d+(\.0+)?", value):
        raise Refused(Reason.NUMBER_UNREADABLE, shape(value))
    plain = value.replace(",", "").split(".")[0]
    return int(plain), (Mend.NUMBER_FORM if plain != value else mend)


def phone(raw: object) -> Parsed:
    """A telephone number as digits: a mobile one of 11, or a landline with its area code."""
    if isinstance(raw, str) and len(raw) == 11 and raw.isascii() and raw.isdigit() and raw[0] == "1":
        return raw, None
    value, mend = clean(raw)
    if is_blank(value):
        return None, None
    digits = _PHONE_MARKS.sub("", value)
    if _NOT_DIGITS.search(digits):
        raise Refused(Reason.PHONE_UNREADABLE, shape(value))
    for prefix in ("0086", "86"):
        if digits.startswith(prefix) and _MOBILE.fullmatch(digits[len(prefix) :]):
            digits = digits[len(prefix) :]
    if not (_MOBILE.fullmatch(digits) or _LANDLINE.fullmatch(digits)):
        raise Refused(Reason.PHONE_UNREADABLE, shape(value))
    return digits, (Mend.PHONE_FORM if digits != value else mend)


_FLAGS = {"1": True, "0": False, "是": True, "否": False, "y": True, "n": False, "true": True, "false": False}


def flag(raw: object) -> tuple[bool | None, Mend | None]:
    """Yes or no: 是/否, 1/0, Y/N, true/false."""
    if isinstance(raw, bool):
        return raw, None
    value, mend = clean(raw)
    if is_blank(value):
        return None, None
    known = _FLAGS.get(value.lower())
    if known is None:
        raise Refused(Reason.CODE_UNKNOWN, shape(value))
    return known, mend
