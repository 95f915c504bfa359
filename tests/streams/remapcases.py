"""What the tests of remap share: a dataset with its topic, its store, its outbox and the log, all driven by hand."""

from __future__ import annotations

import json
from collections import defaultdict
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace

import sqlalchemy as sa

from contracts.changes import FastChange, FastSource, encode
from contracts.events import RESIDENT_TOPIC
from contracts.identity import Hasher, partition_of
from contracts.sources import DatasetSource
from projections.databases import open_view, reading
from projections.engine import Arrival, LogBatch, LogIdentity, ViewEngine
from projections.tables import assertion
from projections.winners import Authority
from streams import store as tables
from streams.intake import Intake
from streams.records import incoming
from streams.refold import Declared, Refold
from streams.remap import Remap
from streams.standing import Standing, unpack
from streams.store import Store

HASHER = Hasher(b"0123456789abcdef")
ANNA, BELA, WRONG = "379901194910010132", "379901197005151019", "379901195001010245"
TOPIC, PARTITIONS = "department.hrss.person", 2
NOON = datetime(2026, 11, 1, 12, tzinfo=UTC)
ABOUT = LogIdentity("cluster", {TOPIC: "topic", RESIDENT_TOPIC: "residents"})


def mapping(codes: dict[str, str] | None = None, number: str = "id", where: tuple[str, ...] = ("370102*",), **more):
    return DatasetSource(
        key=["no"],
        where={"district": list(where)},
        refuse_limit=1.0,
        disappear_limit=1.0,
        map={
            "id_number": {"column": number},
            "name": {"column": "name", "required": True},
            "care_level": {"column": "care", "codes": codes or {"1": "independent", "2": "partial"}},
            **more,
        },
    )


OLD = mapping()
NEW = mapping({"1": "independent", "2": "full", "3": "partial"})


