"""Plain values of a source: text, whole numbers, telephone numbers, yes and no; and the cleaning that all others share.

Every parser of ``contracts`` has one shape: it takes what the source holds, and returns a ``Parsed``: (value, mend). A
value of None means that the source says nothing. ``mend`` names what had to be done to bring it into form; where several
things were, the one that stands last in the list ``Mend``. What can't be a value raises Refused. A canonical value is a
fixed point: parsing it again returns it, with no mend.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import date
from decimal import Decimal
from typing import TypeAlias, TypeVar

from contracts.reasons import Mend, Reason

T = TypeVar("T")
Parsed: TypeAlias = tuple[T | None, Mend | None]
"""The value, None where the source says nothing, and how it was mended."""

EDGES = "\t\n\v\f\r \u0085\u00a0\u1680" + "".join(map(chr, range(0x2000, 0x200B))) + "\u2028\u2029\u202f\u205f\u3000"
"""Every space that sources put around a value: ASCII, no-break, typographic, ideographic."""

_BLANK = frozenset({"", "null", "none", "nil", "nat", "undefined", "\\n", "n/a", "#n/a", "(null)", "<null>", "[null]"})
NOTHING = frozenset(
    {"无", "暂无", "没有", "空", "不详", "不明", "未知", "未填", "未填写", "未登记", "未提供", "(空)", "<空>"}
)
"""Words for nothing where they can't be the value itself."""
_LONGEST_BLANK = 12
_STROKES = "-—–−_/\\"
_ORDER = {mend: place for place, mend in enumerate(Mend)}

# Zero-width characters, soft hyphen, byte order mark, and the direction marks that copying from a dialog brings along.
_UNSEEN = re.compile("[\u00ad\u180e\u200b-\u200f\u202a-\u202e\u2060-\u2064\u2066-\u2069\ufeff]")
_HAS_FULL_WIDTH = re.compile("[\uff01-\uff5e\uffe5]")
_FULL_WIDTH = {code: code - 0xFEE0 for code in range(0xFF01, 0xFF5F)} | {0xFFE5: 0xA5}  # what NFKC does to this block
_APOSTROPHES = "'’‘`"
_FORMULA = re.compile(r'="(.*)"', re.DOTALL)

# C0 (but tab and line breaks) and C1 controls, the replacement character, halves of pairs, and what GBK makes of U+FFFD.
_BROKEN = re.compile("[\u0000-\u0008\u000e-\u001f\u007f-\u0084\u0086-\u009f\ufffd-\uffff\ud800-\udfff]|锟斤拷")
_QUESTION_MARKS = re.compile(r"[?？\s]{2,}")
_LINE_BREAKS = re.compile("[\t\n\v\f\r\u0085\u2028\u2029]+ *")

_POINT_ZERO = re.compile(r"([+-]?[\d,]+)\.0*", re.ASCII)
_WHOLE = re.compile(r"[+-]?(?:\d{1,3}(?:,\d{3})+|\d+)", re.ASCII)
_LARGEST = 2**63 - 1  # what a database column holds

_PHONE_MARKS = re.compile(r"[\s\-()+.‐‑–—−·]+")
_EXTENSION = re.compile(r"(?:转|分机|ext\.?|x|#)\s*:?\s*\d{1,6}$", re.IGNORECASE)
_COUNTRY = re.compile(r"(?:00)?86(?=\d{10})", re.ASCII)
_MOBILE = re.compile(r"1(?!1)\d{10}", re.ASCII)  # 11x are emergency numbers; other prefixes are given out as needed
_FIXED = re.compile(r"0(?:10|2\d)\d{7,8}|0[3-9]\d{9,10}|[48]00\d{7}", re.ASCII)


class Refused(ValueError):
    """A value that can't be accepted. ``detail`` describes it without holding it."""

    def __init__(self, reason: Reason, detail: str = "") -> None:
        super().__init__(f"{reason.value}: {detail}" if detail else reason.value)
        self.reason, self.detail = reason, detail


def written(raw: object) -> str:
    """A value of the source as text. What is no single value (a list, say) becomes U+FFFD, which no parser accepts."""
    if isinstance(raw, str):
        return raw
    if isinstance(raw, Decimal):
        return "" if raw.is_nan() else format(raw, "f")  # a signalling NaN can't even be compared
    if raw is None or raw != raw:  # noqa: PLR0124 - a floating-point NaN is how pandas holds an empty cell
        return ""
    if isinstance(raw, int | float | date):
        return str(raw)
    return "\ufffd"


def last(*mends: Mend | None) -> Mend | None:
    """Of several mends, the one that stands last in the list ``Mend``: that one is reported."""
    return max((mend for mend in mends if mend), key=_ORDER.__getitem__, default=None)


def clean(raw: object) -> tuple[str, Mend | None]:
    """The text of a value without spaces around it, invisible characters, a spreadsheet's apostrophe, or full width.

    Full width means the ASCII twins (U+FF01 to U+FF5E) and ￥; nothing else is folded, least of all Chinese characters.
    The ``="…"`` by which a CSV file keeps a spreadsheet from reading a number counts as an apostrophe.
    """
    text = whole = raw if isinstance(raw, str) else written(raw)
    mend = None
    if not text.isascii():
        text = _UNSEEN.sub("", text)
    text = text.strip(EDGES)
    if text != whole:
        mend = Mend.SPACES
    if not text.isascii() and _HAS_FULL_WIDTH.search(text):
        text, mend = text.translate(_FULL_WIDTH).strip(EDGES), Mend.FULL_WIDTH
    while text:
        if text[0] in _APOSTROPHES:
            bare = text.strip(_APOSTROPHES)
        elif text[0] == "=" and (formula := _FORMULA.fullmatch(text)):
            bare = formula.group(1)
        else:
            break
        text, mend = bare.strip(EDGES), Mend.QUOTE_PREFIX
    return text, mend


