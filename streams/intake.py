"""Intake: what becomes of each change of a source record, decided a batch at a time.

older than what was decided              stale
the same content as before               duplicate
not what the dataset is declared to hold filtered (and retracted, if it was accepted before)
can't be accepted                        quarantined (and the view hears that the record's newest version is held)
else                                     accepted: RecordAsserted; under another resident than before, the new one
                                         is told first, then the old one (RecordRetracted with ``moved_to``)
"""

from __future__ import annotations

import hashlib
from collections import Counter, deque
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, date, datetime
from typing import Any, NamedTuple, TypeVar

import msgspec
import sqlalchemy as sa

from contracts.changes import MARKS, FastChange, FastSource, Unreadable, decode, version
from contracts.dates import day_in_china
from contracts.errors import DatasetPaused, OutOfStep, SourceSick
from contracts.events import REMAP_ORIGIN, RESIDENT_TOPIC
from contracts.identity import Hasher, partition_of
from contracts.reasons import REASONS, Reason
from contracts.sources import DatasetSource, department_topic, quarantine_topic
from projections import bulk
from projections.collector import collector_paused
from projections.databases import writing
from streams.mapping import Mapped, RecordMap, Refusal
from streams.store import Known, Post, State, Store

_JUDGED = 40  # decisions below which a share of refusals says nothing about the source
_WINDOW = 100  # decisions, the latest of a partition, that are judged: enough that a clump of refusals is no alarm
_encode = msgspec.json.Encoder().encode
_pack = msgspec.msgpack.Encoder().encode
_T = TypeVar("_T")


class Incoming(NamedTuple):
    """A change event as it came: its offset, its key, its headers ``ce_id`` and ``ce_sequence``, its value."""

    offset: int
    key: str
    event_id: str
    sequence: str
    value: bytes


class Outgoing(msgspec.Struct, array_like=True):
    """An event that waits in the outbox; ``number`` is that of its origin for this output partition."""

    topic: str
    partition: int
    key: str
    type: str
    origin: str
    number: int
    value: bytes


class Fetched(NamedTuple):
    """What a fetch from ``first`` on brought of one partition."""

    partition: int
    first: int
    records: Sequence[Incoming]


class Outcome(NamedTuple):
    """What became of batches: counts, for the log; how many events of the source never came; and by the id of its outbox
    row, what is to be published."""

    counts: Counter[str]
    missing: int
    posted: Sequence[tuple[int, Sequence[Outgoing]]]


