"""What is so: computed from the log's ends, the offsets and counts in the databases, and what the roles say.

Nothing here is taken on trust where it can be seen. ``live`` means that a dataset's source was read to its end within the
time that its freshness allows, and that nothing of it is under way; a process that merely runs is not healthy. To look
changes nothing and makes nothing.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

import sqlalchemy as sa

from contracts.errors import (
    BooksWrong,
    DatasetHalted,
    EventsLost,
    LogDamaged,
    NumberGap,
    OneWindowError,
    RoleDown,
    RoleStalled,
    SourceSick,
    SourceSilent,
)
from contracts.events import RESIDENT_TOPIC
from contracts.sources import Source, department_topic
from onewindow import run_files
from onewindow.books import Book, Decided, Reading, book, partition_books
from onewindow.damage import offline
from onewindow.databases import holds
from onewindow.events_log import EventsLog
from onewindow.roles import ROLES
from onewindow.settings import Deployment
from projections.databases import open_view, reading
from projections.engine import Gap, read_positions
from projections.reading import gaps
from streams import store as streams_store
from streams.intake import way_on
from streams.store import BOOKS, Halt

Places = Mapping[tuple[str, int], int]
"""(topic, partition) -> offset or count."""
Problem = dict[str, str]
"""``where``, ``code``, ``finding``, ``fix``."""
_T = TypeVar("_T")

_MOMENT_S = 0.5
_PATIENCE_S = 3.0  # for a broker that does not answer: what else is to be told must not wait for it
_STANDS_STILL_S = 10.0
UNDER_WAY = ("starting", "loading", "catching up")
"""States that pass by themselves."""


@dataclass(frozen=True, slots=True)
class _ViewSide:
    """What is under way from streams into the view. ``oldest``: the outbox row that waits longest."""

    applied: int
    end: int
    oldest: int | None

    @property
    def behind(self) -> int:
        return self.end - self.applied

    @property
    def is_idle(self) -> bool:
        return self.behind == 0 and self.oldest is None

    def follows(self, before: _ViewSide | None) -> bool:
        """Whether nothing waits that already waited before."""
        if self.is_idle:
            return True
        if before is None or self.applied < before.end:
            return False
        return self.oldest is None or self.oldest != before.oldest


class Watcher:
    """Looks at one deployment; keeps its connections, and what it saw, between two looks."""

    def __init__(self, deployment: Deployment) -> None:
        self._deployment = deployment
        self._log: EventsLog | None = None
        self._view, self._store = open_view(deployment.view_url), open_view(deployment.streams_url)
        self._before: dict[tuple[str, str], _Look] = {}
        self._view_side: _ViewSide | None = None
        self._view_moved_at = time.monotonic()
        self._beats = run_files.Beats()

    def look(self) -> dict[str, Any]:
        """Everything, as one document. What is further down the way is looked at first, so that nothing seems lost that
        only came in between two looks."""
        _, problems = self._roles()
        before = list(problems)
        view = self._tried("view", problems, self._look_at_view)
        streams = self._tried("streams", problems, self._look_at_streams)
        said = run_files.read(self._deployment.directory, "connectors")
        read = self._tried("broker", problems, lambda: self._read(said))
        ends = self._tried("broker", problems, self._ends)
        # again: a broker that hangs takes its time, and may be seen to stand still by now
        roles, of_roles = self._roles()
        known = {each["where"] for each in of_roles}
        problems = of_roles + [each for each in problems if each not in before and each["where"] not in known]
        sources = []
        for source, dataset in self._deployment.datasets():
            name = (source.system, dataset)
            side = (read or {}).get(name)
            look = _Look(self._deployment, source, dataset, said, ends, streams, side, self._before.get(name))
            sources.append(look.document())
            problems.extend(look.problems)
            self._before[name] = look
            look.before = None  # else each look would hold all looks before it
        view_gaps = view[1] if view else []
        problems.extend(_problem("projections", _gap(gap)) for gap in view_gaps)
        behind, follows = None, True
        if ends is not None and view is not None and streams is not None:
            view_side = _view_side(view[0], ends, streams["oldest"])
            behind, follows = view_side.behind, self._view_follows(view_side, problems)
        projections = run_files.read(self._deployment.directory, "projections")
        state = _overall(problems, roles, sources, follows=follows)
        return {
            "deployment": self._deployment.settings.name,
            "healthy": state == "healthy",
            "state": state,
            "sources": sources,
            "roles": roles,
            "outbox_rows": streams["outbox"] if streams else None,
            "view_behind_events": behind,
            "view_gaps": len(view_gaps),
            "freshness_ms": projections.get("freshness_ms", {"p50": None, "p95": None, "p99": None}),
            "freshness_measured": projections.get("measured", 0),
            "problems": problems,
        }

    def _view_follows(self, side: _ViewSide, problems: list[Problem]) -> bool:
        """Whether the view takes what comes. Standing still is a problem, and not only a state, once it lasts."""
        before, self._view_side = self._view_side, side
        if side.is_idle or before is None or (side.applied, side.oldest) != (before.applied, before.oldest):
            self._view_moved_at = time.monotonic()
        elif time.monotonic() - self._view_moved_at > _STANDS_STILL_S and not problems:
            stalled = RoleStalled(
                f"the view stands still: {side.behind:,} events wait and none was taken for {_STANDS_STILL_S:.0f} s",
                fix=f"see {self._deployment.directory}/run/projections.log and streams.log: what they wait for is there",
            )
            problems.append(_problem("view", stalled))
        return side.follows(before)

    def look_well(self) -> dict[str, Any]:
        """Look, and once more where one look can't tell whether what is under way moves."""
        found = self.look()
        if found["state"] == "catching up":
            time.sleep(_MOMENT_S)
            found = self.look()
        return found

    def caught_up(self, found: dict[str, Any]) -> bool:
        """Whether all that the sources held was read, and all of that is in the view."""
        return (
            bool(found["sources"])
            and all(s["loaded"] and s["pending"] == 0 and s["balanced"] for s in found["sources"])
            and found["outbox_rows"] == 0
            and found["view_behind_events"] == 0
            and found["view_gaps"] == 0
        )

    def _tried(self, where: str, problems: list[Problem], look: Callable[[], _T]) -> _T | None:
        """What a part says, or None and a problem when it does not answer now."""
        try:
            return look()
        except OneWindowError as error:
            if where == "broker":
                self._drop_log()
            said = {each["code"] for each in problems if each["where"] in (where, "roles")}
            if not said & {error.code, RoleDown.code, LogDamaged.code}:  # the cause is known: said once
                problems.append(_problem(where, error))
            return None

    def _open_log(self) -> EventsLog:
        if self._log is None:
            self._log = EventsLog(self._deployment.bootstrap, patience_s=_PATIENCE_S)
        return self._log

    def _ends(self) -> Places:
        topics = [department_topic(source.system, dataset) for source, dataset in self._deployment.datasets()]
        return self._open_log().ends([*topics, RESIDENT_TOPIC])

    def _drop_log(self) -> None:
        if self._log is not None:
            self._log.close()
            self._log = None

    def _read(self, said: dict[str, Any]) -> dict[tuple[str, str], Reading]:
        """The connectors' side of each dataset: as they say it, or, while they don't, as they saved it."""
        from producers.positions import load
        from producers.topics import POSITIONS

        told = {
            (each["system"], each["dataset"]): Reading(
                each["published"], each["again"], each["duplicates"], each["stale"]
            )
            for each in (said.get("datasets", []) if said.get("alive") else [])
            if each["epoch"] > 0
        }
        wanted = [(source.system, dataset) for source, dataset in self._deployment.datasets()]
        if all(name in told for name in wanted) or not self._open_log().ends([POSITIONS.name]):
            return told
        saved = load(self._deployment.bootstrap, wait_s=5.0)
        for system, dataset in wanted:
            one = saved.get(f"{system}.{dataset}")
            if one is not None:
                told.setdefault((system, dataset), Reading(one.published, one.again, one.duplicates, one.stale))
        return told

    def _look_at_streams(self) -> dict[str, Any]:
        if not holds(self._store, streams_store.outbox.name):
            return {"books": {}, "positions": {}, "outbox": 0, "oldest": None, "pauses": {}, "halts": {}, "missing": {}}
        with reading(self._store) as connection:
            books = connection.execute(sa.select(streams_store.books)).mappings()
            outbox = streams_store.outbox.c.id
            waiting = connection.execute(sa.select(sa.func.count(outbox), sa.func.min(outbox))).one()
            return {
                "books": {(row["topic"], row["partition"]): {name: row[name] for name in BOOKS} for row in books},
                "positions": {
                    (row.topic, row.partition): row.next_offset
                    for row in connection.execute(sa.select(streams_store.position))
                },
                "outbox": waiting[0],
                "oldest": waiting[1],
                "pauses": {row.topic: row.finding for row in connection.execute(sa.select(streams_store.pause))},
                "halts": streams_store.halts(connection),
                "missing": {
                    (row.topic, row.partition): row.missing
                    for row in connection.execute(sa.select(streams_store.arrival))
                },
            }

    def _look_at_view(self) -> tuple[Places, list[Gap]]:
        """The offsets of the view, and its gaps."""
        if not holds(self._view, "position"):
            return {}, []
        with reading(self._view) as connection:
            return read_positions(connection), gaps(connection)

    def _roles(self) -> tuple[list[dict[str, Any]], list[Problem]]:
        """Each role with its state, and what is wrong with them."""
        names = [name for name in ROLES if name != "broker" or self._deployment.settings.kafka.embedded]
        said = {name: run_files.read(self._deployment.directory, name) for name in names}
        roles = [
            {"role": name, "state": self._state_of(about),
             "pid": about.get("pid") if about.get("alive") else None}
            for name, about in said.items()
        ]  # fmt: skip
        start = f"onewindow -C {self._deployment.directory} up"
        down = [name for name, about in said.items() if not about.get("alive")]
        if len(down) == len(roles):
            return roles, [_problem("roles", RoleDown("the deployment is not up", fix=f"start it: {start}"))]
        log = f"see {self._deployment.directory}/run"
        problems = [
            _problem(name, RoleDown(f"{name} is not running", fix=f"{log}/{name}.log; `{start}` keeps roles running"))
            for name in down
        ]
        stalled = [str(role["role"]) for role in roles if role["state"] == "stalled"]
        problems += [
            _problem(name, RoleStalled(f"{name} stands still: its process lives and says nothing",
                                       fix=f"end it, and it is started again: kill -9 {said[name]['pid']}"))
            for name in stalled
        ]  # fmt: skip
        full = run_files.disk_full(self._deployment.directory)
        problems += [_problem("disk", full)] if full is not None else []
        damaged = said.get("broker", {}).get("damaged", {}) if "broker" not in down else {}
        problems += [_problem("broker", offline(name, why)) for name, why in damaged.items()]
        return roles, problems

    def _state_of(self, about: dict[str, Any]) -> str:
        if not about.get("alive"):
            return "down"
        return "stalled" if self._beats.is_stalled(about) else str(about["state"])

    def close(self) -> None:
        """Let go of connections."""
        self._drop_log()
        self._view.dispose()
        self._store.dispose()


