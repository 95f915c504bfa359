"""Reads what has changed in an API since the last cursor value (``capture: poll``).

A look asks for all records with a cursor value from ``since`` on, in whatever order, page by page. What was given before is
recognised by its content. At the end of a look ``since`` moves to the highest cursor value that came, less the time that
the look took and ``overlap_s``: what changed while it was under way, or was committed late, took a later value than that.
A value ahead of the API's clock (header Date, else our own) moves nothing.

Numbers as cursor have no time to reach back by: there the API must give its records in their order.

Position: ``phase`` (snapshot, live), ``serial`` (counts pages), ``since`` and ``top`` (the highest cursor value), as the API
writes them; within a look ``look``: when it ``began`` (seconds, our clock), the ``place`` of its next page, ``done``, and
the ``totals`` that the API told first and last. A place that holds a secret is left out; then the look begins anew.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

from connectors._rest_answers import Row, change, older
from connectors._rest_cursors import Point, point, reaching_back, written
from connectors._rest_dataset import Api, Asked, Recent, Restarts, expected
from connectors._rest_paging import Shifted
from connectors.base import Page, Position
from contracts.errors import ReadIncomplete, RequestRefused, SettingInvalid, TableMissing

WINDOW_ROWS = 200_000  # records that are remembered; past that, some of the overlap are given once more
_AHEAD = timedelta(minutes=5)  # how far a cursor value may lie ahead of the API's clock
_LEAST_S = 1.0  # the overlap at least: some APIs mean "later than", and many write whole seconds


class Given(NamedTuple):
    """What was given of a record last."""

    mark: int
    point: Point | None


def _window() -> Recent[None]:
    return Recent(WINDOW_ROWS)


def _given() -> Recent[Given]:
    return Recent(WINDOW_ROWS)


@dataclass(slots=True)
class PollMemory:
    """What is remembered between looks: what was given, the serial of the last page, and what asks for changes only."""

    serial: int | None = None
    given: Recent[Given] = field(default_factory=_given)
    conditions: Mapping[str, str] = field(default_factory=dict)


class Poll:
    """One pull."""

    def __init__(self, api: Api, memory: PollMemory, after: Position | None) -> None:
        assert api.endpoint.since is not None
        self._api, self._memory, self._since = api, memory, api.endpoint.since
        beginning: dict[str, Any] = {"phase": "snapshot", "serial": 0, "since": None, "top": None}
        self._at: dict[str, Any] = dict(after) if after is not None else beginning
        self._within = "look" in self._at  # the position that was given last is one within a look
        self._resumed = self._within and self._at["look"]["place"] is not None
        self._seen, self._noted = _window(), False
        self._clock: datetime | None = None
        self._restarts = Restarts(api)

    @property
    def _form(self) -> str:
        return self._since.form

    def pages(self) -> Iterator[Page]:
        """The pages of one look, from where it was left off. Raises what asking does, ReadIncomplete and PagingEndless."""
        self._begin(self._at.get("look"))
        while True:
            yield from self._api.pause(lambda: self._page([], 0, **self._progress()))
            asked = self._asked()
            if asked is None:
                continue
            if asked.answer.unchanged:
                return
            yield from self._taken(asked)
            if self._walk.ended:
                return

    def _begin(self, look: Mapping[str, Any] | None = None) -> None:
        """A look: the one that was under way, or a new one."""
        new = {"began": self._api.clocks.now(), "place": None, "done": 0, "totals": None}
        self._at["look"] = dict(look) if look is not None else new
        self._walk, self._seen = self._api.walk(self._at["look"]["place"]), _window()

    def _asked(self) -> Asked | None:
        """The next page; None when the look begins anew, because its place is no more."""
        first = self._walk.requests == 0 and not self._resumed
        conditions = self._memory.conditions if first and self._at["phase"] == "live" else {}
        try:
            found = self._api.ask(self._walk, since=self._at["since"], conditions=conditions)
        except (RequestRefused, TableMissing):
            if not self._resumed:
                raise
            self._resumed = False  # a token of long ago
            self._anew()
            return None
        self._resumed = False
        if self._clock is None:
            self._clock = found.answer.at or datetime.fromtimestamp(self._api.clocks.now(), UTC)
        return found

    def _taken(self, asked: Asked) -> Iterator[Page]:
        """The page's changes, and the position after them."""
        look, before = self._at["look"], (self._at["since"], self._at["top"], self._at["phase"])
        try:
            self._api.take(self._walk, asked, self._at["since"])
            shifted = False
        except Shifted:
            shifted = True
        rows = asked.batch.rows
        marks = asked.batch.marks
        new = sum([self._seen.put(mark, None) for mark in marks]) + len(marks) - len(set(marks))
        self._walk.note(new=new > 0)
        look["done"] += new
        if asked.total is not None:
            look["totals"] = [look["totals"][0] if look["totals"] else asked.total, asked.total]
        fresh, stale = self._fresh(rows)
        self._climb(rows)
        ended = self._walk.ended and not shifted
        trouble = self._trouble(shifted=shifted, ended=ended)
        snapshot, progress = self._at["phase"] == "snapshot", self._progress()
        if trouble is not None or shifted:
            self._anew()
        elif ended:
            self._end(asked)
        else:
            look["place"] = self._storable(self._walk.place)
        changed = self._within or before != (self._at["since"], self._at["top"], self._at["phase"])
        if fresh or trouble is not None or (ended and changed) or self._api.out_of_breath:
            yield self._page(fresh, asked.batch.repeated, stale=stale, snapshot=snapshot, **progress)
        if trouble is not None:
            raise trouble

    def _anew(self) -> None:
        self._memory.conditions = {}
        self._begin()

    def _fresh(self, rows: Sequence[Row]) -> tuple[list[Row], int]:
        """The records that were not given as they are, and how many are older than what was given of them: a list of
        changes may hold several of one record, in any order."""
        fresh, stale = [], 0
        for row in rows:
            known = self._memory.given.get(row.number)
            if known is None or (known.mark != row.mark and not older(row.point, known.point)):
                fresh.append(row)
            elif known.mark != row.mark:
                stale += 1
        return fresh, stale

    def _trouble(self, *, shifted: bool, ended: bool) -> ReadIncomplete | None:
        """Why the look can't be brought to its end."""
        look = self._at["look"]
        if ended and look["done"] < expected(look["totals"]):
            return self._api.too_few(look["done"], expected(look["totals"]))
        if shifted:
            try:
                self._restarts.count()
            except ReadIncomplete as error:
                return error
        return None

    def _page(self, rows: Sequence[Row], repeated: int, **fields: Any) -> Page:
        live = not fields.get("snapshot")
        changes = [self._change(row, committed=live) for row in rows]
        for row in rows:
            self._memory.given.put(row.number, Given(row.mark, row.point))
        self._at["serial"] += 1
        self._memory.serial, self._within = self._at["serial"], "look" in self._at
        notes = [str(self._api.repeated(repeated))] if repeated and not self._noted else []
        self._noted = self._noted or bool(notes)
        return self._api.page(changes, self._copy(), notes=notes, **fields)

    def _copy(self) -> dict[str, Any]:
        """The position as it is now, apart from what goes on changing."""
        return self._at | ({"look": dict(self._at["look"])} if "look" in self._at else {})

    def _change(self, row: Row, *, committed: bool) -> Any:
        value = row.record.get(self._api.declared.cursor or "")
        when = row.point.isoformat().replace("+00:00", "Z") if committed and isinstance(row.point, datetime) else None
        return change(row, self._api.declared, f"{value}~{row.mark:016x}", when)

    def _progress(self) -> dict[str, Any]:
        """How far a first copy has come."""
        if self._at["phase"] != "snapshot" or "look" not in self._at:
            return {}
        look = self._at["look"]
        return {"done": look["done"], "total": look["totals"][1] if look["totals"] else None}

    def _storable(self, place: dict[str, Any] | None) -> dict[str, Any] | None:
        return None if self._api.client.holds_secret(json.dumps(place, ensure_ascii=False)) else place

    # the cursor ------------------------------------------------------------------------------------------------------

    def _climb(self, rows: Sequence[Row]) -> None:
        """Move ``top`` up to the highest of these cursor values. Raises SettingInvalid where none can be read."""
        values = [row.record.get(self._api.declared.cursor or "") for row in rows]
        points = [(row.point, str(value)) for row, value in zip(rows, values, strict=True) if row.point is not None]
        if rows and not points:
            raise SettingInvalid(
                f"{self._api.name}: no value of {self._api.declared.cursor} can be read in the form {self._form}",
                fix="correct form of endpoint.since, such as %Y/%m/%d %H:%M:%S, or name another cursor",
            )
        assert self._clock is not None
        known = point(self._at["top"], self._form)
        for at, text in points:
            if not _ahead(at, self._clock) and (known is None or older(known, at)):
                known, self._at["top"] = at, text

    def _end(self, asked: Asked) -> None:
        """The look has come to its end."""
        look, top = self._at.pop("look"), self._at["top"]
        self._at["phase"] = "live"
        self._memory.conditions = asked.answer.conditions if self._walk.requests == 1 else {}
        if top is None:
            return
        took_s = math.ceil(max(0.0, self._api.clocks.now() - look["began"]))
        by_s = took_s + max(self._api.connector.overlap_s, _LEAST_S)
        assert self._clock is not None
        next_ = reaching_back(top, self._form, by_s=by_s, clock=self._clock)
        known = point(self._at["since"], self._form)
        if next_ is not None and (known is None or older(known, next_)):
            self._at["since"] = written(next_, self._form, top)
            self._memory.conditions = {}  # they speak of another question


def _ahead(at: Point, clock: datetime) -> bool:
    return isinstance(at, datetime) and at > clock + _AHEAD
