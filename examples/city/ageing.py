"""老龄 (ageing): no database to be reached, but a full dump of the elders' register each month: a GBK CSV in a folder."""

from __future__ import annotations

import csv
import os
import random
from collections.abc import Iterable
from pathlib import Path

from examples.city.records import Record

HEADER = (
    "档案编号", "身份证号", "姓名", "性别", "出生日期", "社区代码", "居住地址", "联系电话", "独居", "护理等级",
    "高龄津贴金额", "津贴起始月", "津贴状态", "更新日期",
)  # fmt: skip
_TWICE = 0.001  # the share of rows that stand in the dump twice


def dump_name(number: int) -> str:
    """The file name of dump ``number``: one a month, from September 2026."""
    month = 8 + number
    return f"ageing_elder_{2026 + month // 12}{month % 12 + 1:02d}.csv"


def write_dump(folder: Path, number: int, records: Iterable[Record]) -> Path:
    """Write a dump as the department does: under another name, then renamed, so that it is never seen half written."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / dump_name(number)
    beside = path.with_suffix(".part")
    with beside.open("w", encoding="gbk", newline="") as file:
        rows = csv.writer(file, lineterminator="\r\n")
        rows.writerow(HEADER)
        for record in records:
            row = [record.row[column] for column in HEADER]
            rows.writerow(row)
            if random.Random(record.key).random() < _TWICE:  # noqa: S311
                rows.writerow(row)
        file.flush()
        os.fsync(file.fileno())
    beside.replace(path)
    return path
