"""社区网格 (the communities' own grid register): who lives where, as an xlsx each month in a folder.

Three of ten residents are in it: those of the communities that keep a grid, their children too, of whom no department knows.
A sheet is named by its month, and has a title over all columns above the header. A row is a person; the rows of a household
(户) have its number, and one of them is the head's (户主). Whoever is not in the next month's register has left.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path

from xlsxwriter import Workbook

from examples.city.drops import month_of, replaced
from examples.city.people import TODAY
from examples.city.records import Record, household_number

HEADER = (
    "登记编号", "社区代码", "楼栋", "单元", "房号", "户号", "与户主关系", "姓名", "公民身份号码", "联系电话", "登记日期",
)  # fmt: skip
_MADE = datetime(TODAY.year, TODAY.month, TODAY.day)  # noqa: DTZ001 - a workbook knows no zone; the same city, the same bytes


def register_name(number: int) -> str:
    """The file name of the register of month ``number``."""
    year, month = month_of(number)
    return f"grid_{year}{month:02d}.xlsx"


class Register:
    """A register being written, row by row: nothing but the row at hand is in memory."""

    def __init__(self, path: Path, number: int) -> None:
        year, month = month_of(number)
        self._path = path
        self._book = Workbook(path, {"constant_memory": True})
        self._book.set_properties({"created": _MADE})
        self._sheet = self._book.add_worksheet(f"{year}年{month}月")
        title = self._book.add_format({"bold": True, "align": "center"})
        self._sheet.merge_range(0, 0, 0, len(HEADER) - 1, f"历下区社区网格居民登记表（{year}年{month}月）", title)
        self._rows = 1
        self._add(HEADER)

    def _add(self, cells: Iterable[str]) -> None:
        for column, text in enumerate(cells):
            self._sheet.write_string(self._rows, column, text)
        self._rows += 1

    def add(self, records: Iterable[Record]) -> None:
        """Add rows, each as often as its record says: who stands in two households stands in her own first."""
        for record in records:
            if record.copies > 1:
                self._add({**record.row, "户号": household_number(record.person)}.values())
            self._add(record.row.values())

    def close(self) -> None:
        """Make it durable."""
        self._book.close()
        with self._path.open("rb") as file:
            os.fsync(file.fileno())


@contextmanager
def registering(folder: Path, number: int) -> Iterator[Register]:
    """The register of a month, to be seen under its name only when it is whole."""
    with replaced(folder, register_name(number)) as path:
        register = Register(path, number)
        try:
            yield register
        finally:
            register.close()
