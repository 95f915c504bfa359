"""The end of a run: the faults are over, all has drained, and the view is held against the log and against the truth."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from chaos.history import Entry
from chaos.invariants import (
    OVER_TIME,
    Logged,
    Violation,
    as_meant,
    balanced,
    log_order,
    never_accepted,
    no_gap,
)
from contracts import changes, events
from contracts.errors import EventUnreadable
from contracts.events import RESIDENT_TOPIC
from contracts.sources import department_topic
from examples.city.faults import ID
from examples.city.truth import Truth
from onewindow.events_log import EventsLog
from onewindow.settings import Deployment
from onewindow.verifying import verify
from projections.databases import open_view, reading
from projections.tables import assertion, benefit, household_member, resident
from streams.store import quarantine

_LOOKS_LIKE_A_NUMBER = re.compile(r"(?<!\d)(\d{17}[\dX])(?:[1-7][1-4])?(?!\d)")


def over_time(history: list[Entry], poison: Iterable[str]) -> list[Violation]:
    """What the readers saw."""
    return [found for check in OVER_TIME for found in check(history)] + list(never_accepted(history, poison))


def at_rest(deployment: Deployment, status: dict[str, Any], logs: Iterable[Path]) -> list[Violation]:
    """Everything that has to be so once all is in the view."""
    truth = Truth.open(deployment.directory / "city")
    try:
        return [
            *balanced(status["sources"]),
            *_view_equals_log(deployment),
            *_as_the_truth_says(deployment, truth),
            *_log(deployment),
            *_no_number_in_logs(truth, logs),
        ]
    finally:
        truth.close()


def _view_equals_log(deployment: Deployment) -> Iterator[Violation]:
    found = verify(deployment)
    if not found["equal"]:
        yield Violation("I7", "view-differs", 0, f"{found['differences'][:5]}, gaps {found['gaps'][:5]}")


def _as_the_truth_says(deployment: Deployment, truth: Truth) -> Iterator[Violation]:
    """Residents, benefits, households and records as the departments hold them; refused ones with their reason."""
    hasher = deployment.hasher
    meant_residents, meant_benefits, provisional = {}, {}, 0
    for expected in truth.expected_residents():
        if expected.id_number is None:
            provisional += 1
        else:
            meant_residents[hasher.resident(expected.id_number)] = dict(expected.fields)
        for (dataset, key), said in expected.benefits.items():
            place = f"{dataset}/{hasher.record(*dataset.split('.'), key)}"
            meant_benefits[place] = {"amount_fen": said["benefit_amount_fen"], "state": said["benefit_state"]}
    meant_records, meant_refusals, meant_members = {}, {}, {}
    for record in truth.records():
        place = f"{record.dataset}/{hasher.record(*record.dataset.split('.'), record.key)}"
        if record.reason:
            meant_refusals[place] = {"reason": str(record.reason)}
        else:
            meant_records[place] = {"fields": record.fields}
        if "household_number" in record.fields:
            relation = record.fields.get("household_relation")
            meant_members[place] = {"household_number": record.fields["household_number"], "relation": relation}
    view = open_view(deployment.view_url)
    store = open_view(deployment.streams_url)
    try:
        with reading(view) as connection:
            found = list(connection.execute(sa.select(resident)).mappings())
            benefits = list(connection.execute(sa.select(benefit)).mappings())
            members = list(connection.execute(sa.select(household_member)).mappings())
            records = list(connection.execute(sa.select(assertion).where(assertion.c.live)).mappings())
        with reading(store) as connection:
            refused = list(connection.execute(sa.select(quarantine).where(sa.not_(quarantine.c.mended))).mappings())
    finally:
        view.dispose()
        store.dispose()
    yield from as_meant(meant_residents, [(row["resident_id"], row) for row in found if not row["provisional"]])
    shown = sum(bool(row["provisional"]) for row in found)
    if shown != provisional:
        yield Violation("I1", "lost-write", 0, f"{shown} provisional residents, and there are {provisional}")
    yield from as_meant(meant_benefits, [(_place(row), row) for row in benefits])
    yield from as_meant(meant_members, [(_place(row), row) for row in members])
    yield from as_meant(meant_records, [(_place(row), row) for row in records])
    yield from as_meant(meant_refusals, [(f"{row['dataset']}/{row['record_key']}", row) for row in refused])


def _place(row: Any) -> str:
    return f"{row['system']}.{row['dataset']}/{row['record_key']}"


def _log(deployment: Deployment) -> Iterator[Violation]:
    """Order, numbers, and whether each stored event can be read."""
    topics = [department_topic(source.system, dataset) for source, dataset in deployment.datasets()]
    log = EventsLog(deployment.bootstrap, [*topics, RESIDENT_TOPIC])
    logged: list[Logged] = []
    try:
        for (topic, partition), end in sorted(log.ends().items()):
            for _, _, records in log.records(topic, partition, 0, end):
                if topic == RESIDENT_TOPIC:
                    yield from _decoded(partition, records, logged)
                elif any(change is None for change in changes.decode([record.value or b"" for record in records])):
                    yield Violation("I14", "unreadable", 0, f"a change event of {topic}/{partition} can't be decoded")
    finally:
        log.close()
    yield from log_order(logged)
    yield from no_gap(logged)


def _decoded(partition: int, records: list[Any], logged: list[Logged]) -> Iterator[Violation]:
    try:
        found = events.decode([record.value for record in records])
    except EventUnreadable as error:
        yield Violation("I14", "unreadable", 0, f"{RESIDENT_TOPIC}/{partition}: {error.why}")
        return
    for record, event in zip(records, found, strict=True):
        headers = dict(record.headers)
        logged.append(
            Logged(
                partition,
                record.offset,
                headers[events.ORIGIN_HEADER].decode(),
                int(headers[events.NUMBER_HEADER]),
                f"{event.system}.{event.dataset}/{event.record_key}/{event.resident_id}",
                event.revision,
                bytes(record.value),
            )
        )


def _no_number_in_logs(truth: Truth, logs: Iterable[Path]) -> Iterator[Violation]:
    """I16: no ID number of the city in anything that was logged."""
    numbers = {record.fields["id_number"] for record in truth.records() if record.fields.get("id_number")}
    numbers |= {str(record.row[ID[record.dataset]] or "") for record in truth.records()}
    for path in logs:
        with path.open(errors="replace") as file:
            for line, text in enumerate(file, 1):
                if numbers.intersection(_LOOKS_LIKE_A_NUMBER.findall(text)):
                    yield Violation("I16", "id-number-in-log", 0, f"{path.name}, line {line}")