class _Look:
    """What can be said of one dataset: its books, its state, and what is wrong."""

    def __init__(
        self,
        deployment: Deployment,
        source: Source,
        dataset: str,
        connectors: dict[str, Any],
        ends: Places | None,
        streams: dict[str, Any] | None,
        read: Reading | None,
        before: _Look | None,
    ) -> None:
        self.source, self.dataset, self._deployment = source, dataset, deployment
        self.at, self.before = time.monotonic(), before
        self._name, self._topic = f"{source.system}.{dataset}", department_topic(source.system, dataset)
        self._alive = bool(connectors.get("alive"))
        self.said: dict[str, Any] = next(
            (
                each
                for each in connectors.get("datasets", [])
                if (each["system"], each["dataset"]) == (source.system, dataset)
            ),
            {},
        )
        self.loaded = bool(self.said.get("snapshot_done")) and self.said.get("looked_at") is not None
        in_topic = None if ends is None else self._sum(ends)
        if ends is not None and all(topic != self._topic for topic, _ in ends):
            in_topic = None
        self.book: Book = book(read, in_topic, self._decided(streams), loaded=self.loaded)
        self.missing = self._sum(streams["missing"]) if streams else 0
        sides = [streams[name] for name in ("positions", "books", "missing")] if streams else [{}, {}, {}]
        self.partitions = partition_books(self._topic, ends, *sides) if streams else []
        self._paused = streams["pauses"].get(self._topic) if streams else None
        self._halt: Halt | None = streams["halts"].get(self._topic) if streams else None
        self.state = self._state()
        self.problems = list(self._problems())

    def _sum(self, places: Places) -> int:
        return sum(count for (topic, _), count in places.items() if topic == self._topic)

    def _decided(self, streams: dict[str, Any] | None) -> Decided | None:
        if streams is None:
            return None
        counts = [counts for (topic, _), counts in streams["books"].items() if topic == self._topic]
        return Decided(self._sum(streams["positions"]), {name: sum(each[name] for each in counts) for name in BOOKS})

    def _state(self) -> str:
        said = self.said
        if self._paused or (self._halt and said.get("state") == "paused"):
            return "paused"
        if not self._alive or said.get("state") == "stopped":
            return "paused" if self._halt else "down"
        if not said or said["state"] == "paused" or (said["state"] == "starting" and not self.book.pending):
            return "starting"  # one that was paused just now goes on
        if said["state"] == "waiting":
            return "waiting"
        if said["state"] == "loading" or not said["snapshot_done"]:
            return "loading"
        moved = max(said["looked_at"] or 0.0, said["saved_at"] or 0.0)
        if time.time() - moved > self._fresh_s * 3 + 2:
            return "silent"
        if said["asks"]:
            return "asks"
        return "live" if self._keeps_up() else "catching up"

    def _keeps_up(self) -> bool:
        """Whether nothing waits that already waited at the look before."""
        if not self.book.pending:
            return True
        before = self.before.book if self.before else None
        return before is not None and before.read is not None and (self.book.done or 0) >= before.read

    def _rate(self) -> float | None:
        """Records a second since the look before. At the first look only the connectors know one, while they load."""
        done, before = self.book.done, self.before
        if done is None:
            return None
        if before is None or before.book.done is None:
            return round(float(self.said["rate"]), 1) if self.said.get("rate") else None
        return round(max(0, done - before.book.done) / max(self.at - before.at, 1e-3), 1)

    @property
    def _fresh_s(self) -> float:
        return self.source.datasets[self.dataset].fresh_s

    def _problems(self) -> Iterable[Problem]:
        if self._paused:
            yield _problem(
                self._name,
                SourceSick(self._paused, fix=way_on(self.source.system, self.dataset)),
            )
        if self._halt:
            yield _problem(self._name, _halted(self._name, self._halt))
        if self.state == "waiting":
            told = {"code": "code", "finding": "text", "fix": "fix"}
            yield {"where": self._name, **{name: str(self.said[given] or "") for name, given in told.items()}}
        if self.state == "silent":
            yield _problem(
                self._name,
                SourceSilent(
                    f"not read to its end for more than {self._fresh_s * 3 + 2:g} s; {self._fresh_s:g} s are declared",
                    fix=f"see {self._deployment.directory}/run/connectors.log; if a look takes so long, raise fresh_s",
                ),
            )
        for ask in self.said.get("asks", []):
            yield {"where": self._name, **ask}
        if self.missing or self.book.lost:
            yield _problem(
                self._name,
                EventsLost(
                    f"{max(self.missing, self.book.lost):,} acknowledged change events are not in {self._topic}",
                    fix="they are read again by themselves while the connectors run; find out what happened to the "
                    "broker's directory (kafka.fsync, a restored copy, a full disk)",
                ),
            )
        elif self.book.balanced is False:
            yield _problem(
                self._name,
                BooksWrong(
                    "the counts of streams don't add up to its offset",
                    fix="restore streams.sqlite as a whole, or begin a new deployment: the sources are read again",
                ),
            )

    def document(self) -> dict[str, Any]:
        """As status shows it."""
        error = next(({**each} for each in self.problems if each["where"] == self._name), None)
        return {
            "system": self.source.system,
            "dataset": self.dataset,
            "title": self.source.datasets[self.dataset].title or self.source.title,
            "owner": self.source.owner_now(),
            "state": self.state,
            "healthy": self.state == "live" and bool(self.book.balanced) and not self.problems,
            **self.book.document(),
            "unbalanced": [each._asdict() for each in self.partitions if not each.balanced],
            "loaded": self.loaded,
            "progress": self._progress(),
            "rate": self._rate(),
            "looked_at": self.said.get("looked_at"),
            "paused": self._halt._asdict() if self._halt else None,
            "error": error,
            "asks": list(self.said.get("asks", [])),
            "notes": list(self.said.get("notes", [])),
        }

    def _progress(self) -> float | None:
        """How much of the work at hand is done, 0 to 1: of the piece that is being read, else of all that was read."""
        if self.state not in ("loading", "catching up") or self.book.done is None or not self.book.read:
            return None
        rows, total = self.said.get("rows"), self.said.get("total")
        done, of = self.book.done, self.book.read
        if rows is not None and total:
            done, of = rows - (self.book.pending or 0), max(rows, total)
        return round(min(1.0, max(0.0, done / of)), 3)


