"""The truth about the sample city, kept beside the departments and never read by the pipeline.

One row a record: what the department was given, what should come of it. What a resident should look like follows from
her records by the declared authority; that rule is written here once more, so that a test compares two of them.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from examples.city.records import ELDER, INSURED, PENSION, Record

_HRSS_FIRST, _AGEING_FIRST = (INSURED, ELDER, PENSION), (ELDER, INSURED, PENSION)
_ORDER = {"phone": _AGEING_FIRST, "community_code": _AGEING_FIRST}


class Truth:
    """The truth of one city, in ``truth.sqlite``."""

    def __init__(self, path: Path) -> None:
        self._db = sqlite3.connect(path, timeout=30, check_same_thread=False)
        self._db.executescript(
            "create table if not exists record(dataset text, key text, person integer, row text, fields text, fault text,"
            " reason text, gone integer default 0, primary key(dataset, key)) without rowid;"
            "create index if not exists record_person on record(person);"
            "create table if not exists state(name text primary key, value text);"
        )

    def add(self, records: Iterable[Record]) -> None:
        """Write records down, or their new state."""
        with self._db:
            self._db.executemany(
                "insert or replace into record values(?,?,?,?,?,?,?,0)",
                [(r.dataset, r.key, r.person, _json(r.row), _json(r.fields), r.fault, r.reason) for r in records],
            )

    def change(self, records: Iterable[Record], gone: Iterable[tuple[str, str]], number: int) -> None:
        """One change as a whole: records with a new state, records that are gone, and that it was change ``number``."""
        with self._db:
            for record in records:
                self._db.execute(
                    "insert or replace into record values(?,?,?,?,?,?,?,0)",
                    (*record[:3], _json(record.row), _json(record.fields), record.fault, record.reason),
                )
            self._db.executemany("update record set gone = 1 where dataset = ? and key = ?", list(gone))
            self._db.execute("insert or replace into state values('changes', ?)", (str(number),))

    def get(self, name: str, default: str) -> str:
        """A remembered value."""
        row = self._db.execute("select value from state where name = ?", (name,)).fetchone()
        return str(row[0]) if row else default

    def put(self, name: str, value: str) -> None:
        """Remember a value."""
        with self._db:
            self._db.execute("insert or replace into state values(?, ?)", (name, value))

    def records(self, dataset: str | None = None) -> Iterator[Record]:
        """All records that exist, in the order of residents."""
        where, given = ("and dataset = ?", (dataset,)) if dataset else ("", ())
        cursor = self._db.execute(
            f"select dataset, key, person, row, fields, fault, reason from record where gone = 0 {where} order by person, dataset",  # noqa: S608
            given,
        )
        for row in cursor:
            yield Record(row[0], row[1], row[2], json.loads(row[3]), json.loads(row[4]), row[5], row[6])

    def of_person(self, person: int) -> dict[str, Record]:
        """The records of one resident, by dataset."""
        cursor = self._db.execute(
            "select dataset, key, person, row, fields, fault, reason from record where gone = 0 and person = ?",
            (person,),
        )
        return {
            row[0]: Record(row[0], row[1], row[2], json.loads(row[3]), json.loads(row[4]), row[5], row[6])
            for row in cursor
        }

    def residents(self) -> dict[str, dict[str, Any]]:
        """ID number -> the fields that the view should show, for all that have a record with a valid number."""
        by_number: dict[str, dict[str, dict[str, Any]]] = {}
        for record in self.records():
            if record.reason is None and record.fields.get("id_number"):
                by_number.setdefault(record.fields["id_number"], {})[record.dataset] = record.fields
        return {number: _winners(said) for number, said in by_number.items()}

    def close(self) -> None:
        """Let go of the file."""
        self._db.close()


def _winners(said: dict[str, dict[str, Any]]) -> dict[str, Any]:
    names = {name for fields in said.values() for name in fields if not name.startswith("benefit_")}
    winners = {}
    for name in names:
        for dataset in _ORDER.get(name, _HRSS_FIRST):
            if said.get(dataset, {}).get(name) is not None:
                winners[name] = said[dataset][name]
                break
    return winners


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))
