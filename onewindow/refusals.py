"""What is in quarantine, as a person reads it: whose it is and why, how much of it, then the records."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import groupby
from typing import Any

from rich.console import RenderableType
from rich.text import Text

from onewindow.panel import number, plain_table

_FEW = 5  # records of a group that are listed unless asked for more


def refusals(found: Sequence[dict[str, Any]], limit: int | None) -> Iterator[RenderableType]:
    """Counts by reason and owner, the most first; then the newest records of each, their key at the beginning of a line.

    ``limit``: how many of each to list; None for a few.
    """
    if not found:
        yield "no record is in quarantine"
        return
    groups = [list(group) for _, group in groupby(sorted(found, key=_group), key=_group)]
    groups.sort(key=len, reverse=True)
    yield f"{len(found):,} records are in quarantine"
    table = plain_table()
    table.add_column("records", justify="right", no_wrap=True)
    for name in ("reason", "source"):
        table.add_column(name, no_wrap=True)
    table.add_column("owner 责任单位", overflow="fold")
    for group in groups:
        first = group[0]
        table.add_row(number(len(group)), first["reason"], f"{first['system']}.{first['dataset']}", first["owner"])
    yield table
    for group in groups:
        yield from _listed(group, _FEW if limit is None else limit)


def _group(each: dict[str, Any]) -> tuple[str, ...]:
    return each["reason"], each["owner"], each["system"], each["dataset"]


def _listed(group: list[dict[str, Any]], limit: int) -> Iterator[RenderableType]:
    first = group[0]
    yield Text(f"\n{first['reason']} · {first['owner']} · {first['system']}.{first['dataset']}", "bold")
    yield f"{first['meaning']} {first['meaning_zh']}"
    yield f"fix: {first['mend']}"
    for each in group[:limit]:
        culprit = f"  {each['column']}: {each['looks_like']}" if each["column"] else ""
        yield f"  {each['record_key']}  {each['place']}{culprit}"
    if len(group) > limit:
        yield Text(f"  and {len(group) - limit:,} more: --reason {first['reason']} --limit {len(group)}", "dim")


def refusal(found: dict[str, Any]) -> Iterator[RenderableType]:
    """One refused record, its values by their shape."""
    names = (
        "record_key",
        "system",
        "dataset",
        "reason",
        "meaning",
        "meaning_zh",
        "owner",
        "place",
        "mend",
        "refused_at",
    )
    for name in names:
        if found.get(name):
            yield f"{name:<12} {found[name]}"
    for name, about in found["values"].items():
        yield Text(f"  {name:<12} {about['looks_like']}", "bold red" if about["culprit"] else "")
    yield Text("values are shown by their shape: 9 a digit, A a letter, 字 another character", "dim")