class Intake:
    """The intake of one dataset. ``owner_on``: who answers for it on a day. ``partitions``: how many each output topic has.
    ``now``: the wall clock."""

    def __init__(
        self,
        store: Store,
        system: str,
        dataset: str,
        declared: DatasetSource,
        *,
        owner_on: Callable[[date], str],
        hasher: Hasher,
        partitions: int,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._store, self.system, self.dataset = store, system, dataset
        self.name, self._owner_on, self.hasher, self.partitions = f"{system}.{dataset}", owner_on, hasher, partitions
        self.topic, self.quarantine = department_topic(system, dataset), quarantine_topic(system, dataset)
        self._now = now
        self._use(declared)

    def _use(self, declared: DatasetSource) -> None:
        self.declared, self.map = declared, RecordMap(declared, today=day_in_china(self._now()))
        self.mapping, self.meaning = fingerprints(declared)

    @property
    def owner(self) -> str:
        """Who answers for the dataset on the day by which it is judged now."""
        return self._owner_on(self.map.today)

    def adopt(self) -> bool:
        """Put this mapping into force; says whether it is another one than before."""
        return self._store.adopt(self.topic, self.mapping, self.meaning, self.declared.model_dump_json())

    def take(self, partition: int, first: int, records: Sequence[Incoming]) -> Outcome:
        """``take_together`` of one batch."""
        return self.take_together([Fetched(partition, first, records)])

    def take_together(self, batches: Sequence[Fetched]) -> Outcome:
        """Decide batches, at most one of each partition, in one transaction.

        Raises SourceSick, with nothing kept, when so many are refused that the source must be wrong; DatasetPaused while
        that was found before; OutOfStep when another worker has a partition; DatabaseUnreachable.
        """
        moment = self._now()
        self.map.today = day_in_china(moment)
        partitions = [batch.partition for batch in batches]
        keys = list({item.key for batch in batches for item in batch.records})
        with collector_paused(), writing(self._store.engine) as connection:
            known = self._store.look(connection, self.topic, self.name, partitions, keys)
            self._heed(connection, known)
            work = self._fresh(connection, known, batches)
            group, done = _Group(known.states), list[_Batch]()
            for partition, items in work.items():
                numbers = known.numbers[partition]
                batch = _Batch(self, partition, group, numbers, moment.isoformat(timespec="milliseconds"))
                self._decide(connection, batch, items, known.judgements[partition][1])
                done.append(batch)
            judged = self._judge(known.judgements, done)
            arrived = {
                partition: known.arrivals[partition].after(item.sequence for item in items)
                for partition, items in work.items()
            }
            posted = self._post(connection, done)
            with bulk.together(connection):
                self._store.advance(connection, self.topic, _ends(known.offsets, batches))
                self._store.note_arrivals(connection, self.topic, _changes(arrived, known.arrivals))
                self._store.note_judgements(connection, self.topic, _changes(judged, known.judgements))
                self._write(connection, group, done)
        counts = sum((batch.counts for batch in done), Counter[str]())
        return Outcome(counts, sum(numbers.missing for numbers in arrived.values()), posted)

    def decide_again(
        self, partition: int, refused: Mapping[str, Refusal], records: Sequence[Incoming], on: date
    ) -> Counter[str]:
        """Decide refused records of a partition once more, in one transaction, from the events that were refused, which were
        written on this day. Counts: ``released`` (accepted now), ``filtered``, ``refused`` (still), and ``moved``: decided since
        by a newer event, so this one gives way. A second time changes nothing.

        Events are numbered under the origin of a remap, which is what this is, of some records. Raises DatasetPaused.
        """
        origin = f"{REMAP_ORIGIN}{self.name}"
        with collector_paused(), writing(self._store.engine) as connection:
            known = self._store.look(connection, self.topic, self.name, [partition], [item.key for item in records])
            self._heed(connection, known)
            self.map.today = on
            numbers = self._store.numbers(connection, [f"{origin}/0"]).get(f"{origin}/0", {})
            moment = self._now().isoformat(timespec="milliseconds")
            batch = _Batch(self, partition, _Group(known.states), numbers, moment, origin=f"{origin}/0")
            found = Counter[str]()
            for item, change in zip(records, decode([item.value for item in records]), strict=True):
                found[batch.decide_again(item, change, refused[item.key])] += 1
            batch.counts["quarantined"] -= batch.counts.total()  # they were counted when they were refused
            if batch.out:
                self._store.post(connection, origin, [Post(0, _pack(batch.out), batch.numbers)])
            with bulk.together(connection):
                self._write(connection, batch.group, [batch])
        return found

    def _heed(self, connection: sa.Connection, known: Known) -> None:
        """Decide under the mapping that is in force: a remap, or a worker that was started after this one, may have put in
        another. Raises DatasetPaused."""
        if known.paused is not None:
            raise DatasetPaused(known.paused, fix=way_on(self.system, self.dataset))
        if known.fingerprint not in {None, self.mapping}:
            found = self._store.in_force(connection, self.topic)
            assert found is not None
            self._use(DatasetSource.model_validate_json(found.declared))

    def _fresh(self, connection: sa.Connection, known: Known, batches: Sequence[Fetched]) -> dict[int, list[Incoming]]:
        """What of each partition was not taken before. Raises OutOfStep when a batch begins beyond that: another worker's
        doing, or a hole."""
        if new := [batch.partition for batch in batches if batch.partition not in known.offsets]:
            self._store.begin(connection, self.topic, sorted(new))
        work = {}
        for partition, first, records in batches:
            stood = known.offsets.get(partition, 0)
            if first > stood:
                raise OutOfStep(
                    f"{self.topic}/{partition} is given from offset {first}, but streams stands at {stood}",
                    fix="nothing to do: the worker goes back to the stored offset",
                )
            work[partition] = [item for item in records if item.offset >= stood]
        return work

    def _decide(self, connection: sa.Connection, batch: _Batch, items: Sequence[Incoming], since: int) -> None:
        for item, change in zip(items, decode([item.value for item in items]), strict=True):
            if isinstance(change, FastChange) and change.op in MARKS:
                self._reconcile(connection, batch, item, change, since)
            else:
                batch.decide(item, change)

    def _post(self, connection: sa.Connection, done: Sequence[_Batch]) -> list[tuple[int, Sequence[Outgoing]]]:
        posts = [batch for batch in done if batch.out]
        packed = [Post(batch.partition, _pack(batch.out), batch.numbers) for batch in posts]
        ids = self._store.post(connection, self.topic, packed)
        return [(number, batch.out) for number, batch in zip(ids, posts, strict=True)]

    def _write(self, connection: sa.Connection, group: _Group, done: Sequence[_Batch]) -> None:
        self._store.write(connection, self.name, group.changed)
        self._store.count(connection, self.topic, {batch.partition: batch.counts for batch in done})
        self._store.mend(connection, self.name, group.mended)  # before: who is refused again stands refused
        self._store.refuse(connection, group.refusals.values())

    def _reconcile(
        self, connection: sa.Connection, batch: _Batch, item: Incoming, change: FastChange, since: int
    ) -> None:
        """After a mark, retract what it says is gone. Raises SourceSick where that is more than may disappear unasked
        (guarantee 10)."""
        reading = item.sequence.partition(".")[0]
        bound = change.source.version
        if change.op == "complete":
            bound = version(int(reading), 0, 0) if reading.isdecimal() else ""
        mine = dict(self._store.present(connection, self.name, batch.partition))
        for key, (partition, state) in batch.group.changed.items():
            if partition == batch.partition and state.state != "gone":
                mine[key] = state.version
            else:
                mine.pop(key, None)
        absent = [key for key, known in mine.items() if known < bound]
        if change.op == "complete" and item.offset >= since and len(absent) > self.declared.disappear_limit * len(mine):
            raise SourceSick(
                f"{len(absent)} of {len(mine)} records of {self.name}, partition {batch.partition}, did not come when it"
                f" was read anew, more than disappear_limit allows ({self.declared.disappear_limit:.0%})",
                fix=way_on(self.system, self.dataset),
            )
        batch.retract(item, change, absent, self._store.states(connection, self.name, absent))

    def _judge(self, judgements: Mapping[int, tuple[str, int]], done: Sequence[_Batch]) -> dict[int, tuple[str, int]]:
        """Look at the latest decisions of each partition after each (offset, refused): where batches are cut decides
        nothing. Raises SourceSick."""
        found = {}
        for batch in done:
            recent, since = judgements[batch.partition]
            refused = [refused for offset, refused in batch.judged if offset >= since]
            found[batch.partition] = (
                (self._judged(batch.partition, recent, refused), since) if refused else (recent, since)
            )
        return found

    def _judged(self, partition: int, recent: str, refused: Sequence[bool]) -> str:
        window = deque((mark == "1" for mark in recent), maxlen=_WINDOW)
        for each in refused:
            window.append(each)
            if each and len(window) >= _JUDGED and sum(window) > self.declared.refuse_limit * len(window):
                raise SourceSick(
                    f"{sum(window)} of the last {len(window)} records of {self.name}, partition {partition}, are refused:"
                    " the source or its mapping is wrong",
                    fix=way_on(self.system, self.dataset),
                )
        return "".join("1" if each else "0" for each in window)


def _ends(stood: Mapping[int, int], batches: Sequence[Fetched]) -> dict[int, int]:
    """Where each partition stands after its batch."""
    ends = {}
    for partition, first, records in batches:
        to = records[-1].offset + 1 if records else first
        ends[partition] = max(stood.get(partition, 0), to)
    return ends


def _changes(now: Mapping[int, _T], before: Mapping[int, _T]) -> dict[int, _T]:
    return {partition: each for partition, each in now.items() if each != before[partition]}


def content_print(record: Mapping[str, Any]) -> str:
    """The fingerprint of a source record, as the record's state holds it. Raises what JSON can't hold."""
    return hashlib.blake2b(_encode(record), digest_size=12).hexdigest()


def fingerprints(declared: DatasetSource) -> tuple[str, str]:
    """Of a whole declaration, and of the part that decides what becomes of a record."""
    parts = (declared.model_dump_json(), declared.model_dump_json(include={"key", "where", "map"}))
    whole, meaning = (hashlib.sha256(part.encode()).hexdigest()[:16] for part in parts)
    return whole, meaning


def way_on(system: str, dataset: str) -> str:
    """How a paused dataset goes on."""
    return (
        f"compare sources/{system}.yaml with the source; after a change of the file: onewindow remap {system}.{dataset};"
        f" after one of the source: onewindow source resume {system}.{dataset}"
    )


class _Group:
    """What is known of the records of the batches that are decided together, and what of it has changed."""

    def __init__(self, states: dict[str, State]) -> None:
        self.states = states
        self.changed: dict[str, tuple[int, State]] = {}  # with the partition of the decision
        self.refusals: dict[str, tuple[Any, ...]] = {}
        self.mended: list[str] = []


class _Batch:
    """The decisions of one batch: record states as they change, and what is to be sent."""

    def __init__(
        self, intake: Intake, partition: int, group: _Group, numbers: dict[str, int], moment: str, origin: str = ""
    ) -> None:
        self._intake, self.partition, self.group, self._moment = intake, partition, group, moment
        self._states, self._refusals, self._mended = group.states, group.refusals, group.mended
        self._origin = origin or f"{intake.topic}/{partition}"
        self.numbers, self.counts = numbers, Counter[str]()
        self.judged: list[tuple[int, bool]] = []  # (offset, refused) of each record that was mapped or refused
        self.out: list[Outgoing] = []

    def decide(self, item: Incoming, change: FastChange | Unreadable | None) -> None:
        """Decide one change."""
        known = self._states.get(item.key)
        if change is None:
            # Of no known version: any readable one that comes after it is newer.
            refusal = Refusal(Reason.RECORD_UNREADABLE, "", "", "not a change event")
            self._quarantine(item, None, known, refusal, known.version if known else "")
            return
        version = change.source.version
        if known is not None and version <= known.version:
            self.counts["duplicate" if version == known.version else "stale"] += 1
            return
        if isinstance(change, Unreadable):
            refusal = Refusal(Reason.RECORD_UNREADABLE, "", "", change.unreadable)
            self._quarantine(item, change.source, known, refusal, version)
            return
        if change.op == "delete":
            self._gone(item, change, known, version, "gone")
            return
        print_ = content_print(change.record)
        if known is not None and known.fingerprint == print_:
            self.counts["duplicate"] += 1
            self._remember(item.key, known._replace(version=version))
            return
        if not self._intake.map.wanted(change.record):
            self._gone(item, change, known, version, "filtered", print_)
            return
        found = self._intake.map.map(change.record)
        if isinstance(found, Refusal):
            self._quarantine(item, change.source, known, found, version, print_)
        else:
            self._accept(item, change, known, found, version, print_)

    def decide_again(self, item: Incoming, change: FastChange | Unreadable | None, refused: Refusal) -> str:
        """Decide once more what was refused, if nothing newer was decided since; what became of it."""
        known = self._states.get(item.key)
        if known is None or known.state != "quarantined":
            return "moved"
        if not isinstance(change, FastChange):
            return "refused"
        print_ = content_print(change.record)
        if known.fingerprint != print_:
            return "moved"
        if not self._intake.map.wanted(change.record):
            self._gone(item, change, known, known.version, "filtered", print_)
            return "filtered"
        found = self._intake.map.map(change.record)
        if isinstance(found, Mapped):
            self._accept(item, change, known, found, known.version, print_)
            return "released"
        if refused != found:
            self._quarantine(item, change.source, known, found, known.version, print_)
        return "refused"

    def _accept(
        self, item: Incoming, change: FastChange, known: State | None, found: Mapped, version: str, print_: str
    ) -> None:
        number = found.id_number
        hasher = self._intake.hasher
        owner = hasher.resident(number) if number else hasher.provisional(item.key)
        revision = known.revision + 1 if known else 1
        self._emit(
            "RecordAsserted", owner, item, change.source, revision,
            fields=found.fields, originals=found.originals, mends=found.mends, provisional=not number, as_of=found.as_of,
        )  # fmt: skip
        if known is not None and known.owner is not None and known.owner != owner:
            self._emit("RecordRetracted", known.owner, item, change.source, revision, moved_to=owner)
        self._settle(item.key, known)
        self._remember(item.key, State(version, print_, "accepted", owner, revision))
        self.counts["accepted"] += 1
        self.judged.append((item.offset, False))

    def _gone(
        self, item: Incoming, change: FastChange, known: State | None, version: str, state: str, print_: str = ""
    ) -> None:
        """A record that is deleted, or that the dataset is not to hold any more."""
        revision = known.revision if known else 0
        if known is not None and known.owner is not None:
            revision += 1
            self._emit("RecordRetracted", known.owner, item, change.source, revision, moved_to=None)
        repeated = state == "gone" and (known is None or known.state == "gone")
        self._settle(item.key, known)
        self._remember(item.key, State(version, print_, state, None, revision))
        self.counts["filtered" if state == "filtered" else "duplicate" if repeated else "accepted"] += 1

    def retract(self, item: Incoming, change: FastChange, keys: Sequence[str], states: Mapping[str, State]) -> None:
        """These records are gone, by a mark."""
        for key in keys:
            known = self._states.get(key) or states[key]
            revision = known.revision
            if known.owner is not None:
                revision += 1
                gone = item._replace(key=key)
                self._emit("RecordRetracted", known.owner, gone, change.source, revision, moved_to=None)
            self._settle(key, known)
            self._remember(key, State(change.source.version, "", "gone", None, revision))
        self.counts["filtered"] += 1  # a mark is no record, but it was read

    def _quarantine(
        self,
        item: Incoming,
        source: FastSource | None,
        known: State | None,
        why: Refusal,
        version: str,
        print_: str = "",
    ) -> None:
        """Refuse a record. ``source`` is None where the event says nothing at all about it."""
        intake = self._intake
        revision, owner = (known.revision, known.owner) if known else (0, None)
        if owner is not None:
            revision += 1
            self._emit("RecordHeld", owner, item, source, revision, reason=why.reason.value)
        self._remember(item.key, State(version, print_, "quarantined", owner, revision))
        place = source.place if source else None
        self._refusals[item.key] = (
            intake.name, item.key, why.reason.value, why.field, why.column, why.detail, place, intake.topic,
            self.partition, item.offset, item.event_id, self._moment, False,
        )  # fmt: skip
        body = {
            "reason": why.reason.value, "field": why.field, "column": why.column, "detail": why.detail, "place": place,
            "meaning": REASONS[why.reason].english, "owner": intake.owner, "system": intake.system,
            "dataset": intake.dataset, "record_key": item.key, "event_id": item.event_id,
            "topic": intake.topic, "partition": self.partition, "offset": item.offset,
        }  # fmt: skip
        self._send(intake.quarantine, item.key, "RecordQuarantined", _encode(body))
        self.counts["quarantined"] += 1
        self.judged.append((item.offset, True))

    def _settle(self, key: str, known: State | None) -> None:
        """A refusal of this record, in this batch or before, is mended."""
        self._refusals.pop(key, None)
        if known is not None and known.state == "quarantined":
            self._mended.append(key)

    def _remember(self, key: str, state: State) -> None:
        self._states[key] = state
        self.group.changed[key] = self.partition, state

    def _emit(
        self, kind: str, resident: str, item: Incoming, source: FastSource | None, revision: int, **more: Any
    ) -> None:
        body = {
            "type": kind, "version": 1, "resident_id": resident, "system": self._intake.system,
            "dataset": self._intake.dataset, "record_key": item.key, "revision": revision,
            "event_id": item.event_id, "committed_at": source.committed_at if source else None, **more,
        }  # fmt: skip
        self._send(RESIDENT_TOPIC, resident, kind, _encode(body))

    def _send(self, topic: str, key: str, kind: str, value: bytes) -> None:
        partition = partition_of(key, self._intake.partitions)
        target = f"{topic}/{partition}"
        number = self.numbers.get(target, 0)
        self.numbers[target] = number + 1
        self.out.append(Outgoing(topic, partition, key, kind, self._origin, number, value))
