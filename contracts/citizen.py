"""The citizen ID number (公民身份号码, GB 11643-1999): 6 digits of the first registration, 8 of the birth date, 3 of a
sequence whose last tells the sex (odd is male), and a check character (ISO 7064 MOD 11-2).

    3 7 9 9 0 1  1 9 7 0 0 5 1 5  1 0 1  9
    region       birth date       seq.   check

The 15-digit number of GB 11643-1989 lacks the century, which is 19, and the check character. The six-digit prefix is
never judged: retired divisions stay in the numbers of the living.
"""

from __future__ import annotations

import re
from datetime import date
from functools import lru_cache
from itertools import product
from operator import mul
from typing import Literal

from contracts.reasons import Mend, Reason
from contracts.texts import EDGES, Parsed, Refused, clean, last, says_nothing, shape, without_point_zero

_WEIGHTS = (7, 9, 10, 5, 8, 4, 2, 1, 6, 3, 7, 9, 10, 5, 8, 4, 2)  # 2^(18-i) mod 11 for the places i = 1 to 17
_CHECK = "10X98765432"  # the check character for a weighted sum of 0 to 10, mod 11
_SEQUENCES = {  # three digits -> their weighted sum
    f"{a}{b}{c}": a * _WEIGHTS[14] + b * _WEIGHTS[15] + c * _WEIGHTS[16] for a, b, c in product(range(10), repeat=3)
}
_PAIRS = tuple(  # for the places 7 to 14: two digits -> their weighted sum
    {f"{a}{b}": a * _WEIGHTS[place] + b * _WEIGHTS[place + 1] for a, b in product(range(10), repeat=2)}
    for place in (6, 8, 10, 12)
)
_INNER = re.compile(f"[{EDGES}]+")
_HYPHENS = re.compile("[-‐‑‒–—―−]")
_SCIENTIFIC = re.compile(r"\d+(\.\d+)?E\+?\d+", re.ASCII | re.IGNORECASE)
_MASKED = re.compile(r"(?=.*([*●•×∗✱#]|X{3,}))[\dX*●•×∗✱#]+", re.ASCII | re.IGNORECASE)
_INSIDE = re.compile(
    r"(?<!\d)(\d{15}(\d\d)?|\d{17}[\dXx]|\d{6}(18|19|20)\d\d(0[1-9]|1[0-2])[0-3]\d\d{3}[\dXx]\d{1,3})(?!\d)", re.ASCII
)
_DIGITS = re.compile(r"\d*X?", re.ASCII)


@lru_cache(maxsize=16_384)
def _region(digits: str) -> int | None:
    """The weighted sum of the first six places, None where they are not digits."""
    return _sum(digits, 0) if digits.isascii() and digits.isdigit() else None


@lru_cache(maxsize=65_536)
def _birth(digits: str) -> tuple[int, date | None] | None:
    """The weighted sum of places 7 to 14 and the day they name, if there is one; None where they are not digits."""
    century, year, month, day = _PAIRS
    try:
        total = century[digits[:2]] + year[digits[2:4]] + month[digits[4:6]] + day[digits[6:]]
    except KeyError:
        return None
    try:
        born = date(int(digits[:4]), int(digits[4:6]), int(digits[6:]))
    except ValueError:
        born = None
    return total, born


def _sum(digits: str, start: int) -> int:
    return sum(map(mul, map(int, digits), _WEIGHTS[start:]))


def check_character(first17: str) -> str:
    """The check character for 17 digits: the sum of digit x 2^(18-i), mod 11, looked up (GB 11643-1999, 3.4)."""
    return _CHECK[_sum(first17, 0) % 11]


def sex(number: str) -> Literal["male", "female"]:
    """The sex inside a canonical number, from the 17th digit."""
    return "male" if int(number[16]) % 2 else "female"


def mask(number: str) -> str:
    """The number with only its first three and last two characters: enough to recognise, too little to use."""
    if len(number) < 15:
        return "*" * len(number)
    return number[:3] + "*" * (len(number) - 5) + number[-2:]


