"""How status looks in a terminal: the table of sources with its columns, and what is wrong with its fix.

The same columns and words in the live view of the sample city, in ``onewindow status`` and at the end of a run. A terminal
that is too narrow shows fewer columns; a number or a code is never cut.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

from rich.console import Console, ConsoleOptions
from rich.measure import Measurement
from rich.table import Table
from rich.text import Text

_COLOURS = {"live": "green", "ready": "green", "ok": "green", "healthy": "bold green", "loading": "cyan",
            "catching up": "cyan", "starting": "cyan", "rebuilding": "cyan", "warn": "yellow", "waiting": "yellow", "asks": "yellow",
            "needs attention": "bold yellow", "silent": "red", "paused": "red", "down": "red", "fail": "red"}  # fmt: skip
_BAR = 10  # cells
UNKNOWN = "-"


def coloured(word: str) -> Text:
    """A state in its colour."""
    return Text(word, style=_COLOURS.get(word, ""))


def number(value: float | None) -> str:
    """A whole number with thousands apart; what is not known is no zero."""
    return UNKNOWN if value is None else f"{value:,.0f}"


class _Column(NamedTuple):
    """``cell`` makes a cell of a source."""

    header: str
    cell: Callable[[dict[str, Any]], Text | str]
    right: bool = True


def _counted(name: str) -> _Column:
    return _Column(name, lambda source: number(source[name]))


def _state(source: dict[str, Any]) -> Text:
    return coloured(source["state"])


def _state_and_share(source: dict[str, Any]) -> Text:
    share = source["progress"]
    return coloured(source["state"]) + Text("" if share is None else f" {share:.0%}", "cyan")


def _bar(source: dict[str, Any]) -> Text:
    share = source["progress"]
    if share is None:
        return Text("")
    full = round(share * _BAR)
    return Text("█" * full + "░" * (_BAR - full) + f" {share:4.0%}", "cyan")


def _books(source: dict[str, Any]) -> Text:
    if source["balanced"] is None:
        return Text(UNKNOWN)
    return Text("balanced", "green") if source["balanced"] else Text("NOT BALANCED", "red")


def _last_read(source: dict[str, Any]) -> str:
    return f"{max(0.0, time.time() - source['looked_at']):,.1f} s ago" if source["looked_at"] else UNKNOWN


_SOURCE = _Column("source", lambda source: f"{source['system']}.{source['dataset']}", right=False)
_STATE, _SHORT_STATE = _Column("state", _state, right=False), _Column("state", _state_and_share, right=False)
_PROGRESS = _Column("progress", _bar, right=False)
_READ, _ACCEPTED, _QUARANTINED, _DUPLICATE, _STALE, _FILTERED, _PENDING = map(
    _counted, ("read", "accepted", "quarantined", "duplicate", "stale", "filtered", "pending")
)
_RATE = _Column("rows/s", lambda source: number(source["rate"]))
_BOOKS = _Column("books", _books, right=False)
_LAST_READ = _Column("last read", _last_read)

_COUNTS = (_ACCEPTED, _QUARANTINED, _DUPLICATE, _STALE, _FILTERED, _PENDING)
_STATUS: Sequence[Sequence[_Column]] = (
    (_SOURCE, _STATE, _PROGRESS, _READ, *_COUNTS, _RATE, _BOOKS, _LAST_READ),
    (_SOURCE, _SHORT_STATE, _READ, *_COUNTS, _RATE, _BOOKS),
    (_SOURCE, _SHORT_STATE, _READ, _QUARANTINED, _PENDING, _RATE, _BOOKS),
    (_SOURCE, _SHORT_STATE, _READ, _PENDING, _RATE, _BOOKS),
    (_SOURCE, _SHORT_STATE, _READ, _PENDING),
)
_SUMMARY: Sequence[Sequence[_Column]] = (
    (_SOURCE, _READ, *_COUNTS, _BOOKS),
    (_SOURCE, _READ, _ACCEPTED, _QUARANTINED, _PENDING, _BOOKS),
    (_SOURCE, _READ, _PENDING, _BOOKS),
)


class Sources:
    """The sources as a table: with the most columns that the place has room for, in the order of ``layouts``."""

    def __init__(self, sources: Sequence[dict[str, Any]], layouts: Sequence[Sequence[_Column]] = _STATUS) -> None:
        self._tables = [_table(sources, columns) for columns in layouts]

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> Iterator[Table]:
        endless = options.update(width=10_000, max_width=10_000)
        yield next(
            (table for table in self._tables if Measurement.get(console, endless, table).maximum <= options.max_width),
            self._tables[-1],
        )


def _table(sources: Sequence[dict[str, Any]], columns: Sequence[_Column]) -> Table:
    table = plain_table()
    for column in columns:
        table.add_column(column.header, justify="right" if column.right else "left", no_wrap=True)
    for source in sources:
        table.add_row(*(column.cell(source) for column in columns))
    return table


def plain_table() -> Table:
    """A table without lines."""
    return Table(box=None, pad_edge=False, header_style="bold")


def sources_table(found: dict[str, Any]) -> Sources:
    """Each dataset with its state, its progress while it loads, its books, and when it was last read to its end."""
    return Sources(found["sources"])


def summary_table(found: dict[str, Any]) -> Sources:
    """The books at the end of a run."""
    return Sources(found["sources"], _SUMMARY)


def troubles(found: dict[str, Any]) -> list[Text]:
    """Every problem with its fix, and the latest note of each dataset."""
    lines = []
    for problem in found["problems"]:
        lines.append(Text(f"! {problem['where']}: {problem['code']} {problem['finding']}", "yellow"))
        lines.append(Text(f"  fix: {problem['fix']}"))
    for source in found["sources"]:
        lines.extend(
            Text(f"  note: {source['dataset']}: {note.splitlines()[0]}", "dim") for note in source["notes"][-1:]
        )
    return lines


def freshness(found: dict[str, Any]) -> str:
    """How long changes took from the source's commit to the view."""
    fresh = found["freshness_ms"]
    if fresh["p50"] is None:
        return "freshness: no change was measured yet"
    return (
        f"freshness (source commit → view): p50 {fresh['p50']:,.0f} ms, p95 {fresh['p95']:,.0f} ms, "
        f"p99 {fresh['p99']:,.0f} ms of {found['freshness_measured']:,} changes"
    )
