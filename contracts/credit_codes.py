"""The unified social credit code (统一社会信用代码, GB 32100-2015): 18 characters, the last a check character.

    9 1  3 7 9 9 0 4  T 9 B Q D K F K 2  5
    | |  division     organisation code  check character, MOD 31
    | kind of body    (GB 11714)
    department of registration

Of the letters, I, O, S, V and Z are not used. The kind of body and the division are not judged: kinds are added, and a
division that is gone stays in the codes given under it.
"""

from __future__ import annotations

import re

from contracts.reasons import Mend, Reason
from contracts.texts import EDGES, Parsed, Refused, clean, last, says_nothing, shape

_ALPHABET = "0123456789ABCDEFGHJKLMNPQRTUWXY"
_VALUES = {character: value for value, character in enumerate(_ALPHABET)}
_WEIGHTS = tuple(pow(3, place, 31) for place in range(17))
_DEPARTMENTS = "1-9ANY"  # GB 32100-2015, table of departments; a code of eighteen zeros passes the sum, and fails here
_SHAPE = re.compile(rf"[{_DEPARTMENTS}][{_ALPHABET}]\d{{6}}[{_ALPHABET}]{{10}}", re.ASCII)
_SPACES = re.compile(f"[{EDGES}]+")
_HYPHENS = re.compile("[-‐‑‒–—―−]")


def check_character(first17: str) -> str:
    """The check character: the sum of value x 3^(i-1), mod 31, taken from 31 (GB 32100-2015, appendix A)."""
    total = sum(_VALUES[character] * weight for character, weight in zip(first17, _WEIGHTS, strict=True))
    return _ALPHABET[(31 - total % 31) % 31]


def credit_code(raw: object) -> Parsed[str]:
    """The 18-character code. Spaces, full width, hyphens and small letters (Mend.CODE_ALIAS) are mended.

    Anything else raises Refused with CREDIT_CODE, an organisation code or a registration number alone too.
    """
    text, mend = clean(raw)
    if says_nothing(text):
        return None, None
    if (bare := _SPACES.sub("", text)) != text:
        text, mend = bare, last(mend, Mend.SPACES)
    if (bare := _HYPHENS.sub("", text)) != text:
        text, mend = bare, last(mend, Mend.SEPARATORS)
    if (upper := text.upper()) != text:
        text, mend = upper, last(mend, Mend.CODE_ALIAS)
    if not _SHAPE.fullmatch(text):
        raise Refused(Reason.CREDIT_CODE, shape(text))
    if check_character(text[:17]) != text[17]:
        raise Refused(Reason.CREDIT_CODE, "the check character does not fit")
    return text, mend
