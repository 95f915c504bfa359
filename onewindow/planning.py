"""``onewindow plan``: what the deployment's files, as they are now, would change of what is there. Changes nothing itself.

Files are compared with what is in force: the mappings that streams decides under, the declaration that the view was made
by, the topics of the cluster; not how a source is reached (``connector``). An embedded broker that is down makes what it lacks
when it comes up. A step happens by itself when the deployment comes up, or says which command does it.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import sqlalchemy as sa

from contracts.errors import OneWindowError
from contracts.events import RESIDENT_TOPIC
from contracts.sources import DatasetSource, department_topic
from onewindow import cluster, run_files
from onewindow.databases import holds
from onewindow.settings import Deployment
from projections.databases import open_view, reading
from projections.engine import ViewEngine, read_positions
from projections.winners import Authority
from streams import store as tables
from streams.intake import fingerprints

_A_SECOND = 8_000  # events that a rebuild or a remap takes, on two cores: docs/performance.md
_BY_ITSELF = "by itself, when the deployment comes up"
_HARMLESS = {"title", "fresh_s", "refuse_limit", "disappear_limit"}


class Step(NamedTuple):
    """Something that is to be done. ``about``: a topic, a dataset, or a part. ``then``: what does it. ``events``: how many
    records or events it is about; None where that can't be told or does not matter."""

    about: str
    finding: str
    then: str
    events: int | None = None

    def document(self) -> dict[str, Any]:
        """As it is told."""
        seconds = None if self.events is None else max(1, round(self.events / _A_SECOND))
        return {**self._asdict(), "at_least_s": seconds}


def plan(deployment: Deployment) -> dict[str, Any]:
    """The steps in the order in which they come; and what could not be looked at, and why. Nothing is written.

    Raises DatabaseUnreachable when a database of the deployment can't be read.
    """
    steps, unknown = list[Step](), list[str]()
    if not deployment.settings.kafka.embedded or run_files.read(deployment.directory, "broker").get("alive"):
        try:
            steps += _topics(deployment)
        except OneWindowError as error:
            unknown.append(f"topics: {error.finding}")
    steps += _datasets(deployment)
    steps += _view(deployment)
    return {"steps": [step.document() for step in steps], "unknown": unknown, "as_declared": not steps and not unknown}


def _topics(deployment: Deployment) -> Iterator[Step]:
    for item in cluster.plan(deployment)["topics"]:
        if not item["exists"]:
            made = f"will be made, with {item['partitions']} partitions on {item['replication']} brokers"
            yield Step(item["topic"], made, _BY_ITSELF)
        elif item["differences"]:
            said = "; ".join(f"{one['setting']} is {one['is']}, not {one['wanted']}" for one in item["differences"])
            yield Step(item["topic"], said, "onewindow topics apply, which also says what it can't do")


# datasets ------------------------------------------------------------------------------------------------------------


def _datasets(deployment: Deployment) -> Iterator[Step]:
    store = open_view(deployment.streams_url)
    try:
        known, records = _known(store)
        topics = set()
        for source, dataset in deployment.datasets():
            name, topic = f"{source.system}.{dataset}", department_topic(source.system, dataset)
            topics.add(topic)
            yield from _dataset(name, source.datasets[dataset], known.get(topic), records.get(name, 0))
        for topic in sorted(known.keys() - topics):
            name = topic.split(".", 1)[1]
            stays = f"is not declared any more: nothing reads it; what its {records.get(name, 0):,} records say stays in the view"
            yield Step(name, stays, "nothing: declare it again, or leave it")
    finally:
        store.dispose()


def _known(store: sa.Engine) -> tuple[Mapping[str, tables.ActiveMapping], Mapping[str, int]]:
    """By topic the mappings that streams decides under, and by dataset how many records it knows."""
    if not holds(store, tables.record.name):
        return {}, {}
    with reading(store) as connection:
        return tables.mappings(connection), tables.counted(connection)


def _dataset(name: str, declared: DatasetSource, known: tables.ActiveMapping | None, records: int) -> Iterator[Step]:
    remap = f"onewindow remap {name}"
    if known is None:
        yield Step(name, "is new: it will be read from its beginning", _BY_ITSELF)
        return
    whole, meaning = fingerprints(declared)
    if whole != known.fingerprint:
        before = json.loads(DatasetSource.model_validate_json(known.declared).model_dump_json())
        now = json.loads(declared.model_dump_json())
        changes = list(_changes(before, now))
        said = f"has changed in {', '.join(changes)}"
        if before["key"] != now["key"]:
            yield Step(
                name, f"{said}: its records get other keys", f"start, then onewindow source reread {name}", records
            )
        elif meaning != known.meaning:
            then = f"{remap}; a start alone decides only what comes from then on so"
            yield Step(name, f"{said}: its {records:,} records are decided anew", then, records)
        elif set(changes) <= _HARMLESS:
            yield Step(name, f"{said}: nothing of what was decided changes", _BY_ITSELF)
        else:
            yield Step(name, f"{said}: it is read otherwise", f"start, then onewindow source reread {name}", records)
    elif not known.whole:
        yield Step(name, "holds records that were decided under an older mapping", remap, records)


def _changes(before: Mapping[str, Any], now: Mapping[str, Any]) -> Iterator[str]:
    """What differs between two declarations, by their names in the file."""
    for name in {**now, **before}:
        if name != "map" and before.get(name) != now.get(name):
            yield name
    old, new = before["map"], now["map"]
    for field in sorted({*old, *new}):
        if field not in old:
            yield f"map.{field} (new)"
        elif field not in new:
            yield f"map.{field} (gone)"
        elif old[field] != new[field]:
            yield f"map.{field}"


# the view ------------------------------------------------------------------------------------------------------------


def _view(deployment: Deployment) -> Iterator[Step]:
    engine = open_view(deployment.view_url)
    try:
        if not holds(engine, "meta"):
            yield Step("view", "will be made", _BY_ITSELF)
            return
        outdated = ViewEngine(engine, Authority(deployment.settings.authority)).outdated()
        if outdated is None:
            return
        with reading(engine) as connection:
            positions = read_positions(connection)
        events = sum(offset for (topic, _), offset in positions.items() if topic == RESIDENT_TOPIC)
        then = _BY_ITSELF if outdated.is_older else "onewindow rebuild; until then the projections role does not start"
        yield Step("view", outdated.finding, then, events)
    finally:
        engine.dispose()
