"""The relay and the view's engine on a real broker: a lost batch is a gap that is seen, and repaired (guarantee 2)."""

from __future__ import annotations

import asyncio
import contextlib
import json
import uuid

import pytest
from aiokafka.errors import KafkaError
from kafka import KafkaConsumer, TopicPartition
from kafka.admin import KafkaAdminClient, NewTopic
from test_pauses import until

from contracts.identity import Hasher
from projections.databases import open_view, reading
from projections.engine import LogIdentity, ViewEngine
from projections.reading import gaps
from projections.tables import resident
from projections.winners import Authority
from streams.intake import Outgoing, _pack
from streams.records import arrival
from streams.relay import Relay
from streams.store import Post, Store

HASHER = Hasher(b"0123456789abcdef")


class Stage:
    """A store with an outbox, a topic of its own on the broker, and a view."""

    def __init__(self, bootstrap, folder):
        self.topic, self.bootstrap = f"community-{uuid.uuid4().hex[:8]}", bootstrap
        admin = KafkaAdminClient(bootstrap_servers=bootstrap)
        admin.create_topics([NewTopic(self.topic, 1, 1)])
        admin.close()
        self.store = Store(open_view(f"sqlite:///{folder}/streams.sqlite"))
        self.store.prepare("cluster", {})
        self.view = ViewEngine(open_view(f"sqlite:///{folder}/view.sqlite"), Authority({}))
        self.view.projections[0].topics = (self.topic,)
        self.view.prepare(LogIdentity("cluster", {self.topic: "id"}))
        self.number = 0

    def decide(self, *names):
        """A batch of decisions, as intake puts it into the outbox."""
        events = []
        for name in names:
            body = {
                "type": "RecordAsserted", "version": 1, "resident_id": HASHER.resident(name), "system": "s",
                "dataset": "d", "record_key": name, "revision": 1, "event_id": "e", "fields": {"name": name},
            }  # fmt: skip
            value = json.dumps(body).encode()
            events.append(Outgoing(self.topic, 0, body["resident_id"], "RecordAsserted", "in/0", self.number, value))
            self.number += 1
        with self.store.engine.begin() as connection:
            (row,) = self.store.post(connection, "in", [Post(0, _pack(events), {f"{self.topic}/0": self.number})])
        return row, events

    def relay(self, wrap=lambda publish: publish, beside=None):
        """Until the outbox is empty. ``beside`` gets the relay meanwhile."""

        async def run():
            async def in_thread(function, *arguments):
                return await asyncio.to_thread(function, *arguments)

            relay = Relay(self.store, self.bootstrap, in_thread, wrap=wrap)
            task = asyncio.create_task(relay.run())
            if beside is not None:
                await beside(relay)
            with contextlib.suppress(asyncio.CancelledError, Crash):
                while not task.done() and self.store.unsent(0, 1):  # noqa: ASYNC110 - a database has no events
                    await asyncio.sleep(0.01)
                task.cancel()
                await task
            await relay.close()

        asyncio.run(run())

    def project(self):
        """Everything in the topic, once more from the start, as a fetch would bring it."""
        consumer = KafkaConsumer(bootstrap_servers=self.bootstrap, enable_auto_commit=False)
        place = TopicPartition(self.topic, 0)
        end = consumer.end_offsets([place])[place]
        consumer.assign([place])
        consumer.seek(place, 0)
        records = []
        while consumer.position(place) < end:
            records += consumer.poll(timeout_ms=1_000).get(place, [])
        consumer.close()
        return self.view.take(self.topic, 0, first=0, to=end, arrivals=[arrival(record) for record in records])

    def names(self):
        with reading(self.view.engine) as connection:
            return {row.name for row in connection.execute(resident.select())}

    def close(self):
        self.store.engine.dispose()
        self.view.engine.dispose()


class Crash(Exception):
    """The process dies here."""


@pytest.fixture
def stage(broker, tmp_path):
    stage = Stage(broker.bootstrap, tmp_path)
    yield stage
    stage.close()


def test_the_outbox_is_published_in_order_and_emptied(stage):
    stage.decide("a", "b")
    stage.decide("c")
    stage.relay()
    assert stage.store.unsent(0, 9) == []
    assert stage.project().applied == 3
    assert stage.names() == {"a", "b", "c"}


