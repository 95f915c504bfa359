"""The engine of the view: events go in, and rows, offsets and numbers move together in one transaction.

For each partition ``position`` holds the next offset. For each input partition of streams (*origin*) that writes into
it, ``origin`` holds the number that its next event must have: a smaller one was seen and is dropped; a greater one
means that a batch is missing, so it is not applied, and neither is what follows it, until the relay has sent the
missing batch again and everything after it (guarantee 2). ``gap`` names what is missing meanwhile.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import sqlalchemy as sa

from contracts import events
from contracts.errors import (
    AnotherLog,
    DatabaseUnreachable,
    EventUnreadable,
    LogTooShort,
    LogTrimmed,
    OutOfStep,
    ViewOutdated,
)
from projections import bulk
from projections.base import Projection
from projections.bulk import Collision
from projections.collector import collector_paused
from projections.databases import reading, writing
from projections.residents import Residents
from projections.tables import SCHEMA_VERSION, gap, log, meaning, meanings, meta, metadata, origin, position
from projections.winners import Authority

_ATTEMPTS = 5
_ANEW = (
    "end what runs, move the view's database away (view.sqlite with the files beside it) and start again: the view is made "
    "anew from the log"
)
_LOCK = 0x0E_1D_0001
"""Key of PostgreSQL's advisory lock under which tables are created: CREATE TABLE IF NOT EXISTS alone may collide."""

_NUL = re.compile(rb"(?<!\\)((?:\\\\)*)\\u0000")


class Arrival(NamedTuple):
    """An event as it came: ``origin`` and ``number`` are the headers ``ce_source`` and ``ce_sequence``."""

    offset: int
    origin: str
    number: int
    value: bytes


class LogBatch(NamedTuple):
    """What lies at the offsets ``first`` to ``to - 1`` of a partition. ``first`` is where the fetch began, not the first
    event's offset: logs have holes."""

    topic: str
    partition: int
    first: int
    to: int
    arrivals: Sequence[Arrival]


@dataclass(frozen=True)
class LogIdentity:
    """Which log the offsets belong to: the cluster's id and, by name, the id of each topic that is followed."""

    cluster_id: str
    topic_ids: Mapping[str, str]


class Gap(NamedTuple):
    """A batch that is missing: ``found`` stood at ``offset`` where ``expected`` should have been."""

    topic: str
    partition: int
    origin: str
    expected: int
    found: int
    offset: int


@dataclass(frozen=True)
class Taken:
    """What became of a batch. ``gaps`` are those of the partition that are open after it."""

    next_offset: int
    applied: int = 0
    repeated: int = 0
    withheld: int = 0
    gaps: Sequence[Gap] = field(default=())


