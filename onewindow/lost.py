"""What was lost between a source and its topic is read again; and what a person wishes to have read again.

Producers number their events without gaps, and save the next numbers with their position. Streams sees a number that is
missing and writes it down; where nothing follows what was lost, the end of the numbers is compared with what was saved. The
connectors' role looks for both, and reads such a dataset from its beginning. What is there already is recognised by its
content.

The evidence stays until that has begun: a loss counts as long as the reading that it happened in goes on, through any
number of epochs. If the role ends before the dataset is read again, it finds the loss again after its next start.
"""

from __future__ import annotations

import json
import threading
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from typing import NamedTuple, Protocol

import sqlalchemy as sa
import structlog

from contracts.errors import RetryLater
from contracts.sources import department_topic
from producers.positions import Wish
from producers.progress import Progress
from projections.databases import reading
from streams.numbers import Numbers
from streams.store import arrival, position, reread, seeks

log = structlog.get_logger()

_LOOK_S = 2.0
Ends = Mapping[tuple[str, int], int]


class Reader(Protocol):
    """A dataset's producer, as far as it matters here."""

    system: str
    dataset: str

    @property
    def progress(self) -> Progress:
        """What it is doing."""

    def reread(self) -> None:
        """Read the dataset from its beginning."""

    def seek(self, wish: Wish) -> None:
        """Read the dataset from the position of a wish on."""


class Log(Protocol):
    """The log, as far as it matters here (``onewindow.events_log.EventsLog``)."""

    def ends(self) -> Ends:
        """(topic, partition) -> the offset after the last record. Raises BrokerUnreachable."""

    def close(self) -> None:
        """Let go of the connection."""


class _Came(NamedTuple):
    """What streams has seen of one partition: up to which offset, and which numbers."""

    offset: int
    numbers: Numbers


class LostAndFound:
    """Asks for each loss once: by topic and reading. ``open_log`` connects to the log of the readers' topics."""

    def __init__(self, store: sa.Engine, readers: Iterable[Reader], open_log: Callable[[], Log]) -> None:
        self._store, self._open_log = store, open_log
        self._log: Log | None = None
        self._asked, self._passed_on = set[tuple[str, int]](), set[tuple[str, str]]()
        self._readers: Mapping[str, Reader] = {}
        self._known: Mapping[str, Reader] = {}
        self.watch(readers)

    def watch(self, readers: Iterable[Reader]) -> None:
        """Look at these too. Thread-safe."""
        self._readers = {
            **self._readers, **{department_topic(reader.system, reader.dataset): reader for reader in readers}
        }  # fmt: skip

    def look(self) -> list[str]:
        """Look once; the topics that are read again for it. In this order: what was acknowledged before the log's end was
        looked at is in the log, and what streams has read up to that end can't come any more."""
        readers = self._readers
        said = {topic: reader.progress for topic, reader in readers.items()}
        if self._log is not None and readers is not self._known:
            self._close()
        if self._log is None:
            self._log, self._known = self._open_log(), readers
        ends, came = self._log.ends(), self._came()
        again = []
        wishes = self._wishes()
        for topic, now in sorted(said.items()):
            lost, wished = _lost(topic, now, ends, came[topic]), now.reading <= wishes.get(topic, -1)
            if (topic, now.reading) in self._asked or not (lost or wished):
                continue
            why = "events were lost on the way" if lost else "a person wished it"
            log.warning("a dataset is read again", topic=topic, reading=now.reading, why=why)
            self._asked.add((topic, now.reading))
            readers[topic].reread()
            again.append(topic)
        return again + self._sought(readers, said)

    def _sought(self, readers: Mapping[str, Reader], said: Mapping[str, Progress]) -> list[str]:
        """Pass on wishes that no position was saved with yet (``onewindow source seek``); the topics that they are about."""
        with reading(self._store) as connection:
            wishes = seeks(connection)
        found = []
        for topic, (name, where) in sorted(wishes.items()):
            now = said.get(topic)
            if now is None or not now.epoch or now.sought == name or (topic, name) in self._passed_on:
                continue  # not ours; it does not know yet what was saved; it was heeded
            log.warning("a dataset is read from an earlier place", topic=topic, why="a person wished it")
            self._passed_on.add((topic, name))
            readers[topic].seek(Wish(name, **json.loads(where)))
            found.append(topic)
        return found

    def _wishes(self) -> Mapping[str, int]:
        """topic -> the reading that a person found wanting (``onewindow source reread``)."""
        with reading(self._store) as connection:
            if not sa.inspect(connection).has_table(reread.name):
                return {}
            return {row.topic: row.reading for row in connection.execute(sa.select(reread))}

    def _came(self) -> Mapping[str, Mapping[int, _Came]]:
        came: dict[str, dict[int, _Came]] = defaultdict(dict)
        with reading(self._store) as connection:
            if not sa.inspect(connection).has_table(arrival.name):
                return came
            numbers = {
                (row.topic, row.partition): Numbers(row.reading, row.epoch, row.next_number, row.missing)
                for row in connection.execute(sa.select(arrival))
            }
            for row in connection.execute(sa.select(position)):
                came[row.topic][row.partition] = _Came(
                    row.next_offset, numbers.get((row.topic, row.partition), Numbers())
                )
        return came

    def run(self, stop: threading.Event) -> None:
        """Look again and again until told to stop."""
        while not stop.wait(_LOOK_S):
            try:
                self.look()
            except RetryLater as error:
                log.warning("losses can't be looked for now", code=error.code)
        self._close()

    def _close(self) -> None:
        if self._log is not None:
            self._log.close()
            self._log = None


def _lost(topic: str, now: Progress, ends: Ends, came: Mapping[int, _Came]) -> bool:
    """Whether an event of the reading that goes on was acknowledged and will not come."""
    if any(each.numbers.reading == now.reading and each.numbers.missing for each in came.values()):
        return True
    for partition, acknowledged in enumerate(now.numbers):
        at = came.get(partition, _Came(0, Numbers()))
        if at.numbers.reading > now.reading or at.offset < ends.get((topic, partition), at.offset + 1):
            continue  # a newer reading has begun meanwhile; or streams has not come to the end
        if acknowledged > (at.numbers.next_number if at.numbers.reading == now.reading else 0):
            return True
    return False
