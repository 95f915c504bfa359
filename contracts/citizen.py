"""The citizen ID number (公民身份号码, GB 11643-1999): 6 digits of the first registration, 8 of the birth date, 3 of a
sequence whose last tells the sex (odd is male), and a check character (ISO 7064 MOD 11-2).

The 15-digit number of GB 11643-1989 lacks the century, which is 19, and the check character. The six-digit prefix is
never judged: retired divisions stay in the numbers of the living.
"""

from __future__ import annotations

import re
from datetime import date
from functools import lru_cache

from contracts.reasons import Mend, Reason
from contracts.texts import EDGES, Parsed, Refused, clean, is_blank, shape

_WEIGHTS = (7, 9, 10, 5, 8, 4, 2, 1, 6, 3, 7, 9, 10, 5, 8, 4, 2)
_CHECK = "10X98765432"
_SHAPE = re.compile(r"\d{17}[\dX]")
_INNER = re.compile(f"[{EDGES}]")
_SCIENTIFIC = re.compile(r"\d(\.\d+)?[eE]\+?\d+")
_MASKED = re.compile(r"(?=.*(\*|[Xx]{3,}))[\dXx*]+")


@lru_cache(maxsize=65_536)
def _birth(digits: str) -> date | None:
    try:
        return date(int(digits[:4]), int(digits[4:6]), int(digits[6:]))
    except ValueError:
        return None


def check_character(first17: str) -> str:
    """The check character for 17 digits: weights 2^(18-i) mod 11, remainder looked up (GB 11643-1999, 3.4)."""
    total = sum(map(int.__mul__, map(int, first17), _WEIGHTS))
    return _CHECK[total % 11]


def birth_date(number: str) -> date:
    """The birth date inside a canonical number."""
    found = _birth(number[6:14])
    assert found is not None, "the number was parsed"
    return found


def sex(number: str) -> str:
    """``male`` or ``female``, from the 17th digit."""
    return "male" if int(number[16]) % 2 else "female"


def mask(number: str) -> str:
    """The number with only its first three and last two characters: enough to recognise, too little to use."""
    return number[:3] + "*" * max(len(number) - 5, 3) + number[-2:]


def id_number(raw: object, *, on: date) -> Parsed:
    """The 18-character number. ``on``: a birth date after this day is refused.

    Mended: spaces, full width, a spreadsheet's apostrophe, hyphens, a small x, the 15-digit form. Refused with the
    reason that says most: what can't be repaired is never guessed.
    """
    mend = None
    if not (isinstance(raw, str) and len(raw) == 18 and _SHAPE.fullmatch(raw) and raw.isascii()):
        text, mend = _repair(raw)
        if text is None:
            return None, None
    else:
        text = raw
    born = _birth(text[6:14])
    good = check_character(text[:17]) == text[17]
    if not good and text.endswith("000"):
        raise Refused(Reason.ID_PRECISION_LOSS, "ends in 000 and does not check")
    if born is None:
        raise Refused(Reason.ID_BIRTH_DATE, "positions 7 to 14 are no day")
    if born > on:
        raise Refused(Reason.ID_BIRTH_DATE_FUTURE, "positions 7 to 14 lie in the future")
    if not good:
        raise Refused(Reason.ID_CHECK_DIGIT, "position 18 does not fit")
    return text, mend


def _repair(raw: object) -> tuple[str | None, Mend | None]:
    """18 characters of the right shape, or the reason why not."""
    if isinstance(raw, float):
        raise Refused(Reason.ID_SCIENTIFIC_NOTATION, "a floating-point number")
    text, mend = clean(raw)
    if is_blank(text):
        return None, None
    if _SCIENTIFIC.fullmatch(text):
        raise Refused(Reason.ID_SCIENTIFIC_NOTATION, "scientific notation")
    if _INNER.search(text):
        text, mend = _INNER.sub("", text), mend or Mend.SPACES
    if "-" in text:
        text, mend = text.replace("-", ""), Mend.SEPARATORS
    if _MASKED.fullmatch(text):
        raise Refused(Reason.ID_MASKED, "masked characters")
    if text.endswith("x"):
        text, mend = text[:-1] + "X", Mend.LOWERCASE_X
    if len(text) == 15 and text.isascii() and text.isdigit():
        first17 = text[:6] + "19" + text[6:]
        return first17 + check_character(first17), Mend.OLD_15_DIGIT
    if not re.fullmatch(r"\d*X?", text, re.ASCII):
        raise Refused(Reason.ID_CHARACTER, shape(text))
    if len(text) != 18:
        raise Refused(Reason.ID_LENGTH, f"{len(text)} characters")
    return text, mend
