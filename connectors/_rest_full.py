"""Reads all records of an API each time, and finds out what has changed and what is gone (``capture: snapshot``).

What differs from the full read before is given as upserts, page by page; then, when the read has come to its end, the keys
that it did not see as deletes, unless guarantee 10 forbids it: fewer records came than the API says there are, some have
no readable key, or more than ``disappear_limit`` have disappeared. Then nothing is deleted, and a person is asked; what a
later full read has again is no question any more.

A record that moves to the front while the pages behind it are read would seem absent. So a read of several pages ends with
the first ones once more, until one has nothing that was not seen.

A read that an error broke off goes on where it stood; one that a restart broke off begins anew: its pages would not be of
one time. What it had given is given once more, as it may not have been published.

Read from the beginning, the dataset ends its first full read with the mark ``complete``.

Position: ``ledger`` (id of the file that holds what is known, ``_ledger``), ``read`` (the number of the last full read
that was completed), ``phase`` (reading, deletes, rest), ``serial`` (counts pages), ``anew`` (no read was completed since the
beginning), ``held`` and ``asks`` (absent records that a person must decide on); in ``deletes`` also ``now``, the number of the
read, and the ``key`` that it stands at.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from connectors._ledger import Ledger, approval, beginning, disappeared, raise_if_lost
from connectors._rest_answers import change
from connectors._rest_dataset import Api, Asked, Restarts, expected
from connectors._rest_paging import Shifted, Walk
from connectors.base import Delete, Page, Position, Question
from contracts.errors import (
    AbsenceDoubtful,
    OneWindowError,
    RequestRefused,
    TableMissing,
)


@dataclass(slots=True)
class Reading:
    """A full read that is under way. ``came``: keys that it saw; ``known``: of these, how many the one before had;
    ``unreadable``: records without a key; ``double``: those that share one on their page. ``front``: the first pages are read
    once more."""

    number: int
    walk: Walk
    came: int = 0
    known: int = 0
    unreadable: int = 0
    double: int = 0
    totals: list[int] | None = None
    front: bool = False
    noted: bool = False
    requests: int = 0

    @property
    def counted(self) -> int:
        """How many came, those that can't be told apart by their key included."""
        return self.came + self.unreadable + self.double


@dataclass(slots=True)
class FullMemory:
    """What is remembered between pulls: the serial of the last page, the read under way, what asks for changes only, up to
    which read all was given, and an error that it is too early to run into again."""

    serial: int | None = None
    reading: Reading | None = None
    conditions: Mapping[str, str] = field(default_factory=dict)
    sure: int = 0
    trouble: tuple[float, OneWindowError] | None = None


