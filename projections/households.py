"""Households: who lives together where, as each register of households says it.

A live assertion that names a household is a row of ``household_member``; a household is what the rows with its number say:

- its head is whom they call so (GB/T 4761: 02, or 01 where a register writes 本人 for the head), its place is that of the
  head's record. Without a head it is that of the first record by key, and so is the head where there are two;
- it has as many members as residents are named, the dead too, until their register leaves them out;
- where nobody is left, there is no row.

So a household is a function of its members, and they of the live assertions. Workers that hold two of its members wait for
each other at its row before they read the members; where there is none yet, each puts an empty one there first. (Members of one
household lie next to each other in their register and in different partitions: two workers that load it meet in every batch.)
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

import sqlalchemy as sa

from contracts.events import Value
from projections import bulk
from projections.communities import Deltas
from projections.tables import household, household_member

Key = tuple[str, str, str]
"""Of a record: system, dataset, record key. Of a household: system, dataset, its number there."""

_SAID = ("household_relation", "community_code", "household_building", "household_unit", "household_room")
_HEAD = ("02", "01")
_OLD = ("household_number", "community_code", "members")
_EMPTY = (*[None] * (len(household.c) - 4), 0)  # behind the key: no place, no head, no members
_MEMBER = tuple(household_member.c.keys())
_RESIDENT, _NUMBER, _RELATION = (_MEMBER.index(name) for name in ("resident_id", "household_number", "relation"))
_PLACE = _RELATION + 1


class Move(NamedTuple):
    """The row of a record in ``household_member`` before and after a batch, None where it names no household."""

    before: bulk.Row | None
    after: bulk.Row | None


class Households:
    """What a batch makes of households, found with their rows locked; ``write`` does it."""

    def __init__(self, view: sa.Connection, moves: Mapping[Key, Move]) -> None:
        self._moves = moves
        self._codes: dict[Key, str | None] = {}
        """The community of each household that was there before the batch."""
        self._members: dict[Key, dict[Key, bulk.Row]] = {}
        self._find(view)
        for key, (before, after) in moves.items():
            if before is not None:
                del self._members[_of(before)][key]
            if after is not None:
                self._members[_of(after)][key] = after

    def _find(self, view: sa.Connection) -> None:
        wanted: dict[tuple[str, str], set[str]] = {}
        for move in self._moves.values():
            for row in filter(None, move):
                wanted.setdefault(row[:2], set()).add(row[_NUMBER])
                self._members[_of(row)] = {}
        bulk.ensure(view, household, [(*key, *_EMPTY) for key in sorted(self._members)])
        finds: list[bulk.Find] = []
        for (system, dataset), numbers in sorted(wanted.items()):
            among, equal = sorted(numbers), {"system": system, "dataset": dataset}
            finds.append(bulk.Find(household, _OLD, "household_number", among, equal, lock=True))
            finds.append(bulk.Find(household_member, _MEMBER, "household_number", among, equal))
        found = iter(bulk.find_all(view, finds))
        for (system, dataset), stored, members in zip(sorted(wanted), found, found, strict=True):
            if len(stored) < len(wanted[system, dataset]):  # one was emptied in between: nobody's row would be locked
                raise bulk.Collision(household.name)
            self._codes |= {(system, dataset, number): code for number, code, count in stored if count}
            for row in members:
                self._members[_of(row)][row[:3]] = row

    def write(self, view: sa.Connection, deltas: Deltas) -> None:
        """Write members, then households, and count these."""
        full: list[bulk.Row] = []
        empty: list[bulk.Row] = []
        for key, members in self._members.items():
            if key in self._codes:
                deltas.count_household(self._codes[key], -1)
            if members:
                row = _household(key, members.values())
                deltas.count_household(row[3], 1)
                full.append(row)
            else:
                empty.append(key)
        bulk.upsert(view, household_member, [after for _, after in self._moves.values() if after is not None])
        bulk.delete(view, household_member, [key for key, (_, after) in self._moves.items() if after is None])
        bulk.upsert(view, household, full)
        bulk.delete(view, household, empty)


def membership(key: Key, resident_id: str, fields: Mapping[str, Value]) -> bulk.Row | None:
    """What a record that speaks of this resident says about its household, as a row; None where it names none."""
    number = fields.get("household_number")
    if number is None:
        return None
    said = [fields.get(name) for name in _SAID]
    return (*key, resident_id, str(number), *(None if value is None else str(value) for value in said))


def _of(row: bulk.Row) -> Key:
    return (row[0], row[1], row[_NUMBER])


def _household(key: Key, members: Iterable[bulk.Row]) -> bulk.Row:
    rows = sorted(members)  # their keys differ: nothing behind them is compared
    head: Any = next((row for row in rows if row[_RELATION] in _HEAD), None)
    place = rows[0] if head is None else head
    return (*key, *place[_PLACE:], head and head[_RESIDENT], len({row[_RESIDENT] for row in rows}))
