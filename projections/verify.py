"""Guarantee 5: the view equals the log. Read the view as of one moment, fold the log to the same offsets, compare."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol, TypeVar

import sqlalchemy as sa

from projections import bulk
from projections.databases import open_view, reading
from projections.digest import TableDigest, chunks, digest, overall
from projections.engine import LogBatch, LogIdentity, ViewEngine, read_positions
from projections.tables import VIEW, declared
from projections.winners import Authority

K = TypeVar("K", str, tuple[str, ...])
A = TypeVar("A")
B = TypeVar("B")
Positions = Mapping[tuple[str, int], int]
Progress = Callable[[int, int], None]
"""Gets (events folded, events in all)."""


class LogReader(Protocol):
    """Reads the log."""

    def ends(self) -> Positions:
        """Where each partition ends now."""

    def batches(self, until: Positions, since: Positions) -> Iterable[LogBatch]:
        """Every partition from the offset in ``since``, 0 where it has none, to the one in ``until``, each in order, in
        any interleaving."""


@dataclass(frozen=True)
class Snapshot:
    """Offsets and digests of one moment."""

    positions: Positions
    tables: Mapping[str, TableDigest]

    @property
    def digest(self) -> str:
        """One digest for all tables."""
        return overall(dict(self.tables))


def snapshot(engine: sa.Engine, tables: Sequence[sa.Table] = VIEW) -> Snapshot:
    """Offsets and table digests of a live view, as of one moment: it may go on being written meanwhile."""
    with reading(engine) as view:
        return seen(view, tables)


def seen(view: sa.Connection, tables: Sequence[sa.Table] = VIEW) -> Snapshot:
    """The same, within a transaction of the caller's."""
    return Snapshot(read_positions(view), digest(view, tables))


def follow(view: ViewEngine, log: LogReader, until: Positions, progress: Progress = lambda *_: None) -> None:
    """Fold the log into a view, from where it stands up to exactly ``until``."""
    since = view.positions()
    done, total = sum(since.values()), sum(until.values())
    for batch in log.batches(until, since):
        end = until.get((batch.topic, batch.partition), 0)
        if batch.first >= end:
            continue
        view.take(
            batch.topic,
            batch.partition,
            first=batch.first,
            to=min(batch.to, end),
            arrivals=[arrival for arrival in batch.arrivals if arrival.offset < end],
        )
        done += min(batch.to, end) - batch.first
        progress(done, total)


def fold(
    log: LogReader,
    positions: Positions,
    scratch_url: str | sa.URL,
    authority: Authority,
    progress: Progress = lambda *_: None,
) -> sa.Engine:
    """Fold the log up to exactly ``positions`` into an empty database at ``scratch_url``, and return its engine.

    It goes through the same engine as the live view. The caller disposes of the engine and of the database.
    """
    engine = open_view(scratch_url, synchronous="OFF")
    beside = ViewEngine(engine, authority)
    beside.prepare(LogIdentity("verify", {}))
    follow(beside, log, positions, progress)
    return engine


@dataclass(frozen=True)
class Comparison:
    """What differs between the live view and the fold of its log. Offsets that the log did not reach differ too."""

    tables: Sequence[str]
    positions: Sequence[tuple[str, int]]

    @property
    def identical(self) -> bool:
        """Whether the view equals the log."""
        return not self.tables and not self.positions


def compare(live: Snapshot, folded: Snapshot) -> Comparison:
    """Which tables and offsets differ."""
    tables = sorted({*live.tables, *folded.tables})
    ends = sorted({*live.positions, *folded.positions})
    return Comparison(
        [name for name in tables if live.tables.get(name) != folded.tables.get(name)],
        [end for end in ends if live.positions.get(end, 0) != folded.positions.get(end, 0)],
    )


class Difference(NamedTuple):
    """A row that is not the same on both sides; ``columns`` is empty when one side lacks it."""

    table: str
    key: tuple[str, ...]
    columns: tuple[str, ...]
    live: bool
    folded: bool


def differences(live: sa.Connection, folded: sa.Connection, table: sa.Table) -> Iterator[Difference]:
    """The rows of a table that differ, in the order of their keys, without values: they are residents' data."""
    names = [column.name for column in declared(table)]
    at = [names.index(column.name) for column in table.primary_key.columns]

    def rows(view: sa.Connection) -> Iterator[tuple[tuple[str, ...], bulk.Row]]:
        for chunk in chunks(view, table):
            for row in chunk:
                yield tuple(row[index] for index in at), row

    return unlike(table.name, names, rows(live), rows(folded))


def unlike(
    table: str,
    names: Sequence[str],
    ours: Iterator[tuple[tuple[str, ...], bulk.Row]],
    theirs: Iterator[tuple[tuple[str, ...], bulk.Row]],
) -> Iterator[Difference]:
    """The rows that are not the same on both sides, each of which gives (key, row) in the order of the keys."""
    for key, mine, other in paired(ours, theirs):
        columns = (
            tuple(_columns(names, mine, other)) if mine is not None and other is not None and mine != other else ()
        )
        if columns or mine is None or other is None:
            yield Difference(table, key, columns, live=mine is not None, folded=other is not None)


def paired(ours: Iterator[tuple[K, A]], theirs: Iterator[tuple[K, B]]) -> Iterator[tuple[K, A | None, B | None]]:
    """Each key with what both sides have of it, None where one lacks it. Both give (key, what) in the order of the keys;
    one of each is held."""
    mine, other = next(ours, None), next(theirs, None)
    while mine is not None or other is not None:
        if other is None or (mine is not None and mine[0] < other[0]):
            assert mine is not None
            yield mine[0], mine[1], None
            mine = next(ours, None)
        elif mine is None or other[0] < mine[0]:
            yield other[0], None, other[1]
            other = next(theirs, None)
        else:
            yield mine[0], mine[1], other[1]
            mine, other = next(ours, None), next(theirs, None)


def _columns(names: Sequence[str], mine: bulk.Row, other: bulk.Row) -> Iterator[str]:
    """Where two rows differ; within a document, at which of its names."""
    for name, a, b in zip(names, mine, other, strict=True):
        if isinstance(a, dict) and isinstance(b, dict):
            yield from (f"{name}.{key}" for key in sorted({*a, *b}) if a.get(key) != b.get(key))
        elif a != b:
            yield name
