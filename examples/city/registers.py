"""What the departments hold before anything changes, faults included: a function of the seed and the resident's number.

Nothing of it needs to be kept to be known again; the truth keeps what changed since.
"""

from __future__ import annotations

from examples.city.faults import maybe_broken
from examples.city.households import relation_of
from examples.city.people import Person, dice, made_of, mixed
from examples.city.records import (
    AS_OF,
    CARD,
    ELDER,
    GRID,
    INSURED,
    LOW_INCOME,
    PENSION,
    REGISTERED,
    Record,
    dumped_on,
    elder,
    grid_row,
    has_grid,
    joins,
    records_of,
)

EDITION = 4
"""Raised when a seed means another city than before: one that was built under an older edition is built anew."""

_DIE = {INSURED: 13, PENSION: 14, ELDER: 15, REGISTERED: 6, LOW_INCOME: 3, CARD: 9, GRID: 7}


def at_first(seed: int, number: int) -> list[Record]:
    """The records of one resident."""
    thrown = dice(seed, number)
    return [_written(record, thrown) for record in _clean(seed, made_of(seed, number, thrown), thrown)]


def _clean(seed: int, who: Person, thrown: tuple[int, ...]) -> list[Record]:
    """Without faults. The grid strikes out who has died."""
    found = records_of(who, thrown)
    if who.alive and has_grid(who.community_code):
        found.append(grid_row(who, thrown, relation_of(seed, who.number)))
    return found


def _written(record: Record, thrown: tuple[int, ...]) -> Record:
    return record if record.deleted else maybe_broken(record, mixed(thrown[_DIE[record.dataset]]))


def without_fault(seed: int, record: Record) -> Record:
    """The same record as it would have been at first, had nothing gone wrong."""
    thrown = dice(seed, record.person)
    who = made_of(seed, record.person, thrown)
    if record.dataset == ELDER:
        return elder(who, thrown, joins(thrown))
    return next(clean for clean in _clean(seed, who, thrown) if clean.dataset == record.dataset)


def joining(seed: int, number: int, dump: int) -> Record | None:
    """The record of an elder who comes into the register with this dump; None for all others."""
    thrown = dice(seed, number)
    if joins(thrown) != dump:
        return None
    who = made_of(seed, number, thrown)
    return _written(elder(who, thrown, dump), thrown) if who.age >= 60 else None


def settling(seed: int, number: int, dump: int) -> Record | None:
    """The record of somebody who has come to live in a community with a grid, and comes into its register with this dump."""
    found = next((record for record in at_first(seed, number) if record.dataset == GRID), None)
    return found and found._replace(row={**found.row, AS_OF[GRID][0]: dumped_on(dump, number % 28)})
