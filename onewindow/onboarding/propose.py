"""From a sample of one table or file to what a source file should say of it, with a confidence and a reason for each part.

Every column is asked by its name and by its values; a field goes to the column that is surest of it. Then the mapping is
tried on the sample itself: what intake would refuse too often is taken back. What the values say beats what a name says.
"""

from __future__ import annotations

import dataclasses
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date
from typing import Any, NamedTuple

from contracts.column_names import NameHint, name_hint
from contracts.fields import FIELDS
from contracts.reasons import Reason
from contracts.sources import DatasetSource
from onewindow.onboarding import keys
from onewindow.onboarding.columns import Column, columns_of
from onewindow.onboarding.keys import Named
from onewindow.onboarding.mappings import Way, way
from onewindow.onboarding.values import ValueHint, beside_id_numbers, id_numbers, value_hints
from streams.mapping import Mapped, RecordMap, Refusal

PLACED = 0.5
"""From here on a field stands in the mapping; below, it is a line to uncomment."""
SURE = 0.8
"""From here on nobody need look."""
_STRONG = 0.85  # values that speak so clearly are believed against a name
_REFUSED_SHARE = 0.2
_CHILD_YEARS = 14
_WHO = ("birth_on", "phone", "address", "community_code", "benefit_amount_fen")
_PENSION = re.compile(r"养老(?!机构|院)|退休|pension|ylbx|ylj|^ac60$", re.IGNORECASE)
_ALLOWANCE = re.compile(r"高龄|津贴|allowance|gljt|glbt|glj", re.IGNORECASE)
_LOW_INCOME = re.compile(r"低保|最低生活|dibao|low_?income|^zdsh", re.IGNORECASE)
_KINDS = (("pension", _PENSION), ("old_age_allowance", _ALLOWANCE), ("low_income", _LOW_INCOME))


@dataclass(frozen=True)
class Sampled:
    """A table or file with some of its records. ``primary``: its key, where the source declares one. ``shape``: what else
    the connector says of it."""

    name: str
    kinds: dict[str, str]
    primary: Sequence[str]
    records: Sequence[dict[str, Any]]
    shape: str = ""


@dataclass(frozen=True)
class Placed:
    """A column, or a constant, that stands for a canonical field."""

    field: str
    column: str
    how: Mapping[str, Any]
    confidence: float
    reason: str
    sensitive: str = ""
    constant: str | None = None


@dataclass(frozen=True)
class Unplaced:
    """A column that stands in the file as a commented line. ``field``: what it may be, empty for nothing."""

    column: str
    kind: str
    reason: str
    field: str = ""
    how: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    sensitive: str = ""
    confidence: float = 0.0


@dataclass(frozen=True)
class Proposal:
    """What a source file should say of one table or file. ``polled``: a table, which has a cursor or is read whole.
    ``cursor``: the column that may be one."""

    dataset: str
    sampled: Sampled
    key: Named
    polled: bool
    cursor: Named | None
    placed: Sequence[Placed]
    unplaced: Sequence[Unplaced]
    accepted: int
    children: int

    @property
    def trusted_cursor(self) -> Named | None:
        """The cursor, if it is likely enough that it rises with each change: where it does not, changes are missed."""
        return self.cursor if self.cursor is not None and self.cursor.confidence > 0.5 else None

    @property
    def mapping(self) -> dict[str, dict[str, Any]]:
        """As it stands in the file."""
        return {each.field: mapped(each) for each in self.placed}


@dataclass(frozen=True)
class LeftOut:
    """A table or file of which no dataset can be made, and why. ``why``: empty, nobody, key or unreadable."""

    name: str
    why: str
    reason: str


class _Candidate(NamedTuple):
    field: str
    column: Column
    confidence: float
    reason: str
    told: Mapping[str, Any]
    inverted: bool


def mapped(each: Placed) -> dict[str, Any]:
    """A field's part of the mapping."""
    if each.constant is not None:
        return {"value": each.constant, **({"when": each.column} if each.column else {})}
    return {"column": each.column, **each.how}


