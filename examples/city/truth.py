"""The truth about the sample city, kept beside the departments and never read by the pipeline.

What the departments held at first follows from the seed (``registers``); ``truth.sqlite`` holds the seed, and each
record and resident that changed since. What the view should show of a resident follows from her records by the declared
authority; that rule is written here once more, so that a test compares two of them.

Memory stays small: all that goes through a city yields one resident after another.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

from examples.city.people import Person, number_of, person
from examples.city.records import CARD, ELDER, GRID, INSURED, REGISTERED, Record
from examples.city.registers import EDITION, at_first

FILE = "truth.sqlite"
_HRSS_FIRST, _AGEING_FIRST = (INSURED, REGISTERED, ELDER, CARD, GRID), (ELDER, INSURED, REGISTERED, CARD, GRID)
AUTHORITY: Mapping[str, tuple[str, ...]] = {
    "name": _HRSS_FIRST,
    "sex": _HRSS_FIRST,
    "birth_on": _HRSS_FIRST,
    "ethnic_group": _HRSS_FIRST,
    "alive": (REGISTERED, INSURED),
    "marital_status": (REGISTERED,),
    "phone": _AGEING_FIRST,
    "community_code": (GRID, ELDER, INSURED, REGISTERED, CARD),
    "address": (ELDER, CARD),
    "disability_category": (CARD,),
    "disability_level": (CARD,),
    "living_alone": (ELDER,),
    "care_level": (ELDER,),
}
"""The datasets that are asked for a field, in order: the first that has a value wins."""

_TABLES = """
create table if not exists state(name text primary key, value text) without rowid;
create table if not exists record(dataset text, key text, person integer, body text, gone integer,
                                  primary key(dataset, key)) without rowid;
create index if not exists record_person on record(person);
create table if not exists resident(number integer primary key, changed text);
create table if not exists uncommitted(number integer, dataset text, key text);
"""


@dataclass(frozen=True)
class Expected:
    """What the view should show of one resident.

    ``id_number`` is None for a provisional one, who is known by one record without a number. ``winners``: field ->
    (dataset, record key). ``benefits``: the ``benefit_`` fields of each record that has them, by (dataset, record key).
    ``records``: all that speak of her. ``held``: records in quarantine that speak of the same person, of which nothing is seen.
    """

    number: int
    id_number: str | None
    fields: dict[str, Any]
    winners: dict[str, tuple[str, str]]
    benefits: dict[tuple[str, str], dict[str, Any]]
    records: list[Record]
    held: list[Record] = field(default_factory=list)


class Truth:
    """The truth of one city."""

    def __init__(self, path: Path) -> None:
        self._db = sqlite3.connect(path, timeout=30, isolation_level=None, check_same_thread=False)
        self._db.execute("pragma journal_mode = wal")
        self._db.execute("pragma synchronous = normal")
        self._db.executescript(_TABLES)

    @classmethod
    def open(cls, directory: Path) -> Self:
        """The truth of the city in this directory. Raises FileNotFoundError where none was built."""
        if not (directory / FILE).exists():
            raise FileNotFoundError(f"no city in {directory}: python -m examples.city build {directory}")
        return cls(directory / FILE)

    def close(self) -> None:
        """Let go of the file."""
        self._db.close()

    # What was built

    @property
    def seed(self) -> int:
        """The seed of the city."""
        return int(self.get("seed", "0"))

    @property
    def size(self) -> int:
        """How many residents it was built with; those who came later have greater numbers."""
        return int(self.get("residents", "0"))

    def is_of(self, residents: int, seed: int) -> bool:
        """Whether a city of this size and seed was built to its end."""
        return self.get("built", "") == f"{EDITION}/{residents}/{seed}"

    def begin(self, residents: int, seed: int) -> None:
        """Forget all: another city is being built."""
        with self._db:
            self._db.execute("begin immediate")
            for table in ("state", "record", "resident", "uncommitted"):
                self._db.execute(f"delete from {table}")  # noqa: S608 - names of our own
            self._put(residents=str(residents), seed=str(seed))

    def finish(self) -> None:
        """The city is built."""
        with self._db:
            self._put(built=f"{EDITION}/{self.size}/{self.seed}")

    # What is so

    def residents(self) -> Iterator[Person]:
        """All residents, as they are now, in the order of their numbers."""
        changed = dict(self._db.execute("select number, changed from resident order by number"))
        seed, size = self.seed, self.size
        for number in [*range(size), *(late for late in changed if late >= size)]:
            yield _now(person(seed, number), changed.get(number))

    def resident(self, number: int) -> Person:
        """One resident, as she is now."""
        row = self._db.execute("select changed from resident where number = ?", (number,)).fetchone()
        return _now(person(self.seed, number), row[0] if row else None)

    def records(self, dataset: str | None = None) -> Iterator[Record]:
        """All records that the departments hold now, in the order of residents."""
        for _, found in self.by_resident():
            for record in found.values():
                if dataset in (None, record.dataset):
                    yield record

    def records_of(self, number: int) -> dict[str, Record]:
        """The records of one resident, by dataset. What a department has marked as deleted is none."""
        rows = self._db.execute(
            "select dataset, gone, body from record where person = ? order by dataset", (number,)
        ).fetchall()
        return _undeleted(_merged(self.seed, number, self.size, rows))

    def rows(self, dataset: str) -> Iterator[Record]:
        """All rows of the department's table, those that it has marked as deleted too."""
        for _, found in self._everyone():
            if dataset in found:
                yield found[dataset]

    def by_resident(self) -> Iterator[tuple[int, dict[str, Record]]]:
        """(number, her records by dataset) of all residents, those without any included."""
        for number, found in self._everyone():
            yield number, _undeleted(found)

    def _everyone(self) -> Iterator[tuple[int, dict[str, Record]]]:
        seed, size = self.seed, self.size
        changed: dict[int, list[tuple[str, int, str]]] = {}
        for number, *row in self._db.execute("select person, dataset, gone, body from record order by person, dataset"):
            changed.setdefault(number, []).append((row[0], row[1], row[2]))
        for number in range(size):
            yield number, _merged(seed, number, size, changed.pop(number, ()))
        for number, rows in changed.items():
            yield number, _merged(seed, number, size, rows)

    # What should come of it

    def expected_residents(self) -> Iterator[Expected]:
        """All residents whom the view should know, provisional ones too."""
        for number, found in self.by_resident():
            yield from _expected(number, found.values())

    def expected_households(self) -> dict[str, list[Record]]:
        """By household number, the records of the grid that should be the members of each."""
        found: dict[str, list[Record]] = {}
        for record in self.records(GRID):
            if "household_number" in record.fields:
                found.setdefault(record.fields["household_number"], []).append(record)
        return found

    def expected_resident(self, who: int | str) -> list[Expected]:
        """What the view should know of one person, by her number in the city or by an ID number.

        By ID number it is one, or none. By number there may be several: her records may bear different ID numbers after
        a correction that one department has not heard of, or none.
        """
        if isinstance(who, int):
            return _expected(who, self.records_of(who).values())
        return [found for found in self.expected_resident(number_of(self.seed, who)) if found.id_number == who]

    # What changes

    def get(self, name: str, default: str) -> str:
        """A remembered value."""
        row = self._db.execute("select value from state where name = ?", (name,)).fetchone()
        return str(row[0]) if row else default

    def change(
        self,
        records: Iterable[Record],
        *,
        gone: Iterable[Record] = (),
        residents: Mapping[int, Mapping[str, Any]] | None = None,
        uncommitted: int | None = None,
        state: Mapping[str, str] | None = None,
    ) -> None:
        """One change as a whole: records with a new state, those that are gone, what changed about residents, and values
        to be remembered. ``uncommitted``: the department's transaction with this number has still to commit them."""
        with self._db:
            self._db.execute("begin immediate")
            for record in records:
                self._keep(record, gone=False)
                if uncommitted is not None:
                    self._db.execute("insert into uncommitted values(?, ?, ?)", (uncommitted, *record[:2]))
            for record in gone:
                self._keep(record, gone=True)
            for number, changed in (residents or {}).items():
                row = self._db.execute("select changed from resident where number = ?", (number,)).fetchone()
                both = {**(json.loads(row[0]) if row else {}), **changed}
                self._db.execute("insert or replace into resident values(?, ?)", (number, _json(both)))
            self._put(**(state or {}))

    def uncommitted(self) -> dict[int, list[Record]]:
        """The records of transactions that had not committed, or may not have, by the number of the transaction."""
        found: dict[int, list[Record]] = {}
        for number, body in self._db.execute(
            "select u.number, body from uncommitted u join record using(dataset, key)"
        ):
            found.setdefault(number, []).append(Record(*json.loads(body)))
        return found

    def committed(self, number: int) -> None:
        """That transaction has committed."""
        self._db.execute("delete from uncommitted where number = ?", (number,))

    def _keep(self, record: Record, *, gone: bool) -> None:
        self._db.execute(
            "insert or replace into record values(?, ?, ?, ?, ?)",
            (record.dataset, record.key, record.person, _json(record), int(gone)),
        )

    def _put(self, **state: str) -> None:
        self._db.executemany("insert or replace into state values(?, ?)", list(state.items()))


