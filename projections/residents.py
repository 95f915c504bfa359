"""The projection of ``community.resident``: assertions, the residents derived from them, their benefits and households, the
communities.

What the tables hold is a function of the set of events that were applied, not of their order, since the events of one
record may lie in two partitions after its ID number was corrected:

- of the assertions and final retractions of a record, the one with the greatest revision is its row;
- of its holds, the one with the greatest revision counts, if it is greater than the row's;
- a retraction that says where the record moved changes nothing: the assertion under the new resident does it all, and
  until that has come the record stays with the old one. So no reader finds it with neither, or with both;
- a hold of a record that nothing is known of is kept as a row that is not live, so that the assertion it followed may
  come later;
- residents, benefits, households and communities are functions of the live assertions.

A batch costs a fixed number of statements, whatever its size. On PostgreSQL two workers may hold two partitions: records
that are there are locked in key order, then residents, then households, then communities, so that they wait for each other and never in
a circle; one that is new to both makes the second start again (``bulk.Collision``).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from operator import itemgetter

import msgspec
import sqlalchemy as sa

from contracts.events import RESIDENT_TOPIC, Asserted, Held, ResidentEvent, Retracted, Value
from projections import bulk
from projections.communities import Deltas, Traits
from projections.households import Households, Key, Move, membership
from projections.tables import assertion, benefit, community, household, household_member, resident
from projections.winners import Authority, Member, decide

_encode = msgspec.json.Encoder(order="deterministic").encode
_decode = msgspec.json.Decoder(dict[str, str | int | bool | None]).decode
_STATE = ("record_key", "resident_id", "revision", "live", "held_revision", "held_reason")
_MEMBER = ("resident_id", "system", "dataset", "record_key", "as_of", "provisional", "held_reason", "fields")
_TRAITS = ("resident_id", *Traits._fields)
_traits = itemgetter(*(list(resident.c.keys()).index(name) for name in Traits._fields))


@dataclass(slots=True)
class _Record:
    """A record while its events are folded: what is stored, and what the events made of it."""

    key: Key
    resident_id: str
    revision: int = 0
    live: bool = False
    held_revision: int | None = None
    held_reason: str | None = None
    was: str | None = None
    """The resident that it spoke of before the batch, if it was live."""
    event: Asserted | Retracted | None = None
    held_changed: bool = False

    def take(self, event: Asserted | Retracted) -> None:
        """An assertion or a final retraction: the greatest revision wins."""
        if event.revision <= self.revision:
            return
        self.event = event
        self.revision = event.revision
        self.resident_id = event.resident_id
        self.live = isinstance(event, Asserted)
        if self.held_revision is not None and self.held_revision <= event.revision:
            self.held_revision = self.held_reason = None

    def hold(self, event: Held) -> None:
        """The newest version was refused; it counts until a newer one is accepted."""
        if event.revision <= self.revision or event.revision <= (self.held_revision or 0):
            return
        self.held_revision, self.held_reason = event.revision, event.reason
        self.held_changed = True
        if self.revision == 0:
            self.resident_id = event.resident_id


class Residents:
    """The unified view of residents, under one declaration of authority."""

    name = "residents"
    version = 1
    topics: Sequence[str] = (RESIDENT_TOPIC,)
    tables: Sequence[sa.Table] = (assertion, resident, benefit, household_member, household, community)

    def __init__(self, authority: Authority) -> None:
        self.authority = authority

    def apply(self, events: Sequence[ResidentEvent], view: sa.Connection) -> None:
        """Fold a batch into the view. Raises bulk.Collision when another worker inserted one of its records meanwhile."""
        stored, records = _fold(events, view)
        changed = [record for record in records.values() if record.event is not None or record.held_changed]
        if not changed:
            return
        touched = {record.was for record in changed if record.was is not None}
        touched.update(record.resident_id for record in changed if record.live)
        ids = sorted(touched)
        known, stated = bulk.find_all(
            view,
            [
                bulk.Find(resident, _TRAITS, "resident_id", ids, lock=True),
                bulk.Find(assertion, _MEMBER, "resident_id", ids, condition="live"),
            ],
        )
        traits = {row[0]: Traits._make(row[1:]) for row in known}
        members = _members(stated)
        deltas = Deltas()
        for resident_id, old in traits.items():
            deltas.count(old, _benefits(members.get(resident_id)), -1)
        moves = _moves(changed, members)
        households = Households(view, moves) if moves else None
        with bulk.together(view):
            _write_assertions(view, changed, stored)  # first: a record that is new to two workers shows here
            _write_benefits(view, changed, members)
            _change(members, changed)
            self._write_residents(view, ids, traits, members, deltas)
            if households is not None:
                households.write(view, deltas)
            deltas.write(view)

    def _write_residents(
        self,
        view: sa.Connection,
        ids: Sequence[str],
        traits: Mapping[str, Traits],
        members: Mapping[str, dict[Key, Member]],
        deltas: Deltas,
    ) -> None:
        new: list[bulk.Row] = []
        known: list[bulk.Row] = []
        gone: list[bulk.Row] = []
        for resident_id in ids:
            mine = members.get(resident_id)
            if mine:
                row, now = self._resident(resident_id, list(mine.values()))
                deltas.count(now, _benefits(mine), 1)
                (known if resident_id in traits else new).append(row)
            elif resident_id in traits:
                gone.append((resident_id,))
        bulk.insert(view, resident, new)
        bulk.upsert(view, resident, known)
        bulk.delete(view, resident, gone)

    def _resident(self, resident_id: str, members: list[Member]) -> tuple[bulk.Row, Traits]:
        values, provenance = decide(members, self.authority)
        provisional = members[0].provisional and all(member.provisional for member in members)
        held = sum([member.held for member in members])
        row = (resident_id, *values, provisional, len(members), held, provenance)
        return row, Traits(*_traits(row))


class Assertions:
    """What each record says, and nothing of what follows from it."""

    name = "assertions"
    version = 1
    topics: Sequence[str] = (RESIDENT_TOPIC,)
    tables: Sequence[sa.Table] = (assertion,)

    def apply(self, events: Sequence[ResidentEvent], view: sa.Connection) -> None:
        """Fold a batch, by the very rule of the view."""
        stored, records = _fold(events, view)
        changed = [record for record in records.values() if record.event is not None or record.held_changed]
        _write_assertions(view, changed, stored)


def _fold(events: Sequence[ResidentEvent], view: sa.Connection) -> tuple[set[Key], dict[Key, _Record]]:
    """The records that the events touch, as they are after them; and the keys of those that are stored."""
    wanted: dict[tuple[str, str], set[str]] = {}
    for event in events:
        source = (event.system, event.dataset)
        keys = wanted.get(source)
        if keys is None:
            keys = wanted[source] = set()
        keys.add(event.record_key)
    records: dict[Key, _Record] = {}
    sources = sorted(wanted.items())
    finds = [
        bulk.Find(assertion, _STATE, "record_key", sorted(keys), {"system": system, "dataset": dataset}, lock=True)
        for (system, dataset), keys in sources
    ]
    for ((system, dataset), _), rows in zip(sources, bulk.find_all(view, finds), strict=True):
        for record_key, resident_id, revision, live, held_revision, held_reason in rows:
            key = (system, dataset, record_key)
            was = resident_id if live else None
            records[key] = _Record(key, resident_id, revision, bool(live), held_revision, held_reason, was)
    stored = set(records)
    for event in events:
        if event.__class__ is Retracted and event.moved_to is not None:
            continue
        key = (event.system, event.dataset, event.record_key)
        known = records.get(key)
        if known is None:
            known = records[key] = _Record(key, event.resident_id)
        if event.__class__ is Held:
            known.hold(event)
        else:
            known.take(event)  # type: ignore[arg-type]  # mypy narrows by class only where it is equal
    return stored, records


def _members(rows: Iterable[bulk.Row]) -> dict[str, dict[Key, Member]]:
    """Live assertions, as they are stored, by the resident that they speak of."""
    members: dict[str, dict[Key, Member]] = {}
    for resident_id, system, dataset, record_key, as_of, provisional, held_reason, fields in rows:
        member = Member(system, dataset, record_key, as_of, bool(provisional), held_reason is not None, _decode(fields))
        members.setdefault(resident_id, {})[(system, dataset, record_key)] = member
    return members


def _change(members: dict[str, dict[Key, Member]], changed: Iterable[_Record]) -> None:
    """Make of the live assertions as they are stored those that there are after the batch."""
    for record in changed:
        key = record.key
        held = record.held_reason is not None
        event = record.event
        if event is None:  # a hold and nothing else
            if record.live:
                mine = members[record.resident_id]
                mine[key] = mine[key]._replace(held=held)
            continue
        if record.was is not None:
            del members[record.was][key]
        if event.__class__ is Asserted:
            member = Member(*key, event.as_of, event.provisional, held, event.fields)
            found = members.get(event.resident_id)
            if found is None:
                members[event.resident_id] = {key: member}
            else:
                found[key] = member


def _write_assertions(view: sa.Connection, changed: Iterable[_Record], stored: set[Key]) -> None:
    new: list[bulk.Row] = []
    known: list[bulk.Row] = []
    held: list[bulk.Row] = []
    for record in changed:
        event = record.event
        if event is None and record.key in stored:
            held.append((*record.key, record.resident_id, record.held_revision, record.held_reason))
            continue
        fields = originals = mends = "{}"
        as_of = event_id = committed_at = None
        provisional = False
        if event is not None:
            event_id, committed_at = event.event_id, event.committed_at
            if event.__class__ is Asserted:
                fields = _encode(event.fields).decode()
                if event.originals:
                    originals = _encode(event.originals).decode()
                if event.mends:
                    mends = _encode(event.mends).decode()
                as_of, provisional = event.as_of, event.provisional
        row = (
            *record.key,
            record.resident_id,
            record.revision,
            record.live,
            fields,
            originals,
            mends,
            as_of,
            provisional,
            record.held_reason,
            record.held_revision,
            event_id,
            committed_at,
        )
        (known if record.key in stored else new).append(row)
    bulk.insert(view, assertion, new)
    bulk.upsert(view, assertion, known)
    bulk.update(view, assertion, ("resident_id", "held_revision", "held_reason"), held)


def _benefits(members: Mapping[Key, Member] | None) -> Iterable[Mapping[str, Value]]:
    if members is None:
        return ()
    return [member.fields for member in members.values() if member.fields.get("benefit_kind") is not None]


def _write_benefits(view: sa.Connection, changed: Iterable[_Record], before: dict[str, dict[Key, Member]]) -> None:
    rows: list[bulk.Row] = []
    gone: list[bulk.Row] = []
    for record in changed:
        event = record.event
        if event is None:
            continue
        if event.__class__ is Asserted and (kind := (get := event.fields.get)("benefit_kind")) is not None:
            amount = get("benefit_amount_fen")
            rows.append(
                (
                    *record.key,
                    event.resident_id,
                    kind,
                    get("benefit_scheme"),
                    amount if isinstance(amount, int) else None,
                    get("benefit_from"),
                    get("benefit_until"),
                    get("benefit_state"),
                )
            )
        elif record.was is not None and before[record.was][record.key].fields.get("benefit_kind") is not None:
            gone.append(record.key)
    bulk.upsert(view, benefit, rows)
    bulk.delete(view, benefit, gone)


def _moves(changed: Iterable[_Record], before: dict[str, dict[Key, Member]]) -> dict[Key, Move]:
    """What the batch changes about who belongs to which household; nothing for records that speak of none."""
    moves: dict[Key, Move] = {}
    for record in changed:
        event, was = record.event, record.was
        if event is None:
            continue
        new = old = None
        if event.__class__ is Asserted and "household_number" in event.fields:
            new = membership(record.key, event.resident_id, event.fields)
        if was is not None:
            old = membership(record.key, was, before[was][record.key].fields)
        if old != new:
            moves[record.key] = Move(old, new)
    return moves
