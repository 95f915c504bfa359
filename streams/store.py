"""The SQL store of streams: what it knows of each record, its decisions, and the outbox (guarantee 2).

One transaction takes a batch: compare-and-set of the offset, the state of its records, the books, the refusals, and the
outgoing events as one outbox row. Whatever stands here was decided once and is never computed again.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import sqlalchemy as sa

from contracts.errors import AnotherLog, LogTooShort, LogTrimmed, StoreOutdated
from projections import bulk
from projections.databases import reading, writing
from streams.numbers import Numbers

metadata = sa.MetaData()
_text, _big = sa.Text, sa.BigInteger

log = sa.Table(
    "log",
    metadata,
    sa.Column("topic", _text, primary_key=True),
    sa.Column("cluster_id", _text),
    sa.Column("topic_id", _text),
)
position = sa.Table(
    "position",
    metadata,
    sa.Column("topic", _text, primary_key=True),
    sa.Column("partition", sa.Integer, primary_key=True),
    sa.Column("next_offset", _big, nullable=False),
)
record = sa.Table(
    "record",
    metadata,
    sa.Column("dataset", _text, primary_key=True, comment="system.dataset"),
    sa.Column("record_key", _text, primary_key=True),
    sa.Column("partition", sa.Integer, nullable=False, comment="of the department's topic: a mark speaks of its own"),
    sa.Column("version", _text, nullable=False, comment="the newest that was decided, refused ones included"),
    sa.Column("fingerprint", _text, nullable=False, comment="of the source record; empty when it is gone"),
    sa.Column("state", _text, nullable=False, comment="accepted, quarantined, filtered, gone"),
    sa.Column("owner", _text, comment="the resident that it speaks of, by what was accepted last"),
    sa.Column("revision", _big, nullable=False, comment="how many decisions about it were emitted"),
)
books = sa.Table(
    "books",
    metadata,
    sa.Column("topic", _text, primary_key=True),
    sa.Column("partition", sa.Integer, primary_key=True),
    *(sa.Column(name, _big, nullable=False) for name in ("accepted", "quarantined", "duplicate", "stale", "filtered")),
)
quarantine = sa.Table(
    "quarantine",
    metadata,
    sa.Column("dataset", _text, primary_key=True),
    sa.Column("record_key", _text, primary_key=True),
    *(sa.Column(name, _text) for name in ("reason", "field", "column", "detail", "place", "topic")),
    sa.Column("partition", sa.Integer),
    sa.Column("offset", _big),
    sa.Column("event_id", _text),
    sa.Column("refused_at", _text),
    sa.Column(
        "mended", sa.Boolean, nullable=False, comment="a newer version of the record was accepted, or it is gone"
    ),
)
discarded = sa.Table(
    "discarded",
    metadata,
    sa.Column("dataset", _text, primary_key=True),
    sa.Column("record_key", _text, primary_key=True),
    sa.Column("event_id", _text, comment="of the refusal; a newer one is open again"),
    sa.Column("because", _text, nullable=False),
    sa.Column("by", _text, nullable=False),
    sa.Column("discarded_at", _text, nullable=False),
)
number = sa.Table(
    "number",
    metadata,
    sa.Column("origin", _text, primary_key=True, comment="input topic/partition"),
    sa.Column("target", _text, primary_key=True, comment="output topic/partition"),
    sa.Column("next_number", _big, nullable=False),
)
arrival = sa.Table(
    "arrival",
    metadata,
    sa.Column("topic", _text, primary_key=True),
    sa.Column("partition", sa.Integer, primary_key=True),
    *(sa.Column(name, _big, nullable=False) for name in Numbers._fields),
)
outbox = sa.Table(
    "outbox",
    metadata,
    sa.Column("id", sa.BigInteger().with_variant(sa.Integer, "sqlite"), primary_key=True, autoincrement=True),
    sa.Column("topic", _text, nullable=False),
    sa.Column("partition", sa.Integer, nullable=False),
    sa.Column("events", sa.LargeBinary, nullable=False),
    sqlite_autoincrement=True,  # no id twice: another worker may be about to delete the row that had it
)
judgement = sa.Table(
    "judgement",
    metadata,
    sa.Column("topic", _text, primary_key=True),
    sa.Column("partition", sa.Integer, primary_key=True),
    sa.Column("recent", _text, nullable=False, comment="the latest decisions, oldest first: 1 refused, 0 not"),
    sa.Column(
        "since", _big, nullable=False, comment="the offset from which on refusals say something about the source"
    ),
)
pause = sa.Table(
    "pause",
    metadata,
    sa.Column("topic", _text, primary_key=True),
    sa.Column("mapping", _text, nullable=False, comment="fingerprint of the mapping that it was paused under"),
    sa.Column("finding", _text, nullable=False),
)

reread = sa.Table(
    "reread",
    metadata,
    sa.Column("topic", _text, primary_key=True),
    sa.Column("reading", _big, nullable=False, comment="the reading at the time of the wish; a newer one fulfils it"),
)

seek = sa.Table(
    "seek",
    metadata,
    sa.Column("topic", _text, primary_key=True),
    sa.Column("name", _text, nullable=False, comment="of the wish; a position that was saved with it fulfils it"),
    sa.Column("position", _text, nullable=False, comment="from which the dataset is to be read, as JSON"),
)

halt = sa.Table(
    "halt",
    metadata,
    sa.Column("topic", _text, primary_key=True),
    sa.Column("reason", _text, nullable=False),
    sa.Column("by", _text, nullable=False, comment="the login of who paused it"),
    sa.Column("since", _text, nullable=False),
)

mapping = sa.Table(
    "mapping",
    metadata,
    sa.Column("topic", _text, primary_key=True),
    sa.Column("fingerprint", _text, nullable=False, comment="of the whole declaration that is in force"),
    sa.Column(
        "meaning", _text, nullable=False, comment="fingerprint of the part that decides what becomes of a record"
    ),
    sa.Column("declared", _text, nullable=False, comment="the declaration, as JSON"),
    sa.Column("whole", sa.Boolean, nullable=False, comment="every record is as this mapping makes it"),
    sa.Column(
        "remap", _text, nullable=False, comment="of a remap that is not at its end: up to where, and counts, as JSON"
    ),
)

BOOKS = ("accepted", "quarantined", "duplicate", "stale", "filtered")


class ActiveMapping(NamedTuple):
    """The mapping that a dataset is decided under; the columns of ``mapping`` after its key."""

    fingerprint: str
    meaning: str
    declared: str
    whole: bool
    remap: str


class Halt(NamedTuple):
    """Why a person has paused the reading of a dataset; the columns of ``halt`` after its key."""

    reason: str
    by: str
    since: str


class State(NamedTuple):
    """What is known of one record; the columns of ``record`` after its key and partition."""

    version: str
    fingerprint: str
    state: str
    owner: str | None
    revision: int


class Post(NamedTuple):
    """What a batch of an input partition, or of a remap, has to say: packed events, and the numbers that come after them."""

    partition: int
    events: bytes
    numbers: Mapping[str, int]


class Known(NamedTuple):
    """What a batch is decided by. By partition: offsets, of those that were read from; the numbers that a producer gave;
    (recent, since), see ``judgement``; by output partition the next number. By key: records. The fingerprint of the mapping
    that is in force, and why the dataset is paused."""

    offsets: dict[int, int]
    arrivals: dict[int, Numbers]
    judgements: dict[int, tuple[str, int]]
    numbers: dict[int, dict[str, int]]
    states: dict[str, State]
    fingerprint: str | None
    paused: str | None


class Store:
    """The store at one URL. ``engine`` comes from ``projections.databases.open_view``."""

    def __init__(self, engine: sa.Engine) -> None:
        self.engine = engine

    def prepare(self, cluster_id: str, topic_ids: Mapping[str, str]) -> None:
        """Create what is missing. Raises AnotherLog when the stored offsets belong to another cluster or topic,
        StoreOutdated when the tables are those of another version."""
        with writing(self.engine) as connection:
            self._check_tables(connection)
            metadata.create_all(connection)
            known = {row.topic: (row.cluster_id, row.topic_id) for row in connection.execute(sa.select(log))}
            for topic, topic_id in topic_ids.items():
                if topic not in known:
                    connection.execute(sa.insert(log).values(topic=topic, cluster_id=cluster_id, topic_id=topic_id))
                elif known[topic] != (cluster_id, topic_id):
                    where = self.engine.url.render_as_string(hide_password=True)
                    raise AnotherLog(
                        f"the store of streams at {where} holds offsets of another {topic} (cluster {known[topic][0]})",
                        fix="give it back the broker directory it was made with, or start from an empty deployment",
                    )

    def _check_tables(self, connection: sa.Connection) -> None:
        inspector = sa.inspect(connection)
        there = set(inspector.get_table_names())
        for table in metadata.sorted_tables:
            if table.name not in there:
                continue
            found = {column["name"] for column in inspector.get_columns(table.name)}
            if unlike := found ^ set(table.columns.keys()):
                where = self.engine.url.render_as_string(hide_password=True)
                raise StoreOutdated(
                    f"the store of streams at {where} was made by another version: table {table.name} differs in"
                    f" {', '.join(sorted(unlike))}",
                    fix="run the version that made it; or end all roles, move the store, the view, state/ and the broker's"
                    " directory away (or delete the topics), and start again: all sources are read again",
                )

    def positions(self) -> dict[tuple[str, int], int]:
        """The next offset of each partition that was read from."""
        with reading(self.engine) as connection:
            return {(row.topic, row.partition): row.next_offset for row in connection.execute(sa.select(position))}

    def check(self, topic: str, partition: int, start: int, end: int) -> int:
        """The offset to go on from. Raises LogTrimmed, LogTooShort."""
        stored = self.positions().get((topic, partition), 0)
        if stored < start:
            raise LogTrimmed(
                f"streams goes on from offset {stored} of {topic}/{partition}, but the log starts at {start}",
                fix=f"lengthen the retention of {topic} (retention.ms); then move the databases of streams and view away "
                "and start again: the sources are read again",
            )
        if stored > end:
            raise LogTooShort(
                f"streams has read {topic}/{partition} up to offset {stored}, but the log ends at {end}",
                fix="restore the log's tail, or start from an empty deployment: the sources are read again",
            )
        return stored

    # -- within the transaction of a batch ----------------------------------------------------------------------------

    def look(
        self, connection: sa.Connection, topic: str, dataset: str, partitions: Sequence[int], keys: Sequence[str]
    ) -> Known:
        """What is known of partitions, whose offsets are locked, and of records: all that a batch is decided by."""
        mine, origins = {"topic": topic}, [f"{topic}/{partition}" for partition in partitions]
        numbers, judged = ("partition", *Numbers._fields), ("partition", "recent", "since")
        finds = [
            bulk.Find(position, ("partition", "next_offset"), "partition", partitions, mine, lock=True),
            bulk.Find(arrival, numbers, "partition", partitions, mine),
            bulk.Find(judgement, judged, "partition", partitions, mine),
            bulk.Find(number, ("origin", "target", "next_number"), "origin", origins),
            bulk.Find(record, ("record_key", *State._fields), "record_key", keys, {"dataset": dataset}),
            bulk.Find(mapping, ("fingerprint",), "topic", [topic]),
            bulk.Find(pause, ("finding",), "topic", [topic]),
        ]
        places, arrivals, judgements, ahead, states, in_force, paused = bulk.find_all(connection, finds)
        targets: dict[str, dict[str, int]] = {}
        for source, target, at in ahead:
            targets.setdefault(source, {})[target] = at
        return Known(
            dict(places),
            dict.fromkeys(partitions, Numbers()) | {row[0]: Numbers(*row[1:]) for row in arrivals},
            dict.fromkeys(partitions, ("", 0)) | {row[0]: row[1:] for row in judgements},
            {partition: targets.get(origin, {}) for partition, origin in zip(partitions, origins, strict=True)},
            {row[0]: State(*row[1:]) for row in states},
            in_force[0][0] if in_force else None,
            paused[0][0] if paused else None,
        )

    def begin(self, connection: sa.Connection, topic: str, partitions: Iterable[int]) -> None:
        """Open the books of partitions that nothing was read from. Raises Collision when another worker has done so."""
        bulk.insert(connection, books, [(topic, partition, *(0 for _ in BOOKS)) for partition in partitions])

    def advance(self, connection: sa.Connection, topic: str, offsets: Mapping[int, int]) -> None:
        """Move the offsets of partitions."""
        bulk.upsert(connection, position, [(topic, partition, offset) for partition, offset in offsets.items()])

    def states(self, connection: sa.Connection, dataset: str, keys: Sequence[str]) -> dict[str, State]:
        """What is known of these records."""
        names = ("record_key", *State._fields)
        rows = bulk.find(connection, bulk.Find(record, names, "record_key", keys, {"dataset": dataset}))
        return {row[0]: State(*row[1:]) for row in rows}

    def present(self, connection: sa.Connection, dataset: str, partition: int) -> Iterator[tuple[str, str]]:
        """(record key, version) of each record of a dataset's partition that is not gone."""
        here = (record.c.dataset == dataset, record.c.partition == partition, record.c.state != "gone")
        query = sa.select(record.c.record_key, record.c.version).where(*here)
        rows = connection.execute(query, execution_options={"yield_per": 5_000})  # of the statement, not the connection
        yield from (tuple(row) for row in rows)

    def write(self, connection: sa.Connection, dataset: str, states: Mapping[str, tuple[int, State]]) -> None:
        """What is known of these records now, with the partition that they came by."""
        bulk.upsert(
            connection, record, [(dataset, key, partition, *state) for key, (partition, state) in states.items()]
        )

    def count(self, connection: sa.Connection, topic: str, counts: Mapping[int, Mapping[str, int]]) -> None:
        """Add to the books of input partitions."""
        rows = [(topic, partition, *(each.get(name, 0) for name in BOOKS)) for partition, each in counts.items()]
        bulk.add(connection, books, rows)

    def refuse(self, connection: sa.Connection, rows: Iterable[tuple[Any, ...]]) -> None:
        """Write refusals down, the newest of each record."""
        bulk.upsert(connection, quarantine, list(rows))

    def mend(self, connection: sa.Connection, dataset: str, keys: Sequence[str]) -> None:
        """Mark refusals whose record was accepted since."""
        bulk.update(connection, quarantine, ("mended",), [(dataset, key, True) for key in keys])

    def numbers(self, connection: sa.Connection, origins: Sequence[str]) -> dict[str, dict[str, int]]:
        """origin -> target -> the next number."""
        found: dict[str, dict[str, int]] = {}
        for source, target, at in connection.execute(sa.select(number).where(number.c.origin.in_(origins))):
            found.setdefault(source, {})[target] = at
        return found

    def post(self, connection: sa.Connection, topic: str, posts: Sequence[Post]) -> list[int]:
        """Put outgoing events into the outbox, and move their numbers. Gives the ids of their rows, in order."""
        if not posts:
            return []
        rows = [{"topic": topic, "partition": each.partition, "events": each.events} for each in posts]
        query = sa.insert(outbox).returning(outbox.c.id, sort_by_parameter_order=True)
        ids = list(connection.scalars(query, rows))
        ahead = [(f"{topic}/{each.partition}", target, at) for each in posts for target, at in each.numbers.items()]
        bulk.upsert(connection, number, ahead)
        return ids

    def note_arrivals(self, connection: sa.Connection, topic: str, numbers: Mapping[int, Numbers]) -> None:
        """Remember it."""
        bulk.upsert(connection, arrival, [(topic, partition, *each) for partition, each in numbers.items()])

    def note_judgements(self, connection: sa.Connection, topic: str, found: Mapping[int, tuple[str, int]]) -> None:
        """Remember them."""
        bulk.upsert(connection, judgement, [(topic, partition, *each) for partition, each in found.items()])

    # -- mappings -----------------------------------------------------------------------------------------------------

    def adopt(self, topic: str, fingerprint: str, meaning: str, declared: str) -> bool:
        """Put a mapping into force: from the next batch on, every worker decides under it. Says whether it is another one
        than before. What was decided before counts no more against the source, and a pause under another mapping ends."""
        with writing(self.engine) as connection:
            decided = any(self.hold(connection, topic).values())
            ended = sa.delete(pause).where(pause.c.topic == topic, pause.c.mapping != fingerprint)
            known = self.in_force(connection, topic)
            changed = known is not None and known.fingerprint != fingerprint
            if connection.execute(ended).rowcount or changed:
                connection.execute(sa.update(judgement).where(judgement.c.topic == topic).values(recent=""))
            if known is None or known.meaning != meaning:
                row = ActiveMapping(fingerprint, meaning, declared, whole=not decided, remap="")
            else:
                row = known._replace(fingerprint=fingerprint, declared=declared)
            bulk.upsert(connection, mapping, [(topic, *row)])
            return changed

    def in_force(self, connection: sa.Connection, topic: str) -> ActiveMapping | None:
        """The mapping that a dataset is decided under; None before streams has begun with it."""
        columns = [mapping.c[name] for name in ActiveMapping._fields]
        row = connection.execute(sa.select(*columns).where(mapping.c.topic == topic)).one_or_none()
        return ActiveMapping(*row) if row else None

    def hold(self, connection: sa.Connection, topic: str) -> dict[tuple[str, int], int]:
        """The offsets of a topic's partitions. Nothing of it is decided until the transaction ends."""
        here = sa.select(position.c.partition, position.c.next_offset).where(position.c.topic == topic)
        rows = connection.execute(here.order_by(position.c.partition).with_for_update())
        return {(topic, row.partition): row.next_offset for row in rows}

    def note_remap(self, connection: sa.Connection, topic: str, remap: str, *, whole: bool) -> None:
        """Remember how far a remap has come."""
        connection.execute(sa.update(mapping).where(mapping.c.topic == topic).values(remap=remap, whole=whole))

    # -- the outbox ---------------------------------------------------------------------------------------------------

    def unsent(self, after: int, limit: int) -> list[tuple[int, bytes]]:
        """(id, events) of outbox rows after this id, in order."""
        with reading(self.engine) as connection:
            rows = connection.execute(
                sa.select(outbox.c.id, outbox.c.events).where(outbox.c.id > after).order_by(outbox.c.id).limit(limit)
            )
            return [(row.id, row.events) for row in rows]

    def sent(self, ids: Sequence[int]) -> None:
        """Delete what was acknowledged, and nothing else: several workers share the outbox, and a row with a smaller id may
        have been committed meanwhile."""
        with writing(self.engine) as connection:
            bulk.delete(connection, outbox, [(each,) for each in ids])

    # -- refusals -----------------------------------------------------------------------------------------------------

    def discard(self, refused: Sequence[tuple[str, str, str]], because: str, by: str, at: str) -> None:
        """Note that nobody will mend these refusals: (dataset, record key, event id) of each."""
        with writing(self.engine) as connection:
            discarded.create(connection, checkfirst=True)
            bulk.upsert(connection, discarded, [(*each, because, by, at) for each in refused])

    # -- pauses -------------------------------------------------------------------------------------------------------

    def pauses(self) -> dict[str, tuple[str, str]]:
        """topic -> (mapping, finding) of datasets that are paused."""
        with reading(self.engine) as connection:
            return {row.topic: (row.mapping, row.finding) for row in connection.execute(sa.select(pause))}

    def set_pause(self, topic: str, mapping: str, finding: str) -> None:
        """Pause a dataset."""
        with writing(self.engine) as connection:
            bulk.upsert(connection, pause, [(topic, mapping, finding)])

    def wish(self, topic: str, reading: int) -> None:
        """Wish that a dataset be read from its beginning, later than this reading."""
        with writing(self.engine) as connection:
            bulk.upsert(connection, reread, [(topic, reading)])

    def wish_from(self, topic: str, name: str, position: str) -> None:
        """Wish that a dataset be read from a position on."""
        with writing(self.engine) as connection:
            seek.create(connection, checkfirst=True)  # a store of before has none
            bulk.upsert(connection, seek, [(topic, name, position)])

    def halt(self, topic: str, halt_: Halt) -> Halt | None:
        """Wish that a dataset be not read until ``end_halt``. One that is halted already stays as it is, and that is given."""
        with writing(self.engine) as connection:
            halt.create(connection, checkfirst=True)  # a store of before has none
            known = halts(connection).get(topic)
            if known is None:
                bulk.insert(connection, halt, [(topic, *halt_)])
            return known

    def end_halt(self, topic: str) -> Halt | None:
        """Let the dataset be read again; what it was halted for, None if it was not."""
        with writing(self.engine) as connection:
            known = halts(connection).get(topic)
            if known is not None:
                connection.execute(sa.delete(halt).where(halt.c.topic == topic))
            return known

    def end_pause(self, topic: str) -> None:
        """Let a dataset go on. What was decided up to now counts no more against its source."""
        with writing(self.engine) as connection:
            connection.execute(sa.delete(pause).where(pause.c.topic == topic))
            connection.execute(sa.update(judgement).where(judgement.c.topic == topic).values(recent=""))

    def resume(self, topic: str, ends: Mapping[tuple[str, int], int]) -> bool:
        """Let a paused dataset go on because a person says so; False, with nothing changed, when it is not paused.

        ``ends``: (topic, partition) -> where the log ends now. What lies before is decided record by record: refused ones
        go to quarantine and count no more against the source. What comes after is judged afresh.
        """
        with writing(self.engine) as connection:
            if not connection.execute(sa.delete(pause).where(pause.c.topic == topic)).rowcount:
                return False
            rows = [(*place, "", end) for place, end in ends.items() if place[0] == topic]
            bulk.upsert(connection, judgement, rows)
            return True


