"""Remap: what was decided under an older mapping is said again as the mapping in force makes it (guarantee 5).

Three things are compared, record by record: what the department's topic says under the mapping in force (``Refold``), what
stands in the log (``Standing``), and what the store knows. Where they differ, superseding events go into the outbox and the
record's state becomes that of the fold.

A step takes some records, in one transaction of the live store that holds the offsets of the dataset: nothing of it is
decided meanwhile, fold and log are brought to exactly these offsets, and what is decided afterwards is decided under the
same mapping from the same state. So at the end every record is as the fold makes it, whatever came meanwhile. A step that
was not committed is done again; one that was is not. The events are numbered under an origin of their own.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, NamedTuple

import msgspec
import sqlalchemy as sa

from contracts.errors import MappingReplaced
from contracts.events import REMAP_ORIGIN, RESIDENT_TOPIC, Asserted, Held, Retracted
from contracts.identity import partition_of
from contracts.reasons import REASONS, Reason
from projections import bulk
from projections.databases import reading, writing
from projections.engine import Arrival
from projections.verify import LogReader
from streams import store as tables
from streams.intake import Intake, Outgoing
from streams.refold import DepartmentLog, Refold
from streams.standing import Standing, Statement, unpack
from streams.store import Post, State, Store

STEP = 500  # records of a step: less than a tenth of a second in which the dataset waits
COUNTS = ("same", "superseded", "asserted", "retracted", "released", "refused")
_encode = msgspec.json.Encoder().encode
_pack = msgspec.msgpack.Encoder().encode
_decode = msgspec.json.Decoder(dict[str, Any]).decode
_REFUSAL = ("reason", "field", "column", "detail", "place", "topic", "partition", "offset", "event_id")


class _Refused(NamedTuple):
    """A refusal that nobody has mended: columns of ``quarantine``."""

    reason: str
    field: str
    column: str
    detail: str
    place: str | None
    topic: str
    partition: int
    offset: int
    event_id: str


class Remap:
    """The remap of one dataset. ``refold`` and ``standing`` are its databases beside the store; ``intake`` is that of the
    live store, with the mapping that is to be in force."""

    def __init__(
        self,
        store: Store,
        intake: Intake,
        refold: Refold,
        standing: Standing,
        departments: DepartmentLog,
        community: LogReader,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._store, self._intake, self._refold, self._standing = store, intake, refold, standing
        self._departments, self._community, self._now = departments, community, now
        self._origin = f"{REMAP_ORIGIN}{intake.name}"
        self._heard_of_outbox = 0

    def hear(self, progress: Callable[[int, int], None] = lambda *_: None) -> None:
        """Bring what stands up to the log's end."""
        until, since = self._community.ends(), self._standing.positions()
        done, total = sum(since.values()), sum(until.values())
        for batch in self._community.batches(until, since):
            self._standing.hear(batch, self._is_ours)
            done += batch.to - batch.first
            progress(done, total)

    def _is_ours(self, arrival: Arrival) -> bool:
        return arrival.origin.rpartition("/")[0] in (self._intake.topic, self._origin)

    def begin(self) -> int:
        """Put the mapping into force; gives how many records there are. A remap that was broken off goes on."""
        self._intake.adopt()
        with writing(self._store.engine) as connection:
            known = self._known(connection)
            if not known:
                self._store.note_remap(connection, self._intake.topic, _encode(_fresh()).decode(), whole=False)
            mine = tables.record.c.dataset == self._intake.name
            query = sa.select(sa.func.count()).select_from(tables.record).where(mine)
            return connection.scalar(query) or 0

    def _known(self, connection: sa.Connection) -> dict[str, Any]:
        found = self._store.in_force(connection, self._intake.topic)
        if found is None or found.meaning != self._intake.meaning:
            raise MappingReplaced(
                f"another mapping of {self._intake.name} came into force while it was remapped",
                fix=f"see that every worker of streams has the same source files; then: onewindow remap {self._intake.name}",
            )
        return _decode(found.remap) if found.remap else {}

    def step(self) -> tuple[bool, Mapping[str, int]]:
        """Compare some records, and say again what differs. (Whether that was the last of it, the counts so far).

        Raises DatabaseUnreachable or bulk.Collision with nothing changed: it may be tried again.
        """
        with writing(self._store.engine) as connection:
            held = self._store.hold(connection, self._intake.topic)
            known = self._known(connection) or _fresh()  # another remap may have come to its end meanwhile
            self._refold.follow(self._departments, held)
            self._hear_outbox(connection)
            keys = self._keys_after(known["after"])
            step = _Step(self._intake, self._now(), self._numbers(connection))
            self._compare(connection, step, keys)
            self._write(connection, step)
            known = {name: known[name] + step.counts[name] for name in COUNTS} | {"after": keys[-1] if keys else ""}
            if keys:
                self._store.note_remap(connection, self._intake.topic, _encode(known).decode(), whole=False)
            else:
                self._keep_books(connection, held)
                self._store.note_remap(connection, self._intake.topic, "", whole=True)
        self._standing.say(step.out)
        return not keys, {name: known[name] for name in COUNTS}

    def _hear_outbox(self, connection: sa.Connection) -> None:
        """What waits in the outbox is as good as said. It is looked at before the log's end is, so that what the relay takes
        out of it meanwhile is found in the log; and it is said after the log, where it comes later."""
        mine = tables.outbox.c.topic.in_((self._intake.topic, self._origin))
        query = sa.select(tables.outbox.c.id, tables.outbox.c.events)
        rows = connection.execute(
            query.where(mine, tables.outbox.c.id > self._heard_of_outbox).order_by(tables.outbox.c.id)
        ).all()
        self.hear()
        for number, events in rows:
            self._standing.say(unpack(events))
            self._heard_of_outbox = number

    def _keys_after(self, after: str) -> list[str]:
        record = tables.record
        query = sa.select(record.c.record_key).where(record.c.dataset == self._intake.name, record.c.record_key > after)
        with reading(self._refold.store.engine) as folded:
            return list(folded.scalars(query.order_by(record.c.record_key).limit(STEP)))

    def _numbers(self, connection: sa.Connection) -> dict[str, int]:
        """The next numbers of the origin: those of the store, or of the log where the store was restored from older days."""
        known = self._store.numbers(connection, [f"{self._origin}/0"]).get(f"{self._origin}/0", {})
        heard = self._standing.numbers(f"{self._origin}/0")
        return {target: max(known.get(target, 0), heard.get(target, 0)) for target in {*known, *heard}}

    def _compare(self, connection: sa.Connection, step: _Step, keys: Sequence[str]) -> None:
        name, system, dataset = self._intake.name, self._intake.system, self._intake.dataset
        wanted, stands = self._refold.standing.of(system, dataset, keys), self._standing.of(system, dataset, keys)
        known = self._store.states(connection, name, keys)
        refused = _refusals(connection, name, keys)
        with reading(self._refold.store.engine) as folded:
            decided = self._refold.store.states(folded, name, keys)
            refusals = _refusals(folded, name, keys)
            there = bulk.Find(tables.record, ("record_key", "partition"), "record_key", keys, {"dataset": name})
            places: dict[str, int] = dict(bulk.find(folded, there))
        for key in keys:
            facts = _Facts(
                key, places[key], decided[key], known.get(key), wanted.get(key), stands.get(key),
                refusals.get(key), refused.get(key),
            )  # fmt: skip
            step.compare(facts)

    def _write(self, connection: sa.Connection, step: _Step) -> None:
        self._store.write(connection, self._intake.name, step.states)
        self._store.refuse(connection, step.refusals)
        self._store.mend(connection, self._intake.name, step.mended)
        if step.out:
            self._store.post(connection, self._origin, [Post(0, _pack(step.out), step.numbers)])

    def _keep_books(self, connection: sa.Connection, held: Mapping[tuple[str, int], int]) -> None:
        """At the end the books are those of the fold: as many events, and what becomes of them now. And the dataset's own
        numbers are beyond those of the log, also where the store was restored from older days."""
        columns = ["topic", "partition", *tables.BOOKS]
        with reading(self._refold.store.engine) as folded:
            rows = folded.execute(sa.select(*(tables.books.c[name] for name in columns))).all()
        bulk.upsert(connection, tables.books, [tuple(row) for row in rows if (row.topic, row.partition) in held])
        sources = [f"{topic}/{partition}" for topic, partition in held]
        known = self._store.numbers(connection, sources)
        ahead = [
            (source, target, number)
            for source in sources
            for target, number in self._standing.numbers(source).items()
            if number > known.get(source, {}).get(target, 0)
        ]
        bulk.upsert(connection, tables.number, ahead)


