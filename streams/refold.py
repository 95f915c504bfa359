"""What the topics of departments say under a given mapping: folded through intake from their beginning, beside the live
store, into databases that can be thrown away.

Each record is judged by the day on which its event was written, so the same history gives the same outcome at any time. A
fold never pauses a dataset: what it may read has been let through before, by the limits or by a person.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import UTC, date, datetime
from itertools import groupby
from pathlib import Path
from typing import Any, NamedTuple, Protocol

from contracts.dates import day_in_china
from contracts.events import RESIDENT_TOPIC
from contracts.identity import Hasher
from contracts.sources import DatasetSource
from projections.databases import open_view, writing
from projections.engine import LogIdentity
from streams.intake import Intake
from streams.records import incoming
from streams.standing import Standing, unpack
from streams.store import Store

_BATCH = 4_000
_NEVER = 1 << 62  # an offset that no log reaches
Positions = Mapping[tuple[str, int], int]
Progress = Callable[[int, int], None]
"""Gets (events read, events in all)."""


class DepartmentLog(Protocol):
    """History of the departments' topics."""

    def records(self, topic: str, partition: int, at: int, end: int) -> Iterable[tuple[int, int, Sequence[Any]]]:
        """(first, to, records) of a partition, from offset ``at`` up to ``end``, in order."""


class Declared(NamedTuple):
    """A dataset as its source file declares it."""

    system: str
    dataset: str
    declared: DatasetSource
    owner_on: Callable[[date], str]


class Refold:
    """The fold of some datasets, in a folder of its own; one that was broken off goes on where it stood."""

    def __init__(self, folder: Path, datasets: Sequence[Declared], hasher: Hasher, partitions: int) -> None:
        self._engine = open_view(f"sqlite:///{folder}/decided.sqlite", synchronous="NORMAL")
        self.store, self.standing = Store(self._engine), Standing(f"sqlite:///{folder}/said.sqlite")
        self._moment = datetime.fromtimestamp(0, UTC)
        made = (
            Intake(
                self.store, each.system, each.dataset, each.declared, owner_on=each.owner_on, hasher=hasher,
                partitions=partitions, now=lambda: self._moment,
            )
            for each in datasets
        )  # fmt: skip
        self.intakes = {intake.topic: intake for intake in made}

    def prepare(self, identity: LogIdentity) -> None:
        """Create what is missing. Raises AnotherLog when what is there was folded from another log."""
        ours = {topic: identity.topic_ids[topic] for topic in self.intakes if topic in identity.topic_ids}
        self.store.prepare(identity.cluster_id, ours)
        self.standing.prepare(LogIdentity(identity.cluster_id, {}))
        self._pass_on()

    def follow(self, log: DepartmentLog, until: Positions, progress: Progress = lambda *_: None) -> None:
        """Fold up to exactly these offsets."""
        until = {place: end for place, end in until.items() if place[0] in self.intakes}
        stands = self.store.positions()
        done, total = sum(stands.values()), sum(until.values())
        for (topic, partition), end in sorted(until.items()):
            at = stands.get((topic, partition), 0)
            if at >= end:
                continue
            self._let_through(topic, partition)
            for first, to, records in log.records(topic, partition, at, end):
                at = self._take(topic, partition, at, records)
                done += to - first
                progress(done, total)

    def _let_through(self, topic: str, partition: int) -> None:
        with writing(self._engine) as connection:
            self.store.note_judgements(connection, topic, {partition: ("", _NEVER)})

    def _take(self, topic: str, partition: int, at: int, records: Sequence[Any]) -> int:
        for piece in _pieces(records):
            self._moment = _written_at(piece[0])
            self.intakes[topic].take(partition, at, [incoming(record) for record in piece])
            at = piece[-1].offset + 1
            self._pass_on()
        return at

    def _pass_on(self) -> None:
        """What was decided is said, then taken out of the outbox: broken off in between, it is said twice and counts once."""
        while rows := self.store.unsent(0, 8):
            self.standing.say([each for _, events in rows for each in unpack(events) if each.topic == RESIDENT_TOPIC])
            self.store.sent([number for number, _ in rows])

    def close(self) -> None:
        """Let go of the databases."""
        self._engine.dispose()
        self.standing.engine.dispose()


def _pieces(records: Sequence[Any]) -> Iterator[list[Any]]:
    """At most so many at once, all written on one day."""
    for _, group in groupby(records, key=lambda record: day_in_china(_written_at(record))):
        of_the_day = list(group)
        for start in range(0, len(of_the_day), _BATCH):
            yield of_the_day[start : start + _BATCH]


def _written_at(record: Any) -> datetime:
    return datetime.fromtimestamp((record.timestamp or 0) / 1_000, UTC)
