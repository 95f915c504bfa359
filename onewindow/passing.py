"""Whether the pipeline has passed a moment: all that a source held then is in the view, whatever came since.

``caught up`` (``onewindow.status``) is a state in which nothing is under way; where changes never end, that never comes.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import Any

import sqlalchemy as sa

from contracts.errors import ComparisonOpen
from contracts.events import RESIDENT_TOPIC
from contracts.sources import department_topic
from onewindow import run_files
from onewindow.events_log import EventsLog
from onewindow.roles import ROLES
from onewindow.settings import Deployment
from projections.databases import reading
from projections.engine import read_positions
from projections.reading import gaps
from streams import store as tables

_LOOK_S = 0.1
PATIENCE_S = 120.0


class Passing:
    """Waits for one dataset. ``patience_s``: how long each wait may last."""

    def __init__(
        self,
        deployment: Deployment,
        store: sa.Engine,
        view: sa.Engine,
        log: EventsLog,
        name: str,
        *,
        patience_s: float = PATIENCE_S,
    ) -> None:
        self._deployment, self._store, self._view, self._log = deployment, store, view, log
        self._system, _, self._dataset = name.partition(".")
        self._topic, self._patience_s = department_topic(self._system, self._dataset), patience_s

    def wait(self) -> None:
        """Until all that the source held when this was called is in the view. Raises ComparisonOpen when it does not come."""
        deadline = time.monotonic() + self._patience_s
        for what, reached in self._steps():
            while not reached():
                self._raise_if_hopeless()
                if time.monotonic() > deadline:
                    raise self._open(f"after {self._patience_s:.0f} s it is still waited for {what}")
                time.sleep(_LOOK_S)

    def _steps(self) -> Iterator[tuple[str, Callable[[], bool]]]:
        """What has to come about one after the other; each is looked up once the one before has."""
        before = self._said().get("written_at", 0.0)
        yield "a sign of life of the connectors", lambda: self._said().get("written_at", 0.0) != before
        moment = self._said().get("written_at", float("inf"))  # by the clock of the connectors, as looked_at is
        yield "a look at the source", lambda: (self._about().get("looked_at") or 0.0) >= moment
        topic = self._log.ends([self._topic])
        yield "streams", lambda: self._has_passed(topic, self._decided())
        posted = self._outbox()[1]
        yield "the outbox", lambda: self._outbox()[0] > posted
        events = self._log.ends([RESIDENT_TOPIC])
        yield "the view", lambda: self._is_shown(events)

    def _said(self) -> dict[str, Any]:
        return run_files.read(self._deployment.directory, "connectors")

    def _about(self) -> dict[str, Any]:
        mine = (self._system, self._dataset)
        return next(
            (each for each in self._said().get("datasets", []) if (each["system"], each["dataset"]) == mine), {}
        )

    def _has_passed(self, ends: dict[tuple[str, int], int], positions: dict[tuple[str, int], int]) -> bool:
        return all(positions.get(place, 0) >= end for place, end in ends.items())

    def _decided(self) -> dict[tuple[str, int], int]:
        with reading(self._store) as connection:
            rows = connection.execute(sa.select(tables.position).where(tables.position.c.topic == self._topic))
            return {(row.topic, row.partition): row.next_offset for row in rows}

    def _outbox(self) -> tuple[float, int]:
        """The oldest row that waits, infinity where none does, and the newest."""
        number = tables.outbox.c.id
        with reading(self._store) as connection:
            oldest, newest = connection.execute(sa.select(sa.func.min(number), sa.func.max(number))).one()
        return (float("inf") if oldest is None else oldest), newest or 0

    def _is_shown(self, ends: dict[tuple[str, int], int]) -> bool:
        with reading(self._view) as connection:
            return not gaps(connection) and self._has_passed(ends, dict(read_positions(connection)))

    def _raise_if_hopeless(self) -> None:
        """Raises ComparisonOpen for what does not pass by itself."""
        embedded = self._deployment.settings.kafka.embedded
        for role in ROLES:
            alive = run_files.read(self._deployment.directory, role).get("alive")
            if not alive and (role != "broker" or embedded):
                raise self._open(f"the role {role} is not running")
        with reading(self._store) as connection:
            if self._topic in tables.halts(connection):
                raise self._open("a person has paused it")
            if connection.scalar(sa.select(tables.pause.c.finding).where(tables.pause.c.topic == self._topic)):
                raise self._open("it is paused, because too much of it was refused")

    def _open(self, why: str) -> ComparisonOpen:
        return ComparisonOpen(
            f"records of {self._system}.{self._dataset} differ, and whether they are lost or on their way can't be told: {why}",
            fix=f"see `onewindow -C {self._deployment.directory} status`, mend what it names, and compare again; a large table"
            " without a cursor is looked at seldom: --wait 3600",
        )
