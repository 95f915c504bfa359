"""What can happen to a resident, and what it makes of the records of the department that hears of it.

All functions are pure: they get the resident's records and a generator of random numbers, and give the records as they
are afterwards, or None where it can't happen to this resident. A record with a fault changes in one way only, its fault
is mended. A record is revoked only if it was accepted from the city's first day on, and still bears the number that it
bore then. So what the view should show never depends on whether a poll came in time to see an older state of a record,
not even in what a revoked record leaves behind.
"""

from __future__ import annotations

import random
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from examples.city.people import communities, corrected, person
from examples.city.records import (
    ELDER,
    INSURED,
    LOW_INCOME,
    PENSION,
    REGISTERED,
    Record,
    closed,
    key_of,
    living_allowance,
    revoked,
    yuan,
)
from examples.city.registers import at_first, without_fault

_OF_HRSS = {
    "move": 30,  # 人社 hears of another community
    "phone": 25,
    "amount": 10,  # of a pension
    "suspend": 6,
    "resume": 5,
    "stop": 3,
    "grant": 4,  # a pension begins: a new row in ac60
    "death": 4,  # and the pension stops
    "correct": 4,  # of an ID number; 老龄 follows with its next dump
    "late": 4,  # a move that commits when others have come after it
    "backdated": 4,  # a move that was dealt with before what the row says now
}
_OF_CIVIL_AFFAIRS = {
    "marriage": 10,
    "marriage_late": 3,  # one that commits when others have come after it
    "divorce": 5,
    "death_reported": 4,  # before 人社 has heard of it; a minimum living allowance stops
    "aid_grant": 5,  # a minimum living allowance: a new row, or one that was revoked, once more
    "aid_amount": 6,
    "aid_revoke": 4,  # the row is marked as deleted
}
KINDS = {
    **_OF_HRSS,
    **_OF_CIVIL_AFFAIRS,
    "arrive": 3,  # somebody new: new rows in both databases
    "mend": 5,  # of what was wrong with a record
    "follow": 10,  # one department hears of the death or the corrected number that the other one has recorded
}
"""The kinds of change, with how often each comes in a hundred and fifty or so. 老龄 changes with its dumps alone."""
LATE = ("late", "marriage_late")
TOLD_LATER = ("correct", "death", "death_reported")
"""What the other department hears of only when it follows."""

_CLOSED = {
    "suspend": ("2", "suspended"),
    "resume": ("1", "paying"),
    "stop": ("3", "stopped"),
    "death": ("3", "stopped"),
}
_MARRIES_AGAIN = ("widowed", "divorced")


@dataclass
class Effect:
    """What a change does: records as they are afterwards, what is so of residents, and values to be remembered."""

    records: list[Record]
    residents: dict[int, dict[str, Any]] = field(default_factory=dict)
    state: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Moment:
    """When something happens in which city. ``size``: how many residents it was built with; ``to``: where one moves to."""

    seed: int
    size: int
    at: datetime
    to: str | None = None


def happen(rng: random.Random, kind: str, found: Mapping[str, Record], moment: Moment) -> Effect | None:
    """A change of this kind to the resident with these records, by dataset."""
    known = {dataset: record for dataset, record in found.items() if dataset != ELDER}
    if kind == "mend":
        broken = [record for record in known.values() if record.fault]
        return Effect([without_fault(moment.seed, broken[0])]) if broken else None
    if kind == "follow":
        return _followed(known, moment)
    system = "civil_affairs" if kind in _OF_CIVIL_AFFAIRS else "hrss"
    held = {dataset: record for dataset, record in known.items() if record.system == system}
    if any(record.fault for record in held.values()) or any(r.fields.get("alive") is False for r in known.values()):
        return None
    if system == "hrss":
        return _in_hrss(rng, kind, held, moment)
    return _in_civil_affairs(rng, kind, held, moment)


# 人社


def _in_hrss(rng: random.Random, kind: str, held: Mapping[str, Record], moment: Moment) -> Effect | None:
    insured, pension = held.get(INSURED), held.get(PENSION)
    if insured is None:
        return None
    number = insured.person
    if kind in ("move", "late", "backdated"):
        code = moment.to or rng.choice(communities())[0]
        changed = changed_to(insured, {"aab301": code}, community_code=code)
        return Effect([changed], {number: {"community_code": code}})
    if kind == "phone":
        phone = f"1002{rng.randrange(10**7):07d}"
        return Effect([changed_to(insured, {"aae005": phone}, phone=phone)], {number: {"phone": phone}})
    if kind == "correct":
        right = corrected(insured.fields["id_number"])
        return Effect(_renumbered(held, "aac002", right), {number: {"id_number": right}})
    if kind == "death":
        return _death_in_hrss(insured, pension, moment)
    return _about_pension(rng, kind, insured, pension, moment)


def _death_in_hrss(insured: Record, pension: Record | None, moment: Moment) -> Effect:
    dead = [changed_to(insured, {"aac060": "0"}, alive=False)]
    stopped = [_pension_in_state(pension, "death", moment)] if pension else []
    return Effect(dead + stopped, {insured.person: {"alive": False}})


def _about_pension(
    rng: random.Random, kind: str, insured: Record, pension: Record | None, moment: Moment
) -> Effect | None:
    if kind == "grant":
        old = person(moment.seed, insured.person).age >= 60
        return Effect([_pension_granted(rng, insured, moment)]) if pension is None and old else None
    if pension is None or pension.fields["benefit_state"] == "stopped":
        return None
    if kind == "amount":
        fen = rng.randrange(18_000, 900_000)
        return Effect([changed_to(pension, {"aae019": fen}, benefit_amount_fen=fen)])
    if pension.row["aae116"] == _CLOSED[kind][0]:
        return None
    return Effect([_pension_in_state(pension, kind, moment)])


