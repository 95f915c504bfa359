"""``python -m onewindow.errors_page FILE``: the page of all error codes and reasons, made from the code."""

from __future__ import annotations

import sys
from pathlib import Path

from contracts.errors import catalogue
from contracts.reasons import REASONS


def page() -> str:
    """The page, as Markdown."""
    lines = ["# Errors", "", "`onewindow explain CODE` says the same. Made by `make docs`; not edited by hand.", ""]
    for code, error in catalogue().items():
        about = " ".join((error.__doc__ or "").split())
        lines += [f"## {code} {error.__name__}", "", about, "", f"{error.chinese}. Exit code {error.exit_code}.", ""]
    lines += [
        "## Reasons of quarantine",
        "",
        "| reason | meaning | 含义 | what mends it |",
        "| --- | --- | --- | --- |",
    ]
    lines += [f"| `{reason}` | {why.english} | {why.chinese} | {why.mend} |" for reason, why in REASONS.items()]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    Path(sys.argv[1]).write_text(page(), encoding="utf-8")
