"""What the view says about a resident or a community, as plain values for the desk and the command line."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import sqlalchemy as sa

from contracts.errors import CommunityUnknown, ResidentUnknown
from contracts.fields import RESIDENT_FIELDS
from projections.engine import Gap
from projections.tables import assertion, benefit, community, gap, household, household_member, resident

_FIX = "see that the number is right, and that the view has caught up (onewindow status)"


def gaps(view: sa.Connection) -> list[Gap]:
    """The batches that are missing from the log."""
    return [Gap(*row) for row in view.execute(sa.select(gap).order_by(gap.c.topic, gap.c.partition, gap.c.origin))]


def resident_of(view: sa.Connection, resident_id: str) -> dict[str, Any]:
    """The unified record of a resident: each field with its value and where it comes from, its records, its benefits, its
    household (or households, where registers differ) with the relation of each member.

    Raises ResidentUnknown.
    """
    row = view.execute(sa.select(resident).where(resident.c.resident_id == resident_id)).mappings().one_or_none()
    if row is None:
        raise ResidentUnknown("the view holds no resident with this id", fix=_FIX)
    records = [
        dict(each)
        for each in view.execute(
            sa.select(assertion)
            .where(assertion.c.resident_id == resident_id, assertion.c.live)
            .order_by(*assertion.primary_key.columns)
        ).mappings()
    ]
    by_key = {(each["system"], each["dataset"], each["record_key"]): each for each in records}
    origins = field_origins(row["provenance"])
    fields: dict[str, dict[str, Any]] = {}
    for name in RESIDENT_FIELDS:
        where = origins.get(name)
        if where is None:
            continue
        fields[name] = {"value": row[name], **where}
        record = by_key[where["system"], where["dataset"], where["record_key"]]
        for part, source in (("original", "originals"), ("mend", "mends")):
            if name in record[source]:
                fields[name][part] = record[source][name]
    benefits = view.execute(
        sa.select(benefit).where(benefit.c.resident_id == resident_id).order_by(*benefit.primary_key.columns)
    ).mappings()
    return {
        "resident_id": resident_id,
        "provisional": row["provisional"],
        "records": row["records"],
        "held": row["held"],
        "fields": fields,
        "assertions": [{name: value for name, value in each.items() if name != "live"} for each in records],
        "benefits": [{name: value for name, value in each.items() if name != "resident_id"} for each in benefits],
        "households": _households_of(view, resident_id),
    }


def _households_of(view: sa.Connection, resident_id: str) -> list[dict[str, Any]]:
    keys = [household.c[name] for name in ("system", "dataset", "household_number")]
    mine = sa.select(*(household_member.c[key.name] for key in keys)).where(
        household_member.c.resident_id == resident_id
    )
    query = sa.select(household).where(sa.tuple_(*keys).in_(mine)).order_by(*keys)
    found = [dict(each) for each in view.execute(query).mappings()]
    for each in found:
        members = (
            sa.select(household_member.c.resident_id, household_member.c.relation)
            .where(*(household_member.c[key.name] == each[key.name] for key in keys))
            .order_by(household_member.c.record_key)
        )
        each["relations"] = [dict(member) for member in view.execute(members).mappings()]
    return found


def field_origins(provenance: Sequence[Mapping[str, Any]]) -> dict[str, dict[str, Any]]:
    """field -> the record that its value comes from, and the rule by which it won, from a resident's ``provenance``."""
    return {
        name: {**{part: value for part, value in record.items() if part != "wins"}, "rule": rule}
        for record in provenance
        for rule, names in record["wins"].items()
        for name in names
    }


def communities(view: sa.Connection, code: str | None = None) -> list[dict[str, Any]]:
    """The counts of all communities by code, or of one. Raises CommunityUnknown when nobody in the view lives there."""
    query = sa.select(community).order_by(community.c.community_code)
    if code is not None:
        query = query.where(community.c.community_code == code)
    found = [dict(row) for row in view.execute(query).mappings()]
    if code is not None and not found:
        raise CommunityUnknown(f"the view holds nobody in community {code}", fix="list all: onewindow community")
    return found