def proposed(sampled: Sampled, dataset: str, today: date, *, polled: bool) -> Proposal | LeftOut:
    """What a source file should say of a table. ``polled``: a table of a database."""
    if not sampled.records:
        return LeftOut(sampled.name, "empty", "it is empty: nothing can be told from it yet")
    columns = list(columns_of(sampled.kinds, sampled.records))
    placed, unplaced = _placed(columns, today)
    placed, unplaced = _with_kind_of_benefit(sampled.name, columns, placed, unplaced)
    placed, unplaced, accepted = _tried_on(sampled.records, columns, placed, unplaced, today)
    fields = {each.field for each in placed}
    if "id_number" not in fields and not ("name" in fields and fields & set(_WHO)):
        why = next((f": {each.column}: {each.reason}" for each in unplaced if each.field == "id_number"), "")
        return LeftOut(sampled.name, "nobody", f"nothing in it says of whom it speaks{why}")
    key = keys.key_of(columns, sampled.primary, {each.column: each.field for each in placed if each.constant is None})
    if key is None:
        return LeftOut(
            sampled.name, "key",
            f"no column and no two columns are unique and never empty in the {len(sampled.records):,} rows looked at",
        )  # fmt: skip
    cursor = keys.cursor_of(columns) if polled else None
    return Proposal(
        dataset, sampled, key, polled, cursor, placed, unplaced, accepted, _children(columns, placed, today)
    )


# columns and fields --------------------------------------------------------------------------------------------------


def _placed(columns: Sequence[Column], today: date) -> tuple[list[Placed], list[Unplaced]]:
    """Each field with the column that is surest of it, and the columns that are left."""
    hints = {column.name: value_hints(column, today) for column in columns}
    numbers = _id_numbers_of(columns, hints, today)
    found: list[_Candidate] = []
    for column in columns:
        if numbers:
            hints[column.name] = [*beside_id_numbers(column, numbers, today), *hints[column.name]]
        found.extend(_candidates(column, name_hint(column.name), hints[column.name], today))
    found.sort(key=lambda each: (-each.confidence, list(FIELDS).index(each.field)))
    placed: dict[str, Placed] = {}
    doubts: dict[str, Unplaced] = {}
    for each in found:
        name = each.column.name
        if any(other.column == name for other in placed.values()):
            continue
        if each.field in placed:
            said = f"looks like {each.field} too, which is taken from {placed[each.field].column}: {each.reason}"
            doubts.setdefault(name, _doubt(each, said, {}, each.confidence * 0.7))
            continue
        as_field = way(each.field, each.column, each.told, today, inverted=each.inverted)
        confidence = min(each.confidence, as_field.at_most)
        if as_field.against is not None or confidence < PLACED:
            said = "; ".join(filter(None, (each.reason, as_field.against, *as_field.notes)))
            doubts.setdefault(name, _doubt(each, said, as_field.how, confidence * (0.8 if as_field.against else 1)))
            continue
        placed[each.field] = _as_placed(each, as_field, confidence)
        doubts.pop(name, None)
    taken = {each.column for each in placed.values()}
    left = [
        doubts.get(column.name) or _unknown(column, hints[column.name])
        for column in columns
        if column.name not in taken
    ]
    return sorted(placed.values(), key=lambda each: list(FIELDS).index(each.field)), left


def _id_numbers_of(columns: Sequence[Column], hints: Mapping[str, list[ValueHint]], today: date) -> dict[int, str]:
    """The resident's own ID numbers by row, from the column that is surest of them; nothing where none is."""
    best = max(
        (
            each
            for column in columns
            for each in _candidates(column, name_hint(column.name), hints[column.name], today)
            if each.field == "id_number" and any(hint.means == "id_number" for hint in hints[column.name])
        ),
        key=lambda each: each.confidence,
        default=None,
    )
    return dict(id_numbers(best.column, today).good) if best is not None else {}