class City:
    """One dataset on its way. ``events``: what its topic holds, by partition."""

    def __init__(self, declared: DatasetSource = OLD, url: str = "sqlite://") -> None:
        self.events: dict[int, list[SimpleNamespace]] = defaultdict(list)
        self.log: dict[int, list[Arrival]] = defaultdict(list)
        self.refused: list[tuple[str, dict[str, object]]] = []
        self.store = Store(open_view(url))
        self.store.prepare("cluster", {TOPIC: "topic"})
        self._positions = 0
        self.worker = self.intake(declared)
        self.worker.adopt()

    def intake(self, declared: DatasetSource) -> Intake:
        """A worker of streams, as it is started with this mapping."""
        return Intake(
            self.store,
            "hrss",
            "person",
            declared,
            owner_on=lambda _: "人社",
            hasher=HASHER,
            partitions=PARTITIONS,
            now=lambda: NOON,
        )

    # -- the topic: also the port through which it is read

    def change(self, no: str, op: str = "upsert", position: int | None = None, **record: str) -> None:
        """The department's system changes a record."""
        self._positions += 1
        content = {"no": no, "district": "370102001", "name": "张三", "id": ANNA, "care": "1", **record}
        source = FastSource("hrss", "person", 1, self._positions if position is None else position, 0)
        key = HASHER.record("hrss", "person", no)
        self._append(
            partition_of(key, PARTITIONS), key, encode(FastChange(op, {} if op == "delete" else content, source))
        )

    def cleared(self, partition: int) -> None:
        """Everything of a partition is gone."""
        self._positions += 1
        source = FastSource("hrss", "person", 1, self._positions, 0)
        self._append(partition, "mark", encode(FastChange("cleared", {}, source)))

    def _append(self, partition: int, key: str, value: bytes) -> None:
        held = self.events[partition]
        headers = [("ce_id", f"e{partition}.{len(held)}".encode()), ("ce_sequence", b"")]
        moment = int(NOON.timestamp() * 1_000)
        held.append(SimpleNamespace(offset=len(held), timestamp=moment, key=key.encode(), value=value, headers=headers))

    def records(self, topic, partition, at, end, size=3):
        assert topic == TOPIC
        for first in range(at, end, size):
            to = min(first + size, end)
            yield first, to, self.events[partition][first:to]

    # -- streams

    def decide(self, most: int = 1_000) -> None:
        """Streams takes what waits in the topic, so many of each partition at most."""
        for partition, events in self.events.items():
            at = self.store.positions().get((TOPIC, partition), 0)
            if batch := events[at : at + most]:
                self.worker.take(partition, at, [incoming(each) for each in batch])

    def relay(self, rows: int = 1_000) -> None:
        """So many rows of the outbox are published."""
        for number, events in self.store.unsent(0, rows):
            for each in unpack(events):
                if each.topic == RESIDENT_TOPIC:
                    held = self.log[each.partition]
                    held.append(Arrival(len(held), each.origin, each.number, each.value))
                else:
                    self.refused.append((each.key, json.loads(each.value)))
            self.store.sent([number])

    def drop_what_was_seen(self) -> None:
        """The relay publishes everything; a view leaves out the numbers that it has seen, and so does this log."""
        seen: dict[int, set[tuple[str, int]]] = defaultdict(set)
        for partition, events in self.log.items():
            seen[partition] = {(each.origin, each.number) for each in events}
        for number, events in self.store.unsent(0, 1_000):
            for each in unpack(events):
                if each.topic == RESIDENT_TOPIC and (each.origin, each.number) not in seen[each.partition]:
                    held = self.log[each.partition]
                    held.append(Arrival(len(held), each.origin, each.number, each.value))
            self.store.sent([number])

    # -- the log: also the port through which it is read

    def ends(self):
        return {(RESIDENT_TOPIC, partition): len(events) for partition, events in self.log.items()}

    def batches(self, until, since):
        for (topic, partition), end in until.items():
            for first in range(since.get((topic, partition), 0), end, 3):
                part = self.log[partition][first : min(first + 3, end)]
                yield LogBatch(topic, partition, first, first + len(part), part)

    # -- what is so

    def remap(self, folder: Path, declared: DatasetSource = NEW) -> Remap:
        folder.mkdir(exist_ok=True)
        refold = self.refold(folder, declared)
        standing = Standing(f"sqlite:///{folder}/stands.sqlite")
        standing.prepare(LogIdentity("cluster", {RESIDENT_TOPIC: "residents"}))
        return Remap(self.store, self.intake(declared), refold, standing, self, self, now=lambda: NOON)

    def refold(self, folder: Path, declared: DatasetSource) -> Refold:
        refold = Refold(folder, [Declared("hrss", "person", declared, lambda _: "人社")], HASHER, PARTITIONS)
        refold.prepare(ABOUT)
        return refold

    def says(self) -> dict[str, tuple[object, ...]]:
        """What the view says of each record, once it has followed the log."""
        view = ViewEngine(open_view("sqlite://"), Authority({}))
        view.prepare(LogIdentity("cluster", {RESIDENT_TOPIC: "residents"}))
        for batch in self.batches(self.ends(), {}):
            taken = view.take(batch.topic, batch.partition, first=batch.first, to=batch.to, arrivals=batch.arrivals)
            assert not taken.gaps
            assert not taken.repeated
        return _live(view.engine)

    def knows(self) -> dict[str, list[tuple[object, ...]]]:
        """What the store knows of each record; its books; its open refusals."""
        return _knows(self.store.engine)

    def should(self, folder: Path, declared: DatasetSource):
        """(says, knows) as they are where the whole topic was decided under this mapping from the beginning."""
        folder.mkdir()
        refold = self.refold(folder, declared)
        refold.follow(self, self.store.positions())
        found = _live(refold.standing.engine), _knows(refold.store.engine)
        refold.close()
        return found


def _live(engine: sa.Engine) -> dict[str, tuple[object, ...]]:
    says = assertion.c
    columns = (
        says.resident_id,
        says.fields,
        says.originals,
        says.mends,
        says.as_of,
        says.provisional,
        says.held_reason,
    )
    with reading(engine) as connection:
        return {
            row[0]: tuple(row[1:]) for row in connection.execute(sa.select(says.record_key, *columns).where(says.live))
        }


def _knows(engine: sa.Engine) -> dict[str, list[tuple[object, ...]]]:
    record, refusal = tables.record.c, tables.quarantine.c
    queries = {
        "record": sa.select(record.record_key, record.version, record.fingerprint, record.state, record.owner),
        "quarantine": sa.select(
            refusal.record_key, refusal.reason, refusal.field, refusal.column, refusal.detail, refusal.offset
        ).where(sa.not_(refusal.mended)),
        "books": sa.select(tables.books),
    }
    with reading(engine) as connection:
        return {name: sorted(map(tuple, connection.execute(query))) for name, query in queries.items()}


def through(remap: Remap) -> dict[str, int]:
    """The whole remap; gives its counts."""
    remap.begin()
    ended = False
    while not ended:
        ended, counts = remap.step()
    remap._refold.close()
    remap._standing.engine.dispose()
    return {name: number for name, number in counts.items() if number}
