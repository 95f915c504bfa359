"""The number of a disability card (残疾人证号): the holder's ID number, the category of the disability, its level.

    3 7 9 9 0 1  1 9 7 0 0 5 1 5  1 0 1  9   4         2      B 1
    ID number (GB 11643)                     category  level  reissue

Category (1 to 7) and level (1 to 4, of which 1 is the most severe) are those of GB/T 26341-2010. A card that replaces a
lost one bears B and a digit behind its number. Old systems put the number together from an ID number of 15 digits.
"""

from __future__ import annotations

import re
from datetime import date
from typing import NamedTuple

from contracts import citizen, codesets
from contracts.reasons import Reason
from contracts.texts import Parsed, Refused, last

_REISSUE = re.compile(r"B\d$", re.IGNORECASE)
_ROUNDED = "00000"  # a spreadsheet keeps 15 digits of 20; no category is 0


class CardNumber(NamedTuple):
    """What a card's number says, in canonical form."""

    id_number: str
    category: str
    level: str


def card_number(raw: object, *, on: date) -> Parsed[CardNumber]:
    """What a card's number says. ``on``: a birth date after this day is refused.

    Mended and refused as the ID number inside is; what is no category or no level is Refused with CODE_UNKNOWN.
    """
    text, mend = citizen.tidied(raw)
    if text is None:
        return None, None
    text = _REISSUE.sub("", text)
    if text.endswith(_ROUNDED):
        raise Refused(Reason.ID_PRECISION_LOSS, "ends in 00000")
    number, how = citizen.id_number(text[:-2], on=on)
    if number is None:
        raise Refused(Reason.ID_LENGTH, f"{len(text)} characters")
    category = _digit(text[-2], "disability_category", "the last but one")
    level = _digit(text[-1], "disability_level", "the last")
    return CardNumber(number, category, level), last(mend, how)


def _digit(digit: str, name: str, place: str) -> str:
    found = codesets.codeset(name).national.get(digit)
    if found is None:
        raise Refused(Reason.CODE_UNKNOWN, f"{place} digit is no {name}")
    return found
