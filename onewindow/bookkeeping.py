"""``onewindow books``: the books of each dataset as status has them, and where they do not balance, down to the keys.

Beside them stand how many records the source holds by its own count, where it can tell, and how many streams knows of.
"""

from __future__ import annotations

from contextlib import closing
from typing import Any

from contracts.changes import MARKS, FastChange, decode
from contracts.errors import OneWindowError
from contracts.sources import Source, department_topic
from onewindow.archive import History
from onewindow.databases import existing_store
from onewindow.events_log import EventsLog
from onewindow.history import archive_of
from onewindow.settings import Deployment
from onewindow.sources import discover
from onewindow.status import Watcher
from projections.databases import reading
from streams.store import BOOKS, Store, counted

_KEYS = 10
_PARTS = ("read", *BOOKS, "pending", "balanced", "unbalanced")


def books(deployment: Deployment) -> dict[str, Any]:
    """All books. ``balanced`` is False where one does not balance, or where that can't be told now."""
    with closing(Watcher(deployment)) as watcher:
        found = watcher.look()
    engine = existing_store(deployment)
    try:
        with reading(engine) as connection:
            known = counted(connection)
        counts = {source.system: _own_counts(deployment, source) for source in deployment.sources}
        datasets = []
        for each in found["sources"]:
            name = f"{each['system']}.{each['dataset']}"
            if each["unbalanced"]:
                _find_keys(deployment, Store(engine), name, each["unbalanced"])
            about = {part: each[part] for part in _PARTS}
            if about["balanced"] and about["unbalanced"]:  # all that came is counted, and something never came
                about["balanced"] = False
            datasets.append(
                {"dataset": name, **about, "records": known.get(name, 0),
                 "source_rows": counts[each["system"]].get(each["dataset"])}
            )  # fmt: skip
    finally:
        engine.dispose()
    return {"balanced": all(each["balanced"] for each in datasets), "datasets": datasets}


def _own_counts(deployment: Deployment, source: Source) -> dict[str, int]:
    """How many rows each dataset's table or newest file has, as the source tells or estimates it; not those that it can't
    tell now."""
    try:
        found = discover(deployment, source.system)
    except OneWindowError:
        return {}
    rows = {each["name"]: each["rows"] for each in found if each["rows"] is not None}
    named = {
        dataset: ".".join(filter(None, [item.schema_name, item.table])) or dataset
        for dataset, item in source.datasets.items()
    }
    return {dataset: rows[name] for dataset, name in named.items() if name in rows}


def _find_keys(deployment: Deployment, store: Store, name: str, partitions: list[dict[str, Any]]) -> None:
    """Put into each partition the keys whose events lie in the topic before where streams stands, and of which it knows no
    decision as new: ``unaccounted`` events, and the first ``keys``. None where the topic can't be read that far."""
    system, _, dataset = name.partition(".")
    for each in partitions:
        try:
            with closing(EventsLog(deployment.bootstrap)) as log:
                history = History(archive_of(deployment), log)
                found = _unaccounted(history, store, department_topic(system, dataset), name, each)
        except OneWindowError as error:
            found = {"unaccounted": None, "keys": [], "why": error.finding}
        each.update(found)


def _unaccounted(history: History, store: Store, topic: str, name: str, at: dict[str, Any]) -> dict[str, Any]:
    count, keys = 0, dict[str, None]()
    for _, _, records in history.records(topic, at["partition"], 0, min(at["taken"], at["in_topic"] or 0)):
        changes = decode([item.value or b"" for item in records])
        versions = [
            (item.key.decode(), change.source.version)
            for item, change in zip(records, changes, strict=True)
            if item.key and isinstance(change, FastChange) and change.op not in MARKS
        ]
        with reading(store.engine) as connection:
            states = store.states(connection, name, list({key for key, _ in versions}))
        lacking = [key for key, version in versions if key not in states or states[key].version < version]
        count += len(lacking)
        keys |= dict.fromkeys(lacking if len(keys) < _KEYS else ())
    return {"unaccounted": count, "keys": list(keys)[:_KEYS]}