def _candidates(column: Column, named: NameHint | None, told: Sequence[ValueHint], today: date) -> Iterator[_Candidate]:
    """The fields that a column may be, by its name and its values."""
    if (named is not None and named.whose) or "${" in column.name:
        return  # whose values these are is told by the name alone; and a ${NAME} in a file is read from the environment
    says = {"dead": "alive", "updated": "as_of"}.get(named.means, named.means) if named is not None else ""
    inverted = named is not None and named.means == "dead"
    best: dict[str, ValueHint] = {}
    for hint in told:
        if hint.means in FIELDS and (hint.means not in best or hint.confidence > best[hint.means].confidence):
            best[hint.means] = hint
    if named is not None and says in FIELDS:
        if says in best:
            hint = best.pop(says)
            sure = 1 - (1 - named.confidence) * (1 - hint.confidence)
            yield _Candidate(says, column, sure, f"by its name, and {hint.reason}", hint.how, inverted)
        else:
            yield _by_name(says, column, named, today, inverted=inverted)
    for means, hint in best.items():
        if not says:
            sure = hint.confidence * (1.0 if hint.confidence > 0.9 else 0.9)
            yield _Candidate(means, column, sure, hint.reason, hint.how, False)
        elif hint.confidence >= _STRONG:
            sure = hint.confidence * 0.8
            yield _Candidate(means, column, sure, f"{hint.reason}, whatever its name means", hint.how, False)


def _by_name(says: str, column: Column, named: NameHint, today: date, *, inverted: bool) -> _Candidate:
    """A field that only a name tells of: as sure as the values let it be."""
    if not column.filled:
        return _Candidate(
            says, column, named.confidence * 0.6, "by its name alone: no value in the sample", {}, inverted
        )
    how = way(says, column, {}, today, inverted=inverted).how
    good, refused = _read_as(says, how, column, today)
    share = good / max(1, good + refused.total())
    said = f"by its name, and {good:,} of {good + refused.total():,} values can be read as it"
    if refused:
        said += f"; refused: {', '.join(f'{reason} {count:,}' for reason, count in refused.most_common(3))}"
    sure = named.confidence * (0.95 if share >= 0.95 else 0.7 if share >= 1 - _REFUSED_SHARE else 0.4)
    return _Candidate(says, column, sure, said, {}, inverted)


def _read_as(says: str, how: Mapping[str, Any], column: Column, today: date) -> tuple[int, Counter[str]]:
    """How many values intake would take as this field, and why it would refuse the others."""
    entry = {says: {"column": "value", **how}}
    reader = RecordMap(DatasetSource.model_validate({"key": ["row"], "map": entry}), today)
    good, refused = 0, Counter[str]()
    for row, value in column.filled:
        found = reader.map({"row": row + 1, "value": value})
        if isinstance(found, Refusal):
            refused[found.reason.value] += 1
        elif says == "as_of" and found.as_of is None:
            refused[Reason.DATE_UNREADABLE.value] += 1
        else:
            good += 1
    return good, refused


def _sensitive(field_name: str, named: NameHint | None, told: Sequence[ValueHint] = ()) -> str:
    if field_name == "id_number" or any(hint.means in ("id_number", "masked_id", "spoilt_id") for hint in told):
        return "id_number"
    if field_name in ("care_level", "disability_category", "disability_level"):
        return "health"
    return named.sensitive if named is not None else ""


def _as_placed(each: _Candidate, as_field: Way, confidence: float) -> Placed:
    said = "; ".join((each.reason, *as_field.notes))
    sensitive = _sensitive(each.field, name_hint(each.column.name))
    return Placed(each.field, each.column.name, as_field.how, confidence, said, sensitive)


def _doubt(each: _Candidate, said: str, how: Mapping[str, Any], confidence: float) -> Unplaced:
    sensitive = _sensitive(each.field, name_hint(each.column.name))
    return Unplaced(each.column.name, each.column.kind, said, each.field, how, sensitive, confidence)


def _unknown(column: Column, told: Sequence[ValueHint]) -> Unplaced:
    """A column for which no field was found, and what can be said of it nevertheless."""
    named = name_hint(column.name)
    sensitive = _sensitive("", named, told)
    strange = next((hint for hint in told if hint.means in ("masked_id", "spoilt_id")), None)
    if strange is not None and not (named is not None and named.whose):
        return Unplaced(column.name, column.kind, strange.reason, "id_number", {}, sensitive, 0.7)
    if named is not None and named.whose:
        said = f"speaks of somebody else ({named.whose}), not of the resident"
    elif named is not None:
        said = f"{named.means}, by its name"
    elif not column.filled:
        said = "no value in the sample"
    else:
        said = told[0].reason if told else "not recognised"
    if not sensitive and not (named is not None and named.whose) and (codes := column.codes):
        said += f"; values: {', '.join(f'{value} ({rows:,})' for value, rows in codes)}"
    return Unplaced(column.name, column.kind, said, "", {}, sensitive)


