"""One sheet of a workbook as CSV: a process of its own, with limits, since what a department sends may be made to burst.

``python -m connectors._workbook`` gets its order as JSON on standard input and says what it did as JSON on standard output:
``sheet`` and ``above``, the rows above the header's; or ``error``.

The header is the row, among the first, that names most of the declared columns. Where cells are merged, each of them has the
value; a name that stands twice is told apart by what stands above it, as ``津贴.金额``. A declared column ``详情.电话`` that
is not there is looked for in the JSON of the cells of ``详情``.
"""

from __future__ import annotations

import csv
import json
import re
import resource
import sys
from collections.abc import Iterator, Mapping, Sequence
from datetime import date, datetime, time, timedelta
from pathlib import Path
from typing import Any, NamedTuple

from python_calamine import CalamineError, CalamineSheet, CalamineWorkbook, SheetTypeEnum, SheetVisibleEnum

_HEADER_WITHIN = 30
_EXACT = 1e15  # a spreadsheet holds numbers to 15 digits: what is longer has lost some
Row = Sequence[Any]


class Trouble(Exception):
    """The workbook can't be used; says why."""


class _Layout(NamedTuple):
    """Where the header ends, and the names of the columns."""

    row: int
    names: list[str]
    score: int


def text_of(value: Any) -> str:
    """A cell as text; a number that the spreadsheet can't have held exactly stays one that shows it."""
    if isinstance(value, bool):
        return "TRUE" if value else "FALSE"
    if isinstance(value, float):
        if abs(value) >= _EXACT:
            return f"{value:.14E}"
        return str(int(value)) if value.is_integer() else repr(value)
    if isinstance(value, datetime):
        return value.isoformat(" ") if value.time() != time() else value.date().isoformat()
    if isinstance(value, date | time | timedelta):
        return str(value)
    return re.sub(r"\s*[\r\n]+\s*", " ", str(value)).replace("\0", "")


def convert(source: Path, to: Path, wanted: Sequence[str], sheet: str | None) -> dict[str, Any]:
    """Write the sheet as CSV in UTF-8. Raises Trouble."""
    with CalamineWorkbook.from_path(source) as book:
        found, layout, grid = _chosen(book, wanted, sheet)
        names = [*layout.names, *_inside(layout.names, wanted)]
        with to.open("w", encoding="utf-8", newline="") as stream:
            writer = csv.writer(stream, lineterminator="\n")
            writer.writerow(names)
            for row in grid.rows(layout.row + 1):
                cells = [text_of(value) for value in row]
                cells += [""] * (len(layout.names) - len(cells))
                cells = cells[: len(layout.names)]
                writer.writerow([*cells, *_taken_out(layout.names, cells, names[len(layout.names) :])])
    return {"sheet": found, "above": layout.row}


class _Grid:
    """The cells of a sheet, those that are merged each with the value of all."""

    def __init__(self, sheet: CalamineSheet) -> None:
        self._sheet = sheet
        self._merged: dict[int, list[tuple[int, int, tuple[int, int]]]] = {}
        for (top, left), (bottom, right) in sheet.merged_cell_ranges or ():
            for row in range(top, bottom + 1):
                self._merged.setdefault(row, []).append((left, right, (top, left)))

    def rows(self, first: int = 0) -> Iterator[Row]:
        """Rows from this one on, from the first column of the sheet on."""
        top, left = self._sheet.start or (0, 0)
        values: dict[tuple[int, int], Any] = {}
        origins = {origin for ranges in self._merged.values() for _, _, origin in ranges}
        blank: list[Any] = []
        for number, cells in enumerate(self._sheet.to_python(skip_empty_area=True), start=top):
            row = [*[""] * left, *cells]
            for at in range(len(row)):
                if (number, at) in origins:
                    values[number, at] = row[at]
            for start, end, origin in self._merged.get(number, ()):
                row += [""] * (end + 1 - len(row))
                row[start : end + 1] = [values.get(origin, "")] * (end + 1 - start)
            if number >= first:
                yield from ([blank] * (number - first) if number == top and first < top else [])
                yield row


