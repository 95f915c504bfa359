"""A resident, and communities, as a person reads them: names beside codes, yes and no, amounts in 元."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from contracts.codesets import codeset
from contracts.divisions import name_of
from contracts.fields import FIELDS
from onewindow.panel import number, plain_table
from projections.tables import community as community_table

_LISTED = {
    "residents": "residents\n居民",
    "households": "households\n登记户数",
    "living_alone": "alone\n独居",
    "pensions_paying": "pensions\n养老金",
    "allowances_paying": "allowances\n高龄津贴",
    "low_incomes_paying": "low income\n低保",
}


def said(name: str, value: Any) -> str:
    """The value of a canonical field, for a person."""
    field = FIELDS[name]
    if value is None:
        return "-"
    if field.kind == "flag":
        return "yes 是" if value else "no 否"
    if field.kind == "money":
        return yuan(value)
    if field.kind == "code" and field.codeset:
        title = codeset(field.codeset).codes.get(str(value))
        return f"{title} {value}" if title else str(value)
    if field.kind == "division":
        return f"{name_of(str(value)) or 'unknown'} {value}"
    return str(value)


def yuan(fen: int | None) -> str:
    """An amount of money; what is not known is no zero."""
    return "-" if fen is None else f"{fen / 100:,.2f} 元"


def resident(found: dict[str, Any]) -> Iterator[RenderableType]:
    """A resident's unified record: each field with where it comes from, then what is paid, and with whom she lives."""
    yield f"resident {found['resident_id']}" + (" (provisional 暂定)" if found["provisional"] else "")
    table = _columns("field", "字段", "value", "source", "rule", "as of")
    for name, field in found["fields"].items():
        value = said(name, field["value"])
        if "mend" in field:
            value += f"  (was {field['original']!r}: {field['mend']})"
        source = f"{field['system']}.{field['dataset']}"
        table.add_row(name, FIELDS[name].chinese, Text(value), source, field["rule"], (field.get("as_of") or "")[:10])
    yield table
    for each in found["benefits"]:
        until = f" until {each['until_month']}" if each["until_month"] else ""
        yield (
            f"{said('benefit_kind', each['kind'])}: {yuan(each['amount_fen'])} a month since "
            f"{each['from_month'] or 'an unknown month'}{until}, {said('benefit_state', each['state'])} ({each['system']})"
        )
    for each in found["households"]:
        yield _household(each, found["resident_id"])
    yield Text(f"{found['records']} records speak of this resident, {found['held']} of them held in quarantine", "dim")


def _household(found: dict[str, Any], resident_id: str) -> str:
    relation = next(each["relation"] for each in found["relations"] if each["resident_id"] == resident_id)
    head = (
        "nobody is its head 缺户主" if found["head_resident_id"] is None else f"head 户主 {found['head_resident_id']}"
    )
    place = " ".join(found[part] for part in ("building", "unit", "room") if found[part])
    members = "member" if found["members"] == 1 else "members"
    return (
        f"户 household {found['household_number']}: {said('household_relation', relation)} of {found['members']} {members}, {head},"
        f" {place or 'no address'} ({found['system']})"
    )


def _columns(*names: str) -> Table:
    table = plain_table()
    for name in names:
        table.add_column(name, no_wrap=name not in ("value", "字段"), overflow="fold")
    return table


def communities(found: list[dict[str, Any]]) -> Table:
    """Each community with its code, its name and the counts that are asked for most."""
    table = plain_table()
    table.add_column("code", no_wrap=True)
    table.add_column("community\n社区", overflow="fold")
    for title in _LISTED.values():
        table.add_column(title, justify="right", no_wrap=True)
    for row in found:
        table.add_row(row["community_code"], row["name"] or "-", *(number(row[name]) for name in _LISTED))
    return table


def community(found: dict[str, Any]) -> Iterator[RenderableType]:
    """One community: all its counts, each with its meaning."""
    yield f"{found['community_code']} {found['name'] or ''}"
    table = plain_table()
    table.show_header = False
    for column, right in (("meaning", False), ("含义", False), ("value", True)):
        table.add_column(column, justify="right" if right else "left", no_wrap=right)
    for name in (column.name for column in community_table.columns if not column.primary_key):
        chinese, _, english = str(community_table.c[name].comment).partition(" / ")
        money = name == "benefit_fen_paying"
        if money:
            chinese, english = chinese.replace("(分)", ""), english.removesuffix(", in fen")
        table.add_row(english, chinese, yuan(found[name]) if money else number(found[name]))
    yield table
