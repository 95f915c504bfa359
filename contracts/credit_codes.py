"""The unified social credit code (统一社会信用代码, GB 32100-2015): 18 characters, the last a check character.

Department of registration, kind of body, six digits of division, nine characters of organisation code (GB 11714), check
character MOD 31. The letters I, O, S, V, Z are not used.
"""

from __future__ import annotations

import re

from contracts.reasons import Mend, Reason
from contracts.texts import Parsed, Refused, clean, is_blank, shape

_ALPHABET = "0123456789ABCDEFGHJKLMNPQRTUWXY"
_VALUES = {character: value for value, character in enumerate(_ALPHABET)}
_WEIGHTS = tuple(pow(3, position, 31) for position in range(17))
_SHAPE = re.compile(rf"[1-9ANY][{_ALPHABET}]\d{{6}}[{_ALPHABET}]{{10}}")


def check_character(first17: str) -> str:
    """The check character: weights 3^(i-1) mod 31, 31 minus the remainder (GB 32100-2015, appendix)."""
    total = sum(_VALUES[character] * weight for character, weight in zip(first17, _WEIGHTS, strict=True))
    return _ALPHABET[(31 - total % 31) % 31]


def credit_code(raw: object) -> Parsed:
    """The 18-character code; small letters, spaces and hyphens are mended."""
    text, mend = clean(raw)
    if is_blank(text):
        return None, None
    bare = re.sub(r"[\s-]", "", text)
    if bare != text:
        mend = Mend.SEPARATORS
    upper = bare.upper()
    if upper != bare:
        mend = mend or Mend.CODE_ALIAS
    if not _SHAPE.fullmatch(upper):
        raise Refused(Reason.CREDIT_CODE, shape(text))
    if check_character(upper[:17]) != upper[17]:
        raise Refused(Reason.CREDIT_CODE, "the check character does not fit")
    return upper, mend