def test_a_crash_that_loses_one_batch_and_sends_the_next_is_seen_and_repaired(stage):
    stage.decide("a")
    stage.relay()
    stage.decide("lost")
    stage.decide("next")

    def lose_one(publish):
        async def publishing(events):
            kept = [event for event in events if b'"lost"' not in event.value]
            await publish(kept)
            raise Crash

        return publishing

    stage.relay(lose_one)
    taken = stage.project()
    assert [(gap.expected, gap.found) for gap in taken.gaps] == [(1, 2)]
    assert stage.names() == {"a"}  # nothing after the gap is applied
    with reading(stage.view.engine) as connection:
        assert len(gaps(connection)) == 1

    stage.relay()  # the process starts again: everything from the lost batch on is sent once more, in order
    taken = stage.project()
    assert taken.gaps == []
    assert stage.names() == {"a", "lost", "next"}


def test_a_batch_that_was_sent_and_not_deleted_is_applied_once(stage):
    stage.decide("a", "b")

    def crash_after(publish):
        async def publishing(events):
            await publish(events)
            raise Crash

        return publishing

    stage.relay(crash_after)
    stage.relay()
    taken = stage.project()
    assert (taken.applied, taken.repeated) == (2, 2)


def test_a_failed_send_is_a_failure_of_everything_after_it(stage):
    failed = []
    for name in "abc":
        stage.decide(name)

    def fail_once(publish):
        async def publishing(events):
            if not failed:
                failed.append(1)
                raise KafkaError
            await publish(events)

        return publishing

    stage.relay(fail_once)
    taken = stage.project()
    assert taken.gaps == []
    assert stage.names() == {"a", "b", "c"}


def test_what_is_handed_over_is_not_read_back(stage):
    read = []
    unsent = stage.store.unsent

    async def hand_over(relay):
        relay.hand_over([stage.decide("a")])  # at the start it looks whether something lies before it
        await until(lambda: not unsent(0, 1))
        relay._looked_at = float("inf")  # the look of each second
        stage.store.unsent = lambda after, limit: (limit > 1 and read.append(after)) or unsent(after, limit)
        relay.hand_over([stage.decide("b"), stage.decide("c")])
        await until(lambda: not unsent(0, 1))

    stage.relay(beside=hand_over)
    taken = stage.project()
    assert (read, taken.gaps, taken.repeated) == ([], [], 0)
    assert stage.names() == {"a", "b", "c"}


def test_the_first_of_an_origin_has_nothing_before_it(stage):
    """A full load begins with dozens of origins at once: each looked at would wait for intake's transactions."""
    read = []

    async def begin(relay):
        await until(lambda: not relay._behind)
        relay._looked_at = float("inf")
        unsent = stage.store.unsent
        stage.store.unsent = lambda after, limit: (limit > 1 and read.append(after)) or unsent(after, limit)
        relay.hand_over([stage.decide("a"), stage.decide("b")])
        await until(lambda: not unsent(0, 1))

    stage.relay(beside=begin)
    assert (read, stage.project().gaps) == ([], [])
    assert stage.names() == {"a", "b"}


def test_what_was_left_in_the_outbox_goes_before_what_is_handed_over(stage):
    """Another worker, or a commit that seemed to fail, left it there: what follows it would never be applied."""

    async def hand_over(relay):
        relay.hand_over([stage.decide("a")])
        await until(lambda: not stage.store.unsent(0, 1))
        relay._looked_at = float("inf")
        stage.decide("left")
        relay.hand_over([stage.decide("next")])
        await until(lambda: not stage.store.unsent(0, 1))

    stage.relay(beside=hand_over)
    taken = stage.project()
    assert (taken.gaps, taken.withheld) == ([], 0)
    assert stage.names() == {"a", "left", "next"}


def test_more_than_may_be_held_in_memory_is_read_back(stage):
    async def hand_over(relay):
        for number in range(100):
            relay.hand_over([stage.decide(f"name {number}")])
        await until(lambda: not stage.store.unsent(0, 1))

    stage.relay(beside=hand_over)
    taken = stage.project()
    assert (taken.gaps, taken.withheld) == ([], 0)
    assert len(stage.names()) == 100


def test_it_ends_also_when_it_is_woken_at_that_moment(broker, tmp_path):
    """Python 3.11's wait_for returns instead of being cancelled then, and a role that was told to stop went on for ever."""
    stage = Stage(broker.bootstrap, tmp_path)

    async def run():
        async def in_thread(function, *arguments):
            return await asyncio.to_thread(function, *arguments)

        relay = Relay(stage.store, stage.bootstrap, in_thread)
        task = asyncio.create_task(relay.run())
        await until(lambda: relay._wake._waiters)  # it has nothing to do
        relay._wake.set()
        await asyncio.sleep(0)  # one turn of the loop: the wait is over, and who waited has not gone on
        task.cancel()
        await asyncio.wait({task}, timeout=10)
        assert task.cancelled()
        await relay.close()

    asyncio.run(run())