class ViewEngine:
    """Keeps one view in step with its log. Safe to use from several threads and, on PostgreSQL, several processes."""

    def __init__(
        self, engine: sa.Engine, authority: Authority, projections: Sequence[Projection] | None = None
    ) -> None:
        self.engine = engine
        self.authority = authority
        self.projections: Sequence[Projection] = [Residents(authority)] if projections is None else projections

    def prepare(self, identity: LogIdentity) -> None:
        """Create what is missing, and compare the rest with what the view was made from.

        Raises ViewOutdated when it was made by another version or declaration, AnotherLog when its offsets belong to
        another cluster or topic. Nothing is changed then.
        """
        wanted = self._maker()
        with writing(self.engine) as view:
            if view.dialect.name == "postgresql":
                view.execute(sa.select(sa.func.pg_advisory_xact_lock(_LOCK)))
            metadata.create_all(view)
            for each in self.projections:
                for table in each.tables:
                    table.create(view, checkfirst=True)
            found = _made_by(view)
            if not found:
                view.execute(sa.insert(meta), [{"name": name, "value": value} for name, value in wanted.items()])
            elif found != wanted:
                raise _outdated(found, wanted)
            self._recognise(view, identity)
            view.execute(sa.delete(meaning))
            view.execute(sa.insert(meaning), [dict(zip(meaning.c.keys(), row, strict=True)) for row in meanings()])

    def _maker(self) -> dict[str, str]:
        """What a view is made by: the versions of this code, and the declaration."""
        versions = {f"projection.{each.name}": str(each.version) for each in self.projections}
        return {"schema": str(SCHEMA_VERSION), "authority": self.authority.fingerprint, **versions}

    def outdated(self) -> ViewOutdated | None:
        """What ``prepare`` would raise of a view that is there, made by another version or declaration. Changes nothing."""
        with reading(self.engine) as view:
            found, wanted = _made_by(view), self._maker()
        return _outdated(found, wanted) if found not in ({}, wanted) else None

    def _recognise(self, view: sa.Connection, identity: LogIdentity) -> None:
        known = {row.topic: (row.cluster_id, row.topic_id) for row in view.execute(sa.select(log))}
        for topic, topic_id in identity.topic_ids.items():
            given = (identity.cluster_id, topic_id)
            if topic not in known:
                view.execute(sa.insert(log).values(topic=topic, cluster_id=given[0], topic_id=given[1]))
            elif known[topic] != given:
                raise AnotherLog(
                    f"the view at {self._where} follows topic {topic} with id {known[topic][1]} of cluster "
                    f"{known[topic][0]}, but is given id {given[1]} of cluster {given[0]}",
                    fix=f"give it the broker that it was made from, or {_ANEW}",
                )

    @property
    def _where(self) -> str:
        return self.engine.url.render_as_string(hide_password=True)

    def positions(self) -> dict[tuple[str, int], int]:
        """The next offset of each partition that was ever read from."""
        with reading(self.engine) as view:
            return read_positions(view)

    def check(self, topic: str, partition: int, start: int, end: int) -> int:
        """The offset to go on from, when the log holds the offsets ``start`` to ``end - 1``.

        Raises LogTrimmed when events were dropped before the view saw them, LogTooShort when the log ends before the
        place that the view has reached.
        """
        stored = self.positions().get((topic, partition), 0)
        if stored < start:
            raise LogTrimmed(
                f"the view at {self._where} goes on from offset {stored} of {topic}/{partition}, but the log starts at "
                f"{start}: {start - stored} offsets were dropped unread",
                fix="if it was archived: onewindow rebuild. Lengthen the topic's retention (retention.ms), so that it does not "
                "happen again; without an archive, move the databases of view and streams away and start again: the "
                "sources are read again",
            )
        if stored > end:
            raise LogTooShort(
                f"the view at {self._where} has read {topic}/{partition} up to offset {stored}, but the log ends at {end}",
                fix=f"restore the log's missing tail, or {_ANEW}; what only the tail held is read again from the sources",
            )
        return stored

    def take(self, topic: str, partition: int, *, first: int, to: int, arrivals: Sequence[Arrival]) -> Taken:
        """``take_together`` of one batch."""
        return self.take_together([LogBatch(topic, partition, first, to, arrivals)])[0]

    def take_together(self, batches: Sequence[LogBatch]) -> list[Taken]:
        """Apply batches of one topic, at most one of each partition, in one transaction. Says of each what became of it.

        Arrivals below the stored offset are dropped, so a batch may be given twice.

        Raises OutOfStep, with nothing changed, when the view has not come as far as a batch's ``first``;
        DatabaseUnreachable, likewise, when its database is busy or away; EventUnreadable, likewise, with the place of the
        event.
        """
        for _ in range(_ATTEMPTS):
            try:
                with collector_paused(), writing(self.engine) as view:
                    return self._take(view, batches[0].topic, batches)
            except Collision:  # another worker wrote the same record first; now it is there to be seen
                continue
            except EventUnreadable as error:
                raise _placed(error, batches) from error
        raise DatabaseUnreachable(
            f"other workers write the same records of the view at {self._where} again and again",
            fix="it is tried again; if it goes on, see that no two groups of workers project into one view",
        )

    def _take(self, view: sa.Connection, topic: str, batches: Sequence[LogBatch]) -> list[Taken]:
        partitions = [batch.partition for batch in batches]
        positions, books = _claim(view, topic, partitions)
        fresh, taken, moves = list[bytes](), list[Taken](), list[bulk.Row]()
        for batch in batches:
            stored, applied, repeated, withheld = positions[batch.partition]
            if batch.first > stored:
                raise OutOfStep(
                    f"{topic}/{batch.partition} is given from offset {batch.first}, but the view stands at {stored}",
                    fix="nothing to do: the worker reads the stored offset again and goes on from there",
                )
            mine = books[batch.partition]
            new = mine.accept(batch.arrivals, stored)
            moved = max(stored, batch.to)
            fresh += new
            taken.append(Taken(moved, len(new), mine.repeated, mine.withheld, sorted(mine.gaps.values())))
            row = (applied + len(new), repeated + mine.repeated, withheld + mine.withheld)
            moves.append((topic, batch.partition, moved, *row))
        if fresh:
            decoded = events.decode(_without_nul(fresh))
            for projection in self.projections:
                if topic in projection.topics:
                    projection.apply(decoded, view)
        with bulk.together(view):
            _write_books(view, books.values())
            bulk.upsert(view, position, moves)
        return taken


def _placed(error: EventUnreadable, batches: Sequence[LogBatch]) -> EventUnreadable:
    """The error of the first event that can't be read."""
    for batch in batches:
        for arrival in batch.arrivals:
            try:
                events.decode(_without_nul([arrival.value]))
            except EventUnreadable as found:
                place = f"the event at {batch.topic}/{batch.partition}, offset {arrival.offset},"
                return EventUnreadable(found.why, place)
    return error


