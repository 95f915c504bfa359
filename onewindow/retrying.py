"""``onewindow quarantine retry``: refused records are decided once more, as the mended mapping makes them (guarantee 3).

Each is decided from the event that was refused, and judged by the day on which that was written, as a remap of the whole
dataset would do. One that was decided since by a newer event is left as it is.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import closing
from datetime import UTC, date, datetime
from functools import partial
from itertools import groupby
from typing import Any

from contracts.dates import day_in_china
from contracts.errors import QuarantineUnknown, TopicWrong
from onewindow import asking, damage
from onewindow.archive import History
from onewindow.events_log import EventsLog, identity
from onewindow.history import archive_of
from onewindow.locks import locked
from onewindow.remapping import declared, live_store, patiently
from onewindow.settings import Deployment
from projections.databases import reading
from streams.intake import Intake
from streams.mapping import refusal
from streams.records import incoming
from streams.refold import Declared
from streams.store import Store

COUNTS = ("released", "filtered", "refused", "moved", "dropped")
_TOGETHER = 500  # records of a transaction: less than a tenth of a second in which the partition waits
_NEAR = 2_000  # events between two refused ones that are read over rather than sought past


def retry(deployment: Deployment, reason: str | None, dataset: str | None, keys: Sequence[str]) -> dict[str, Any]:
    """Decide refused records once more: those with these keys, of this reason, of this dataset; all of them unless told.

    The mapping of each dataset's source file comes into force, as by ``remap``; what was accepted before is left to that.
    Raises DatasetUnknown; QuarantineUnknown for a key that is not refused; DatasetPaused, and what keeps log or store from
    being read.
    """
    if dataset is not None:
        deployment.dataset(dataset)
    damaged = damage.found(deployment.directory)
    if damaged is not None:
        raise damaged
    chosen = asking.open_refusals(deployment, reason, dataset)
    if unknown := sorted(set(keys) - {each["record_key"] for each in chosen}):
        raise QuarantineUnknown(
            f"{unknown[0]} is not in quarantine, or was discarded", fix="list them: onewindow quarantine list"
        )
    chosen = [each for each in chosen if not keys or each["record_key"] in keys]
    names = {f"{about.system}.{about.dataset}": about for about in declared(deployment)}
    refused = {name: [each for each in chosen if each["dataset"] == name] for name in names}
    found = [_of_dataset(deployment, names[name], rows) for name, rows in refused.items() if rows]
    totals = {name: sum(each[name] for each in found) for name in COUNTS}
    return {"records": sum(map(len, refused.values())), **totals, "datasets": found}


def _of_dataset(deployment: Deployment, about: Declared, refused: list[dict[str, Any]]) -> dict[str, Any]:
    name, counts = f"{about.system}.{about.dataset}", Counter[str]()
    with locked(deployment.directory, f"remap-{name}"), live_store(deployment) as store:
        intake = Intake(
            store, about.system, about.dataset, about.declared,
            owner_on=about.owner_on, hasher=deployment.hasher, partitions=deployment.settings.kafka.partitions,
        )  # fmt: skip
        about_log = identity(deployment.bootstrap, [intake.topic])
        store.prepare(about_log.cluster_id, about_log.topic_ids)  # offsets of another log mean other records
        patiently(intake.adopt)
        with closing(EventsLog(deployment.bootstrap, [intake.topic])) as log:
            history = History(archive_of(deployment), log)
            for partition, rows in groupby(sorted(refused, key=_place), key=lambda each: int(each["partition"])):
                counts += _of_partition(intake, history, partition, list(rows))
        whole = _is_whole(store, intake)
    return {
        "dataset": name,
        "records": len(refused),
        **{each: counts[each] for each in COUNTS},
        "remap_wanted": not whole,
    }


def _place(row: dict[str, Any]) -> tuple[int, int]:
    return row["partition"], row["offset"]


def _is_whole(store: Store, intake: Intake) -> bool:
    """Whether every record is as this mapping makes it."""
    with reading(store.engine) as connection:
        found = store.in_force(connection, intake.topic)
    return found is not None and found.whole


def _of_partition(intake: Intake, history: History, partition: int, rows: list[dict[str, Any]]) -> Counter[str]:
    why = {row["record_key"]: refusal(row["reason"], row["field"], row["column"], row["detail"]) for row in rows}
    counts = Counter[str]()
    for piece in _runs([row["offset"] for row in rows]):
        events = _events(history, intake.topic, partition, piece)
        counts["dropped"] += len(piece) - len(events)  # they stay refused
        for on, of_the_day in groupby(events, key=_written_on):
            items = [incoming(event) for event in of_the_day]
            counts += patiently(partial(intake.decide_again, partition, why, items, on))
    return counts


def _runs(offsets: Sequence[int]) -> Iterator[list[int]]:
    """Offsets that are read together: near each other, and not too many."""
    run: list[int] = []
    for offset in offsets:
        if run and (offset - run[-1] > _NEAR or len(run) == _TOGETHER):
            yield run
            run = []
        run.append(offset)
    if run:
        yield run


def _events(history: History, topic: str, partition: int, offsets: Sequence[int]) -> list[Any]:
    """The events at these offsets, but for those that retention has dropped and no archive has."""
    wanted = set(offsets)
    try:
        return [
            record
            for _, _, records in history.records(topic, partition, offsets[0], offsets[-1] + 1)
            for record in records
            if record.offset in wanted
        ]
    except TopicWrong:  # the first is gone, and who knows how many behind it
        half = len(offsets) // 2
        parts = (offsets[:half], offsets[half:]) if half else ()
        return [record for part in parts for record in _events(history, topic, partition, part)]


def _written_on(event: Any) -> date:
    return day_in_china(datetime.fromtimestamp((event.timestamp or 0) / 1_000, UTC))