def _pension_in_state(record: Record, kind: str, moment: Moment) -> Record:
    """The pension in another state; a stopped one gets its last month."""
    code, state = _CLOSED[kind]
    if state != "stopped":
        return changed_to(record, {"aae116": code}, benefit_state=state)
    row = {"aae116": code, "aae042": f"{moment.at:%Y%m}"}
    return changed_to(record, row, benefit_state=state, benefit_until=f"{moment.at:%Y-%m}")


def _pension_granted(rng: random.Random, insured: Record, moment: Moment) -> Record:
    """A pension that begins this month."""
    fen, scheme = rng.randrange(18_000, 900_000), rng.choice(("110", "170"))
    key, id_number = key_of(PENSION, insured.person), insured.fields["id_number"]
    row = {
        "aaz257": key,
        "aac001": insured.key,
        "aac002": id_number,
        "aae140": scheme,
        "aae041": f"{moment.at:%Y%m}",
        "aae042": None,
        "aae019": fen,
        "aae116": "1",
        "aae036": "",
    }
    fields = {
        "id_number": id_number,
        "benefit_kind": "pension",
        "benefit_scheme": scheme,
        "benefit_amount_fen": fen,
        "benefit_from": f"{moment.at:%Y-%m}",
        "benefit_state": "paying",
    }
    return Record(PENSION, key, insured.person, row, fields)


# 民政


def _in_civil_affairs(rng: random.Random, kind: str, held: Mapping[str, Record], moment: Moment) -> Effect | None:
    registered, aid = held.get(REGISTERED), held.get(LOW_INCOME)
    if registered is None:
        return None
    if kind in ("marriage", "marriage_late"):
        return _married(registered, moment)
    if kind == "divorce":
        return _of_marital_status(registered, "40", "divorced") if _says(registered, "married") else None
    if kind == "death_reported":
        return _death_in_civil_affairs(registered, aid, moment)
    return _about_aid(rng, kind, registered, aid, moment)


def _married(registered: Record, moment: Moment) -> Effect | None:
    """A first marriage, or another one. The other spouse lives in another district: this city pairs nobody."""
    if _says(registered, *_MARRIES_AGAIN):
        return _of_marital_status(registered, "22", "married")
    if _says(registered, "unmarried") and person(moment.seed, registered.person).age >= 22:
        return _of_marital_status(registered, "21", "married")
    return None


def _says(registered: Record, *statuses: str) -> bool:
    return registered.fields["marital_status"] in statuses


def _of_marital_status(registered: Record, code: str, status: str) -> Effect:
    changed = changed_to(registered, {"hyzk": code}, marital_status=status)
    return Effect([changed], {registered.person: {"marital_status": status}})


def _death_in_civil_affairs(registered: Record, aid: Record | None, moment: Moment) -> Effect:
    dead = [changed_to(registered, {"swrq": f"{moment.at:%Y-%m-%d}"}, alive=False)]
    paid = aid is not None and aid.fields["benefit_state"] != "stopped"
    stopped = [closed(aid, f"{moment.at:%Y-%m}")] if aid and paid else []
    return Effect(dead + stopped, {registered.person: {"alive": False}})


def _about_aid(rng: random.Random, kind: str, registered: Record, aid: Record | None, moment: Moment) -> Effect | None:
    fen = rng.randrange(10_000, 110_000)
    if kind == "aid_grant":
        id_number = registered.fields["id_number"]
        granted = living_allowance(registered.person, id_number, fen, f"{moment.at:%Y-%m}")
        return Effect([granted], {registered.person: {"low_income_fen": fen}}) if aid is None else None
    if aid is None or aid.fields["benefit_state"] == "stopped":
        return None
    if kind == "aid_amount":
        changed = changed_to(aid, {"bzje": yuan(fen)}, benefit_amount_fen=fen)
        return Effect([changed], {registered.person: {"low_income_fen": fen}})
    if not _known_from_the_first(aid, moment):
        return None
    return Effect([revoked(aid)], {registered.person: {"low_income_fen": 0}})


def _known_from_the_first(record: Record, moment: Moment) -> bool:
    """Whether the record was accepted when the city was built, and bore the number that it bears."""
    if record.person >= moment.size:
        return False
    first = {each.dataset: each for each in at_first(moment.seed, record.person)}.get(record.dataset)
    return first is not None and not first.deleted and first.fields.get("id_number") == record.fields["id_number"]


# Both


def _followed(known: Mapping[str, Record], moment: Moment) -> Effect | None:
    """What one department knows and the other does not: 民政 takes over a corrected number, either one a death."""
    insured, registered = known.get(INSURED), known.get(REGISTERED)
    if insured is None or registered is None or any(record.fault for record in known.values()):
        return None
    right = insured.fields["id_number"]
    if registered.fields["id_number"] != right:
        held = {dataset: record for dataset, record in known.items() if record.system == registered.system}
        return Effect(_renumbered(held, "gmsfhm", right))
    if registered.fields.get("alive") is False and insured.fields["alive"]:
        return _death_in_hrss(insured, known.get(PENSION), moment)
    if registered.fields.get("alive") is not False and not insured.fields["alive"]:
        return _death_in_civil_affairs(registered, known.get(LOW_INCOME), moment)
    return None


def _renumbered(held: Mapping[str, Record], column: str, right: str) -> list[Record]:
    return [changed_to(record, {column: right}, id_number=right) for record in held.values()]


def changed_to(record: Record, row: Mapping[str, Any], **fields: Any) -> Record:
    """The record with other values in its row, and in what it means."""
    return record._replace(row={**record.row, **row}, fields={**record.fields, **fields})