def _view_side(positions: Places, ends: Places, oldest: int | None) -> _ViewSide:
    places = {place: end for place, end in ends.items() if place[0] == RESIDENT_TOPIC}
    return _ViewSide(sum(positions.get(place, 0) for place in places), sum(places.values()), oldest)


def _overall(
    problems: list[Problem], roles: list[dict[str, Any]], sources: list[dict[str, Any]], *, follows: bool
) -> str:
    """One word for all of it: needs attention, starting, loading, catching up or healthy."""
    if problems:
        return "needs attention"
    if any(role["state"] != "ready" for role in roles):
        return "starting"
    under_way = {source["state"] for source in sources} & set(UNDER_WAY)
    if under_way:
        return next(state for state in UNDER_WAY if state in under_way)
    if not follows:
        return "catching up"
    return "healthy" if all(source["healthy"] for source in sources) else "loading"


def _gap(gap: Gap) -> NumberGap:
    return NumberGap(
        f"events {gap.expected} to {gap.found - 1} of {gap.origin} are missing in {gap.topic}/{gap.partition}",
        fix="they are sent again by themselves while streams runs; if this stays, see run/streams.log",
    )


def _halted(name: str, halt: Halt) -> DatasetHalted:
    return DatasetHalted(
        f"{name} is paused by {halt.by} since {halt.since}: {halt.reason}",
        fix=f"when that is over: onewindow source resume {name}",
    )


def _problem(where: str, error: OneWindowError) -> Problem:
    return {"where": where, "code": error.code, "finding": error.finding, "fix": error.fix}
