"""How comparisons look in a terminal: of a source with the pipeline, and of what was read with what became of it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from rich.console import RenderableType
from rich.text import Text

from onewindow.panel import coloured, number, plain_table

_KINDS = {
    "equal": "相符",
    "missing": "缺失",
    "extra": "多余",
    "different": "不同",
    "refused": "隔离",
    "filtered": "不收",
    "in_motion": "变动中",
}
_MEANT = {
    "missing": "in the source, neither in the view nor in quarantine",
    "extra": "in the view, gone from the source",
    "different": "the content differs",
    "in_motion": "changed between all passes: look again when it is quieter",
}
_PARTS = ("read", "accepted", "quarantined", "duplicate", "stale", "filtered", "pending")


def reconciled(found: dict[str, Any], limit: int) -> Iterator[RenderableType]:
    """The counts of each dataset, then the keys of what differs, and what to do."""
    good, bad = "the pipeline holds what the source holds 对账相符", "THE PIPELINE AND THE SOURCE DIFFER 对账不符"
    moving = sum(each["counts"]["in_motion"] for each in found["datasets"])
    if found["equal"] and moving:
        yield Text(
            f"no difference was found; {moving:,} records moved all the while and were not compared 变动中",
            "bold yellow",
        )
    else:
        yield Text(good, "bold green") if found["equal"] else Text(bad, "bold red")
    table = plain_table()
    table.add_column("dataset", no_wrap=True)
    table.add_column("in source 来源", justify="right", no_wrap=True)
    for kind, chinese in _KINDS.items():
        table.add_column(f"{kind.replace('_', ' ')} {chinese}", justify="right", no_wrap=True)
    for each in found["datasets"]:
        table.add_row(each["dataset"], number(each["rows"]), *(_counted(each, kind) for kind in _KINDS))
    yield table
    for each in found["datasets"]:
        for kind, keys in each["keys"].items():
            yield from _keys(each, kind, keys[:limit])
        yield Text(f"{each['dataset']}: {_passes(each['passes'])} in {each['seconds']:.1f} s", "dim")
    yield from _ways_on(found)
    if "report" in found:
        yield f"the report is in {found['report']['file']}, its SHA-256 in {found['report']['file']}.sha256"


def _counted(each: dict[str, Any], kind: str) -> Text:
    count = each["counts"][kind]
    return Text(number(count), "bold red" if count and kind in ("missing", "extra", "different") else "")


def _passes(count: int) -> str:
    return "the source was read once" if count == 1 else f"the source was read {count} times"


def _keys(each: dict[str, Any], kind: str, keys: list[str]) -> Iterator[RenderableType]:
    yield Text(f"{each['dataset']}: {kind.replace('_', ' ')} {_KINDS[kind]}, {_MEANT[kind]}", "bold")
    yield from (f"  {key}" for key in keys)
    if each["counts"][kind] > len(keys):
        yield Text(f"  and {each['counts'][kind] - len(keys):,} more: --limit, or --json", "dim")


def _ways_on(found: dict[str, Any]) -> Iterator[RenderableType]:
    for each in found["datasets"]:
        name, counts = each["dataset"], each["counts"]
        if counts["extra"]:
            yield (
                f"{name}, extra: answer what `onewindow status` asks about it, if it does; a table that is polled by a cursor does"
                " not tell what is deleted: declare deleted, or leave cursor out"
            )
        if not each["equal"]:
            yield f"fix: onewindow source reread {name}; if that changes nothing: onewindow verify"


def books(found: dict[str, Any]) -> Iterator[RenderableType]:
    """A line a dataset, then the partitions that do not balance."""
    good, bad = "the books balance 账平", "THE BOOKS DO NOT BALANCE, or not yet 账不平"
    yield Text(good, "bold green") if found["balanced"] else Text(bad, "bold red")
    table = plain_table()
    table.add_column("dataset", no_wrap=True)
    for part in (*_PARTS, "books", "records", "in source"):
        table.add_column(part, justify="left" if part == "books" else "right", no_wrap=True)
    for each in found["datasets"]:
        said = {True: coloured("balanced"), False: Text("NOT BALANCED", "red"), None: Text("-")}[each["balanced"]]
        counts = [number(each[part]) for part in _PARTS]
        table.add_row(each["dataset"], *counts, said, number(each["records"]), number(each["source_rows"]))
    yield table
    for each in found["datasets"]:
        for one in each["unbalanced"]:
            yield (
                f"{each['dataset']}, partition {one['partition']}: {number(one['in_topic'])} events in the topic, {one['taken']:,}"
                f" taken, {one['counted']:,} counted, {one['missing']:,} missing on the way"
            )
            yield from _unaccounted(one)
    yield Text("records: those that streams knows of; in source: the source's own count, or its estimate", "dim")


def _unaccounted(one: dict[str, Any]) -> Iterator[RenderableType]:
    if one["unaccounted"] is None:
        yield f"  which records that concerns can't be told: {one['why']}"
        return
    if not one["unaccounted"]:
        yield "  each event that was taken is known; what never came is found by: onewindow source reconcile"
        return
    yield f"  {one['unaccounted']:,} events in it are not accounted for, of the records"
    yield from (f"    {key}" for key in one["keys"])
