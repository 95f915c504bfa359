"""``onewindow verify --from department``: what streams decided, compared with what the departments' topics say.

At one moment of its store streams stands at certain offsets of the departments' topics, and has given certain numbers to
its events. The topics are folded to these offsets through intake, under the mappings of the source files; the events with
these numbers are taken from the log and from the outbox. Both must say the same of every record, and the store must know
the same of it. Streams goes on meanwhile.
"""

from __future__ import annotations

import hashlib
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import sqlalchemy as sa

from contracts.events import REMAP_ORIGIN, RESIDENT_TOPIC
from contracts.sources import department_topic
from onewindow import damage
from onewindow.archive import History
from onewindow.databases import existing_store
from onewindow.events_log import EventsLog, identity
from onewindow.history import archive_of
from onewindow.remapping import declared
from onewindow.settings import Deployment
from projections.databases import reading
from projections.engine import Arrival, LogIdentity
from projections.tables import assertion
from projections.verify import unlike
from streams import store as tables
from streams.intake import fingerprints
from streams.refold import Declared, Refold
from streams.standing import Standing, unpack

_FIRST_DIFFERENCES = 10
_encoder = msgspec.json.Encoder(order="deterministic")
Progress = Callable[[int, int], None]


class _Cut(NamedTuple):
    """A moment of the store: offsets of the departments' topics, and (origin, output partition) -> the next number."""

    positions: Mapping[tuple[str, int], int]
    numbers: Mapping[tuple[str, str], int]

    @classmethod
    def of(cls, store: sa.Connection, origins: set[str]) -> _Cut:
        positions = store.execute(sa.select(tables.position))
        numbers = store.execute(sa.select(tables.number))
        return cls(
            {(row.topic, row.partition): row.next_offset for row in positions if row.topic in origins},
            {(row.origin, row.target): row.next_number for row in numbers if row.origin.rpartition("/")[0] in origins},
        )

    def holds(self, topic: str, partition: int) -> Callable[[Arrival], bool]:
        """Tells the events of a partition that were decided at this moment."""
        target = f"{topic}/{partition}"
        return lambda arrival: arrival.number < self.numbers.get((arrival.origin, target), 0)


def verify_decisions(deployment: Deployment, progress: Progress = lambda *_: None) -> dict[str, Any]:
    """Compare. ``fix`` names the datasets to remap; ``differences`` the first rows that differ, without their values."""
    damaged = damage.found(deployment.directory)
    if damaged is not None:
        raise damaged
    datasets = declared(deployment)
    topics = {department_topic(each.system, each.dataset): each for each in datasets}
    origins = {*topics, *(f"{REMAP_ORIGIN}{each.system}.{each.dataset}" for each in datasets)}
    about = identity(deployment.bootstrap, [*topics, RESIDENT_TOPIC])
    engine = existing_store(deployment)
    try:
        with (
            tempfile.TemporaryDirectory(prefix="onewindow-verify-") as folder,
            reading(engine) as store,
            closing(EventsLog(deployment.bootstrap, [RESIDENT_TOPIC])) as log,
        ):
            cut, history = _Cut.of(store, origins), History(archive_of(deployment), log)
            refold = Refold(Path(folder), datasets, deployment.hasher, deployment.settings.kafka.partitions)
            standing = Standing(f"sqlite:///{folder}/stands.sqlite")
            try:
                refold.prepare(about)
                refold.follow(history, cut.positions, progress)
                standing.prepare(LogIdentity(about.cluster_id, {}))
                _hear(standing, cut, store, history, progress)
                with (
                    reading(standing.engine) as said,
                    reading(refold.standing.engine) as wanted,
                    reading(refold.store.engine) as decided,
                ):
                    pairs = {"assertion": (said, wanted)}
                    found = _Found()
                    for each in datasets:
                        for comparison in _comparisons(each):
                            found.compare(each, comparison, *pairs.get(comparison.table, (store, decided)))
                mappings = _mappings(store, datasets)
            finally:
                refold.close()
                standing.engine.dispose()
    finally:
        engine.dispose()
    return {
        "equal": not found.different,
        "from": "department",
        "digest": hashlib.sha256(_encoder.encode(found.tables())).hexdigest(),
        "tables": found.tables(),
        "events": sum(cut.positions.values()),
        "mappings": mappings,
        "gaps": [],
        "differences": found.differences,
        "fix": [f"onewindow remap {name}" for name in sorted(found.different)],
    }


