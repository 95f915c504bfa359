"""Sources that are wrong in one way each, and what must become of it: the registry, and one source read without a broker.

Each test is registered with what is wrong and what becomes of it, in words; ``docs/connectors.md`` holds them as a table.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import sqlalchemy as sa

from connectors import Connector, open_connector
from connectors.base import Confirming
from contracts.errors import OneWindowError, PositionLost
from contracts.identity import Hasher
from contracts.sources import Source, department_topic
from producers.events import EventWriter
from projections.databases import open_view
from streams import store as tables
from streams.intake import Incoming, Intake, Outgoing
from streams.store import Store

HASHER = Hasher(b"0123456789abcdef")


class Bad(NamedTuple):
    """A way to be wrong: of what, how, what becomes of it, and the test that shows it."""

    of: str
    wrong: str
    becomes: str
    test: str


BAD: list[Bad] = []


def bad(of: str, wrong: str, becomes: str) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Registers a test."""

    def registered(test: Callable[..., None]) -> Callable[..., None]:
        BAD.append(Bad(of, wrong, becomes, test.__name__))
        return test

    return registered


@dataclass
class Look:
    """What one look at the source came to. ``error``: the code of what the connector, or the intake, raised; ``asks``: codes
    of the questions that are open; ``notes``: what a person should hear; ``counts``: as in the books, and ``deleted``."""

    error: str = ""
    asks: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    counts: Counter[str] = field(default_factory=Counter)


class Way:
    """One source with one dataset: its connector, and the intake on a store of its own, as the pipeline has them."""

    def __init__(self, source: Source, state: Path, connector: Connector | None = None) -> None:
        (self.dataset,) = source.datasets
        self.system = source.system
        self.connector = connector or open_connector(source, state=state)
        self.store = Store(open_view("sqlite://"))
        self.store.prepare("cluster", {department_topic(self.system, self.dataset): "topic"})
        self.intake = Intake(
            self.store,
            self.system,
            self.dataset,
            source.datasets[self.dataset],
            owner_on=lambda _: "",
            hasher=HASHER,
            partitions=1,
        )
        self._position: Any = None
        self._epoch = self._reading = 1
        self._sequence = self._offset = 0
        self._numbers: tuple[int, ...] = ()
        self.before_confirming: Callable[[], None] = lambda: None

    def look(self) -> Look:
        """Pull what there is; a lost position begins a new reading, as the producer does."""
        found = Look()
        try:
            self._pull(found)
        except PositionLost as error:
            found.error = error.code
            self._position = None
            self._epoch = self._reading = self._epoch + 1
            self._pull(found)
        except OneWindowError as error:
            found.error = error.code
        return found

    def _pull(self, found: Look) -> None:
        writer = EventWriter(
            self.system, self.dataset, self._epoch, HASHER, 1, reading=self._reading, numbers=self._numbers
        )
        for page in self.connector.pull(self.dataset, self._position):
            self._sequence += 1
            records = writer.records(page, sequence=self._sequence, now="2026-11-01T00:00:00Z")
            if page.mark is not None and (page.mark != "complete" or self._reading > 1):
                records += writer.marks(
                    page.mark, sequence=self._sequence, index=len(records), now="2026-11-01T00:00:00Z"
                )
            self._position, self._numbers = json.loads(json.dumps(page.position)), writer.numbers
            found.asks = [ask.code for ask in page.asks]
            found.notes += page.notes
            found.counts["duplicate"] += page.duplicates
            found.counts["stale"] += page.stale
            found.counts["deleted"] += sum(type(change).__name__ == "Delete" for change in page.changes)
            for each in records:
                headers = dict(each.headers)
                item = Incoming(
                    self._offset,
                    each.key.decode(),
                    headers["ce_id"].decode(),
                    headers["ce_sequence"].decode(),
                    each.value,
                )
                found.counts.update(self.intake.take(0, self._offset, [item]).counts)
                self._offset += 1
        if isinstance(self.connector, Confirming) and self._position is not None:
            self.before_confirming()
            self.connector.confirm(self.dataset, self._position)

    @property
    def people(self) -> dict[str, dict[str, Any]]:
        """What is said of whom: the fields of each record that is in force, by name or, without one, by ID number."""
        said: dict[str, dict[str, Any]] = {}
        for event in self._events():
            body = json.loads(event.value)
            if event.type == "RecordAsserted":
                said[body["record_key"]] = body
            elif event.type == "RecordRetracted" and not body.get("moved_to"):
                said.pop(body["record_key"], None)
        return {body["fields"].get("name") or body["fields"]["id_number"]: body for body in said.values()}

    def _events(self) -> Iterator[Outgoing]:
        for _, blob in self.store.unsent(0, 100_000):
            yield from msgspec.msgpack.decode(blob, type=list[Outgoing])

    @property
    def refused(self) -> list[tuple[str, str]]:
        """(reason, column) of each record that is in quarantine."""
        query = sa.select(tables.quarantine.c.reason, tables.quarantine.c.column).where(~tables.quarantine.c.mended)
        with self.store.engine.connect() as connection:
            return sorted((row.reason, row.column) for row in connection.execute(query))

    def close(self) -> None:
        """Let go of everything."""
        self.connector.close()
        self.store.engine.dispose()
