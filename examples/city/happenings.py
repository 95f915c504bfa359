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

from examples.city.people import CATEGORIES, communities, corrected, person
from examples.city.records import (
    CARD,
    DUMPED,
    INSURED,
    LOW_INCOME,
    PENSION,
    REGISTERED,
    Record,
    card_of,
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
_OF_DISABLED_PERSONS = {
    "card_issue": 4,  # a new record, or one that was cancelled, once more
    "card_level": 4,  # after another assessment: the card has a new number, the record is the same
    "card_phone": 3,
    "card_cancel": 3,  # the record is marked as deleted
}
KINDS = {
    **_OF_HRSS,
    **_OF_CIVIL_AFFAIRS,
    **_OF_DISABLED_PERSONS,
    "arrive": 3,  # somebody new: new records in all departments but 老龄; the grid follows with its next dump
    "mend": 5,  # of what was wrong with a record
    "follow": 12,  # one department hears of the death or the corrected number that another one has recorded
}
"""The kinds of change, with how often each comes in a hundred and seventy or so. 老龄 and the grids change with their dumps alone."""
LATE = ("late", "marriage_late")
TOLD_LATER = ("correct", "death", "death_reported")
"""What the other departments hear of only when they follow, each with a change of its own."""

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
    known = {dataset: record for dataset, record in found.items() if dataset not in DUMPED}
    if kind == "mend":
        broken = [record for record in known.values() if record.fault]
        return Effect([without_fault(moment.seed, broken[0])]) if broken else None
    if kind == "follow":
        return _followed(known, moment)
    system = _system_of(kind)
    held = {dataset: record for dataset, record in known.items() if record.system == system}
    if any(record.fault for record in held.values()) or any(r.fields.get("alive") is False for r in known.values()):
        return None
    if system == "hrss":
        return _in_hrss(rng, kind, held, moment)
    if system == "civil_affairs":
        return _in_civil_affairs(rng, kind, held, moment)
    if kind == "card_issue":
        return _card_issued(rng, known, moment)
    return _about_card(rng, kind, held.get(CARD), moment)


def _system_of(kind: str) -> str:
    if kind in _OF_DISABLED_PERSONS:
        return "disabled_persons"
    return "civil_affairs" if kind in _OF_CIVIL_AFFAIRS else "hrss"


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


# 残联


def _card_issued(rng: random.Random, known: Mapping[str, Record], moment: Moment) -> Effect | None:
    """A first card, or another one after one that was cancelled. 残联 sees what 人社 has of her by her social security card."""
    insured = known.get(INSURED)
    if insured is None or insured.fault or CARD in known:
        return None
    disability: dict[str, Any] = {"disability_category": rng.choice(CATEGORIES), "disability_level": rng.choice("1234")}
    said: dict[str, Any] = {
        name: insured.fields[name] for name in ("id_number", "name", "sex", "phone", "community_code")
    }
    who = person(moment.seed, insured.person)._replace(**said, **disability)
    return Effect([card_of(who, f"{moment.at:%Y-%m-%d}")], {insured.person: disability})


def _about_card(rng: random.Random, kind: str, card: Record | None, moment: Moment) -> Effect | None:
    if card is None:
        return None
    if kind == "card_phone":
        phone = f"1003{rng.randrange(10**7):07d}"
        return Effect([changed_to(card, {"lxdh": phone}, phone=phone)])
    if kind == "card_level":
        level = rng.choice([level for level in "1234" if level != card.row["cjdj"]])
        number = f"{card.row['cjzh'][:19]}{level}"
        row = {"cjzh": number, "cjdj": level, "fzrq": f"{moment.at:%Y-%m-%d}"}
        changed = changed_to(card, row, disability_level=level)
        return Effect([changed], {card.person: {"disability_level": level}})
    return _card_cancelled(card, moment)


def _card_cancelled(card: Record, moment: Moment) -> Effect | None:
    if not _known_from_the_first(card, moment):
        return None
    return Effect([revoked(card)], {card.person: {"disability_category": "", "disability_level": ""}})


# All


def _followed(known: Mapping[str, Record], moment: Moment) -> Effect | None:
    """What one department knows and another one does not: the first of these that there is, for one that has to hear of it."""
    insured = known.get(INSURED)
    if insured is None or any(record.fault for record in known.values()):
        return None
    return _number_followed(known, insured) or _death_followed(known, insured, moment)


def _number_followed(known: Mapping[str, Record], insured: Record) -> Effect | None:
    """民政 takes over a corrected number, and then 残联, where a card gets a new number by it."""
    right = insured.fields["id_number"]
    late = {dataset: record for dataset, record in known.items() if record.fields["id_number"] != right}
    held = {dataset: record for dataset, record in late.items() if record.system == "civil_affairs"}
    if held:
        return Effect(_renumbered(held, "gmsfhm", right))
    card = late.get(CARD)
    return Effect([changed_to(card, {"cjzh": right + card.row["cjzh"][18:]}, id_number=right)]) if card else None


def _death_followed(known: Mapping[str, Record], insured: Record, moment: Moment) -> Effect | None:
    """人社 and 民政 take over a death from each other; then 残联 cancels a card."""
    registered, card = known.get(REGISTERED), known.get(CARD)
    if registered is not None and registered.fields.get("alive") is False and insured.fields["alive"]:
        return _death_in_hrss(insured, known.get(PENSION), moment)
    if registered is not None and registered.fields.get("alive") is not False and not insured.fields["alive"]:
        return _death_in_civil_affairs(registered, known.get(LOW_INCOME), moment)
    return _card_cancelled(card, moment) if card is not None and not insured.fields["alive"] else None


def _renumbered(held: Mapping[str, Record], column: str, right: str) -> list[Record]:
    return [changed_to(record, {column: right}, id_number=right) for record in held.values()]


def changed_to(record: Record, row: Mapping[str, Any], **fields: Any) -> Record:
    """The record with other values in its row, and in what it means."""
    return record._replace(row={**record.row, **row}, fields={**record.fields, **fields})