def masked(text: str) -> str:
    """The text, masked as a whole where it holds something like an ID number: 15 digits, or 17 and a digit or X; also
    where that is the beginning of a disability card's number, well made or not: up to three digits more."""
    return mask(text) if _INSIDE.search(_INNER.sub("", _HYPHENS.sub("", text))) else text


def id_number(raw: object, *, on: date) -> Parsed[str]:
    """The 18-character number. ``on``: a birth date after this day is refused.

    Mended: spaces, full width, a spreadsheet's apostrophe, a small x, the 15-digit form (century 19), hyphens; of
    several, the last in the list ``Mend`` is reported. Refused with the reason that says most: what can't be repaired is
    never guessed. A spreadsheet keeps 15 digits of a number, so the birth date survives it: 000 at the end counts as
    precision loss only where there is one (1 such number in 11 passes the check by chance, and can't be told).
    """
    number, mend = raw, None
    checked = _checked(raw) if isinstance(raw, str) and len(raw) == 18 else None
    if checked is None:
        number, mend = _repair(raw)
        if number is None:
            return None, None
        checked = _checked(number)
    assert isinstance(number, str)
    assert checked is not None, "repaired to 17 digits and a digit or X"
    born, good = checked
    if born is None:
        raise Refused(Reason.ID_BIRTH_DATE, "places 7 to 14 are no day")
    if not good and number.endswith("000"):
        raise Refused(Reason.ID_PRECISION_LOSS, "ends in 000 and does not check")
    if born > on:
        raise Refused(Reason.ID_BIRTH_DATE_FUTURE, "places 7 to 14 lie in the future")
    if not good:
        raise Refused(Reason.ID_CHECK_DIGIT, "place 18 does not fit")
    return number, mend


def _checked(number: str) -> tuple[date | None, bool] | None:
    """Of 18 characters: the birth date, and whether the check fits. None where they are not digits and a final X."""
    region, birth, sequence = _region(number[:6]), _birth(number[6:14]), _SEQUENCES.get(number[14:17])
    final = number[17]
    if region is None or birth is None or sequence is None or final not in _CHECK:
        return None
    return birth[1], _CHECK[(region + birth[0] + sequence) % 11] == final


def tidied(raw: object) -> Parsed[str]:
    """A number without what spreadsheets and people put around and into it, and whether anything was; None for nothing.

    Raises Refused for scientific notation, whose last digits are lost.
    """
    text, mend = clean(raw)
    if says_nothing(text):
        return None, None
    if _SCIENTIFIC.fullmatch(text):
        raise Refused(Reason.ID_SCIENTIFIC_NOTATION, "scientific notation")
    if (whole := without_point_zero(text)) != text:
        text, mend = whole, Mend.NUMBER_FORM
    if _INNER.search(text):
        text, mend = _INNER.sub("", text), last(mend, Mend.SPACES)
    if _HYPHENS.search(text):
        text, mend = _HYPHENS.sub("", text), last(mend, Mend.SEPARATORS)
    return text, mend


def _repair(raw: object) -> Parsed[str]:
    """18 characters of the right shape, or the reason why not."""
    text, mend = tidied(raw)
    if text is None:
        return None, None
    if _MASKED.fullmatch(text):
        raise Refused(Reason.ID_MASKED, "masked characters")
    if text.endswith("x"):
        text, mend = text[:-1] + "X", last(mend, Mend.LOWERCASE_X)
    if not _DIGITS.fullmatch(text) or (len(text) == 15 and text.endswith("X")):
        raise Refused(Reason.ID_CHARACTER, shape(text))
    if len(text) == 15:
        first17 = text[:6] + "19" + text[6:]
        return first17 + check_character(first17), last(mend, Mend.OLD_15_DIGIT)
    if len(text) != 18:
        raise Refused(Reason.ID_LENGTH, f"{len(text)} characters")
    return text, mend
