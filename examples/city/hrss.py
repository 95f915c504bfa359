"""人社 (human resources and social security): a PostgreSQL database, columns named as the ministry's standard does."""

from __future__ import annotations

from pathlib import Path

from examples.city.records import INSURED, PENSION
from examples.city.sql_department import SqlDepartment, Table

_TABLES = {
    INSURED: Table(
        "ac01",
        "参保人员",
        {
            "aac001": ("varchar(20) not null", "个人编号"),
            "aac002": ("varchar(20)", "公民身份号码"),
            "aac003": ("varchar(50)", "姓名"),
            "aac004": ("varchar(5)", "性别"),
            "aac005": ("varchar(2)", "民族"),
            "aac006": ("varchar(20)", "出生日期"),
            "aae005": ("varchar(20)", "联系电话"),
            "aab301": ("varchar(12)", "社区"),
            "aac060": ("varchar(3)", "生存状态"),
            "aae036": ("varchar(14)", "经办时间"),
        },
    ),
    PENSION: Table(
        "ac60",
        "养老待遇",
        {
            "aaz257": ("varchar(20) not null", "待遇编号"),
            "aac001": ("varchar(20) not null", "个人编号"),
            "aac002": ("varchar(20)", "公民身份号码"),
            "aae140": ("varchar(3)", "险种类型"),
            "aae041": ("varchar(6)", "起始年月"),
            "aae042": ("varchar(6)", "终止年月"),
            "aae019": ("bigint", "月金额(分)"),
            "aae116": ("varchar(3)", "发放状态"),
            "aae036": ("varchar(14)", "经办时间"),
        },
    ),
}
_PUBLISHED = """
drop publication if exists onewindow_hrss;
create publication onewindow_hrss for table ac01, ac60;
"""


class Hrss(SqlDepartment):
    """The department's system. Its wal_level is logical, so that a pipeline may read the log as well as poll."""

    def __init__(self, directory: Path) -> None:
        options = "-c wal_level=logical -c max_wal_size=4GB"
        super().__init__(directory, "hrss", _TABLES, options=options, reader_may="replication", finish=_PUBLISHED)
