"""民政 (civil affairs): a PostgreSQL database with columns named in pinyin, whose program removes no row: it marks it.

Nothing of its log can be read from outside (wal_level is minimal): a pipeline has to look at its tables.
"""

from __future__ import annotations

from pathlib import Path

from examples.city.records import LOW_INCOME, REGISTERED
from examples.city.sql_department import SqlDepartment, Table

_TABLES = {
    REGISTERED: Table(
        "jmjbxx",
        "居民基本信息",
        {
            "rybh": ("varchar(20) not null", "人员编号"),
            "gmsfhm": ("varchar(20)", "公民身份号码"),
            "xm": ("varchar(50)", "姓名"),
            "xb": ("varchar(5)", "性别"),
            "csrq": ("varchar(20)", "出生日期"),
            "mz": ("varchar(2)", "民族"),
            "hyzk": ("varchar(20)", "婚姻状况"),
            "sqdm": ("varchar(12)", "社区代码"),
            "swrq": ("varchar(20)", "死亡日期"),
            "scbz": ("char(1) not null", "删除标志"),
            "xgsj": ("varchar(19)", "修改时间"),
        },
    ),
    LOW_INCOME: Table(
        "zdshbz",
        "最低生活保障",
        {
            "bzbh": ("varchar(20) not null", "保障编号"),
            "rybh": ("varchar(20) not null", "人员编号"),
            "gmsfhm": ("varchar(20)", "公民身份号码"),
            "bzje": ("numeric(10,2)", "月保障金额(元)"),
            "qsny": ("varchar(10)", "起始年月"),
            "zzny": ("varchar(10)", "终止年月"),
            "xszt": ("varchar(2)", "享受状态"),
            "scbz": ("char(1) not null", "删除标志"),
            "xgsj": ("varchar(19)", "修改时间"),
        },
    ),
}


class CivilAffairs(SqlDepartment):
    """The department's system."""

    def __init__(self, directory: Path) -> None:
        options = "-c wal_level=minimal -c max_wal_senders=0 -c max_wal_size=4GB"
        super().__init__(directory, "civil_affairs", _TABLES, options=options)
