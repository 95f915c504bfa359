"""What is so: computed from the log's ends, the offsets and counts in the databases, and what the roles say.

Nothing here is taken on trust where it can be seen. ``live`` means that a dataset's source was read to its end within the
time that its freshness allows, and that nothing of it is under way; a process that merely runs is not healthy.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

import sqlalchemy as sa

from contracts.errors import DatabaseUnreachable, OneWindowError, RetryLater
from contracts.events import RESIDENT_TOPIC
from contracts.sources import Source, department_topic
from onewindow import run_files
from onewindow.events_log import EventsLog
from onewindow.roles import ROLES
from onewindow.settings import Deployment
from projections.databases import open_view, reading
from streams import store as streams_store
from streams.store import BOOKS

Ends = Mapping[tuple[str, int], int]


class Watcher:
    """Looks at one deployment; keeps its connections between two looks."""

    def __init__(self, deployment: Deployment) -> None:
        self._deployment = deployment
        self._log: EventsLog | None = None
        self._view, self._store = open_view(deployment.view_url), open_view(deployment.streams_url)

    def look(self) -> dict[str, Any]:
        """Everything, as one document."""
        problems: list[dict[str, str]] = []
        ends = self._ends(problems)
        streams, view = self._streams(problems), self._positions_of_view(problems)
        roles = [self._role(name) for name in ROLES if name != "broker" or self._deployment.settings.kafka.embedded]
        said = {
            (item["system"], item["dataset"]): item
            for item in run_files.read(self._deployment.directory, "connectors").get("datasets", [])
        }
        sources = [
            self._source(source, dataset, ends, streams, said.get((source.system, dataset)))
            for source, dataset in self._deployment.datasets()
        ]
        behind = sum(end - view.get(place, 0) for place, end in ends.items() if place[0] == RESIDENT_TOPIC)
        projections = run_files.read(self._deployment.directory, "projections")
        return {
            "deployment": self._deployment.settings.name,
            "healthy": not problems
            and all(r["state"] == "ready" for r in roles)
            and all(s["healthy"] for s in sources),
            "sources": sources,
            "roles": roles,
            "outbox_rows": streams["outbox"],
            "view_behind_events": behind,
            "freshness_ms": projections.get("freshness_ms", {"p50": None, "p95": None, "p99": None}),
            "freshness_measured": projections.get("measured", 0),
            "problems": problems,
        }

    def caught_up(self, found: dict[str, Any]) -> bool:
        """Whether all that the sources held was read, and all of that is in the view."""
        return (
            bool(found["sources"])
            and all(s["loaded"] and s["pending"] == 0 and s["read"] is not None for s in found["sources"])
            and found["outbox_rows"] == 0
            and found["view_behind_events"] == 0
            and not found["problems"]
        )

    def _ends(self, problems: list[dict[str, str]]) -> Ends:
        topics = [department_topic(source.system, dataset) for source, dataset in self._deployment.datasets()]
        try:
            if self._log is None:
                self._log = EventsLog(self._deployment.bootstrap)
            return self._log.ends([*topics, RESIDENT_TOPIC])
        except RetryLater as error:
            self._drop_log()
            problems.append(_problem("broker", error))
            return {}

    def _drop_log(self) -> None:
        if self._log is not None:
            self._log.close()
            self._log = None

    def _streams(self, problems: list[dict[str, str]]) -> dict[str, Any]:
        nothing: dict[str, Any] = {"books": {}, "positions": {}, "outbox": 0, "pauses": {}, "missing": {}}
        try:
            with reading(self._store) as connection:
                if not sa.inspect(connection).has_table("outbox"):
                    return nothing
                books = connection.execute(sa.select(streams_store.books)).mappings()
                counts = {(row["topic"], row["partition"]): {name: row[name] for name in BOOKS} for row in books}
                positions = {
                    (row.topic, row.partition): row.next_offset
                    for row in connection.execute(sa.select(streams_store.position))
                }
                return {
                    "books": counts,
                    "positions": positions,
                    "outbox": connection.scalar(sa.select(sa.func.count()).select_from(streams_store.outbox)),
                    "pauses": {row.topic: row.finding for row in connection.execute(sa.select(streams_store.pause))},
                    "missing": {
                        (row.topic, row.partition): row.missing
                        for row in connection.execute(sa.select(streams_store.arrival))
                        if row.missing
                    },
                }
        except DatabaseUnreachable as error:
            problems.append(_problem("streams", error))
            return nothing

    def _positions_of_view(self, problems: list[dict[str, str]]) -> Mapping[tuple[str, int], int]:
        from projections.engine import read_positions
        from projections.reading import gaps

        try:
            with reading(self._view) as connection:
                if not sa.inspect(connection).has_table("position"):
                    return {}
                problems.extend(
                    {
                        "where": "projections",
                        "code": "OW-1406",
                        "finding": f"events {gap.expected} to {gap.found - 1} of {gap.origin} are missing; they are sent again",
                    }
                    for gap in gaps(connection)
                )
                return read_positions(connection)
        except DatabaseUnreachable as error:
            problems.append(_problem("view", error))
            return {}

    def _role(self, name: str) -> dict[str, Any]:
        about = run_files.read(self._deployment.directory, name)
        state = about.get("state", "down") if about.get("alive") else "down"
        return {"role": name, "state": state, "pid": about.get("pid") if about.get("alive") else None}

    def _source(
        self, source: Source, dataset: str, ends: Ends, streams: dict[str, Any], said: dict[str, Any] | None
    ) -> dict[str, Any]:
        topic, declared = department_topic(source.system, dataset), source.datasets[dataset]
        said = said or {}
        books = dict.fromkeys(BOOKS, 0)
        for (at, _), counts in streams["books"].items():
            if at == topic:
                books = {name: books[name] + counts[name] for name in BOOKS}
        decided = sum(offset for (at, _), offset in streams["positions"].items() if at == topic)
        in_topic = sum(end for (at, _), end in ends.items() if at == topic)
        known = {place for place in ends if place[0] == topic}
        balanced = bool(known) and sum(books.values()) == decided <= in_topic
        books["duplicate"] += said.get("duplicates", 0)
        books["stale"] += said.get("stale", 0)
        pending = in_topic - decided
        paused = streams["pauses"].get(topic)
        missing = sum(count for (at, _), count in streams["missing"].items() if at == topic)
        state, error = self._state(said, declared.fresh_s, pending, paused)
        return {
            "system": source.system,
            "dataset": dataset,
            "title": declared.title or source.title,
            "owner": source.owner,
            "state": state,
            "healthy": state == "live" and not missing and balanced,
            "read": in_topic + said.get("duplicates", 0) + said.get("stale", 0) if known else None,
            **books,
            "pending": pending,
            "balanced": balanced,
            "loaded": bool(said.get("snapshot_done")) and said.get("looked_at") is not None,
            "rows": said.get("rows"),
            "total": said.get("total"),
            "rate": round(said.get("rate") or 0.0, 1),
            "lost_on_the_way": missing,
            "looked_at": said.get("looked_at"),
            "error": error,
            "notes": list(said.get("notes", [])),
        }

    def _state(
        self, said: dict[str, Any], fresh_s: float, pending: int, paused: str | None
    ) -> tuple[str, dict[str, Any] | None]:
        alive = run_files.read(self._deployment.directory, "connectors").get("alive", False)
        if paused:
            return "paused", {"code": "OW-1209", "finding": paused, "fix": "mend the source or its source file"}
        if not said or not alive:
            return "down", None
        if said["state"] == "waiting":
            return "waiting", {"code": said["code"], "finding": said["text"], "fix": said["fix"]}
        if said["state"] == "loading" or not said.get("snapshot_done"):
            return "loading", None
        idle_s = time.time() - (said.get("looked_at") or 0)
        if idle_s > fresh_s * 3 + 2:
            return "silent", None
        return ("catching up" if pending > 0 else "live"), None

    def close(self) -> None:
        """Let go of connections."""
        self._drop_log()
        self._view.dispose()
        self._store.dispose()


def _problem(where: str, error: OneWindowError) -> dict[str, str]:
    return {"where": where, "code": error.code, "finding": error.finding, "fix": error.fix}
