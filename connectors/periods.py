"""The month of a dump, in its file's name: ``{period}`` in a pattern."""

from __future__ import annotations

import re

PERIOD = r"\d{4}(?:(?:0[1-9]|1[0-2])|[-._年](?:0?[1-9]|1[0-2])月?)"
"""As departments write it: 202611, 2026-11, 2026.1, 2026年11月."""


def file_pattern(pattern: str) -> re.Pattern[str]:
    """A pattern of file names: ``{period}``, ``*`` and ``?``."""
    text = re.escape(pattern).replace(r"\{period\}", f"(?P<period>{PERIOD})")
    return re.compile(text.replace(r"\*", ".*").replace(r"\?", "."))


def period(found: re.Match[str]) -> str:
    """The month of a name that fits, as yyyymm; empty where the pattern has none."""
    written = found.groupdict().get("period")
    if not written:
        return ""
    year, month = written[:4], re.sub(r"\D", "", written[4:])
    return f"{year}{int(month):02d}"