def _hear(standing: Standing, cut: _Cut, store: sa.Connection, history: History, progress: Progress) -> None:
    """The events of the cut. What the outbox of that moment lacks was published before it."""
    rows = sa.select(tables.outbox.c.events).order_by(tables.outbox.c.id)
    waiting = store.execute(rows.execution_options(yield_per=8))
    ends = history.ends()
    done, total = 0, sum(ends.values())
    for batch in history.batches(ends, {}):
        standing.hear(batch, cut.holds(batch.topic, batch.partition))
        done += batch.to - batch.first
        progress(done, total)
    known = {origin for origin, _ in cut.numbers}
    for (events,) in waiting:
        standing.say([each for each in unpack(events) if each.origin in known])


class _Comparison(NamedTuple):
    """Rows of one dataset; the first ``keys`` columns are their key."""

    table: str
    query: sa.Select[Any]
    keys: int = 1


def _comparisons(each: Declared) -> Iterator[_Comparison]:
    """What is compared of a dataset, in the order of the way: what is said, known, refused and counted."""
    name, says, record, refusal, books = (
        f"{each.system}.{each.dataset}", assertion.c, tables.record.c, tables.quarantine.c, tables.books.c,
    )  # fmt: skip
    said = (says.resident_id, says.fields, says.originals, says.mends, says.as_of, says.provisional, says.held_reason)
    mine = (says.system == each.system, says.dataset == each.dataset, says.live)
    yield _Comparison("assertion", sa.select(says.record_key, *said).where(*mine).order_by(says.record_key))
    known = sa.select(record.record_key, record.version, record.state, record.owner)
    yield _Comparison("record", known.where(record.dataset == name).order_by(record.record_key))
    refused = sa.select(refusal.record_key, refusal.reason, refusal.field, refusal.column, refusal.detail)
    open_ones = (refusal.dataset == name, sa.not_(refusal.mended))
    yield _Comparison("quarantine", refused.where(*open_ones).order_by(refusal.record_key))
    counted = sa.select(books.topic, books.partition, *(books[part] for part in tables.BOOKS))
    topic = department_topic(each.system, each.dataset)
    yield _Comparison("books", counted.where(books.topic == topic).order_by(books.partition), keys=2)


class _Found:
    """What a comparison came to."""

    def __init__(self) -> None:
        self.differences: list[dict[str, Any]] = []
        self.different: set[str] = set()
        self._hashes: dict[str, Any] = {}
        self._rows: dict[str, int] = {}
        self._wrong: set[str] = set()

    def compare(self, each: Declared, comparison: _Comparison, live: sa.Connection, folded: sa.Connection) -> None:
        """Compare the rows of a dataset; the first that differ are kept."""
        table, names = comparison.table, [column.name for column in comparison.query.selected_columns]
        hashed = self._hashes.setdefault(table, hashlib.sha256())
        self._rows.setdefault(table, 0)

        def rows(connection: sa.Connection) -> Iterator[tuple[tuple[str, ...], tuple[Any, ...]]]:
            for row in connection.execute(comparison.query.execution_options(yield_per=2_000)):
                yield tuple(map(str, row[: comparison.keys])), tuple(row)

        def counted() -> Iterator[tuple[tuple[str, ...], tuple[Any, ...]]]:
            for key, row in rows(live):
                hashed.update(_encoder.encode(row) + b"\n")
                self._rows[table] += 1
                yield key, row

        for number, difference in enumerate(unlike(table, names, counted(), rows(folded))):
            self._wrong.add(table)
            self.different.add(f"{each.system}.{each.dataset}")
            if number < _FIRST_DIFFERENCES:
                key = [each.system, each.dataset, *difference.key]
                self.differences.append({"table": table, "key": key, "columns": list(difference.columns)})

    def tables(self) -> dict[str, dict[str, Any]]:
        """Each table with its rows and digest, as it is."""
        return {
            name: {"rows": self._rows[name], "digest": hashed.hexdigest(), "equal": name not in self._wrong}
            for name, hashed in self._hashes.items()
        }


def _mappings(store: sa.Connection, datasets: Sequence[Declared]) -> dict[str, dict[str, Any]]:
    """Of each dataset the fingerprint of the mapping as declared, of the one in force, and whether every record is as that
    one makes it; None where a remap must tell."""
    known = tables.mappings(store)
    found = {}
    for each in datasets:
        row = known.get(department_topic(each.system, each.dataset))
        found[f"{each.system}.{each.dataset}"] = {
            "declared": fingerprints(each.declared)[1],
            "in_force": row.meaning if row else None,
            "whole": bool(row.whole) if row else None,
        }
    return found