def is_blank(text: str) -> bool:
    """Whether a cleaned text is one of the ways to say nothing: NULL, None, N/A, or strokes alone."""
    return len(text) <= _LONGEST_BLANK and (text.lower() in _BLANK or not text.strip(_STROKES))


def says_nothing(text: str) -> bool:
    """As is_blank, and 无, 不详, 未填 and the like: for values that these words can't be, so not for free text."""
    return text in NOTHING or is_blank(text)


def shape(text: str) -> str:
    """What a value looks like, without showing it: digits as 9, letters as A, others as they are, at most 24."""
    return re.sub(r"[A-Za-z]", "A", re.sub(r"\d", "9", "".join(c if c.isascii() else "字" for c in text[:24])))


def without_point_zero(text: str) -> str:
    """``370102.0`` as ``370102``: what a whole number becomes in a spreadsheet or a floating-point column."""
    return found.group(1) if (found := _POINT_ZERO.fullmatch(text)) else text


def text(raw: object) -> Parsed[str]:
    """Free text, such as an address. Full-width characters in it are left alone; a line break becomes one space.

    Refused: control characters, U+FFFD, 锟斤拷, and question marks alone, which a wrong encoding leaves behind.
    """
    whole = raw if isinstance(raw, str) else written(raw)
    value, mend = whole, None
    if not value.isascii():
        value = _UNSEEN.sub("", value)
    value = value.strip(EDGES)
    if not value.isprintable():
        if _BROKEN.search(value):
            raise Refused(Reason.TEXT_UNREADABLE, "control or replacement characters")
        value = _LINE_BREAKS.sub(" ", value)
    elif "锟斤拷" in value or "\ufffd" in value:
        raise Refused(Reason.TEXT_UNREADABLE, "what a wrong encoding leaves behind")
    if value != whole:
        mend = Mend.SPACES
    if value[:1] == "'" and value[-1:] != "'":
        value, mend = value.lstrip("'").strip(EDGES), Mend.QUOTE_PREFIX
    if is_blank(value):
        return None, None
    if _QUESTION_MARKS.fullmatch(value):
        raise Refused(Reason.TEXT_UNREADABLE, "question marks alone")
    return value, mend


def number(raw: object) -> Parsed[int]:
    """A whole number; ``1,234``, ``+5`` and ``12.0`` are mended. Beyond ±2^63 it is refused: no column holds it."""
    if isinstance(raw, int) and not isinstance(raw, bool) and -_LARGEST <= raw <= _LARGEST:
        return raw, None
    value, mend = clean(raw)
    if says_nothing(value):
        return None, None
    bare = without_point_zero(value)
    if not _WHOLE.fullmatch(bare) or len(bare) > 32:
        raise Refused(Reason.NUMBER_UNREADABLE, shape(value))
    plain = bare.replace(",", "").removeprefix("+")
    if abs(int(plain)) > _LARGEST:
        raise Refused(Reason.NUMBER_UNREADABLE, "beyond 2^63")
    return int(plain), (Mend.NUMBER_FORM if plain != value else mend)


def phone(raw: object) -> Parsed[str]:
    """A telephone number as digits: a mobile one of 11, a landline with its area code, or a 400 or 800 number.

    Separators, +86 and an extension are dropped (Mend.PHONE_FORM). Any 11 digits from 1 on are a mobile number, whether
    the prefix is assigned or not: new ones are. A landline without its area code is refused, and so are two numbers in
    one field; neither is guessed.
    """
    if isinstance(raw, str) and len(raw) == 11 and _MOBILE.fullmatch(raw):
        return raw, None
    value, mend = clean(raw)
    if says_nothing(value) or not value.strip("0"):
        return None, None
    digits = _PHONE_MARKS.sub("", _EXTENSION.sub("", without_point_zero(value)))
    abroad = _COUNTRY.match(digits)
    if abroad:
        digits = digits[abroad.end() :]
    elif value.lstrip("(").startswith(("+", "00")):
        raise Refused(Reason.PHONE_UNREADABLE, "of another country")
    if digits[:1] == "0" and digits[1:2] == "1" and digits[2:3] != "0" and _MOBILE.fullmatch(digits[1:]):
        digits = digits[1:]  # the 0 that was dialled before a mobile number of another city
    if not _MOBILE.fullmatch(digits):
        if abroad and digits[:1] != "0":
            digits = "0" + digits  # +86 531 …: an area code loses its 0 abroad
        if not _FIXED.fullmatch(digits):
            raise Refused(Reason.PHONE_UNREADABLE, shape(value))
    return digits, (Mend.PHONE_FORM if digits != value else mend)


_FLAGS = {
    "1": True, "是": True, "y": True, "yes": True, "t": True, "true": True,
    "0": False, "否": False, "n": False, "no": False, "f": False, "false": False,
}  # fmt: skip


def flag(raw: object, table: Mapping[str, str | bool] | None = None) -> Parsed[bool]:
    """Yes or no: 是/否, 1/0, Y/N, true/false; before these, the source's own ``table``: code -> True or False."""
    if isinstance(raw, bool):
        return raw, None
    value, mend = clean(raw)
    if table is not None and isinstance(known := table.get(value), bool):
        return known, mend
    if says_nothing(value):
        return None, None
    found = _FLAGS.get(without_point_zero(value).lower())
    if found is None:
        raise Refused(Reason.CODE_UNKNOWN, shape(value))
    return found, mend
