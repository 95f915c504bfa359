"""The seam with Faust: whole batches, offsets from the database, nothing acknowledged that was not done.

These tests fail when Faust changes under the seam.
"""

from __future__ import annotations

import asyncio
import threading
import uuid
from collections import deque
from types import SimpleNamespace

import faust
import pytest
from kafka import KafkaProducer
from kafka.admin import KafkaAdminClient, NewTopic

from contracts.errors import RetryLater
from streams.runner import Runner, _fetches, _together

PARTITIONS = 2
LIMIT_S = 60.0  # ends a test that is broken


def topic_with(bootstrap, count):
    name = f"batches-{uuid.uuid4().hex[:8]}"
    admin = KafkaAdminClient(bootstrap_servers=bootstrap)
    admin.create_topics([NewTopic(name, PARTITIONS, 1)])
    admin.close()
    producer = KafkaProducer(bootstrap_servers=bootstrap)
    for number in range(count):
        producer.send(name, b"%d" % number, partition=number % PARTITIONS)
    producer.close()
    return name


def run(bootstrap, topic, folder, *, stored, work, enough):
    """Run a role until ``enough`` says so."""

    async def main():
        runner = Runner(
            f"group-{uuid.uuid4().hex[:8]}", bootstrap=bootstrap, instance="one", datadir=str(folder),
            check=lambda *place: stored.get(place[1], 0), positions=dict, together=4_000,
        )  # fmt: skip
        stop = asyncio.Event()

        async def after(_):
            if enough():
                stop.set()

        runner.agent(topic, work, after)
        await runner.run(stop, ready=lambda: None)

    asyncio.run(main())


def test_the_pinned_version_is_the_one_that_the_seam_was_written_against():
    assert faust.__version__ == "0.15.3"


def test_batches_are_whole_ordered_and_begin_where_the_database_says(broker, tmp_path):
    topic, got = topic_with(broker.bootstrap, 600), {}
    firsts: dict[int, list[int]] = {}

    def work(_, fetches):
        for partition, first, records in fetches:
            firsts.setdefault(partition, []).append(first)
            got.setdefault(partition, []).extend(record.offset for record in records)

    run(
        broker.bootstrap, topic, tmp_path, stored={0: 100, 1: 0}, work=work,
        enough=lambda: sum(map(len, got.values())) >= 500,
    )  # fmt: skip
    assert got == {0: list(range(100, 300)), 1: list(range(300))}
    assert firsts[0][0] == 100
    assert sum(map(len, firsts.values())) < 100  # batches, not events


def test_a_batch_that_must_wait_is_tried_again_and_nothing_is_left_out(broker, tmp_path):
    topic, got, failures = topic_with(broker.bootstrap, 100), [], [3]

    def work(_, fetches):
        if failures[0]:
            failures[0] -= 1
            raise RetryLater("the database is away", fix="wait")
        got.extend((partition, record.offset) for partition, _, records in fetches for record in records)

    run(broker.bootstrap, topic, tmp_path, stored={}, work=work, enough=lambda: len(got) >= 100)
    assert sorted(got) == [(p, o) for p in range(PARTITIONS) for o in range(50)]
    assert failures == [0]


class Stream:
    """What an agent gets, as far as it is looked at: batches of these partitions, from these offsets on, of so many
    records."""

    def __init__(self, *batches):
        self.channel, self._queue = self, deque(batches)
        self.queue = SimpleNamespace(empty=lambda: not self._queue)

    def noack(self):
        return self

    async def events(self):
        while self._queue:
            partition, first, count = self._queue.popleft()
            records = [SimpleNamespace(offset=offset) for offset in range(first, first + count)]
            yield SimpleNamespace(message=SimpleNamespace(partition=partition), key=first, value=records)


@pytest.mark.parametrize(
    ("waiting", "groups"),
    [
        ([], []),
        ([(0, 0, 5), (1, 0, 5), (2, 9, 5)], [[(0, 0, 5), (1, 0, 5), (2, 9, 5)]]),
        ([(0, 0, 5), (1, 0, 5), (0, 5, 5), (1, 5, 1)], [[(0, 0, 10), (1, 0, 6)]]),
        ([(0, 0, 5), (1, 0, 5), (0, 3, 5)], [[(0, 0, 5), (1, 0, 5)], [(0, 3, 5)]]),  # it was sought back
        ([(0, 0, 5), (0, 6, 5)], [[(0, 0, 5)], [(0, 6, 5)]]),
        ([(0, 0, 3_000), (1, 0, 1_000), (2, 0, 1)], [[(0, 0, 3_000), (1, 0, 1_000)], [(2, 0, 1)]]),
    ],
)
def test_what_waits_is_worked_on_together_and_nothing_is_joined_over_a_hole(waiting, groups):
    async def found():
        return [
            [(partition, first, len(records)) for partition, first, records in _fetches(events)]
            async for events in _together(Stream(*waiting), 4_000)
        ]

    assert asyncio.run(found()) == groups


def test_an_error_that_nobody_foresaw_ends_the_role_with_what_it_was(broker, tmp_path):
    topic = topic_with(broker.bootstrap, 10)

    def work(*_):
        raise ZeroDivisionError

    try:
        run(broker.bootstrap, topic, tmp_path, stored={}, work=work, enough=lambda: False)
    except ZeroDivisionError:
        return
    raise AssertionError("the role went on")


def test_who_wants_the_database_waits_for_one_batch_and_not_for_all_that_are_in_line(tmp_path):
    """The relay would stand still while every dataset has a batch waiting, and projections with it."""
    done, first, go_on = [], threading.Event(), threading.Event()

    def work(topic, _):
        first.set()
        assert go_on.wait(LIMIT_S)
        done.append(topic)

    async def main():
        runner = Runner(
            "group", bootstrap="127.0.0.1:1", instance="one", datadir=str(tmp_path),
            check=lambda *_: 0, positions=dict, together=4_000,
        )  # fmt: skip

        async def release(_):
            """Nothing is held."""

        runner.app = SimpleNamespace(consumer=SimpleNamespace(held=frozenset(), release=release))
        batches = [asyncio.create_task(runner._persist(topic, [], work)) for topic in "abc"]
        await asyncio.to_thread(first.wait, LIMIT_S)
        relay = asyncio.get_running_loop().run_in_executor(runner._thread, done.append, "relay")
        go_on.set()
        await asyncio.gather(relay, *batches)

    asyncio.run(main())
    assert done == ["a", "relay", "b", "c"]