class FullRead:
    """One pull."""

    def __init__(self, api: Api, memory: FullMemory, ledger: Ledger, after: Position | None) -> None:
        self._api, self._memory, self._ledger, self._restarts = api, memory, ledger, Restarts(api)
        self._at: dict[str, Any] = dict(after) if after is not None else beginning(ledger)
        raise_if_lost(ledger, self._at, api.name)

    def pages(self) -> Iterator[Page]:
        """The pages of one full read, from where it was left off. Raises what asking does, ReadIncomplete, PagingEndless."""
        self._raise_again()
        if self._at["phase"] == "deletes":
            yield from self._deleted()
        elif self._at["phase"] == "rest" and not self._at["held"]:
            self._ledger.settle(self._at["read"])
        reading = self._memory.reading = self._memory.reading or self._begun()
        while not reading.walk.ended:
            yield from self._api.pause(lambda: self._page([], **self._progress(reading)))
            asked = self._asked(reading)
            if asked.answer.unchanged:
                self._memory.reading = None
                return
            yield from self._taken(reading, asked)
        yield from self._ended(reading)

    def _raise_again(self) -> None:
        """A full read that came to nothing is not repeated before its time."""
        if self._memory.trouble is not None:
            until, error = self._memory.trouble
            if self._api.clocks.monotonic() < until:
                raise error
            self._memory.trouble = None

    def _begun(self) -> Reading:
        return Reading(max(self._at["read"], self._ledger.latest) + 1, self._api.walk())

    def _asked(self, reading: Reading) -> Asked:
        try:
            return self._api.ask(reading.walk, conditions=self._memory.conditions if reading.requests == 0 else {})
        except (RequestRefused, TableMissing):  # a token that has expired, maybe
            self._drop(reading)
            raise

    def _drop(self, reading: Reading) -> None:
        """Begin a new read with the next pull. What this one saw was given."""
        self._memory.reading, self._memory.sure, self._memory.conditions = None, reading.number, {}

    # one page --------------------------------------------------------------------------------------------------------

    def _taken(self, reading: Reading, asked: Asked) -> Iterator[Page]:
        """The page's changes."""
        shifted = self._moved(reading, asked)
        self._memory.reading = None  # what is in the ledger and was not given: until it is, the read can't go on
        rows = [(row.key, row.mark) for row in asked.batch.rows if row.key is not None]
        sure = max(self._at["read"], self._memory.sure)
        entered = self._ledger.enter(rows, reading.number, sure=sure)
        reading.came, reading.known = reading.came + entered.new, reading.known + entered.known
        if asked.total is not None and not reading.front:
            reading.totals = [reading.totals[0] if reading.totals else asked.total, asked.total]
        if not reading.front:
            reading.unreadable += asked.batch.unreadable
            reading.double += len(asked.batch.marks) - len(asked.batch.rows)
        reading.requests += 1
        single = reading.requests == 1 and reading.walk.ended
        self._memory.conditions = asked.answer.conditions if single else {}
        given = [row for row in asked.batch.rows if row.key is None or row.key in entered.differing]
        changes = [change(row, self._api.declared, f"{reading.number}~{row.mark:016x}") for row in given]
        notes = [str(self._api.repeated(asked.batch.repeated))] if asked.batch.repeated and not reading.noted else []
        reading.noted = reading.noted or bool(notes)
        several = reading.requests > 1
        if shifted:
            reading.walk, reading.front, reading.totals = self._api.walk(), False, None
            reading.unreadable = reading.double = 0
        elif reading.front and not entered.new:
            reading.walk.ended = True
        elif reading.walk.ended and several and not reading.front:
            reading.walk, reading.front = self._api.walk(), True
        reading.walk.note(new=entered.new > 0)
        self._at["phase"], self._memory.reading = "reading", reading
        duplicates = len(asked.batch.rows) - len(given)
        yield self._page(
            changes, notes=notes, duplicates=duplicates, snapshot=self._at["anew"], **self._progress(reading)
        )
        if shifted:
            self._restarts.count()

    def _moved(self, reading: Reading, asked: Asked) -> bool:
        """Let the walk go on; gives whether its page does not fit the one before."""
        try:
            self._api.take(reading.walk, asked)
        except Shifted:
            return True
        except OneWindowError:
            self._drop(reading)
            raise
        return False

    def _progress(self, reading: Reading) -> dict[str, Any]:
        return {"done": reading.came, "total": reading.totals[1] if reading.totals else None}

    def _page(self, changes: Any, **fields: Any) -> Page:
        self._at["serial"] += 1
        self._memory.serial = self._at["serial"]
        asks = [Question(**each) for each in self._at["asks"]]
        return self._api.page(changes, self._at, asks=asks, **fields)

    # the end ---------------------------------------------------------------------------------------------------------

    def _ended(self, reading: Reading) -> Iterator[Page]:
        """Tell what is gone, or ask. Raises ReadIncomplete when fewer came than the API says there are."""
        if reading.counted < expected(reading.totals):
            self._drop(reading)
            error = self._api.too_few(reading.counted, expected(reading.totals))
            self._memory.trouble = (self._api.clocks.monotonic() + self._api.connector.every_s, error)
            raise error
        self._memory.reading = None
        doubts = self._doubts(reading)
        notes = [str(doubt) for doubt in doubts] if not self._at["asks"] else []
        self._at["asks"] = [{"code": each.code, "finding": each.finding, "fix": each.fix} for each in doubts]
        self._at |= {"held": bool(doubts), "phase": "deletes", "now": reading.number, "key": ""}
        if notes:
            yield self._page([], notes=notes)
        mark = not doubts and not reading.unreadable and self._at["anew"]
        yield from self._deleted(mark=mark, **self._progress(reading))

    def _deleted(self, *, mark: bool = False, **progress: Any) -> Iterator[Page]:
        """The rest of the deletions of a read that has ended, and the position that calls it complete."""
        read, count = self._at["now"], self._api.connector.page_rows
        while not self._at["held"] and (keys := self._ledger.gone(read, self._at["key"], count)):
            self._at["key"] = keys[-1]
            yield self._page([Delete(key, f"{read}:gone", None, self._api.endpoint.path) for key in keys])
        del self._at["now"], self._at["key"]
        self._at |= {"read": read, "phase": "rest"}
        self._at["anew"] = self._at["anew"] and not mark
        yield self._page([], mark="complete" if mark else None, **progress)

    def _doubts(self, reading: Reading) -> list[OneWindowError]:
        """Why nothing may be deleted until a person says so."""
        absent, limit = self._ledger.absent(reading.number), self._api.declared.disappear_limit
        too_many = disappeared(self._api.name, absent, reading.known, limit)
        doubts: list[OneWindowError] = [too_many] if too_many is not None else []
        if absent and reading.unreadable:
            doubts.append(
                AbsenceDoubtful(
                    f"{self._api.name}: {absent} records are absent from a full read, but {reading.unreadable} have no"
                    " readable key and may be these; nobody is deleted",
                    fix=f"let the department mend the records; if they are truly gone: {approval(self._api.name)}",
                )
            )
        return doubts