def _chosen(book: CalamineWorkbook, wanted: Sequence[str], sheet: str | None) -> tuple[str, _Layout, _Grid]:
    names = [
        each.name for each in book.sheets_metadata
        if each.typ == SheetTypeEnum.WorkSheet and each.visible == SheetVisibleEnum.Visible
    ]  # fmt: skip
    if sheet is not None:
        names = _named(names, sheet)
    best: tuple[str, _Layout, _Grid] | None = None
    for name in names:
        grid = _Grid(book.get_sheet_by_name(name))
        layout = _layout(grid, wanted)
        if layout is None:
            continue
        if sheet is not None or best is None or layout.score > best[1].score:
            best = name, layout, grid
        if sheet is not None:
            break
    if best is None:
        raise Trouble(f"none of its sheets ({', '.join(names) or 'none is to be seen'}) holds a table")
    return best


def _named(names: Sequence[str], sheet: str) -> list[str]:
    """The sheets that are meant, the newest first."""
    pattern = re.escape(sheet).replace(r"\{month\}", r"(?P<at>0?[1-9]|1[0-2])").replace(r"\{period\}", r"(?P<at>\d{6})")
    pattern = pattern.replace(r"\{year\}", r"(?P<year>\d{4})")
    fitting = [(found, name) for name in names if (found := re.fullmatch(pattern, name.strip()))]
    if not fitting:
        raise Trouble(f"it has no sheet {sheet}; it has {', '.join(names)}")
    fitting.sort(key=lambda each: [int(each[0].groupdict().get(name) or 0) for name in ("year", "at")], reverse=True)
    return [name for _, name in fitting]


def _layout(grid: _Grid, wanted: Sequence[str]) -> _Layout | None:
    """The header: of rows that name as many of the wanted columns, the last that follow each other; None without rows."""
    best: _Layout | None = None
    above: list[str] = []
    for number, row in enumerate(grid.rows()):
        if number >= _HEADER_WITHIN:
            break
        texts = [text_of(value).strip() for value in row]
        names = _names(texts, above, wanted)
        score = len(set(names) & set(wanted)) if wanted else len({each for each in texts if each})
        same = best is not None and score == best.score and number == best.row + 1 and bool(wanted)
        if score and (best is None or score > best.score or same):
            best = _Layout(number, names, score)
        above = texts
    return best


def _names(texts: Sequence[str], above: Sequence[str], wanted: Sequence[str]) -> list[str]:
    names = []
    for at, text in enumerate(texts):
        parent = above[at] if at < len(above) else ""
        long = f"{parent}.{text}" if parent and text and parent != text else ""
        twice = bool(text) and texts.count(text) > 1 and bool(long)
        names.append(long if long in wanted or twice else text)
    while names and not names[-1]:
        names.pop()
    return [name or f"column {at}" for at, name in enumerate(names, start=1)]


def _inside(names: Sequence[str], wanted: Sequence[str]) -> list[str]:
    return [name for name in wanted if name not in names and name.rpartition(".")[0] in names]


def _taken_out(names: Sequence[str], cells: Sequence[str], inside: Sequence[str]) -> list[str]:
    """Values of JSON objects in cells."""
    found = []
    for name in inside:
        column, _, member = name.rpartition(".")
        try:
            document = json.loads(cells[names.index(column)])
        except ValueError:
            document = None
        value = document.get(member) if isinstance(document, Mapping) else None
        found.append("" if value is None else text_of(value))
    return found


def _limit(memory_bytes: int, seconds: int) -> None:
    resource.setrlimit(resource.RLIMIT_AS, (memory_bytes, memory_bytes))
    resource.setrlimit(resource.RLIMIT_CPU, (seconds, seconds))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def main() -> None:
    """Do what is ordered."""
    order = json.load(sys.stdin)
    _limit(order["memory_bytes"], order["seconds"])
    try:
        said = convert(Path(order["source"]), Path(order["to"]), order["wanted"], order["sheet"])
    except Trouble as error:
        said = {"error": str(error)}
    except (CalamineError, ValueError) as error:
        said = {"error": f"it is no workbook that can be read ({type(error).__name__})"}
    json.dump(said, sys.stdout)


if __name__ == "__main__":
    main()
