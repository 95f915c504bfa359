"""From a source record to canonical fields: the declared mapping, compiled once into one parser a field.

The first value that can't be accepted refuses the whole record: half a record would look like a complete one. After the
fields stand alone, they are compared: birth date and sex must agree with the ID number, category and level of a disability
with the number of its card.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import date
from typing import Any, NamedTuple

from contracts import citizen, codesets, dates, disability_cards, divisions, money, names, texts
from contracts.events import Value
from contracts.fields import FIELDS, CanonicalField
from contracts.reasons import Mend, Reason
from contracts.sources import DatasetSource, FieldMap
from contracts.texts import Refused

Parse = Callable[[Any], tuple[Any, Mend | None]]


class Refusal(NamedTuple):
    """Why a record is refused, and where in it. ``detail`` describes the value without holding it."""

    reason: Reason
    field: str
    column: str
    detail: str


def refusal(reason: str, field: str, column: str, detail: str) -> Refusal:
    """A refusal as it was stored."""
    return Refusal(Reason(reason), field, column, detail)


class Mapped(NamedTuple):
    """A record in canonical form. ``originals``: the source's own values of mended fields; ``mends``: how."""

    fields: dict[str, Value]
    originals: dict[str, str]
    mends: dict[str, str]
    as_of: str | None

    @property
    def id_number(self) -> str | None:
        """The citizen ID number, if the record has one."""
        found = self.fields.get("id_number")
        return found if isinstance(found, str) else None


class _Step(NamedTuple):
    """How one field gets its value."""

    name: str
    column: str
    parse: Parse
    required: bool


class RecordMap:
    """The mapping of one dataset. ``today`` bounds dates that must have passed; whoever holds the map sets it."""

    def __init__(self, dataset: DatasetSource, today: date) -> None:
        self.today = today
        self._key = dataset.key
        self._steps = [
            _Step(name, how.column, self._parser(FIELDS[name], how), how.required)
            for name, how in dataset.map.items()
            if how.column is not None
        ]
        self._constants = [(name, how.value, how.when) for name, how in dataset.map.items() if how.value is not None]
        number = dataset.map.get("id_number")
        self._card = number.column if number is not None and number.form == "disability_card" else None
        self._where = {column: _matcher(values) for column, values in dataset.where.items()}

    def wanted(self, record: Mapping[str, Any]) -> bool:
        """Whether the record is one that the dataset is declared to hold."""
        return not self._where or all(match(record.get(column)) for column, match in self._where.items())

    def map(self, record: Mapping[str, Any]) -> Mapped | Refusal:
        """The record in canonical form, or why it is refused."""
        fields: dict[str, Value] = {}
        originals: dict[str, str] = {}
        mends: dict[str, str] = {}
        get = record.get
        for column in self._key:
            if get(column) in (None, ""):
                return Refusal(Reason.KEY_MISSING, "", column, "empty")
        for name, column, parse, required in self._steps:
            raw = get(column)
            try:
                value, mend = parse(raw)
            except Refused as refused:
                return Refusal(refused.reason, name, column, refused.detail)
            if value is None:
                if required:
                    return Refusal(Reason.FIELD_MISSING, name, column, "empty")
                continue
            fields[name] = value
            if mend is not None:
                originals[name], mends[name] = str(raw), mend.value
        if self._constants:
            fields |= {name: constant for name, constant, when in self._constants if when is None or _says(get(when))}
        as_of = fields.pop("as_of", None)
        conflict = self._conflict(fields)
        if self._card is not None and conflict is None:
            conflict = self._card_conflict(fields, get(self._card))
        return conflict or Mapped(fields, originals, mends, as_of if isinstance(as_of, str) else None)

    def _card_conflict(self, fields: dict[str, Value], raw: Any) -> Refusal | None:
        """Where category or level is another one than the card's number, which was accepted, says."""
        card, _ = disability_cards.card_number(raw, on=self.today)
        if card is None:
            return None
        for name, said in (("disability_category", card.category), ("disability_level", card.level)):
            if fields.get(name, said) != said:
                return Refusal(Reason.FIELD_CONFLICT, name, self._column(name), "against the card's number")
        return None

    def _conflict(self, fields: dict[str, Value]) -> Refusal | None:
        number = fields.get("id_number")
        if not isinstance(number, str):
            return None
        born = fields.get("birth_on")
        if isinstance(born, str) and born.replace("-", "") != number[6:14]:
            return Refusal(Reason.FIELD_CONFLICT, "birth_on", self._column("birth_on"), "birth date against ID number")
        sex = fields.get("sex")
        if sex in ("male", "female") and sex != citizen.sex(number):
            return Refusal(Reason.FIELD_CONFLICT, "sex", self._column("sex"), "sex against ID number")
        return None

    def _column(self, name: str) -> str:
        return next((step.column for step in self._steps if step.name == name), "")

    def _parser(self, field: CanonicalField, how: FieldMap) -> Parse:
        if field.kind == "id_number":
            return (
                self._id_of_card if how.form == "disability_card" else lambda raw: citizen.id_number(raw, on=self.today)
            )
        if field.kind == "day":
            return lambda raw: _iso(dates.day(raw, form=how.date, on=self.today))
        if field.kind == "code" or (field.kind == "flag" and how.codes):
            known = field.codeset or field.name
            return lambda raw: codesets.coded(raw, how.codes, known)
        if field.kind == "money":
            return lambda raw: money.fen(raw, unit=how.unit or "fen")
        return _PLAIN[field.kind]

    def _id_of_card(self, raw: Any) -> tuple[str | None, Mend | None]:
        card, mend = disability_cards.card_number(raw, on=self.today)
        return (card.id_number if card is not None else None), mend


def _says(raw: Any) -> bool:
    """Whether a column says anything. Systems fill the day of what has not happened with zeros: nobody has died on it."""
    text, _ = texts.clean(raw)
    return not texts.is_blank(text) and not dates.is_no_day(text)


def _iso(parsed: tuple[date | None, Mend | None]) -> tuple[str | None, Mend | None]:
    value, mend = parsed
    return (value.isoformat() if value is not None else None), mend


def _as_of(raw: Any) -> tuple[str | None, Mend | None]:
    """When a department says it dealt with a record. One that can't be read is no reason to refuse what it says."""
    try:
        found, _ = dates.instant(raw)
    except Refused:
        return None, None
    return (found.isoformat() if found else None), None


_PLAIN: dict[str, Parse] = {
    "name": names.name,
    "month": dates.month,
    "phone": texts.phone,
    "division": divisions.division_code,
    "text": texts.text,
    "flag": texts.flag,
    "number": texts.number,
    "as_of": _as_of,
}


def _matcher(values: list[str]) -> Callable[[Any], bool]:
    exact = {value for value in values if not value.endswith("*")}
    prefixes = tuple(value[:-1] for value in values if value.endswith("*"))
    return lambda raw: str(raw) in exact or (bool(prefixes) and str(raw).startswith(prefixes))
