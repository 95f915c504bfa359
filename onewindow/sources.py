"""The department systems of a deployment: can they be read, what is in them, and what a person tells about them."""

from __future__ import annotations

import json
import secrets
from contextlib import closing
from datetime import UTC, datetime
from typing import Any

from connectors import open_connector
from connectors.base import Seeking, Sought
from contracts.errors import DatasetUnknown, OneWindowError, PlaceUnknown
from contracts.sources import Source, department_topic
from onewindow import data_contracts
from onewindow.databases import existing_store
from onewindow.events_log import EventsLog
from onewindow.logins import login
from onewindow.settings import Deployment
from producers import positions
from streams.store import Halt, Store


def check(deployment: Deployment, name: str | None) -> list[dict[str, Any]]:
    """The findings of each source's check, with the exit code that each stands for."""
    found: list[dict[str, Any]] = []
    for source in deployment.sources if name is None else [_source(deployment, name)]:
        try:
            with closing(_opened(deployment, source)) as connector:
                for told in (connector.check(), data_contracts.findings(deployment, source, connector)):
                    found.extend(_finding(item.level, item.subject, item.text, item.error) for item in told)
        except OneWindowError as error:
            found.append(_finding("fail", source.system, str(error), error))
    return found


def _finding(level: str, subject: str, text: str, error: Exception | None) -> dict[str, Any]:
    ours = error if isinstance(error, OneWindowError) else None
    return {
        "level": level,
        "subject": subject,
        "text": text,
        "code": ours.code if ours else None,
        "exit_code": (ours.exit_code if ours else 1) if level == "fail" else 0,
    }


def discover(deployment: Deployment, name: str) -> list[dict[str, Any]]:
    """What is in a system, declared or not: tables or files with their columns, key and estimated rows."""
    source = _source(deployment, name)
    declared = {data_contracts.shown_as(dataset, item): dataset for dataset, item in source.datasets.items()}
    connector = _opened(deployment, source)
    try:
        return [
            {
                "name": each.name,
                "dataset": declared.get(each.name),
                "rows": each.rows,
                "key": list(each.key),
                "columns": dict(each.columns),
            }
            for each in connector.discover()
        ]
    finally:
        connector.close()


def agree(deployment: Deployment, name: str, dataset: str | None, *, renew: bool) -> dict[str, Any]:
    """Make, compare or renew the data contracts of a system, or of one dataset of it."""
    source, names = chosen(deployment, name, dataset)
    with closing(_opened(deployment, source)) as connector:
        return data_contracts.agree(deployment, source, names, connector, renew=renew)


def chosen(deployment: Deployment, name: str, dataset: str | None) -> tuple[Source, list[str]]:
    """A system and the datasets of it that are meant: all of SYSTEM, or the one that is named, as SYSTEM.DATASET or beside
    it. Raises DatasetUnknown."""
    system, _, within = name.partition(".")
    one = dataset or within
    if one and not (within and dataset):
        source, found = deployment.dataset(f"{system}.{one}")
        return source, [found]
    source = _source(deployment, name)
    return source, list(source.datasets)


def pause(deployment: Deployment, name: str, dataset: str | None, reason: str) -> dict[str, Any]:
    """Wish that datasets be not read: the connectors heed it within two seconds, or when they are started."""
    source, datasets = chosen(deployment, name, dataset)
    wish = Halt(reason, login(), datetime.now(UTC).isoformat(timespec="seconds"))
    engine = existing_store(deployment)
    try:
        store, found = Store(engine), []
        for each in datasets:
            known = store.halt(department_topic(source.system, each), wish)
            about = (known or wish)._asdict()
            found.append({"dataset": f"{source.system}.{each}", "was_paused": known is not None, **about})
    finally:
        engine.dispose()
    return {"datasets": found}


