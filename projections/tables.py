"""The tables of the view, and of the engine that keeps it, each table and column with its meaning in two languages.

``resident``, ``assertion``, ``benefit``, ``household``, ``household_member`` and ``community`` are the unified view. ``position``, ``origin`` and ``gap``
say how far the log was followed; ``meta`` and ``log`` say what the view was made from; ``meaning`` holds the comments as
rows, because SQLite has no place for them.

Days, months and instants are ISO 8601 text, as in the events, so that both databases hold the very same values. Text of
keys is ordered by code point everywhere (COLLATE "C" on PostgreSQL, BINARY on SQLite).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import sqlalchemy as sa

from contracts.fields import FIELDS, RESIDENT_FIELDS

SCHEMA_VERSION = 5
"""Raised when a table here changes its shape."""

metadata = sa.MetaData()

_TEXT = sa.Text().with_variant(sa.Text(collation="C"), "postgresql")
_FLAGS = frozenset(name for name in RESIDENT_FIELDS if FIELDS[name].kind == "flag")


def _column(
    name: str, kind: Any, chinese: str, english: str, *, observed: bool = False, **options: Any
) -> sa.Column[Any]:
    """A column with its meaning. ``observed``: it says how we came to know, not what is so; the digest leaves it out."""
    return sa.Column(name, kind, comment=f"{chinese} / {english}", info={"observed": observed}, **options)


def _key(name: str, chinese: str, english: str, kind: Any = _TEXT) -> sa.Column[Any]:
    return _column(name, kind, chinese, english, primary_key=True)


def _needed(name: str, kind: Any, chinese: str, english: str, *, observed: bool = False) -> sa.Column[Any]:
    return _column(name, kind, chinese, english, observed=observed, nullable=False)


def _resident_fields() -> Iterator[sa.Column[Any]]:
    for name in RESIDENT_FIELDS:
        field = FIELDS[name]
        yield _column(name, sa.Boolean() if name in _FLAGS else _TEXT, field.chinese, field.english)


resident = sa.Table(
    "resident",
    metadata,
    _key("resident_id", "居民标识(加密散列)", "resident id (keyed hash)"),
    *_resident_fields(),
    _needed("provisional", sa.Boolean(), "是否临时(无身份号码)", "whether provisional (without an ID number)"),
    _needed("records", sa.Integer(), "来源记录数", "number of source records that speak of the resident"),
    _needed(
        "held", sa.Integer(), "最新版本被隔离的记录数", "number of its records whose newest version is in quarantine"
    ),
    _needed(
        "provenance", sa.JSON(), "各字段出处及裁决规则", "the records that win a field, and by which rule which fields"
    ),
    comment="居民 / resident: one row per person",
)


def _record() -> Iterator[sa.Column[Any]]:
    """The key of a table that has a row for each source record."""
    yield _key("system", "业务系统", "system")
    yield _key("dataset", "数据集", "dataset")
    yield _key("record_key", "记录键(加密散列)", "record key (keyed hash)")


assertion = sa.Table(
    "assertion",
    metadata,
    *_record(),
    _needed("resident_id", _TEXT, "居民标识", "resident id that the record speaks of"),
    _needed("revision", sa.BigInteger(), "决定序号", "number of the decision about the record", observed=True),
    _needed(
        "live",
        sa.Boolean(),
        "是否有效(否为已撤销)",
        "whether the record speaks of the resident; false after a retraction",
    ),
    _needed("fields", sa.JSON(), "字段值", "canonical fields"),
    _needed("originals", sa.JSON(), "修正前的原值", "the source's own value of each field that was mended"),
    _needed("mends", sa.JSON(), "修正方式", "how each of them was mended"),
    _column("as_of", _TEXT, "经办时间", "when the department last dealt with the record"),
    _needed("provisional", sa.Boolean(), "是否临时(无身份号码)", "whether the record has no ID number"),
    _column("held_reason", _TEXT, "最新版本被隔离的原因", "why the newest version is in quarantine; null if it is not"),
    _column("held_revision", sa.BigInteger(), "隔离决定的序号", "number of that decision", observed=True),
    _column("event_id", _TEXT, "变更事件标识", "id of the change event that led here", observed=True),
    _column("committed_at", _TEXT, "来源提交时间", "when the source committed the change", observed=True),
    comment="来源断言 / assertion: what one source record says, one row each, kept as a tombstone after a retraction",
)
sa.Index("assertion_resident", assertion.c.resident_id)

benefit = sa.Table(
    "benefit",
    metadata,
    *_record(),
    _needed("resident_id", _TEXT, "居民标识", "resident id"),
    _needed("kind", _TEXT, FIELDS["benefit_kind"].chinese, FIELDS["benefit_kind"].english),
    _column("scheme", _TEXT, FIELDS["benefit_scheme"].chinese, FIELDS["benefit_scheme"].english),
    _column("amount_fen", sa.BigInteger(), FIELDS["benefit_amount_fen"].chinese, FIELDS["benefit_amount_fen"].english),
    _column("from_month", _TEXT, FIELDS["benefit_from"].chinese, FIELDS["benefit_from"].english),
    _column("until_month", _TEXT, FIELDS["benefit_until"].chinese, FIELDS["benefit_until"].english),
    _column("state", _TEXT, FIELDS["benefit_state"].chinese, FIELDS["benefit_state"].english),
    comment="待遇 / benefit: one row per record that grants one",
)
sa.Index("benefit_resident", benefit.c.resident_id)


def _place() -> Iterator[sa.Column[Any]]:
    """Where a household lives, as its register says."""
    yield _column("community_code", _TEXT, "社区代码(12位区划代码)", "community (12-digit division code)")
    for name in ("building", "unit", "room"):
        field = FIELDS[f"household_{name}"]
        yield _column(name, _TEXT, field.chinese, field.english)


household_member = sa.Table(
    "household_member",
    metadata,
    *_record(),
    _needed("resident_id", _TEXT, "居民标识", "resident id"),
    _needed("household_number", _TEXT, FIELDS["household_number"].chinese, FIELDS["household_number"].english),
    _column("relation", _TEXT, FIELDS["household_relation"].chinese, FIELDS["household_relation"].english),
    *_place(),
    comment="家庭成员 / household member: one row per record that says to which household a resident belongs",
)
sa.Index("household_member_resident", household_member.c.resident_id)
# All three columns: without statistics a database takes the primary key for the first two, and reads the whole register.
sa.Index(
    "household_member_household", *(household_member.c[name] for name in ("system", "dataset", "household_number"))
)

household = sa.Table(
    "household",
    metadata,
    _key("system", "业务系统", "system"),
    _key("dataset", "数据集", "dataset"),
    _key("household_number", FIELDS["household_number"].chinese, FIELDS["household_number"].english),
    *_place(),
    _column("head_resident_id", _TEXT, "户主居民标识", "resident id of the head; null where nobody is called so"),
    _needed("members", sa.BigInteger(), "成员数", "residents whom its register names as members"),
    comment="户 / household: one row per household of a register, as its members' records say",
)

community = sa.Table(
    "community",
    metadata,
    _key("community_code", "社区代码(12位区划代码)", "community (12-digit division code)"),
    _needed("residents", sa.BigInteger(), "居民数(不含已故)", "residents, without those known to be dead"),
    _needed("deceased", sa.BigInteger(), "已故人数", "residents known to be dead"),
    _needed("female", sa.BigInteger(), "女性居民数", "female residents"),
    _needed("male", sa.BigInteger(), "男性居民数", "male residents"),
    _needed("provisional", sa.BigInteger(), "临时居民数", "provisional residents"),
    _needed("living_alone", sa.BigInteger(), "独居居民数", "residents who live alone"),
    _needed("care_partial", sa.BigInteger(), "半护理居民数", "residents who need partial care"),
    _needed("care_full", sa.BigInteger(), "全护理居民数", "residents who need full care"),
    _needed("disability_cards", sa.BigInteger(), "持残疾人证居民数", "residents who hold a disability card"),
    _needed(
        "pensions_paying", sa.BigInteger(), "在发养老金笔数", "pensions being paid, also to those known to be dead"
    ),
    _needed(
        "allowances_paying", sa.BigInteger(), "在发高龄津贴笔数", "old-age allowances being paid, also to the dead"
    ),
    _needed(
        "low_incomes_paying",
        sa.BigInteger(),
        "在发最低生活保障笔数",
        "minimum living allowances being paid, also to the dead",
    ),
    _needed("benefit_fen_paying", sa.BigInteger(), "在发待遇月合计(分)", "sum a month of benefits being paid, in fen"),
    _needed("households", sa.BigInteger(), "登记户数", "households that a register of households places here"),
    comment="社区 / community: counts, kept in step with the residents and households",
)

position = sa.Table(
    "position",
    metadata,
    _key("topic", "主题", "topic"),
    _key("partition", "分区", "partition", sa.Integer()),
    _needed("next_offset", sa.BigInteger(), "下一位点", "next offset to apply"),
    _needed("applied", sa.BigInteger(), "已应用事件数", "events applied"),
    _needed("repeated", sa.BigInteger(), "重复事件数", "events dropped because they had been seen"),
    _needed("withheld", sa.BigInteger(), "缺口后暂不应用的事件数", "events not applied because they came after a gap"),
    comment="位点 / position: how far each partition was followed; moves in the transaction of the rows",
)

origin = sa.Table(
    "origin",
    metadata,
    _key("topic", "主题", "topic"),
    _key("partition", "分区", "partition", sa.Integer()),
    _key("origin", "来源分区", "input partition of streams that the events were decided from"),
    _needed("next_number", sa.BigInteger(), "下一编号", "number that its next event must have"),
    comment="来源编号 / origin: events are numbered without gaps from each input partition",
)

gap = sa.Table(
    "gap",
    metadata,
    _key("topic", "主题", "topic"),
    _key("partition", "分区", "partition", sa.Integer()),
    _key("origin", "来源分区", "input partition of streams that the events were decided from"),
    _needed("expected", sa.BigInteger(), "应有编号", "number that is missing"),
    _needed("found", sa.BigInteger(), "实际编号", "number that was there instead"),
    _needed("offset", sa.BigInteger(), "位点", "offset at which it was found"),
    comment="缺口 / gap: events that are missing from the log, until they arrive",
)

meta = sa.Table(
    "meta",
    metadata,
    _key("name", "名称", "name"),
    _needed("value", _TEXT, "值", "value"),
    comment="元数据 / meta: what the view was made by: versions and the declaration of authority",
)

log = sa.Table(
    "log",
    metadata,
    _key("topic", "主题", "topic"),
    _needed("cluster_id", _TEXT, "集群标识", "cluster id"),
    _needed("topic_id", _TEXT, "主题标识", "topic id"),
    comment="日志 / log: the log that the offsets belong to",
)

meaning = sa.Table(
    "meaning",
    metadata,
    _key("table_name", "表名", "table"),
    _key("column_name", "列名(空为表本身)", "column; empty for the table itself"),
    _needed("chinese", _TEXT, "中文含义", "meaning in Chinese"),
    _needed("english", _TEXT, "英文含义", "meaning in English"),
    comment="含义 / meaning: of every table and column, in two languages",
)

VIEW = (assertion, benefit, community, household, household_member, resident)
"""The tables that must equal the log."""


def declared(table: sa.Table) -> list[sa.Column[Any]]:
    """The columns that the digest covers: all but how and when we came to know, which a rebuild may change."""
    return [column for column in table.columns if not column.info["observed"]]


def meanings() -> list[tuple[str, str, str, str]]:
    """The rows of ``meaning``: table, column ("" for the table itself), Chinese, English."""
    rows = []
    for table in metadata.sorted_tables:
        for name, comment in (("", table.comment), *((column.name, column.comment) for column in table.columns)):
            chinese, _, english = (comment or "").partition(" / ")
            rows.append((table.name, name, chinese, english))
    return rows
