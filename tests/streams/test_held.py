"""A topic that is held, because its dataset is paused, holds up no other; not after a rebalance either."""

from __future__ import annotations

import asyncio
import uuid

import pytest
from aiokafka.errors import IllegalStateError
from kafka import KafkaProducer
from kafka.admin import KafkaAdminClient, NewTopic

from contracts.errors import DatasetPaused, OutOfStep
from streams.batches import BatchConsumer
from streams.runner import Runner

PARTITIONS = 2
LIMIT_S = 60.0  # ends a test that is broken


class Group:
    """Two topics, one of them paused until it is freed, and the offsets that a database would hold."""

    def __init__(self, bootstrap, folder):
        self.bootstrap, self.folder = bootstrap, folder
        self.name = f"held-{uuid.uuid4().hex[:8]}"
        self.paused, self.other = f"{self.name}-paused", f"{self.name}-other"
        self.freed, self.stored, self.got = False, {}, {}
        self.written = {}
        admin = KafkaAdminClient(bootstrap_servers=bootstrap)
        admin.create_topics([NewTopic(topic, PARTITIONS, 1) for topic in (self.paused, self.other)])
        admin.close()

    def write(self, topic, count):
        producer = KafkaProducer(bootstrap_servers=self.bootstrap)
        for number in range(count):
            producer.send(topic, b"%d" % number, partition=number % PARTITIONS)
        producer.close()
        self.written[topic] = self.written.get(topic, 0) + count

    def work(self, topic, fetches):
        """As intake does: what lies below the stored offset was seen, a hole is not gone over."""
        if topic == self.paused and not self.freed:
            raise DatasetPaused("sick", fix="mend it")
        for partition, first, records in fetches:
            self.take(topic, partition, first, records)

    def take(self, topic, partition, first, records):
        stood = self.stored.get((topic, partition), 0)
        if first > stood:
            raise OutOfStep(f"from {first}, stands at {stood}", fix="")
        self.got.setdefault((topic, partition), []).extend(each.offset for each in records if each.offset >= stood)
        self.stored[topic, partition] = max(stood, records[-1].offset + 1)

    def runner(self, instance):
        runner = Runner(
            self.name, bootstrap=self.bootstrap, instance=instance, datadir=str(self.folder / instance),
            check=lambda topic, partition, *_: self.stored.get((topic, partition), 0), positions=lambda: self.stored, together=4_000,
        )  # fmt: skip

        async def after(_):
            """Nothing follows."""

        runner.agent(self.paused, self.work, after)
        runner.agent(self.other, self.work, after)
        return runner

    def count(self, topic):
        return sum(len(offsets) for (at, _), offsets in self.got.items() if at == topic)

    async def all_of(self, topic):
        await until(lambda: self.count(topic) == self.written[topic])


async def until(condition):
    async with asyncio.timeout(LIMIT_S):
        while not condition():  # noqa: ASYNC110 - what is looked at has no events
            await asyncio.sleep(0.01)


@pytest.fixture
def group(broker, tmp_path, monkeypatch):
    monkeypatch.setattr(BatchConsumer, "largest_batch", 10)  # many batches
    return Group(broker.bootstrap, tmp_path)


def test_a_held_topic_holds_up_no_other_and_goes_on_without_a_hole(group):
    async def main():
        stop, first = asyncio.Event(), group.runner("one")
        group.write(group.paused, 300)
        running = asyncio.create_task(first.run(stop, ready=lambda: None))
        await until(lambda: group.paused in first.app.consumer.held if first.app.started else False)
        group.write(group.other, 300)
        await group.all_of(group.other)
        assert group.count(group.paused) == 0
        group.write(group.paused, 100)
        group.freed = True
        await group.all_of(group.paused)
        stop.set()
        await running

    asyncio.run(main())
    assert {place: sorted(got) == list(range(len(got))) for place, got in group.got.items()} == dict.fromkeys(
        group.got, True
    )


def test_what_is_delivered_while_a_rebalance_overtakes_another_is_not_lost(group):
    """Faust lets the flow go on after it sought, and clears the queues then: whatever was delivered in between."""

    async def main():
        stop, worker = asyncio.Event(), group.runner("one")
        group.freed = True
        running = asyncio.create_task(worker.run(stop, ready=lambda: None))
        group.write(group.other, 100)
        await group.all_of(group.other)
        consumer = worker.app.consumer
        assert (
            consumer.flow_active
        )  # as when a subscription changed, or the recovery of an older generation let it go on
        await consumer.perform_seek()
        assert not consumer.flow_active
        assert not worker.app.flow_control.is_active()
        group.write(group.other, 100)
        worker.app.flow_control.resume()
        consumer.resume_flow()
        await group.all_of(group.other)
        stop.set()
        await running

    asyncio.run(main())
    assert all(sorted(got) == list(range(len(got))) for got in group.got.values())


def test_partitions_that_are_assigned_anew_amid_a_seek_end_no_role(group, monkeypatch):
    async def main():
        stop, worker = asyncio.Event(), group.runner("one")
        running = asyncio.create_task(worker.run(stop, ready=lambda: None))
        await until(lambda: worker.app.started and worker.app.consumer._next)  # the first seek is done
        consumer, generation = worker.app.consumer, worker.app.consumer_generation_id

        async def refused(_):
            worker.app.consumer_generation_id += 1
            raise AssertionError

        monkeypatch.setattr(consumer, "seek_wait", refused)
        with pytest.raises(IllegalStateError):
            await consumer.seek_to_committed()
        assert worker.app.failure is None
        worker.app.consumer_generation_id = generation

        async def broken(_):
            raise ZeroDivisionError

        monkeypatch.setattr(consumer, "seek_wait", broken)  # nothing was assigned anew: that is a fault
        with pytest.raises(ZeroDivisionError):
            await consumer.seek_to_committed()
        with pytest.raises(ZeroDivisionError):
            await running

    asyncio.run(main())


def test_a_held_topic_stays_held_after_a_rebalance(group):
    async def main():
        stop, first, second = asyncio.Event(), group.runner("one"), group.runner("two")
        group.write(group.paused, 300)
        running = [asyncio.create_task(first.run(stop, ready=lambda: None))]
        await until(lambda: group.paused in first.app.consumer.held if first.app.started else False)
        group.write(group.other, 40)
        await group.all_of(group.other)
        generation = first.app.consumer_generation_id
        running.append(asyncio.create_task(second.run(stop, ready=lambda: None)))
        await until(lambda: first.app.consumer_generation_id != generation and not first.app.rebalancing)
        group.write(group.paused, 300)
        group.write(group.other, 300)
        await group.all_of(group.other)
        assert group.count(group.paused) == 0
        active = first.app.consumer._get_active_partitions()
        assert {tp.topic for tp in active} == {group.other}  # nothing more of it is even fetched
        group.freed = True
        await group.all_of(group.paused)
        stop.set()
        await asyncio.gather(*running)

    asyncio.run(main())
    assert all(sorted(got) == list(range(len(got))) for got in group.got.values())
