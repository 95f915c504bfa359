"""What was lost between a source and its topic is read again.

Producers number their events without gaps. Streams sees a number that is missing, and writes down how many of which epoch;
the connectors' role looks there, and reads such a dataset from its beginning. The new epoch closes the gap, and what is
there already is recognised by its content.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from typing import Protocol

import sqlalchemy as sa
import structlog

from contracts.errors import DatabaseUnreachable
from contracts.sources import department_topic
from projections.databases import reading
from streams.store import arrival

log = structlog.get_logger()

_LOOK_S = 2.0


class Reader(Protocol):
    """A dataset's producer, as far as it matters here."""

    system: str
    dataset: str

    def reread(self) -> None:
        """Read the dataset from its beginning."""


class LostAndFound:
    """Asks for each loss once: by topic and epoch."""

    def __init__(self, store: sa.Engine, readers: Sequence[Reader]) -> None:
        self._store, self._asked = store, set[tuple[str, int]]()
        self._readers = {department_topic(reader.system, reader.dataset): reader for reader in readers}

    def look(self) -> list[str]:
        """Look once; the topics that are read again for it."""
        with reading(self._store) as connection:
            if not sa.inspect(connection).has_table(arrival.name):
                return []
            rows = connection.execute(sa.select(arrival.c.topic, arrival.c.epoch).where(arrival.c.missing > 0)).all()
        found = {(row.topic, row.epoch) for row in rows if row.topic in self._readers} - self._asked
        for topic, epoch in sorted(found):
            log.warning("events were lost on the way, the dataset is read again", topic=topic, epoch=epoch)
            self._readers[topic].reread()
        self._asked |= found
        return sorted({topic for topic, _ in found})

    def run(self, stop: threading.Event) -> None:
        """Look again and again until told to stop."""
        while not stop.wait(_LOOK_S):
            try:
                self.look()
            except DatabaseUnreachable as error:
                log.warning("the store of streams is waited for", code=error.code)
