"""``python tests/badsources/table.py DOCUMENT``: write the table of bad sources anew, from the tests that show it."""

from __future__ import annotations

import sys
from pathlib import Path

HERE = Path(__file__).parent
BEGIN, END = "<!-- made by `make docs` from tests/badsources -->", "<!-- end of what is made -->"
_ORDER = ("a value", "a dump", "a table", "a table without a cursor", "an exchange table", "an API")


def table() -> str:
    """As Markdown."""
    from bad import BAD

    for name in ("test_bad_values", "test_bad_files", "test_bad_tables", "test_bad_exchanges", "test_bad_apis"):
        __import__(name)
    found = sorted(BAD, key=lambda each: _ORDER.index(each.of))
    lines = ["| of | what is wrong | what becomes of it |", "| --- | --- | --- |"]
    return "\n".join([*lines, *(f"| {each.of} | {each.wrong} | {each.becomes} |" for each in found)])


def with_table(text: str) -> str:
    """A document with the table in its place."""
    before, rest = text.split(BEGIN)
    _, after = rest.split(END)
    return f"{before}{BEGIN}\n\n{table()}\n\n{END}{after}"


if __name__ == "__main__":
    sys.path[:0] = [str(HERE.parents[1]), str(HERE), str(HERE.parent / "connectors"), str(HERE.parent)]
    document = Path(sys.argv[1])
    document.write_text(with_table(document.read_text(encoding="utf-8")), encoding="utf-8")