def mappings(connection: sa.Connection) -> dict[str, ActiveMapping]:
    """topic -> the mapping that its dataset is decided under; empty where there is no store yet, or one of before."""
    if not sa.inspect(connection).has_table(mapping.name):
        return {}
    columns = [mapping.c[name] for name in ActiveMapping._fields]
    return {row[0]: ActiveMapping(*row[1:]) for row in connection.execute(sa.select(mapping.c.topic, *columns))}


def counted(connection: sa.Connection) -> dict[str, int]:
    """How many records of each dataset are known that are not gone, refused ones included."""
    rows = sa.select(record.c.dataset, sa.func.count()).where(record.c.state != "gone").group_by(record.c.dataset)
    return {row[0]: row[1] for row in connection.execute(rows)}


def seeks(connection: sa.Connection) -> dict[str, tuple[str, str]]:
    """topic -> (name of a wish, position as JSON) from which a person wishes that the dataset be read."""
    if not sa.inspect(connection).has_table(seek.name):
        return {}
    return {row.topic: (row.name, row.position) for row in connection.execute(sa.select(seek))}


def halts(connection: sa.Connection) -> dict[str, Halt]:
    """topic -> why a person has paused the reading of its dataset."""
    if not sa.inspect(connection).has_table(halt.name):
        return {}
    return {row.topic: Halt(row.reason, row.by, row.since) for row in connection.execute(sa.select(halt))}