# benefits ------------------------------------------------------------------------------------------------------------


def _with_kind_of_benefit(
    table: str, columns: Sequence[Column], placed: list[Placed], unplaced: list[Unplaced]
) -> tuple[list[Placed], list[Unplaced]]:
    """A benefit has a kind: its column, or one that the names of the table and its columns tell. Without, none is mapped."""
    benefit = [each for each in placed if each.field.startswith("benefit_")]
    if not benefit or any(each.field == "benefit_kind" for each in benefit):
        return placed, unplaced
    words = [table, *(each.column for each in benefit)]
    kinds = [kind for kind, pattern in _KINDS if any(pattern.search(word) for word in words)]
    amount = next((each.column for each in benefit if each.field == "benefit_amount_fen"), "")
    if len(kinds) == 1 and amount:
        said = f"a constant, told by the names {', '.join(words[:3])}; for rows in which {amount} says something"
        constant = Placed("benefit_kind", amount, {}, 0.65, said, "", kinds[0])
        at = next(place for place, each in enumerate(placed) if each.field.startswith("benefit_"))
        return [*placed[:at], constant, *placed[at:]], unplaced
    types = {column.name: column.kind for column in columns}
    known = " or ".join(f"{{value: {kind}}}" for kind, _ in _KINDS)
    why = f"a benefit needs its kind: add benefit_kind: {known}"
    moved = [Unplaced(each.column, types[each.column], f"{each.reason}; {why}", each.field, each.how, each.sensitive, 0.45)
             for each in benefit]  # fmt: skip
    return [each for each in placed if each not in benefit], [*moved, *unplaced]


# trial ---------------------------------------------------------------------------------------------------------------


def _tried_on(
    records: Sequence[dict[str, Any]],
    columns: Sequence[Column],
    placed: list[Placed],
    unplaced: list[Unplaced],
    today: date,
) -> tuple[list[Placed], list[Unplaced], int]:
    """The mapping without the fields for which intake would refuse more than a fifth of the sample, and how many records
    it takes. A column that contradicts the ID number in so many rows is not what it looked like."""
    types = {column.name: column.kind for column in columns}
    while placed:
        accepted, refused = _outcome(records, placed, today)
        worst = max(refused, key=lambda name: refused[name], default="")
        if not worst or refused[worst] <= _REFUSED_SHARE * len(records) or worst == "id_number":
            return placed, unplaced, accepted
        bad = next(each for each in placed if each.field == worst)
        said = f"{bad.reason}; but {refused[worst]:,} of {len(records):,} records would be refused for it"
        unplaced = [Unplaced(bad.column, types[bad.column], said, bad.field, bad.how, bad.sensitive, 0.45), *unplaced]
        placed = [each for each in placed if each is not bad]
        if bad.field == "benefit_amount_fen":
            placed = [each for each in placed if each.constant is None]
    return placed, unplaced, 0


def _outcome(records: Sequence[dict[str, Any]], placed: Sequence[Placed], today: date) -> tuple[int, Counter[str]]:
    """How many records would be accepted, and how many refused for each field."""
    entries = {each.field: mapped(each) for each in placed}
    reader = RecordMap(DatasetSource.model_validate({"key": [" row"], "map": entries}), today)
    refused, accepted = Counter[str](), 0
    for row, record in enumerate(records):
        found = reader.map(record | {" row": row + 1})
        if isinstance(found, Mapped):
            accepted += 1
        else:
            refused[found.field] += 1
    return accepted, refused


def _children(columns: Sequence[Column], placed: Sequence[Placed], today: date) -> int:
    """How many rows speak of children under 14, by their ID numbers."""
    column = next((each.column for each in placed if each.field == "id_number"), None)
    found = next((one for one in columns if one.name == column), None)
    if found is None:
        return 0
    latest = f"{today.year - _CHILD_YEARS:04d}{today:%m%d}"
    return sum(number[6:14] > latest for number in id_numbers(found, today).good.values())


def renamed(proposal: Proposal, dataset: str) -> Proposal:
    """The same under another name of the dataset."""
    return replace(proposal, dataset=dataset)