def _merged(seed: int, number: int, size: int, rows: Iterable[tuple[str, int, str]]) -> dict[str, Record]:
    """What the departments held of a resident at first, and what has changed since."""
    found = {record.dataset: record for record in at_first(seed, number)} if number < size else {}
    for dataset, gone, body in rows:
        if gone:
            found.pop(dataset, None)
        else:
            found[dataset] = Record(*json.loads(body))
    return found


def _undeleted(found: dict[str, Record]) -> dict[str, Record]:
    return {dataset: record for dataset, record in found.items() if not record.deleted}


def _now(who: Person, changed: str | None) -> Person:
    return who._replace(**json.loads(changed)) if changed else who


def _expected(number: int, records: Iterable[Record]) -> list[Expected]:
    """Group by ID number; a record without one stands alone."""
    groups: dict[str | None, list[Record]] = {}
    alone: list[Record] = []
    held: list[Record] = []
    for record in records:
        if record.reason:
            held.append(record)
        elif id_number := record.fields.get("id_number"):
            groups.setdefault(id_number, []).append(record)
        else:
            alone.append(record)
    known = [_of(number, id_number, group, held) for id_number, group in groups.items()]
    return known + [_of(number, None, [record], []) for record in alone]


def _of(number: int, id_number: str | None, records: list[Record], held: list[Record]) -> Expected:
    said = {record.dataset: record for record in records}
    fields: dict[str, Any] = {"id_number": id_number} if id_number else {}
    winners: dict[str, tuple[str, str]] = {}
    for name, order in AUTHORITY.items():
        for dataset in order:
            value = said[dataset].fields.get(name) if dataset in said else None
            if value is not None:
                fields[name], winners[name] = value, (dataset, said[dataset].key)
                break
    benefits = {
        (record.dataset, record.key): {n: v for n, v in record.fields.items() if n.startswith("benefit_")}
        for record in records
        if "benefit_kind" in record.fields
    }
    return Expected(number, id_number, fields, winners, benefits, records, held)


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))
