"""Names of people: Chinese names without spaces, parts of minority names joined by U+00B7, at most 50 characters.

U+00B7 is the dot of the household register (公安部, 姓名登记 with 间隔号, GB 13000 U+00B7); sources write a dozen others.
Rare characters of every CJK extension are names too, and are never folded into others.
"""

from __future__ import annotations

import re
import unicodedata
from functools import lru_cache

from contracts.reasons import Mend, Reason
from contracts.texts import EDGES, NOTHING, Parsed, Refused, clean, last, says_nothing

DOT = "\u00b7"
_LONGEST = 50
_HAN = "\u3005\u3007\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003fffd"
_DOTS = "\u00b7\u2022\u2024\u2027\u2219\u22c5\u2e31\u2e33\u30fb\uff65\u0387\u16eb\u318d"  # not the full stops
_PLAIN = re.compile("[\u4e00-\u9fff]{2,4}")
_HOLDS_HAN = re.compile(f"[{_HAN}]")
_ANY_DOT = re.compile(f"[{_DOTS}]")
_CHINESE_DOT = re.compile(f"[{_DOTS}.．。｡]+")
_ENTITY = re.compile(r"&(?:#183|#xb7|middot);", re.IGNORECASE)  # U+00B7, as a web form stored it
_INNER = re.compile(f"[{EDGES}]+")
_CHINESE_SPACE = re.compile(f"(?<=[{_HAN}{DOT}])[ ]|[ ](?=[{_HAN}{DOT}])")
_NOT_AT_EDGES = f"{DOT} '’‘`"
_MARKS = frozenset(f"{DOT} -'’ʼ‐()\u3005\u3007.")
_PLACEHOLDERS = "锟斤拷"  # what UTF-8's U+FFFD looks like when it is read as GBK
_NO_NAMES = NOTHING | {_PLACEHOLDERS}


@lru_cache(maxsize=32_768)
def _belongs(character: str) -> bool:
    """Whether a character can be part of a name: letters and their marks, CJK of any plane, dots, hyphens, brackets.

    Planes 2 and 3 belong as a whole: the Unicode tables of an older Python don't know the newest extensions.
    """
    if character in _MARKS or 0x20000 <= ord(character) <= 0x3FFFD:
        return True
    return unicodedata.category(character)[0] in "LM"


def name(raw: object) -> Parsed[str]:
    """A name. Other dots become U+00B7, spaces inside a Chinese name go, a Latin name keeps single ones.

    Refused: digits, symbols, control, replacement and private-use characters (NAME_UNREADABLE), which a wrong encoding
    or a mask leaves; more than 50 characters (NAME_TOO_LONG).
    """
    if isinstance(raw, str) and _PLAIN.fullmatch(raw) and raw not in _NO_NAMES:
        return raw, None
    text, mend = clean(raw)
    if says_nothing(text):
        return None, None
    if "&" in text and (decoded := _ENTITY.sub(DOT, text)) != text:
        text, mend = decoded, last(mend, Mend.NAME_DOT)
    if (single := _INNER.sub(" ", text)) != text:
        text, mend = single, last(mend, Mend.SPACES)
    chinese = _HOLDS_HAN.search(text) is not None
    dotted = _CHINESE_DOT.sub(DOT, text).strip(_NOT_AT_EDGES) if chinese else _ANY_DOT.sub(DOT, text)
    if dotted != text:
        text, mend = dotted, last(mend, Mend.NAME_DOT)
    if chinese and (joined := _CHINESE_SPACE.sub("", text)) != text:
        # A gap beside a dot leaves dots side by side: once more, and one is left.
        text, mend = _CHINESE_DOT.sub(DOT, joined), last(mend, Mend.SPACES)
    if _PLACEHOLDERS in text or not all(map(_belongs, text)):
        raise Refused(Reason.NAME_UNREADABLE, "characters that no name has")
    if not any(character.isalpha() or _HOLDS_HAN.match(character) for character in text):
        raise Refused(Reason.NAME_UNREADABLE, "no letter in it")
    if len(text) > _LONGEST:
        raise Refused(Reason.NAME_TOO_LONG, f"{len(text)} characters")
    return text, mend
