"""What the tests of the view share: events in few words, a log of them, and views to fold them into."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import sqlalchemy as sa

from contracts.events import RESIDENT_TOPIC, RecordAsserted, RecordHeld, RecordRetracted, ResidentEvent
from projections.base import Projection
from projections.databases import open_view, reading
from projections.digest import digest, overall
from projections.engine import Arrival, LogBatch, LogIdentity, Taken, ViewEngine
from projections.tables import VIEW, metadata
from projections.winners import Authority

TOPIC = RESIDENT_TOPIC
LOG = LogIdentity("cluster-1", {TOPIC: "topic-1"})
AUTHORITY = Authority({"default": ["civil.elder", "hrss.person"], "phone": ["hrss.person", "civil.elder"]})
SOURCE = "department.hrss.person/0"


def _record(record: str) -> dict[str, str]:
    """``civil.elder/7`` is record 7 of civil.elder; a bare 7 is one of hrss.person."""
    where, _, key = record.rpartition("/")
    system, _, dataset = (where or "hrss.person").partition(".")
    return {"system": system, "dataset": dataset, "record_key": key}


def asserted(record: str, revision: int, resident: str, **more: Any) -> RecordAsserted:
    names = ("originals", "mends", "provisional", "as_of", "committed_at")
    options = {name: more.pop(name) for name in names if name in more}
    return RecordAsserted(
        resident_id=resident, revision=revision, event_id=f"e{revision}", fields=more, **_record(record), **options
    )


def retracted(record: str, revision: int, resident: str, moved_to: str | None = None) -> RecordRetracted:
    return RecordRetracted(
        resident_id=resident, revision=revision, event_id=f"e{revision}", moved_to=moved_to, **_record(record)
    )


def held(record: str, revision: int, resident: str, reason: str = "id_number_wrong") -> RecordHeld:
    return RecordHeld(
        resident_id=resident, revision=revision, event_id=f"e{revision}", reason=reason, **_record(record)
    )


def arrivals(
    events: Iterable[ResidentEvent], *, offset: int = 0, number: int = 0, origin: str = SOURCE
) -> list[Arrival]:
    """Events one after the other, as one origin wrote them."""
    return [
        Arrival(offset + index, origin, number + index, event.model_dump_json().encode())
        for index, event in enumerate(events)
    ]


class Views:
    """One database, emptied for each view that is asked for."""

    def __init__(self, url: str) -> None:
        self.engine = open_view(url, busy_timeout_s=2)

    def new(self, authority: Authority = AUTHORITY, projections: Sequence[Projection] | None = None) -> ViewEngine:
        view = ViewEngine(self.engine, authority, projections)
        with self.engine.begin() as connection:
            for table in sa.inspect(connection).get_table_names():
                connection.exec_driver_sql(f'DELETE FROM "{table}"')
        view.prepare(LOG)
        return view


def feed(view: ViewEngine, *events: ResidentEvent, partition: int = 0) -> Taken:
    """Append events to a partition and let the view take them."""
    first = view.positions().get((TOPIC, partition), 0)
    batch = arrivals(events, offset=first, number=first, origin=f"{SOURCE}-{partition}")
    return view.take(TOPIC, partition, first=first, to=first + len(batch), arrivals=batch)


def rows(view: ViewEngine, table: sa.Table, *names: str) -> list[tuple[Any, ...]]:
    columns = [table.c[name] for name in names]
    with reading(view.engine) as connection:
        return [tuple(row) for row in connection.execute(sa.select(*columns).order_by(*table.primary_key.columns))]


def fingerprint(view: ViewEngine) -> str:
    with reading(view.engine) as connection:
        return overall(digest(connection, VIEW))


def everything(view: ViewEngine) -> dict[str, list[Any]]:
    """All rows of all tables, offsets and numbers included."""
    with reading(view.engine) as connection:
        return {
            name: sorted(str(row) for row in connection.execute(sa.select(table)))
            for name, table in metadata.tables.items()
        }


class Log:
    """A log in memory, written by several origins as streams writes it: numbered per origin and partition."""

    def __init__(self) -> None:
        self.partitions: dict[int, list[Arrival]] = {}
        self._numbers: dict[tuple[str, int], int] = {}

    def append(self, partition: int, origin: str, event: ResidentEvent) -> None:
        entries = self.partitions.setdefault(partition, [])
        number = self._numbers.get((origin, partition), 0)
        self._numbers[origin, partition] = number + 1
        entries.append(Arrival(len(entries), origin, number, event.model_dump_json().encode()))

    def ends(self) -> Mapping[tuple[str, int], int]:
        return {(TOPIC, partition): len(entries) for partition, entries in self.partitions.items()}

    def batches(
        self, until: Mapping[tuple[str, int], int], since: Mapping[tuple[str, int], int], size: int = 3
    ) -> Iterator[LogBatch]:
        """The port that ``projections.verify`` reads the log through; a batch may reach beyond ``until``."""
        for (topic, partition), end in until.items():
            entries = self.partitions.get(partition, [])
            for first in range(since.get((topic, partition), 0), min(end, len(entries)), size):
                part = entries[first : first + size]
                yield LogBatch(topic, partition, first, first + len(part), part)
