"""Which source wins a field when several speak of one resident: pure functions.

Authority comes first, as the city declares it; then what the department dealt with last; then system, dataset and
record key, smallest first, so that the same assertions give the same resident whatever order they came in.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from functools import lru_cache
from json.encoder import encode_basestring as _text
from typing import Any, Literal, NamedTuple

import msgspec

from contracts.errors import SettingInvalid
from contracts.events import Value
from contracts.fields import FIELDS, RESIDENT_FIELDS

Rule = Literal["only source", "authority", "recency", "tie"]

DEFAULT = "default"
_canonical = msgspec.json.Encoder(order="deterministic")
_PLANS = 4_096  # patterns of who says what; a city has some dozens
_NOTHING: Mapping[str, Value] = dict.fromkeys(RESIDENT_FIELDS)
_KINDS: tuple[type[Any], ...] = tuple(bool if FIELDS[name].kind == "flag" else str for name in RESIDENT_FIELDS)


class Member(NamedTuple):
    """A live assertion, as far as it matters for the resident. Its first three parts are its key."""

    system: str
    dataset: str
    record_key: str
    as_of: str | None
    provisional: bool
    held: bool
    fields: Mapping[str, Value]


_Speaker = tuple[str, str, tuple[str, ...], int]
"""What of a member decides who wins: system, dataset, the fields it speaks of, and its place by recency."""


class Authority:
    """Which dataset is believed first, field by field.

    ``order`` maps a field, or "default" for the fields without an order of their own, to datasets as
    ``system.dataset``. A dataset listed earlier wins if it has a value; one that is not listed comes after all that are.

    Raises SettingInvalid when a key is no field of the resident, or a dataset stands twice in an order.
    """

    def __init__(self, order: Mapping[str, Sequence[str]]) -> None:
        for field, datasets in order.items():
            if field != DEFAULT and field not in RESIDENT_FIELDS:
                raise SettingInvalid(
                    f"authority is declared for {field!r}, which is not a field of the resident",
                    fix=f"use one of {', '.join(RESIDENT_FIELDS)}, or {DEFAULT}",
                )
            if len(set(datasets)) != len(datasets):
                raise SettingInvalid(f"authority over {field!r} lists a dataset twice", fix="list each dataset once")
        self.order = {field: tuple(datasets) for field, datasets in order.items()}
        self.plan = lru_cache(maxsize=_PLANS)(self._plan)

    @property
    def fingerprint(self) -> str:
        """Changes whenever another source could win a field."""
        return hashlib.sha256(_canonical.encode(self.order)).hexdigest()

    def _ranks(self, system: str, dataset: str) -> tuple[int, ...]:
        """The rank of a dataset for each of RESIDENT_FIELDS; the smaller is believed first."""
        name = f"{system}.{dataset}"
        orders = (self.order.get(field, self.order.get(DEFAULT, ())) for field in RESIDENT_FIELDS)
        return tuple(order.index(name) if name in order else len(order) for order in orders)

    def _plan(self, pattern: tuple[_Speaker, ...]) -> _Plan:
        """Who wins what among members of this pattern. It stands in ``plan`` for all residents alike: values don't matter."""
        ranks = [self._ranks(system, dataset) for system, dataset, _, _ in pattern]
        cells: list[tuple[int, str]] = []
        wins: list[dict[str, list[str]]] = [{} for _ in pattern]
        for index, name in enumerate(RESIDENT_FIELDS):
            found = sorted((ranks[at][index], at) for at, (_, _, said, _) in enumerate(pattern) if name in said)
            winner = found[0][1] if found else len(pattern)
            cells.append((winner, name))
            if found:
                rule = _rule(found, pattern)
                wins[winner].setdefault(rule, []).append(name)
        tails = tuple((at, "," + _canonical.encode({"wins": won}).decode()[1:]) for at, won in enumerate(wins) if won)
        return _Plan(tuple(cells), tails, set())


class _Plan(NamedTuple):
    """``cells``: for each of RESIDENT_FIELDS the number of the winning member (one past the last: nobody speaks) and the
    field's name. ``tails``: for each member that wins something, the end of its provenance. ``sound``: types of values that
    were found to be as declared, with none missing where somebody speaks."""

    cells: tuple[tuple[int, str], ...]
    tails: tuple[tuple[int, str], ...]
    sound: set[tuple[type[Any], ...]]


def _rule(found: list[tuple[int, int]], pattern: tuple[_Speaker, ...]) -> Rule:
    """Why the first of (rank, member) won."""
    if len(found) == 1:
        return "only source"
    (rank, winner), (other, second) = found[:2]
    if rank < other:
        return "authority"
    return "tie" if pattern[winner][3] == pattern[second][3] else "recency"


def _recency(member: Member) -> str:
    return member.as_of or ""


def _pattern(members: Sequence[Member]) -> tuple[_Speaker, ...]:
    """What of these sorted members decides who wins. Of a single one it is not looked whether a field is null: that shows."""
    if len(members) == 1:
        system, dataset, _, _, _, _, fields = members[0]
        return ((system, dataset, tuple(fields), 0),)
    pattern = []
    place, before = 0, _recency(members[0])
    for member in members:
        if (at := _recency(member)) != before:
            place, before = place + 1, at
        said = tuple(member.fields)
        if None in member.fields.values():
            said = tuple(name for name in said if member.fields[name] is not None)
        pattern.append((member.system, member.dataset, said, place))
    return tuple(pattern)


def decide(members: list[Member], authority: Authority) -> tuple[list[Value], str]:
    """The winning values in the order of RESIDENT_FIELDS, in the types of their columns, and their provenance as canonical
    JSON. The mapping made them of these types; one of another may not stop the view. A field that is null says nothing.

    Provenance is a list of the records that win something: ``system``, ``dataset``, ``record_key``, ``as_of``, and
    ``wins``, by rule the names of the fields. ``members`` are the live assertions of one resident, one at least, in any
    order; they are sorted in place. Where authority does not decide, an earlier one wins.
    """
    if len(members) > 1:
        members.sort()
        members.sort(key=_recency, reverse=True)  # stable: equal ones stay in the order of their keys
    plan = authority.plan(_pattern(members))
    said = [member.fields for member in members]
    said.append(_NOTHING)
    values = [said[at][name] for at, name in plan.cells]
    types = tuple(map(type, values))
    if types not in plan.sound:
        if any(value is None and at < len(members) for value, (at, _) in zip(values, plan.cells, strict=True)):
            return decide([_spoken(members[0])], authority)
        values = [None if value is None else kind(value) for value, kind in zip(values, _KINDS, strict=True)]
        if types == tuple(map(type, values)):
            plan.sound.add(types)
    return values, "[" + ",".join([_head(members[at]) + tail for at, tail in plan.tails]) + "]"


def _spoken(member: Member) -> Member:
    """The member without what it says nothing about."""
    return member._replace(fields={name: value for name, value in member.fields.items() if value is not None})


def _head(member: Member) -> str:
    system, dataset, record_key, as_of, _, _, _ = member
    when = "null" if as_of is None else _text(as_of)
    return f'{{"as_of":{when},"dataset":{_text(dataset)},"record_key":{_text(record_key)},"system":{_text(system)}'
