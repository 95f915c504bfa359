"""Names of people: Chinese names without spaces, parts of minority names joined by U+00B7, at most 50 characters."""

from __future__ import annotations

import re

from contracts.reasons import Mend, Reason
from contracts.texts import EDGES, Parsed, Refused, clean, is_blank

_LONGEST = 50
_DOTS = re.compile("[\u2022\u2027\u30fb\uff0e\u22c5\u2219\u00b7\u318d\uff65\u2024.]")
_PLAIN = re.compile("[\u4e00-\u9fff]{2,4}")
_NOT_IN_NAMES = re.compile("[0-9?!@#$%^&*_=+<>|\\\\/\u0000-\u001f\u007f-\u009f\ufffd\ue000-\uf8ff]")
_INNER = re.compile(f"[{EDGES}]+")


def name(raw: object) -> Parsed:
    """A name. Other dots become U+00B7, spaces inside a Chinese name go, a Latin name keeps single ones."""
    if isinstance(raw, str) and _PLAIN.fullmatch(raw):
        return raw, None
    text, mend = clean(raw)
    if is_blank(text):
        return None, None
    if _NOT_IN_NAMES.search(text):
        raise Refused(Reason.NAME_UNREADABLE, "characters that no name has")
    latin = text.replace(" ", "").isascii()
    spaced = _INNER.sub(" " if latin else "", text)
    if spaced != text:
        text, mend = spaced, Mend.SPACES
    if not latin:
        dotted = _DOTS.sub("\u00b7", text)
        if dotted != text:
            text, mend = dotted, Mend.NAME_DOT
    if len(text) > _LONGEST:
        raise Refused(Reason.NAME_TOO_LONG, f"{len(text)} characters")
    return text, mend
