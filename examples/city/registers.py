"""What the departments hold before anything changes, faults included: a function of the seed and the resident's number.

Nothing of it needs to be kept to be known again; the truth keeps what changed since.
"""

from __future__ import annotations

from examples.city.faults import maybe_broken
from examples.city.people import dice, made_of, mixed
from examples.city.records import (
    CARD,
    ELDER,
    INSURED,
    LOW_INCOME,
    PENSION,
    REGISTERED,
    Record,
    elder,
    joins,
    records_of,
)

EDITION = 3
"""Raised when a seed means another city than before: one that was built under an older edition is built anew."""

_DIE = {INSURED: 13, PENSION: 14, ELDER: 15, REGISTERED: 6, LOW_INCOME: 3, CARD: 9}


def at_first(seed: int, number: int) -> list[Record]:
    """The records of one resident."""
    thrown = dice(seed, number)
    return [_written(record, thrown) for record in records_of(made_of(seed, number, thrown), thrown)]


def _written(record: Record, thrown: tuple[int, ...]) -> Record:
    return record if record.deleted else maybe_broken(record, mixed(thrown[_DIE[record.dataset]]))


def without_fault(seed: int, record: Record) -> Record:
    """The same record as it would have been at first, had nothing gone wrong."""
    thrown = dice(seed, record.person)
    who = made_of(seed, record.person, thrown)
    if record.dataset == ELDER:
        return elder(who, thrown, joins(thrown))
    return next(clean for clean in records_of(who, thrown) if clean.dataset == record.dataset)


def joining(seed: int, number: int, dump: int) -> Record | None:
    """The record of an elder who comes into the register with this dump; None for all others."""
    thrown = dice(seed, number)
    if joins(thrown) != dump:
        return None
    who = made_of(seed, number, thrown)
    return _written(elder(who, thrown, dump), thrown) if who.age >= 60 else None
