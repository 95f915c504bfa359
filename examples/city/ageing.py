"""老龄 (ageing): no database to be reached, but a full dump of the elders' register each month: a GBK CSV in a folder."""

from __future__ import annotations

import csv
import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from examples.city.drops import month_of, replaced
from examples.city.records import Record

HEADER = (
    "档案编号", "身份证号", "姓名", "性别", "出生日期", "社区代码", "居住地址", "联系电话", "独居", "护理等级",
    "高龄津贴金额", "津贴起始月", "津贴状态", "更新日期",
)  # fmt: skip


def dump_name(number: int) -> str:
    """The file name of dump ``number``."""
    year, month = month_of(number)
    return f"ageing_elder_{year}{month:02d}.csv"


class Dump:
    """A dump being written. Rows hold the columns in the order of ``HEADER``."""

    def __init__(self, path: Path) -> None:
        self._file = path.open("w", encoding="gbk", newline="")
        self._rows = csv.writer(self._file, lineterminator="\r\n")
        self._rows.writerow(HEADER)

    def add(self, records: Iterable[Record]) -> None:
        """Add rows, each as often as its record says."""
        self._rows.writerows([record.row.values() for record in records for _ in range(record.copies)])

    def close(self) -> None:
        """Make it durable."""
        self._file.flush()
        os.fsync(self._file.fileno())
        self._file.close()


@contextmanager
def dumping(folder: Path, number: int, *, cut: float = 1.0) -> Iterator[Dump]:
    """A dump, to be seen under its name only when it is whole.

    ``cut`` below 1 is the fault that a transfer broke off: only that share of the bytes is left, to the middle of a row.
    """
    with replaced(folder, dump_name(number)) as beside:
        dump = Dump(beside)
        try:
            yield dump
        finally:
            dump.close()
        if cut < 1:
            os.truncate(beside, int(beside.stat().st_size * cut))
