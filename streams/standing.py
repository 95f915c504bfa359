"""What stands: what the events of ``community.resident`` say of each record, by the view's own rule and without the
residents that a view makes of it. It lies in a database that can be thrown away.

``heard`` takes events as they lie in the log, ``say`` those that still wait in an outbox; what comes both ways counts once.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from itertools import groupby
from operator import attrgetter
from typing import NamedTuple

import msgspec
import sqlalchemy as sa

from contracts.events import RESIDENT_TOPIC
from projections import bulk
from projections.databases import open_view, reading
from projections.engine import Arrival, LogBatch, LogIdentity, ViewEngine
from projections.residents import Assertions
from projections.tables import assertion, origin
from projections.winners import Authority
from streams.intake import Outgoing

unpack = msgspec.msgpack.Decoder(list[Outgoing]).decode


class Statement(NamedTuple):
    """What stands of one record; the columns of ``assertion`` that a remap looks at."""

    resident_id: str
    revision: int
    live: bool
    fields: str
    originals: str
    mends: str
    as_of: str | None
    provisional: bool
    held_reason: str | None
    held_revision: int | None
    event_id: str | None
    committed_at: str | None

    @property
    def said(self) -> tuple[object, ...]:
        """Of whom it speaks, and what it says of them."""
        return self[0], *self[3:8]


class Standing:
    """What stands, in the database at ``url``."""

    def __init__(self, url: str) -> None:
        self.engine = open_view(url, synchronous="NORMAL")
        self._view = ViewEngine(self.engine, Authority({}), [Assertions()])

    def prepare(self, identity: LogIdentity) -> None:
        """Create what is missing. Raises AnotherLog, ViewOutdated where it was made of something else."""
        self._view.prepare(identity)

    def positions(self) -> dict[tuple[str, int], int]:
        """How far the log was heard."""
        return self._view.positions()

    def hear(self, batch: LogBatch, wanted: Callable[[Arrival], bool]) -> None:
        """Take what lies in the log, as far as it is wanted."""
        arrivals = [arrival for arrival in batch.arrivals if wanted(arrival)]
        self._view.take(batch.topic, batch.partition, first=batch.first, to=batch.to, arrivals=arrivals)

    def say(self, events: Sequence[Outgoing]) -> None:
        """Take events that are not in the log yet, or are there already."""
        here = sorted((each for each in events if each.topic == RESIDENT_TOPIC), key=attrgetter("partition"))
        positions = self.positions() if here else {}
        for partition, some in groupby(here, key=attrgetter("partition")):
            at = positions.get((RESIDENT_TOPIC, partition), 0)
            arrivals = [Arrival(at, each.origin, each.number, each.value) for each in some]
            self._view.take(RESIDENT_TOPIC, partition, first=at, to=at, arrivals=arrivals)

    def of(self, system: str, dataset: str, keys: Sequence[str]) -> Mapping[str, Statement]:
        """What stands of these records; also what was retracted."""
        names = ("record_key", *Statement._fields)
        with reading(self.engine) as connection:
            here = {"system": system, "dataset": dataset}
            rows = bulk.find(connection, bulk.Find(assertion, names, "record_key", keys, here))
        return {row[0]: Statement(*row[1:]) for row in rows}

    def numbers(self, source: str) -> dict[str, int]:
        """Output partition -> the next number of this origin, as the log has it."""
        query = sa.select(origin).where(origin.c.origin == source)
        with reading(self.engine) as connection:
            return {f"{row.topic}/{row.partition}": row.next_number for row in connection.execute(query)}

    def forget_the_gone(self) -> None:
        """Leave only what speaks of somebody: what was never said and what was retracted are the same."""
        with self.engine.begin() as connection:
            connection.execute(sa.delete(assertion).where(sa.not_(assertion.c.live)))
