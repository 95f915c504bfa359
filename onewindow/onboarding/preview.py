"""``onewindow source preview``: real records of a source, and what the mapping that intake uses would make of them.

Nothing is written: no topic, no state, no position.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from contracts.citizen import masked
from contracts.dates import today
from contracts.errors import DatasetUnknown
from contracts.reasons import REASONS
from contracts.sources import DatasetSource
from onewindow.onboarding.masking import shown
from onewindow.onboarding.sample import ROWS, records_of
from onewindow.settings import Deployment
from streams.mapping import Mapped, RecordMap, Refusal

FEW = 5


def preview(
    deployment: Deployment, system: str, dataset: str | None, rows: int, *, openly: bool
) -> list[dict[str, Any]]:
    """Each dataset, or the one that is named: some records side by side, and a summary of up to 2,000.

    ``rows``: how many records to show; one more for each reason of refusal that is not among them. ``openly``: personal
    values unmasked, but for ID numbers. Raises DatasetUnknown, and what reading the source raises.
    """
    source = next((each for each in deployment.sources if each.system == system), None)
    if source is None:
        known = ", ".join(each.system for each in deployment.sources) or "none"
        raise DatasetUnknown(
            f"no system {system} is declared", fix=f"declared are: {known}; or onewindow source add {system} --from …"
        )
    if dataset is not None and dataset not in source.datasets:
        raise DatasetUnknown(f"{system} has no dataset {dataset}", fix=f"declared are: {', '.join(source.datasets)}")
    found = []
    for name, declared in source.datasets.items():
        if dataset in (None, name):
            records = records_of(source, deployment.password(source), name, max(rows, ROWS))
            found.append({"system": system, "dataset": name, **_previewed(declared, records, rows, openly=openly)})
    return found


def _previewed(
    declared: DatasetSource, records: Sequence[tuple[str, dict[str, Any]]], rows: int, *, openly: bool
) -> dict[str, Any]:
    reader = RecordMap(declared, today=today())
    refused, filled = Counter[str](), Counter[str]()
    chosen: list[dict[str, Any]] = []
    filtered = accepted = 0
    for number, (place, record) in enumerate(records, start=1):
        if not reader.wanted(record):
            filtered += 1
            continue
        outcome = reader.map(record)
        new = isinstance(outcome, Refusal) and not refused[outcome.reason.value]
        if isinstance(outcome, Mapped):
            accepted += 1
            filled.update(list(outcome.fields))
            filled.update(["as_of"] if outcome.as_of else [])
        else:
            refused[outcome.reason.value] += 1
        if len(chosen) < rows or new:
            chosen.append(_row(declared, number, place, record, outcome, openly=openly))
    return {
        "read": len(records),
        "accepted": accepted,
        "refused": dict(refused.most_common()),
        "filtered": filtered,
        "filled": {name: filled[name] for name in declared.map},
        "would_pause": refused.total() > declared.refuse_limit * max(1, accepted + refused.total()),
        "rows": chosen,
    }


def _row(
    declared: DatasetSource,
    number: int,
    place: str,
    record: Mapping[str, Any],
    outcome: Mapped | Refusal,
    *,
    openly: bool,
) -> dict[str, Any]:
    """One record, each mapped column beside what becomes of it."""
    personal = {how.column: name for name, how in declared.map.items() if how.column is not None}
    key = " ".join(f"{column}={_key(personal, column, record.get(column), openly=openly)}" for column in declared.key)
    about: dict[str, Any] = {"row": number, "key": key, "place": masked(place) or None}
    if isinstance(outcome, Refusal):
        why = REASONS[outcome.reason]
        about |= {
            "outcome": "refused", "reason": outcome.reason.value, "field": outcome.field, "column": outcome.column,
            "looks_like": outcome.detail, "meaning": why.english, "meaning_zh": why.chinese, "mend": why.mend,
        }  # fmt: skip
    else:
        about |= {"outcome": "accepted"}
    return about | {"fields": [_field(name, declared, record, outcome, openly=openly) for name in declared.map]}


def _key(personal: Mapping[str, str], column: str, value: object, *, openly: bool) -> str:
    if column in personal:
        return shown(personal[column], value, openly=openly)
    return shown("", value, openly=True)  # a number of the department's own, in which no ID number is shown


def _field(
    name: str, declared: DatasetSource, record: Mapping[str, Any], outcome: Mapped | Refusal, *, openly: bool
) -> dict[str, Any]:
    how = declared.map[name]
    source = shown(name, record.get(how.column), openly=openly) if how.column is not None else None
    entry: dict[str, Any] = {"field": name, "column": how.column, "source": source}
    if isinstance(outcome, Refusal):
        return entry | {"canonical": None, "refused": outcome.field == name}
    value: object = outcome.as_of if name == "as_of" else outcome.fields.get(name)
    mend = outcome.mends.get(name)
    entry["canonical"] = (
        str(value).lower()
        if isinstance(value, bool)
        else value
        if isinstance(value, int)
        else shown(name, value, openly=openly) or None
    )
    return entry | ({"mend": mend} if mend else {})
