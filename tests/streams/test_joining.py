"""A dataset that is added is taken by the roles that run; none is started again."""

from __future__ import annotations

import asyncio
import uuid

import pytest
import sqlalchemy as sa
from kafka.admin import KafkaAdminClient, NewTopic
from test_held import PARTITIONS, Group
from test_pauses import DECLARED, HASHER, until, write

from contracts.events import RESIDENT_TOPIC
from contracts.sources import department_topic, quarantine_topic
from producers.topics import TopicSpec, ensure_topics
from projections.databases import open_view
from streams import store as tables
from streams.intake import Intake
from streams.roles import StreamsRole
from streams.store import Store


def decided(store, topic):
    with store.engine.connect() as connection:
        return connection.scalar(sa.select(tables.books.c.accepted).where(tables.books.c.topic == topic))


def test_a_dataset_joins_while_the_role_works(broker, tmp_path):
    old, new = (f"s{uuid.uuid4().hex[:8]}" for _ in range(2))
    topics = {system: department_topic(system, "d") for system in (old, new)}
    names = [*topics.values(), *(quarantine_topic(system, "d") for system in topics), RESIDENT_TOPIC]
    ensure_topics(broker.bootstrap, [TopicSpec(name, 1) for name in names])
    store = Store(open_view(f"sqlite:///{tmp_path}/streams.sqlite"))
    store.prepare("cluster", dict.fromkeys(topics.values(), "id"))
    intakes = {
        system: Intake(store, system, "d", DECLARED, owner_on=lambda _: "人社", hasher=HASHER, partitions=1)
        for system in topics
    }

    async def main():
        stop = asyncio.Event()
        role = StreamsRole(store, [intakes[old]], bootstrap=broker.bootstrap, instance=old, datadir=str(tmp_path / "d"))
        write(broker.bootstrap, old, range(20), "张三")
        write(broker.bootstrap, new, range(30), "张三")
        running = asyncio.create_task(role.run(stop, lambda: None))
        await until(lambda: decided(store, topics[old]) == 20)
        assert decided(store, topics[new]) is None
        await role.join(intakes[new])
        await until(lambda: decided(store, topics[new]) == 30)
        write(broker.bootstrap, old, range(20, 40), "张三")
        write(broker.bootstrap, new, range(30, 50), "张三")
        await until(lambda: (decided(store, topics[old]), decided(store, topics[new])) == (40, 50))
        stop.set()
        await running

    asyncio.run(main())
    store.engine.dispose()


@pytest.mark.parametrize("comes", [True, False])
def test_a_role_without_a_dataset_waits_for_the_first_one(broker, tmp_path, monkeypatch, comes):
    monkeypatch.setattr("streams.roles._WELCOME_S", 0.05)
    system = f"s{uuid.uuid4().hex[:8]}"
    topic = department_topic(system, "d")
    ensure_topics(broker.bootstrap, [TopicSpec(n, 1) for n in (topic, quarantine_topic(system, "d"), RESIDENT_TOPIC)])
    store = Store(open_view(f"sqlite:///{tmp_path}/streams.sqlite"))
    store.prepare("cluster", {topic: "id"})
    intake = Intake(store, system, "d", DECLARED, owner_on=lambda _: "人社", hasher=HASHER, partitions=1)
    asked = []

    def newcomers():
        asked.append(1)
        return [intake] if comes and len(asked) == 3 else []

    async def main():
        stop, ready = asyncio.Event(), asyncio.Event()
        role = StreamsRole(
            store, [], bootstrap=broker.bootstrap, instance=system, datadir=str(tmp_path / "d"), newcomers=newcomers
        )
        running = asyncio.create_task(role.run(stop, ready.set))
        await ready.wait()
        write(broker.bootstrap, system, range(20), "张三")
        await until(lambda: len(asked) >= 3)
        if comes:
            await until(lambda: decided(store, topic) == 20)
        stop.set()
        await running

    asyncio.run(main())
    assert comes or decided(store, topic) is None
    store.engine.dispose()


def test_workers_may_hear_of_it_one_after_the_other(broker, tmp_path):
    group = Group(broker.bootstrap, tmp_path)
    group.freed, added = True, f"{group.name}-added"
    admin = KafkaAdminClient(bootstrap_servers=broker.bootstrap)
    admin.create_topics([NewTopic(added, PARTITIONS, 1)])
    admin.close()

    async def after(_):
        """Nothing follows."""

    async def main():
        stop, workers = asyncio.Event(), [group.runner("one"), group.runner("two")]
        running = [asyncio.create_task(worker.run(stop, ready=lambda: None)) for worker in workers]
        for worker in workers:
            await until(lambda app=worker.app: app.started and app.consumer_generation_id > 0)
        for worker in workers:
            await worker.join(added, group.work, after)
            group.write(group.other, 100)
            group.write(added, 100)
            await group.all_of(group.other)
            await group.all_of(added)
        assert all(added in worker.app.topics._topic_name_index for worker in workers)
        stop.set()
        await asyncio.gather(*running)

    asyncio.run(main())
    assert all(sorted(got) == list(range(len(got))) for got in group.got.values())