class _Books:
    """The numbers and gaps of one partition while a batch is taken."""

    def __init__(self, topic: str, partition: int, numbers: dict[str, int], gaps: dict[str, Gap]) -> None:
        self._topic, self._partition = topic, partition
        self._numbers_before, self._gaps_before = numbers, gaps
        self.numbers, self.gaps = dict(numbers), dict(gaps)
        self.repeated = self.withheld = 0

    def accept(self, arrivals: Sequence[Arrival], stored: int) -> list[bytes]:
        """The values to apply, in order: from offset ``stored`` on, each with exactly the next number of its origin."""
        fresh = []
        numbers, gaps = self.numbers, self.gaps
        for offset, source, number, value in arrivals:
            if offset < stored:
                continue
            expected = numbers.get(source, 0)
            if number == expected:
                numbers[source] = number + 1
                fresh.append(value)
                if gaps:
                    gaps.pop(source, None)
            elif number < expected:
                self.repeated += 1
            else:
                self.withheld += 1
                if source not in gaps:
                    gaps[source] = Gap(self._topic, self._partition, source, expected, number, offset)
        return fresh

    def moved(self) -> list[bulk.Row]:
        """Rows of ``origin`` that have changed."""
        before = self._numbers_before
        return [
            (self._topic, self._partition, name, number)
            for name, number in self.numbers.items()
            if before.get(name) != number
        ]

    def closed(self) -> list[bulk.Row]:
        """Keys of ``gap`` that are to go."""
        return [(self._topic, self._partition, name) for name in self._gaps_before.keys() - self.gaps.keys()]

    def opened(self) -> list[bulk.Row]:
        """Rows of ``gap`` that are new, or other than they were."""
        return [tuple(now) for name, now in self.gaps.items() if self._gaps_before.get(name) != now]


def _write_books(view: sa.Connection, books: Iterable[_Books]) -> None:
    moved, closed, opened = list[bulk.Row](), list[bulk.Row](), list[bulk.Row]()
    for each in books:
        moved += each.moved()
        closed += each.closed()
        opened += each.opened()
    bulk.upsert(view, origin, moved)
    bulk.delete(view, gap, closed)
    bulk.upsert(view, gap, opened)


def _claim(
    view: sa.Connection, topic: str, partitions: Sequence[int]
) -> tuple[dict[int, tuple[int, ...]], dict[int, _Books]]:
    """partition -> (stored offset, applied, repeated, withheld), with its row locked: a second worker waits here. And the
    books of each."""
    here = {"topic": topic}
    finds = [
        bulk.Find(position, _names(position)[1:], "partition", partitions, here, lock=True),
        bulk.Find(origin, _names(origin)[1:], "partition", partitions, here),
        bulk.Find(gap, _names(gap), "partition", partitions, here),
    ]
    rows, numbers, gaps = bulk.find_all(view, finds)
    if new := {*partitions} - {row[0] for row in rows}:
        bulk.add(view, position, [(topic, partition, 0, 0, 0, 0) for partition in sorted(new)])
        return _claim(view, topic, partitions)
    mine: dict[int, tuple[dict[str, int], dict[str, Gap]]] = {partition: ({}, {}) for partition in partitions}
    for partition, name, number in numbers:
        mine[partition][0][name] = number
    for row in gaps:
        found = Gap(*row)
        mine[found.partition][1][found.origin] = found
    return {row[0]: row[1:] for row in rows}, {
        partition: _Books(topic, partition, *known) for partition, known in mine.items()
    }


def _names(table: sa.Table) -> tuple[str, ...]:
    return tuple(table.columns.keys())


def _without_nul(values: Sequence[bytes]) -> Sequence[bytes]:
    """PostgreSQL holds no U+0000 in text; what a source smuggled in becomes U+FFFD, in every database alike."""
    if b"\\u0000" not in b"\n".join(values):  # looked for in all at once: there is none
        return values
    return [_NUL.sub(rb"\1\\ufffd", value) for value in values]


def _made_by(view: sa.Connection) -> dict[str, str]:
    return dict(view.execute(sa.select(meta.c.name, meta.c.value)).all())


def _outdated(found: Mapping[str, str], wanted: Mapping[str, str]) -> ViewOutdated:
    names = sorted(name for name in {*found, *wanted} if found.get(name) != wanted.get(name))
    changes = [
        "authority in onewindow.yaml is not what it was"
        if name == "authority"
        else f"{name} is now version {wanted.get(name, 'none')}, was {found.get(name, 'none')}"
        for name in names
    ]
    is_newer = any(int(found.get(name, 0)) > int(wanted.get(name, 0)) for name in names if name != "authority")
    fix = "make it anew beside this one: onewindow rebuild"
    if is_newer:
        fix = f"run the version of OneWindow that made it, or {fix}"
    elif "authority" in names:
        fix = f"set authority back, or {fix}"
    error = ViewOutdated(f"the view was made otherwise than it would be made now: {'; '.join(changes)}", fix=fix)
    error.is_older = not is_newer and "authority" not in names
    return error


def read_positions(view: sa.Connection) -> dict[tuple[str, int], int]:
    """The next offset of each partition, in the transaction that is given."""
    rows = view.execute(sa.select(position.c.topic, position.c.partition, position.c.next_offset))
    return {(topic, partition): next_offset for topic, partition, next_offset in rows}
