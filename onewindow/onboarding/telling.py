"""What ``source add`` and ``source preview`` print: what is doubtful comes first, as it is what a person is for."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from rich.console import RenderableType
from rich.text import Text

from contracts.fields import FIELDS
from onewindow.panel import plain_table

_DOUBTS = 12


def added(found: dict[str, Any], where: str) -> Iterator[RenderableType]:
    """What was written, and what to look at in it. ``where``: how the program is started for this deployment."""
    file = Path(found["file"])
    doubts = found["look_at"]
    if doubts:
        lines = "this line" if len(doubts) == 1 else f"these {len(doubts)} lines"
        yield Text(f"Look at {lines} of sources/{file.name} 请核对:", "bold yellow")
    for each in doubts[:_DOUBTS]:
        yield f"  line {each['line']:<4} {each['what']}  {each['confidence']:.0%}: {each['reason']}"
    if len(doubts) > _DOUBTS:
        yield f"  and {len(doubts) - _DOUBTS} more, at the top of the file"
    for dataset in found["datasets"]:
        yield Text(f"\n{dataset['dataset']} from {dataset['table']}", "bold")
        yield (
            f"{dataset['rows']:,} records looked at, {dataset['accepted']:,} of them would be accepted;"
            f" key {', '.join(dataset['key']['columns'])}"
            + (f"; cursor {dataset['cursor']['columns'][0]}" if dataset["cursor"] else "")
            + ("; no cursor: the whole table is read each time" if dataset["read_whole"] else "")
        )
        yield _fields(dataset)
        if dataset["not_mapped"]:
            yield f"not mapped: {', '.join(each['column'] for each in dataset['not_mapped'])}"
    for each in found["left_out"]:
        yield Text(f"not taken: {each['name']}: {each['reason']}", "dim")
    yield f"\nsources/{file.name} is written" + (
        f"; the password is in {found['password_file']}, for this user alone" if found["password_file"] else ""
    )
    yield f"Next:  {where} source preview {file.stem}\n       {where} source check {file.stem}"
    yield "A deployment that is up reads a new source within seconds."


def _fields(dataset: dict[str, Any]) -> RenderableType:
    table = plain_table()
    for name in ("field", "字段", "from", "sure", "why"):
        table.add_column(name, no_wrap=name != "why", overflow="fold")
    for each in dataset["fields"]:
        origin = each.get("column") or f"“{each['value']}”"
        colour = "" if each["confidence"] >= 0.8 else "yellow"
        table.add_row(
            each["field"],
            FIELDS[each["field"]].chinese,
            origin,
            f"{min(each['confidence'], 0.99):.0%}",
            each["reason"],
            style=colour,
        )
    return table


def previewed(found: Sequence[dict[str, Any]]) -> Iterator[RenderableType]:
    """Each dataset: records side by side, then the summary."""
    for dataset in found:
        yield Text(f"{dataset['system']}.{dataset['dataset']}", "bold")
        for row in dataset["rows"]:
            yield from _row(row)
        yield from _summary(dataset)


def _row(row: dict[str, Any]) -> Iterator[RenderableType]:
    refused = row["outcome"] == "refused"
    head = Text(f"\nrow {row['row']}  {row['key']}  ") + Text(row["outcome"], "bold red" if refused else "green")
    yield head + Text(f"  {row['place']}" if row["place"] else "", "dim")
    if refused:
        where = f" {row['field']} from {row['column']}" if row["field"] else f" {row['column']}"
        yield f"  {row['reason']}:{where}: {row['looks_like']}. {row['meaning']} {row['meaning_zh']}"
        yield f"  fix: {row['mend']}"
    table = plain_table()
    for name in ("column", "source value 原值", "field 字段", "canonical value 标准值", "mended"):
        table.add_column(name, overflow="fold")
    for each in row["fields"]:
        value = "" if each["canonical"] is None else str(each["canonical"])
        style = "bold red" if each.get("refused") else "yellow" if each.get("mend") else ""
        table.add_row(
            each["column"] or "", each["source"] or "", each["field"], value, each.get("mend", ""), style=style
        )
    yield table


def _summary(dataset: dict[str, Any]) -> Iterator[RenderableType]:
    refused = sum(dataset["refused"].values())
    yield Text(
        f"\n{dataset['read']:,} rows read: {dataset['accepted']:,} would be accepted, {refused:,} refused,"
        f" {dataset['filtered']:,} filtered", "bold",
    )  # fmt: skip
    for reason, count in dataset["refused"].items():
        yield f"  refused  {reason:<24} {count:>7,}"
    for name, count in dataset["filled"].items():
        share = count / dataset["accepted"] if dataset["accepted"] else 0
        yield f"  filled   {name:<24} {count:>7,}  {share:.0%}"
    if dataset["would_pause"]:
        yield Text(
            "so many refusals would pause the dataset (refuse_limit): the mapping or the source is wrong", "bold red"
        )
    yield Text("values of people are masked; nothing was written", "dim")