class _Facts(NamedTuple):
    """Of one record: its key and partition; what the fold decided, and the store knows; what the fold says, and what
    stands; the refusal by the fold, and the one in the store."""

    key: str
    partition: int
    decided: State
    known: State | None
    wanted: Statement | None
    stands: Statement | None
    refusal: _Refused | None
    refused: _Refused | None


class _Step:
    """What a step changes."""

    def __init__(self, intake: Intake, moment: datetime, numbers: dict[str, int]) -> None:
        self._intake, self._moment, self.numbers = intake, moment.isoformat(timespec="milliseconds"), numbers
        self.out: list[Outgoing] = []
        self.states: dict[str, tuple[int, State]] = {}
        self.refusals: list[tuple[Any, ...]] = []
        self.mended: list[str] = []
        self.counts = Counter[str]()

    def compare(self, facts: _Facts) -> None:
        """Say of one record what is not as it should be."""
        emitted, counts = len(self.out), self.counts.total()
        revision = self._say(facts)
        self._quarantine(facts)
        if len(self.out) == emitted and self.counts.total() == counts:
            self.counts["same"] += 1
        state = facts.decided._replace(revision=revision)
        if state != facts.known:
            self.states[facts.key] = facts.partition, state

    def _say(self, facts: _Facts) -> int:
        """Events that make what stands what is wanted; the newer one is told first. Gives the record's revision."""
        wanted, stands = (each if each and each.live else None for each in (facts.wanted, facts.stands))
        revision = facts.known.revision if facts.known else 0
        if facts.stands is not None:
            revision = max(revision, facts.stands.revision, facts.stands.held_revision or 0)
        if wanted is None:
            if stands is not None:
                revision += 1
                self.counts["retracted"] += 1
                event_id = facts.refusal.event_id if facts.refusal else stands.event_id
                self._retract(facts.key, stands, revision, event_id, moved_to=None)
            return revision
        held = stands.held_reason if stands is not None else None
        if stands is None or stands.said != wanted.said or (held and not wanted.held_reason):
            revision += 1
            self.counts["asserted" if stands is None else "superseded"] += 1
            self._assert(facts.key, wanted, revision)
            if stands is not None and stands.resident_id != wanted.resident_id:
                self._retract(facts.key, stands, revision, wanted.event_id, moved_to=wanted.resident_id)
            held = None
        if wanted.held_reason and wanted.held_reason != held:
            revision += 1
            refusal = facts.refusal
            about = self._about(facts.key, wanted, revision, refusal.event_id if refusal else wanted.event_id)
            self._emit(Held(**about, reason=wanted.held_reason))
        return revision

    def _assert(self, key: str, wanted: Statement, revision: int) -> None:
        self._emit(
            Asserted(
                **self._about(key, wanted, revision, wanted.event_id),
                fields=_decode(wanted.fields),
                originals=_decode(wanted.originals),
                mends=_decode(wanted.mends),
                provisional=bool(wanted.provisional),
                as_of=wanted.as_of,
            )
        )

    def _retract(self, key: str, stands: Statement, revision: int, event_id: str | None, moved_to: str | None) -> None:
        self._emit(Retracted(**self._about(key, stands, revision, event_id), moved_to=moved_to))

    def _about(self, key: str, said: Statement, revision: int, event_id: str | None) -> dict[str, Any]:
        return {
            "version": 1, "resident_id": said.resident_id, "system": self._intake.system, "dataset": self._intake.dataset,
            "record_key": key, "revision": revision, "event_id": event_id or "", "committed_at": said.committed_at,
        }  # fmt: skip

    def _quarantine(self, facts: _Facts) -> None:
        """Let go what is good now, and refuse what is not."""
        refusal, refused = facts.refusal, facts.refused
        if refusal is None:
            if refused is not None:
                self.mended.append(facts.key)
                self.counts["released"] += 1
            return
        if refused is not None and refused[:4] == refusal[:4]:
            return
        self.counts["refused"] += 1
        self.refusals.append((self._intake.name, facts.key, *refusal, self._moment, False))
        body = {
            **dict(zip(_REFUSAL, refusal, strict=True)),
            "meaning": REASONS[Reason(refusal.reason)].english, "owner": self._intake.owner,
            "system": self._intake.system, "dataset": self._intake.dataset, "record_key": facts.key,
        }  # fmt: skip
        self._send(self._intake.quarantine, facts.key, "RecordQuarantined", _encode(body))

    def _emit(self, event: Asserted | Retracted | Held) -> None:
        kind = str(event.__struct_config__.tag)
        self._send(RESIDENT_TOPIC, event.resident_id, kind, _encode(event))

    def _send(self, topic: str, key: str, kind: str, value: bytes) -> None:
        partition = partition_of(key, self._intake.partitions)
        target = f"{topic}/{partition}"
        number = self.numbers.get(target, 0)
        self.numbers[target] = number + 1
        self.out.append(Outgoing(topic, partition, key, kind, f"{REMAP_ORIGIN}{self._intake.name}/0", number, value))


def _refusals(connection: sa.Connection, dataset: str, keys: Sequence[str]) -> dict[str, _Refused]:
    """The refusals of these records that nobody has mended."""
    names = ("record_key", "mended", *_REFUSAL)
    rows = bulk.find(connection, bulk.Find(tables.quarantine, names, "record_key", keys, {"dataset": dataset}))
    return {row[0]: _Refused(*row[2:]) for row in rows if not row[1]}


def _fresh() -> dict[str, Any]:
    return {"after": "", **dict.fromkeys(COUNTS, 0)}
