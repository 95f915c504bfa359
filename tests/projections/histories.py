"""Strategies: histories of a few records and residents, as streams would write them, and ways to read them."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st
from viewcases import Log, asserted, held, retracted

from contracts.events import ResidentEvent

RECORDS = ("hrss.person/a", "hrss.person/b", "civil.elder/a", "grid.home/c")
RESIDENTS = ("x", "y", "z")
PARTITION = {"x": 0, "y": 1, "z": 1}
_DAYS = (None, "2026-01-02", "2026-01-02T08:00:00", "2026-03-01")


def fields() -> st.SearchStrategy[dict[str, Any]]:
    """What a record says: few values, so that sources agree, differ and are silent."""
    person = st.fixed_dictionaries(
        {},
        optional={
            "name": st.sampled_from(["甲", "乙"]),
            "sex": st.sampled_from(["female", "male"]),
            "community_code": st.sampled_from(["370102001001", "370102001002", None]),
            "alive": st.booleans(),
            "living_alone": st.booleans(),
            "care_level": st.sampled_from(["independent", "partial", "full"]),
            "disability_category": st.sampled_from(["visual", "physical", None]),
        },
    )
    grant = st.fixed_dictionaries(
        {
            "benefit_kind": st.sampled_from(["pension", "old_age_allowance", "low_income"]),
            "benefit_state": st.sampled_from(["paying", "stopped"]),
            "benefit_amount_fen": st.integers(0, 3) | st.none(),
        }
    )
    lives = st.fixed_dictionaries(
        {"household_number": st.sampled_from(["1", "2"])},
        optional={
            "household_relation": st.sampled_from(["01", "02", "20", None]),
            "household_room": st.sampled_from(["101", "102"]),
        },
    )
    return st.builds(
        lambda one, other, home: {**one, **other, **home}, person, st.just({}) | grant, st.just({}) | lives
    )


@st.composite
def loose_events(draw: st.DrawFn) -> list[ResidentEvent]:
    """Any events whose revisions are unique for their record: no order holds, not even that of streams."""
    events: list[ResidentEvent] = []
    for record in RECORDS[:2]:
        for revision in range(1, draw(st.integers(1, 6))):
            resident = draw(st.sampled_from(RESIDENTS))
            kind = draw(st.sampled_from("aarhhm"))
            if kind == "a":
                said = draw(fields())
                events.append(asserted(record, revision, resident, as_of=draw(st.sampled_from(_DAYS)), **said))
            elif kind == "h":
                events.append(held(record, revision, resident, draw(st.sampled_from(["one", "two"]))))
            else:
                events.append(retracted(record, revision, resident, "x" if kind == "m" else None))
    return events


class City:
    """Streams in a few lines: decides on records, and writes what it decided."""

    def __init__(self) -> None:
        self.log = Log()
        self.owner: dict[str, str] = {}
        self.revision: dict[str, int] = {}
        self.said: dict[str, dict[str, Any]] = {}
        self.held: set[str] = set()

    def _write(self, resident: str, event: ResidentEvent) -> None:
        # A record comes from one input partition, whatever resident it speaks of.
        self.log.append(PARTITION[resident], f"department.{event.system}.{event.dataset}/0", event)

    def _next(self, record: str) -> int:
        self.revision[record] = self.revision.get(record, 0) + 1
        return self.revision[record]

    def say(self, record: str, resident: str, said: dict[str, Any], as_of: str | None) -> None:
        revision, before = self._next(record), self.owner.get(record)
        self._write(resident, asserted(record, revision, resident, as_of=as_of, **said))
        if before is not None and before != resident:
            self._write(before, retracted(record, revision, before, resident))
        self.owner[record], self.said[record] = resident, said
        self.held.discard(record)

    def withdraw(self, record: str) -> None:
        if (owner := self.owner.pop(record, None)) is not None:
            self._write(owner, retracted(record, self._next(record), owner))
            self.held.discard(record)

    def refuse(self, record: str) -> None:
        if (owner := self.owner.get(record)) is not None:
            self._write(owner, held(record, self._next(record), owner))
            self.held.add(record)


@st.composite
def cities(draw: st.DrawFn) -> City:
    """A city after a few decisions about few records."""
    city = City()
    for _ in range(draw(st.integers(1, 14))):
        record = draw(st.sampled_from(RECORDS))
        kind = draw(st.sampled_from("aaaarhh"))
        if kind == "a":
            city.say(record, draw(st.sampled_from(RESIDENTS)), draw(fields()), draw(st.sampled_from(_DAYS)))
        elif kind == "r":
            city.withdraw(record)
        else:
            city.refuse(record)
    return city


def cuts(log: Log) -> st.SearchStrategy[list[tuple[int, int]]]:
    """An interleaving: which partition is read next, and how much of it; the rest follows at the end."""
    return st.lists(st.tuples(st.sampled_from(sorted(log.partitions)), st.integers(1, 4)), max_size=12)
