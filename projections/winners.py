"""Which source wins a field when several speak of one resident: pure functions.

Authority comes first, as the city declares it; then what the department dealt with last; then system, dataset and
record key, smallest first, so that the same assertions give the same resident whatever order they came in.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from typing import Literal, NamedTuple

import msgspec

from contracts.errors import SettingInvalid
from contracts.events import Value
from contracts.fields import RESIDENT_FIELDS

Rule = Literal["only source", "authority", "recency", "tie"]

DEFAULT = "default"
_canonical = msgspec.json.Encoder(order="deterministic")
_FIELDS = tuple(enumerate(RESIDENT_FIELDS))
_LABELS = tuple((index, f'"{name}":') for name, index in sorted((name, index) for index, name in _FIELDS))
"""Where each field's provenance stands in canonical JSON: sorted by name."""


class Member(NamedTuple):
    """A live assertion, as far as it matters for the resident. Its first three parts are its key."""

    system: str
    dataset: str
    record_key: str
    as_of: str | None
    provisional: bool
    held: bool
    fields: Mapping[str, Value]


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
        self._ranks: dict[tuple[str, str], tuple[int, ...]] = {}

    @property
    def fingerprint(self) -> str:
        """Changes whenever another source could win a field."""
        return hashlib.sha256(_canonical.encode(self.order)).hexdigest()

    def ranks(self, system: str, dataset: str) -> tuple[int, ...]:
        """The rank of a dataset for each of RESIDENT_FIELDS; the smaller is believed first."""
        key = (system, dataset)
        ranks = self._ranks.get(key)
        if ranks is None:
            name = f"{system}.{dataset}"
            orders = (self.order.get(field, self.order.get(DEFAULT, ())) for field in RESIDENT_FIELDS)
            ranks = tuple(order.index(name) if name in order else len(order) for order in orders)
            self._ranks[key] = ranks
        return ranks


def _origin(member: Member, rule: Rule) -> str:
    return _canonical.encode(
        {
            "as_of": member.as_of,
            "dataset": member.dataset,
            "record_key": member.record_key,
            "rule": rule,
            "system": member.system,
        }
    ).decode()


def _recency(member: Member) -> str:
    return member.as_of or ""


def decide(members: list[Member], authority: Authority) -> tuple[list[Value], str]:
    """The winning values in the order of RESIDENT_FIELDS, and the provenance of those that are not null, as canonical JSON.

    ``members`` are the live assertions of one resident, one at least, in any order; they are sorted in place.
    """
    if len(members) == 1:
        member = members[0]
        get = member.fields.get
        values = [get(name) for name in RESIDENT_FIELDS]
        origin = _origin(member, "only source")
        return values, "{" + ",".join([label + origin for index, label in _LABELS if values[index] is not None]) + "}"

    members.sort()
    members.sort(key=_recency, reverse=True)  # stable: equal ones stay in the order of their keys
    ranked = [(member, authority.ranks(member.system, member.dataset), member.fields.get) for member in members]
    values = []
    origins: list[str | None] = []
    written: dict[tuple[int, Rule], str] = {}
    for index, name in _FIELDS:
        winner: Member | None = None
        value: Value = None
        rank = other = -1
        second: Member | None = None
        for member, ranks, get in ranked:
            found = get(name)
            if found is None:
                continue
            here = ranks[index]
            if winner is None:
                winner, value, rank = member, found, here
            elif here < rank:
                second, other = winner, rank
                winner, value, rank = member, found, here
            elif second is None or here < other:
                second, other = member, here
        values.append(value)
        if winner is None:
            origins.append(None)
            continue
        rule: Rule = (
            "only source"
            if second is None
            else "authority"
            if rank < other
            else "recency"
            if _recency(winner) != _recency(second)
            else "tie"
        )
        key = (id(winner), rule)
        origin = written.get(key) or written.setdefault(key, _origin(winner, rule))
        origins.append(origin)
    return values, "{" + ",".join([label + text for index, label in _LABELS if (text := origins[index])]) + "}"