def resume(deployment: Deployment, name: str, dataset: str | None = None) -> dict[str, Any]:
    """Let paused datasets go on. A person's pause ends; so does one after OW-1209, but only of a dataset that is named, for
    what it held back is then decided record by record, and refused ones go to quarantine."""
    source, datasets = chosen(deployment, name, dataset)
    is_named = bool(dataset) or "." in name
    topics = {department_topic(source.system, each): f"{source.system}.{each}" for each in datasets}
    engine = existing_store(deployment)
    try:
        store = Store(engine)
        ended = [each for topic, each in topics.items() if store.end_halt(topic) is not None]
        sick = [topic for topic in store.pauses() if topic in topics]
        if sick and is_named:
            with closing(EventsLog(deployment.bootstrap, sick)) as log:
                ended += [topics[topic] for topic in sick if store.resume(topic, log.ends())]
    finally:
        engine.dispose()
    still = [] if is_named else [topics[topic] for topic in sick]
    return {"dataset": name, "was_paused": bool(ended), "resumed": sorted({*ended} - {*still}), "still_paused": still}


def reread(deployment: Deployment, dataset: str) -> dict[str, Any]:
    """Wish that a dataset be read from its beginning: the connectors do it within two seconds, or when they are started."""
    topic = _topic(deployment, dataset)
    saved = positions.load(deployment.bootstrap).get(dataset)
    reading = saved.reading if saved is not None else 0
    engine = existing_store(deployment)
    try:
        Store(engine).wish(topic, reading)
    finally:
        engine.dispose()
    return {"dataset": dataset, "reading": reading}


def seek(deployment: Deployment, name: str, place: str | None, *, do: bool) -> dict[str, Any]:
    """What it means to read a dataset again from a place that was read before, None for its beginning; ``do``: wish it, too.
    The connectors do it within two seconds, or when they are started, under a new epoch.

    Raises DatasetUnknown, PlaceUnknown, and what reading the source raises.
    """
    source, dataset = deployment.dataset(name)
    saved = positions.load(deployment.bootstrap).get(name)
    stands, found = saved.position if saved is not None else None, None
    if place is not None:
        found = _sought(_opened(deployment, source), name, dataset, stands, place)
    engine = existing_store(deployment) if do else None
    if engine is not None:
        try:
            topic, store = department_topic(source.system, dataset), Store(engine)
            if found is None or saved is None:
                store.wish(topic, saved.reading if saved is not None else 0)
            else:
                store.wish_from(
                    topic,
                    secrets.token_hex(8),
                    json.dumps({"position": dict(found.position), "reading": saved.reading}),
                )
        finally:
            engine.dispose()
    return {
        "dataset": name,
        "to": place,
        "stands": found.stands if found is not None else None,
        "rows": found.rows if found is not None else None,
        "published": saved.published if saved is not None else 0,
        "done": do,
    }


def _sought(connector: Any, name: str, dataset: str, stands: dict[str, Any] | None, place: str) -> Sought:
    with closing(connector):
        if stands is None or not isinstance(connector, Seeking):
            why = (
                "was not read yet" if stands is None else "is not polled by a cursor, so it has no place to go back to"
            )
            raise PlaceUnknown(f"{name} {why}", fix=f"read all of it again: onewindow source seek {name} --beginning")
        return connector.sought(dataset, stands, place)


def _source(deployment: Deployment, name: str) -> Source:
    found = {source.system: source for source in deployment.sources}
    if name not in found:
        raise DatasetUnknown(f"no system {name} is declared", fix=f"declared are: {', '.join(found) or 'none'}")
    return found[name]


def _topic(deployment: Deployment, name: str) -> str:
    source, dataset = deployment.dataset(name)
    return department_topic(source.system, dataset)


def _opened(deployment: Deployment, source: Source) -> Any:
    """The connector of a source. Raises SecretMissing, SettingInvalid."""
    state = deployment.path("state") / source.system
    return open_connector(source, password=deployment.password(source), state=state)
