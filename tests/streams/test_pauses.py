"""A sick dataset pauses; a person lets it go on, and the role that runs takes notice."""

from __future__ import annotations

import asyncio
import uuid

import sqlalchemy as sa
from kafka import KafkaProducer

from contracts.changes import FastChange, FastSource, encode
from contracts.events import RESIDENT_TOPIC
from contracts.identity import Hasher
from contracts.sources import DatasetSource, department_topic, quarantine_topic
from producers.topics import TopicSpec, ensure_topics
from projections.databases import open_view
from streams import store as tables
from streams.intake import Intake
from streams.roles import StreamsRole
from streams.store import Store

HASHER = Hasher(b"0123456789abcdef")
DECLARED = DatasetSource(key=["no"], map={"name": {"column": "name", "required": True}})
LIMIT_S = 60.0  # ends a test that is broken


def write(bootstrap, system, numbers, name):
    producer = KafkaProducer(bootstrap_servers=bootstrap)
    for number in numbers:
        value = encode(FastChange("upsert", {"no": str(number), "name": name}, FastSource(system, "d", 1, number, 0)))
        key = HASHER.record(system, "d", str(number)).encode()
        producer.send(department_topic(system, "d"), value, key=key, partition=0)
    producer.close()


def counts(store):
    with store.engine.connect() as connection:
        row = connection.execute(sa.select(tables.books)).mappings().one_or_none()
    return (row["accepted"], row["quarantined"]) if row else (0, 0)


async def until(condition):
    async with asyncio.timeout(LIMIT_S):
        while not condition():  # noqa: ASYNC110 - a database has no events
            await asyncio.sleep(0.02)


def test_a_paused_dataset_goes_on_in_the_running_role_when_a_person_says_so(broker, tmp_path):
    system = f"s{uuid.uuid4().hex[:8]}"
    topic = department_topic(system, "d")
    names = [topic, quarantine_topic(system, "d"), RESIDENT_TOPIC]
    ensure_topics(broker.bootstrap, [TopicSpec(name, 1) for name in names])
    store = Store(open_view(f"sqlite:///{tmp_path}/streams.sqlite"))
    store.prepare("cluster", {topic: "id"})
    intake = Intake(store, system, "d", DECLARED, owner_on=lambda _: "人社", hasher=HASHER, partitions=1)

    async def main():
        stop = asyncio.Event()
        role = StreamsRole(store, [intake], bootstrap=broker.bootstrap, instance=system, datadir=str(tmp_path / "d"))
        write(broker.bootstrap, system, range(50), "")
        running = asyncio.create_task(role.run(stop, lambda: None))
        await until(store.pauses)
        assert counts(store) == (0, 0)
        write(broker.bootstrap, system, range(50, 80), "张三")
        assert store.resume(topic, {(topic, 0): 80})
        await until(lambda: counts(store) == (30, 50))
        write(broker.bootstrap, system, range(80, 130), "")
        await until(store.pauses)  # judged afresh
        assert counts(store)[0] == 30
        stop.set()
        await running

    asyncio.run(main())
    store.engine.dispose()
