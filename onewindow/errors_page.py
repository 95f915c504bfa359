"""``python -m onewindow.errors_page FILE``: the page of all error codes and reasons, made from the code."""

from __future__ import annotations

import sys
from pathlib import Path

from contracts.errors import catalogue
from contracts.explanations import EXPLAINED
from contracts.reasons import REASONS


def page() -> str:
    """The page, as Markdown."""
    lines = ["# Errors", "", "`onewindow explain CODE` says the same. Made by `make docs`; not edited by hand.", ""]
    for code, error in catalogue().items():
        about, more = " ".join((error.__doc__ or "").split()), EXPLAINED[code]
        lines += [f"## {code} {error.__name__}", "", f"**{error.chinese}** Exit code {error.exit_code}.", ""]
        lines += [about, "", more.chinese, "", f"Fix: {more.mend}", "", f"办法：{more.mend_zh}", ""]
    lines += [
        "## Reasons of quarantine",
        "",
        "| reason | meaning | 含义 | what mends it | 办法 |",
        "| --- | --- | --- | --- | --- |",
    ]
    lines += [
        f"| `{reason}` | {why.english} | {why.chinese} | {why.mend} | {why.mend_zh} |"
        for reason, why in REASONS.items()
    ]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    Path(sys.argv[1]).write_text(page(), encoding="utf-8")
